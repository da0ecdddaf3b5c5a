"""One connector of a simulated charger: its status, its meter, and the drivers who come and go.

Used by `simulators.charger`, which gives it time, dice and a queue for its messages. What it says goes
through the charger's dialect; in 2.x it is an EVSE.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from simulators import meter_values
from simulators.charger_queue import IdToken, Outgoing, Payload, Transaction
from simulators.charger_settings import ChargerSettings, Configuration, Span
from simulators.dialect import Dialect, Message, Moment, Said
from simulators.faults import dirty_entries, happens
from simulators.local_list import LocalList
from simulators.meter_values import Sampled
from simulators.records import Counted, Record, SessionStarted, SessionStopped
from simulators.smart_charging import TX, ProfileError, Profiles, profile_of
from simulators.statuses import TRANSITIONS, Event, Status
from simulators.timers import US_PER_S, Timers
from simulators.vehicle import Outlet, Vehicle

AWAY_S: Span = (2.0, 6.0)  # from one deed of a driver to the next
FAULT_S: Span = (20.0, 60.0)
REMOTE_PLUG_S: Span = (1.0, 4.0)
REPEATS_MAX = 3
ERROR_CODES = ("GroundFailure", "OverCurrentFailure", "ConnectorLockFailure", "HighTemperature")


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants to charge. `profile`: the TxProfile that came with a remote start, as it came."""

    token: IdToken
    must_authorize: bool = True
    remote_start_id: int | None = None
    profile: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """For whom a connector is kept free, and until when (OCPP 1.6 section 3.12, 2.x block H)."""

    reservation_id: int
    tokens: frozenset[str]
    expires_us: int


class Host(Protocol):
    """The charger, as its connectors see it."""

    settings: ChargerSettings
    configuration: Configuration
    dialect: Dialect
    local_list: LocalList
    profiles: Profiles
    timers: Timers
    rng: random.Random
    is_closing: bool
    is_connected: bool
    is_clock_set: bool

    @property
    def is_accepted(self) -> bool:
        """Whether it is connected and its boot was accepted."""

    @property
    def has_room(self) -> bool:
        """Whether another sample may be queued."""

    @property
    def wall_us(self) -> int:
        """What its clock shows, microseconds since 1970 UTC."""

    def push(self, call: Outgoing, *, ahead_of_last: bool = False) -> None:
        """Queue a call."""

    def tell(self, message: Message) -> None:
        """Queue a call that nothing rests on."""

    def record(self, record: Record) -> None:
        """Say what was acknowledged."""

    def claim_session(self) -> bool:
        """Whether one more session may begin; counts it if so."""

    def status_changed(self, connector: "Connector") -> None:
        """A connector has another status."""

    def reservation_ended(self, reservation_id: int, why: str) -> None:
        """A reservation is over without a session: Expired or Removed."""


