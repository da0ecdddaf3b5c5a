"""A small Ienerzy world for tests: batteries with and without a device, and short forms of requests."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx

from storage.database import Pool
from storage.queries import batteries, devices
from storage.queries.batteries import Battery
from storage.queries.battery_assignments import assign_battery
from tests.api.helpers import Codes, Person, ienerzy_person

HEALTH = Decimal(100)
PHONES = {"technician": "+919876543220", "admin": "+919876543221"}
AADHAAR = "234123412346"  # its check digit is right
PAN = "ABCDE1234F"


@dataclass(frozen=True)
class World:
    """Two dealers, a consumer and a technician of the first, an admin, and the first dealer's battery.

    The battery `BAT001` is the consumer's and has a device that was never heard of.
    """

    api: httpx.AsyncClient
    pool: Pool
    codes: Codes
    dealer: Person
    other_dealer: Person
    consumer: Person
    technician: Person
    admin: Person
    battery: Battery

    async def person(self, role: str, phone: str, dealer_id: int | None = None) -> Person:
        """Make one more account and sign it in."""
        return await ienerzy_person(self.api, self.pool, self.codes, role, phone, dealer_id)

    async def add_battery(
        self, serial: str, dealer: Person | None = None, consumer: Person | None = None
    ) -> Battery:
        """Enter a battery of a dealer (the first one) and give it to a consumer."""
        return await make_battery(self.pool, serial, dealer or self.dealer, consumer)

    async def call(self, who: Person | None, method: str, path: str, status: int = 200, **kwargs: Any) -> Any:
        """Send a request below /api; returns the answer's JSON once its status is as expected."""
        headers = {} if who is None else who.headers
        answer = await self.api.request(method, f"/api{path}", headers=headers, **kwargs)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return json.loads(answer.content) if is_json else answer.content


async def make_battery(pool: Pool, serial: str, dealer: Person, consumer: Person | None) -> Battery:
    """Enter a battery with its device, as POST /api/batteries does, and assign it."""
    async with pool.connection() as db:
        made = await batteries.insert_battery(db, serial, health_score=HEALTH, dealer_id=dealer.id)
        device = await devices.register_device(db, "battery", serial)
        await devices.set_device_status(db, device.id, "active")
        if consumer is not None:
            await assign_battery(db, made.id, consumer.id, assigned_by=dealer.id, now=datetime.now(UTC))
        found = await batteries.find_battery(db, serial)
    assert found is not None
    return found


async def hear_of(pool: Pool, battery: Battery, at: datetime) -> None:
    """Have the battery's device heard of at a time."""
    assert battery.device_id is not None
    async with pool.connection() as db:
        await devices.touch_devices(db, [battery.device_id], at)
