"""One codec in one QuickJS context: compiled once, called many times, within limits. No process, no clock.

Used by `stream.codecs.contexts` in the worker processes. QuickJS has no file, socket, process or timer, and
no module can be loaded. What a codec breaks is its own context: after a limit was hit it is thrown away.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import quickjs  # type: ignore[import-untyped]

from protocols.samples import DecodeError
from stream.codecs.shims import BUFFER, DECODERS, ENCODERS, FIND, FIND_EXPORTS, PRELUDE, TAKE_EXPORTS

SOURCE_CHARACTERS_MAX = 512 * 1024
OUTPUT_CHARACTERS_MAX = 128 * 1024  # of one uplink
TURN_CHARACTERS_MAX = 1024 * 1024

# Also `export` behind a semicolon or brace of minified text; a wrong guess costs a second compilation.
_MODULE = re.compile(
    r"(?:^|[;}])\s*export\s*(?:default\b|function\b|const\b|let\b|var\b|class\b|async\b|\{)", re.M
)
# What JSON may say and no database takes: NUL, and half of a surrogate pair
_UNSTORABLE = re.compile(r"(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one decode may take. The time is the processor's; a turn of several stops early in `slice_ms`."""

    time_ms: int = 100
    slice_ms: int = 10
    memory_bytes: int = 16 * 1024 * 1024
    stack_bytes: int = 512 * 1024


class Uplink(msgspec.Struct, frozen=True, array_like=True):
    """What a codec is given: bytes, LoRaWAN's fPort, when it was heard (microseconds), variables."""

    data: bytes
    port: int | None
    heard_at_us: int
    variables: dict[str, Any] = {}


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a codec gave back for one uplink, as JSON values; `reason` is set where it gave nothing.

    `data` and `normalized` are any JSON; warnings and errors should be lists of text: they are what it said.
    """

    data: Any = None
    warnings: Any = None
    errors: Any = None
    normalized: Any = None
    normal_error: str | None = msgspec.field(default=None, name="normalError")
    reason: str = ""
    message: str = ""


class Downlink(msgspec.Struct, frozen=True):
    """What a codec's encoder gave back."""

    bytes: Any = None
    port: Any = msgspec.field(default=None, name="fPort")
    errors: Any = None
    warnings: Any = None
    reason: str = ""
    message: str = ""


_outcomes = msgspec.json.Decoder(list[Outcome])
_downlinks = msgspec.json.Decoder(list[Downlink])


