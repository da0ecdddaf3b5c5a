"""Serial numbers: a model's code, a running number of 8 digits, a check character. Pure.

The check is ISO/IEC 7064, MOD 37,36 over 0-9 and A-Z, a hybrid system: it finds every single wrong character
and all but 1 of 630 adjacent transpositions (those where the recursion's sums are 18 and 19).
Used by `stream.stock.making` and by the API.
"""

import re
from collections.abc import Iterable

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MODULUS = len(ALPHABET)  # the other one is one more
DIGITS = 8
NUMBER_MAX = 10**DIGITS - 1
CODE_PATTERN = r"^[0-9A-Z]{1,16}$"
# What MQTT topics can carry; the others are paths of an API (conflict C09).
SERIAL_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
RESERVED_SERIALS = frozenset({"test", "health-report"})

_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_SERIAL = re.compile(SERIAL_PATTERN)


def check_character(text: str) -> str:
    """Return the character that completes `text`, of 0-9 and A-Z; raises `ValueError` for others."""
    product = MODULUS
    for character in text:
        if character not in _VALUES:
            raise ValueError(f"{character!r} is none of 0-9 and A-Z")
        product = 2 * ((product + _VALUES[character]) % MODULUS or MODULUS) % (MODULUS + 1)
    return ALPHABET[(1 - product) % MODULUS]


def is_complete(text: str) -> bool:
    """Whether the last character of `text` is the check character of those before it."""
    return len(text) > 1 and _VALUES.keys() >= set(text) and check_character(text[:-1]) == text[-1]


def serial_of(code: str, number: int) -> str:
    """Return the serial number of a model's `number`, as in LV4800000001 and its check character."""
    if not 0 < number <= NUMBER_MAX:
        raise ValueError(f"{number} is no running number: it has {DIGITS} digits, from 1")
    body = f"{code}{number:0{DIGITS}}"
    return body + check_character(body)


def fault(serial: str, code: str) -> str | None:
    """Say why `serial` cannot be imported for the model with this code, or None.

    A foreign serial needs no check character; one that begins with the model's code does.
    """
    if not _SERIAL.match(serial) or serial.endswith("\n"):
        return "must have 1 to 64 characters of A-Z, a-z, 0-9, _ and -"
    if serial.lower() in RESERVED_SERIALS:
        return "is reserved: choose another serial number"
    if serial.upper().startswith(code) and not is_complete(serial.upper()):
        return f"begins with {code}, so it must end in its check character, and does not"
    return None


def repeated(serials: Iterable[str]) -> list[str]:
    """Return those that stand here again, whatever the case of their letters."""
    seen: set[str] = set()
    again = []
    for serial in serials:
        if serial.lower() in seen:
            again.append(serial)
        seen.add(serial.lower())
    return again
