"""Commands over payload codecs: `gridwire codecs upload|test|list|assign`. Mounted by `gridwire.py`.

A codec runs here as it runs in ingest: in a worker process, within the same limits.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from api.operations.files import read_text
from api.operations.registry import with_connection
from deploy.clock import clock
from deploy.messages import SetupError
from deploy.settings import read_settings
from storage.database import Connection
from storage.queries import codecs, profiles
from stream.codecs.examples import Examination
from stream.codecs.pool import CodecPool, PoolLimits

console = Console()
codecs_app = typer.Typer(no_args_is_help=True, help="JavaScript payload codecs (TS013) and their versions.")

LIST_LIMIT = 1000

Source = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The codec's .js file.")]
Examples = Annotated[
    Path | None, typer.Option("--examples", exists=True, dir_okay=False, help="A JSON list, as TS013 has it.")
]


@codecs_app.command("upload")
def upload(
    source: Source,
    name: Annotated[str, typer.Option(help="Small letters, digits, dots, dashes.")],
    examples: Examples = None,
) -> None:
    """Store a codec as the next version of its name; refused where it does not load or an example fails."""
    if re.fullmatch(codecs.NAME_PATTERN, name) is None:
        raise SetupError(
            f"{name!r} cannot be a codec's name.", "Small letters, digits, dots, dashes: at most 80."
        )
    text, given = read_text(source), _read_examples(examples)
    found = asyncio.run(_examine(text, given))
    _show(found)
    failed = [each for each in found.tried if each.difference is not None]
    if found.error is not None or failed:
        raise SetupError(found.error or f"{len(failed)} of its examples fail.", "Nothing was stored.")

    async def store(connection: Connection) -> None:
        stored = await codecs.insert_codec(
            connection, name=name, source=text, examples=given, is_stateful=found.is_stateful
        )
        console.print(f"{stored.name}: version {stored.version}")

    asyncio.run(with_connection(read_settings(), store))


@codecs_app.command("test")
def try_codec(
    source: Source,
    examples: Examples = None,
    payload: Annotated[str | None, typer.Option("--bytes", help="One payload in hexadecimal.")] = None,
    port: Annotated[int, typer.Option(help="Its fPort.", min=0, max=255)] = 1,
) -> None:
    """Run a codec on examples or on one payload and show what it gives; nothing is stored."""
    given = _read_examples(examples)
    if payload is not None:
        given = [*given, {"description": payload, "input": {"bytes": payload, "fPort": port}}]
    found = asyncio.run(_examine(read_text(source), given))
    _show(found)
    if found.error is not None or any(each.difference is not None for each in found.tried):
        raise typer.Exit(1)


@codecs_app.command("list")
def list_codecs(
    name: Annotated[str | None, typer.Argument(help="Show the versions of this one.")] = None,
) -> None:
    """List codecs by their newest version, or the versions of one."""

    async def show(connection: Connection) -> None:
        if name is None:
            found = await codecs.list_codecs(connection, limit=LIST_LIMIT)
        else:
            found = await codecs.list_versions(connection, name, limit=LIST_LIMIT)
        table = Table("name", "version", "examples", "profiles", "leaks state", "sha256", "stored")
        for c in found:
            row = (c.name, c.version, c.examples, c.profiles, "yes" if c.is_stateful else "", c.sha256[:12])
            table.add_row(*(str(cell) for cell in row), f"{c.created_at:%Y-%m-%d %H:%M}")
        console.print(table)
        if len(found) == LIST_LIMIT:
            console.print(f"the first {LIST_LIMIT} are shown")

    asyncio.run(with_connection(read_settings(), show))


@codecs_app.command("assign")
def assign(
    name: str,
    profile: Annotated[str, typer.Argument(help="The device profile's name.")],
    version: Annotated[int | None, typer.Option(help="By default the newest.", min=1)] = None,
) -> None:
    """Let a codec decode the payloads of a device profile from now on."""

    async def change(connection: Connection) -> None:
        codec = await codecs.find_codec(connection, name, version)
        if codec is None:
            raise SetupError(f"There is no codec {name} of that version.", "See: gridwire codecs list")
        found = await profiles.find_profile(connection, profile)
        if found is None:
            raise SetupError(f"There is no profile {profile}.", "See: gridwire profiles list")
        await profiles.set_profile_codec(connection, found.id, codec.id)
        console.print(f"{found.name}: {codec.name}, version {codec.version}")

    asyncio.run(with_connection(read_settings(), change))


async def _examine(source: str, examples: list[dict[str, Any]]) -> Examination:
    async with CodecPool(clock, PoolLimits(workers_max=1)) as pool:
        return await pool.examine(source, examples)


def _read_examples(path: Path | None) -> list[dict[str, Any]]:
    """Read a list of examples, or the object with a list `examples` that codec repositories have."""
    if path is None:
        return []
    try:
        found = json.loads(read_text(path))
    except ValueError as error:
        raise SetupError(f"{path} is not JSON: {error}", "Examples are a JSON list.") from error
    examples = found.get("examples") if isinstance(found, dict) else found
    if not isinstance(examples, list):
        raise SetupError(f"{path} has no list of examples.", "Examples are a JSON list.")
    return examples


def _show(found: Examination) -> None:
    if found.error is not None:
        console.print(found.error, style="red", markup=False)
    for index, each in enumerate(found.tried, 1):
        title = f"{index}. {each.description or 'example'}: "
        console.print(title + (each.difference or json.dumps(each.output)), markup=False)
    if found.is_stateful:
        console.print(
            "It leaks state between calls: it will have a fresh context each time, which is slower."
        )
