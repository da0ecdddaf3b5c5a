"""Work that chargers do after they answered: firmware, uploads, reports. One row a request.

Written by the OCPP gateway (`ingest.ocpp.jobs`), read by the API. A job is known by its kind and requestId;
OCPP 1.6's UpdateFirmware and GetDiagnostics have no requestId, and there the newest of the kind is meant.
A charger's message about a job may be handled before our note that it accepted the job: either may be first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_value

JobKind = Literal[
    "firmware",
    "publish_firmware",
    "log",
    "diagnostics",
    "report",
    "monitoring_report",
    "charging_profiles",
    "display_messages",
    "customer_information",
]
JOBS_MAX = 1_000  # of one charger: the oldest go
PARTS_MAX = 10_000  # of one job
TEXT_CHARACTERS_MAX = 65_536  # of a job's parts together, as they are shown
CANCELED, COMPLETE, REPORTING = "Canceled", "Complete", "Reporting"


@dataclass(frozen=True, slots=True)
class JobState:
    """`status` is the charger's word. A job that failed is finished; a retry opens it again."""

    status: str
    is_finished: bool = False
    is_failed: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """`request` is None for what the charger began by itself; `parts` are the messages of a report so far."""

    id: int
    kind: JobKind
    request_id: int | None
    status: str
    is_finished: bool
    is_failed: bool
    request: Mapping[str, Any] | None
    answer: Mapping[str, Any]
    parts: int
    text: str | None
    created_at: datetime
    updated_at: datetime


_LOCK = "SELECT pg_advisory_xact_lock(hashtext('charger_jobs'), %(device_id)s)"

# A job that the charger spoke of just before our own note of it.
_ADOPT = """
UPDATE charger_jobs SET request = %(request)s, answer = %(answer)s
WHERE id = (
    SELECT id FROM charger_jobs
    WHERE device_id = %(device_id)s AND kind = %(kind)s AND request IS NULL
      AND updated_at > %(at)s - interval '1 minute'
      AND (request_id = %(request_id)s
           OR (%(request_id)s::int IS NULL AND request_id IS NULL AND NOT is_finished))
    ORDER BY id DESC LIMIT 1)
RETURNING id
"""

_REMOVE = """
DELETE FROM charger_jobs
WHERE device_id = %(device_id)s AND kind = %(kind)s AND request_id = %(request_id)s
"""

_INSERT = """
INSERT INTO charger_jobs (
    device_id, kind, request_id, status, is_finished, is_failed, request, answer, created_at, updated_at)
VALUES (%(device_id)s, %(kind)s, %(request_id)s, %(status)s, %(is_finished)s, %(is_failed)s, %(request)s,
        %(answer)s, %(at)s, %(at)s)
RETURNING id
"""

_TRIM = """
DELETE FROM charger_jobs WHERE device_id = %(device_id)s AND id <= (
    SELECT id FROM charger_jobs WHERE device_id = %(device_id)s ORDER BY id DESC OFFSET %(bound)s LIMIT 1)
"""

_CANCEL = """
UPDATE charger_jobs SET status = %(canceled)s, is_finished = true, is_failed = true, updated_at = %(at)s
WHERE device_id = %(device_id)s AND kind = %(kind)s AND NOT is_finished
"""

# Without a requestId the newest is meant, unless it ended well and this is something new.
_UPDATE = """
UPDATE charger_jobs
SET status = %(status)s, is_finished = %(is_finished)s, is_failed = %(is_failed)s, updated_at = %(at)s
WHERE id = (
    SELECT id FROM charger_jobs
    WHERE device_id = %(device_id)s AND kind = %(kind)s
      AND (%(request_id)s::int IS NULL OR request_id = %(request_id)s)
    ORDER BY id DESC LIMIT 1)
  AND (%(request_id)s::int IS NOT NULL OR NOT is_finished OR is_failed OR status = %(status)s)
RETURNING id
"""

_FIND = """
SELECT id FROM charger_jobs
WHERE device_id = %(device_id)s AND kind = %(kind)s AND request_id = %(request_id)s
"""

_PART = """
INSERT INTO charger_job_parts (job_id, seq_no, is_last, data, received_at)
SELECT %(job_id)s, coalesce(%(seq_no)s, count(*)), %(is_last)s, %(data)s, %(at)s
FROM charger_job_parts WHERE job_id = %(job_id)s
HAVING count(*) < %(bound)s
ON CONFLICT DO NOTHING
"""

