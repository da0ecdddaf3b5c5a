"""Ienerzy (IE-001 to IE-008): sign-in by one-time password, batteries, and commands to them."""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from storage.database import Pool
from storage.queries import batteries, devices
from tests.api.helpers import Clock, Codes, Person, ienerzy_person

URL = "/api/batteries"
PHONE = "+919876543210"
KEYS = ["id", "serial_number", "status", "health_score", "owner_id", "created_at"]


async def sign_in(api: httpx.AsyncClient, role: str = "dealer", phone: str = PHONE) -> httpx.Response:
    return await api.post("/api/auth/login", json={"phone": phone, "userType": role})


async def verify(api: httpx.AsyncClient, code: str, phone: str = PHONE) -> httpx.Response:
    return await api.post("/api/auth/verify-otp", json={"phone": phone, "otp": code})


async def add(api: httpx.AsyncClient, person: Person, serial: str = "BAT001", **body: Any) -> dict[str, Any]:
    answer = await api.post(URL, json={"serial_number": serial, **body}, headers=person.headers)
    assert answer.status_code == 201, answer.text
    added: dict[str, Any] = answer.json()
    return added


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def test_sign_in_has_the_documented_shapes(
    api: httpx.AsyncClient, dealer: Person, codes: Codes
) -> None:
    sent = await sign_in(api, phone="98765 43210")
    assert sent.status_code == 200
    user = {"id": dealer.id, "name": "Dealer", "phone": PHONE, "role": "dealer"}
    assert sent.json() == {"success": True, "message": "OTP sent successfully", "user": user}
    code = codes.sent[PHONE]
    assert re.fullmatch(r"\d{6}", code)
    verified = await verify(api, code)
    body = verified.json()
    assert body.pop("token")
    assert body == {"success": True, "user": user}


async def test_unknown_phones_and_bad_ones(api: httpx.AsyncClient, dealer: Person) -> None:
    unknown = await sign_in(api, "consumer")
    assert unknown.status_code == 404
    assert unknown.json()["error"] == "User not found"
    assert (await sign_in(api, phone="not a phone")).status_code == 400
    assert (await sign_in(api, "owner")).status_code == 400


async def test_a_code_is_good_once(api: httpx.AsyncClient, dealer: Person, codes: Codes) -> None:
    await sign_in(api)
    assert (await verify(api, codes.sent[PHONE])).status_code == 200
    again = await verify(api, codes.sent[PHONE])
    assert again.status_code == 401
    assert set(again.json()) >= {"error"}


async def test_five_wrong_tries_spend_a_code(api: httpx.AsyncClient, dealer: Person, codes: Codes) -> None:
    await sign_in(api)
    code = codes.sent[PHONE]
    for _ in range(5):
        assert (await verify(api, wrong(code))).status_code == 401
    assert (await verify(api, code)).status_code == 401
    await sign_in(api)
    assert (await verify(api, codes.sent[PHONE])).status_code == 200


async def test_four_wrong_tries_do_not(api: httpx.AsyncClient, dealer: Person, codes: Codes) -> None:
    await sign_in(api)
    for _ in range(4):
        await verify(api, wrong(codes.sent[PHONE]))
    assert (await verify(api, codes.sent[PHONE])).status_code == 200


async def test_a_code_lives_five_minutes_and_a_token_a_day(
    api: httpx.AsyncClient, dealer: Person, codes: Codes, clock: Clock
) -> None:
    await sign_in(api)
    clock.advance(301)
    assert (await verify(api, codes.sent[PHONE])).status_code == 401
    assert (await api.get(URL, headers=dealer.headers)).status_code == 200
    clock.advance(86_400)
    assert (await api.get(URL, headers=dealer.headers)).status_code == 401


async def test_a_code_is_of_the_user_type_that_asked_last(
    api: httpx.AsyncClient, pool: Pool, dealer: Person, codes: Codes
) -> None:
    await ienerzy_person(api, pool, codes, "consumer", PHONE, dealer_id=dealer.id)
    await sign_in(api, "consumer")
    first = codes.sent[PHONE]
    await sign_in(api, "dealer")
    if first != codes.sent[PHONE]:
        assert (await verify(api, first)).status_code == 401
    assert (await verify(api, codes.sent[PHONE])).json()["user"]["role"] == "dealer"


