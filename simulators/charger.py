"""An OCPP 1.6 charge point without I/O: frames in, frames out; time and dice are passed in.

Used by `simulators.charger_client`, which gives it a socket, and by tests, which need none. The same seed,
times and answers give the same frames, byte for byte.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from protocols.ocpp.frames import Call, CallError, CallResult, FormationError, parse_frame, serialise_call
from simulators.charger_commands import obey
from simulators.charger_queue import CallQueue, Outgoing, Payload
from simulators.charger_settings import VENDOR, ChargerSettings, Configuration
from simulators.connector import Connector, Status, aligned_us, status_payload
from simulators.records import Counted, Record
from simulators.timers import Timers

BOOT_RETRY_S = 30  # where the central system leaves the interval to the charger
RESET_S = 2.0
TIMEOUTS_MAX = 3  # in a row, before the link is given up for dead


@dataclass(frozen=True, slots=True)
class Outbound:
    """A frame to send; `action` is that of a CALL, empty for an answer."""

    text: str
    action: str


class ChargePoint:
    """One charger. Tell it of time (`tick`), links (`connected`, `disconnected`) and frames (`receive`);
    then take `frames_to_send` and `take_records`, and close the link when `wants_close`.
    """

    def __init__(self, settings: ChargerSettings, rng: random.Random, now_us: int) -> None:
        self.settings = settings
        self.rng = rng
        self.timers = Timers(now_us)
        self.configuration = Configuration(settings)
        self.is_closing = False
        self.is_connected = False
        self.wants_close = False
        self.sessions_begun = 0
        self._registration = ""
        self._queue = CallQueue()
        self._frames: list[Outbound] = []
        self._records: list[Record] = []
        self._timeouts = 0
        self.connectors = {number: Connector(self, number) for number in range(1, settings.connectors + 1)}
        self.triggers: Mapping[str, Callable[[int | None], None]] = {
            "BootNotification": lambda _number: self._boot(),
            "Heartbeat": lambda _number: self._heartbeat(),
            "MeterValues": self._trigger_values,
            "StatusNotification": self._trigger_status,
        }
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
        at_rest = {Status.AVAILABLE, Status.UNAVAILABLE}
        return all(connector.status in at_rest for connector in self.connectors.values())

    def tick(self, now_us: int) -> None:
        """Let time pass up to `now_us`."""
        self.timers.run_until(now_us)
        self._flush()

    def connected(self, now_us: int) -> None:
        """A WebSocket is open. A charger that has booted before goes on without another BootNotification."""
        self.tick(now_us)
        self.is_connected, self._timeouts = True, 0
        if self._registration == "Accepted":
            self._registered()
        else:
            self._boot()
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
    def is_accepted(self) -> bool:
        """Whether it is connected and its boot was accepted."""
        return self.is_connected and self._registration == "Accepted"

    @property
    def has_room(self) -> bool:
        """Whether another sample may be queued."""
        return self._queue.has_room

    def push(self, call: Outgoing, *, ahead_of_last: bool = False) -> None:
        """Queue a call."""
        self._queue.push(call, ahead_of_last=ahead_of_last)

    def record(self, record: Record) -> None:
        """Keep for `take_records`."""
        self._records.append(record)

    def claim_session(self) -> bool:
        """Whether one more session may begin; counts it if so."""
        if self.settings.sessions_max is not None and self.sessions_begun >= self.settings.sessions_max:
            return False
        self.sessions_begun += 1
        return True

    def connector_of(self, transaction_id: int) -> Connector | None:
        """Where that transaction runs."""
        for connector in self.connectors.values():
            running = connector.transaction
            if running is not None and running.transaction_id == transaction_id:
                return connector
        return None

    def remote_start(self, id_tag: str, connector_id: int | None) -> bool:
        """Whether a session will be tried, on that connector or on the first that is free."""
        if self.is_closing:
            return False
        must_authorize = self.configuration.is_true("AuthorizeRemoteTxRequests")
        candidates = [c for n, c in self.connectors.items() if connector_id in {None, n}]
        return any(c.begin_remotely(id_tag, must_authorize=must_authorize) for c in candidates)

    def reset(self, kind: str) -> None:
        """Section 5.14: end transactions, then restart; what is not acknowledged outlives it."""
        for connector in self.connectors.values():
            connector.stop(f"{kind}Reset")
        self.timers.set("reset", RESET_S, self._restart)

    def configuration_changed(self) -> None:
        """Take up intervals that may be new."""
        if self.is_accepted:
            self._heartbeat_later()
        for connector in self.connectors.values():
            connector.resample()
        self._align_clock()

    # --- boot, heartbeat, clock -------------------------------------------------------------------

    def _boot(self) -> None:
        identity = self.settings.identity
        payload: Payload = {
            "chargePointVendor": VENDOR,
            "chargePointModel": "Simulator 22",
            "chargePointSerialNumber": identity[:25],
            "firmwareVersion": "1.0.0",
        }
        if not self._queue.holds("BootNotification"):
            again = partial(self._boot_later, BOOT_RETRY_S)
            self.push(Outgoing("BootNotification", payload, self._booted, again))

    def _booted(self, answer: Payload) -> bool:
        interval = answer.get("interval")
        interval_s = interval if isinstance(interval, int) and interval > 0 else 0
        self._registration = str(answer.get("status"))
        if self._registration == "Accepted":
            if interval_s:
                self.configuration.change("HeartbeatInterval", str(interval_s))
            self._registered()
        else:
            self._boot_later(interval_s or BOOT_RETRY_S)
        return True

    def _boot_later(self, delay_s: float) -> None:
        if self.is_connected:
            self.timers.set("boot", delay_s, self._boot)

    def _registered(self) -> None:
        """Say how things stand (section 4.2) and begin to beat."""
        self._trigger_status(None)
        self._heartbeat_later()

    def _heartbeat_later(self) -> None:
        interval_s = self.configuration.seconds("HeartbeatInterval")
        if interval_s:
            self.timers.set("heartbeat", interval_s, self._heartbeat)

    def _heartbeat(self) -> None:
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

    def _trigger_values(self, number: int | None) -> None:
        for connector in self._chosen(number):
            connector.sample("Trigger")

    def _trigger_status(self, number: int | None) -> None:
        if not number:
            self.push(
                Outgoing("StatusNotification", status_payload(0, "NoError", "Available", self.timers.now_us))
            )
        for connector in self._chosen(number):
            connector.notify()

    def _chosen(self, number: int | None) -> list[Connector]:
        return [connector for n, connector in self.connectors.items() if not number or n == number]

    def _restart(self) -> None:
        self._registration = ""
        self.wants_close = self.is_connected

    # --- calls and their answers ------------------------------------------------------------------

    def _flush(self) -> None:
        """Send the next call, if it may go now."""
        if not self.is_connected or self.wants_close:
            return
        only = None if self._registration == "Accepted" else "BootNotification"
        call = self._queue.take(self.timers.now_us, only=only)
        if call is not None:
            message_id = f"{self.rng.getrandbits(64):016x}"
            self._queue.sent(call, message_id)
            text = serialise_call(message_id, call.action, call.filled()).decode()
            self._frames.append(Outbound(text, call.action))
            self.timers.set("answer", self.settings.call_timeout_s, self._timed_out)
            self.record(Counted("charger_calls" if call.attempts == 1 else "charger_calls_repeated"))

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
