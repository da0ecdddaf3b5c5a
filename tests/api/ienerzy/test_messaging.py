"""Ienerzy messaging (IE-037 to IE-039): shapes, who may, bounds, delivery, what Twilio says of messages."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from stream import jobs
from stream.jobs import JobsConfig
from stream.notices import Senders
from stream.providers import ProviderRefusedError
from stream.sms import SmsSettings, TextMessage, Twilio
from stream.sms_status import TwilioStatuses, twilio_signature
from tests.api.helpers import Clock, Service
from tests.api.ienerzy.people import World
from tests.api.ienerzy.service_people import outgoing

PHONE = "+919812345678"
TOKEN, CALLBACK = "auth-token", "https://gridwire.example/api/messaging/status/twilio"
SMS = {"to": "98123 45678", "message": "Your battery BAT001 is now active. Enjoy your ride!"}


class Sms:
    """A provider that keeps what it was given, under Twilio's name."""

    name = "twilio"

    def __init__(self) -> None:
        self.sent: list[TextMessage] = []
        self.refuses = False

    async def send(self, message: TextMessage) -> str:
        if self.refuses:
            raise ProviderRefusedError("twilio: Invalid 'To' number")
        self.sent.append(message)
        return f"SM{message.reference}"


async def deliver(world: World, bus: Client, clock: Clock, sms: Sms) -> None:
    clock.advance(5)
    config = JobsConfig(clock=clock, senders=Senders(sms=sms))
    while await jobs.work_one(config, world.pool, bus):
        pass


async def test_an_sms_goes_out_and_its_state_is_told(world: World, clock: Clock, bus: Client) -> None:
    with capture_logs() as logs:
        sent = await world.call(world.dealer, "POST", "/messaging/send-sms", json=SMS)
    assert not any(SMS["message"] in str(entry) for entry in logs)
    (notice,) = await outgoing(world.pool)
    name = f"MSG{notice.id:010}"
    assert sent == {"success": True, "message_id": name, "status": "sent", "to": PHONE}
    waiting = await world.call(world.dealer, "GET", f"/messaging/messages/{name}")
    assert (waiting["status"], waiting["sent_at"]) == ("pending", None)
    sms = Sms()
    await deliver(world, bus, clock, sms)
    assert [(each.phone, each.body) for each in sms.sent] == [(PHONE, SMS["message"])]
    seen = await world.call(world.dealer, "GET", f"/messaging/messages/{name}")
    keys = ["message_id", "kind", "to", "status", "error", "created_at", "sent_at", "delivered_at"]
    assert list(seen) == keys
    assert (seen["kind"], seen["to"], seen["status"]) == ("sms", PHONE, "sent")
    sms.refuses = True
    await world.call(world.dealer, "POST", "/messaging/send-sms", json=SMS)
    await deliver(world, bus, clock, sms)
    failed, before = await world.call(world.dealer, "GET", "/messaging/messages")
    assert (failed["status"], failed["error"], failed["sent_at"]) == (
        "failed",
        "twilio: Invalid 'To' number",
        None,
    )
    assert before == seen
    # the same words twice are two messages, and only their sender sees them
    assert len(await outgoing(world.pool)) == 2
    assert await world.call(world.other_dealer, "GET", "/messaging/messages") == []
    for who, reference in ((world.other_dealer, name), (world.dealer, "MSG0000009999"), (world.dealer, "x")):
        await world.call(who, "GET", f"/messaging/messages/{reference}", 404)
    assert await world.call(world.admin, "GET", f"/messaging/messages/{name}") == seen


async def test_an_otp_of_a_dealer_is_a_text_and_no_login(world: World, clock: Clock, bus: Client) -> None:
    body = {"to": "+919876543212", "otp": "123456"}  # the consumer's phone
    sent = await world.call(world.dealer, "POST", "/messaging/send-otp", json=body)
    assert sent == {"success": True, "message_id": sent["message_id"], "status": "sent", "to": body["to"]}
    login = {"phone": body["to"], "otp": body["otp"]}
    await world.call(None, "POST", "/auth/verify-otp", 401, json=login)
    sms = Sms()
    await deliver(world, bus, clock, sms)
    assert "123456" in sms.sent[0].body
    (notice,) = await outgoing(world.pool)
    assert notice.body is None
    for otp in ("12", "12345678901", "12a456", "", "१२३४५६"):
        await world.call(world.dealer, "POST", "/messaging/send-otp", 400, json={**body, "otp": otp})


async def test_a_battery_status_is_told_for_own_batteries(world: World) -> None:
    body = {
        "battery_id": world.battery.id,
        "consumer_phone": "+919876543212",
        "status": "active",
        "message": "Your battery BAT001 is now active",
    }
    path = "/messaging/battery-status"
    sent = await world.call(world.dealer, "POST", path, json=body)
    assert list(sent) == ["success", "message_id", "status", "notification_type"]
    assert (sent["status"], sent["notification_type"]) == ("sent", "battery_status")
    (listed,) = await world.call(world.dealer, "GET", "/messaging/messages")
    assert (listed["message_id"], listed["kind"]) == (sent["message_id"], "battery_status")
    await world.call(world.other_dealer, "POST", path, 404, json=body)
    await world.call(world.dealer, "POST", path, 404, json={**body, "battery_id": 10**12})
    await world.call(world.dealer, "POST", path, 400, json={**body, "status": "melted"})
    assert len(await outgoing(world.pool)) == 1


