"""An estate on a real database: units, meters, devices, tariffs, samples stored as the writer does it."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
from nats.aio.client import Client

from protocols.quantities import CODES
from protocols.timestamps import from_datetime
from storage import ledger
from storage.database import Connection, Pool, fetch_value
from storage.hypertables import METER_SAMPLES
from storage.partitions import ensure_partitions
from storage.queries import (
    device_commands,
    devices,
    meter_bills,
    meter_tariffs,
    metering_due,
    meters,
    profiles,
    unit_wallets,
)
from storage.queries.device_commands import DeviceCommand
from storage.queries.metering_due import Reason
from storage.queries.unit_wallets import UnitWallet
from stream.metering import billing, wallets

# whole local days of the past weeks, of which partitions exist or are made
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
INSTALLED = datetime(2026, 10, 1, tzinfo=UTC)
REGISTERS = {"electricity": "energy_import_wh", "water": "water_m3"}
VALVE = {
    "close": {"port": 10, "payload_hex": "00ff", "is_confirmed": True},
    "open": {"port": 10, "payload_hex": "01ff", "is_confirmed": True},
}
FLAT = {"energy": {"kind": "flat", "price_minor": "200"}}

Sample = tuple[int, datetime, float]  # device, time, register

_STORE = """
INSERT INTO meter_samples (ts, device_id, received_at, quantity, channel, value)
SELECT ts, device_id, %(received_at)s, quantity, 0, value
FROM unnest(%(ts)s::timestamptz[], %(devices)s::integer[], %(quantities)s::smallint[], %(values)s::float8[])
    AS sample (ts, device_id, quantity, value)
