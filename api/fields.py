"""Values of request bodies and queries that more than one family takes."""

from decimal import Decimal
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from fastapi import Header
from pydantic import AfterValidator, Field

TEXT_CHARACTERS_MAX = 200
# Far beyond any wallet, and far inside bigint.
AMOUNT_MAX = 10_000_000_000
# Ids are bigint in the database; anything else in their place is simply not there.
_ID_DIGITS_MAX = 18


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the character NUL")
    return text


def _email(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise ValueError("Invalid email format") from error


# PostgreSQL's text cannot hold NUL.
Storable = AfterValidator(_no_nul)
Text = Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS_MAX), Storable]
OptionalText = Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX), Storable]
Email = Annotated[str, Field(max_length=254), Storable, AfterValidator(_email)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key again answers with what it made, and makes nothing new.",
    ),
]
# With two decimals at most; `minor_units` makes cents of it.
Amount = Annotated[Decimal, Field(gt=0, le=AMOUNT_MAX, decimal_places=2)]


def parse_id(text: str) -> int | None:
    """Return the id that `text` spells, or None: then there is nothing with this id (conflict C50)."""
    is_id = text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX
    return int(text) if is_id else None


def minor_units(amount: Decimal) -> int:
    """Return an amount with two decimals at most in minor units, exactly."""
    return int(amount * 100)


def money(minor: int) -> float:
    """Minor units as a number with two decimals: the float nearest to it prints as exactly that."""
    return round(minor / 100, 2)
