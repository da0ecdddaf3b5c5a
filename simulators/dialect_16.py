"""How a simulated charger speaks OCPP 1.6: StartTransaction, MeterValues, StopTransaction.

Used by `simulators.charger`. Clauses are of OCPP 1.6 edition 2.
"""

import random
from collections.abc import Sequence

from protocols.timestamps import format_utc_ms
from simulators.charger_queue import IdToken, Payload, Transaction
from simulators.charger_settings import MODEL, VENDOR
from simulators.dialect import Message, Moment, Said
from simulators.statuses import Status


class Dialect16:
    """See `simulators.dialect.Dialect`."""

    def measurands(self, wanted: Sequence[str]) -> Sequence[str]:
        """All of ours are of 1.6 (section 7.31)."""
        return wanted

    def boot(self, identity: str, firmware: str, reason: str) -> Message:
        """BootNotification (section 6.3)."""
        payload: Payload = {
            "chargePointVendor": VENDOR,
            "chargePointModel": MODEL,
            "chargePointSerialNumber": identity[:25],
            "firmwareVersion": firmware,
        }
        return Message("BootNotification", payload)

    def authorise(self, token: IdToken) -> Message:
        """Authorize (section 6.1)."""
        return Message("Authorize", {"idTag": token.text})

    def verdict(self, answer: Payload) -> str:
        """Of idTagInfo (section 7.27)."""
        info = answer.get("idTagInfo")
        return str(info.get("status")) if isinstance(info, dict) else ""

    def transaction_id(self, rng: random.Random, now_us: int) -> str | None:
        """The central system gives it."""
        return None

    def given_id(self, answer: Payload) -> int | None:
        """Of the answer to StartTransaction (section 6.46)."""
        given = answer.get("transactionId")
        return given if isinstance(given, int) else None

    def shows_same(self, before: Status, after: Status) -> bool:
        """Each status is said as it is."""
        return before is after

    def station_status(self, at_us: int) -> Message | None:
        """Connector 0 is the charger (section 6.47)."""
        return self.status(0, "NoError", Status.AVAILABLE, at_us)

    def status(self, connector_id: int, error_code: str, status: Status, at_us: int) -> Message:
        """StatusNotification (section 6.47)."""
        payload: Payload = {
            "connectorId": connector_id,
            "errorCode": error_code,
            "status": str(status),
            "timestamp": format_utc_ms(at_us),
        }
        return Message("StatusNotification", payload)

    def started(self, transaction: Transaction, moment: Moment) -> Sequence[Said]:
        """StartTransaction (section 6.45), then the readings of the beginning."""
        payload: Payload = {
            "connectorId": transaction.connector_id,
            "idTag": transaction.token.text,
            "meterStart": transaction.meter_start_wh,
            "timestamp": format_utc_ms(moment.at_us),
        }
        if transaction.reservation_id is not None:
            payload["reservationId"] = transaction.reservation_id
        start = Said(Message("StartTransaction", payload), is_start=True)
        return (start, *self._readings(transaction, moment))

    def sampled(self, connector_id: int, transaction: Transaction | None, moment: Moment) -> Said:
        """MeterValues (section 6.31) with one meter value."""
        value = {"timestamp": format_utc_ms(moment.at_us), "sampledValue": list(moment.values)}
        payload: Payload = {"connectorId": connector_id, "meterValue": [value]}
        return Said(Message("MeterValues", payload), has_values=True, fills_id=transaction is not None)

    def state_changed(
        self,
        transaction: Transaction,
        status: Status,
        moment: Moment,
    ) -> Said | None:
        """StatusNotification says it."""
        return None

    def ended(self, transaction: Transaction, moment: Moment, reason: str) -> Sequence[Said]:
        """The readings of the end, then StopTransaction (section 6.49)."""
        payload: Payload = {
            "idTag": transaction.token.text,
            "meterStop": moment.energy_wh,
            "timestamp": format_utc_ms(moment.at_us),
            "transactionId": 0,  # filled in once it is known
            "reason": reason,
        }
        stop = Said(Message("StopTransaction", payload), stop_reason=reason, fills_id=True)
        return (*self._readings(transaction, moment), stop)

    def as_plain_values(self, message: Message) -> Message | None:
        """A MeterValues is one."""
        return message if message.action == "MeterValues" else None

    def _readings(self, transaction: Transaction, moment: Moment) -> Sequence[Said]:
        return (self.sampled(transaction.connector_id, transaction, moment),) if moment.values else ()
