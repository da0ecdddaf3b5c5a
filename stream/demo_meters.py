"""A demo estate for a simulated fleet's meters: units, people, profiles, devices, tariffs, wallets.

Used by `gridwire up` and `gridwire simulate --register`. Safe to repeat: what is there stays as it is, so a
second start goes on with the same data; profiles follow the fleet's makes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import (
    codecs,
    devices,
    estates,
    meter_tariffs,
    meters,
    occupancy,
    persons,
    profiles,
    residents,
    unit_wallets,
    units,
    users,
)
from storage.queries.estates import Estate
from storage.queries.meters import Meter
from storage.queries.units import Unit
from stream.device_import import token_secret
from stream.metering import wallets

ESTATE_NAME = "Simulated estate"
TIME_ZONE, CURRENCY = "Africa/Johannesburg", "ZAR"
ADMIN_EMAIL = "portal@example.com"
CREDIT_MINOR = 1_000_000
SMALL_CREDIT_MINOR = 2_500
POOR_UNIT = 2  # it shows what happens when a wallet runs dry
LOW_BALANCE_MINOR = 5_000
INSTALLED_BEFORE = timedelta(days=2)  # a new meter tells of its last day
UNITS_MAX = 10_000
TARIFFS_MAX = 10_000
OWNER_PHONE = "+27825{:06d}"
UTILITIES = ("electricity", "water", "gas", "heat")
TARIFFS: Mapping[str, Mapping[str, Any]] = {
    "electricity": {
        "energy": {
            "kind": "time_of_use",
            "seasons": [
                {
                    "name": "all year",
                    "days": {
                        "weekday": [
                            {"from": "00:00", "name": "night", "price_minor": "142.5"},
                            {"from": "06:00", "name": "peak", "price_minor": "389.2"},
                            {"from": "09:00", "name": "day", "price_minor": "231.8"},
                            {"from": "17:00", "name": "peak", "price_minor": "389.2"},
                            {"from": "20:00", "name": "day", "price_minor": "231.8"},
                            {"from": "22:00", "name": "night", "price_minor": "142.5"},
                        ],
                        "weekend": [{"from": "00:00", "name": "weekend", "price_minor": "168.4"}],
                    },
                }
            ],
        },
        "fixed_minor_per_day": "310",
        "tax": {"name": "VAT", "basis_points": 1500, "is_included": False},
    },
    "water": {
        "energy": {
            "kind": "block",
            "per": "month",
            "blocks": [
                {"up_to": "6", "price_minor": "2150"},
                {"up_to": "15", "price_minor": "2960"},
                {"price_minor": "4475"},
            ],
        }
    },
    "gas": {"energy": {"kind": "flat", "price_minor": "3200"}},
    "heat": {"energy": {"kind": "flat", "price_minor": "118.5"}},
}


@dataclass(frozen=True, slots=True)
class DemoCodec:
    """A payload codec of LoRa Alliance TS013 with its examples."""

    name: str
    source: str = field(repr=False)
    examples: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class DemoMeter:
    """One device with the meter that it measures.

    `profile`: fields of `storage.queries.profiles.Definition` but `codec_id`; `quantity`, `channel` and
    `register_modulus`: of its register, as stored. `key`: AES-128 of its payloads; `token`: what lets it in.
    """

    identity: str
    utility: str
    communication_type: str
    profile: Mapping[str, Any]
    quantity: str
    channel: int = 0
    register_modulus: Decimal | None = None
    codec: DemoCodec | None = None
    key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


async def register_meters(
    connection: Connection,
    demo: Sequence[DemoMeter],
    *,
    resident_phone: str,
    password_hash: str,
    now: datetime,
) -> None:
    """Have every meter in a unit of the demo estate, with an owner, a tariff and credit; the caller commits.

    The resident of the first unit logs in with `resident_phone` (E.164), an admin of the portal with
    `ADMIN_EMAIL`, everybody with the password of `password_hash`.
    """
    await users.ensure_user(
        connection, system="mobile", role="admin", name="Demo Portal", email=ADMIN_EMAIL,
        password_hash=password_hash,
    )  # fmt: skip
    profile_ids = await _profiles(connection, demo)
    tariff_ids = await _tariffs(connection)
    estate = await _estate(connection)
    known = {
        unit.unit_number: unit
        for unit in await units.list_units(
            connection, estate_id=estate.id, query=None, after_id=0, limit=UNITS_MAX
        )
    }
    for number, (name, share) in enumerate(households(demo).items(), start=1):
        unit = known.get(name) or await units.insert_unit(connection, estate.id, name)
        if not await occupancy.list_owners(connection, unit.id):
            phone = resident_phone if number == 1 else OWNER_PHONE.format(unit.id)
            await _owner(connection, unit, phone, password_hash, now)
        for each in share:
            device_id = await _device(connection, each, profile_ids[each.profile["name"]])
            await _meter(connection, unit, each, device_id, tariff_ids[each.utility], now)
        credit_minor = SMALL_CREDIT_MINOR if number == POOR_UNIT else CREDIT_MINOR
        await _wallet(connection, unit, credit_minor, now)


def households(demo: Sequence[DemoMeter]) -> dict[str, list[DemoMeter]]:
    """Which unit has which meters: at most one of each utility, all of one kind of communication.

    More meters at the end of a kind move none of those before them.
    """
    found: dict[str, list[DemoMeter]] = {}
    for kind in dict.fromkeys(each.communication_type for each in demo):
        of_kind = [each for each in demo if each.communication_type == kind]
        by_utility = [[each for each in of_kind if each.utility == utility] for utility in UTILITIES]
        for number, share in enumerate(zip_longest(*by_utility), start=1):
            found[f"{kind} {number:03}"] = [each for each in share if each is not None]
    return found


async def _profiles(connection: Connection, demo: Sequence[DemoMeter]) -> dict[str, int]:
    """The id of each profile by its name."""
    found: dict[str, int] = {}
    for each in demo:
        name = each.profile["name"]
        if name not in found:
            codec_id = None if each.codec is None else await _codec(connection, each.codec)
            definition: Any = {**each.profile, "codec_id": codec_id}
            found[name] = (await profiles.put_profile(connection, **definition)).id
    return found


async def _codec(connection: Connection, codec: DemoCodec) -> int:
    try:
        stored = await codecs.insert_codec(
            connection, name=codec.name, source=codec.source, examples=codec.examples, is_stateful=False
        )
    except AlreadyExistsError:
        newest = await codecs.find_codec(connection, codec.name)
        assert newest is not None
        return newest.id
    return stored.id


async def _tariffs(connection: Connection) -> dict[str, int]:
    """The id of each utility's tariff."""
    names = {f"Demo {utility}": utility for utility in TARIFFS}
    known = {
        names[each.name]: each.id
        for each in await meter_tariffs.list_tariffs(connection, limit=TARIFFS_MAX)
        if each.name in names
    }
    for name, utility in names.items():
        if utility not in known:
            made = await meter_tariffs.insert_tariff(connection, name, utility, CURRENCY, TARIFFS[utility])
            known[utility] = made.id
    return known