_FINISH = """
UPDATE charger_jobs
SET updated_at = %(at)s,
    is_finished = whole.is_whole,
    is_failed = false,
    status = CASE WHEN whole.is_whole THEN %(complete)s ELSE %(reporting)s END
FROM (
    SELECT coalesce(count(*) FILTER (WHERE part.seq_no <= last.seq_no) = last.seq_no + 1, false) AS is_whole
    FROM (SELECT min(seq_no) FILTER (WHERE is_last) AS seq_no FROM charger_job_parts
          WHERE job_id = %(job_id)s) AS last,
         charger_job_parts AS part
    WHERE part.job_id = %(job_id)s GROUP BY last.seq_no
) AS whole
WHERE id = %(job_id)s
RETURNING is_finished
"""

_LIST = """
SELECT id, kind, request_id, status, is_finished, is_failed, request, answer, created_at, updated_at,
       (SELECT count(*) FROM charger_job_parts WHERE job_id = job.id) AS parts,
       left((SELECT string_agg(data, '' ORDER BY seq_no) FROM charger_job_parts WHERE job_id = job.id),
            %(characters)s) AS text
FROM charger_jobs AS job
WHERE device_id = %(device_id)s AND (%(kind)s::text IS NULL OR kind = %(kind)s)
ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s
"""

_COUNT = """
SELECT count(*) FROM charger_jobs
WHERE device_id = %(device_id)s AND (%(kind)s::text IS NULL OR kind = %(kind)s)
"""


async def begin_job(
    connection: Connection,
    device_id: int,
    kind: JobKind,
    request_id: int | None,
    state: JobState,
    *,
    request: Mapping[str, Any],
    answer: Mapping[str, Any],
    at: datetime,
    is_canceling: bool = False,
) -> int:
    """Note the charger's answer to a request for a job; returns the job's id.

    A requestId used before is a new job. `is_canceling`: the others of this kind ended by it.
    """
    about = {"device_id": device_id, "kind": kind, "request_id": request_id, "at": at}
    facts = {"request": Jsonb(request), "answer": Jsonb(answer)}
    await connection.execute(_LOCK, about)
    known = await fetch_value(connection, _ADOPT, {**about, **facts})
    if known is not None:
        return int(known)
    if is_canceling:
        await connection.execute(_CANCEL, {**about, "canceled": CANCELED})
    await connection.execute(_REMOVE, about)
    return await _insert(connection, about, state, facts)


async def update_job(
    connection: Connection,
    device_id: int,
    kind: JobKind,
    request_id: int | None,
    state: JobState,
    at: datetime,
) -> int:
    """Note what the charger says of a job, also of one that we know nothing of; returns the job's id."""
    about = {"device_id": device_id, "kind": kind, "request_id": request_id, "at": at}
    await connection.execute(_LOCK, about)
    known = await fetch_value(connection, _UPDATE, {**about, **_state(state)})
    if known is not None:
        return int(known)
    return await _insert(connection, about, state, {"request": None, "answer": Jsonb({})})


async def add_job_part(
    connection: Connection,
    device_id: int,
    kind: JobKind,
    request_id: int,
    *,
    seq_no: int | None,
    is_last: bool,
    data: str | None,
    at: datetime,
) -> bool:
    """Note a message of a report, once for each `seq_no` (None: the next); returns whether it is whole now.

    It is whole when the last part and all before it have come, in whatever order. Parts beyond `PARTS_MAX`
    are left out.
    """
    about = {"device_id": device_id, "kind": kind, "request_id": request_id, "at": at}
    await connection.execute(_LOCK, about)
    job_id = await fetch_value(connection, _FIND, about)
    if job_id is None:
        state = JobState(REPORTING)
        job_id = await _insert(connection, about, state, {"request": None, "answer": Jsonb({})})
    part = {"job_id": job_id, "seq_no": seq_no, "is_last": is_last, "data": data, "at": at}
    await connection.execute(_PART, {**part, "bound": PARTS_MAX})
    finish = {"job_id": job_id, "at": at, "complete": COMPLETE, "reporting": REPORTING}
    return bool(await fetch_value(connection, _FINISH, finish))


async def list_jobs(
    connection: Connection, device_id: int, *, kind: str | None = None, limit: int, offset: int = 0
) -> tuple[list[Job], int]:
    """Return one page, newest first, and how many there are in all."""
    where = {"device_id": device_id, "kind": kind}
    shown = {"characters": TEXT_CHARACTERS_MAX, "limit": limit, "offset": offset}
    page = await fetch_all(connection, Job, _LIST, {**where, **shown})
    return page, int(await fetch_value(connection, _COUNT, where))


def _state(state: JobState) -> dict[str, Any]:
    return {"status": state.status, "is_finished": state.is_finished, "is_failed": state.is_failed}


async def _insert(
    connection: Connection, about: Mapping[str, Any], state: JobState, facts: Mapping[str, Any]
) -> int:
    job_id = int(await fetch_value(connection, _INSERT, {**about, **_state(state), **facts}))
    await connection.execute(_TRIM, {"device_id": about["device_id"], "bound": JOBS_MAX})
    return job_id