async def test_blocked_people_are_refused(api: httpx.AsyncClient, dealer: Person, pool: Pool) -> None:
    async with pool.connection() as db:
        await db.execute("UPDATE users SET status = 'blocked' WHERE id = %s", (dealer.id,))
    answer = await api.get(URL, headers=dealer.headers)
    assert answer.status_code == 403
    assert answer.json()["error"] == "Access denied"
    assert (await sign_in(api)).status_code == 403


async def test_a_new_battery_has_the_documented_shape(api: httpx.AsyncClient, dealer: Person) -> None:
    added = await add(api, dealer, "BAT002", health_score=100)
    assert list(added) == KEYS
    assert added["serial_number"] == "BAT002"
    assert added["status"] == "active"
    assert added["owner_id"] is None
    assert json.dumps(added["health_score"]) == "100"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", added["created_at"])


async def test_serials_are_taken_once(api: httpx.AsyncClient, dealer: Person, other_dealer: Person) -> None:
    await add(api, dealer)
    for person in (dealer, other_dealer):
        answer = await api.post(URL, json={"serial_number": "bat001"}, headers=person.headers)
        assert answer.status_code == 400
        assert answer.json()["error"] == "Battery already exists"
        assert answer.json()["code"] == "DUPLICATE"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"serial_number": ""},
        {"serial_number": "test"},
        {"serial_number": "Health-Report"},
        {"serial_number": "a/b"},
        {"serial_number": "a\x00"},
        {"serial_number": "B", "health_score": 101},
        {"serial_number": "B", "health_score": -1},
        {"serial_number": "B", "health_score": "good"},
    ],
)
async def test_what_is_no_battery(api: httpx.AsyncClient, dealer: Person, body: Any) -> None:
    answer = await api.post(URL, json=body, headers=dealer.headers)
    assert answer.status_code == 400
    assert "error" in answer.json()


async def test_each_sees_its_own(
    api: httpx.AsyncClient, dealer: Person, other_dealer: Person, consumer: Person
) -> None:
    await add(api, dealer, "BAT001")
    await add(api, dealer, "BAT002")
    await add(api, other_dealer, "BAT003")
    assigned = await api.put(
        f"{URL}/BAT001/assign", json={"consumer_id": consumer.id}, headers=dealer.headers
    )
    assert assigned.status_code == 200
    assert list(assigned.json()) == KEYS
    assert assigned.json()["owner_id"] == consumer.id

    async def serials(person: Person, **query: Any) -> list[tuple[str, str | None]]:
        listed = (await api.get(URL, params=query, headers=person.headers)).json()
        assert all(set(row) == {*KEYS, "consumer_name"} for row in listed)
        return [(row["serial_number"], row["consumer_name"]) for row in listed]

    assert await serials(dealer) == [("BAT001", "Consumer"), ("BAT002", None)]
    assert await serials(other_dealer) == [("BAT003", None)]
    assert await serials(consumer) == [("BAT001", "Consumer")]
    assert await serials(dealer, dealer_id=other_dealer.id) == []
    assert len(await serials(dealer, dealer_id=dealer.id, status="active")) == 2
    assert await serials(dealer, status="maintenance") == []
    for person, serial in ((dealer, "BAT003"), (other_dealer, "BAT001"), (consumer, "BAT002"), (dealer, "X")):
        answer = await api.get(f"{URL}/{serial}", headers=person.headers)
        assert answer.status_code == 404
        assert answer.json() == {
            "error": "Battery not found",
            "details": f"No battery found with serial number {serial}",
        }


async def test_consumers_do_not_write(api: httpx.AsyncClient, dealer: Person, consumer: Person) -> None:
    await add(api, dealer)
    await api.put(f"{URL}/BAT001/assign", json={"consumer_id": consumer.id}, headers=dealer.headers)
    for method, path, body in (
        ("POST", URL, {"serial_number": "BAT009"}),
        ("POST", f"{URL}/BAT001/control", {"action": "deactivate"}),
        ("PUT", f"{URL}/BAT001/assign", {"consumer_id": consumer.id}),
    ):
        answer = await api.request(method, path, json=body, headers=consumer.headers)
        assert answer.status_code == 403
        assert answer.json() == {
            "error": "Access denied",
            "details": "Insufficient permissions for this operation",
        }


