"""A charge point without I/O, of OCPP 1.6, 2.0.1 or 2.1: frames in, frames out; time and dice are passed in.

Used by `simulators.charger_client`, which gives it a socket, and by tests, which need none. The same seed,
times and answers give the same frames, byte for byte.
"""

import random
from dataclasses import dataclass
from functools import partial

import orjson

from protocols.ocpp.frames import Call, CallError, CallResult, FormationError, parse_frame, serialise_call
from protocols.ocpp.surface import Version
from protocols.timestamps import format_utc_ms
from simulators.certificates import Certificates
from simulators.charger_commands import obey
from simulators.charger_jobs import Jobs
from simulators.charger_queue import CallQueue, Outgoing, Payload
from simulators.charger_settings import ChargerSettings, Configuration
from simulators.connector import Connector, Wish, aligned_us
from simulators.device_model import DeviceModel
from simulators.dialect import Dialect, Message
from simulators.dialect_2 import Dialect2
from simulators.dialect_16 import Dialect16
from simulators.displays import Displays
from simulators.faults import NO_FAULTS, happens, misspelt
from simulators.local_list import LocalList
from simulators.meter_values import DEFAULT_MEASURANDS
from simulators.monitors import Monitors
from simulators.records import Counted, Record
from simulators.smart_charging import Profiles
from simulators.statuses import Status
from simulators.tariffs import Tariffs
from simulators.timers import US_PER_S, Timers

BOOT_RETRY_S = 30  # where the central system leaves the interval to the charger
RESET_S = 2.0
IDLE_RESET_POLL_S = 5.0
TIMEOUTS_MAX = 3  # in a row, before the link is given up for dead
CLOCK_UNSET_US = 2_128 * US_PER_S  # where a clock without a battery begins: 1970-01-01T00:35:28Z


@dataclass(frozen=True, slots=True)
class Outbound:
    """A frame to send; `action` is that of a CALL, empty for an answer.

    `samples`: the same readings as a message that belongs to nothing, of which wrong copies may be sent.
    """

    text: str
    action: str
    samples: str | None = None


