"""Sampled values of OCPP 2.0.1 and 2.1 (part 2, MeterValueType) to rows of `charger_samples`.

Used by the gateway's MeterValues and TransactionEvent of 2.x. Values are numbers with a power of ten beside
their unit; the rest is as in 1.6, whose decoder does the work. What 1.6 calls a connector is an EVSE here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from protocols.ocpp.meter_values import MeterValues, decode_sampled
from protocols.samples import Rows
from protocols.vocabulary import CONTEXT_CODES, MEASURAND_CODES

# Beyond it no power of ten is meant (2.0.1 part 2, UnitOfMeasureType).
MULTIPLIER_MAX = 30
SIGNED_MAX = 32  # signed values of one message that are kept

_REGISTER = MEASURAND_CODES["Energy.Active.Import.Register"]
_BEGIN, _END = CONTEXT_CODES["Transaction.Begin"], CONTEXT_CODES["Transaction.End"]


@dataclass(frozen=True, slots=True)
class Reading:
    """The charger's energy register at one time, in Wh; the flags say whether it is the transaction's own."""

    ts_us: int
    wh: int
    is_begin: bool
    is_end: bool


def decode_meter_values_2(meter_values: object, evse_id: object) -> MeterValues:
    """A list of MeterValueType of one EVSE (0: the charger's main meter), of no transaction yet.

    Raises `DecodeError` if the list as a whole cannot be used.
    """
    listed = [meter_values] if isinstance(meter_values, dict) else meter_values
    if isinstance(listed, list):
        listed = [_as_16(each) for each in listed]
    return decode_sampled(listed, evse_id, None, "meterValue")


def of_transaction(values: MeterValues, connector_id: int, transaction_id: int | None) -> MeterValues:
    """The same samples as those of a transaction, which was not known when they were decoded."""
    count = values.rows.count
    given: dict[str, Sequence[object]] = {
        "connector_id": [connector_id] * count,
        "transaction_id": [transaction_id] * count,
    }
    rows = replace(values.rows, columns={**values.rows.columns, **given})
    return MeterValues(rows, values.refused)


def register_readings(rows: Rows) -> tuple[Reading, ...]:
    """What the samples say of the energy register that is billed: no phase, at the outlet; in their order."""
    columns = rows.columns
    names = ("ts", "value", "measurand", "phase", "location", "context")
    return tuple(
        Reading(ts_us, round(value), context == _BEGIN, context == _END)
        for ts_us, value, measurand, phase, location, context in zip(
            *(columns[name] for name in names), strict=True
        )
        if measurand == _REGISTER and phase == 0 and location == 0
        if isinstance(ts_us, int) and isinstance(value, float)
    )


def signed_values(meter_values: object) -> list[dict[str, object]]:
    """The samples that carry a signature (SignedMeterValueType; in 1.6 the format SignedData), as they came,
    `SIGNED_MAX` at most.

    Their text is what a driver may have checked: it is kept, not decoded.
    """
    found = [
        {"timestamp": each.get("timestamp"), **sample}
        for each in (meter_values if isinstance(meter_values, list) else [meter_values])
        if isinstance(each, dict) and isinstance(each.get("sampledValue"), list)
        for sample in each["sampledValue"]
        if isinstance(sample, dict)
        and (sample.get("signedMeterValue") or sample.get("format") == "SignedData")
    ]
    return found[:SIGNED_MAX]


def _as_16(meter_value: object) -> object:
    if not isinstance(meter_value, dict):
        return meter_value
    sampled = meter_value.get("sampledValue")
    listed = sampled if isinstance(sampled, list) else [] if sampled is None else [sampled]
    return {**meter_value, "sampledValue": [_sample_as_16(each) for each in listed]}


def _sample_as_16(sample: object) -> object:
    """The unit as 1.6 writes it; what cannot be read is left for the decoder to refuse."""
    if not isinstance(sample, dict):
        return sample
    words = {name: word for name, word in sample.items() if name not in ("unitOfMeasure", "signedMeterValue")}
    measure = sample.get("unitOfMeasure")
    if not isinstance(measure, dict):
        return words
    if "unit" in measure:
        words["unit"] = measure["unit"]
    multiplier, value = measure.get("multiplier", 0), sample.get("value")
    if type(multiplier) is int and multiplier and isinstance(value, (int, float)):
        words["value"] = _scaled(value, multiplier)
    return words


def _scaled(value: float, multiplier: int) -> str:
    """The number with its point moved, exactly; one that nobody can mean is refused as no number."""
    if isinstance(value, bool) or abs(multiplier) > MULTIPLIER_MAX:
        return f"{value!r:.40} times ten to the {multiplier!r:.40}"
    return str(Decimal(repr(value)).scaleb(multiplier))
