"""Battery telemetry: JSON over MQTT to rows of `battery_samples`, and back.

Used by `ingest.mqtt.batteries` (decodes), by the simulated battery and by benchmarks (encode).
`docs/battery-telemetry.md` is the schema for people who build batteries.

A message is one sample, an array of samples, or `{"samples": [...]}`. The whole message is decoded in
one go; only where that fails is it split, so that one bad sample does not take its neighbours with it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec

from protocols.battery.errors import decode_error
from protocols.battery.flags import BIT
from protocols.samples import DecodeError, Rows
from protocols.timestamps import parse_timestamp

TABLE = "battery_samples"
SAMPLES_MAX = 1_000  # in one message
ELEMENTS_MAX = 512  # of one sample's temperatures or cell voltages
FLAG_NAMES_MAX = 64
MESSAGE_BYTES_MAX = 1_048_576

# Epoch seconds reach this in the year 5138, epoch milliseconds reached it in 1973.
_EPOCH_MS_MIN = 100_000_000_000
_EPOCH_MS_MAX = 253_402_300_799_999  # the end of the year 9999
_EpochInt = Annotated[int, msgspec.Meta(ge=0, le=_EPOCH_MS_MAX)]
_EpochFloat = Annotated[float, msgspec.Meta(ge=0, le=_EPOCH_MS_MAX)]
_REAL_MAX = 3.4028234663852886e38  # of a 32-bit float, as the table stores it
_Real = Annotated[float, msgspec.Meta(ge=-_REAL_MAX, le=_REAL_MAX)]
_Reals = Annotated[list[_Real], msgspec.Meta(max_length=ELEMENTS_MAX)]
_Int4 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_FlagNames = Annotated[list[str], msgspec.Meta(max_length=FLAG_NAMES_MAX)]


class Position(msgspec.Struct, frozen=True):
    """WGS 84, in degrees."""

    latitude_deg: float
    longitude_deg: float


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a battery measured at one time, as it stands in the JSON; unknown fields are ignored.

    `ts` is RFC 3339 text, or seconds or milliseconds since 1970 UTC; None is the time of arrival.
    `flags` is the bits of `protocols.battery.flags` or their names.
    """

    ts: _EpochInt | _EpochFloat | str | None = None
    voltage_v: _Real | None = None
    current_a: _Real | None = None
    soc_pct: _Real | None = None
    soh_pct: _Real | None = None
    cycles: _Int4 | None = None
    position: Position | None = None
    flags: _Int4 | _FlagNames | None = None
    temperatures_c: _Real | _Reals | None = None
    cell_voltages_v: _Reals | None = None


class _Message(Sample, frozen=True):
    samples: list[Sample] | None = None


