"""A battery's whole way: ordered, sold, under warranty, measured, lent on in Ienerzy, claimed for, replaced.

Over the application with a real database and bus: its telemetry comes by MQTT through ingestor, log and
writer, its messages go out through the outbox.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from nats.aio.client import Client
from PIL import Image
from pypdf import PdfReader

from deploy.temporary import TemporaryNats
from ingest.mqtt.connection import BrokerConfig
from ingest.mqtt.ingestor import IngestorConfig
from protocols.battery import topics
from protocols.battery.topics import Channel
from storage.database import Pool
from stream.files import DiskStore
from stream.jobs import JobsConfig, work_one
from stream.log import LogConfig, ensure_log
from stream.mail import MailMessage
from stream.notices import Senders
from stream.sms import TextMessage
from tests.api.helpers import PASSWORD, Clock, Person, Service, bearer
from tests.api.lithovolt.test_certificates import picture_of, read_codes
from tests.ingest.test_mqtt_ingestor import battery, running, send
from tests.ingest.test_mqtt_ingestor import clock as wall_clock
from tests.stream.helpers import drained, running_writer
from tests.stream.test_files import picture

PHONE = "+919876511111"  # of the customer
SAMPLES_OF_ROW = 5  # voltage, current, state of charge and two temperatures


@dataclass
class Post:
    """Mailboxes and phones: what the outbox delivered, the newest last."""

    name: str = "test"
    mails: list[MailMessage] = field(default_factory=list)
    texts: list[TextMessage] = field(default_factory=list)

    async def send(self, message: Any) -> str:
        (self.mails if isinstance(message, MailMessage) else self.texts).append(message)
        return f"sent-{message.reference}"

    def subjects(self, address: str) -> list[str]:
        return [mail.subject for mail in self.mails if mail.address == address]


@dataclass
class Scene:
    """The application, what it has sent, and who is signed in, by name."""

    api: httpx.AsyncClient
    pool: Pool
    bus: Client
    clock: Clock
    people: dict[str, dict[str, str]]
    post: Post = field(default_factory=Post)

    async def call(self, who: str | None, method: str, path: str, status: int = 200, **more: Any) -> Any:
        headers = {} if who is None else self.people[who]
        self.clock.advance(1)  # a history has an order
        answer = await self.api.request(method, path, headers=headers, **more)
        assert answer.status_code == status, (who, method, path, answer.status_code, answer.text)
        is_json = answer.headers["Content-Type"] == "application/json"
        return answer.json() if is_json else answer.content

    async def deliver(self) -> None:
        """Carry out all that waits in the outbox."""
        senders = Senders(sms=self.post, mail=self.post)
        config = JobsConfig(lambda: self.clock() + 60_000_000, senders=senders)
        while await work_one(config, self.pool, self.bus):
            pass

    async def register(self, name: str, **more: Any) -> int:
        """Register somebody as `<name>@example.com`; returns the id."""
        body = {"email": f"{name}@example.com", "password": PASSWORD, "first_name": name.title(), **more}
        return int((await self.call(None, "POST", "/api/auth/register/", 201, json=body))["id"])

    async def sign_in(self, name: str) -> None:
        body = {"email": f"{name}@example.com", "password": PASSWORD}
        self.people[name] = bearer((await self.call(None, "POST", "/api/auth/login/", json=body))["access"])


@pytest.fixture
async def scene(
    make_service: Callable[..., Service],
    pool: Pool,
    bus: Client,
    clock: Clock,
    tmp_path: Path,
    admin: Person,
    other_wholesaler: Person,
    other_consumer: Person,
    dealer: Person,
    other_dealer: Person,
) -> Scene:
    service = make_service(files=DiskStore(tmp_path / "files"))
    known = {"admin": admin, "rival": other_wholesaler, "stranger": other_consumer}
    known |= {"dealer": dealer, "other dealer": other_dealer}
    people = {name: person.headers for name, person in known.items()}
    return Scene(service.client, pool, bus, clock, people)


async def order_stock(scene: Scene) -> list[str]:
    """A wholesaler registers, is approved, orders two of three batteries; returns all serials."""
    seller = await scene.register("seller", role="wholesaler", company="Rao Traders", phone="+919876522222")
    body = {"email": "seller@example.com", "password": PASSWORD}
    await scene.call(None, "POST", "/api/auth/login/", 403, json=body)
    await scene.call("admin", "PATCH", f"/api/users/{seller}/", json={"is_approved": True})
    await scene.sign_in("seller")
    model = {
        "name": "LV 48-100", "code": "LV48", "nominal_voltage_v": "51.20", "capacity_ah": "100.00",
        "price": "45000.00", "warranty_months": 36, "warranty_terms": {"max_temperature_c": 55},
        "low_stock_threshold": 1,
    }  # fmt: skip
    number = (await scene.call("admin", "POST", "/api/inventory/models/", 201, json=model))["id"]
    quantity = {"model": number, "quantity": 3}
    made = await scene.call("admin", "POST", "/api/inventory/serials/", 201, json=quantity)
    items = {"items": [{"model": number, "quantity": 2}]}
    order = await scene.call("seller", "POST", "/api/orders/", 201, json=items)
    await scene.call("seller", "GET", f"/api/orders/{order['id']}/invoice/", 400)
    approved = await scene.call("admin", "PATCH", f"/api/orders/{order['id']}/approve/")
    invoice = await scene.call("seller", "GET", f"/api/orders/{order['id']}/invoice/")
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(invoice)).pages)
    for word in (approved["invoice_number"], "Rao Traders", "106200.00", *made["serials"][:2]):
        assert word in text, (word, text)
    await scene.call("rival", "GET", f"/api/orders/{order['id']}/invoice/", 404)
    return list(made["serials"])


async def sell(scene: Scene, serial: str) -> dict[str, Any]:
    """A consumer proves an e-mail; the wholesaler activates the warranty for it; its code is read."""
    consumer = await scene.register("asha", phone=PHONE)
    await scene.call(None, "POST", "/api/auth/otp/send/", json={"email": "asha@example.com"})
    await scene.deliver()
    code = re.findall(r"\d{6}", scene.post.mails[-1].text)[0]
    proof = {"email": "asha@example.com", "otp": code}
    signed_in = await scene.call(None, "POST", "/api/auth/otp/verify/", json=proof)
    scene.people["asha"] = bearer(signed_in["access"])
    sale = {"serial": serial, "customer_name": "Asha Rao", "customer_email": "asha@example.com"}
    await scene.call("rival", "POST", "/api/warranty/activate/", 400, json=sale)
    warranty: dict[str, Any] = await scene.call("seller", "POST", "/api/warranty/activate/", 201, json=sale)
    assert warranty["consumer_id"] == consumer
    path = f"/api/warranty/{warranty['id']}/certificate/"
    (url,) = read_codes(picture_of(await scene.call("asha", "GET", path)))
    assert url == warranty["verification_url"]
    assert (await verify(scene, url))["signature"] == "valid"
    for name in ("rival", "stranger"):
        await scene.call(name, "GET", path, 404)
    return warranty


async def verify(scene: Scene, url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return dict(await scene.call(None, "GET", f"{parts.path}?{parts.query}"))


async def lend_on(scene: Scene, serial: str) -> None:
    """An Ienerzy dealer enters the same battery, gives it to a consumer, and finances it."""
    entered = {"serial_number": serial.lower()}
    await scene.call("dealer", "POST", "/api/batteries", 201, json=entered)
    number = (await scene.call("dealer", "GET", f"/api/batteries/{serial}"))["battery"]["id"]
    person = {"name": "Ram Kumar", "phone": "+919876533333"}
    consumer = (await scene.call("dealer", "POST", "/api/consumers", 201, json=person))["id"]
    await scene.call("dealer", "PUT", f"/api/batteries/{serial}/assign", json={"consumer_id": consumer})
    asked = {"consumer_id": consumer, "battery_id": number, "amount": 45_000, "tenure_months": 24}
    loan = await scene.call(
        "dealer", "POST", "/api/finance/applications", 201, json={**asked, "interest_rate": 12.5}
    )
    decision = {"status": "approved", "approved_amount": 45_000, "interest_rate": 12.5}
    await scene.call("dealer", "PUT", f"/api/finance/applications/{loan['id']}/approve", json=decision)


async def measure(scene: Scene, nats: TemporaryNats, serial: str) -> None:
    """The battery reports a hot minute by MQTT; ingestor, log and writer store it."""
    await ensure_log(scene.bus.jetstream(), LogConfig(bytes_max=64 << 20))
    config = IngestorConfig(
        BrokerConfig(nats.mqtt_url, "flow-test"), wall_clock, partitions=1, unknown_devices="reject"
    )
    now = scene.clock.moment()
    samples = [
        {
            "ts": (now - timedelta(seconds=seconds)).isoformat(), "voltage_v": 51.2, "current_a": -20,
            "soc_pct": 55, "temperatures_c": [25.0, 71.5],
        }
        for seconds in (20, 10, 0)
    ]  # fmt: skip
    async with (
        running(config, scene.pool, scene.bus),
        running_writer(scene.pool, scene.bus),
        battery(nats) as client,
    ):
        await send(client, samples, topics.build(serial, Channel.TELEMETRY))
        laws = await drained(scene.pool, scene.bus, len(samples) * SAMPLES_OF_ROW)
    assert (laws.stored, laws.hold()) == (len(samples) * SAMPLES_OF_ROW, True)


async def claim(scene: Scene, warranty: dict[str, Any], spare: str) -> dict[str, Any]:
    """The owner claims, the telemetry is the evidence, an admin replaces the battery."""
    body = {"warranty": warranty["id"], "issue": "Hot", "description": "It gets hot."}
    await scene.call("stranger", "POST", "/api/warranty/claims/", 400, json=body)
    made = await scene.call("asha", "POST", "/api/warranty/claims/", 201, json=body)
    assert (made["evidence"]["samples"], made["verdict"]) == (3, "outside terms")
    drawn = await scene.call("seller", "GET", made["plots"]["temperature"])
    assert Image.open(io.BytesIO(drawn)).format == "PNG"
    path = f"/api/warranty/claims/{made['id']}/"
    files = {"file": ("terminal.png", picture())}
    await scene.call("asha", "POST", f"{path}files/", 201, files=files)
    for name in ("rival", "stranger"):
        await scene.call(name, "GET", path, 404)
    for step in (
        {"status": "under_review", "note": "We look."},
        {"status": "approved", "resolution": "A cell is defective."},
        {"status": "resolved", "replacement_serial": spare},
    ):
        await scene.call("seller", "PATCH", path, 403, json=step)
        resolved = await scene.call("admin", "PATCH", path, json=step)
    assert resolved["replacement_serial"] == spare
    return dict(resolved)


def facts(history: list[dict[str, Any]], *sources: str) -> set[tuple[str, str, str]]:
    return {(each["at"], each["source"], each["kind"]) for each in history if each["source"] in sources}


async def check_histories(scene: Scene, serial: str) -> None:
    """One battery, one history: each family reads it, and what is the other's business stays there."""
    ours = (await scene.call("admin", "GET", f"/api/inventory/serials/{serial}/history/"))["history"]
    theirs = await scene.call("dealer", "GET", f"/api/batteries/{serial}/history")
    shared = ("stock", "warranty", "claim", "telemetry", "assignment")
    assert facts(ours, *shared) == facts(theirs, *shared)
    assert {each["source"] for each in ours} == set(shared)
    assert {each["source"] for each in theirs} == {*shared, "loan"}
    kinds = [each["kind"] for each in reversed(ours) if each["source"] == "stock"]
    assert kinds == ["generated", "allocated", "sold", "returned"]
    for each in theirs:
        if each["source"] in {"stock", "warranty", "claim"}:
            assert each["actor_id"] is None
            assert "Asha" not in str(each)
    assert all(each["detail"] == {} for each in ours if each["source"] == "assignment")
    assert all(each["detail"] == {} for each in theirs if each["source"] == "stock")
    told = (await scene.call("seller", "GET", f"/api/inventory/serials/{serial}/history/"))["history"]
    assert facts(told, *shared) < facts(ours, *shared), "it was made before the seller got it"
    for name in ("rival", "stranger", "asha"):  # who gave it back hears no more of it
        await scene.call(name, "GET", f"/api/inventory/serials/{serial}/history/", 404)
    await scene.call("other dealer", "GET", f"/api/batteries/{serial}/history", 404)
    for name, path in (
        ("dealer", f"/api/inventory/serials/{serial}/history/"),
        ("seller", f"/api/batteries/{serial}/history"),
    ):
        await scene.call(name, "GET", path, 401)


