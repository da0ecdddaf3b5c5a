"""From a battery's samples to the task that opens a ticket, in the transaction that writes the alarm."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from nats.aio.client import Client

from storage.database import Pool
from storage.queries import batteries, devices, users
from stream.health.job import run_due

NOW = datetime.now(UTC).replace(microsecond=0)
SAMPLE = """
INSERT INTO battery_samples (ts, device_id, received_at, temperatures_c, current_a)
VALUES (%(ts)s, %(device_id)s, now(), %(temperatures_c)s, 0)
"""


async def hot_battery(pool: Pool, serial: str, dealer_id: int | None) -> None:
    """Enter a battery and report a minute of 65 degrees of it."""
    async with pool.connection() as db:
        await batteries.insert_battery(db, serial, health_score=Decimal(90), dealer_id=dealer_id)
        device = await devices.register_device(db, "battery", serial)
        for number in range(7):
            ts = NOW - timedelta(seconds=120 - 10 * number)
            await db.execute(SAMPLE, {"ts": ts, "device_id": device.id, "temperatures_c": [65.0]})
        await devices.touch_devices(db, [device.id], NOW)


async def test_a_critical_alarm_of_a_dealers_battery_is_followed_once(pool: Pool, bus: Client) -> None:
    async with pool.connection() as db:
        dealer = await users.insert_user(
            db, system="ienerzy", role="dealer", name="Dealer", phone="+919876543210"
        )
    await hot_battery(pool, "DEALERS", dealer.id)
    await hot_battery(pool, "NOBODYS", None)
    await run_due(pool, bus, NOW)
    await run_due(pool, bus, NOW + timedelta(minutes=1))
    async with pool.connection() as db:
        tasks: list[tuple[Any, ...]] = await (
            await db.execute("SELECT payload FROM outbox WHERE kind = 'alarm_ticket'")
        ).fetchall()
        alarms = await (
            await db.execute(
                "SELECT battery_alarms.id, serial_number FROM battery_alarms JOIN batteries"
                " ON batteries.id = battery_id ORDER BY serial_number"
            )
        ).fetchall()
    assert [serial for _, serial in alarms] == ["DEALERS", "NOBODYS"]
    assert tasks == [({"alarm_id": alarms[0][0]},)]
