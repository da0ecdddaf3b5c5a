"""Values of request bodies and queries that more than one family takes."""

from typing import Annotated

import phonenumbers
from pydantic import AfterValidator, Field

TEXT_CHARACTERS_MAX = 200
# Ids are bigint in the database; anything else in their place is simply not there.
_ID_DIGITS_MAX = 18


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the character NUL")
    return text


# PostgreSQL's text cannot hold NUL.
Storable = AfterValidator(_no_nul)
Text = Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS_MAX), Storable]
OptionalText = Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX), Storable]


def parse_id(text: str) -> int | None:
    """Return the id that `text` spells, or None: then there is nothing with this id (conflict C50)."""
    is_id = text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX
    return int(text) if is_id else None


def normalise_phone(text: str, region: str) -> str | None:
    """Return the phone number as E.164, or None; `region` (as in "IN") is that of a number without +."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