async def test_the_whole_way_of_a_battery(scene: Scene, nats: TemporaryNats) -> None:
    serial, _, spare = await order_stock(scene)
    warranty = await sell(scene, serial)
    await lend_on(scene, serial)
    await measure(scene, nats, serial)
    path = f"/api/inventory/serials/{serial}/history/"
    told = (await scene.call("asha", "GET", path))["history"]
    assert {each["source"] for each in told} == {"warranty", "stock", "telemetry", "assignment"}
    assert [each["kind"] for each in told if each["source"] == "stock"] == ["sold"]
    resolved = await claim(scene, warranty, spare)
    old = await verify(scene, warranty["verification_url"])
    assert (old["status"], old["signature"]) == ("void", "valid")
    (new,) = (await scene.call("asha", "GET", "/api/warranty/", params={"status": "active"}))["results"]
    assert (new["serial"], new["expires_on"]) == (spare, warranty["expires_on"])
    assert (await verify(scene, new["verification_url"]))["status"] == "active"
    await check_histories(scene, serial)

    await scene.deliver()
    number = resolved["claim_number"]
    assert scene.post.subjects("asha@example.com") == [
        "Your sign-in code",
        f"Your warranty {warranty['certificate_number']}",
        f"Claim {number}: submitted",
        f"Claim {number}: under review",
        f"Claim {number}: approved",
        f"Your warranty {new['certificate_number']}",
        f"Claim {number}: resolved",
    ]
    assert [text.phone for text in scene.post.texts].count(PHONE) == 6, "the same but for the code"
    assert [each.split()[0] for each in scene.post.subjects("seller@example.com")] == ["Your", "Order"]
    assert scene.post.subjects("admin@example.com") == ["Low stock: LV 48-100"]
    async with scene.pool.connection() as db:
        rows = await (await db.execute("SELECT state, count(*) FROM notices GROUP BY state")).fetchall()
        left = await (await db.execute("SELECT count(*) FROM outbox WHERE done_at IS NULL")).fetchone()
    assert [state for state, _ in rows] == ["sent"]
    assert left == (0,)
