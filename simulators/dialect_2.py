"""How a simulated charger speaks OCPP 2.0.1 and 2.1: TransactionEvent, EVSEs, numbers for values.

Used by `simulators.charger`. Each of our connectors is an EVSE with one connector. Clauses are of part 2.
"""

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from uuid import UUID

from protocols.timestamps import format_utc_ms
from simulators.charger_queue import IdToken, Payload, Transaction
from simulators.charger_settings import MODEL, VENDOR
from simulators.dialect import Message, Moment, Said
from simulators.meter_values import Sampled
from simulators.statuses import Status

CONNECTOR_ID = 1  # of every EVSE
_NOT_IN_2 = frozenset({"Temperature"})
_AS_CONNECTOR_STATUS: Mapping[Status, str] = MappingProxyType(
    {
        Status.AVAILABLE: "Available",
        Status.RESERVED: "Reserved",
        Status.UNAVAILABLE: "Unavailable",
        Status.FAULTED: "Faulted",
    }
)
_CHARGING_STATES: Mapping[Status, str] = MappingProxyType(
    {
        Status.CHARGING: "Charging",
        Status.SUSPENDED_EV: "SuspendedEV",
        Status.SUSPENDED_EVSE: "SuspendedEVSE",
    }
)
_SAMPLE_TRIGGERS: Mapping[str, str] = MappingProxyType(
    {"Sample.Periodic": "MeterValuePeriodic", "Sample.Clock": "MeterValueClock", "Trigger": "Trigger"}
)
# Why a session ended, in 1.6's words (section 7.36), to triggerReason and stoppedReason.
_ENDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "DeAuthorized": ("Deauthorized", "DeAuthorized"),
        "EVDisconnected": ("EVDeparted", "EVDisconnected"),
        "HardReset": ("ResetCommand", "ImmediateReset"),
        "Local": ("StopAuthorized", "Local"),
        "Other": ("AbnormalCondition", "Other"),
        "Remote": ("RemoteStop", "Remote"),
        "SoftReset": ("ResetCommand", "ImmediateReset"),
        "UnlockCommand": ("UnlockCommand", "Other"),
    }
)