ON CONFLICT DO NOTHING RETURNING device_id, ts
"""
_ESTATE = "INSERT INTO estates (name, time_zone) VALUES (%(name)s, %(zone)s) RETURNING id"
_UNIT = "INSERT INTO units (estate_id, unit_number) VALUES (%(estate)s, %(number)s) RETURNING id"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Point:
    """A meter with its device."""

    meter_id: int
    unit_id: int
    device_id: int
    utility: str


async def an_estate(connection: Connection, zone: str = "Africa/Johannesburg") -> int:
    return int(await fetch_value(connection, _ESTATE, {"name": f"Estate {next(_numbers)}", "zone": zone}))


async def a_unit(
    connection: Connection, estate_id: int, *, balance_minor: int | None = 0, low_minor: int = 5_000
) -> int:
    """A unit with a wallet of that balance; None: without a wallet."""
    number = {"estate": estate_id, "number": f"{next(_numbers)}"}
    unit_id = int(await fetch_value(connection, _UNIT, number))
    if balance_minor is not None:
        await wallets.open_wallet(connection, unit_id, "ZAR", low_minor)
    if balance_minor:
        await top_up(connection, unit_id, balance_minor)
    return unit_id


async def top_up(connection: Connection, unit_id: int, amount_minor: int, key: str | None = None) -> None:
    await wallets.top_up(
        connection,
        unit_id=unit_id,
        amount_minor=amount_minor,
        key=key or f"top-up:{next(_numbers)}",
        description="Wallet top-up",
        now=NOW,
    )


async def a_device(connection: Connection, *, downlinks: Mapping[str, Any] | None = None) -> int:
    number = next(_numbers)
    device = await devices.register_device(connection, "meter", f"METER{number}")
    if downlinks is not None:
        profile = await profiles.put_profile(
            connection, name=f"profile {number}", decoder="json", downlinks=downlinks, interval_s=900
        )
        await profiles.set_device_profile(connection, device.id, profile.id)
    return device.id


async def a_meter(
    connection: Connection,
    unit_id: int,
    utility: str = "electricity",
    *,
    definition: Mapping[str, Any] | None = FLAT,
    downlinks: Mapping[str, Any] | None = None,
    meter_type: str = "prepaid",
    modulus: Decimal | None = None,
    assigned: datetime = INSTALLED,
) -> Point:
    meter = await meters.insert_meter(
        connection,
        unit_id=unit_id,
        serial_number=f"S{next(_numbers)}",
        utility_type=utility,
        device_type="smart",
        communication_type="lorawan",
        meter_type=meter_type,
    )
    device_id = await a_device(connection, downlinks=downlinks)
    await meters.install(
        connection,
        meter_id=meter.id,
        device_id=device_id,
        quantity=REGISTERS[utility],
        since=INSTALLED,
        register_modulus=modulus,
    )
    if definition is not None:
        await assign(connection, meter.id, utility, definition, assigned)
    return Point(meter.id, unit_id, device_id, utility)


async def assign(
    connection: Connection, meter_id: int, utility: str, definition: Mapping[str, Any], since: datetime
) -> None:
    tariff = await meter_tariffs.insert_tariff(
        connection, f"Tariff {next(_numbers)}", utility, "ZAR", definition
    )
    await meter_tariffs.assign_tariff(connection, meter_id, tariff.id, since)


async def store(pool: Pool, point_utilities: Mapping[int, str], samples: Sequence[Sample]) -> None:
    """Store samples, repeats left out, and note which devices have new ones, in one transaction."""
    times = np.array([from_datetime(at) for _, at, _ in samples], np.int64)
    async with pool.connection() as connection:
        await ensure_partitions(connection, METER_SAMPLES, times)
        rows = await connection.execute(
            _STORE,
            {
                "received_at": NOW,
                "ts": [at for _, at, _ in samples],
                "devices": [device for device, _, _ in samples],
                "quantities": [CODES[REGISTERS[point_utilities[device]]] for device, _, _ in samples],
                "values": [float(value) for _, _, value in samples],
            },
        )
        new: dict[int, datetime] = {}
        for device, at in await rows.fetchall():
            new[device] = min(new.get(device, at), at)
        if new:
            await metering_due.add(connection, list(new), list(new.values()))


async def send(pool: Pool, point: Point, *readings: tuple[datetime, float]) -> None:
    samples = [(point.device_id, at, value) for at, value in readings]
    await store(pool, {point.device_id: point.utility}, samples)


async def remove(pool: Pool, point: Point, at: datetime, reason: Reason = "reprocess") -> None:
    """What reprocessing does with a sample that its codec should never have made."""
    async with pool.connection() as connection:
        await connection.execute(
            "DELETE FROM meter_samples WHERE device_id = %s AND ts = %s", (point.device_id, at)
        )
        await metering_due.add(connection, [point.device_id], [at], reason)


def clock() -> int:
    return from_datetime(NOW)


async def bill_all(pool: Pool, bus: Client) -> None:
    while await billing.bill_due(pool, bus, clock):
        pass


async def bills_of(pool: Pool, meter_id: int) -> dict[date, tuple[Decimal, int]]:
    async with pool.connection() as connection:
        found = await meter_bills.bills(connection, meter_id, date(2000, 1, 1), date(2100, 1, 1))
    return {bill.day: (bill.consumption, bill.cost_minor) for bill in found if bill.entries}


async def entries_of(pool: Pool, meter_id: int) -> list[tuple[date, int, int, str]]:
    async with pool.connection() as connection:
        found = await meter_bills.bill_entries(
            connection, meter_id, date(2000, 1, 1), date(2100, 1, 1), limit=10_000
        )
    return [(entry.day, entry.number, entry.change_minor, entry.reason) for entry in found]


async def wallet_of(pool: Pool, unit_id: int) -> UnitWallet:
    async with pool.connection() as connection:
        found = await unit_wallets.wallet_of_unit(connection, unit_id)
    assert found is not None
    return found


async def commands_of(pool: Pool, device_id: int) -> list[DeviceCommand]:
    async with pool.connection() as connection:
        return await device_commands.list_commands(connection, device_id, limit=100)


async def supply_of(pool: Pool, meter_id: int) -> str:
    async with pool.connection() as connection:
        meter = await meters.get_meter(connection, meter_id)
    assert meter is not None
    return meter.supply


async def counts(pool: Pool) -> tuple[int, ...]:
    """How many rows there are of everything that a run could add to."""
    tables = ("transfers", "meter_bills", "meter_bill_entries", "device_commands", "outbox")
    async with pool.connection() as connection:
        found = [await fetch_value(connection, f"SELECT count(*) FROM {table}", {}) for table in tables]
        assert await ledger.trial_balance(connection) in ({}, {"ZAR": 0})
    return tuple(int(each) for each in found)


def local(day: int, hour: int = 0, minute: int = 0, *, month: int = 11) -> datetime:
    """A time of 2026 on Johannesburg's wall clock."""
    return datetime(2026, month, 1, hour, minute, tzinfo=UTC) + timedelta(days=day - 1, hours=-2)


def command_ids(commands: Iterable[DeviceCommand]) -> set[UUID]:
    return {command.id for command in commands}
