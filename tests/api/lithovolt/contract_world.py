"""A world in which every Lithovolt endpoint has something to work on; for the tests of the table.

Serials, models and orders are made over the application, as admins, wholesalers and consumers make them.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, LiteralString
from urllib.parse import parse_qs, urlsplit

import httpx

from storage.database import Pool, fetch_value
from storage.queries import devices
from tests.api.helpers import PASSWORD, Clock, Person
from tests.api.lithovolt.contract_table import Row
from tests.api.lithovolt.people import lithovolt_person
from tests.stream.test_files import picture

Json = dict[str, Any]
STOCK = 200
SAMPLES = 3
ROLES = {
    "admin": "admin",
    "wholesaler": "wholesaler",
    "rival": "wholesaler",
    "consumer": "consumer",
    "stranger": "consumer",
}
_SAMPLE = """
INSERT INTO battery_samples (ts, device_id, received_at, voltage_v, current_a, soc_pct, temperatures_c)
VALUES (%s, %s, %s, 51.2, -20, 55, ARRAY[25.0, 31.0])
"""
_LAST_BODY = "SELECT body FROM notices WHERE address = %(address)s ORDER BY id DESC LIMIT 1"
_SOLD = "SELECT serial FROM serial_numbers WHERE status = 'sold' ORDER BY id LIMIT 1"


@dataclass
class World:
    """`people` by name; what `make` makes is the wholesaler's and the consumer's.

    `make` returns an id, or a serial, for a path; `body` a good body for an endpoint and a caller.
    """

    api: httpx.AsyncClient
    pool: Pool
    clock: Clock
    password_hash: str
    people: dict[str, Person]
    model: int = 0
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def who(self, name: str | None) -> Person | None:
        return None if name is None else self.people[name]

    async def call(
        self, person: Person | None, method: str, path: str, status: int | None = None, **more: Any
    ) -> httpx.Response:
        headers = more.pop("headers", {}) | (person.headers if person else {})
        answer = await self.api.request(method, path, headers=headers, **more)
        assert status in {None, answer.status_code}, (method, path, more, answer.status_code, answer.text)
        return answer

    async def done(self, who: str, method: str, path: str, body: Json | None = None) -> Json:
        """What the call made or changed."""
        answer = await self.call(self.people[who], method, path, json=body)
        assert answer.is_success, (path, body, answer.text)
        return dict(answer.json())

    async def value(self, query: LiteralString, **facts: Any) -> Any:
        async with self.pool.connection() as db:
            return await fetch_value(db, query, facts)

    async def someone(self, role: str, **more: Any) -> Person:
        """A person of his own, `<role><number>@example.com`."""
        name = f"{role}{next(self.numbers)}"
        return await lithovolt_person(
            self.pool, self.clock, role, name, password_hash=self.password_hash, **more
        )

    async def add_serials(self, quantity: int, model: int | None = None) -> list[str]:
        body = {"model": model or self.model, "quantity": quantity}
        return list((await self.done("admin", "POST", "/api/inventory/serials/", body))["serials"])

    async def allocated(self, to: str = "wholesaler") -> str:
        """A serial that the wholesaler has."""
        body = {"wholesaler": self.people[to].id, "serials": await self.add_serials(1)}
        return str((await self.done("admin", "POST", "/api/inventory/allocate/", body))["serials"][0])

    async def activated(self, who: str = "consumer") -> Json:
        """A warranty that `who` began, of a battery of the wholesaler."""
        body = {"serial": await self.allocated(), "customer_name": "Asha Rao"}
        return await self.done(who, "POST", "/api/warranty/activate/", body)

    async def last_words(self, address: str) -> str:
        """The text of the last message to an address."""
        return str(await self.value(_LAST_BODY, address=address))

    async def code_for(self, email: str) -> str:
        """A one-time password that was sent."""
        await self.call(None, "POST", "/api/auth/otp/send/", 200, json={"email": email})
        return (await self.last_words(email))[:6]

    async def reset_token(self, email: str) -> str:
        """A token that sets a new password, as it was sent."""
        await self.call(None, "POST", "/api/auth/password/reset/", 200, json={"email": email})
        return str(re.findall(r"^[\w-]{43}$", await self.last_words(email), re.MULTILINE)[0])

    async def make(self, subject: str) -> str:
        maker: Callable[[], Awaitable[str]] = getattr(self, "_make_" + subject.replace(" ", "_"))
        return await maker()

    async def _make_user(self) -> str:
        return str((await self.someone("consumer")).id)

    async def _make_model(self) -> str:
        return str((await self.done("admin", "POST", "/api/inventory/models/", self._new_model()))["id"])

    async def _make_sold_serial(self) -> str:
        return str((await self.activated())["serial"])

    async def _make_allocation(self) -> str:
        body = {"wholesaler": self.people["wholesaler"].id, "model": self.model, "quantity": 1}
        return str((await self.done("admin", "POST", "/api/inventory/allocate/", body))["id"])

    async def _make_order(self) -> str:
        return str((await self.done("wholesaler", "POST", "/api/orders/", self._new_order()))["id"])

    async def _make_approved_order(self) -> str:
        order = await self._make_order()
        await self.done("admin", "PATCH", f"/api/orders/{order}/approve/")
        return order

    async def _make_warranty(self) -> str:
        return str((await self.activated())["id"])

    async def _make_claim(self) -> str:
        """A claim with telemetry and a picture."""
        warranty = await self.activated()
        await self.report(warranty["serial"])
        body = {"warranty": warranty["id"], "issue": "Does not charge", "description": "It stops."}
        claim = (await self.done("consumer", "POST", "/api/warranty/claims/", body))["id"]
        files = {"file": ("terminal.png", picture())}
        await self.call(
            self.people["consumer"], "POST", f"/api/warranty/claims/{claim}/files/", 201, files=files
        )
        return str(claim)

    async def _make_first_claim(self) -> str:
        """The claim whose picture is the first file of all."""
        claim = await self.value("SELECT claim_id AS id FROM warranty_claim_files WHERE id = 1")
        return str(claim) if claim is not None else await self._make_claim()

    async def report(self, serial: str) -> None:
        """What the battery measured since the warranty began, its last minutes."""
        async with self.pool.connection() as db:
            device = await devices.register_device(db, "battery", serial)
            for minutes in range(SAMPLES):
                at = self.clock.moment() - timedelta(minutes=minutes)
                await db.execute(_SAMPLE, (at, device.id, at))

    def _new_model(self) -> Json:
        number = next(self.numbers)
        facts = {"nominal_voltage_v": "51.20", "capacity_ah": "100.00", "price": "45000.00"}
        return {"name": f"LV {number}", "code": f"LV{number}X", "warranty_months": 36, **facts}

    def _new_order(self) -> Json:
        return {"items": [{"model": self.model, "quantity": 1}], "notes": "By Friday"}

    async def body(self, row: Row, caller: str | None) -> Json | None:
        """A good body for the endpoint, in what this caller may say; None where it takes none."""
        if not row.body:
            return None
        parts = re.findall(r"[a-z]+", re.sub(r"^/api|\{.*?\}", "", row.path))
        made: Json = await getattr(self, "_".join(["", row.method.lower(), *parts]))(caller or "consumer")
        return made

    async def _post_auth_register(self, caller: str) -> Json:
        number = next(self.numbers)
        person = {"first_name": "Asha", "last_name": "Rao", "phone": f"+9198765{number:05}"}
        return {"email": f"new{number}@example.com", "password": PASSWORD, **person, "role": "consumer"}

    async def _post_auth_login(self, caller: str) -> Json:
        return {"email": f"{caller}@example.com", "password": PASSWORD}

    async def _post_auth_otp_send(self, caller: str) -> Json:
        return {"email": "consumer@example.com"}

    async def _post_auth_otp_verify(self, caller: str) -> Json:
        return {"email": "consumer@example.com", "otp": await self.code_for("consumer@example.com")}

    async def _post_auth_token_refresh(self, caller: str) -> Json:
        login = await self._post_auth_login(caller)
        answer = await self.call(None, "POST", "/api/auth/login/", 200, json=login)
        return {"refresh": answer.json()["refresh"]}

    async def _post_auth_password_reset(self, caller: str) -> Json:
        return {"email": "rival@example.com"}

    async def _post_auth_password_reset_confirm(self, caller: str) -> Json:
        person = await self.someone("consumer")
        email = await self.value("SELECT email FROM users WHERE id = %(id)s", id=person.id)
        return {"token": await self.reset_token(email), "password": "battery staple"}

    async def _post_auth_password_change(self, caller: str) -> Json:
        return {"current_password": PASSWORD, "new_password": PASSWORD}

    async def _patch_users_me(self, caller: str) -> Json:
        return {"first_name": "Asha", "last_name": "Rao", "gstin": "27AAPFU0939F1ZV"}

    async def _post_users(self, caller: str) -> Json:
        return {**await self._post_auth_register(caller), "role": "wholesaler", "company": "Rao Traders"}

    async def _patch_users(self, caller: str) -> Json:
        return {"company": "Rao Traders", "is_approved": True}

    async def _post_inventory_models(self, caller: str) -> Json:
        return {**self._new_model(), "warranty_terms": {"max_temperature_c": 55}}

    async def _patch_inventory_models(self, caller: str) -> Json:
        return {"price": "46000.00"}

    async def _post_inventory_serials(self, caller: str) -> Json:
        return {"model": self.model, "quantity": 2, "batch": "B-7"}

    async def _patch_inventory_serials(self, caller: str) -> Json:
        return {"status": "returned", "reason": "It came back."}

    async def _post_inventory_allocate(self, caller: str) -> Json:
        return {"wholesaler": self.people["wholesaler"].id, "model": self.model, "quantity": 1}

    async def _post_orders(self, caller: str) -> Json:
        return self._new_order()

    async def _patch_orders_reject(self, caller: str) -> Json:
        return {"reason": "Out of stock"}

    async def _patch_orders_cancel(self, caller: str) -> Json:
        return {"reason": "Another day"}

    async def _post_warranty_activate(self, caller: str) -> Json:
        return {"serial": await self.allocated(), "customer_name": "Asha Rao"}

    async def _post_warranty_link(self, caller: str) -> Json:
        made = await self.activated("wholesaler")
        signature = parse_qs(urlsplit(made["verification_url"]).query)["signature"][0]
        named = {name: made[name] for name in ("serial", "certificate_number")}
        return {**named, "signature": signature}

    async def _post_warranty_void(self, caller: str) -> Json:
        return {"reason": "A mistake"}

    async def _post_warranty_claims(self, caller: str) -> Json:
        return {"warranty": (await self.activated())["id"], "issue": "Weak", "description": "It stops."}

    async def _patch_warranty_claims(self, caller: str) -> Json:
        return {"note": "Any news?"}

    async def _put_notifications_templates_order_approved_email(self, caller: str) -> Json:
        return {"subject": "Order {{ order_number }}", "body": "It is {{ total }}."}

    async def _post_notifications_templates_order_approved_email_preview(self, caller: str) -> Json:
        return {"values": {"order_number": "ORD-1"}}


async def make_world(api: httpx.AsyncClient, pool: Pool, clock: Clock, password_hash: str) -> World:
    people = {
        name: await lithovolt_person(pool, clock, role, name, password_hash=password_hash)
        for name, role in ROLES.items()
    }
    world = World(api, pool, clock, password_hash, people)
    world.model = int(await world.make("model"))
    await world.add_serials(STOCK)
    return world
