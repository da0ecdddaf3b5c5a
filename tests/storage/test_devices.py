import asyncio
from datetime import timedelta
from decimal import Decimal

from storage.database import Connection, Pool, fetch_value
from storage.queries.batteries import find_battery, insert_battery
from storage.queries.chargers import (
    charger_booted,
    charger_connected,
    charger_disconnected,
    charger_heartbeat,
    count_connected,
    disconnect_gateway,
    get_charger,
    list_connectors,
    set_charger_station,
    set_connector_status,
)
from storage.queries.devices import (
    find_device,
    get_device,
    list_devices,
    register_device,
    set_device_owner,
    set_device_secret,
    set_device_status,
    touch_devices,
)
from storage.queries.id_tokens import find_token, put_token
from storage.queries.pricing_rules import place_at_charger
from storage.queries.stations import (
    default_tariff,
    get_station,
    get_tariff,
    insert_station,
    insert_tariff,
    list_stations,
    tariff_named,
)
from tests.storage.people import NOON, make_charger, make_user


async def test_registering_twice_keeps_the_first(connection: Connection) -> None:
    first = await register_device(connection, "charger", "CP-1", status="quarantined", name="Gate")
    again = await register_device(connection, "charger", "cp-1", status="active", name="Other")
    assert again == first
    assert (first.identity, first.status, first.name) == ("CP-1", "quarantined", "Gate")
    other_kind = await register_device(connection, "battery", "CP-1")
    assert other_kind.id != first.id
    assert await find_device(connection, "charger", "Cp-1") == first
    assert await find_device(connection, "meter", "CP-1") is None


async def test_many_processes_register_one_device(pool: Pool) -> None:
    async def register(number: int) -> int:
        async with pool.connection() as connection:
            return (await register_device(connection, "charger", f"CP-{number % 3}")).id

    ids = await asyncio.gather(*(register(number) for number in range(30)))
    assert len(set(ids)) == 3
    async with pool.connection() as connection:
        assert await fetch_value(connection, "SELECT count(*) FROM chargers", {}) == 3


async def test_a_battery_is_linked_whichever_comes_first(connection: Connection) -> None:
    dealer = await make_user(connection, "Dealer", "ienerzy", "dealer")
    entered = await insert_battery(connection, "BAT-1", health_score=Decimal(90), dealer_id=dealer)
    assert entered.device_id is None
    device = await register_device(connection, "battery", "bat-1")
    linked = await find_battery(connection, "Bat-1")
    assert linked is not None
    assert (linked.id, linked.device_id, linked.dealer_id) == (entered.id, device.id, dealer)

    reported = await register_device(connection, "battery", "BAT-2")
    claimed = await insert_battery(connection, "bat-2", health_score=Decimal(80), dealer_id=dealer)
    assert (claimed.device_id, claimed.dealer_id, claimed.health_score) == (reported.id, dealer, Decimal(80))


async def test_changes_return_the_device_or_none(connection: Connection) -> None:
    device = await make_charger(connection)
    owner = await make_user(connection, "Brand", role="brand")
    await set_device_status(connection, device.id, "archived")
    await set_device_owner(connection, device.id, owner)
    after = await set_device_secret(connection, device.id, "hash")
    assert after is not None
    assert (after.status, after.owner_id, after.secret_hash) == ("archived", owner, "hash")
    assert await get_device(connection, device.id) == after
    assert await set_device_status(connection, 999, "active") is None


async def test_touch_never_goes_back(connection: Connection) -> None:
    ids = [(await make_charger(connection, f"CP-{number}")).id for number in range(3)]
    await touch_devices(connection, ids, NOON)
    await touch_devices(connection, ids[:1], NOON - timedelta(hours=1))
    await touch_devices(connection, ids[1:2], NOON + timedelta(hours=1))
    seen = [(await get_device(connection, device_id)) for device_id in ids]
    times = [device.last_seen_at for device in seen if device is not None]
    assert times == [NOON, NOON + timedelta(hours=1), NOON]


async def test_pages_of_devices_concatenate_to_the_list(connection: Connection) -> None:
    for number in range(7):
        status = "quarantined" if number % 2 else "active"
        await register_device(connection, "charger", f"CP-{number}", status=status)
    whole = await list_devices(connection, limit=100)
    pages, after_id = [], 0
    while page := await list_devices(connection, after_id=after_id, limit=3):
        pages += page
        after_id = page[-1].id
    assert pages == whole
    assert len(whole) == 7
    assert len(await list_devices(connection, kind="charger", status="quarantined", limit=100)) == 3
    assert await list_devices(connection, kind="battery", limit=100) == []


