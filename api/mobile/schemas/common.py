"""What all schemas of the Mobile family share: snake_case, integer ids, UTC without fraction or zone."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from api.phones import normalise_phone

T = TypeVar("T")
PHONE_REGION = "ZA"
# Country code and nine digits of ITU-T E.164, as the contract has them (rules R602 and R615).
PHONE_CHARACTERS = len("+27821234567")
PHONE_CODE = "+27"
DEPTH_MAX = 50  # of JSON that is kept as it came
# Beyond it sums with days and zones leave what dates can say.
_CENTURY = (2000, 2099)


def _print_time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


def _is_none(value: object) -> bool:
    return value is None


def parse_phone(text: str) -> str | None:
    """Return +27 and nine digits for a South African number in either form, or None (conflict C52)."""
    phone = normalise_phone(text, PHONE_REGION)
    is_ours = phone is not None and phone.startswith(PHONE_CODE) and len(phone) == PHONE_CHARACTERS
    return phone if is_ours else None


def _phone(text: str) -> str:
    phone = parse_phone(text)
    if phone is None:
        raise ValueError(f"{text!r} is no South African phone number: write it as +27821234567 or 0821234567")
    return phone


def _of_this_century(moment: datetime) -> datetime:
    if not _CENTURY[0] <= moment.year <= _CENTURY[1]:
        raise ValueError("must be in a year from {} to {}".format(*_CENTURY))
    return moment


def _storable(value: Any) -> Any:
    """Refuse what Python reads as JSON and the database does not: NUL, half characters, NaN, Infinity."""
    _check(value, 0)
    return value


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= each <= "\udfff" for each in value)):
        raise ValueError("must not contain the character NUL, or half a character")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number")
    if isinstance(value, dict):
        _look(value.keys(), depth)
        _look(value.values(), depth)
    elif isinstance(value, list):
        _look(value, depth)


def _look(values: Iterable[Any], depth: int) -> None:
    if depth >= DEPTH_MAX:
        raise ValueError(f"must not be nested more than {DEPTH_MAX} times")
    for each in values:
        _check(each, depth + 1)


def number(value: Decimal) -> float:
    """A reading as a number: the float nearest to it, with the decimals that the register has."""
    return float(value)


# Conflict C53: stored in UTC; this family alone prints no zone.
Time = Annotated[datetime, PlainSerializer(_print_time, return_type=str)]
Phone = Annotated[str, Field(min_length=1, max_length=32, examples=["+27821234567"]), AfterValidator(_phone)]
Moment = Annotated[AwareDatetime, AfterValidator(_of_this_century)]
# Of any length, but each character whole.
Plain = Annotated[str, AfterValidator(_storable)]
# JSON that PostgreSQL can store.
JsonMap = Annotated[dict[str, Any], AfterValidator(_storable)]
# Left out of the answer when None.
Maybe = Annotated[T | None, Field(exclude_if=_is_none)]


class Body(BaseModel):
    """The base of what comes in: a field that is not known is a mistake, and is said to be one."""

    model_config = ConfigDict(extra="forbid")


def example(**fields: Any) -> ConfigDict:
    """The documentation's example of a model."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Done(BaseModel):
    """Nothing but that it is done."""

    message: str