async def _estate(connection: Connection) -> Estate:
    found = await estates.list_estates(connection, query=ESTATE_NAME, after_id=0, limit=1)
    return (
        found[0]
        if found
        else await estates.insert_estate(
            connection, name=ESTATE_NAME, address=None, time_zone=TIME_ZONE, currency=CURRENCY
        )
    )


async def _owner(connection: Connection, unit: Unit, phone: str, password_hash: str, now: datetime) -> None:
    """An owner with the app, whose password need not be changed."""
    found = await persons.list_persons(connection, query=phone, after_id=0, limit=1)
    if found:
        person = found[0]
    else:
        name = f"of {unit.unit_number}"
        person = await persons.insert_person(
            connection, first_name="Owner", last_name=name, phone=phone, email=None
        )
    if person.user_id is None:
        user_id = await residents.insert_account(connection, person.id, password_hash)
        await residents.change_password(connection, user_id, password_hash)
    await occupancy.insert_owner(
        connection, unit_id=unit.id, person_id=person.id, basis_points=10_000, is_primary=True,
        since=(now - INSTALLED_BEFORE).date(),
    )  # fmt: skip


async def _device(connection: Connection, each: DemoMeter, profile_id: int) -> int:
    device = await devices.register_device(connection, "meter", each.identity)
    await profiles.set_device_profile(connection, device.id, profile_id)
    if each.key is not None:
        await profiles.put_device_key(connection, device.id, "payload_aes", each.key)
    if each.token is not None:
        await profiles.put_device_key(connection, device.id, "token", token_secret(each.token))
    return device.id


async def _meter(
    connection: Connection, unit: Unit, each: DemoMeter, device_id: int, tariff_id: int, now: datetime
) -> None:
    """The meter with its installation and tariff, unless the unit has it."""
    known = await meters.list_unit_meters(connection, unit.id)
    meter: Meter | None = next((one for one in known if one.serial_number == each.identity), None)
    if meter is not None:
        return
    meter = await meters.insert_meter(
        connection, unit_id=unit.id, serial_number=each.identity, utility_type=each.utility,
        device_type=each.profile["model"], communication_type=each.communication_type,
    )  # fmt: skip
    since = now - INSTALLED_BEFORE
    await meters.install(
        connection, meter_id=meter.id, device_id=device_id, quantity=each.quantity, channel=each.channel,
        register_modulus=each.register_modulus, since=since,
    )  # fmt: skip
    await meter_tariffs.assign_tariff(connection, meter.id, tariff_id, since)


async def _wallet(connection: Connection, unit: Unit, credit_minor: int, now: datetime) -> None:
    if await unit_wallets.wallet_of_unit(connection, unit.id) is not None:
        return
    await wallets.open_wallet(connection, unit.id, CURRENCY, LOW_BALANCE_MINOR)
    await wallets.top_up(
        connection, unit_id=unit.id, amount_minor=credit_minor, key=f"demo:unit:{unit.id}",
        description="Demo credit", now=now,
    )  # fmt: skip
