"""Reports in parts that a charger was asked for, of blocks B, K, N and O; the parts of a job, and rows.

A part's rows and the note that it came are one transaction: a part that is sent again changes nothing.
"""

from typing import Any

from ingest.ocpp.context import Context, Payload
from ingest.ocpp.jobs import request_id_of, tell_job
from ingest.ocpp.results.charging_profiles import profile_of
from ingest.ocpp.results.configuration import keep
from ingest.ocpp.results.display_messages import message_of
from ingest.ocpp.results.monitoring import monitor_of
from ingest.ocpp.variables import int4, reported_variables
from protocols.ocpp.storable import clipped, storable
from storage.database import Connection
from storage.queries.charger_jobs import COMPLETE, JobKind, add_job_part
from storage.queries.charging_profiles import put_profile
from storage.queries.display_messages import put_message
from storage.queries.variable_monitors import Kind, put_monitor

DATA_CHARACTERS_MAX = 512
_KINDS: dict[str, Kind] = {
    "HardWiredMonitor": "HardWiredMonitor",
    "PreconfiguredMonitor": "PreconfiguredMonitor",
}


async def notify_report(context: Context, payload: Payload) -> Payload:
    """NotifyReport (B07, B08): variables of the device model."""
    data: Any = payload.get("reportData") or ()
    variables = [variable for item in data for variable in reported_variables(item)]
    async with context.services.pool.connection() as connection:
        await keep(context, connection, variables)
        is_whole = await _part(context, connection, "report", payload)
    return await _told(context, "report", payload, is_whole=is_whole)


async def notify_monitoring_report(context: Context, payload: Payload) -> Payload:
    """NotifyMonitoringReport (N02): monitors on variables."""
    data: Any = payload.get("monitor") or ()
    monitors = [
        monitor_of(item, facts["id"], facts, _KINDS.get(facts.get("eventNotificationType"), "CustomMonitor"))
        for item in data
        for facts in item["variableMonitoring"]
    ]
    async with context.services.pool.connection() as connection:
        for monitor in monitors:
            if monitor is not None:
                await put_monitor(connection, context.device.id, monitor, context.received_at)
        is_whole = await _part(context, connection, "monitoring_report", payload)
    return await _told(context, "monitoring_report", payload, is_whole=is_whole)


async def report_charging_profiles(context: Context, payload: Payload) -> Payload:
    """ReportChargingProfiles (K09): profiles of one EVSE and one source."""
    data: Any = payload["chargingProfile"]
    source = clipped(str(payload["chargingLimitSource"]), 20)
    profiles = [profile_of(storable(item), payload["evseId"], source) for item in data]
    async with context.services.pool.connection() as connection:
        for profile in profiles:
            if profile is not None:
                await put_profile(connection, context.device.id, profile, context.received_at)
        is_whole = await _part(context, connection, "charging_profiles", payload)
    return await _told(context, "charging_profiles", payload, is_whole=is_whole)


async def notify_display_messages(context: Context, payload: Payload) -> Payload:
    """NotifyDisplayMessages (O03, O04): messages that the charger shows."""
    data: Any = payload.get("messageInfo") or ()
    messages = [message_of(storable(item)) for item in data]
    async with context.services.pool.connection() as connection:
        for message in messages:
            if message is not None:
                await put_message(connection, context.device.id, message, context.received_at)
        is_whole = await _part(context, connection, "display_messages", payload)
    return await _told(context, "display_messages", payload, is_whole=is_whole)


async def notify_customer_information(context: Context, payload: Payload) -> Payload:
    """NotifyCustomerInformation (N09): a text in pieces, put together in their order by the job."""
    data = clipped(str(payload["data"]), DATA_CHARACTERS_MAX)
    async with context.services.pool.connection() as connection:
        is_whole = await _part(context, connection, "customer_information", payload, data)
    return await _told(context, "customer_information", payload, is_whole=is_whole)


async def _part(
    context: Context, connection: Connection, kind: JobKind, payload: Payload, data: str | None = None
) -> bool:
    """Note a part of the job; a requestId that no row can hold is none of ours."""
    request_id = request_id_of(payload)
    if request_id is None:
        return False
    return await add_job_part(
        connection,
        context.device.id,
        kind,
        request_id,
        seq_no=int4(payload.get("seqNo")),
        is_last=payload.get("tbc") is not True,
        data=data,
        at=context.received_at,
    )


async def _told(context: Context, kind: JobKind, payload: Payload, *, is_whole: bool) -> Payload:
    if is_whole:
        await tell_job(context, kind, None, request_id_of(payload), COMPLETE)
    return {}