async def test_the_late_close_of_an_old_socket_changes_nothing(connection: Connection) -> None:
    device = await make_charger(connection)
    old = await charger_connected(connection, device.id, "gateway-1", "1.6")
    new = await charger_connected(connection, device.id, "gateway-2", "1.6")
    assert new == old + 1
    assert not await charger_disconnected(connection, device.id, old)
    charger = await get_charger(connection, device.id)
    assert charger is not None
    assert (charger.is_connected, charger.gateway) == (True, "gateway-2")
    assert await charger_disconnected(connection, device.id, new)
    assert not await charger_disconnected(connection, device.id, new)
    assert await count_connected(connection) == 0


async def test_a_gateway_that_starts_ends_its_earlier_life(connection: Connection) -> None:
    mine, other = await make_charger(connection, "CP-1"), await make_charger(connection, "CP-2")
    await charger_connected(connection, mine.id, "gateway-1", "1.6")
    await charger_connected(connection, other.id, "gateway-2", "1.6")
    assert await disconnect_gateway(connection, "gateway-1") == [mine.id]
    assert await disconnect_gateway(connection, "gateway-1") == []
    assert await count_connected(connection) == 1


async def test_boot_and_heartbeat_are_kept(connection: Connection) -> None:
    device = await make_charger(connection)
    registration = await charger_booted(
        connection, device.id, vendor="Acme", model="X1", firmware="1.0", serial="S1", at=NOON
    )
    assert registration == "Accepted"
    await charger_booted(
        connection, device.id, vendor="Acme", model="X2", firmware=None, serial=None, at=NOON
    )
    await charger_heartbeat(connection, device.id, NOON - timedelta(minutes=1))
    charger = await get_charger(connection, device.id)
    assert charger is not None
    assert (charger.vendor, charger.model, charger.firmware) == ("Acme", "X2", "1.0")
    assert charger.last_heartbeat_at == charger.last_seen_at == NOON


async def test_an_older_status_never_replaces_a_newer(connection: Connection) -> None:
    device = await make_charger(connection)
    late = NOON - timedelta(seconds=1)
    assert await set_connector_status(connection, device.id, 1, "Charging", "NoError", NOON)
    assert not await set_connector_status(connection, device.id, 1, "Available", "NoError", late)
    assert await set_connector_status(connection, device.id, 1, "Faulted", "GroundFailure", NOON)
    assert await set_connector_status(connection, device.id, 0, "Available", "NoError", late)
    connectors = await list_connectors(connection, device.id)
    assert [(item.connector_id, item.status) for item in connectors] == [(0, "Available"), (1, "Faulted")]
    assert connectors[1].error_code == "GroundFailure"


async def test_first_status_notifications_at_once(pool: Pool) -> None:
    async with pool.connection() as connection:
        device = await make_charger(connection)

    async def notify(number: int) -> None:
        async with pool.connection() as connection:
            at = NOON + timedelta(seconds=number)
            await set_connector_status(connection, device.id, number % 3, f"S{number}", "NoError", at)

    await asyncio.gather(*(notify(number) for number in range(12)))
    async with pool.connection() as connection:
        connectors = await list_connectors(connection, device.id)
    assert [item.status for item in connectors] == ["S9", "S10", "S11"]


async def test_tokens_are_found_in_any_case(connection: Connection) -> None:
    one, two = await make_user(connection, "One"), await make_user(connection, "Two")
    await put_token(connection, "AbC123", one)
    await put_token(connection, "abc123", two, status="Blocked", expires_at=NOON)
    token = await find_token(connection, "ABC123")
    assert token is not None
    assert (token.user_id, token.status, token.expires_at, token.user_status) == (
        two,
        "Blocked",
        NOON,
        "active",
    )
    assert await find_token(connection, "nobody") is None


async def test_a_charger_has_its_stations_tariff_or_the_default(connection: Connection) -> None:
    device = await make_charger(connection)
    assert (await place_at_charger(connection, device.id, 1, "UTC")).tariff_id is None
    tariff = await insert_tariff(connection, "fast", energy_minor_per_kwh=2500, time_minor_per_minute=100)
    owner = await make_user(connection, "Brand", role="brand")
    station = await insert_station(connection, "North", owner_id=owner, tariff_id=tariff.id)
    plain = await insert_station(connection, "South")
    assert await set_charger_station(connection, device.id, station.id)
    place = await place_at_charger(connection, device.id, 1, "UTC")
    assert (place.tariff_id, place.time_zone) == (tariff.id, "Asia/Kolkata")
    assert await tariff_named(connection, "fast") == await get_tariff(connection, tariff.id) == tariff
    await set_charger_station(connection, device.id, plain.id)
    assert (await place_at_charger(connection, device.id, 1, "UTC")).tariff_id is None
    assert (await default_tariff(connection)).name == "default"
    assert not await set_charger_station(connection, 999, station.id)
    assert await get_station(connection, station.id) == station
    assert await list_stations(connection, owner_id=owner, limit=10) == [station]
    assert await list_stations(connection, after_id=station.id, limit=10) == [plain]
