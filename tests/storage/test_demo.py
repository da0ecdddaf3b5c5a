"""What `gridwire up` puts into an empty database, and into one that it finds."""

from datetime import UTC, datetime

import pytest

from storage import demo, ledger
from storage.database import Connection
from storage.queries.chargers import charger_connected, set_connector_status
from storage.queries.devices import register_device
from storage.queries.places import list_places, near_places, update_place
from storage.queries.station_connectors import list_station_connectors
from storage.queries.users import find_by_email

NOW = datetime(2026, 5, 1, tzinfo=UTC)
BENGALURU = (12.97, 77.60)
BOX = (77.0, 12.5, 78.0, 13.5)


async def test_the_station_is_found_and_has_prices_and_a_second_start_changes_nothing(
    connection: Connection,
) -> None:
    accounts = await demo.register_accounts(connection, "hash", "+919876543210")
    await demo.register_chargers(connection, ["SIM-CP-0001"], "secret", accounts.brand.id, NOW)
    (near,) = await near_places(connection, *BENGALURU, 5_000, [BOX], limit=10)
    assert (near.name, near.city, near.owner_id) == (demo.STATION_NAME, "Bengaluru", accounts.brand.id)
    device = await register_device(connection, "charger", "SIM-CP-0001")
    await charger_connected(connection, device.id, "gateway", "1.6")
    for number in (1, 2):
        await set_connector_status(connection, device.id, number, "Available", "NoError", NOW)
    offered = await list_station_connectors(connection, [near.id])
    assert [(each.label, each.type, each.base_price_minor, each.status) for each in offered] == [
        ("1", "CCS", 1_850, "Available"),
        ("2", "Type2", 1_500, "Available"),
    ]

    await update_place(connection, near.id, NOW, address="Moved")
    await demo.register_chargers(connection, ["SIM-CP-0001", "SIM-CP-0002"], "secret", accounts.brand.id, NOW)
    (place,), total = await list_places(connection, limit=10)
    assert (place.address, total) == ("Moved", 1)
    assert await list_station_connectors(connection, [near.id]) == offered


async def test_a_driver_is_credited_once_whatever_the_amount_was(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "CREDIT_MINOR", 1_000)
    for _ in range(2):
        await demo.register_drivers(connection, 1, "hash")
        monkeypatch.setattr(demo, "CREDIT_MINOR", 2_000)
    driver = await find_by_email(connection, "evcms", demo.DRIVER_EMAIL.format(1))
    assert driver is not None
    wallet = await ledger.wallet(connection, driver.id)
    assert wallet is not None
    assert wallet.balance_minor == 1_000
