"""`gridwire ocpp record`: what a charger and we said to each other, as a file that a test plays again.

Mounted by `gridwire.py`. Frames come from the message log; the file is `protocols.ocpp.recording`'s.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console

from api.operations.registry import with_connection
from deploy.messages import SetupError
from deploy.settings import read_settings
from protocols.ocpp import recording
from protocols.ocpp.redaction import Alias
from protocols.ocpp.surface import Version
from storage.database import Connection
from storage.queries.chargers import Charger, get_charger
from storage.queries.devices import find_device
from storage.queries.messages import VERSIONS, Direction, Message, read_messages

console = Console()
ocpp_app = typer.Typer(no_args_is_help=True, help="OCPP frames of chargers.")

PAGE = 1_000
FRAMES_MAX = recording.LINES_MAX - 1
UNNUMBERED = 0  # generation of a frame whose socket had none yet
EARLY_MAX = 1_000  # such frames of one socket


@ocpp_app.callback()
def _group() -> None:
    """OCPP frames of chargers."""


@ocpp_app.command("record")
def record(
    charger: Annotated[str, typer.Argument(help="The charger's identity.")],
    from_: Annotated[datetime, typer.Option("--from", help="First moment, UTC.")],
    to: Annotated[datetime, typer.Option("--to", help="The moment behind the last, UTC.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Replace ids of people and devices.")
    ] = False,
) -> None:
    """Write the frames of a charger to a file: a fixture for tests/ingest/replay.py."""

    part = out.with_name(f"{out.name}.part")

    async def write(connection: Connection) -> None:
        with part.open("w", encoding="utf-8") as file:
            alias = Alias() if anonymous else None
            count = await write_recording(connection, charger, _utc(from_), _utc(to), file, alias)
        part.replace(out)
        console.print(f"{out}: {count} frames")

    try:
        asyncio.run(with_connection(read_settings(), write))
    except OSError as error:
        raise SetupError(
            f"{out} cannot be written: {error.strerror}.", "Name another file by --out."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


async def write_recording(
    connection: Connection, identity: str, from_: datetime, to: datetime, file: TextIO, alias: Alias | None
) -> int:
    """Write the frames with `from_ <= ts < to` and return how many; with stand-ins if `alias` is given.

    Raises `SetupError` for a charger that is not known, no frames or too many, or frames of two versions.
    """
    device = await find_device(connection, "charger", identity)
    charger = None if device is None else await get_charger(connection, device.id)
    if charger is None:
        raise SetupError(f"No charger {identity} is registered.", "See: gridwire devices list")
    count, first = 0, None
    async for message in _of_sockets(_frames(connection, charger.device_id, from_, to)):
        if first is None:
            first = message
            _write(file, _header(charger, VERSIONS[first.version]), alias)
        _check(message, first, count)
        _write(file, _line(message, first), alias)
        count += 1
    if not count:
        remedy = "Frames are kept for 90 days, unless the message log is switched off."
        raise SetupError(f"No frames of {identity} in this time.", remedy)
    return count


async def _frames(
    connection: Connection, device_id: int, from_: datetime, to: datetime
) -> AsyncIterator[Message]:
    last = None
    while page := await read_messages(connection, device_id, from_, to, after=last, limit=PAGE):
        for message in page:
            yield message
        last = page[-1]


async def _of_sockets(messages: AsyncIterator[Message]) -> AsyncIterator[Message]:
    """Give frames that came before the database had numbered their socket the number of those after them."""
    early: list[Message] = []
    async for message in messages:
        if message.generation == UNNUMBERED and len(early) < EARLY_MAX:
            early.append(message)
            continue
        for each in early:
            yield replace(each, generation=message.generation)
        early.clear()
        yield message
    for each in early:
        yield each


def _check(message: Message, first: Message, count: int) -> None:
    if message.version != first.version:
        versions = f"{VERSIONS[first.version]} and {VERSIONS[message.version]}"
        raise SetupError(f"The charger spoke OCPP {versions} in this time.", "Narrow --from and --to.")
    if count >= FRAMES_MAX:
        raise SetupError(f"More than {FRAMES_MAX} frames.", "Narrow --from and --to.")


def _header(charger: Charger, version: Version) -> recording.Header:
    return recording.Header(
        recording=recording.FORMAT,
        version=version,
        charger=charger.identity,
        vendor=charger.vendor,
        model=charger.model,
        firmware=charger.firmware,
    )


def _line(message: Message, first: Message) -> recording.Line:
    since = message.ts - first.ts
    return recording.Line(
        at_us=(since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds,
        connection=message.generation,
        sender="charger" if message.direction == Direction.FROM_CHARGER else "system",
        cut_bytes=message.cut_bytes,
        frame=message.frame,
    )


def _write(file: TextIO, value: recording.Header | recording.Line, alias: Alias | None) -> None:
    file.write(recording.to_text(value if alias is None else recording.anonymous(value, alias)))
