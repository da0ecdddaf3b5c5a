"""Phone numbers in any writing, as E.164; used by the API and by the command line, which loads no API."""

import phonenumbers


def normalise_phone(text: str, region: str) -> str | None:
    """Return the phone number as E.164, or None; `region` (as in "IN") is that of a number without +."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
