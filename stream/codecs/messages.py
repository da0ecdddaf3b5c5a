"""What goes between a pool and its workers: JSON behind a length of four bytes, one answer for each request.

Used by `stream.codecs.pool` and `stream.codecs.worker`.
"""

from typing import Any

import msgspec

from protocols.measurements import Measurement
from stream.codecs.examples import Examination
from stream.codecs.sandbox import Limits, Uplink

LENGTH_BYTES = 4
FRAME_BYTES_MAX = 64 * 1024 * 1024


class Decode(msgspec.Struct, frozen=True, tag=True):
    """Decode uplinks of one codec. `source` comes with the first turn in which a worker meets the codec.

    `mappings` are JSON texts; `mapping_of` says for each uplink which of them is its own. `forget` is the
    codec that must make room.
    """

    sha256: str
    source: str | None
    forget: str | None
    is_stateful: bool
    mappings: list[str]
    mapping_of: list[int]
    uplinks: list[Uplink]


class Encode(msgspec.Struct, frozen=True, tag=True):
    """Encode one downlink in a fresh context."""

    source: str
    data: Any
    port: int
    now_us: int


class Examine(msgspec.Struct, frozen=True, tag=True):
    """Load a codec, run its examples (JSON as uploaded) and find out whether it leaks state."""

    source: str
    examples: Any
    now_us: int


Request = Decode | Encode | Examine


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """For one uplink: what `Decoded` has, or the reason and message of a `DecodeError`."""

    data: Any = None
    measurements: list[Measurement] = []
    warnings: list[str] = []
    reason: str = ""
    message: str = ""


class Answers(msgspec.Struct, frozen=True):
    """Of the first of a turn's uplinks: the rest did not fit and is asked for again. At least one."""

    answers: list[Answer]
    is_stateful: bool


class Encoded(msgspec.Struct, frozen=True):
    """A downlink, or the reason and message of a `DecodeError`."""

    port: int = 0
    payload: bytes = b""
    reason: str = ""
    message: str = ""


requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
answers: msgspec.json.Decoder[Answers] = msgspec.json.Decoder(Answers)
encoded: msgspec.json.Decoder[Encoded] = msgspec.json.Decoder(Encoded)
examinations: msgspec.json.Decoder[Examination] = msgspec.json.Decoder(Examination)


def frame(message: msgspec.Struct) -> bytes:
    """Return `message` as it goes over the pipe."""
    text = msgspec.json.encode(message)
    return len(text).to_bytes(LENGTH_BYTES, "big") + text


def limits_text(limits: Limits) -> str:
    """Return `limits` as a worker's argument."""
    return msgspec.json.encode(limits).decode()


def read_limits(text: str) -> Limits:
    """Read a worker's argument."""
    return msgspec.json.decode(text, type=Limits)
