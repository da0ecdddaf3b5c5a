"""Sampled values of MeterValues and of StopTransaction's transactionData, to rows of `charger_samples`.

Used by the gateway's actions. Every sample is decoded or refused on its own, so that one odd value does
not cost its neighbours: `decoded.rows.samples + len(decoded.refused)` is the number of samples received.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from protocols.samples import DecodeError, Rows
from protocols.timestamps import parse_timestamp
from protocols.vocabulary import CONTEXT_CODES, Kind, kind_of, to_si

TABLE = "charger_samples"
CONNECTOR_ID_MAX = 32_767
_TRANSACTION_ID_LIMIT = 2**63
# A bound on the memory for kinds seen: the vocabulary has more combinations than chargers use.
_KINDS_MAX = 4_096


class Refused(msgspec.Struct, frozen=True):
    """One sample that could not be decoded: why, and the sample as it came (JSON)."""

    error: DecodeError
    payload: bytes


class MeterValues(msgspec.Struct, frozen=True):
    """What a message held: the rows of its good samples, and its bad ones."""

    rows: Rows
    refused: tuple[Refused, ...]


class _Samples:
    """The samples of one message, in the making."""

    __slots__ = ("kinds", "refused", "times_us", "values")

    def __init__(self) -> None:
        self.times_us: list[int] = []
        self.kinds: list[Kind] = []
        self.values: list[float] = []
        self.refused: list[Refused] = []

    def refuse(self, error: DecodeError, sample: object) -> None:
        self.refused.append(Refused(error, orjson.dumps(sample)))


def decode_meter_values(payload: Mapping[str, object]) -> MeterValues:
    """A MeterValues request (OCPP 1.6 section 6.31), energies in Wh, powers in W (see `vocabulary.SI_UNITS`).

    Raises `DecodeError` if the message as a whole cannot be used: no connector, no list of meter values.
    """
    return decode_sampled(
        payload.get("meterValue"), payload.get("connectorId"), payload.get("transactionId"), "meterValue"
    )


def decode_sampled(
    meter_values: object, connector_id: object, transaction_id: object, field: str
) -> MeterValues:
    """A list of MeterValue (section 7.31) of one connector. A single object stands for a list of it."""
    if type(connector_id) is not int or not 0 <= connector_id <= CONNECTOR_ID_MAX:
        raise DecodeError(
            "connector_id", "connectorId", f"{connector_id!r:.40} is not 0 to {CONNECTOR_ID_MAX}"
        )
    if isinstance(meter_values, dict):
        meter_values = [meter_values]
    if not isinstance(meter_values, list):
        raise DecodeError("structure", field, "is not a list of meter values")
    samples = _Samples()
    for meter_value in meter_values:
        _decode_one(meter_value, samples)
    rows = _rows(samples, connector_id, _transaction(transaction_id))
    return MeterValues(rows, tuple(samples.refused))


def _transaction(value: object) -> int | None:
    """None also for what no transaction of ours can be: the sample counts all the same."""
    return value if type(value) is int and 0 < value < _TRANSACTION_ID_LIMIT else None


def _rows(samples: _Samples, connector_id: int, transaction_id: int | None) -> Rows:
    count, kinds = len(samples.values), samples.kinds
    columns: dict[str, Sequence[object]] = {
        "ts": samples.times_us,
        "connector_id": [connector_id] * count,
        "measurand": [kind.measurand for kind in kinds],
        "phase": [kind.phase for kind in kinds],
        "location": [kind.location for kind in kinds],
        "context": [kind.context for kind in kinds],
        "transaction_id": [transaction_id] * count,
        "value": samples.values,
    }
    return Rows(TABLE, columns, count, count)


def _decode_one(meter_value: object, samples: _Samples) -> None:
    if not isinstance(meter_value, dict):
        samples.refuse(DecodeError("structure", "meterValue", "is not an object"), meter_value)
        return
    try:
        ts_us = parse_timestamp(meter_value.get("timestamp"))
    except DecodeError as error:
        for sample in _sampled(meter_value):
            samples.refuse(error, sample)
        return
    for sample in _sampled(meter_value):
        try:
            kind = _kind(sample)
            samples.values.append(_value(sample, kind))
            samples.kinds.append(kind)
        except DecodeError as error:
            samples.refuse(error, sample)
    samples.times_us += [ts_us] * (len(samples.values) - len(samples.times_us))


def _sampled(meter_value: Mapping[str, object]) -> Iterator[object]:
    sampled = meter_value.get("sampledValue")
    return iter(sampled if isinstance(sampled, list) else () if sampled is None else (sampled,))


_kinds: dict[tuple[object, ...], Kind] = {}


def _kind(sample: Any) -> Kind:
    """What the sample is; `sample` may be anything."""
    if not isinstance(sample, dict):
        raise DecodeError("structure", "sampledValue", "is not an object")
    get = sample.get
    if get("format", "Raw") != "Raw":
        raise DecodeError("signed_data", "format", "signed data is not a number")
    words = (get("measurand"), get("unit"), get("phase"), get("location"), get("context"))
    try:
        kind = _kinds.get(words)
    except TypeError:  # a list or an object where a word should be
        kind = None
    return _new_kind(words) if kind is None else kind


def _value(sample: Any, kind: Kind) -> float:
    value = sample.get("value")
    if isinstance(value, str):
        return to_si(value, kind.scale)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return to_si(repr(value), kind.scale)  # against the schema, but plain
    raise DecodeError("value", "value", f"is {type(value).__name__}, not a text")


def _new_kind(words: tuple[object, ...]) -> Kind:
    """The kind of these words, remembered if all are the standard's own: strangers cannot fill the memory."""
    measurand, unit, phase, location, context = (
        word if word is None or isinstance(word, str) else repr(word)[:60] for word in words
    )
    kind = kind_of(measurand, unit, phase, location, context)
    if len(_kinds) < _KINDS_MAX and context in CONTEXT_CODES:
        _kinds[measurand, unit, phase, location, context] = kind
    return kind
