"""Commands over meters, batteries and their profiles; mounted by `gridwire.py`.

`gridwire devices import|key|profile|release|replace|completeness`, `gridwire profiles put|list`, and
`gridwire reprocess`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from api.errors import Problem
from api.mobile.admin.profiles import check_profile
from api.operations.files import read_text
from api.operations.registry import Kind, devices_app, find_registered, with_connection, with_pool
from deploy.clock import clock
from deploy.messages import SetupError
from deploy.settings import read_settings
from protocols.quantities import QUANTITIES
from protocols.timestamps import from_datetime, to_datetime
from storage.database import Connection, Pool
from storage.queries import codecs, completeness, device_registry, devices, profiles, raw_payloads
from stream import replacement
from stream.codecs.pool import CodecPool
from stream.completeness import by_day
from stream.decoding import Equipment, equipment_of
from stream.device_import import AES_BYTES, import_devices, token_secret
from stream.errors import StreamError
from stream.release import release as release_device
from stream.reprocess import Range, Report, reprocess

console = Console()
profiles_app = typer.Typer(no_args_is_help=True, help="How makes of devices are decoded.")

LIST_LIMIT = 1000
DEVICES_PAGE = 1000

Identity = Annotated[str, typer.Argument(help="DevEUI, IMEI or serial.")]
OfKind = Annotated[Kind, typer.Option(help="What it is.")]
Days = Annotated[int, typer.Option(min=1, max=400)]


def _run(work: Callable[[Connection], Awaitable[None]]) -> None:
    asyncio.run(with_connection(read_settings(), work))


@devices_app.command("import")
def devices_import(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV; the first line names columns.")
    ],
    trial: Annotated[bool, typer.Option("--trial", help="Check only.")] = False,
) -> None:
    """Enter many devices, all or none; where a line is wrong, each error is told by its line."""

    text = read_text(file)

    async def work(connection: Connection) -> None:
        report = await import_devices(connection, text, is_trial=trial)
        for error in report.errors:
            column = f" {error.column}:" if error.column else ""
            console.print(f"line {error.line}:{column} {error.message}", markup=False)
        if report.errors:
            count = len(report.errors) + report.errors_left_out
            raise SetupError(f"{count} errors in {report.lines} lines.", "Nothing was entered.")
        done = "would be" if trial else "were"
        console.print(f"{report.created} devices {done} entered, {report.updated} changed")

    _run(work)


@devices_app.command("key")
def devices_key(
    identity: Identity,
    kind: Annotated[Literal["token", "payload_aes", "dlms_authentication"], typer.Argument()],
    of: OfKind = Kind.METER,
) -> None:
    """Set a secret of a device; it is asked for. A token is text, the others 32 hexadecimal digits."""
    value: str = typer.prompt("Secret", hide_input=True)
    try:
        secret = token_secret(value) if kind == "token" else bytes.fromhex(value)
    except ValueError:
        secret = b""
    if kind != "token" and len(secret) != AES_BYTES:
        raise SetupError(f"{kind} is {2 * AES_BYTES} hexadecimal digits.", "Nothing was changed.")

    async def work(connection: Connection) -> None:
        device = await find_registered(connection, of, identity)
        await profiles.put_device_key(connection, device.id, kind, secret)
        console.print(f"{device.identity}: {kind} set")

    _run(work)


@devices_app.command("profile")
def devices_profile(identity: Identity, profile: str, of: OfKind = Kind.METER) -> None:
    """Give a device its profile."""

    async def work(connection: Connection) -> None:
        device = await find_registered(connection, of, identity)
        found = await _profile(connection, profile)
        await profiles.set_device_profile(connection, device.id, found.id)
        console.print(f"{device.identity}: {found.name}")

    _run(work)


@devices_app.command("release")
def devices_release(identity: Identity, of: OfKind = Kind.METER) -> None:
    """Let a quarantined device in, with what it sent while it waited."""

    async def work(pool: Pool) -> None:
        async with pool.connection() as connection:
            device = await find_registered(connection, of, identity)
        done = await release_device(pool, device.id, clock())
        console.print(
            f"{device.identity}: active; samples stored {done.stored}, there already {done.duplicate},"
            f" quarantined for another reason {done.quarantined}"
        )

    asyncio.run(with_pool(read_settings(), work))


@devices_app.command("replace")
def devices_replace(identity: Identity, by: str, of: OfKind = Kind.METER) -> None:
    """Let another device take a device's place, at its meters too; the old one is archived."""

    async def work(connection: Connection) -> None:
        old = await find_registered(connection, of, identity)
        new = await devices.register_device(connection, of.value, by)
        count = await replacement.replace(connection, old.id, new.id, to_datetime(clock()))
        console.print(f"{new.identity} stands for {old.identity} now, at {count} meters")

    _run(work)


