"""What differs between OCPP 1.6 and 2.x in what a simulated charger says, behind one small interface.

Used by `simulators.charger` and `simulators.connector`; spoken by `simulators.dialect_16` and
`simulators.dialect_2`. Pure: times, readings and ids are passed in, payloads come out.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from simulators.charger_queue import IdToken, Payload, Transaction
from simulators.meter_values import Sampled
from simulators.statuses import Status


class Message(NamedTuple):
    """A request: its action and its payload."""

    action: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened by the charger's own clock, and what its meter showed.

    `energy_wh`: its register. `is_offline`: there was no link then, so the message tells of the past when it
    goes out. `is_dated`: the clock was right.
    """

    at_us: int
    energy_wh: int
    values: Sequence[Sampled] = ()
    is_offline: bool = False
    is_dated: bool = True


@dataclass(frozen=True, slots=True)
class Said:
    """One message about a transaction, or a reading without one; what its acknowledgement proves.

    `is_start`, `stop_reason` (None: no stop): the session has begun, has ended. `has_values`: the moment's
    values have arrived. `fills_id`: the transaction's id is added when it goes out.
    """

    message: Message
    is_start: bool = False
    stop_reason: str | None = None
    has_values: bool = False
    fills_id: bool = False


class Dialect(Protocol):
    """One OCPP version's way to say it."""

    def measurands(self, wanted: Sequence[str]) -> Sequence[str]:
        """Those of `wanted` that this version has a word for."""

    def boot(self, identity: str, firmware: str, reason: str) -> Message:
        """BootNotification; `reason` is a BootReasonEnumType of 2.x."""

    def authorise(self, token: IdToken) -> Message:
        """Authorize."""

    def verdict(self, answer: Payload) -> str:
        """The AuthorizationStatus of an answer; empty if it says none and should."""

    def transaction_id(self, rng: random.Random, now_us: int) -> str | None:
        """The id of a new transaction; None, and no dice thrown, if the central system gives it."""

    def given_id(self, answer: Payload) -> int | None:
        """The transaction id that the answer to a start gives, None if it gives none."""

    def shows_same(self, before: Status, after: Status) -> bool:
        """Whether a change between these is none to this version."""

    def station_status(self, at_us: int) -> Message | None:
        """The status of the charger as a whole (connector 0), where that exists."""

    def status(self, connector_id: int, error_code: str, status: Status, at_us: int) -> Message:
        """StatusNotification."""

    def started(self, transaction: Transaction, moment: Moment) -> Sequence[Said]:
        """A transaction has begun."""

    def sampled(self, connector_id: int, transaction: Transaction | None, moment: Moment) -> Said:
        """The meter was read."""

    def state_changed(self, transaction: Transaction, status: Status, moment: Moment) -> Said | None:
        """Charging went on or paused."""

    def ended(self, transaction: Transaction, moment: Moment, reason: str) -> Sequence[Said]:
        """A transaction is over; `reason` is of 1.6 section 7.36."""

    def as_plain_values(self, message: Message) -> Message | None:
        """The readings of a message as a MeterValues that belongs to nothing; None if it has none."""
