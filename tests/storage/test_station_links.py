"""A station's labels and a charger's connectors find each other, whichever comes first."""

from datetime import UTC, datetime
from decimal import Decimal

from storage.database import Connection
from storage.queries import chargers, devices, station_connectors, stations
from storage.queries.station_connectors import Offer

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def offer(label: str, type_: str = "CCS", power_kw: int = 50) -> Offer:
    return Offer(label, type_, Decimal(power_kw), None, None, None)


async def station_with(connection: Connection, *labels: str) -> int:
    station = await stations.insert_station(connection, "S")
    await station_connectors.put_offers(connection, station.id, [offer(label) for label in labels])
    return station.id


async def charger(connection: Connection, identity: str) -> int:
    device_id = (await devices.register_device(connection, "charger", identity)).id
    await chargers.charger_connected(connection, device_id, "gateway", "1.6")
    return device_id


async def report(connection: Connection, device_id: int, *numbers: int) -> None:
    for number in numbers:
        await chargers.set_connector_status(connection, device_id, number, "Available", "NoError", NOW)


async def links(connection: Connection, station_id: int) -> list[tuple[str, int | None, int | None]]:
    found = await station_connectors.list_station_connectors(connection, [station_id])
    return [(each.label, each.device_id, each.connector_id) for each in found]


async def test_the_charger_comes_after_the_station(connection: Connection) -> None:
    station_id, device_id = await station_with(connection, "A", "B"), await charger(connection, "CP-1")
    await chargers.set_charger_station(connection, device_id, station_id)
    assert await links(connection, station_id) == [("A", None, None), ("B", None, None)]
    await report(connection, device_id, 0, 1)
    assert await links(connection, station_id) == [("A", device_id, 1), ("B", None, None)]
    await report(connection, device_id, 2, 1)
    assert await links(connection, station_id) == [("A", device_id, 1), ("B", device_id, 2)]
    own = await chargers.list_connectors(connection, device_id)
    assert [(each.type, each.power_kw) for each in own[1:]] == [("CCS", 50.0), ("CCS", 50.0)]


async def test_the_station_comes_after_the_charger(connection: Connection) -> None:
    device_id = await charger(connection, "CP-1")
    await report(connection, device_id, 0, 1, 2, 3)
    station_id = await station_with(connection, "1")
    await chargers.set_charger_station(connection, device_id, station_id)
    assert await links(connection, station_id) == [
        ("1", device_id, 1), ("2", device_id, 2), ("3", device_id, 3),
    ]  # fmt: skip
    found = await station_connectors.list_station_connectors(connection, [station_id])
    assert [(each.type, each.power_kw) for each in found] == [("CCS", 50.0), ("Type2", 22.0), ("Type2", 22.0)]


async def test_a_second_charger_takes_what_is_left(connection: Connection) -> None:
    station_id = await station_with(connection, "1", "2", "3")
    first, second = await charger(connection, "CP-1"), await charger(connection, "CP-2")
    for device_id in (first, second):
        await chargers.set_charger_station(connection, device_id, station_id)
        await report(connection, device_id, 1, 2)
    assert await links(connection, station_id) == [
        ("1", first, 1), ("2", first, 2), ("3", second, 1), ("4", second, 2),
    ]  # fmt: skip


async def test_a_charger_that_moves_frees_its_labels(connection: Connection) -> None:
    old, new = await station_with(connection, "1", "2"), await station_with(connection, "X")
    device_id = await charger(connection, "CP-1")
    await report(connection, device_id, 1, 2)
    await chargers.set_charger_station(connection, device_id, old)
    await chargers.set_charger_station(connection, device_id, new)
    assert await links(connection, old) == [("1", None, None), ("2", None, None)]
    assert await links(connection, new) == [("X", device_id, 1), ("1", device_id, 2)]
    await chargers.set_charger_station(connection, device_id, None)
    assert await links(connection, new) == [("X", None, None), ("1", None, None)]


async def test_a_charger_that_is_gone_leaves_its_labels_to_the_next(connection: Connection) -> None:
    station_id = await station_with(connection, "1", "2")
    old, new = await charger(connection, "CP-1"), await charger(connection, "CP-2")
    await chargers.set_charger_station(connection, old, station_id)
    await report(connection, old, 1, 2)
    await station_connectors.unlink_charger(connection, old)
    await chargers.set_charger_station(connection, new, station_id)
    await report(connection, new, 1)
    assert await links(connection, station_id) == [("1", new, 1), ("2", None, None)]
    await station_connectors.link_charger(connection, old)
    assert await links(connection, station_id) == [("1", new, 1), ("2", old, 1), ("3", old, 2)]
