"""Sampled values of MeterValues and of StopTransaction's transactionData, to rows of `charger_samples`.

Used by the gateway's actions. Every sample is decoded or refused on its own, so that one odd value does
not cost its neighbours: `decoded.rows.samples + len(decoded.refused)` is the number of samples received.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from protocols.samples import DecodeError, Rows
from protocols.timestamps import parse_timestamp
from protocols.vocabulary import CONTEXT_CODES, Kind, kind_of, to_si

TABLE = "charger_samples"
CONNECTOR_ID_MAX = 32_767
_TRANSACTION_ID_LIMIT = 2**63
# A bound on the memory for kinds seen: the vocabulary has more combinations than chargers use.
_KINDS_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Refused:
    """One sample that could not be decoded: why, and the sample as it came (JSON)."""

    error: DecodeError
    payload: bytes


@dataclass(frozen=True, slots=True)
class MeterValues:
    """What a message held: the rows of its good samples, and its bad ones."""

    rows: Rows
    refused: tuple[Refused, ...]


class _Columns:
    """Columns in the making; one per payload."""

    __slots__ = ("context", "location", "measurand", "phase", "refused", "ts", "value")

    def __init__(self) -> None:
        self.ts: list[int] = []
        self.measurand: list[int] = []
        self.phase: list[int] = []
        self.location: list[int] = []
        self.context: list[int] = []
        self.value: list[float] = []
        self.refused: list[Refused] = []

    def add(self, ts_us: int, kind: Kind, value: float) -> None:
        self.ts.append(ts_us)
        self.measurand.append(kind.measurand)
        self.phase.append(kind.phase)
        self.location.append(kind.location)
        self.context.append(kind.context)
        self.value.append(value)

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
    columns = _Columns()
    for meter_value in meter_values:
        _decode_one(meter_value, columns)
    return MeterValues(_rows(columns, connector_id, _transaction(transaction_id)), tuple(columns.refused))


def _transaction(value: object) -> int | None:
    """None also for what no transaction of ours can be: the sample counts all the same."""
    return value if type(value) is int and 0 < value < _TRANSACTION_ID_LIMIT else None


def _rows(columns: _Columns, connector_id: int, transaction_id: int | None) -> Rows:
    count = len(columns.ts)
    by_name: dict[str, Sequence[object]] = {
        "ts": columns.ts,
        "connector_id": [connector_id] * count,
        "measurand": columns.measurand,
        "phase": columns.phase,
        "location": columns.location,
        "context": columns.context,
        "transaction_id": [transaction_id] * count,
        "value": columns.value,
    }
    return Rows(TABLE, by_name, count, count)


def _decode_one(meter_value: object, columns: _Columns) -> None:
    if not isinstance(meter_value, dict):
        columns.refuse(DecodeError("structure", "meterValue", "is not an object"), meter_value)
        return
    try:
        ts_us = parse_timestamp(meter_value.get("timestamp"))
    except DecodeError as error:
        for sample in _samples(meter_value):
            columns.refuse(error, sample)
        return
    for sample in _samples(meter_value):
        try:
            columns.add(ts_us, *_decode_sample(sample))
        except DecodeError as error:
            columns.refuse(error, sample)


def _samples(meter_value: Mapping[str, object]) -> Iterator[object]:
    sampled = meter_value.get("sampledValue")
    return iter(sampled if isinstance(sampled, list) else () if sampled is None else (sampled,))


_kinds: dict[tuple[object, ...], Kind] = {}


def _decode_sample(sample: object) -> tuple[Kind, float]:
    if not isinstance(sample, dict):
        raise DecodeError("structure", "sampledValue", "is not an object")
    if sample.get("format", "Raw") != "Raw":
        raise DecodeError("signed_data", "format", "signed data is not a number")
    get = sample.get
    words = (get("measurand"), get("unit"), get("phase"), get("location"), get("context"))
    try:
        kind = _kinds.get(words)
    except TypeError:  # a list or an object where a word should be
        kind = None
    if kind is None:
        kind = _new_kind(words)
    value = get("value")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = repr(value)  # against the schema, but plain
    if not isinstance(value, str):
        raise DecodeError("value", "value", f"is {type(value).__name__}, not a text")
    return kind, to_si(value, kind.scale)


def _new_kind(words: tuple[object, ...]) -> Kind:
    """The kind of these words, remembered if all are the standard's own: strangers cannot fill the memory."""
    measurand, unit, phase, location, context = (
        word if word is None or isinstance(word, str) else repr(word)[:60] for word in words
    )
    kind = kind_of(measurand, unit, phase, location, context)
    if len(_kinds) < _KINDS_MAX and context in CONTEXT_CODES:
        _kinds[measurand, unit, phase, location, context] = kind
    return kind