class _Envelope(msgspec.Struct, frozen=True):
    samples: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one message held: `rows` is None where every sample in it was refused.

    `refused` has one error for each sample that could not be read; its field says which one it was.
    """

    rows: Rows | None
    refused: tuple[DecodeError, ...] = ()


_message_decoder = msgspec.json.Decoder(_Message)
_array_decoder = msgspec.json.Decoder(list[Sample])
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_raw_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_sample_decoder = msgspec.json.Decoder(Sample)
_encoder = msgspec.json.Encoder()
_Value = TypeVar("_Value")
_Quantities = dict[str, object]


def encode(samples: Sequence[Sample]) -> bytes:
    """The payload for `gridwire/batteries/<serial>/telemetry`: an object for one sample, else an array."""
    return _encoder.encode(samples[0] if len(samples) == 1 else samples)


def decode(payload: bytes, received_at_us: int) -> Decoded:
    """Read one message.

    A single sample that is wrong, and a message that cannot be split into samples, raise `DecodeError`.
    In an array, each wrong sample is in `refused` and the others are in `rows`.
    """
    if len(payload) > MESSAGE_BYTES_MAX:
        raise DecodeError("too_large", "", f"{len(payload)} bytes, at most {MESSAGE_BYTES_MAX} are read")
    if payload[:64].lstrip(b" \t\r\n")[:1] == b"[":
        return _decode_array(payload, received_at_us)
    return _decode_object(payload, received_at_us)


def to_rows(sample: Sample, received_at_us: int) -> Rows:
    """The one row of `sample`; raises `DecodeError` where it has no quantity."""
    return _rows([_row(sample, received_at_us, "")])


def _decode_object(payload: bytes, received_at_us: int) -> Decoded:
    try:
        message = _message_decoder.decode(payload)
    except (ValueError, RecursionError) as error:
        return _split_envelope(payload, received_at_us, decode_error(error))
    if message.samples is None:
        return Decoded(_rows([_row(message, received_at_us, "")]))
    return _collect(_checked(message.samples), received_at_us, "samples")


def _split_envelope(payload: bytes, received_at_us: int, whole: DecodeError) -> Decoded:
    """An object that did not decode as it stands: perhaps one of its `samples` is to blame."""
    if not whole.field.startswith("samples["):
        raise whole
    try:
        envelope = _envelope_decoder.decode(payload)
    except (ValueError, RecursionError) as error:
        raise decode_error(error) from None
    return _collect(_parsed(_checked(envelope.samples), "samples"), received_at_us, "samples")


def _decode_array(payload: bytes, received_at_us: int) -> Decoded:
    try:
        return _collect(_checked(_array_decoder.decode(payload)), received_at_us, "")
    except msgspec.ValidationError:
        pass  # split it below
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise decode_error(error) from None
    try:
        parts = _checked(_raw_array_decoder.decode(payload))
    except (msgspec.DecodeError, RecursionError) as error:
        raise decode_error(error) from None
    return _collect(_parsed(parts, ""), received_at_us, "")


def _checked(samples: Sequence[_Value]) -> Sequence[_Value]:
    if not 1 <= len(samples) <= SAMPLES_MAX:
        reason = "too_many" if samples else "empty"
        raise DecodeError(reason, "samples", f"{len(samples)} samples, 1 to {SAMPLES_MAX} are read")
    return samples


def _parsed(parts: Sequence[msgspec.Raw], array: str) -> Iterator[Sample | DecodeError]:
    for index, part in enumerate(parts):
        try:
            yield _sample_decoder.decode(part)
        except (ValueError, RecursionError) as error:
            yield decode_error(error, f"{array}[{index}]")


def _collect(samples: Iterable[Sample | DecodeError], received_at_us: int, array: str) -> Decoded:
    """Rows of the good samples, errors of the others; only one of them may go without a time."""
    rows: list[_Quantities] = []
    refused: list[DecodeError] = []
    has_arrival = False
    for index, sample in enumerate(samples):
        where = f"{array}[{index}]"
        try:
            if isinstance(sample, DecodeError):
                raise sample
            if sample.ts is None and has_arrival:
                message = "a second sample without a time would overwrite the first"
                raise DecodeError("timestamp", _path(where, "ts"), message)
            rows.append(_row(sample, received_at_us, where))
            has_arrival = has_arrival or sample.ts is None
        except DecodeError as error:
            refused.append(error)
    return Decoded(_rows(rows) if rows else None, tuple(refused))


def _row(sample: Sample, received_at_us: int, where: str) -> _Quantities:
    """The columns of one sample that have a value; `DecodeError` for a time, flag or sample that is none."""
    row: _Quantities = {
        "voltage_v": sample.voltage_v,
        "current_a": sample.current_a,
        "soc_pct": sample.soc_pct,
        "soh_pct": sample.soh_pct,
        "cycles": sample.cycles,
        "flags": _flags(sample.flags, where),
        "temperatures_c": _items(sample.temperatures_c),
        "cell_voltages_v": sample.cell_voltages_v or None,
    }
    if sample.position is not None:
        row["latitude_deg"] = sample.position.latitude_deg
        row["longitude_deg"] = sample.position.longitude_deg
    row = {name: value for name, value in row.items() if value is not None}
    if not row:
        raise DecodeError("empty", where, "a sample needs at least one quantity beside its time")
    row["ts"] = received_at_us if sample.ts is None else _timestamp_us(sample.ts, where)
    return row


def _rows(rows: list[_Quantities]) -> Rows:
    """Turn rows into columns, leaving out those that no row has."""
    if len(rows) == 1:
        columns: dict[str, list[object]] = {name: [value] for name, value in rows[0].items()}
    else:
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name) for row in rows] for name in names}
    return Rows(TABLE, columns, len(rows), sum(map(_sample_count, rows)))


def _sample_count(row: _Quantities) -> int:
    """Values of quantities in a row: each item of an array is one, `ts` is none."""
    return sum(len(value) if isinstance(value, list) else 1 for value in row.values()) - 1


def _items(value: float | list[float] | None) -> list[float] | None:
    if isinstance(value, float):
        return [value]
    return value or None  # an empty array holds no sample


def _flags(value: int | list[str] | None, where: str) -> int | None:
    if not isinstance(value, list):
        return value
    bits = 0
    for name in value:
        if name not in BIT:
            message = f"{name[:40]!r} is none of {', '.join(BIT)}"
            raise DecodeError("invalid", _path(where, "flags"), message)
        bits |= 1 << BIT[name]
    return bits


def _timestamp_us(ts: int | float | str, where: str) -> int:
    if not isinstance(ts, str):
        return round(ts * (1_000_000 if ts < _EPOCH_MS_MIN else 1_000))
    return parse_timestamp(ts, _path(where, "ts"))


def _path(where: str, field: str) -> str:
    return f"{where}.{field}" if where else field
