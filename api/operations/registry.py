"""Commands over the registry and the accounts: `gridwire users ...` and `gridwire devices ...`.

Mounted by `gridwire.py`. Each is one transaction; what the database refuses is said in its words.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, cast

import typer
from argon2 import PasswordHasher
from rich.console import Console
from rich.table import Table

from api.phones import normalise_phone
from deploy.messages import SetupError
from deploy.settings import Settings, needed, read_settings
from storage.database import Connection, Pool, in_pool, in_transaction
from storage.errors import DatabaseAwayError, StorageError
from storage.queries import devices, technician_profiles, users
from storage.queries.technician_profiles import ProfileFacts

console = Console()
users_app = typer.Typer(no_args_is_help=True, help="People who log in to one of the API families.")
devices_app = typer.Typer(no_args_is_help=True, help="The registry of chargers, batteries and meters.")

LIST_LIMIT = 1000
BY_EMAIL = frozenset({"evcms", "lithovolt", "mobile"})
PHONE_REGION = "IN"  # of an Ienerzy phone number without +
# People with the app of the Mobile family are made by its portal, with their person.
ROLES = {
    "evcms": ("user", "brand", "admin"),
    "ienerzy": ("dealer", "consumer", "technician", "admin"),
    "lithovolt": ("admin", "wholesaler", "consumer"),
    "mobile": ("admin",),
}


class Kind(StrEnum):
    """Kinds of devices in the registry."""

    CHARGER = "charger"
    BATTERY = "battery"
    METER = "meter"


@users_app.command("create")
def users_create(
    system: Annotated[Literal["evcms", "ienerzy", "lithovolt", "mobile"], typer.Option(help="API family.")],
    role: Annotated[
        str,
        typer.Option(help="; ".join(f"{system}: {', '.join(roles)}" for system, roles in ROLES.items())),
    ],
    name: Annotated[str, typer.Option()],
    email: Annotated[str | None, typer.Option(help="Login of all families but ienerzy.")] = None,
    phone: Annotated[str | None, typer.Option(help="Login of ienerzy, as +91...")] = None,
    dealer: Annotated[
        int | None, typer.Option(help="Id of an ienerzy consumer's dealer, or of a technician's only one.")
    ] = None,
) -> None:
    """Make an account. A password, where it logs in by e-mail, is asked for or in GRIDWIRE_NEW_PASSWORD."""
    _check_account(system, role, email, phone, dealer)
    number = None if phone is None else _e164(phone)
    hashed = _new_password_hash(ask=True) if system in BY_EMAIL else None

    async def create(connection: Connection) -> None:
        if dealer is not None:
            await _check_dealer(connection, dealer)
        user = await users.insert_user(
            connection, system=system, role=role, name=name, email=email and email.lower(), phone=number,
            password_hash=hashed, dealer_id=dealer if role == "consumer" else None,
        )  # fmt: skip
        if role == "technician":
            facts: ProfileFacts = {**technician_profiles.DEFAULTS, "dealer_id": dealer}
            await technician_profiles.put_profile(connection, user.id, **facts)
        console.print(f"{system} {role} {name}: id {user.id}")

    asyncio.run(with_connection(read_settings(), create))


@users_app.command("technician")
def users_technician(
    phone: Annotated[str, typer.Argument(help="The technician's login, as +91...")],
    location: Annotated[str | None, typer.Option(help="Where, in words.")] = None,
    position: Annotated[
        tuple[float, float] | None, typer.Option(help="Latitude and longitude in degrees.")
    ] = None,
    skill: Annotated[list[str] | None, typer.Option(help="May be given several times; all of them.")] = None,
    rating: Annotated[float | None, typer.Option(min=0, max=5)] = None,
    experience_years: Annotated[float | None, typer.Option(min=0, max=80)] = None,
    status: Annotated[Literal["available", "busy", "off_duty"] | None, typer.Option()] = None,
    load_max: Annotated[int | None, typer.Option(min=1, max=100, help="Tickets at a time.")] = None,
) -> None:
    """Change an ienerzy technician's profile; what is left out stays."""
    latitude, longitude = position or (None, None)
    given = {
        "location": location,
        "latitude": latitude,
        "longitude": longitude,
        "skills": skill or None,
        "rating": None if rating is None else Decimal(str(rating)),
        "experience_years": None if experience_years is None else Decimal(str(experience_years)),
        "status": status,
        "load_max": load_max,
    }
    change = {key: value for key, value in given.items() if value is not None}

    async def change_profile(connection: Connection) -> None:
        user = await users.find_by_phone(connection, "ienerzy", _e164(phone), "technician")
        if user is None:
            raise SetupError(f"No technician has the phone number {phone}.", "See: gridwire users create")
        held = await technician_profiles.lock_profile(connection, user.id)
        if rating is not None and held is not None and held.ratings:
            message = f"The rating of {user.name} comes from {held.ratings} ratings of tickets."
            raise SetupError(message, "Leave --rating out.")
        facts = technician_profiles.DEFAULTS if held is None else technician_profiles.facts_of(held)
        after = cast("ProfileFacts", {**facts, **change})
        await technician_profiles.put_profile(connection, user.id, **after)
        console.print(f"technician {user.name}: {', '.join(change) or 'nothing'} changed")

    asyncio.run(with_connection(read_settings(), change_profile))


