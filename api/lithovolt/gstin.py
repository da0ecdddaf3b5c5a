"""GST identification numbers of Indian businesses: what one looks like; used by profiles.

Two digits of the state, the PAN, the number of the registration, Z, and a check character.
"""

import re

_PATTERN = re.compile(r"[0-9]{2}[A-Z]{5}[0-9]{4}[A-Z][1-9A-Z]Z[0-9A-Z]")
_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASE = len(_CHARACTERS)


def check_character(text: str) -> str:
    """Return the character that follows the first 14 of a number (Luhn's sum, modulo 36)."""
    total = 0
    for place, character in enumerate(text):
        quotient, remainder = divmod(_CHARACTERS.index(character) * (1 + place % 2), _BASE)
        total += quotient + remainder
    return _CHARACTERS[-total % _BASE]


def normalise(text: str) -> str:
    """Return the number in capitals, "" for none; raises ValueError for what can be no number."""
    number = re.sub(r"\s", "", text).upper()
    if number and not (_PATTERN.fullmatch(number) and check_character(number[:-1]) == number[-1]):
        raise ValueError("is no GSTIN: 15 characters with a right check character, as in 27AAPFU0939F1ZV")
    return number
