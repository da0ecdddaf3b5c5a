"""OCPP-J frames: text to Call, CallResult or CallError, and back (OCPP-J 1.6 and 2.1, section 4 of both).

Used by `protocols.ocpp.connection` and by the simulated charger. Any input gives a frame or a
`FormationError`; nothing else is ever raised. JSON that only just fails is mended (`protocols.ocpp.mending`).
"""

import re
from collections.abc import Mapping
from enum import IntEnum, StrEnum

import msgspec
import orjson

from protocols.ocpp.mending import mended_json
from protocols.ocpp.surface import Version

# Section 4.1.4 allows 36 characters. Longer ones are met in the field and harmless up to here.
MESSAGE_ID_LENGTH_MAX = 255
ACTION_LENGTH_MAX = 64
# Levels of a frame, so that whatever takes it apart again needs no more of the stack.
DEPTH_MAX = 64
# What an answer carries when the message that it answers has no readable id (as OCPP 2.0.1 has it).
NO_MESSAGE_ID = "-1"

Payload = dict[str, object]


class MessageType(IntEnum):
    """First element of a frame (section 4.1.3)."""

    CALL = 2
    CALL_RESULT = 3
    CALL_ERROR = 4
    CALL_RESULT_ERROR = 5  # OCPP-J 2.1: our answer could not be used
    SEND = 6  # OCPP-J 2.1: a request without an answer


class ErrorCode(StrEnum):
    """Error codes of CALLERROR, as OCPP 1.6 spells them (section 4.2.3); see `spelled`."""

    NOT_IMPLEMENTED = "NotImplemented"
    NOT_SUPPORTED = "NotSupported"
    INTERNAL_ERROR = "InternalError"
    PROTOCOL_ERROR = "ProtocolError"
    SECURITY_ERROR = "SecurityError"
    FORMATION_VIOLATION = "FormationViolation"
    PROPERTY_CONSTRAINT_VIOLATION = "PropertyConstraintViolation"
    OCCURRENCE_CONSTRAINT_VIOLATION = "OccurenceConstraintViolation"
    TYPE_CONSTRAINT_VIOLATION = "TypeConstraintViolation"
    GENERIC_ERROR = "GenericError"

    def spelled(self, version: Version) -> str:
        """As `version` spells it: 2.x mended two words (OCPP-J 2.0.1 section 4.3)."""
        return _SPELLED_IN_2.get(self, self.value) if version.is_2 else self.value


_SPELLED_IN_2 = {
    ErrorCode.FORMATION_VIOLATION: "FormatViolation",
    ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION: "OccurrenceConstraintViolation",
}


class Call(msgspec.Struct, frozen=True):
    """A request: `[2, id, action, payload]`; `[6, id, action, payload]` (`is_send`) wants no answer.

    `mended`: the tags of what was wrong with its JSON.
    """

    message_id: str
    action: str
    payload: Payload
    is_send: bool = False
    mended: tuple[str, ...] = ()


class CallResult(msgspec.Struct, frozen=True):
    """An answer: `[3, id, payload]`."""

    message_id: str
    payload: Payload


class CallError(msgspec.Struct, frozen=True):
    """A refusal: `[4, id, code, description, details]`. `code` is as the peer wrote it.

    `of_result`: it refuses our answer, not our request (`[5, ...]`, OCPP-J 2.1).
    """

    message_id: str
    code: str
    description: str
    details: Payload
    of_result: bool = False


Frame = Call | CallResult | CallError


class FormationError(ValueError):
    """A frame that is none: the peer's fault. `message_id` and `type` are what could be salvaged of it."""

    def __init__(self, message: str, message_id: str | None = None, kind: MessageType | None = None) -> None:
        super().__init__(message)
        self.message_id = message_id
        self.type = kind


