"""Recordings of a charger's frames: a text file that a test can play again.

Written by `gridwire ocpp record` (`api.operations.recording`), read by tests. JSON lines: the first says
what was recorded (`Header`), each other one is a frame (`Line`) as it was on the wire, as a string.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from protocols.ocpp.redaction import Alias, hide_secrets
from protocols.ocpp.surface import Version

FORMAT = 1
LINES_MAX = 100_000

Sender = Literal["charger", "system"]


class RecordingError(ValueError):
    """A file that is no recording; the message names the line."""


@dataclass(frozen=True, slots=True)
class Header:
    """`version` is the OCPP version of all its frames; None is not known."""

    recording: int
    version: Version
    charger: str
    vendor: str | None
    model: str | None
    firmware: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """`at_us`: microseconds since the first frame. `connection` numbers the charger's sockets.

    `cut_bytes`: missing at the frame's end, since it was longer than what is kept.
    """

    at_us: int
    connection: int
    sender: Sender
    cut_bytes: int
    frame: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A file, read."""

    header: Header
    lines: tuple[Line, ...]


def to_text(value: Header | Line) -> str:
    """One line of the file, with its line feed."""
    return msgspec.json.encode(value).decode() + "\n"


def read(text: Iterable[str]) -> Recording:
    """The recording in the lines of a file. Raises `RecordingError`."""
    header: Header | None = None
    lines: list[Line] = []
    for number, line in enumerate(text, 1):
        try:
            if header is None:
                header = msgspec.json.decode(line, type=Header)
            else:
                lines.append(msgspec.json.decode(line, type=Line))
        except (msgspec.DecodeError, UnicodeError) as error:
            raise RecordingError(f"line {number}: {error}") from error
        if number > LINES_MAX:
            raise RecordingError(f"line {number}: a recording has at most {LINES_MAX} lines")
    if header is None or header.recording != FORMAT:
        raise RecordingError(f"line 1: not the header of a recording of format {FORMAT}")
    return Recording(header, tuple(lines))


def anonymous(value: Header | Line, alias: Alias) -> Header | Line:
    """The same with stand-ins for the charger's identity, its serial numbers and the drivers' tokens."""
    if isinstance(value, Header):
        return replace(value, charger=alias.of(value.charger))
    return replace(value, frame=alias.frame(hide_secrets(value.frame.encode())).decode())