async def test_who_may_send_and_what(world: World) -> None:
    bodies: dict[str, Any] = {
        "send-sms": SMS,
        "send-otp": {"to": PHONE, "otp": "123456"},
        "battery-status": {"battery_id": 1, "consumer_phone": PHONE, "status": "active", "message": "Hello"},
    }
    for path, body in bodies.items():
        await world.call(None, "POST", f"/messaging/{path}", 401, json=body)
        for who in (world.consumer, world.technician):
            await world.call(who, "POST", f"/messaging/{path}", 403, json=body)
        number = {"consumer_phone" if path == "battery-status" else "to": "12"}
        await world.call(world.dealer, "POST", f"/messaging/{path}", 400, json={**body, **number})
    for text in ("", "a" * 1_531, "न" * 671, "a\0"):
        await world.call(world.dealer, "POST", "/messaging/send-sms", 400, json={**SMS, "message": text})
    assert await outgoing(world.pool) == []
    for text in ("a" * 1_530, "न" * 670):
        await world.call(world.dealer, "POST", "/messaging/send-sms", json={**SMS, "message": text})


async def test_messages_are_limited_by_their_sender(
    world: World, make_service: Callable[..., Service]
) -> None:
    api = make_service(ienerzy_messages_per_minute=2, ienerzy_auth_per_minute=3).client

    async def statuses(path: str, body: Any, headers: dict[str, str], count: int) -> list[int]:
        answers = [await api.post(f"/api/messaging/{path}", json=body, headers=headers) for _ in range(count)]
        return [answer.status_code for answer in answers]

    one, other = world.dealer.headers, world.other_dealer.headers
    assert await statuses("send-sms", SMS, one, 3) == [200, 200, 429]
    assert await statuses("send-sms", SMS, other, 1) == [200]
    otp = {"to": PHONE, "otp": "123456"}
    assert await statuses("send-otp", otp, one, 4) == [200, 200, 200, 429]
    refused = await api.post("/api/messaging/send-otp", json=otp, headers=one)
    assert refused.json()["error"] == "Rate limit exceeded"
    assert int(refused.headers["Retry-After"]) >= 1


@pytest.fixture
def with_callbacks(make_service: Callable[..., Service]) -> httpx.AsyncClient:
    return make_service(sms_statuses={"twilio": TwilioStatuses(TOKEN, CALLBACK)}).client


async def test_what_twilio_says_is_noted(
    world: World, with_callbacks: httpx.AsyncClient, clock: Clock, bus: Client
) -> None:
    async def said(reference: int, status: str, token: str = TOKEN, **fields: str) -> httpx.Response:
        form = {"MessageSid": f"SM{reference}", "MessageStatus": status, "To": PHONE, **fields}
        query = f"reference={reference}"
        signature = twilio_signature(token, f"{CALLBACK}?{query}", form)
        headers = {
            "X-Twilio-Signature": signature,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        path = f"/api/messaging/status/twilio?{query}"
        return await with_callbacks.post(path, content=urlencode(form), headers=headers)

    async def states() -> list[tuple[str, str | None]]:
        listed = await world.call(world.dealer, "GET", "/messaging/messages")
        return [(each["status"], each["error"]) for each in reversed(listed)]

    for _ in range(3):
        await world.call(world.dealer, "POST", "/messaging/send-sms", json=SMS)
    third, second, first = [notice.id for notice in await outgoing(world.pool)]
    assert (
        await said(third, "delivered")
    ).status_code == 200  # sent, though its process died before it said so
    await deliver(world, bus, clock, sms := Sms())
    assert len(sms.sent) == 2
    assert (await said(first, "delivered")).json() == {"success": True}
    assert (await said(first, "sent")).status_code == 200  # late
    assert (await said(first, "failed")).status_code == 200
    assert (await said(second, "undelivered", ErrorCode="30003")).status_code == 200
    assert (await said(10**12, "delivered")).status_code == 200  # nobody's
    expected = [("delivered", None), ("failed", "twilio: undelivered, error 30003"), ("delivered", None)]
    assert await states() == expected
    forged = await said(second, "delivered", token="another")
    assert (forged.status_code, forged.json()["error"]) == (403, "Access denied")
    unsigned = await with_callbacks.post(f"/api/messaging/status/twilio?reference={second}")
    assert unsigned.status_code == 403
    assert (await with_callbacks.post("/api/messaging/status/pigeon")).status_code == 404
    assert await states() == expected


async def test_a_message_of_twilio_asks_for_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []

    async def post_json(name: str, url: str, **kwargs: Any) -> Any:
        asked.append(kwargs["data"])
        return {"sid": "SM1"}

    monkeypatch.setattr("stream.sms.post_json", post_json)
    for callback in (CALLBACK, ""):
        settings = SmsSettings("twilio", "AC1", TOKEN, "+15005550006", callback_url=callback)
        await Twilio(settings).send(TextMessage(41, PHONE, "Hello"))
    assert asked[0]["StatusCallback"] == f"{CALLBACK}?reference=41"
    assert "StatusCallback" not in asked[1]
