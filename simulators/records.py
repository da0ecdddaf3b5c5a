"""What a simulated device knows to be acknowledged, as plain values.

Made by the device models when CALLRESULT or PUBACK arrives, kept by `simulators.ledger`. Times are
microseconds since 1970 UTC, whole milliseconds as they went over the wire.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChargerRow:
    """One sampled value of an acknowledged message, words as OCPP 1.6 means them (section 7.43).

    `connector_id` is the EVSE's id where the charger speaks 2.x: ours have one connector each. `value` is
    in the unit that the charger sends: Wh, W, A, V, °C, percent.
    """

    identity: str
    connector_id: int
    ts_us: int
    measurand: str
    phase: str
    location: str
    context: str
    value: float


@dataclass(frozen=True, slots=True)
class BatteryRow:
    """One acknowledged telemetry sample.

    `samples` counts its values (each item of an array is one, a position two), `payload_kind` says
    whether it travelled as a `single` object or in an `array`, `sample` is its JSON.
    """

    serial: str
    ts_us: int
    samples: int
    payload_kind: str
    sample: bytes


@dataclass(frozen=True, slots=True)
class MeterRow:
    """One acknowledged reading of a meter.

    `value` is the register as the platform stores it, in the unit of `quantity`. `register_milli` and
    `consumed_milli`: the register, and all that ever ran through this meter whatever became of its register,
    in mWh or ml.
    """

    identity: str
    ts_us: int
    quantity: str
    value: float
    register_milli: int
    consumed_milli: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """An acknowledged start: StartTransaction, or a TransactionEvent Started of 2.x.

    `transaction_id` is a number that the platform gave (1.6), or a text of the charger's own (2.x).
    """

    identity: str
    connector_id: int
    transaction_id: int | str
    id_tag: str
    started_us: int
    meter_start_wh: int


@dataclass(frozen=True, slots=True)
class SessionStopped:
    """An acknowledged stop, StopTransaction or Ended; one repeated is acknowledged more than once."""

    identity: str
    transaction_id: int | str
    ended_us: int
    meter_stop_wh: int
    reason: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Something worth a total: `name` happened `times` more."""

    name: str
    times: int = 1


Record = ChargerRow | BatteryRow | MeterRow | SessionStarted | SessionStopped | Counted
Recorder = Callable[[Sequence[Record]], Awaitable[None]]
Clock = Callable[[], int]
