"""An estate with people in it, made through the portal as an office would."""

import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import numpy as np
from nats.aio.client import Client

from protocols.quantities import CODES
from storage.database import Pool
from storage.hypertables import METER_SAMPLES
from storage.partitions import ensure_partitions
from storage.queries import devices, metering_due
from stream.jobs import JobsConfig, work_one
from stream.metering.billing import bill_due
from stream.notices import Senders
from stream.providers import ProviderError
from stream.push import PushMessage
from stream.sms import TextMessage
from tests.api.helpers import Clock, bearer

PASSWORD = "MyNewPass123"
ZONE = ZoneInfo("Africa/Johannesburg")
PORTAL = "/api/mobile/admin"
APP = "/api/mobile"
OWNER_PHONE = "+27821234567"
TENANT_PHONE = "+27831234567"
STRANGER_PHONE = "+27841234567"
FLAT = {"energy": {"kind": "flat", "price_minor": "250"}}


@dataclass
class Texts:
    """An SMS provider that keeps what it was given, or fails as it is told."""

    name: str = "kept"
    sent: list[TextMessage] = field(default_factory=list)
    failure: ProviderError | None = None

    async def send(self, message: TextMessage) -> str:
        if self.failure is not None:
            raise self.failure
        self.sent.append(message)
        return f"kept-{len(self.sent)}"

    def to(self, phone: str) -> list[str]:
        return [message.body for message in self.sent if message.phone == phone]


@dataclass
class Pushes:
    name: str = "kept"
    sent: list[PushMessage] = field(default_factory=list)

    async def send(self, message: PushMessage) -> str:
        self.sent.append(message)
        return f"kept-{len(self.sent)}"


@dataclass
class Portal:
    """The office's browser: every call must succeed."""

    api: httpx.AsyncClient
    headers: dict[str, str]

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.api.post(f"{PORTAL}{path}", json=body, headers=self.headers)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()  # type: ignore[no-any-return]

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = await self.api.get(f"{PORTAL}{path}", params=query, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    async def person(self, phone: str, name: str = "John") -> int:
        made = await self.post("/persons", first_name=name, last_name="Doe", phone=phone, email=None)
        return int(made["id"])

    async def unit(self, estate_id: int, number: str) -> int:
        return int((await self.post("/units", estate_id=estate_id, unit_number=number))["unit"]["id"])

    async def meter(self, unit_id: int, serial: str, utility: str = "electricity") -> int:
        made = await self.post(
            "/meters",
            unit_id=unit_id,
            serial_number=serial,
            utility_type=utility,
            device_type="Smart Meter",
            communication_type="LoRa",
        )
        return int(made["id"])


@dataclass
class App:
    """A phone with the app, signed in."""

    api: httpx.AsyncClient
    phone: str
    password: str
    login: dict[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.login["token"])

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.api.get(f"{APP}{path}", params=query, headers=self.headers)

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.api.request(method, f"{APP}{path}", json=body, headers={**self.headers, **headers})


@dataclass
class World:
    """One estate; 101 is owned by one person and rented by another, 102 is nobody's."""

    portal: Portal
    estate_id: int
    unit_id: int
    empty_unit_id: int
    meter_id: int
    foreign_meter_id: int
    owner: App
    tenant: App
    stranger: App
    mobile_user: dict[str, Any]


async def sign_in(api: httpx.AsyncClient, phone: str, password: str) -> App:
    body = {"phone_number": phone, "password": password}
    answer = await api.post(f"{APP}/auth/login", json=body)
    assert answer.status_code == 200, answer.text
    return App(api, phone, password, answer.json())


async def make_world(portal: Portal, clock: Clock) -> World:
    """Everything through the portal, with the tokens of three people."""
    api, today = portal.api, clock.moment().astimezone(ZONE).date()
    estate_id = int((await portal.post("/estates", name="Sunset Estate"))["id"])
    owner_id = await portal.person(OWNER_PHONE)
    added = await portal.post("/units", estate_id=estate_id, unit_number="101", owner={"person_id": owner_id})
    unit_id = int(added["unit"]["id"])
    tenant = await portal.post(
        f"/units/{unit_id}/tenants",
        person_id=await portal.person(TENANT_PHONE, "Jane"),
        monthly_rent=8500.0,
        lease_start_date=str(today - timedelta(days=10)),
        lease_end_date=str(today + timedelta(days=10)),
    )
    other_unit_id = await portal.unit(estate_id, "103")
    stranger = await portal.post(
        f"/units/{other_unit_id}/owners", person_id=await portal.person(STRANGER_PHONE, "Sam")
    )
    await portal.post(f"/units/{unit_id}/wallet")
    return World(
        portal,
        estate_id,
        unit_id,
        await portal.unit(estate_id, "102"),
        await portal.meter(unit_id, "MTR001"),
        await portal.meter(other_unit_id, "MTR900"),
        await _first_login(api, added),
        await _first_login(api, tenant),
        await _first_login(api, stranger),
        added["mobile_user"],
    )


async def _first_login(api: httpx.AsyncClient, added: dict[str, Any]) -> App:
    user = added["mobile_user"]
    return await sign_in(api, user["phone_number"], user["temporary_password"])


async def measure(
    pool: Pool, world: World, readings: list[tuple[datetime, float]], identity: str = "0102030405060708"
) -> int:
    """Let a device measure the world's meter: (time, register in Wh)."""
    async with pool.connection() as db:
        device = await devices.register_device(db, "meter", identity)
    first = min(at for at, _ in readings) - timedelta(hours=1)
    await world.portal.post(
        f"/meters/{world.meter_id}/installations",
        device_id=device.id,
        quantity="energy_import_wh",
        since=first.isoformat(),
    )
    await store(pool, device.id, readings)
    return device.id


async def store(pool: Pool, device_id: int, readings: list[tuple[datetime, float]]) -> None:
    """Put register samples where the writer puts them."""
    times_us = np.array([int(at.timestamp() * 1e6) for at, _ in readings], np.int64)
    async with pool.connection() as db:
        await ensure_partitions(db, METER_SAMPLES, times_us)
        for at, register in readings:
            await db.execute(
                "INSERT INTO meter_samples (device_id, ts, received_at, quantity, channel, value)"
                " VALUES (%s, %s, %s, %s, 0, %s)",
                (device_id, at, at, CODES["energy_import_wh"], register),
            )
        await metering_due.add(db, [device_id], [min(at for at, _ in readings)], "reading")


async def tariff(world: World, since: datetime, definition: dict[str, Any] = FLAT) -> None:
    """Give the world's meter a tariff: 2.50 a kWh."""
    made = await world.portal.post(
        "/meter-tariffs", name="Flat", utility_type="electricity", definition=definition
    )
    await world.portal.post(
        f"/meters/{world.meter_id}/tariffs", tariff_id=made["id"], since=since.isoformat()
    )


async def run_jobs(pool: Pool, bus: Client, clock: Clock, texts: Texts, pushes: Pushes | None = None) -> None:
    """Bill what is due, then carry out all that is due in the outbox."""

    def later() -> int:
        """The outbox's tasks are due by the database's clock, which does not stand still."""
        return max(clock(), time.time_ns() // 1_000)

    config = JobsConfig(later, senders=Senders(texts, pushes or Pushes()))
    while await bill_due(pool, bus, later):
        pass
    while await work_one(config, pool, bus):
        pass


def utc(day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
