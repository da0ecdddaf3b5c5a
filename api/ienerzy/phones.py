"""Phone numbers as Ienerzy takes them: in any writing, kept as E.164 (conflict C52)."""

from api.context import Context
from api.errors import Problem
from api.phones import normalise_phone


def phone_of(context: Context, given: str) -> str:
    """Return the number as E.164; raises 400 for what is none."""
    phone = normalise_phone(given, context.config.phone_region)
    if phone is None:
        raise Problem(400, "Invalid phone number", f"{given!r} is no phone number; write it as +919876543210")
    return phone