# as plain numbers, which compare faster than an IntEnum
_CALL, _SEND = MessageType.CALL.value, MessageType.SEND.value
_HEAD = re.compile(rb'\s*\[\s*([2-6])\s*,\s*(?:"([^"\\\x00-\x1f]{0,255})"|(\d{1,18})\s*[,\]])')
# An escaped NUL, the backslash of which is not itself escaped. PostgreSQL's text cannot hold it.
_ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def parse_frame(data: bytes) -> Frame:
    """The frame in `data` (UTF-8 JSON). Raises `FormationError`. Escaped NULs are left out of strings."""
    if b"\\" in data and b"\\u0000" in data:  # one byte is looked for ten times faster than six
        data = _ESCAPED_NUL.sub(rb"\1", data)
    mended: tuple[str, ...] = ()
    try:
        parts = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        data, mended = mended_json(data)
        if not mended:
            raise _salvaged(data, f"not JSON: {error}") from error
        parts = orjson.loads(data)
    if type(parts) is not list or not parts:
        raise FormationError("a frame is a JSON array whose first element is its type")
    if data.count(b"[") + data.count(b"{") > DEPTH_MAX and _is_deep(parts):
        raise _salvaged(data, f"nested deeper than {DEPTH_MAX} levels")
    frame = _request(parts, mended) or _answer(parts)
    if frame is None:
        message = "not [2 or 6, id, action, {}], [3, id, {}] or [4 or 5, id, code, description, {}]"
        raise _salvaged(data, message)
    return frame


def _request(parts: list[object], mended: tuple[str, ...]) -> Call | None:
    """Most frames are this, and a `match` with its subpatterns would take as long as reading the JSON."""
    if len(parts) != 4:
        return None
    kind, message_id, action, payload = parts
    if kind not in (_CALL, _SEND) or type(message_id) is not str or type(action) is not str:
        return None
    if type(payload) is not dict or not _fits(message_id, action):
        return None
    return Call(message_id, action, payload, kind == _SEND, mended)


def _answer(parts: list[object]) -> CallResult | CallError | None:
    match parts:
        case [3, str(message_id), dict(payload)] if _fits(message_id):
            return CallResult(message_id, payload)
        case [4, str(message_id), str(code), *rest] if _fits(message_id) and len(rest) <= 2:
            return _call_error(message_id, code, rest)
        case [5, str(message_id), str(code), *rest] if _fits(message_id) and len(rest) <= 2:
            return _call_error(message_id, code, rest, of_result=True)
    return None


def _is_deep(parts: list[object]) -> bool:
    """Level by level: a deep frame must not be walked by recursion."""
    level: list[object] = [parts]
    for _ in range(DEPTH_MAX):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)  # type: ignore[attr-defined]
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def _fits(message_id: str, action: str = "") -> bool:
    return len(message_id) <= MESSAGE_ID_LENGTH_MAX and len(action) <= ACTION_LENGTH_MAX


def _call_error(message_id: str, code: str, rest: list[object], *, of_result: bool = False) -> CallError:
    """Description and details are often left out or of another type; the code says enough."""
    description = rest[0] if rest and isinstance(rest[0], str) else ""
    details = rest[1] if len(rest) == 2 and isinstance(rest[1], dict) else {}
    return CallError(message_id, code, description, details, of_result)


def _salvaged(data: bytes, message: str) -> FormationError:
    """What can be known of a broken frame: enough to answer it, or to end the call that it answers."""
    match = _HEAD.match(data)
    if match is None:
        return FormationError(message)
    text = match[2] if match[2] is not None else match[3]
    try:
        return FormationError(message, text.decode(), MessageType(int(match[1])))
    except UnicodeDecodeError:
        return FormationError(message, None, MessageType(int(match[1])))


def serialise_call(message_id: str, action: str, payload: Mapping[str, object]) -> bytes:
    """Compact JSON of a CALL, keys in the order of `payload`."""
    return orjson.dumps([2, message_id, action, payload])


def serialise_result(message_id: str, payload: Mapping[str, object]) -> bytes:
    """Compact JSON of a CALLRESULT."""
    return orjson.dumps([3, message_id, payload])


def serialise_error(message_id: str, code: str, description: str) -> bytes:
    """Compact JSON of a CALLERROR. The description is cut to 255 characters (section 4.2.3)."""
    return orjson.dumps([4, message_id, str(code), description[:255], {}])