@devices_app.command("register")
def devices_register(
    kind: Kind,
    identity: Annotated[str, typer.Argument(help="As the device writes it.")],
    name: Annotated[str | None, typer.Option()] = None,
    owner: Annotated[int | None, typer.Option(help="Id of the user whose device it is.")] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for a charger's Basic password.")] = False,
) -> None:
    """Enter a device in the registry, or change an entered one's owner or password."""
    secret_hash = _new_password_hash(ask=password)

    async def register(connection: Connection) -> None:
        device = await devices.register_device(connection, kind.value, identity, name=name)
        await devices.set_device_status(connection, device.id, "active")
        if owner is not None:
            await devices.set_device_owner(connection, device.id, owner)
        if secret_hash is not None:
            await devices.set_device_secret(connection, device.id, secret_hash)
        console.print(f"{kind.value} {device.identity}: id {device.id}, active")

    asyncio.run(with_connection(read_settings(), register))


@devices_app.command("list")
def devices_list(
    kind: Annotated[Kind | None, typer.Option()] = None,
    status: Annotated[Literal["active", "quarantined", "archived"] | None, typer.Option()] = None,
) -> None:
    """List devices with their status and when they were last heard of."""

    async def show(connection: Connection) -> None:
        found = await devices.list_devices(
            connection, kind=kind.value if kind else None, status=status, limit=LIST_LIMIT
        )
        table = Table("id", "kind", "identity", "status", "owner", "vendor", "model", "last seen")
        for d in found:
            row = (d.id, d.kind, d.identity, d.status, d.owner_id, d.vendor, d.model, d.last_seen_at)
            table.add_row(*("" if cell is None else str(cell) for cell in row))
        console.print(table)
        if len(found) == LIST_LIMIT:
            console.print(f"the first {LIST_LIMIT} are shown")

    asyncio.run(with_connection(read_settings(), show))


@devices_app.command("activate")
def devices_activate(kind: Kind, identity: str) -> None:
    """Let a quarantined device's samples in from now on."""
    asyncio.run(with_connection(read_settings(), _set_status(kind, identity, "active")))


@devices_app.command("archive")
def devices_archive(kind: Kind, identity: str) -> None:
    """Shut a device out; what it has sent stays."""
    asyncio.run(with_connection(read_settings(), _set_status(kind, identity, "archived")))


def _set_status(kind: Kind, identity: str, status: str) -> Callable[[Connection], Awaitable[None]]:
    async def change(connection: Connection) -> None:
        device = await find_registered(connection, kind, identity)
        await devices.set_device_status(connection, device.id, status)
        console.print(f"{kind.value} {device.identity}: {status}")

    return change


async def find_registered(connection: Connection, kind: Kind, identity: str) -> devices.Device:
    """Return the device; raises `SetupError` where it is not registered."""
    device = await devices.find_device(connection, kind.value, identity)
    if device is None:
        raise SetupError(f"No {kind.value} {identity} is registered.", "See: gridwire devices list")
    return device


async def with_connection(settings: Settings, work: Callable[[Connection], Awaitable[None]]) -> None:
    """Do `work` in one transaction; raises `SetupError` with what the database says."""
    await _told(in_transaction(_database_url(settings), "command", work))


async def with_pool(settings: Settings, work: Callable[[Pool], Awaitable[None]]) -> None:
    """Do `work` in transactions of its own; raises `SetupError` with what the database says."""
    await _told(in_pool(_database_url(settings), "command", work))


def _database_url(settings: Settings) -> str:
    return needed(settings.database_url, "GRIDWIRE_DATABASE_URL")


async def _told(work: Awaitable[None]) -> None:
    try:
        await work
    except DatabaseAwayError as error:
        raise SetupError(str(error), "Check GRIDWIRE_DATABASE_URL.") from error
    except StorageError as error:
        raise SetupError(str(error), "Nothing was changed.") from error


def _new_password_hash(*, ask: bool) -> str | None:
    """Hash GRIDWIRE_NEW_PASSWORD, or what is typed if we may ask."""
    given = os.environ.get("GRIDWIRE_NEW_PASSWORD")
    if given is None and ask:
        given = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return None if given is None else PasswordHasher().hash(given)


def _check_account(system: str, role: str, email: str | None, phone: str | None, dealer: int | None) -> None:
    if role not in ROLES[system]:
        raise SetupError(f"{system} has no role {role!r}.", f"Choose one of: {', '.join(ROLES[system])}")
    if (email if system in BY_EMAIL else phone) is None:
        raise SetupError(
            f"An account of {system} needs its login.",
            "Give --email" if system in BY_EMAIL else "Give --phone",
        )
    if (system, role) == ("ienerzy", "consumer") and dealer is None:
        raise SetupError("A consumer of ienerzy has a dealer.", "Give --dealer with the dealer's id")


def _e164(phone: str) -> str:
    """Return the number as the sign-in looks for it."""
    number = normalise_phone(phone, PHONE_REGION)
    if number is None:
        raise SetupError(f"{phone} is no phone number.", "Write it as +919876543210")
    return number


async def _check_dealer(connection: Connection, dealer_id: int) -> None:
    dealer = await users.get_user(connection, dealer_id)
    if dealer is None or (dealer.system, dealer.role) != ("ienerzy", "dealer"):
        raise SetupError(f"There is no dealer with the id {dealer_id}.", "Nothing was changed.")