async def test_batteries_go_to_consumers_of_their_dealer_only(
    api: httpx.AsyncClient, dealer: Person, other_dealer: Person, consumer: Person
) -> None:
    await add(api, other_dealer, "BAT003")
    for consumer_id in (consumer.id, other_dealer.id, 99_999):
        answer = await api.put(
            f"{URL}/BAT003/assign", json={"consumer_id": consumer_id}, headers=other_dealer.headers
        )
        assert answer.status_code == 404
        assert answer.json()["error"] == "Consumer not found"


async def test_the_newest_reading_comes_with_a_battery(
    api: httpx.AsyncClient, dealer: Person, pool: Pool
) -> None:
    await add(api, dealer)
    detail = (await api.get(f"{URL}/bat001", headers=dealer.headers)).json()
    assert list(detail["battery"]) == KEYS
    assert not detail["telemetry"]
    async with pool.connection() as db:
        device = await devices.register_device(db, "battery", "BAT001")
        for minute, soc in ((0, 90), (1, 85)):
            await db.execute(
                "INSERT INTO battery_samples"
                " (ts, device_id, received_at, voltage_v, current_a, soc_pct, latitude_deg, longitude_deg)"
                " VALUES (date_trunc('day', now()) + make_interval(mins => %s), %s, now(), 48.5, 12.3, %s,"
                " 12.9716, 77.5946)",
                (minute, device.id, soc),
            )
    telemetry = (await api.get(f"{URL}/BAT001", headers=dealer.headers)).json()["telemetry"]
    assert telemetry.pop("timestamp").endswith("T00:01:00Z")
    assert telemetry == {
        "voltage": "48.5",
        "current": "12.3",
        "soc": 85,
        "location": {"lat": "12.9716", "lng": "77.5946"},
    }


async def test_health_report(api: httpx.AsyncClient, dealer: Person, other_dealer: Person) -> None:
    await add(api, dealer, "B1", health_score=90)
    await add(api, dealer, "B2", health_score=95.5)
    await add(api, dealer, "B3", health_score=40)
    await add(api, other_dealer, "B4", health_score=1)
    await api.post(f"{URL}/B3/control", json={"action": "maintenance"}, headers=dealer.headers)
    report = (await api.get(f"{URL}/health-report", headers=dealer.headers)).json()
    assert set(report) == {"fleet_health", "total_batteries", "overall_health_score"}
    assert report["total_batteries"] == 3
    assert report["overall_health_score"] == 75.2
    assert report["fleet_health"]["active"] == {
        "count": 2,
        "avg_health": "92.8",
        "min_health": 90,
        "max_health": 95.5,
    }
    assert report["fleet_health"]["maintenance"]["count"] == 1


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("inactive", "inactive"),
        ("active", "active"),
        ("maintenance", "maintenance"),
        ("deactivate", "inactive"),
        ("activate", "active"),
    ],
)
async def test_a_battery_that_never_reported_changes_at_once(
    api: httpx.AsyncClient, dealer: Person, action: str, status: str
) -> None:
    await add(api, dealer)
    answer = await api.post(f"{URL}/BAT001/control", json={"action": action}, headers=dealer.headers)
    assert answer.status_code == 200
    assert list(answer.json()) == KEYS
    assert answer.json()["status"] == status


async def test_what_is_no_action(api: httpx.AsyncClient, dealer: Person) -> None:
    await add(api, dealer)
    answer = await api.post(f"{URL}/BAT001/control", json={"action": "explode"}, headers=dealer.headers)
    assert answer.status_code == 400
    unknown = await api.post(f"{URL}/X/control", json={"action": "activate"}, headers=dealer.headers)
    assert unknown.status_code == 404


