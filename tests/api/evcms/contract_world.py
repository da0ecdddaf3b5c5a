"""A world in which every endpoint of the contract has something to work on; for the tests of the table."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, LiteralString

import httpx
from nats.aio.client import Client
from nats.aio.msg import Msg

from storage.database import Pool, fetch_value
from storage.queries import chargers
from storage.queries.id_tokens import find_token
from tests.api.evcms.booking_scene import end_session, enrich
from tests.api.evcms.people import charge, upload
from tests.api.helpers import PASSWORD, Clock, Person, begin_session, evcms_person, make_charger
from tests.stream.test_files import picture

WEALTH_MINOR = 500_000_000
API = "/api/v1"
Json = dict[str, Any]


@dataclass
class World:
    """`people` by role; `driver`, `brand` and `admin` own things, `stranger` and `rival` nothing.

    `make` makes a thing for a person and returns its id; `body` a good body for an endpoint.
    """

    api: httpx.AsyncClient
    pool: Pool
    clock: Clock
    password_hash: str
    people: dict[str, Person]
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    station: str = ""

    async def call(
        self, person: Person | None, method: str, path: str, status: int | None = None, **more: Any
    ) -> httpx.Response:
        headers = more.pop("headers", {}) | (person.headers if person else {})
        answer = await self.api.request(method, path, headers=headers, **more)
        assert status in {None, answer.status_code}, (method, path, more, answer.status_code, answer.text)
        return answer

    async def made(self, person: Person, method: str, path: str, body: Json | None = None) -> str:
        """What the call makes or changes; returns its id."""
        answer = await self.call(person, method, API + path, json=body)
        assert answer.is_success, (path, answer.text)
        return str(answer.json()["data"]["id"])

    async def count(self, query: LiteralString) -> int:
        async with self.pool.connection() as db:
            return int(await fetch_value(db, query, {}))

    async def someone(self, role: str = "user") -> Person:
        """A person of his own, with money."""
        name = f"{role}{next(self.numbers)}"
        person = await evcms_person(self.api, self.pool, self.password_hash, role, name)
        await enrich(self.pool, person.id, WEALTH_MINOR)
        return person

    async def place(self, owner: Person | None = None, **changes: Any) -> str:
        return await self.made(owner or self.people["brand"], "POST", "/stations", self._station(**changes))

    async def charger_at(self, station: str | None = None, owner: Person | None = None) -> tuple[int, str]:
        """A charger that is online; its id and its identity."""
        identity = f"CP-{next(self.numbers)}"
        owner = owner or self.people["brand"]
        device_id = await make_charger(self.pool, identity, owner.id)
        async with self.pool.connection() as db:
            await chargers.set_charger_station(db, device_id, int(station or self.station))
        return device_id, identity

    async def make(self, subject: str, person: Person) -> str:
        maker: Callable[[Person], Awaitable[str]] = getattr(self, "_make_" + subject.replace(" ", "_"))
        return await maker(person)

    async def _make_vehicle(self, person: Person) -> str:
        return await self.made(person, "POST", "/profile/vehicles", self._vehicle())

    async def _make_station(self, person: Person) -> str:
        return await self.place()

    async def _make_deleted_station(self, person: Person) -> str:
        station = await self.place()
        await self.call(self.people["admin"], "DELETE", f"{API}/stations/{station}", 200)
        return station

    async def _make_charger(self, person: Person) -> str:
        return str((await self.charger_at())[0])

    async def _make_archived_charger(self, person: Person) -> str:
        device_id, _ = await self.charger_at()
        await self.call(self.people["brand"], "PATCH", f"{API}/chargers/{device_id}/archive", 200)
        return str(device_id)

    async def order(self, person: Person, minutes: float = 120) -> Json:
        station = await self.place()
        await self.charger_at(station)
        return {
            "stationId": station,
            "connectorId": "1",
            "vehicleId": await self._make_vehicle(person),
            "scheduledTime": (self.clock.moment() + timedelta(minutes=minutes)).isoformat(),
            "estimatedDuration": 60,
        }

    async def _make_booking(self, person: Person) -> str:
        return await self.made(person, "POST", "/bookings", await self.order(person))

    async def _make_due_booking(self, person: Person) -> str:
        return await self.made(person, "POST", "/bookings", await self.order(person, 10))

    async def _make_active_booking(self, person: Person) -> str:
        booking = await self._make_due_booking(person)
        return await self.made(person, "PUT", f"/bookings/{booking}/start")

    async def _make_review(self, person: Person) -> str:
        booking = await self._make_active_booking(person)
        score = next(self.numbers) % 5 + 1
        body = {"energyConsumed": 1, "finalSoC": 80, "rating": {"score": score, "review": "Fine"}}
        await self.made(person, "PUT", f"/bookings/{booking}/complete", body)
        async with self.pool.connection() as db:
            query = "SELECT id FROM reviews WHERE booking_id = %(id)s"
            return str(await fetch_value(db, query, {"id": int(booking)}))

    async def _make_session(self, person: Person) -> str:
        device_id, _ = await self.charger_at()
        return str(await charge(self.pool, device_id, person.id, at=self.clock.moment() - timedelta(hours=2)))

    async def _make_active_session(self, person: Person) -> str:
        device_id, _ = await self.charger_at()
        return str(await begin_session(self.pool, device_id, person.id, self.clock.moment()))

    async def _make_rule(self, person: Person) -> str:
        body = await self._rule()
        return await self.made(self.people["admin"], "POST", "/pricing/rules", body)

    async def _make_invoice(self, person: Person) -> str:
        return await self.made(self.people["admin"], "POST", "/billing/invoices", self._invoice(person))

    async def payment(self, person: Person) -> str:
        body = {"amount": 100, "description": "Parking"}
        answer = await self.call(person, "POST", f"{API}/profile/wallet/pay", 200, json=body)
        return str(answer.json()["data"]["transaction"]["id"])

    async def _make_refund(self, person: Person) -> str:
        body = {"transactionId": await self.payment(person), "amount": 40, "reason": "Closed"}
        return await self.made(person, "POST", "/billing/refunds", body)

    async def _make_notification(self, person: Person) -> str:
        body = {"title": "Hello", "message": "World", "type": "system", "targetUsers": [str(person.id)]}
        return await self.made(self.people["admin"], "POST", "/notifications", body)

    async def _make_record(self, person: Person) -> str:
        return await self.made(self.people["brand"], "POST", "/maintenance", await self._work())

    async def _make_begun_record(self, person: Person) -> str:
        record = await self._make_record(person)
        return await self.made(self.people["brand"], "PUT", f"/maintenance/{record}/start")

    async def _make_ticket(self, person: Person) -> str:
        body = {"subject": "No power", "description": "Since noon", "category": "technical"}
        return await self.made(person, "POST", "/support/tickets", body)

    async def _make_resolved_ticket(self, person: Person) -> str:
        ticket = await self._make_ticket(person)
        change = {"status": "resolved"}
        return await self.made(self.people["admin"], "PUT", f"/support/tickets/{ticket}", change)

    async def _make_user(self, person: Person) -> str:
        return str((await self.someone()).id)

    async def _make_deleted_user(self, person: Person) -> str:
        user = await self._make_user(person)
        await self.call(self.people["admin"], "DELETE", f"{API}/admin/users/{user}", 200)
        return user

    async def _make_identified_user(self, person: Person) -> str:
        user = await self.someone()
        await self.call(user, "POST", f"{API}/kyc/submit", 201, json=await self._identity(user))
        return str(user.id)

    async def _make_franchise(self, person: Person) -> str:
        return await self.made(self.people["brand"], "POST", "/franchises", self._franchise())

    async def _make_upload(self, person: Person) -> str:
        form: Json = {"files": {"file": ("a.png", picture())}, "data": {"type": "profile"}}
        answer = await self.call(person, "POST", f"{API}/upload", 201, **form)
        return f"profile/{answer.json()['data']['filename']}"

    def _vehicle(self) -> Json:
        return {
            "make": "Tata",
            "model": "Nexon",
            "year": 2025,
            "batteryCapacity": 40.5,
            "registrationNumber": f"MH12AB{next(self.numbers):04d}",
        }

    def _station(self, **changes: Any) -> Json:
        return {
            "name": "Harbour",
            "address": f"{next(self.numbers)} Harbour Road",
            "location": {"type": "Point", "coordinates": [77.5946, 12.9716]},
            "connectors": [{"connectorId": "1", "type": "CCS", "power": 50, "pricing": {"basePrice": 15}}],
            **changes,
        }

    async def _rule(self) -> Json:
        prices = {"perKwhRate": 20, "discountPercentage": 10}
        station = await self.place()
        number = next(self.numbers)
        return {"name": f"Rule {number}", "stationId": station, "connectorType": "CCS", "rules": prices}

    def _invoice(self, person: Person) -> Json:
        items = [{"description": "Wall box", "quantity": 1, "rate": 750}]
        return {"userId": str(person.id), "items": items, "dueDate": "2099-12-31"}

    async def _work(self) -> Json:
        _, identity = await self.charger_at()
        date = "2026-03-01T09:00:00Z"
        work = {"chargerId": identity, "type": "preventive", "description": "Filters", "scheduledDate": date}
        return work | {"priority": "high"}

    def _franchise(self) -> Json:
        number = next(self.numbers)
        return {
            "name": f"North {number}",
            "location": "Pune",
            "contactPerson": "Asha",
            "phone": "+912012345678",
            "email": f"north{number}@example.com",
        }

    async def _identity(self, person: Person) -> Json:
        name = f"{next(self.numbers)}.png"
        front = await upload(self.pool, person.id, "document", name)
        return {"documentType": "pan", "documentNumber": "ABCDE1234F", "frontImage": front}

    async def body(self, row_id: str, person: Person) -> Json | None:
        """What a client sends to this endpoint and has taken; None where it takes no body."""
        if row_id in FIXED:
            return dict(FIXED[row_id])
        made: Callable[[Person], Awaitable[Json]] | None = getattr(self, f"_body_{row_id}", None)
        return None if made is None else await made(person)

    async def _body_001(self, person: Person) -> Json:
        email = f"new{next(self.numbers)}@example.com"
        return {"email": email, "password": PASSWORD, "name": "New", "phone": "+919876501234", "role": "user"}

    async def _body_002(self, person: Person) -> Json:
        return {"email": "user@example.com", "password": PASSWORD}

    async def _body_003(self, person: Person) -> Json:
        return {"refreshToken": (await self.someone()).login["refreshToken"]}

    async def _body_011(self, person: Person) -> Json:
        return self._vehicle()

    async def _body_020(self, person: Person) -> Json:
        return {"amount": 12.5, "description": "Parking"}

    async def _body_026(self, person: Person) -> Json:
        return self._station(ownerId=str(self.people["brand"].id))

    async def _body_034(self, person: Person) -> Json:
        number = next(self.numbers)
        make = {"manufacturer": "Acme", "model": "AC22"}
        return {"chargerId": f"NEW-{number}", "name": "Gate", "stationId": self.station, **make}

    async def _body_041(self, person: Person) -> Json:
        return await self.order(person)

    async def _body_049(self, person: Person) -> Json:
        _, identity = await self.charger_at()
        driver = str(self.people["user"].id)
        return {"chargerId": identity, "connectorId": 1, "userId": driver, "vehicleId": "MH12AB0001"}

    async def _body_052(self, person: Person) -> Json:
        return {"stationId": self.station, "connectorId": "1", "energyKwh": 10, "duration": 30}

    async def _body_056(self, person: Person) -> Json:
        return await self._rule()

    async def _body_061(self, person: Person) -> Json:
        return self._invoice(self.people["user"])

    async def _body_065(self, person: Person) -> Json:
        return {"transactionId": await self.payment(person), "amount": 40, "reason": "Closed"}

    async def _body_079(self, person: Person) -> Json:
        to = [str(self.people["user"].id)]
        return {"title": "Hello", "message": "World", "type": "system", "targetUsers": to}

    async def _body_080(self, person: Person) -> Json:
        return {"title": "Hello", "message": "World", "userIds": [str(self.people["user"].id)]}

    async def _body_083(self, person: Person) -> Json:
        _, identity = await self.charger_at()
        return {"chargerIds": [identity], "scheduledDate": "2026-03-01T09:00:00Z", "type": "preventive"}

    async def _body_084(self, person: Person) -> Json:
        return await self._work()

    async def _body_115(self, person: Person) -> Json:
        number = next(self.numbers)
        mail = f"p{number}@example.com"
        rest = {"phone": "+912012345678", "type": "installer", "address": "Pune"}
        return {"name": f"Partner {number}", "email": mail, **rest}

    async def _body_117(self, person: Person) -> Json:
        named = {"name": f"South {next(self.numbers)}", "location": "Goa", "contactPerson": "Ravi"}
        return named | {"agreement": "A-1", "ownerId": str(self.people["brand"].id)}

    async def _body_121(self, person: Person) -> Json:
        return await self._identity(person)

    async def _body_129(self, person: Person) -> Json:
        return self._franchise() | {"ownerId": str(self.people["brand"].id)}

    async def _body_131(self, person: Person) -> Json:
        return {"name": f"West {next(self.numbers)}"}

    def query(self, row_id: str) -> Json:
        """What must be asked for."""
        near = {"latitude": 12.9716, "longitude": 77.5946, "radius": 5_000}
        return near if row_id == "023" else {}


FIXED: dict[str, Json] = {
    "005": {"currentPassword": PASSWORD, "newPassword": "another horse"},
    "008": {"name": "Asha", "phone": "+919876500000"},
    "009": {"notifications": True, "language": "en", "theme": "dark"},
    "013": {"make": "Tata", "model": "Punch", "batteryCapacity": 35},
    "019": {"amount": 500, "paymentMethod": "upi"},
    "027": {"name": "Quay", "status": "active"},
    "035": {"name": "Gate 2"},
    "038": {"command": "Reset"},
    "043": {"energyConsumed": 1, "finalSoC": 80, "rating": {"score": 4, "review": "Fine"}},
    "044": {"reason": "Another day"},
    "050": {"reason": "Enough"},
    "057": {"isActive": False},
    "067": {"status": "approved", "adminNotes": "Fair"},
    "073": {"email": {"promotions": True}, "push": {"lowBalance": False}, "sms": {}, "inApp": {"all": True}},
    "086": {"status": "cancelled", "notes": "Not needed"},
    "089": {"notes": "Done", "partsReplaced": ["Filter"], "cost": 120.5},
    "091": {"subject": "No power", "description": "Since noon", "category": "technical", "priority": "low"},
    "094": {"priority": "high"},
    "095": {"comment": "Any news?", "attachments": []},
    "096": {"rating": 5, "feedback": "Quick"},
    "100": {"name": "Renamed"},
    "101": {"status": "suspended", "reason": "Unpaid"},
    "105": {"verified": True, "notes": "Seen"},
    "110": {"status": "approved", "reason": "Fine"},
    "124": {"status": "approved", "notes": "Clear"},
    "126": {"general": {"siteName": "Gridwire"}, "pricing": {"gstPercentage": 18}},
}


@asynccontextmanager
async def charging(bus: Client, world: World) -> AsyncIterator[list[tuple[str, Any]]]:
    """Every charger does what it is asked: it begins and ends sessions, and accepts the rest."""
    calls: list[tuple[str, Any]] = []

    async def take(message: Msg) -> None:
        device_id = int(message.subject.split(".")[2])
        request = json.loads(message.data)
        action, payload = request["action"], request["payload"]
        calls.append((action, payload))
        if action == "RemoteStartTransaction":
            await _begin(world, device_id, payload["idTag"])
        elif action == "RemoteStopTransaction":
            await _end(world, device_id)
        reply = {"outcome": "result", "payload": {"status": "Accepted"}}
        await message.respond(json.dumps(reply).encode())

    subscription = await bus.subscribe("gridwire.charger.*.call", cb=take)
    try:
        yield calls
    finally:
        await subscription.unsubscribe()


async def _begin(world: World, device_id: int, id_tag: str) -> None:
    async with world.pool.connection() as db:
        token = await find_token(db, id_tag)
    assert token is not None
    await begin_session(world.pool, device_id, token.user_id, world.clock.moment(), id_tag=id_tag.upper())


async def _end(world: World, device_id: int) -> None:
    async with world.pool.connection() as db:
        query = "SELECT id FROM sessions WHERE device_id = %(device)s AND status = 'active'"
        session_id = int(await fetch_value(db, query, {"device": device_id}))
    world.clock.advance(1)
    await end_session(world.pool, world.clock, session_id, energy_wh=1_000)


async def make_world(api: httpx.AsyncClient, pool: Pool, clock: Clock, password_hash: str) -> World:
    people = {
        name: await evcms_person(api, pool, password_hash, role, name)
        for name, role in (
            ("user", "user"),
            ("brand", "brand"),
            ("admin", "admin"),
            ("stranger", "user"),
            ("rival", "brand"),
        )
    }
    for name in ("user", "brand", "admin"):
        await enrich(pool, people[name].id, WEALTH_MINOR)
    world = World(api, pool, clock, password_hash, people)
    world.station = await world.place()
    await world.charger_at()
    return world
