"""What payload decoders return: measurements of one device, and their way into rows of `meter_samples`.

Used by the decoders of `protocols.payloads`, by `stream.codecs` (JavaScript codecs) and by `ingest.uplinks`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from protocols.quantities import CODES
from protocols.samples import DecodeError, Rows

TABLE = "meter_samples"
MEASUREMENTS_MAX = 10_000  # of one payload
CHANNEL_MAX = 32_767


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of one quantity (a name of `protocols.quantities`, in its unit) at one time.

    `ts_us`: microseconds since 1970 UTC; None is the time at which the network heard the device.
    `channel`: several like registers or sensors in one device; 0 where there is one.
    """

    quantity: str
    value: float
    ts_us: int | None = None
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Payload:
    """What a decoder is given: bytes, LoRaWAN's fPort (None elsewhere), when the network heard it.

    `options` are the device profile's; `key` is the device's secret for encrypted payloads (AES-128).
    """

    data: bytes
    heard_at_us: int
    port: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a payload said: `data` is all of it as JSON values, for people; `measurements` is what is stored.

    `identity`: the device that the payload names itself, where its protocol does (IMEI, serial).
    """

    data: Any
    measurements: tuple[Measurement, ...] = ()
    warnings: tuple[str, ...] = ()
    identity: str | None = None


def to_rows(measurements: Sequence[Measurement], heard_at_us: int) -> Rows | None:
    """Return rows of `meter_samples`; None where there is nothing to store.

    Of several values with the same time, quantity and channel the last one stands: they are one sample.
    Raises `DecodeError` for an unknown quantity, a channel that is none and a value that is not finite.
    """
    if len(measurements) > MEASUREMENTS_MAX:
        raise DecodeError(
            "too_many", "", f"{len(measurements)} values, at most {MEASUREMENTS_MAX} are stored"
        )
    found: dict[tuple[int, int, int], float] = {}
    for each in measurements:
        code = CODES.get(each.quantity)
        if code is None:
            raise DecodeError("quantity", each.quantity[:80], "is no quantity that is stored")
        if not 0 <= each.channel <= CHANNEL_MAX:
            raise DecodeError("channel", each.quantity, f"channel {each.channel} is not 0 to {CHANNEL_MAX}")
        if not math.isfinite(each.value):
            raise DecodeError("value", each.quantity, "is not a finite number")
        ts_us = heard_at_us if each.ts_us is None else each.ts_us
        found[ts_us, code, each.channel] = float(each.value)
    if not found:
        return None
    columns: dict[str, list[object]] = {
        "ts": [ts_us for ts_us, _, _ in found],
        "quantity": [code for _, code, _ in found],
        "channel": [channel for _, _, channel in found],
        "value": list(found.values()),
    }
    return Rows(TABLE, columns, len(found), len(found))