class Sandbox:
    """A codec in its own context; raises `DecodeError` (`codec_compile`, a limit's) where it does not load.

    `is_spent`: a limit was hit or a promise made, and nothing of this context may be used again.
    """

    def __init__(self, source: str, limits: Limits) -> None:
        if len(source) > SOURCE_CHARACTERS_MAX:
            raise DecodeError("codec_compile", "", f"more than {SOURCE_CHARACTERS_MAX} characters of source")
        self.limits = limits
        self.is_spent = False
        self._context = quickjs.Context()
        self._context.set_memory_limit(limits.memory_bytes)
        self._context.set_max_stack_size(limits.stack_bytes)
        self._context.set_time_limit(limits.time_ms / 1000)
        try:
            entries = self._load(source)
        except quickjs.JSException as error:
            reason = _limit_of(error) or "codec_compile"
            raise DecodeError(reason, "", self._said(reason, error)) from None
        except ValueError as error:  # NUL, or half of a surrogate pair
            raise DecodeError("codec_compile", "", f"the source cannot be read: {error}") from None
        if not entries & (DECODERS | ENCODERS):
            names = "decodeUplink, Decoder, Decode or encodeDownlink"
            raise DecodeError("codec_compile", "", f"has no function {names}")
        self.entries = entries

    def _load(self, source: str) -> set[str]:
        prelude = self._context.eval(PRELUDE)
        arguments = (OUTPUT_CHARACTERS_MAX, TURN_CHARACTERS_MAX, self.limits.slice_ms)
        self._engine = prelude(self._context.globalThis, *arguments)
        if "Buffer" in source:
            self._context.eval(BUFFER)
        if _MODULE.search(source):
            return self._load_module(source)
        self._context.eval(source)
        return set(str(self._engine("adopt", self._context.eval(FIND))).split())

    def _load_module(self, source: str) -> set[str]:
        self._context.module(source)
        self._context.module(FIND_EXPORTS)
        return set(str(self._engine("adopt", self._context.eval(TAKE_EXPORTS))).split())

    def decode(self, uplinks: Sequence[Uplink]) -> list[Outcome]:
        """Decode as many as fit in one call, in their order: at least one, at most all of them."""
        rows = [(list(each.data), each.port, each.heard_at_us // 1000, each.variables) for each in uplinks]
        if not self.entries & DECODERS:
            return [Outcome(reason="codec_error", message="the codec has no decoder")] * len(uplinks)
        return self._call("decode", rows, _outcomes, Outcome)

    def encode(self, data: Any, port: int, now_us: int) -> Downlink:
        """Encode one downlink."""
        if not self.entries & ENCODERS:
            return Downlink(reason="codec_error", message="the codec has no encoder")
        found: Downlink = self._call("encode", [(data, port, now_us // 1000)], _downlinks, Downlink)[0]
        return found

    def remember_builtins(self) -> None:
        """Take note of what the built-in objects are now, for `has_changed_builtins`."""
        self._engine("remember", None)

    def has_changed_builtins(self) -> bool:
        """Whether the codec changed a built-in object since `remember_builtins`."""
        return bool(self._engine("changed", None))

    def memory_bytes(self) -> int:
        """What the context holds."""
        return int(self._context.memory()["malloc_size"])

    def _call(self, command: str, rows: Sequence[Any], decoder: Any, kind: Any) -> list[Any]:
        """Call the codec; where a limit ends the call, what came before it and the one that did it."""
        extra_ms = self.limits.slice_ms if len(rows) > 1 else 0
        self._context.set_time_limit((self.limits.time_ms + extra_ms) / 1000)
        try:
            found = self._read(self._engine(command, msgspec.json.encode(rows).decode()), decoder)
        except quickjs.JSException as error:
            self.is_spent = True
            reason = _limit_of(error) or "codec_error"
            failed = kind(reason=reason, message=self._said(reason, error))
            return [*self._before(decoder), failed]
        except (msgspec.DecodeError, RecursionError):
            if len(rows) > 1:  # one of them is to blame: half of them, until it stands alone
                return self._call(command, rows[: len(rows) // 2], decoder, kind)
            self.is_spent = True
            message = "its output is no JSON of the expected form, or nested too deep"
            return [kind(reason="codec_output", message=message)]
        last = found[-1].reason
        self.is_spent = last in {"codec_memory", "codec_stack"} or "promise" in found[-1].message
        return found

    def _said(self, reason: str, error: quickjs.JSException) -> str:
        return f"stopped after {self.limits.time_ms} ms" if reason == "codec_timeout" else _first_lines(error)

    def _before(self, decoder: Any) -> list[Any]:
        try:
            return self._read(self._engine("so far", None), decoder)
        except (quickjs.JSException, msgspec.DecodeError, RecursionError):
            return []

    @staticmethod
    def _read(text: str, decoder: Any) -> list[Any]:
        if "\\u" in text:
            text = _UNSTORABLE.sub(r"\1\\ufffd", text)
        found: list[Any] = decoder.decode(text)
        return found


def _limit_of(error: quickjs.JSException) -> str | None:
    """The limit that this error is of. QuickJS throws null where not even the error fits in memory."""
    text = str(error)
    if text.startswith("InternalError: interrupted"):
        return "codec_timeout"
    if text.startswith(("InternalError: out of memory", "null")):
        return "codec_memory"
    return "codec_stack" if isinstance(error, quickjs.StackOverflow) else None


def _first_lines(error: quickjs.JSException) -> str:
    """The message and where it happened, without the rest of the stack."""
    return " ".join(line.strip() for line in str(error).splitlines()[:2])[:300]