class Connector:
    """`number` is 1 and up. `status`, `transaction` and `error_code` are for the charger to read."""

    def __init__(self, host: Host, number: int) -> None:
        self.number = number
        self.status = Status.AVAILABLE
        self.error_code = "NoError"
        self.transaction: Transaction | None = None
        self.reservation: Reservation | None = None
        self.is_operative = True
        register_wh = host.settings.register_wh
        if register_wh is None:
            register_wh = host.rng.randrange(10_000, 5_000_000)
        self.outlet = Outlet(host.rng, host.timers.now_us, register_wh, host.settings.speed)
        self.outlet.limit_a = lambda at_us: host.profiles.limit_a(number, self.transaction, at_us)
        self._host = host
        self._wish = Wish(IdToken(""))
        self._reservation_id: int | None = None
        self._driver_in(host.settings.first_plug_s)

    # --- what a driver does -----------------------------------------------------------------------

    def _driver_in(self, span: Span) -> None:
        delay_s = self._host.rng.uniform(*span) / self._host.settings.speed
        self._host.timers.set(f"driver {self.number}", delay_s, self._arrive)

    def _arrive(self) -> None:
        host = self._host
        tags = self._welcome()
        if host.is_closing or not tags or not host.has_room:
            self._driver_in(host.settings.pause_s)
        elif host.claim_session():
            self._plug_in(Wish(IdToken(host.rng.choice(tags))))

    def _welcome(self) -> tuple[str, ...]:
        """The cards of those who may plug in now."""
        tags = self._host.settings.id_tags
        if self.status is Status.RESERVED and self.reservation is not None:
            return tuple(tag for tag in tags if tag in self.reservation.tokens)
        return tags if self.status is Status.AVAILABLE else ()

    def _plug_in(self, wish: Wish) -> None:
        rng = self._host.rng
        kept_free = self.reservation is not None and wish.token.text not in self.reservation.tokens
        if kept_free or self.status not in {Status.AVAILABLE, Status.RESERVED}:  # by what came meanwhile
            self._driver_in(self._host.settings.pause_s)
            return
        self._wish = wish
        self._reservation_id = None if self.reservation is None else self.reservation.reservation_id
        self._forget_reservation()
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
        host, wish = self._host, self._wish
        is_listed = host.configuration.is_true("LocalAuthListEnabled")
        known = host.local_list.status(wish.token.text) if is_listed else None
        may_ask = wish.must_authorize and host.is_accepted
        if known is not None and (not may_ask or host.configuration.is_true("LocalPreAuthorize")):
            self._judge(known)
        elif may_ask:
            # section 4.8: without an answer the charger trusts the card, and hears from StartTransaction
            message = host.dialect.authorise(wish.token)
            host.push(Outgoing(*message, self._authorized, self._start))
        else:
            self._start()

    def _authorized(self, answer: Payload) -> bool:
        self._judge(self._host.dialect.verdict(answer))
        return True

    def _judge(self, status: str) -> None:
        if status == "Accepted":
            self._start()
        else:
            self._host.record(Counted("authorize_refused"))
            self._soon(self._leave)

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

    def begin_remotely(self, wish: Wish) -> bool:
        """RemoteStartTransaction (section 5.11, F01 of 2.x): whether it will be tried."""
        kept_free = self.reservation is not None and wish.token.text not in self.reservation.tokens
        ready = {Status.AVAILABLE, Status.PREPARING, Status.RESERVED}
        if self.transaction is not None or kept_free or self.status not in ready:
            return False
        if self.status is Status.PREPARING:
            self._wish = wish
            self._soon(self._swipe, REMOTE_PLUG_S)
        else:
            self._soon(lambda: self._plug_in(wish), REMOTE_PLUG_S)
        return True

    def _start(self) -> None:
        host = self._host
        if self.status is not Status.PREPARING:
            return
        if host.is_closing:
            self._leave()
            return
        transaction = self._new_transaction()
        self.transaction = transaction
        self._take_profile(transaction)
        self.outlet.switch(on=True, now_us=host.timers.now_us)
        moment = self._moment(self._values("Transaction.Begin"))
        for said in host.dialect.started(transaction, moment):
            self._push(said, moment, transaction)
        self.befall(Event.START)
        self._sample_later()
        self._soon(self._leave, host.settings.session_s)
        if happens(host.settings.faults.broken_connector, host.rng):
            self._soon(self._break, (0.0, host.settings.session_s[0]))

    def _new_transaction(self) -> Transaction:
        host, wish = self._host, self._wish
        transaction = Transaction(
            self.number,
            wish.token,
            host.wall_us - host.wall_us % 1000,
            self.outlet.read(host.timers.now_us).energy_wh,
            reservation_id=self._reservation_id,
            remote_start_id=wish.remote_start_id,
        )
        transaction.transaction_id = host.dialect.transaction_id(host.rng, host.timers.now_us)
        if transaction.transaction_id is None and not host.is_connected:
            transaction.is_id_lost = happens(host.settings.faults.offline_id_lost, host.rng)
        return transaction

    def _take_profile(self, transaction: Transaction) -> None:
        if self._wish.profile is None:
            return
        now_us = self._host.timers.now_us
        try:
            self._host.profiles.put(profile_of(self._wish.profile, self.number, now_us, transaction))
        except ProfileError:
            self._host.record(Counted("charging_profiles_refused"))

    def _started(self, transaction: Transaction, answer: Payload) -> bool:
        host = self._host
        if transaction.transaction_id is None:
            transaction.transaction_id = host.dialect.given_id(answer)
        if transaction.transaction_id is None:
            return False
        host.record(
            SessionStarted(
                host.settings.identity,
                self.number,
                transaction.transaction_id,
                transaction.token.text,
                transaction.started_us,
                transaction.meter_start_wh,
            )
        )
        if host.dialect.verdict(answer) != "Accepted" and self.transaction is transaction:
            host.record(Counted("start_refused"))
            if host.configuration.is_true("StopTransactionOnInvalidId"):
                self.stop("DeAuthorized")
        return True

    def stop(self, reason: str) -> None:
        """End the transaction, if there is one, for that reason (section 7.36)."""
        host, transaction = self._host, self.transaction
        if transaction is None:
            return
        self.outlet.switch(on=False, now_us=host.timers.now_us)
        moment = self._moment(self._values("Transaction.End"))
        repeats = 0
        if happens(host.settings.faults.repeat_stop, host.rng):
            repeats = host.rng.randint(1, REPEATS_MAX)
        for said in host.dialect.ended(transaction, moment, reason):
            self._push(said, moment, transaction, repeats)
        self.transaction = None
        host.profiles.remove(lambda profile: profile.purpose == TX and profile.transaction is transaction)
        host.timers.cancel(f"sample {self.number}")
        self.befall(Event.STOP)
        self._soon(self._leave)

    # --- what is said, and what its acknowledgement proves ----------------------------------------

    def _push(
        self,
        said: Said,
        moment: Moment,
        transaction: Transaction | None,
        repeats: int = 0,
        *,
        ahead_of_last: bool = False,
    ) -> None:
        is_sample = said.has_values and not said.is_start and said.stop_reason is None
        if is_sample and not self._host.has_room:
            self._host.record(Counted("samples_held_back"))
            return

        def acknowledged(answer: Payload) -> bool:
            if said.has_values:
                self._record_values(moment)
            if said.is_start and transaction is not None:
                return self._started(transaction, answer)
            if said.stop_reason is not None and transaction is not None:
                self._record_stop(transaction, said.stop_reason, moment)
                if repeats:
                    # what was sent once stands in it: only the stop is said again
                    again = Said(said.message, stop_reason=said.stop_reason, fills_id=said.fills_id)
                    self._push(again, moment, transaction, repeats - 1)
            return True

        call = Outgoing(*said.message, acknowledged, is_kept=True, transaction=transaction)
        call.fills_id, call.is_sample = said.fills_id, is_sample
        self._host.push(call, ahead_of_last=ahead_of_last)

    def _record_values(self, moment: Moment) -> None:
        identity = self._host.settings.identity
        for row in meter_values.rows(identity, self.number, moment.at_us, moment.values):
            self._host.record(row if moment.is_dated else Counted("charger_values_undated"))

    def _record_stop(self, transaction: Transaction, reason: str, moment: Moment) -> None:
        assert transaction.transaction_id is not None
        identity, ended_us = self._host.settings.identity, moment.at_us - moment.at_us % 1000
        self._host.record(
            SessionStopped(identity, transaction.transaction_id, ended_us, moment.energy_wh, reason)
        )

    # --- metering ---------------------------------------------------------------------------------

    def sample(self, context: str) -> None:
        """Read the meter and queue a message of it; nothing where the queue has no room."""
        host, faults = self._host, self._host.settings.faults
        values, ahead = self._values(context), False
        if context in {"Sample.Periodic", "Sample.Clock"}:
            entries = [] if happens(faults.batch_missing, host.rng) else [values]
            values = next(iter(dirty_entries(entries, faults, host.rng)), [])
            values = meter_values.spoil(values, faults, host.rng)
            ahead = happens(faults.batch_out_of_order, host.rng)
        if values and not host.has_room:
            host.record(Counted("samples_held_back"))
        elif values:
            moment = self._moment(values)
            said = host.dialect.sampled(self.number, self.transaction, moment)
            self._push(said, moment, self.transaction, ahead_of_last=ahead)

    def _values(self, context: str) -> list[Sampled]:
        host = self._host
        reading = self.outlet.read(host.timers.now_us)
        is_idle = self.transaction is None
        wanted = (
            meter_values.IDLE_MEASURANDS if is_idle else host.configuration.words("MeterValuesSampledData")
        )
        return meter_values.sampled_values(reading, context, host.dialect.measurands(wanted))

    def _moment(self, values: list[Sampled] | None = None) -> Moment:
        host = self._host
        is_offline = not host.is_connected
        return Moment(host.wall_us, self.outlet.energy_wh, values or (), is_offline, host.is_clock_set)

    def _sample_later(self) -> None:
        interval_s = self._host.configuration.seconds("MeterValueSampleInterval")
        if interval_s:
            self._host.timers.set(f"sample {self.number}", interval_s, self._sample_now)

    def _sample_now(self) -> None:
        self.sample("Sample.Periodic")
        self.look()
        self._sample_later()

    def resample(self) -> None:
        """Take up a changed MeterValueSampleInterval."""
        if self.transaction is not None:
            self._host.timers.cancel(f"sample {self.number}")
            self._sample_later()

    # --- status -----------------------------------------------------------------------------------

    def look(self) -> None:
        """See whether the car is full, or a charging profile has stopped or freed it."""
        if self.transaction is None or not self._host.has_room:
            return
        vehicle, now_us = self.outlet.vehicle, self._host.timers.now_us
        if vehicle is not None and vehicle.is_full:
            event = Event.FULL
        else:
            event = Event.PAUSE if self.outlet.limit_a(now_us) <= 0 else Event.RESUME
        before = self.status
        self.befall(event)
        if self.status is not before:
            moment = self._moment()
            said = self._host.dialect.state_changed(self.transaction, self.status, moment)
            if said is not None:
                self._push(said, moment, self.transaction)

    def befall(self, event: Event) -> None:
        """Move by the table, and say so if the status changed."""
        before = self.status
        self.status = TRANSITIONS.get((before, event), before)
        if self.status is Status.AVAILABLE and not self.is_operative:
            self.status = Status.UNAVAILABLE
        if not self._host.dialect.shows_same(before, self.status):
            self.notify()
            self._host.status_changed(self)

    def notify(self) -> None:
        """Send a StatusNotification (section 4.9), if there is somebody to tell."""
        host = self._host
        if host.is_accepted:
            host.tell(host.dialect.status(self.number, self.error_code, self.status, host.wall_us))

    def set_operative(self, *, is_operative: bool) -> str:
        """ChangeAvailability (section 5.2): returns the AvailabilityStatus."""
        self.is_operative = is_operative
        if not is_operative:
            self.release("Removed")
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

    # --- reservations -----------------------------------------------------------------------------

    def reserve(self, reservation: Reservation) -> str:
        """ReserveNow (section 5.13, H01): returns the ReservationStatus."""
        is_same = self.reservation is not None and (
            self.reservation.reservation_id == reservation.reservation_id
        )
        if self.status is not Status.AVAILABLE and not is_same:
            refusals = {Status.FAULTED: "Faulted", Status.UNAVAILABLE: "Unavailable"}
            return refusals.get(self.status, "Occupied")
        self.reservation = reservation
        name = f"reservation {self.number}"
        self._host.timers.set_at(name, reservation.expires_us, lambda: self.release("Expired"))
        self.befall(Event.RESERVE)
        return "Accepted"

    def release(self, why: str | None) -> None:
        """End the reservation, if there is one; None: the central system cancelled it and knows."""
        reservation = self.reservation
        if reservation is None:
            return
        self._forget_reservation()
        self.befall(Event.RELEASE)
        if why is not None:
            self._host.reservation_ended(reservation.reservation_id, why)

    def _forget_reservation(self) -> None:
        self.reservation = None
        self._host.timers.cancel(f"reservation {self.number}")


def aligned_us(now_us: int, interval_s: int) -> int:
    """The next multiple of the interval after `now_us` (ClockAlignedDataInterval, section 9.1.4)."""
    interval_us = interval_s * US_PER_S
    return (now_us // interval_us + 1) * interval_us
