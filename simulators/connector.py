"""One connector of a simulated charger: its status, its meter, and the drivers who come and go.

Used by `simulators.charger`, which gives it time, dice and a queue for its messages. All changes of status
are in one table.
"""

import random
from collections.abc import Callable
from enum import Enum, StrEnum
from typing import Protocol

from protocols.timestamps import format_utc_ms
from simulators import meter_values
from simulators.charger_queue import Outgoing, Payload, Transaction
from simulators.charger_settings import ChargerSettings, Configuration, Span
from simulators.faults import dirty_entries, happens
from simulators.records import ChargerRow, Counted, Record, SessionStarted, SessionStopped
from simulators.timers import US_PER_S, Timers
from simulators.vehicle import Outlet, Vehicle

AWAY_S: Span = (2.0, 6.0)  # from one deed of a driver to the next
FAULT_S: Span = (20.0, 60.0)
REMOTE_PLUG_S: Span = (1.0, 4.0)
REPEATS_MAX = 3
ERROR_CODES = ("GroundFailure", "OverCurrentFailure", "ConnectorLockFailure", "HighTemperature")


class Status(StrEnum):
    """ChargePointStatus (OCPP 1.6 section 7.7), those that this connector can have."""

    AVAILABLE = "Available"
    PREPARING = "Preparing"
    CHARGING = "Charging"
    SUSPENDED_EV = "SuspendedEV"
    FINISHING = "Finishing"
    UNAVAILABLE = "Unavailable"
    FAULTED = "Faulted"


class Event(Enum):
    """What can befall a connector."""

    PLUG = "plug"
    UNPLUG = "unplug"
    START = "start"
    FULL = "full"
    STOP = "stop"
    BREAK = "break"
    MEND = "mend"
    DISABLE = "disable"
    ENABLE = "enable"


# Section 4.9: what is not in the table does not change the status.
TRANSITIONS: dict[tuple[Status, Event], Status] = {
    (Status.AVAILABLE, Event.PLUG): Status.PREPARING,
    (Status.PREPARING, Event.UNPLUG): Status.AVAILABLE,
    (Status.PREPARING, Event.START): Status.CHARGING,
    (Status.CHARGING, Event.FULL): Status.SUSPENDED_EV,
    (Status.CHARGING, Event.STOP): Status.FINISHING,
    (Status.SUSPENDED_EV, Event.STOP): Status.FINISHING,
    (Status.FINISHING, Event.UNPLUG): Status.AVAILABLE,
    (Status.FINISHING, Event.BREAK): Status.FAULTED,
    (Status.FAULTED, Event.MEND): Status.AVAILABLE,
    (Status.AVAILABLE, Event.DISABLE): Status.UNAVAILABLE,
    (Status.UNAVAILABLE, Event.ENABLE): Status.AVAILABLE,
}


class Host(Protocol):
    """The charger, as its connectors see it."""

    settings: ChargerSettings
    configuration: Configuration
    timers: Timers
    rng: random.Random
    is_closing: bool

    @property
    def is_accepted(self) -> bool:
        """Whether it is connected and its boot was accepted."""

    @property
    def has_room(self) -> bool:
        """Whether another sample may be queued."""

    def push(self, call: Outgoing, *, ahead_of_last: bool = False) -> None:
        """Queue a call."""

    def record(self, record: Record) -> None:
        """Say what was acknowledged."""

    def claim_session(self) -> bool:
        """Whether one more session may begin; counts it if so."""


