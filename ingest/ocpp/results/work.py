"""Calls that begin work which ends later: firmware, uploads, reports; rows of `charger_jobs`.

What follows comes as messages of the charger (`ingest.ocpp.jobs`, and the reports in `ingest.ocpp.v2`).
"""

from ingest.ocpp.context import Context, Payload
from ingest.ocpp.jobs import request_id_of, tell_job
from ingest.ocpp.results.recording import ACCEPTED, Fields, ResultHandler
from protocols.ocpp.storable import shown
from storage.queries.charger_jobs import JobKind, JobState, begin_job

# The answer to a request that ended the one before it.
_CANCELING = "AcceptedCanceled"
# There is nothing to do, which is no failure.
_EMPTY = frozenset({"EmptyResultSet", "NoDiagnostics", "NoProfiles", "Unknown"})


def job(action: str, kind: JobKind) -> ResultHandler:
    """The handler of an action that begins a job of this kind; an answer without a status accepts it."""

    async def handle(context: Context, request: Payload, answer: Payload) -> None:
        await _begin(context, action, kind, request, answer, str(answer.get("status", ACCEPTED)))

    return handle


async def get_diagnostics(context: Context, request: Fields, answer: Fields) -> None:
    """GetDiagnostics (OCPP 1.6, section 5.9): without a file name the charger has none to upload."""
    status = ACCEPTED if answer.get("fileName") else "NoDiagnostics"
    await _begin(context, "GetDiagnostics", "diagnostics", request, answer, status)


async def _begin(
    context: Context, action: str, kind: JobKind, request: Fields, answer: Fields, status: str
) -> None:
    is_accepted = status in {ACCEPTED, _CANCELING}
    state = JobState(
        ACCEPTED if is_accepted else status,
        is_finished=not is_accepted,
        is_failed=not is_accepted and status not in _EMPTY,
    )
    request_id = request_id_of(request)
    async with context.services.pool.connection() as connection:
        job_id = await begin_job(
            connection,
            context.device.id,
            kind,
            request_id,
            state,
            request={"action": action, **shown(request)},
            answer=shown(answer),
            at=context.received_at,
            is_canceling=status == _CANCELING,
        )
    await tell_job(context, kind, job_id, request_id, state.status)