class Dialect2:
    """See `simulators.dialect.Dialect`; what we say is the same in 2.0.1 and 2.1."""

    def measurands(self, wanted: Sequence[str]) -> Sequence[str]:
        """2.x has no word for a temperature of the body."""
        return [word for word in wanted if word not in _NOT_IN_2]

    def boot(self, identity: str, firmware: str, reason: str) -> Message:
        """BootNotification (B01)."""
        station = {
            "vendorName": VENDOR,
            "model": MODEL,
            "serialNumber": identity[:25],
            "firmwareVersion": firmware,
        }
        return Message("BootNotification", {"chargingStation": station, "reason": reason})

    def authorise(self, token: IdToken) -> Message:
        """Authorize (C01)."""
        return Message("Authorize", {"idToken": id_token(token)})

    def verdict(self, answer: Payload) -> str:
        """Of idTokenInfo; an answer to an event that has none refuses nobody."""
        info = answer.get("idTokenInfo")
        return str(info.get("status")) if isinstance(info, dict) else "Accepted"

    def transaction_id(self, rng: random.Random, now_us: int) -> str | None:
        """A UUID (E01). The time is in it, so that another run with the same seed has other ids."""
        return str(UUID(int=rng.getrandbits(128) ^ now_us, version=4))

    def given_id(self, answer: Payload) -> int | None:
        """The id is ours."""
        return None

    def shows_same(self, before: Status, after: Status) -> bool:
        """A connector is occupied, whatever goes on (ConnectorStatusEnumType)."""
        return connector_status(before) == connector_status(after)

    def station_status(self, at_us: int) -> Message | None:
        """2.x has no connector 0."""
        return None

    def status(self, connector_id: int, error_code: str, status: Status, at_us: int) -> Message:
        """StatusNotification (G01)."""
        payload: Payload = {
            "timestamp": format_utc_ms(at_us),
            "connectorStatus": connector_status(status),
            "evseId": connector_id,
            "connectorId": CONNECTOR_ID,
        }
        return Message("StatusNotification", payload)

    def started(self, transaction: Transaction, moment: Moment) -> Sequence[Said]:
        """Started (E02), at the authorisation, then Updated when energy flows."""
        is_remote = transaction.remote_start_id is not None
        payload = self._event(transaction, "Started", moment, "RemoteStart" if is_remote else "Authorized")
        info: Payload = {"transactionId": transaction.transaction_id, "chargingState": "EVConnected"}
        if is_remote:
            info["remoteStartId"] = transaction.remote_start_id
        payload |= {"transactionInfo": info, "idToken": id_token(transaction.token)}
        if transaction.reservation_id is not None:
            payload["reservationId"] = transaction.reservation_id
        start = Said(_event(payload), is_start=True, has_values=bool(moment.values))
        flows = Moment(moment.at_us, moment.energy_wh, is_offline=moment.is_offline)
        update = self.state_changed(transaction, Status.CHARGING, flows)
        return (start, update)

    def sampled(self, connector_id: int, transaction: Transaction | None, moment: Moment) -> Said:
        """Updated (E05, J02), or MeterValues where nobody charges (J01)."""
        if transaction is None:
            value = _meter_value(moment)
            return Said(
                Message("MeterValues", {"evseId": connector_id, "meterValue": [value]}), has_values=True
            )
        context = moment.values[0].get("context", "Sample.Periodic")
        return Said(
            _event(self._event(transaction, "Updated", moment, _SAMPLE_TRIGGERS[context])), has_values=True
        )

    def state_changed(self, transaction: Transaction, status: Status, moment: Moment) -> Said:
        """Updated with the new chargingState (E03)."""
        payload = self._event(transaction, "Updated", moment, "ChargingStateChanged")
        payload["transactionInfo"] = {
            "transactionId": transaction.transaction_id,
            "chargingState": _CHARGING_STATES[status],
        }
        return Said(_event(payload))

    def ended(self, transaction: Transaction, moment: Moment, reason: str) -> Sequence[Said]:
        """Ended (E06, E07), with the readings of the end."""
        trigger, stopped_reason = _ENDS[reason]
        payload = self._event(transaction, "Ended", moment, trigger)
        payload["transactionInfo"] = {
            "transactionId": transaction.transaction_id,
            "chargingState": "EVConnected",
            "stoppedReason": stopped_reason,
        }
        if reason == "Local":
            payload["idToken"] = id_token(transaction.token)
        return (Said(_event(payload), stop_reason=stopped_reason, has_values=bool(moment.values)),)

    def as_plain_values(self, message: Message) -> Message | None:
        """As MeterValues: a second event of the same number would be another story of the session."""
        if message.action == "MeterValues":
            return message
        payload, evse = message.payload, message.payload.get("evse")
        if payload.get("eventType") != "Updated" or "meterValue" not in payload or not isinstance(evse, dict):
            return None
        return Message("MeterValues", {"evseId": evse["id"], "meterValue": payload["meterValue"]})

    def _event(self, transaction: Transaction, kind: str, moment: Moment, trigger: str) -> Payload:
        payload: Payload = {
            "eventType": kind,
            "timestamp": format_utc_ms(moment.at_us),
            "triggerReason": trigger,
            "seqNo": transaction.next_seq_no(),
            "transactionInfo": {"transactionId": transaction.transaction_id},
            "evse": {"id": transaction.connector_id, "connectorId": CONNECTOR_ID},
        }
        if moment.is_offline:
            payload["offline"] = True
        if moment.values:
            payload["meterValue"] = [_meter_value(moment)]
        return payload


def connector_status(status: Status) -> str:
    """ConnectorStatusEnumType."""
    return _AS_CONNECTOR_STATUS.get(status, "Occupied")


def id_token(token: IdToken) -> Payload:
    """IdTokenType."""
    return {"idToken": token.text, "type": token.kind}


def _event(payload: Payload) -> Message:
    return Message("TransactionEvent", payload)


def _meter_value(moment: Moment) -> Payload:
    return {
        "timestamp": format_utc_ms(moment.at_us),
        "sampledValue": [_sampled_value(value) for value in moment.values],
    }


def _sampled_value(value: Sampled) -> Payload:
    """SampledValueType: a number, and its unit as an object."""
    words: Payload = {name: word for name, word in value.items() if name not in {"value", "unit"}}
    number = float(value["value"]) if "." in value["value"] else int(value["value"])
    return {"value": number, **words, "unitOfMeasure": {"unit": value["unit"]}}
