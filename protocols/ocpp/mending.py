"""Repairs of frames that are not JSON, each with a tag; used by `protocols.ocpp.frames`.

Only what has one meaning is mended. A frame that was cut short has lost something: it stays refused.
"""

import re
from collections.abc import Callable

import orjson

_CONTROLS = bytes(range(0x20)).replace(b"\t", b"").replace(b"\n", b"").replace(b"\r", b"")
_SPACES = bytes.maketrans(b"\t\n\r", b"   ")
# The closing quote may be missing: a text without one ends with the frame, and is walked once.
_TEXT = rb'"(?:[^"\\]|\\.)*+"?'
_STRAY_COMMA = re.compile(_TEXT + rb"|([\[{])\s*,+|,(?=\s*[,\]}])", re.DOTALL)
_NO_VALUE = re.compile(_TEXT + rb"|:(?=\s*[,}])", re.DOTALL)
_SURROGATE = re.compile(rb"(?<!\\)((?:\\\\)*)\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")


def mended_json(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """JSON in place of `data`, which is none, and the tags of what it took; no tags where nothing helps."""
    mended, tags = data, []
    for tag, repair in _REPAIRS:
        repaired = repair(mended)
        if repaired == mended:
            continue
        mended = repaired
        tags.append(tag)
        if _is_json(mended):
            return mended, tuple(tags)
    return data, ()


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def _without_controls(data: bytes) -> bytes:
    """Raw control characters, which JSON allows nowhere; the three that are space become one."""
    return data.translate(_SPACES, _CONTROLS).removeprefix(b"\xef\xbb\xbf")


def _as_utf8(data: bytes) -> bytes:
    return data.decode(errors="replace").encode()


def _without_surrogates(data: bytes) -> bytes:
    """Halves of a pair of escapes, which stand for no character alone."""
    parts, end = [], 0
    for pair in _PAIR.finditer(data):
        parts += [_SURROGATE.sub(rb"\1\\ufffd", data[end : pair.start()]), pair[0]]
        end = pair.end()
    return b"".join([*parts, _SURROGATE.sub(rb"\1\\ufffd", data[end:])])


def _without_stray_commas(data: bytes) -> bytes:
    return _STRAY_COMMA.sub(lambda found: found[0] if found[0][:1] == b'"' else found[1] or b"", data)


def _with_values(data: bytes) -> bytes:
    """A name without a value is null."""
    return _NO_VALUE.sub(lambda found: found[0] if found[0][:1] == b'"' else b":null", data)


_REPAIRS: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("control_characters", _without_controls),
    ("invalid_utf8", _as_utf8),
    ("lone_surrogate", _without_surrogates),
    ("value_missing", _with_values),
    ("stray_comma", _without_stray_commas),
)
