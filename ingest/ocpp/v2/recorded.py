"""Messages that are kept as device events and answered by rule, most of them new in OCPP 2.1.

To add one: its line in `ANSWERS`. Its kind of event is the action in snake case.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from ingest.ocpp.context import Context, Handler, Payload
from protocols.ocpp.storable import storable
from protocols.ocpp.surface import Version

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

Answer = Callable[[Version, Payload], Payload]


def _nothing(_version: Version, _payload: Payload) -> Payload:
    return {}


def _accepted(_version: Version, _payload: Payload) -> Payload:
    return {"status": "Accepted"}


def _no_profile(version: Version, _payload: Payload) -> Payload:
    """K15: no schedule is made here for a vehicle's needs; 2.1 has a word for that."""
    if version is Version.V21:
        return {"status": "NoChargingProfile"}
    return {"status": "Rejected", "statusInfo": {"reasonCode": "NoProfile"}}


def _no_schedule(_version: Version, _payload: Payload) -> Payload:
    """K28: no profile of ours is dynamic and pulled."""
    return {"status": "Rejected", "statusInfo": {"reasonCode": "UnknownProfile"}}


def _not_validated(_version: Version, payload: Payload) -> Payload:
    """C: nobody is connected who could ask about VAT numbers; the answer repeats what was asked."""
    asked = {name: payload[name] for name in ("vatNumber", "evseId") if name in payload}
    return {**asked, "status": "Rejected", "statusInfo": {"reasonCode": "NotSupported"}}


ANSWERS: Mapping[str, Answer] = MappingProxyType(
    {
        "BatterySwap": _nothing,
        "ClearedChargingLimit": _nothing,
        "ClosePeriodicEventStream": _nothing,
        "NotifyChargingLimit": _nothing,
        "NotifyDERAlarm": _nothing,
        "NotifyDERStartStop": _nothing,
        "NotifyEVChargingNeeds": _no_profile,
        "NotifyEVChargingSchedule": _accepted,
        "NotifyPeriodicEventStream": _nothing,
        "NotifyPriorityCharging": _nothing,
        "NotifySettlement": _nothing,
        "NotifyWebPaymentStarted": _nothing,
        "OpenPeriodicEventStream": _accepted,
        "PullDynamicScheduleUpdate": _no_schedule,
        "ReportDERControl": _nothing,
        "VatNumberValidation": _not_validated,
    }
)


def kind_of(action: str) -> str:
    """The kind of device event: NotifyDERAlarm is `notify_der_alarm`."""
    return _WORDS.sub("_", action).lower()


def recorder(action: str) -> Handler:
    """The handler of an action of `ANSWERS`."""
    kind, answer = kind_of(action), ANSWERS[action]

    async def handle(context: Context, payload: Payload) -> Payload:
        await context.record(kind, storable(payload), context.device_time_us(payload))
        return answer(context.version, payload)

    return handle
