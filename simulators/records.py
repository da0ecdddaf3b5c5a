"""What a simulated device knows to be acknowledged, as plain values.

Made by the device models when CALLRESULT or PUBACK arrives, kept by `simulators.ledger`. Times are
microseconds since 1970 UTC, whole milliseconds as they went over the wire.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChargerRow:
    """One sampled value of an acknowledged MeterValues, words as OCPP 1.6 means them (7.43).

    `value` is in the unit that the charger sends: Wh, W, A, V, °C, percent.
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
class SessionStarted:
    """An acknowledged StartTransaction."""

    identity: str
    connector_id: int
    transaction_id: int
    id_tag: str
    started_us: int
    meter_start_wh: int


@dataclass(frozen=True, slots=True)
class SessionStopped:
    """An acknowledged StopTransaction; one that was repeated is acknowledged more than once."""

    identity: str
    transaction_id: int
    ended_us: int
    meter_stop_wh: int
    reason: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Something worth a total: `name` happened `times` more."""

    name: str
    times: int = 1


Record = ChargerRow | BatteryRow | SessionStarted | SessionStopped | Counted
Recorder = Callable[[Sequence[Record]], Awaitable[None]]
Clock = Callable[[], int]