@devices_app.command("completeness")
def devices_completeness(identity: Identity, days: Days = 7) -> None:
    """Say day by day (UTC) how much of what a device counted has arrived."""

    async def work(connection: Connection) -> None:
        device = await find_registered(connection, Kind.METER, identity)
        view = await device_registry.get_view(connection, device.id)
        assert view is not None
        until = to_datetime(clock())
        since = (until - timedelta(days=days - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
        counted = await completeness.counters_of(connection, device.id, since, until)
        table = Table("day", "received", "missing", "duplicates", "expected", "share")
        for day in by_day(
            counted.heard_at_us, counted.counters, joined_at_us=counted.joined_at_us, before=counted.before,
            zone=ZoneInfo("UTC"), since=since, until=until, interval_s=view.interval_s,
        ):  # fmt: skip
            part = day.completeness
            share = "" if part.share is None else f"{part.share:.1%}"
            counts = (part.received, part.missing, part.duplicates, part.expected)
            table.add_row(str(day.day), *("" if count is None else str(count) for count in counts), share)
        console.print(table)

    _run(work)


@profiles_app.command("put")
def profiles_put(
    name: str,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON, as the API takes it.")],
) -> None:
    """Write a profile, in the place of the one with this name."""
    from api.mobile.admin.schemas.profiles import NewProfile

    text = read_text(file)
    try:
        given = NewProfile.model_validate(json.loads(text))
    except (ValidationError, ValueError) as error:
        raise SetupError(f"{file} is no profile: {error}", "Nothing was changed.") from error

    async def work(connection: Connection) -> None:
        try:
            await check_profile(connection, given)
        except Problem as problem:
            raise SetupError(f"{file} is no profile: {problem.details}.", "Nothing was changed.") from problem
        made = await profiles.put_profile(connection, name=name, **given.model_dump())
        console.print(f"{made.name}: id {made.id}, decoder {made.decoder}")

    _run(work)


@profiles_app.command("list")
def profiles_list() -> None:
    """List profiles."""

    async def work(connection: Connection) -> None:
        table = Table("id", "name", "utility", "decoder", "codec", "interval s")
        for each in await profiles.list_profiles(connection, limit=LIST_LIMIT):
            row = (each.id, each.name, each.utility, each.decoder, each.codec_id, each.interval_s)
            table.add_row(*("" if cell is None else str(cell) for cell in row))
        console.print(table)

    _run(work)


When = Annotated[datetime, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC.")]


def reprocess_command(
    since: When,
    until: When,
    profile: Annotated[str | None, typer.Option(help="All devices of this profile.")] = None,
    device: Annotated[str | None, typer.Option(help="One meter: DevEUI, IMEI or serial.")] = None,
    codec: Annotated[
        str | None, typer.Option(help="NAME@VERSION; the profile's own decoder if left out.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Make it so; else only say what would change.")
    ] = False,
) -> None:
    """Decode what devices sent in a time range again, and say or do what that changes.

    Samples are replaced in one transaction; what was billed is mended by correction entries.
    """
    if (profile is None) == (device is None):
        raise SetupError("Say whose payloads: --profile or --device.", "Nothing was looked at.")
    span = Range(*(from_datetime(at.replace(tzinfo=UTC)) for at in (since, until)))

    async def work(connection: Connection) -> None:
        found = await _equipment(connection, profile, device, codec)
        pool = CodecPool(clock)
        try:
            report = await reprocess(connection, pool, found, span, now_us=clock(), apply=apply)
        except StreamError as error:
            raise SetupError(f"{error}.", "Nothing was changed.") from error
        finally:
            await pool.close()
        _show(report, is_done=apply)

    _run(work)


async def _equipment(
    connection: Connection, profile: str | None, device: str | None, codec: str | None
) -> dict[int, Equipment]:
    """Return the devices that are meant, each with what is to decode its payloads."""
    if device is not None:
        ids = [(await find_registered(connection, Kind.METER, device)).id]
    else:
        assert profile is not None
        chosen = await _profile(connection, profile)
        ids = []
        while page := await raw_payloads.devices_with_profile(
            connection, chosen.id, after_id=ids[-1] if ids else 0, limit=DEVICES_PAGE
        ):
            ids += page
    named = None if codec is None else await _codec(connection, codec)
    found: dict[int, Equipment] = {}
    for device_id in ids:
        equipment = await equipment_of(connection, device_id)
        if equipment is None:
            raise SetupError(f"Device {device_id} has no profile.", "Give it one: gridwire devices profile")
        found[device_id] = equipment if named is None else equipment.with_codec(named)
    return found


async def _codec(connection: Connection, name: str) -> codecs.CodecText:
    base, _, version = name.partition("@")
    stored = None
    if not version or version.isdigit():
        stored = await codecs.find_codec(connection, base, int(version) if version else None)
    text = None if stored is None else await codecs.get_codec_text(connection, stored.id)
    if text is None:
        raise SetupError(f"There is no codec {name}.", "See: gridwire codecs list")
    return text


async def _profile(connection: Connection, name: str) -> profiles.Profile:
    found = await profiles.find_profile(connection, name)
    if found is None:
        raise SetupError(f"There is no profile {name}.", "See: gridwire profiles list")
    return found


def _show(report: Report, *, is_done: bool) -> None:
    done = "were" if is_done else "would be"
    console.print(f"{report.payloads} payloads of {report.devices} devices decoded again")
    for reason, count in sorted(report.refused.items()):
        console.print(f"  refused, {reason}: {count}")
    console.print(f"  refused before and not now: {report.mended}")
    console.print(
        f"samples that {done} added {report.added}, changed {report.changed}, removed {report.removed};"
        f" the same {report.same}"
    )
    if not report.examples:
        return
    table = Table("device", "at", "quantity", "channel", "before", "after")
    for change in report.examples:
        ts_us, quantity, channel = change.key
        values: tuple[Any, ...] = (change.before, change.after)
        name = QUANTITIES[quantity].name
        cells = ("" if value is None else f"{value:g}" for value in values)
        table.add_row(str(change.device_id), to_datetime(ts_us).isoformat(), name, str(channel), *cells)
    console.print(table)
