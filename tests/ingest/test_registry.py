import asyncio

import pytest

from ingest.registry import Policy, Registry, RegistryBusyError
from storage.database import Pool
from storage.queries.devices import list_devices, register_device, set_device_status


class Clock:
    def __init__(self) -> None:
        self.us = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.us


async def count(pool: Pool) -> int:
    async with pool.connection() as connection:
        return len(await list_devices(connection, limit=1000))


@pytest.mark.parametrize(
    ("policy", "status"), [("register", "active"), ("quarantine", "quarantined"), ("reject", None)]
)
async def test_policy_decides_on_unknown_devices(pool: Pool, policy: Policy, status: str | None) -> None:
    device = await Registry(pool, policy, Clock()).resolve("charger", "CP1")
    assert (None if device is None else device.status) == status
    assert await count(pool) == (0 if status is None else 1)


async def test_identities_are_compared_without_case_and_by_kind(pool: Pool) -> None:
    registry = Registry(pool, "register", Clock())
    first = await registry.resolve("charger", "Box")
    assert await registry.resolve("charger", "bOX") is first
    other = await registry.resolve("battery", "Box")
    assert other is not None
    assert first is not None
    assert other.id != first.id


async def test_a_change_is_seen_once_the_answer_is_old(pool: Pool) -> None:
    clock = Clock()
    registry = Registry(pool, "reject", clock, ttl_s=10)
    assert await registry.resolve("charger", "CP1") is None
    async with pool.connection() as connection:
        made = await register_device(connection, "charger", "CP1")
    assert await registry.resolve("charger", "CP1") is None
    clock.us += 10_000_000
    found = await registry.resolve("charger", "CP1")
    assert found is not None
    assert found.status == "active"
    async with pool.connection() as connection:
        await set_device_status(connection, made.id, "archived")
    registry.forget("charger", "cp1")
    again = await registry.resolve("charger", "CP1")
    assert again is not None
    assert again.status == "archived"


async def test_many_who_ask_at_once_get_one_device(pool: Pool) -> None:
    registry = Registry(pool, "register", Clock())
    devices = await asyncio.gather(*(registry.resolve("battery", "B1") for _ in range(50)))
    assert len({id(device) for device in devices}) == 1
    assert await count(pool) == 1


async def test_registrations_a_minute_are_bounded(pool: Pool) -> None:
    clock = Clock()
    registry = Registry(pool, "quarantine", clock, registrations_per_minute=3)
    for number in range(3):
        assert await registry.resolve("charger", f"CP{number}") is not None
    with pytest.raises(RegistryBusyError, match="CP4"):
        await registry.resolve("charger", "CP4")
    assert await registry.resolve("charger", "CP0") is not None
    clock.us += 60_000_000
    assert await registry.resolve("charger", "CP4") is not None


async def test_memory_is_bounded(pool: Pool) -> None:
    registry = Registry(pool, "reject", Clock(), entries_max=10)
    for number in range(30):
        await registry.resolve("charger", f"CP{number}")
    assert len(registry._known) == 10


async def test_an_error_of_the_database_is_not_remembered(pool: Pool) -> None:
    registry = Registry(pool, "register", Clock())
    async with pool.connection() as connection:
        await connection.execute("ALTER TABLE devices RENAME TO gone")
    with pytest.raises(Exception, match="devices"):
        await registry.resolve("charger", "CP1")
    async with pool.connection() as connection:
        await connection.execute("ALTER TABLE gone RENAME TO devices")
    assert await registry.resolve("charger", "CP1") is not None
