"""Numbers of Indian identity documents: what one looks like, and whether it can be one; used by KYC."""

import re
from collections.abc import Mapping
from typing import Literal

DocumentType = Literal["aadhaar", "pan", "driving_license", "passport"]

NUMBER_CHARACTERS_MAX = 32
SHOWN_CHARACTERS = 4  # at the end of a masked number

# PAN: five letters, four digits, a letter (Income-tax Rules 1962, rule 114). Aadhaar: twelve digits, the
# first 2 to 9, the last a check digit. Driving licence: state, office, year of issue, seven digits (Form 7
# of the Central Motor Vehicles Rules). Passport: a letter and seven digits.
_PATTERNS: Mapping[DocumentType, re.Pattern[str]] = {
    "aadhaar": re.compile(r"[2-9][0-9]{11}"),
    "pan": re.compile(r"[A-Z]{5}[0-9]{4}[A-Z]"),
    "driving_license": re.compile(r"[A-Z]{2}[0-9]{2}[A-Z]?(?:19|20)[0-9]{9}"),
    "passport": re.compile(r"[A-Z][0-9]{7}"),
}
_EXAMPLES: Mapping[DocumentType, str] = {
    "aadhaar": "12 digits with a right check digit",
    "pan": "as in ABCDE1234F",
    "driving_license": "as in MH12 20110012345",
    "passport": "as in A1234567",
}

# J. Verhoeff, Error Detecting Decimal Codes (1969): the multiplication of the dihedral group D5, and the
# permutation that is applied once more at each place.
_MULTIPLY = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_PERMUTE = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def normalise(document_type: DocumentType, text: str) -> str:
    """Return the number without spaces and dashes, in capitals; raises ValueError for what is none."""
    number = re.sub(r"[\s-]", "", text).upper()
    is_one = _PATTERNS[document_type].fullmatch(number) is not None
    if not is_one or (document_type == "aadhaar" and not has_check_digit(number)):
        raise ValueError(f"is no number of this document: {_EXAMPLES[document_type]}")
    return number


def end_of(number: str) -> str:
    """Return the part of a number that may be shown."""
    return number[-SHOWN_CHARACTERS:]


def has_check_digit(digits: str) -> bool:
    """Tell whether the last of the digits is the check digit of the others, after Verhoeff."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _MULTIPLY[check][_permuted(place, int(digit))]
    return check == 0


def _permuted(place: int, digit: int) -> int:
    for _ in range(place % 8):  # the permutation is of order 8
        digit = _PERMUTE[digit]
    return digit
