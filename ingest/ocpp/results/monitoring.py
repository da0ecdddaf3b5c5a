"""Monitors on variables (OCPP 2.0.1 part 2): SetVariableMonitoring (N04), ClearVariableMonitoring (N06),
SetMonitoringBase (N05)."""

from collections.abc import Mapping
from types import MappingProxyType

from ingest.ocpp.context import Context
from ingest.ocpp.results.recording import ACCEPTED, Fields, record
from ingest.ocpp.variables import int4, name_fields, variable_name
from storage.queries.variable_monitors import (
    Kind,
    Monitor,
    put_monitor,
    remove_monitors,
    remove_monitors_of,
)

SEVERITY_MAX = 9
# What each base does away with (N05.FR.01 to 03).
_REPLACED: Mapping[str, tuple[Kind, ...]] = MappingProxyType(
    {
        "All": (),
        "FactoryDefault": ("CustomMonitor",),
        "HardWiredOnly": ("CustomMonitor", "PreconfiguredMonitor"),
    }
)


async def set_variable_monitoring(context: Context, request: Fields, answer: Fields) -> None:
    """Keep the monitors that were set, under the ids that the charger gave them."""
    sent = {_key(each): each for each in request["setMonitoringData"]}
    results = answer["setMonitoringResult"]
    monitors = [
        monitor_of(asked, result.get("id"), asked)
        for result in results
        if result["status"] == ACCEPTED and (asked := sent.get(_key(result))) is not None
    ]
    kept = [monitor for monitor in monitors if monitor is not None]
    async with context.services.pool.connection() as connection:
        for monitor in kept:
            await put_monitor(connection, context.device.id, monitor, context.received_at)
    if len(kept) < len(results) or not results:
        await record(context, "SetVariableMonitoring", request, answer)


async def clear_variable_monitoring(context: Context, request: Fields, answer: Fields) -> None:
    """Forget the monitors that are cleared or, by the charger's word, were not there."""
    results = answer["clearMonitoringResult"]
    gone = [int4(each["id"]) for each in results if each["status"] in {ACCEPTED, "NotFound"}]
    async with context.services.pool.connection() as connection:
        known = [each for each in gone if each is not None]
        removed = await remove_monitors(connection, context.device.id, known)
    if len(removed) < len(results) or any(each["status"] != ACCEPTED for each in results):
        await record(context, "ClearVariableMonitoring", request, answer)


async def set_monitoring_base(context: Context, request: Fields, answer: Fields) -> None:
    """Forget the monitors that the new base has done away with."""
    if answer["status"] == ACCEPTED:
        async with context.services.pool.connection() as connection:
            kinds = _REPLACED[request["monitoringBase"]]
            await remove_monitors_of(connection, context.device.id, kinds)
    await record(context, "SetMonitoringBase", request, answer)


def monitor_of(
    item: Fields, monitor_id: object, facts: Fields, kind: Kind = "CustomMonitor"
) -> Monitor | None:
    """A monitor as a row: `item` names the variable, `facts` has type, value and severity.

    None if a number does not fit. For NotifyMonitoringReport `facts` is a VariableMonitoringType.
    """
    number, severity = int4(monitor_id), int4(facts["severity"])
    if number is None or severity is None or not 0 <= severity <= SEVERITY_MAX:
        return None
    name = name_fields(variable_name(item))
    del name["attribute"]
    return Monitor(
        monitor_id=number,
        **name,
        type=facts["type"],
        value=float(facts["value"]),
        severity=severity,
        is_transaction=facts.get("transaction", False),
        kind=kind,
    )


def _key(item: Fields) -> tuple[object, ...]:
    """What an answer repeats of its request: there may be several monitors on one variable."""
    return (variable_name(item).key, item["type"], item["severity"])
