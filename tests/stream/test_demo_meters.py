from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from simulators.meter_fleet import MeterIdentity, meter_identities
from simulators.meter_makes import read_codec
from storage.database import Connection, Pool
from storage.queries import devices, meters, profiles, residents, unit_wallets, units, users
from storage.queries import meter_tariffs as tariffs
from stream.demo_meters import (
    ADMIN_EMAIL,
    CREDIT_MINOR,
    SMALL_CREDIT_MINOR,
    TARIFFS,
    DemoCodec,
    DemoMeter,
    households,
    register_meters,
)
from stream.metering.tariff import tariff_of

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PHONE = "+27825550001"


def demo_meter(found: MeterIdentity) -> DemoMeter:
    """What the command line makes of a simulated meter."""
    make = found.make
    codec = None if make.codec is None else read_codec(make.codec)
    return DemoMeter(
        found.identity, make.utility, "LoRaWAN" if make.carrier == "lorawan" else "NB-IoT",
        found.profile(60), make.quantity, make.channel,
        register_modulus=Decimal(str(make.modulus * make.scale)),
        codec=None if codec is None else DemoCodec(codec.name, codec.source, codec.examples),
        key=found.key, token="a-long-token" if found.way == "coap" else None,
    )  # fmt: skip


async def register(connection: Connection, lorawan: int, nbiot: int) -> None:
    demo = [demo_meter(each) for each in meter_identities(lorawan, nbiot)]
    await register_meters(
        connection, demo, resident_phone=PHONE, password_hash="$argon2id$demo", now=NOW + timedelta(hours=1)
    )


async def counts(connection: Connection) -> list[int]:
    tables = (
        "estates", "units", "persons", "users", "unit_owners", "devices", "device_profiles", "codecs",
        "meters", "meter_installations", "meter_tariffs", "meter_tariff_assignments", "transfers",
    )  # fmt: skip
    found = []
    for table in tables:
        rows = await connection.execute(f"SELECT count(*) FROM {table}")
        found.extend(await rows.fetchall())
    return [count for (count,) in found]


async def test_a_second_start_changes_nothing_and_a_larger_fleet_moves_none(pool: Pool) -> None:
    async with pool.connection() as connection:
        await register(connection, 0, 6)
        await register(connection, 8, 6)
        before = await counts(connection)
        await register(connection, 8, 6)
        assert await counts(connection) == before
        await register(connection, 12, 8)
        after = await counts(connection)
    assert after[8] == before[8] + 6
    assert after[0] == before[0] == 1


async def test_everything_that_a_resident_and_a_payload_need_is_there(pool: Pool) -> None:
    async with pool.connection() as connection:
        await register(connection, 8, 6)
        account = await residents.find_account(connection, PHONE)
        assert account is not None
        assert not account.password_must_change
        first, second, *_ = await units.list_units(
            connection, estate_id=None, query=None, after_id=0, limit=9
        )
        found = await meters.list_unit_meters(connection, first.id)
        assert [each.utility_type for each in found] == ["electricity", "water", "gas", "heat"]
        for meter in found:
            device = await devices.find_device(connection, "meter", meter.serial_number)
            assert device is not None
            assert await profiles.profile_of_device(connection, device.id) is not None
            (installed,) = await meters.installations(connection, meter.id)
            assert installed.device_id == device.id
            assert (await tariffs.assignments(connection, meter.id))[0].name == f"Demo {meter.utility_type}"
            has_key = "payload_aes" in await profiles.device_keys(connection, device.id)
            assert has_key == (meter.utility_type == "heat")
        wallet, poor = [await unit_wallets.wallet_of_unit(connection, unit.id) for unit in (first, second)]
        assert wallet is not None
        assert poor is not None
        assert (wallet.balance_minor, poor.balance_minor) == (CREDIT_MINOR, SMALL_CREDIT_MINOR)
        admin = await users.ensure_user(connection, system="mobile", role="admin", name="", email=ADMIN_EMAIL)
        assert admin.name == "Demo Portal"


@pytest.mark.parametrize("definition", TARIFFS.values(), ids=TARIFFS)
def test_the_demo_tariffs_can_be_read(definition: Any) -> None:
    tariff_of(definition)


def test_a_unit_has_one_meter_of_a_utility() -> None:
    shares = households([demo_meter(each) for each in meter_identities(40, 20)])
    assert sum(map(len, shares.values())) == 60
    for share in shares.values():
        assert len({each.utility for each in share}) == len(share)
    assert next(iter(shares)) == "LoRaWAN 001"
