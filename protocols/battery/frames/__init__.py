"""Raw frames of battery management systems: a payload of them to one row of `battery_samples`, and back.

`decode` is used by `ingest.mqtt` (raw topics) and for reprocessing; `ENCODERS` by simulated batteries and
tests. To add a protocol: a module with `NAME`, `HEADER` (a pattern of how its frames begin) and `read(data,
at) -> Frame`, and one line in `PROTOCOLS`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from protocols.battery import telemetry
from protocols.battery.frames import ant, daly, jbd, jk, pylontech, seplos
from protocols.battery.frames.parts import Frame, Part, incomplete, join
from protocols.battery.telemetry import Decoded, Sample
from protocols.samples import DecodeError

PAYLOAD_BYTES_MAX = 65_536  # as it came; text is at most a third of that in frames
FRAMES_BYTES_MAX = 16_384
REFUSED_MAX = 100  # of one payload; junk behind them is refused as one

_Read = Callable[[bytes, int], Frame]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How frames begin (`header`) and how one is read."""

    name: str
    header: "re.Pattern[bytes]"
    read: _Read


def _protocol(name: str, header: bytes, read: _Read) -> Protocol:
    return Protocol(name, re.compile(header, re.DOTALL), read)


# Tried in this order; Seplos last, since its Modbus answers begin with hardly anything.
PROTOCOLS: Mapping[str, Protocol] = {
    jbd.NAME: _protocol(jbd.NAME, jbd.HEADER, jbd.read),
    daly.NAME: _protocol(daly.NAME, daly.HEADER, daly.read),
    jk.NAME: _protocol(jk.NAME, jk.HEADER, jk.read),
    ant.NAME: _protocol(ant.NAME, ant.HEADER, ant.read),
    pylontech.NAME: _protocol(pylontech.NAME, pylontech.HEADER, pylontech.read),
    seplos.NAME: _protocol(seplos.NAME, seplos.HEADER, seplos.read),
}
ENCODERS: Mapping[str, Callable[[Sample], bytes]] = {
    jbd.NAME: jbd.encode,
    daly.NAME: daly.encode,
    jk.NAME: jk.encode,
    pylontech.NAME: pylontech.encode,
}

_HEX_TEXT = re.compile(rb"[\s,;:]*(?:(?:0[xX])?[0-9A-Fa-f]{2}[\s,;:]*)+")
_HEX_SEPARATORS = re.compile(rb"0[xX]|[\s,;:]")


@dataclass(frozen=True, slots=True)
class Answer(Decoded):
    """What a payload of frames held; `protocols` names whose they were, in the order they came."""

    protocols: tuple[str, ...] = ()


def decode(payload: bytes, protocol: str | None = None, *, received_at_us: int) -> Answer:
    """Read the frames of one payload, binary or as hex text, into one row with the time of arrival.

    `protocol` is a name of `PROTOCOLS`; None takes whose header stands there. Bytes between frames, frames
    with a wrong checksum and the earlier of two frames that say the same are in `refused`. Raises
    `DecodeError` where no frame holds a value: reasons are `protocol`, `too_large`, `empty`, `junk`,
    `checksum`, `truncated`, `malformed`, `layout`, `incomplete` and `status`.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise DecodeError("protocol", "protocol", f"{protocol[:40]!r} is none of {', '.join(PROTOCOLS)}")
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise DecodeError("too_large", "", f"{len(payload)} bytes, at most {PAYLOAD_BYTES_MAX} are read")
    data = _binary(payload)
    if len(data) > FRAMES_BYTES_MAX:
        raise DecodeError(
            "too_large", "", f"{len(data)} bytes of frames, at most {FRAMES_BYTES_MAX} are read"
        )
    candidates = list(PROTOCOLS.values()) if protocol is None else [PROTOCOLS[protocol]]
    parts: dict[tuple[str, int, int], Part] = {}
    refused: list[DecodeError] = []
    for found in _frames(data, candidates):
        if isinstance(found, DecodeError):
            refused.append(found)
            continue
        name, at, frame = found
        for part in frame.parts:
            key = (name, frame.kind, part.unit)
            if key in parts:
                text = "an earlier frame says the same without a time of its own"
                refused.append(DecodeError("timestamp", f"bytes[{at}]", text))
            parts[key] = part
    return _answer(parts, refused[:REFUSED_MAX], received_at_us)


def _answer(
    parts: Mapping[tuple[str, int, int], Part], refused: Sequence[DecodeError], received_at_us: int
) -> Answer:
    if not parts:
        raise refused[0] if refused else DecodeError("empty", "", "no frame holds a value")
    ordered = [parts[key] for key in sorted(parts)]
    missing = incomplete(ordered)
    refused = [*refused, missing] if missing is not None else refused
    try:
        rows = telemetry.to_rows(join(ordered), received_at_us)
    except DecodeError as error:
        raise refused[0] if refused else error from None
    return Answer(rows, tuple(refused), tuple(dict.fromkeys(name for name, *_ in parts)))


def _binary(payload: bytes) -> bytes:
    """The bytes of hex text (with or without spaces, commas, colons and 0x), or the payload as it is."""
    if _HEX_TEXT.fullmatch(payload) is None:
        return payload
    return bytes.fromhex(_HEX_SEPARATORS.sub(b"", payload).decode())


def _frames(data: bytes, candidates: Sequence[Protocol]) -> Iterator[tuple[str, int, Frame] | DecodeError]:
    """The frames one behind the other; a run of bytes that is none gives one error, of what began there."""
    at = 0
    junk_at: int | None = None
    error: DecodeError | None = None
    while at < len(data):
        found = _frame_at(data, at, candidates)
        if isinstance(found, tuple):
            if junk_at is not None:
                yield error or _junk(junk_at, at)
            yield (found[0].name, at, found[1])
            at += found[1].size
            junk_at = error = None
            continue
        if junk_at is None and not data[at:].strip():
            return  # an end of line, as text has it
        junk_at = at if junk_at is None else junk_at
        error = error or found
        at += 1
    if junk_at is not None:
        yield error or _junk(junk_at, at)


def _junk(from_: int, to: int) -> DecodeError:
    return DecodeError("junk", f"bytes[{from_}]", f"{to - from_} bytes that begin no known frame")


def _frame_at(
    data: bytes, at: int, candidates: Sequence[Protocol]
) -> tuple[Protocol, Frame] | DecodeError | None:
    """The frame that begins here; an error where one seems to begin, None where none does."""
    error: DecodeError | None = None
    for candidate in candidates:
        if candidate.header.match(data, at) is None:
            continue
        try:
            return candidate, candidate.read(data, at)
        except DecodeError as caught:
            error = error or caught
    return error