@asynccontextmanager
async def relay(
    bus: Client, pool: Pool, clock: Clock, verdict: dict[str, str] | None
) -> AsyncIterator[list[dict[str, str]]]:
    """Relay commands as the MQTT ingestor does; the battery answers with `verdict`, or not at all."""
    requests: list[dict[str, str]] = []

    async def take(message: Msg) -> None:
        request = json.loads(message.data)
        requests.append(request)
        await message.respond(b'{"outcome": "sent"}')
        if verdict is None:
            return
        async with pool.connection() as db:
            await batteries.answer_command(
                db, uuid.UUID(request["command_id"]), verdict["outcome"], verdict, clock.moment()
            )
        await bus.publish(f"gridwire.battery.answer.{request['command_id']}", json.dumps(verdict).encode())

    subscription = await bus.subscribe("gridwire.battery.command", queue="mqtt", cb=take)
    try:
        yield requests
    finally:
        await subscription.unsubscribe()


async def reporting(api: httpx.AsyncClient, dealer: Person, pool: Pool, clock: Clock) -> None:
    await add(api, dealer)
    async with pool.connection() as db:
        device = await devices.register_device(db, "battery", "BAT001")
        await devices.touch_devices(db, [device.id], clock.moment())


async def control(api: httpx.AsyncClient, dealer: Person, action: str = "deactivate") -> httpx.Response:
    return await api.post(f"{URL}/BAT001/control", json={"action": action}, headers=dealer.headers)


async def test_a_confirmed_command_changes_the_battery(
    api: httpx.AsyncClient, dealer: Person, pool: Pool, bus: Client, clock: Clock
) -> None:
    await reporting(api, dealer, pool, clock)
    async with relay(bus, pool, clock, {"outcome": "confirmed"}) as requests:
        answer = await control(api, dealer)
    assert answer.json()["status"] == "inactive"
    assert list(answer.json()) == KEYS
    assert [(request["identity"], request["action"]) for request in requests] == [("BAT001", "deactivate")]


async def test_an_unconfirmed_command_leaves_the_battery_and_says_so(
    api: httpx.AsyncClient, dealer: Person, pool: Pool, bus: Client, clock: Clock
) -> None:
    await reporting(api, dealer, pool, clock)
    async with relay(bus, pool, clock, None):
        answer = await control(api, dealer)
    assert answer.status_code == 200
    assert answer.json()["status"] == "active"
    assert answer.json()["pending_status"] == "inactive"
    async with pool.connection() as db:
        assert len(await batteries.pending_commands_for(db, "BAT001")) == 1


async def test_without_a_relay_the_command_waits(
    api: httpx.AsyncClient, dealer: Person, pool: Pool, clock: Clock
) -> None:
    await reporting(api, dealer, pool, clock)
    answer = await control(api, dealer)
    assert answer.json()["pending_status"] == "inactive"


async def test_a_battery_may_refuse(
    api: httpx.AsyncClient, dealer: Person, pool: Pool, bus: Client, clock: Clock
) -> None:
    await reporting(api, dealer, pool, clock)
    async with relay(bus, pool, clock, {"outcome": "refused", "detail": "moving"}):
        answer = await control(api, dealer)
    assert answer.status_code == 400
    assert "moving" in answer.json()["details"]
    detail = (await api.get(f"{URL}/BAT001", headers=dealer.headers)).json()
    assert detail["battery"]["status"] == "active"


async def test_a_battery_in_quarantine_is_let_in_when_it_is_entered(
    api: httpx.AsyncClient, dealer: Person, pool: Pool
) -> None:
    async with pool.connection() as db:
        await devices.register_device(db, "battery", "BAT001", status="quarantined")
    await add(api, dealer)
    async with pool.connection() as db:
        device = await devices.find_device(db, "battery", "BAT001")
    assert device is not None
    assert device.status == "active"


async def test_commands_at_the_same_time_leave_one_pending(
    api: httpx.AsyncClient, dealer: Person, pool: Pool, clock: Clock
) -> None:
    await reporting(api, dealer, pool, clock)
    answers = await asyncio.gather(
        *(control(api, dealer, action) for action in ("activate", "deactivate") * 2)
    )
    assert {answer.status_code for answer in answers} <= {200, 400}
    async with pool.connection() as db:
        assert len(await batteries.pending_commands_for(db, "BAT001")) == 1
