"""Repairs of single values, each a pure function; used by `protocols.ocpp.quirks.normalise`.

Each returns `Mended` (the new value and the tag that is counted) or None where nothing certain can be done.
"""

import re
from collections.abc import Iterable
from math import isfinite
from typing import NamedTuple

from protocols.ocpp.quirks.registry import Behaviour
from protocols.samples import DecodeError
from protocols.timestamps import US_PER_SECOND, is_rfc3339, parse_timestamp, to_datetime

INT8_MAX = 2**63 - 1
# What a transaction id becomes that cannot be read: the one that says "not known" in the field.
NO_TRANSACTION_ID = -1

_INTEGER = re.compile(r"\s*[+-]?\d{1,18}\s*", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?\s*", re.ASCII)
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_QUARTER_US = 900 * US_PER_SECOND
_ZONE_US_MAX = 14 * 3600 * US_PER_SECOND
_NEAR_US = 120 * US_PER_SECOND
_HAS_ZONE = re.compile(r"(?:[Zz]|[+-]\d\d:?(?:\d\d)?)\s*$", re.ASCII)


class Mended(NamedTuple):
    """A value that fits, and what it took."""

    value: object
    tag: str


class Drop:
    """In place of a value: the field is better left out."""


DROP = Drop()


# --- types -------------------------------------------------------------------------------------


def mend_type(value: object, types: Iterable[str], field: str, *, is_told: bool) -> Mended | None:
    """A value of one of the JSON types in `types`. `is_told`: the message only tells, it decides nothing."""
    if value is None:
        return Mended(DROP, "null_field")
    for name in types:
        mended = _TO_TYPE[name](value, field, is_told) if name in _TO_TYPE else None
        if mended is not None:
            return mended
    return None


def _to_integer(value: object, field: str, is_told: bool) -> Mended | None:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return Mended(int(value), "number_as_text")
    if isinstance(value, str) and is_told and _NUMBER.fullmatch(value):
        number = float(value)
        tag = "number_as_text"
    elif isinstance(value, float):
        number = value
        tag = "integer_as_float" if value.is_integer() else "integer_with_fraction"
    else:
        return None
    if not isfinite(number) or abs(number) >= INT8_MAX:
        return None
    if number.is_integer():
        return Mended(int(number), tag)
    # half a watt-hour may be rounded, half an id may not
    return Mended(round(number), tag) if is_told and not field.endswith("Id") else None


def _to_number(value: object, _field: str, _is_told: bool) -> Mended | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value) and isfinite(float(value)):
        return Mended(float(value), "number_as_text")
    return None


def _to_text(value: object, _field: str, is_told: bool) -> Mended | None:
    """Not where it decides: a token that was written as a number may have lost its leading zeros."""
    if is_told and isinstance(value, (int, float)):
        return Mended(str(value).lower(), "text_as_number")
    return None


def _to_boolean(value: object, _field: str, _is_told: bool) -> Mended | None:
    known = _BOOLEANS.get(str(value).strip().lower()) if isinstance(value, (str, int)) else None
    return None if known is None else Mended(known, "boolean_as_text")


def _to_array(value: object, field: str, _is_told: bool) -> Mended | None:
    return Mended([value], "object_for_list") if isinstance(value, dict) else None


def _to_object(value: object, _field: str, _is_told: bool) -> Mended | None:
    is_alone = isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict)
    return Mended(value[0], "list_for_object") if isinstance(value, list) and is_alone else None


_TO_TYPE = {
    "array": _to_array,
    "boolean": _to_boolean,
    "integer": _to_integer,
    "number": _to_number,
    "object": _to_object,
    "string": _to_text,
}


# --- words -------------------------------------------------------------------------------------

# A status of the other version, or of OCPP 1.5 (which knew Occupied): the word that claims least.
_STATUS = {
    "occupied": "Preparing",
    "preparing": "Occupied",
    "charging": "Occupied",
    "suspendedev": "Occupied",
    "suspendedevse": "Occupied",
    "finishing": "Occupied",
}
_FALLBACKS = {
    "errorCode": ("OtherError", "error_code_unknown"),
    "reason": ("Other", "reason_unknown"),
    "stoppedReason": ("Other", "reason_unknown"),
    "status": ("Unavailable", "status_unknown"),
    "connectorStatus": ("Unavailable", "status_unknown"),
}


def mend_word(value: object, options: Iterable[object], field: str, *, may_reword: bool) -> Mended | None:
    """A word of the vocabulary `options` in place of `value`: its own spelling, or what claims least."""
    words = [word for word in options if isinstance(word, str)]
    folded = _fold(value)
    same = next((word for word in words if _fold(word) == folded), None) if folded else None
    if same is not None:
        return Mended(same, "word_spelled_otherwise")
    if not may_reword:
        return None
    if field in ("status", "connectorStatus") and _STATUS.get(folded) in words:
        return Mended(_STATUS[folded], "v16_shape_on_201" if field == "connectorStatus" else "status_unknown")
    word, tag = _FALLBACKS.get(field, ("", ""))
    if word in words:
        return Mended(word, tag)
    plain = next((word for word in ("Other", "Unknown") if word in words), None)
    return None if plain is None else Mended(plain, "word_unknown")


def _fold(value: object) -> str:
    """Without case and punctuation: `Suspended_EV` is SuspendedEV."""
    return "".join(filter(str.isalnum, value)).casefold() if isinstance(value, str) else ""


# --- times -------------------------------------------------------------------------------------


def mend_time(value: object, behaviour: Behaviour, received_at_us: int) -> Mended:
    """An RFC 3339 text. One that cannot be read becomes the time of arrival."""
    try:
        us = parse_timestamp(value)
    except DecodeError:
        tag = "timestamp_missing" if value in (None, "") else "timestamp_unreadable"
        return Mended(_written(received_at_us), tag)
    text = str(value)
    if is_rfc3339(text):
        return Mended(value, "")
    if _HAS_ZONE.search(text[10:]):
        return Mended(_written(us), "timestamp_form")
    zone_us = _local_zone_us(us - received_at_us) if behaviour.has_local_time else 0
    return Mended(_written(us - zone_us), "timestamp_local" if zone_us else "timestamp_without_zone")


def _local_zone_us(ahead_us: int) -> int:
    """The zone in which a clock that is `ahead_us` of ours is right: whole quarters of an hour, or none."""
    zone_us = round(ahead_us / _QUARTER_US) * _QUARTER_US
    is_one = abs(zone_us) <= _ZONE_US_MAX and abs(ahead_us - zone_us) <= _NEAR_US
    return zone_us if is_one else 0


def _written(us: int) -> str:
    return f"{to_datetime(us).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


# --- what is not there -------------------------------------------------------------------------

_TIMES = frozenset({"timestamp", "generatedAt"})
# What stands for a field that was left out, where no harm can come of it: action, field, value, tag.
_ABSENT = {
    ("BootNotification", "reason"): ("Unknown", "field_missing"),
    ("StartTransaction", "idTag"): ("", "id_tag_missing"),
    ("StatusNotification", "errorCode"): ("NoError", "error_code_missing"),
    ("StopTransaction", "transactionId"): (NO_TRANSACTION_ID, "transaction_id_unreadable"),
    ("TransactionEvent", "triggerReason"): ("AbnormalCondition", "field_missing"),
}


def mend_absent(action: str, field: str, received_at_us: int) -> Mended | None:
    """The value of a field that a telling message should have had."""
    if field in _TIMES:
        return Mended(_written(received_at_us), "timestamp_missing")
    known = _ABSENT.get((action, field))
    return None if known is None else Mended(*known)