class ChargePoint:
    """One charger. Tell it of time (`tick`), links (`connected`, `disconnected`) and frames (`receive`);
    then take `frames_to_send` and `take_records`, and close the link when `wants_close`.
    """

    def __init__(self, settings: ChargerSettings, rng: random.Random, now_us: int) -> None:
        self.settings = settings
        self.rng = rng
        self.timers = Timers(now_us)
        self.dialect: Dialect = Dialect2() if settings.version.is_2 else Dialect16()
        self.configuration = Configuration(settings, self.dialect.measurands(DEFAULT_MEASURANDS))
        self.is_closing = False
        self.is_connected = False
        self.wants_close = False
        self.sessions_begun = 0
        self.is_clock_set = not happens(settings.faults.clock_unset, rng)
        self._born_us = now_us
        self._boots = not happens(settings.faults.no_boot, rng)
        self._counts_ids = happens(settings.faults.ids_restart, rng)
        self._last_id = 0
        self.has_booted = False
        self._registration = ""
        self._boot_reason = "PowerUp"
        self._queue = CallQueue()
        self._frames: list[Outbound] = []
        self._records: list[Record] = []
        self._timeouts = 0
        self.local_list = LocalList()
        self.profiles = Profiles(settings.connectors)
        self.certificates = Certificates()
        self.displays = Displays()
        self.tariffs = Tariffs()
        self.jobs: Jobs = Jobs(self)
        self.connectors = {number: Connector(self, number) for number in range(1, settings.connectors + 1)}
        self.device_model = DeviceModel(self)
        self.monitors = Monitors(self)
        self._align_clock()

    # --- for the shell ----------------------------------------------------------------------------

    @property
    def next_due_us(self) -> int | None:
        """When `tick` has something to do, microseconds since 1970 UTC."""
        return self.timers.next_due_us

    @property
    def is_settled(self) -> bool:
        """Whether everything that had to be acknowledged is."""
        return self._queue.kept == 0

    @property
    def is_done(self) -> bool:
        """Whether it has had all its sessions and each is acknowledged."""
        wanted = self.settings.sessions_max
        if wanted is None or self.sessions_begun < wanted or not self.is_settled:
            return False
        at_rest = {Status.AVAILABLE, Status.RESERVED, Status.UNAVAILABLE}
        return all(connector.status in at_rest for connector in self.connectors.values())

    def tick(self, now_us: int) -> None:
        """Let time pass up to `now_us`."""
        self.timers.run_until(now_us)
        self._flush()

    def connected(self, now_us: int) -> None:
        """A WebSocket is open. A charger that has booted before goes on without another BootNotification."""
        self.tick(now_us)
        self.is_connected, self._timeouts, self._last_id = True, 0, 0
        if self._registration == "Accepted":
            self._registered()
        elif self._boots:
            self.boot(self._boot_reason)
        else:
            self._registration = "Accepted"
            self._registered()
        self._flush()

    def disconnected(self, now_us: int) -> None:
        """The WebSocket is gone; what it had not carried to an answer is sent again on the next."""
        self.tick(now_us)
        self.is_connected = self.wants_close = False
        self._frames.clear()
        for name in ("heartbeat", "answer", "boot"):
            self.timers.cancel(name)
        self._queue.link_lost()

    def receive(self, data: bytes, now_us: int) -> None:
        """A text message came in. One that is no frame is counted and otherwise ignored."""
        self.tick(now_us)
        try:
            frame = parse_frame(data)
        except FormationError:
            self.record(Counted("charger_frames_ignored"))
            return
        match frame:
            case Call() if frame.is_send:
                self.record(Counted("charger_frames_ignored"))  # 2.1 has none for a charger
            case Call():
                text, afterwards = obey(self, frame)
                self._frames.append(Outbound(text, ""))
                self.record(Counted(f"command_{frame.action}"))
                if afterwards is not None:
                    afterwards()
            case CallResult():
                self._result(frame)
            case CallError():
                self._error(frame)
        self._flush()

    def frames_to_send(self) -> list[Outbound]:
        """The frames that are due, in order; each is given once."""
        frames, self._frames = self._frames, []
        return frames

    def take_records(self) -> list[Record]:
        """What was acknowledged since the last call."""
        records, self._records = self._records, []
        return records

    def shut_down(self, now_us: int) -> None:
        """End all sessions and begin none; `is_settled` says when the last is acknowledged."""
        self.tick(now_us)
        self.is_closing = True
        for connector in self.connectors.values():
            connector.stop("Local")
        self._flush()

    # --- for connectors and commands --------------------------------------------------------------

    @property
    def version(self) -> Version:
        """What it speaks."""
        return self.settings.version

    @property
    def is_accepted(self) -> bool:
        """Whether it is connected and its boot was accepted."""
        return self.is_connected and self._registration == "Accepted"

    @property
    def is_charging(self) -> bool:
        """Whether a transaction runs."""
        return any(connector.transaction is not None for connector in self.connectors.values())

    @property
    def has_room(self) -> bool:
        """Whether another sample may be queued."""
        return self._queue.has_room

    @property
    def wall_us(self) -> int:
        """What its clock shows, microseconds since 1970 UTC."""
        now_us = self.timers.now_us
        return now_us if self.is_clock_set else CLOCK_UNSET_US + now_us - self._born_us

    def push(self, call: Outgoing, *, ahead_of_last: bool = False) -> None:
        """Queue a call."""
        self._queue.push(call, ahead_of_last=ahead_of_last)

    def tell(self, message: Message) -> None:
        """Queue a call that nothing rests on."""
        self.push(Outgoing(*message))

    def owes(self, transaction_id: str | None) -> bool:
        """Whether messages of that transaction, or of any if None, wait for their acknowledgement."""
        return self._queue.holds_of(transaction_id)

    def record(self, record: Record) -> None:
        """Keep for `take_records`."""
        self._records.append(record)

    def claim_session(self) -> bool:
        """Whether one more session may begin; counts it if so."""
        if self.settings.sessions_max is not None and self.sessions_begun >= self.settings.sessions_max:
            return False
        self.sessions_begun += 1
        return True

    def connector_of(self, transaction_id: int | str) -> Connector | None:
        """Where that transaction runs."""
        for connector in self.connectors.values():
            running = connector.transaction
            if running is not None and running.transaction_id == transaction_id:
                return connector
        return None

    def chosen(self, number: int | None) -> list[Connector]:
        """That connector; all for 0 and None."""
        return [connector for n, connector in self.connectors.items() if not number or n == number]

    def remote_start(self, wish: Wish, connector_id: int | None) -> Connector | None:
        """Where a session will be tried: on that connector or on the first that is free."""
        if self.is_closing:
            return None
        candidates = [c for n, c in self.connectors.items() if connector_id in {None, n}]
        return next((c for c in candidates if c.begin_remotely(wish)), None)

    def reset(self, kind: str, boot_reason: str = "RemoteReset") -> None:
        """Section 5.14, B11: end transactions, then restart; what is not acknowledged outlives it."""
        for connector in self.connectors.values():
            connector.stop(f"{kind}Reset")
        self._boot_reason = boot_reason
        self.timers.set("reset", RESET_S, self._restart)

    def reset_when_idle(self) -> None:
        """B12: restart as soon as nobody charges."""
        if self.is_charging:
            self.timers.set("reset", IDLE_RESET_POLL_S, self.reset_when_idle)
        else:
            self.reset("Soft", "ScheduledReset")

    def reconnect(self) -> None:
        """Close the link, to open it anew with what was changed."""
        self.wants_close = self.is_connected

    def configuration_changed(self) -> None:
        """Take up intervals that may be new."""
        if self.is_accepted:
            self._heartbeat_later()
        for connector in self.connectors.values():
            connector.resample()
        self._align_clock()

    def limits_changed(self) -> None:
        """Charging profiles came or went: pauses and resumes show at once."""
        for connector in self.connectors.values():
            connector.look()

    def meters_up_to_now(self) -> None:
        """Charge up to now by the profiles as they are, before they change."""
        for connector in self.connectors.values():
            connector.outlet.advance(self.timers.now_us)

    def status_changed(self, connector: Connector) -> None:
        """Tell those who watch."""
        self.monitors.status_changed(connector)

    def reservation_ended(self, reservation_id: int, why: str) -> None:
        """ReservationStatusUpdate (H04); 1.6 says it by the connector's status."""
        if self.version.is_2 and self.is_accepted:
            payload: Payload = {"reservationId": reservation_id, "reservationUpdateStatus": why}
            self.tell(Message("ReservationStatusUpdate", payload))

    def security_event(self, kind: str, info: str) -> None:
        """SecurityEventNotification (A04; whitepaper section 4.1 for 1.6)."""
        payload: Payload = {"type": kind, "timestamp": format_utc_ms(self.wall_us), "techInfo": info}
        self.tell(Message("SecurityEventNotification", payload))

    def sign_certificate(self) -> None:
        """SignCertificate (A02), with a request of a new key."""
        csr = self.certificates.request(self.settings.identity, self.configuration.value("CpoName"))
        kind: Payload = {"certificateType": "ChargingStationCertificate"} if self.version.is_2 else {}
        self.tell(Message("SignCertificate", {"csr": csr, **kind}))

    # --- boot, heartbeat, clock -------------------------------------------------------------------

    def boot(self, reason: str) -> None:
        """Send a BootNotification, if none is under way."""
        if not self._queue.holds("BootNotification"):
            message = self.dialect.boot(self.settings.identity, self.jobs.firmware, reason)
            again = partial(self._boot_later, BOOT_RETRY_S)
            self.push(Outgoing(*message, self._booted, again))

    def _booted(self, answer: Payload) -> bool:
        interval = answer.get("interval")
        interval_s = interval if isinstance(interval, int) and interval > 0 else 0
        self._registration = str(answer.get("status"))
        self.is_clock_set = True
        self.has_booted = self._registration == "Accepted"
        if self.has_booted:
            if interval_s:
                self.configuration.change("HeartbeatInterval", str(interval_s))
            self._registered()
        else:
            self._boot_later(interval_s or BOOT_RETRY_S)
        return True

    def _boot_later(self, delay_s: float) -> None:
        if self.is_connected:
            self.timers.set("boot", delay_s, partial(self.boot, self._boot_reason))

    def _registered(self) -> None:
        """Say how things stand (section 4.2, B01) and begin to beat."""
        self.say_status(None)
        self._heartbeat_later()

    def _heartbeat_later(self) -> None:
        interval_s = self.configuration.seconds("HeartbeatInterval")
        if interval_s:
            self.timers.set("heartbeat", interval_s, self.heartbeat)

    def heartbeat(self) -> None:
        """Send a Heartbeat, and others later."""
        if not self._queue.holds("Heartbeat"):
            self.push(Outgoing("Heartbeat", {}))
        self._heartbeat_later()

    def _align_clock(self) -> None:
        interval_s = self.configuration.seconds("ClockAlignedDataInterval")
        self.timers.cancel("clock")
        if interval_s:
            self.timers.set_at("clock", aligned_us(self.timers.now_us, interval_s), self._sample_all)

    def _sample_all(self) -> None:
        for connector in self.connectors.values():
            connector.sample("Sample.Clock")
        self._align_clock()

    def say_values(self, number: int | None) -> None:
        """Read those meters."""
        for connector in self.chosen(number):
            connector.sample("Trigger")

    def say_status(self, number: int | None) -> None:
        """StatusNotifications of those connectors."""
        station = None if number else self.dialect.station_status(self.wall_us)
        if station is not None:
            self.tell(station)
        for connector in self.chosen(number):
            connector.notify()

    def _restart(self) -> None:
        self._registration, self.has_booted = "", False
        self.wants_close = self.is_connected

    # --- calls and their answers ------------------------------------------------------------------

    def _flush(self) -> None:
        """Send the next call, if it may go now."""
        if not self.is_connected or self.wants_close:
            return
        only = None if self._registration == "Accepted" else "BootNotification"
        call = self._queue.take(self.timers.now_us, only=only)
        if call is not None:
            self._send(call)

    def _send(self, call: Outgoing) -> None:
        message_id = self._message_id()
        self._queue.sent(call, message_id)
        faults = self.settings.faults
        message = Message(call.action, misspelt(call.filled(), faults, self.rng))
        plain = None if faults is NO_FAULTS else self.dialect.as_plain_values(message)
        text = serialise_call(message_id, *message).decode()
        samples = None if plain is None else orjson.dumps([2, message_id, *plain]).decode()
        self._frames.append(Outbound(text, call.action, samples))
        self.timers.set("answer", self.settings.call_timeout_s, self._timed_out)
        self.record(Counted("charger_calls" if call.attempts == 1 else "charger_calls_repeated"))

    def _message_id(self) -> str:
        if self._counts_ids:
            self._last_id += 1
            return str(self._last_id)
        return f"{self.rng.getrandbits(64):016x}"

    def _result(self, frame: CallResult) -> None:
        call = self._queue.answered(frame.message_id)
        if call is None:
            self.record(Counted("charger_answers_ignored"))
            return
        self.timers.cancel("answer")
        self._timeouts = 0
        if call.on_result(frame.payload):
            self._queue.acknowledged(call)
        else:
            self._failed(call)

    def _error(self, frame: CallError) -> None:
        call = self._queue.answered(frame.message_id)
        self.record(Counted("charger_errors"))
        if call is not None:
            self.timers.cancel("answer")
            self._timeouts = 0
            self._failed(call)

    def _timed_out(self) -> None:
        call = self._queue.landed()
        if call is None:
            return
        self.record(Counted("charger_timeouts"))
        self._timeouts += 1
        self.wants_close = self._timeouts >= TIMEOUTS_MAX
        self._failed(call)

    def _failed(self, call: Outgoing) -> None:
        retry_s = self.configuration.seconds("TransactionMessageRetryInterval")
        self._queue.failed(call, self.timers.now_us, retry_s)
        if call.is_kept:
            self.timers.set_at("retry", self._queue.retry_at_us, lambda: None)
