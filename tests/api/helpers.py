"""People, a clock that stands still, chargers and batteries at the other end of the bus."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI
from nats.aio.client import Client
from nats.aio.msg import Msg

from storage.database import Connection, Pool
from storage.queries import chargers, devices, sessions, users

PASSWORD = "correct horse"
SECRET = "0123456789abcdef0123456789abcdef"
CHARGER = "CP-1"


class Clock:
    """Stands still until it is moved; starts at the system's time, which rate limits and databases keep."""

    def __init__(self) -> None:
        self.now_us = time.time_ns() // 1_000

    def __call__(self) -> int:
        return self.now_us

    def advance(self, seconds: float) -> None:
        self.now_us += int(seconds * 1_000_000)

    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.now_us / 1e6, UTC)


class Codes:
    """A sender that keeps the codes, by phone."""

    def __init__(self) -> None:
        self.sent: dict[str, str] = {}

    async def send(self, connection: Connection, user: users.User, code: str, now: datetime) -> None:
        assert user.phone is not None
        self.sent[user.phone] = code


@dataclass(frozen=True)
class Service:
    app: FastAPI
    client: httpx.AsyncClient


@dataclass(frozen=True)
class Person:
    id: int
    headers: dict[str, str]
    login: dict[str, Any] = field(default_factory=dict)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def evcms_person(
    api: httpx.AsyncClient, pool: Pool, password_hash: str, role: str, name: str | None = None
) -> Person:
    email = f"{name or role}@example.com"
    async with pool.connection() as db:
        user = await users.insert_user(
            db, system="evcms", role=role, name=name or role, email=email, password_hash=password_hash
        )
    answer = await api.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return Person(user.id, bearer(data["accessToken"]), data)


async def ienerzy_person(
    api: httpx.AsyncClient, pool: Pool, codes: Codes, role: str, phone: str, dealer_id: int | None = None
) -> Person:
    async with pool.connection() as db:
        user = await users.insert_user(
            db, system="ienerzy", role=role, name=role.title(), phone=phone, dealer_id=dealer_id
        )
    answer = await api.post("/api/auth/login", json={"phone": phone, "userType": role})
    assert answer.status_code == 200, answer.text
    verified = await api.post("/api/auth/verify-otp", json={"phone": phone, "otp": codes.sent[phone]})
    assert verified.status_code == 200, verified.text
    return Person(user.id, bearer(verified.json()["token"]), verified.json())


async def make_charger(
    pool: Pool, identity: str = CHARGER, owner_id: int | None = None, *, online: bool = True
) -> int:
    """A charger with one available connector; returns its device id."""
    async with pool.connection() as db:
        device = await devices.register_device(db, "charger", identity, owner_id=owner_id, name="Gate 1")
        if online:
            await chargers.charger_connected(db, device.id, "gateway", "1.6")
        at = datetime.now(UTC)
        await chargers.charger_booted(
            db, device.id, vendor="Acme", model="AC22", firmware="1.0", serial=None, at=at
        )
        await chargers.set_connector_status(db, device.id, 1, "Available", "NoError", at)
    return device.id


Reaction = Callable[[str, dict[str, Any]], Awaitable[Mapping[str, Any] | None]]


@asynccontextmanager
async def gateway(bus: Client, device_id: int, react: Reaction) -> AsyncIterator[list[tuple[str, Any]]]:
    """Answer calls to this charger as the OCPP gateway does; None is no answer at all."""
    calls: list[tuple[str, Any]] = []

    async def take(message: Msg) -> None:
        request = json.loads(message.data)
        calls.append((request["action"], request["payload"]))
        reply = await react(request["action"], request["payload"])
        if reply is not None:
            await message.respond(json.dumps(reply).encode())

    subscription = await bus.subscribe(f"gridwire.charger.{device_id}.call", cb=take)
    try:
        yield calls
    finally:
        await subscription.unsubscribe()


def result(**payload: Any) -> dict[str, Any]:
    return {"outcome": "result", "payload": payload}


async def begin_session(
    pool: Pool, device_id: int, user_id: int | None, at: datetime, *, id_tag: str = "TAG", meter: int = 1_000
) -> int:
    async with pool.connection() as db:
        session, _ = await sessions.start_session(
            db,
            device_id=device_id,
            connector_id=1,
            id_tag=id_tag,
            user_id=user_id,
            vehicle_id=None,
            started_at=at,
            received_at=at,
            meter_start_wh=meter,
        )
    return session.id
