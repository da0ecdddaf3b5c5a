"""What chargers say of work under way, the same in all versions.

Used by `ingest.ocpp.v16`, `ingest.ocpp.v2` and `ingest.ocpp.results`.

`firmware_status`, `log_status`, `diagnostics_status`, `publish_firmware_status` and `security_event` are
handlers: each stores a device event and tells it live; the four of status move a row of `charger_jobs`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ingest.ocpp.context import Context, Payload
from ingest.ocpp.variables import int4
from protocols.ocpp.storable import clipped, shown
from storage.queries.charger_jobs import JobKind, JobState, update_job

STATUS_CHARACTERS_MAX = 50
IDLE = "Idle"  # told when asked while nothing is under way: it moves no job

# What ends a job, and whether it failed. A charger that tries again says so by the next status.
_ENDS: Mapping[str, bool] = MappingProxyType(
    {
        "Installed": False,
        "Published": False,
        "Uploaded": False,
        "AcceptedCanceled": True,
        "BadMessage": True,
        "DownloadFailed": True,
        "InstallationFailed": True,
        "InstallVerificationFailed": True,
        "InvalidChecksum": True,
        "InvalidSignature": True,
        "NotSupportedOperation": True,
        "PermissionDenied": True,
        "PublishFailed": True,
        "UploadFailed": True,
        "UploadFailure": True,
    }
)


def request_id_of(payload: Payload) -> int | None:
    """The requestId, if it is one that can be stored."""
    return int4(payload.get("requestId"))


def state_of(status: str) -> JobState:
    """What a status says of its job."""
    return JobState(status, is_finished=status in _ENDS, is_failed=_ENDS.get(status, False))


async def firmware_status(context: Context, payload: Payload) -> Payload:
    """FirmwareStatusNotification (1.6, 4.5; 2.0.1 part 2, L01), SignedFirmwareStatusNotification (1.6)."""
    return await _status(context, "firmware", payload)


async def log_status(context: Context, payload: Payload) -> Payload:
    """LogStatusNotification (1.6 security whitepaper, section 5; 2.0.1 part 2, N01)."""
    return await _status(context, "log", payload)


async def diagnostics_status(context: Context, payload: Payload) -> Payload:
    """DiagnosticsStatusNotification (1.6 section 4.4)."""
    return await _status(context, "diagnostics", payload)


async def publish_firmware_status(context: Context, payload: Payload) -> Payload:
    """PublishFirmwareStatusNotification (2.0.1 part 2, L03)."""
    return await _status(context, "publish_firmware", payload)


async def security_event(context: Context, payload: Payload) -> Payload:
    """SecurityEventNotification (1.6 security whitepaper, A04; 2.0.1 part 2, A04)."""
    detail = shown(payload)
    ts_us = context.device_time_us(payload)
    await context.record("security_event", detail, ts_us)
    await context.tell("security-event", {"type": detail.get("type"), "tech_info": detail.get("techInfo")})
    return {}


async def _status(context: Context, kind: JobKind, payload: Payload) -> Payload:
    status = clipped(str(payload["status"]), STATUS_CHARACTERS_MAX)
    request_id = request_id_of(payload)
    job_id = None
    if status != IDLE:
        async with context.services.pool.connection() as connection:
            job_id = await update_job(
                connection, context.device.id, kind, request_id, state_of(status), context.received_at
            )
    await context.record(f"{kind}_status", shown(payload), context.received_at_us)
    await tell_job(context, kind, job_id, request_id, status)
    return {}


async def tell_job(
    context: Context, kind: JobKind, job_id: int | None, request_id: int | None, status: str
) -> None:
    """Publish `charger-job`; `job_id` is None for what is no news of any job."""
    facts = {"kind": kind, "job_id": job_id, "request_id": request_id, "status": status}
    await context.tell("charger-job", facts)
