"""From what the JSON library says of a bad payload to a `DecodeError` that names the field.

Used by the battery decoders of this package.
"""

import re

import msgspec

from protocols.samples import DecodeError

# msgspec ends a message with " - at `$.position.latitude_deg`"; `$` is the value being decoded.
_PATH = re.compile(r" - at `\$\.?(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `([^`]+)`")


def decode_error(error: Exception, prefix: str = "") -> DecodeError:
    """The typed error for what msgspec raised.

    Reason `invalid` where JSON has a wrong value (with the field's path behind `prefix`, such as
    `samples[3]`), `malformed` where it is no JSON at all.
    """
    text = str(error)
    if isinstance(error, RecursionError):
        return DecodeError("malformed", prefix, "JSON is nested too deep")
    if not isinstance(error, msgspec.ValidationError):
        return DecodeError("malformed", prefix, f"not JSON: {text}")
    found = _PATH.search(text)
    path = found[1] if found else ""
    missing = _MISSING.match(text)
    parts = [part for part in (prefix, path, missing[1] if missing else "") if part]
    return DecodeError("invalid", ".".join(parts), text[: found.start()] if found else text)
