"""Repairs of sampled values, in one pass however many there are; used by `normalise`.

The form is mended here, and what is odd is tagged. Whether a sample is one is for its decoder to say: it
refuses each on its own.
"""

from collections.abc import Mapping
from typing import Any

from protocols.ocpp.quirks.registry import Behaviour
from protocols.ocpp.quirks.repairs import mend_time, mend_type, mend_word
from protocols.ocpp.surface import Version
from protocols.vocabulary import CONTEXTS, LOCATIONS, MEASURANDS, PHASES

Tags = dict[str, None]

# OCPP 1.6 edition 2 section 7.45, with the Hertz of its errata and the misspelt Celcius.
_UNITS = frozenset(
    {"Wh", "kWh", "varh", "kvarh", "W", "kW", "VA", "kVA", "var", "kvar", "A", "V"}
    | {"Celsius", "Celcius", "Fahrenheit", "K", "Percent", "Hertz"}
)
_WORDS = {
    "measurand": (MEASURANDS, "measurand_unknown"),
    "phase": (tuple(filter(None, PHASES)), "phase_unknown"),
    "location": (LOCATIONS, "location_unknown"),
    "context": (CONTEXTS, "context_unknown"),
}


def mend_sampled(
    meter_values: object, version: Version, behaviour: Behaviour, received_at_us: int, tags: Tags
) -> object:
    """A list of MeterValue in form (OCPP 1.6 section 7.31, 2.0.1 part 2 section 2.27); fills `tags`."""
    if isinstance(meter_values, dict):
        tags["meter_value_not_list"] = None
        meter_values = [meter_values]
    if not isinstance(meter_values, list):
        return meter_values
    return [_meter_value(entry, version, behaviour, received_at_us, tags) for entry in meter_values]


def _meter_value(
    entry: object, version: Version, behaviour: Behaviour, received_at_us: int, tags: Tags
) -> object:
    if not isinstance(entry, dict):
        tags["meter_value_not_object"] = None
        return entry
    time = mend_time(entry.get("timestamp"), behaviour, received_at_us)
    if time.tag:
        tags[time.tag] = None
    sampled = entry.get("sampledValue")
    if isinstance(sampled, dict):
        tags["sampled_value_not_list"] = None
        sampled = [sampled]
    if not sampled:
        tags["empty_sampled_value"] = None
    if not isinstance(sampled, list):
        return {**entry, "timestamp": time.value}
    mend = _sample_2 if version.is_2 else _sample_16
    samples = [mend(sample, tags) if isinstance(sample, dict) else sample for sample in sampled]
    return {**entry, "timestamp": time.value, "sampledValue": samples}


def _sample_16(sample: Mapping[str, Any], tags: Tags) -> dict[str, Any]:
    mended = _with_words(sample, tags)
    value, unit = mended.get("value"), mended.get("unit")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        tags["text_as_number"] = None
        mended["value"] = repr(value)
    elif value == "":
        tags["empty_value"] = None
    if unit is not None and (not isinstance(unit, str) or unit not in _UNITS):
        tags["unit_unknown"] = None
    return mended


def _sample_2(sample: Mapping[str, Any], tags: Tags) -> dict[str, Any]:
    mended = _with_words(sample, tags)
    number = mend_type(mended.get("value"), ("number",), "value", is_told=True)
    if number is not None and isinstance(number.value, float):
        tags[number.tag] = None
        mended["value"] = number.value
    if isinstance(mended.get("unit"), str) and "unitOfMeasure" not in mended:
        tags["v16_shape_on_201"] = None
        mended["unitOfMeasure"] = {"unit": mended.pop("unit")}
    return mended


def _with_words(sample: Mapping[str, Any], tags: Tags) -> dict[str, Any]:
    """Words in their own spelling; an unknown one stays as it is, for it is the decoder's to judge."""
    mended = {name: value for name, value in sample.items() if value is not None}
    if len(mended) < len(sample):
        tags["null_field"] = None
    for name, (words, unknown) in _WORDS.items():
        value = mended.get(name)
        if value is None or (isinstance(value, str) and value in words):
            continue
        word = mend_word(value, words, name, may_reword=False)
        tags[unknown if word is None else word.tag] = None
        if word is not None:
            mended[name] = word.value
    return mended