class Connector:
    """`number` is 1 and up. `status`, `transaction` and `error_code` are for the charger to read."""

    def __init__(self, host: Host, number: int) -> None:
        self.number = number
        self.status = Status.AVAILABLE
        self.error_code = "NoError"
        self.transaction: Transaction | None = None
        self.is_operative = True
        register_wh = host.settings.register_wh
        if register_wh is None:
            register_wh = host.rng.randrange(10_000, 5_000_000)
        self.outlet = Outlet(host.rng, host.timers.now_us, register_wh, host.settings.speed)
        self._host = host
        self._id_tag = ""
        self._must_authorize = True
        self._driver_in(host.settings.first_plug_s)

    # --- what a driver does -----------------------------------------------------------------------

    def _driver_in(self, span: Span) -> None:
        delay_s = self._host.rng.uniform(*span) / self._host.settings.speed
        self._host.timers.set(f"driver {self.number}", delay_s, self._arrive)

    def _arrive(self) -> None:
        host = self._host
        if host.is_closing or self.status is not Status.AVAILABLE or not host.has_room:
            self._driver_in(host.settings.pause_s)
        elif host.claim_session():
            self._plug_in(host.rng.choice(host.settings.id_tags), must_authorize=True)

    def _plug_in(self, id_tag: str, *, must_authorize: bool) -> None:
        rng = self._host.rng
        if self.status is not Status.AVAILABLE:  # taken out of service meanwhile
            self._driver_in(self._host.settings.pause_s)
            return
        self._id_tag, self._must_authorize = id_tag, must_authorize
        self.outlet.plug_in(
            Vehicle(
                capacity_wh=rng.uniform(28_000, 72_000),
                soc_pct=rng.uniform(15, 70),
                target_pct=rng.choice((80.0, 90.0, 100.0)),
                current_max_a=rng.choice((16.0, 20.0, 32.0)),
            )
        )
        self.befall(Event.PLUG)
        self._soon(self._swipe)

    def _swipe(self) -> None:
        if not (self._must_authorize and self._host.is_accepted):
            self._start()
            return
        # section 4.8: without an answer the charger trusts the card, and hears from StartTransaction
        call = Outgoing("Authorize", {"idTag": self._id_tag}, self._authorized, self._start)
        self._host.push(call)

    def _authorized(self, answer: Payload) -> bool:
        if _id_tag_status(answer) == "Accepted":
            self._start()
        else:
            self._host.record(Counted("authorize_refused"))
            self._soon(self._leave)
        return True

    def _leave(self) -> None:
        if self.transaction is not None:
            self.stop("Local")
            return
        self.outlet.unplug()
        self.befall(Event.UNPLUG)
        self._driver_in(self._host.settings.pause_s)

    def _soon(self, deed: Callable[[], None], span: Span = AWAY_S) -> None:
        delay_s = self._host.rng.uniform(*span) / self._host.settings.speed
        self._host.timers.set(f"driver {self.number}", delay_s, deed)

    # --- transactions -----------------------------------------------------------------------------

    def begin_remotely(self, id_tag: str, *, must_authorize: bool) -> bool:
        """RemoteStartTransaction (section 5.11): whether it will be tried."""
        if self.transaction is not None or self.status not in {Status.AVAILABLE, Status.PREPARING}:
            return False
        self._id_tag, self._must_authorize = id_tag, must_authorize
        if self.status is Status.PREPARING:
            self._soon(self._swipe, REMOTE_PLUG_S)
        else:
            self._soon(lambda: self._plug_in(id_tag, must_authorize=must_authorize), REMOTE_PLUG_S)
        return True

    def _start(self) -> None:
        host = self._host
        if self.status is not Status.PREPARING:
            return
        now_us = host.timers.now_us
        meter_start_wh = self.outlet.read(now_us).energy_wh
        transaction = Transaction(self.number, self._id_tag, now_us - now_us % 1000, meter_start_wh)
        self.transaction = transaction
        payload: Payload = {
            "connectorId": self.number,
            "idTag": transaction.id_tag,
            "meterStart": meter_start_wh,
            "timestamp": format_utc_ms(now_us),
        }
        started = Outgoing("StartTransaction", payload, lambda answer: self._started(transaction, answer))
        started.is_kept = True
        host.push(started)
        self.outlet.switch(on=True, now_us=now_us)
        self.befall(Event.START)
        self.sample("Transaction.Begin")
        self._sample_later()
        self._soon(self._leave, host.settings.session_s)
        if happens(host.settings.faults.broken_connector, host.rng):
            self._soon(self._break, (0.0, host.settings.session_s[0]))

    def _started(self, transaction: Transaction, answer: Payload) -> bool:
        transaction_id = answer.get("transactionId")
        if not isinstance(transaction_id, int):
            return False
        transaction.transaction_id = transaction_id
        self._host.record(
            SessionStarted(
                self._host.settings.identity,
                self.number,
                transaction_id,
                transaction.id_tag,
                transaction.started_us,
                transaction.meter_start_wh,
            )
        )
        refused = _id_tag_status(answer) != "Accepted"
        if refused and self.transaction is transaction:
            self._host.record(Counted("start_refused"))
            if self._host.configuration.is_true("StopTransactionOnInvalidId"):
                self.stop("DeAuthorized")
        return True

    def stop(self, reason: str) -> None:
        """End the transaction, if there is one, for that reason (section 7.36)."""
        host, transaction = self._host, self.transaction
        if transaction is None:
            return
        now_us = host.timers.now_us
        self.outlet.switch(on=False, now_us=now_us)
        self.sample("Transaction.End")
        payload: Payload = {
            "idTag": transaction.id_tag,
            "meterStop": self.outlet.energy_wh,
            "timestamp": format_utc_ms(now_us),
            "transactionId": 0,  # filled in once it is known
            "reason": reason,
        }
        repeats = 0
        if happens(host.settings.faults.repeat_stop, host.rng):
            repeats = host.rng.randint(1, REPEATS_MAX)
        self._push_stop(transaction, payload, now_us - now_us % 1000, repeats)
        self.transaction = None
        host.timers.cancel(f"sample {self.number}")
        self.befall(Event.STOP)
        self._soon(self._leave)

    def _push_stop(self, transaction: Transaction, payload: Payload, ended_us: int, repeats: int) -> None:
        def acknowledged(_answer: Payload) -> bool:
            assert transaction.transaction_id is not None
            energy_wh, reason = payload["meterStop"], payload["reason"]
            assert isinstance(energy_wh, int)
            identity = self._host.settings.identity
            self._host.record(
                SessionStopped(identity, transaction.transaction_id, ended_us, energy_wh, str(reason))
            )
            if repeats:
                self._push_stop(transaction, payload, ended_us, repeats - 1)
            return True

        self._host.push(
            Outgoing("StopTransaction", payload, acknowledged, is_kept=True, transaction=transaction)
        )

    # --- metering ---------------------------------------------------------------------------------

    def sample(self, context: str) -> None:
        """Read the meter and queue a MeterValues; nothing where the queue has no room."""
        host, now_us = self._host, self._host.timers.now_us
        reading = self.outlet.read(now_us)
        is_idle = self.transaction is None
        measurands = (
            meter_values.IDLE_MEASURANDS if is_idle else host.configuration.words("MeterValuesSampledData")
        )
        values = meter_values.sampled_values(reading, context, measurands)
        faults, ahead = host.settings.faults, False
        if context in {"Sample.Periodic", "Sample.Clock"}:
            entries = [] if happens(faults.batch_missing, host.rng) else [values]
            values = next(iter(dirty_entries(entries, faults, host.rng)), [])
            values = meter_values.spoil(values, faults, host.rng)
            ahead = happens(faults.batch_out_of_order, host.rng)
        if not host.has_room:
            host.record(Counted("samples_held_back"))
        elif values:
            rows = meter_values.rows(host.settings.identity, self.number, now_us, values)
            payload = meter_values.payload(self.number, now_us, values)
            self._push_values(payload, rows, ahead_of_last=ahead)

    def _push_values(self, payload: Payload, rows: tuple[ChargerRow, ...], *, ahead_of_last: bool) -> None:
        def acknowledged(_answer: Payload) -> bool:
            for row in rows:
                self._host.record(row)
            return True

        call = Outgoing("MeterValues", payload, acknowledged, is_kept=True, transaction=self.transaction)
        self._host.push(call, ahead_of_last=ahead_of_last)

    def _sample_later(self) -> None:
        interval_s = self._host.configuration.seconds("MeterValueSampleInterval")
        if interval_s:
            self._host.timers.set(f"sample {self.number}", interval_s, self._sample_now)

    def _sample_now(self) -> None:
        self.sample("Sample.Periodic")
        vehicle = self.outlet.vehicle
        if vehicle is not None and vehicle.is_full:
            self.befall(Event.FULL)
        self._sample_later()

    def resample(self) -> None:
        """Take up a changed MeterValueSampleInterval."""
        if self.transaction is not None:
            self._host.timers.cancel(f"sample {self.number}")
            self._sample_later()

    # --- status -----------------------------------------------------------------------------------

    def befall(self, event: Event) -> None:
        """Move by the table, and say so if the status changed."""
        before = self.status
        self.status = TRANSITIONS.get((before, event), before)
        if self.status is Status.AVAILABLE and not self.is_operative:
            self.status = Status.UNAVAILABLE
        if self.status is not before:
            self.notify()

    def notify(self) -> None:
        """Send a StatusNotification (section 4.9), if there is somebody to tell."""
        if self._host.is_accepted:
            now_us = self._host.timers.now_us
            payload = status_payload(self.number, self.error_code, self.status, now_us)
            self._host.push(Outgoing("StatusNotification", payload))

    def set_operative(self, *, is_operative: bool) -> str:
        """ChangeAvailability (section 5.2): returns the AvailabilityStatus."""
        self.is_operative = is_operative
        self.befall(Event.ENABLE if is_operative else Event.DISABLE)
        busy = self.status not in {Status.AVAILABLE, Status.UNAVAILABLE}
        return "Scheduled" if busy and not is_operative else "Accepted"

    def unlock(self) -> str:
        """UnlockConnector (section 5.18): returns the UnlockStatus; ends a transaction."""
        self.stop("UnlockCommand")
        return "Unlocked"

    def _break(self) -> None:
        self.stop("Other")
        self.error_code = self._host.rng.choice(ERROR_CODES)
        self.befall(Event.BREAK)
        self._soon(self._mend, FAULT_S)

    def _mend(self) -> None:
        self.error_code = "NoError"
        self.outlet.unplug()
        self.befall(Event.MEND)
        self._driver_in(self._host.settings.pause_s)


def status_payload(connector_id: int, error_code: str, status: str, now_us: int) -> Payload:
    """A StatusNotification request (section 6.47)."""
    return {
        "connectorId": connector_id,
        "errorCode": error_code,
        "status": str(status),
        "timestamp": format_utc_ms(now_us),
    }


def aligned_us(now_us: int, interval_s: int) -> int:
    """The next multiple of the interval after `now_us` (ClockAlignedDataInterval, section 9.1.4)."""
    interval_us = interval_s * US_PER_S
    return (now_us // interval_us + 1) * interval_us


def _id_tag_status(answer: Payload) -> str:
    info = answer.get("idTagInfo")
    return str(info.get("status")) if isinstance(info, dict) else ""
