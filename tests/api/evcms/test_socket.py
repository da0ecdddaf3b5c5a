"""Socket.IO: who may hear what, live events to the right rooms, and clients that do not behave."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
import socketio
from nats.aio.client import Client
from websockets.asyncio.client import ClientConnection, connect

from api import tokens
from api.app import run
from api.config import ApiConfig
from api.evcms.live import hub, server, visitors
from deploy.temporary import free_port
from protocols.vocabulary import MEASURAND_CODES
from storage.database import Pool
from storage.queries import sessions
from stream.bus import publish_live
from stream.settlement import rate_session
from tests.api.evcms.booking_scene import enrich, make_scene
from tests.api.helpers import SECRET, Clock, Person, Service, begin_session, make_charger

WAIT_S = 5.0
QUIET_S = 0.3  # in which nothing is to come
EVENTS = (
    "authenticated", "unauthorized", "error-message", "session-update", "session-started", "session-stopped",
    "charger-status", "notification", "booking-reminder", "booking-updated", "low-balance", "disconnect",
)  # fmt: skip
POWER = MEASURAND_CODES["Power.Active.Import"]


@dataclass
class Ear:
    """A client of python-socketio, and what it was told, event by event."""

    client: socketio.AsyncClient
    heard: dict[str, asyncio.Queue[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for event in EVENTS:
            self.heard[event] = asyncio.Queue()

            async def put(*arguments: Any, event: str = event) -> None:
                self.heard[event].put_nowait(arguments[0] if arguments else None)

            self.client.on(event, put)

    async def next(self, event: str) -> Any:
        async with asyncio.timeout(WAIT_S):
            return await self.heard[event].get()

    async def nothing(self, event: str) -> None:
        await asyncio.sleep(QUIET_S)
        assert self.heard[event].empty(), self.heard[event].get_nowait()

    async def ask(self, event: str, payload: Any = None) -> Any:
        return await self.client.call(event, payload, timeout=WAIT_S)

    async def be(self, person: Person) -> "Ear":
        answer = await self.ask("authenticate", {"token": person.login["accessToken"]})
        assert answer == {"success": True, "userId": str(person.id)}
        assert await self.next("authenticated") == {"userId": str(person.id)}
        return self


Listen = Callable[..., Awaitable[Ear]]


@pytest.fixture
async def url(
    monkeypatch: pytest.MonkeyPatch, config: ApiConfig, pool: Pool, bus: Client, clock: Clock
) -> AsyncIterator[str]:
    """The API role, on a port of its own; what it does by the clock it does often."""
    monkeypatch.setattr(hub, "TICK_S", 0.1)
    monkeypatch.setattr(hub, "LOGINS_CHECK_S", 0.1)
    port, stop, ready = free_port(), asyncio.Event(), asyncio.Event()
    there = replace(config, port=port)
    role = asyncio.create_task(run(there, pool=pool, bus=bus, clock=clock, stop=stop, ready=ready.set))
    async with asyncio.timeout(20):
        await ready.wait()
        yield f"http://127.0.0.1:{port}"
        stop.set()
        await role


@pytest.fixture
async def listen(url: str) -> AsyncIterator[Listen]:
    clients: list[socketio.AsyncClient] = []

    async def open_(person: Person | None = None, transports: tuple[str, ...] = ("websocket",)) -> Ear:
        client = socketio.AsyncClient(reconnection=False)
        clients.append(client)
        ear = Ear(client)
        await client.connect(url, transports=list(transports))
        return ear if person is None else await ear.be(person)

    yield open_
    for client in clients:
        await client.eio.disconnect(abort=True)


async def sample(pool: Pool, session_id: int, clock: Clock, measurand: int, value: float) -> None:
    async with pool.connection() as db:
        session = await sessions.get_session(db, session_id)
        assert session is not None
        await db.execute(
            "INSERT INTO charger_samples (ts, device_id, received_at, connector_id, measurand, phase,"
            " location, context, transaction_id, value) VALUES (%s, %s, %s, 1, %s, 0, 0, 0, %s, %s)",
            (clock.moment(), session.device_id, clock.moment(), measurand, session.transaction_id, value),
        )


async def stop_session(pool: Pool, session_id: int, clock: Clock) -> None:
    async with pool.connection() as db:
        session = await sessions.get_session(db, session_id)
        assert session is not None
        await sessions.stop_session(
            db, device_id=session.device_id, transaction_id=session.transaction_id, ended_at=clock.moment(),
            received_at=clock.moment(), meter_stop_wh=6_000, reason="Local",
        )  # fmt: skip
        await rate_session(db, session_id)


async def charging(pool: Pool, clock: Clock, driver: Person, brand: Person) -> int:
    device_id = await make_charger(pool, owner_id=brand.id)
    return await begin_session(pool, device_id, driver.id, clock.moment() - timedelta(minutes=30))


async def notify(bus: Client, person: Person, **notification: Any) -> None:
    await publish_live(bus, "notification", {"user_id": person.id, "notification": notification})


async def test_an_account_hears_its_own_news_and_no_one_elses(
    listen: Listen, bus: Client, driver: Person, stranger: Person
) -> None:
    other = await listen(stranger)
    for transports in (("websocket",), ("polling",), ("polling", "websocket")):
        own = await listen(driver, transports)
        await notify(bus, driver, id="7", title="Hello")
        told = await own.next("notification")
        assert told == {"id": "7", "title": "Hello", "notification": {"id": "7", "title": "Hello"}}
        payload = {"user_id": driver.id, "balance_minor": 4_950, "currency": "INR"}
        await publish_live(bus, "low-balance", payload)
        assert await own.next("low-balance") == {"balance": 49.5}
    await other.nothing("notification")
    assert other.heard["low-balance"].empty()


async def test_a_driver_watches_his_session(
    listen: Listen, pool: Pool, bus: Client, clock: Clock, driver: Person, brand: Person
) -> None:
    session_id = await charging(pool, clock, driver, brand)
    ear, owner = await listen(driver), await listen(brand)
    assert (await ear.ask("join-session", {"sessionId": session_id}))["success"]
    first = await ear.next("session-update")
    expected = {"sessionId": str(session_id), "status": "active", "meterValue": 0.0, "power": 0.0}
    assert first == {**expected, "duration": 30.0, "estimatedCost": 0.0}

    await sample(pool, session_id, clock, 0, 3_500.0)  # the register began at 1,000 Wh
    await sample(pool, session_id, clock, POWER, 11_000.0)
    while (second := await ear.next("session-update"))["power"] == 0.0:
        assert second["meterValue"] in {0.0, 2_500.0}
    assert second["meterValue"] == 2_500.0
    assert second["power"] == 11.0
    assert second["estimatedCost"] is not None
    await ear.nothing("session-update")

    await stop_session(pool, session_id, clock)
    assert (await ear.next("session-update"))["status"] == "completed"
    await publish_live(bus, "session-stopped", {"session_id": session_id, "user_id": driver.id})
    final = await ear.next("session-update")
    for each in (ear, owner):
        stopped = await each.next("session-stopped")
        assert stopped["session"]["energyConsumed"] == 5.0
        assert stopped["session"]["status"] == "completed"
        assert stopped["cdr"]["totalCost"] == final["estimatedCost"] > 0

    assert (await ear.ask("leave-session", {"sessionId": str(session_id)}))["success"]
    await publish_live(bus, "session-stopped", {"session_id": session_id, "user_id": driver.id})
    await ear.next("session-stopped")
    await ear.nothing("session-update")


async def test_who_joins_later_takes_no_update_from_the_others(
    listen: Listen, pool: Pool, clock: Clock, driver: Person, brand: Person
) -> None:
    session_id = await charging(pool, clock, driver, brand)
    first, second = await listen(driver), await listen(brand)
    await first.ask("join-session", {"sessionId": session_id})
    await sample(pool, session_id, clock, 0, 3_500.0)
    await second.ask("join-session", {"sessionId": session_id})
    for ear in (first, second):
        while (await ear.next("session-update"))["meterValue"] != 2_500.0:
            pass


async def test_a_socket_that_changes_hands_keeps_no_room_that_was_asked_for_before(
    listen: Listen, pool: Pool, bus: Client, clock: Clock, driver: Person, brand: Person, stranger: Person
) -> None:
    session_id = await charging(pool, clock, driver, brand)
    ear = await listen(driver)
    for _ in range(5):
        await ear.client.emit("join-session", {"sessionId": session_id})
    await ear.be(stranger)
    await asyncio.sleep(QUIET_S)
    ear.heard["session-update"] = asyncio.Queue()
    await sample(pool, session_id, clock, 0, 3_500.0)
    await ear.nothing("session-update")


async def test_the_price_of_a_running_session_is_estimated(
    listen: Listen, pool: Pool, clock: Clock, driver: Person, brand: Person
) -> None:
    session_id = await charging(pool, clock, driver, brand)
    async with pool.connection() as db:
        await db.execute("UPDATE tariffs SET energy_minor_per_kwh = 1000, gst_basis_points = 1800")
    await sample(pool, session_id, clock, 0, 3_500.0)
    ear = await listen(driver)
    await ear.ask("join-session", {"sessionId": str(session_id)})
    assert (await ear.next("session-update"))["estimatedCost"] == 29.5  # 2.5 kWh at 10, and 18 % tax


async def test_a_session_that_starts_is_told_to_its_driver_and_to_the_owner(
    listen: Listen, pool: Pool, bus: Client, clock: Clock, driver: Person, brand: Person, stranger: Person
) -> None:
    ears = [await listen(driver), await listen(brand)]
    other = await listen(stranger)
    session_id = await charging(pool, clock, driver, brand)
    await publish_live(bus, "session-started", {"session_id": session_id, "user_id": driver.id})
    for ear in ears:
        session = (await ear.next("session-started"))["session"]
        assert session["id"] == str(session_id)
        assert session["userId"] == str(driver.id)
        assert session["chargerId"] == "CP-1"
    await other.nothing("session-started")


async def test_nobody_joins_what_is_not_his(
    listen: Listen, pool: Pool, bus: Client, clock: Clock, driver: Person, brand: Person, stranger: Person,
    rival: Person,
) -> None:  # fmt: skip
    session_id = await charging(pool, clock, driver, brand)
    for person in (stranger, rival):
        ear = await listen(person)
        answer = await ear.ask("join-session", {"sessionId": str(session_id)})
        assert (answer["success"], answer["statusCode"]) == (False, 403)
        assert (await ear.next("error-message"))["event"] == "join-session"
        await publish_live(bus, "session-stopped", {"session_id": session_id, "user_id": driver.id})
        await ear.nothing("session-update")
        assert ear.heard["session-stopped"].empty()


async def test_a_booking_is_told_to_its_driver_and_to_who_joined(
    listen: Listen, api: httpx.AsyncClient, pool: Pool, bus: Client, clock: Clock, driver: Person,
    brand: Person, rival: Person, stranger: Person,
) -> None:  # fmt: skip
    scene = await make_scene(pool, api, clock, brand.id)
    await enrich(pool, driver.id)
    booking = await scene.book(driver)
    ears = [await listen(driver), await listen(brand)]
    for ear in ears:
        assert await ear.ask("join-booking", {"bookingId": booking["id"]}) == {
            "success": True,
            "bookingId": booking["id"],
        }
        assert (await ear.next("booking-updated"))["booking"] == booking
    for person in (stranger, rival):
        other = await listen(person)
        assert (await other.ask("join-booking", {"bookingId": booking["id"]}))["statusCode"] == 403
    payload = {"user_id": driver.id, "booking_id": int(booking["id"])}
    await publish_live(bus, "booking-updated", payload)
    await publish_live(bus, "booking-reminder", payload)
    for ear in ears:
        assert (await ear.next("booking-updated"))["booking"]["id"] == booking["id"]
    assert (await ears[0].next("booking-reminder"))["booking"]["stationName"] == "Harbour"
    await ears[1].nothing("booking-reminder")
    assert other.heard["booking-updated"].empty()
    assert (await ears[1].ask("leave-booking", {"bookingId": booking["id"]}))["success"]
    await publish_live(bus, "booking-updated", payload)
    await ears[0].next("booking-updated")
    await ears[1].nothing("booking-updated")


async def test_no_token_is_written_to_a_log(
    caplog: pytest.LogCaptureFixture, listen: Listen, driver: Person
) -> None:
    with caplog.at_level("INFO"):
        await listen(driver)
    assert driver.login["accessToken"][:40] not in caplog.text


async def test_brand_and_admin_join_sessions_too(
    listen: Listen, pool: Pool, clock: Clock, driver: Person, brand: Person, admin: Person
) -> None:
    session_id = await charging(pool, clock, driver, brand)
    for person in (brand, admin):
        ear = await listen(person)
        assert (await ear.ask("join-session", {"sessionId": str(session_id)}))["success"]
        assert (await ear.next("session-update"))["sessionId"] == str(session_id)


BAD_IDS: list[tuple[Any, int]] = [
    ({"sessionId": "no"}, 404), ({"sessionId": "999999"}, 404), ({"sessionId": "9" * 33}, 422),
    ({"sessionId": None}, 422), ({"sessionId": {"a": 1}}, 422), ({}, 422), ("7", 422), (None, 422),
    ([], 422), ({"sessionId": "1; DROP TABLE sessions"}, 404), ({"sessionId": "\0"}, 404), (True, 422),
]  # fmt: skip


async def test_bad_ids_are_answered(listen: Listen, driver: Person) -> None:
    ear = await listen(driver)
    for event in ("join-session", "join-booking"):
        for payload, status in BAD_IDS:
            is_named = event == "join-booking" and _has_id(payload)
            answer = await ear.ask(event, {"bookingId": payload["sessionId"]} if is_named else payload)
            assert (answer["success"], answer["statusCode"]) == (False, status), payload
            assert await ear.next("error-message") == answer
    assert (await ear.ask("no-such-event", 1))["statusCode"] == 404
    assert ear.client.connected


def _has_id(payload: Any) -> bool:
    return isinstance(payload, dict) and "sessionId" in payload


async def test_without_a_token_nothing_is_joined(
    listen: Listen, pool: Pool, clock: Clock, driver: Person, brand: Person
) -> None:
    session_id = await charging(pool, clock, driver, brand)
    ear = await listen()
    assert (await ear.ask("join-session", {"sessionId": session_id}))["statusCode"] == 401
    assert (await ear.next("error-message"))["statusCode"] == 401


def _forged(
    person: Person, clock: Clock, *, secret: str = SECRET, family: str = "evcms", life_s: int = 60
) -> str:
    claims = tokens.Claims(person.id, 0, None)
    return tokens.issue(secret, family, claims, now_us=clock(), life_s=life_s)


async def test_a_token_that_is_not_good_ends_the_socket(listen: Listen, clock: Clock, driver: Person) -> None:
    for payload in (
        {"token": _forged(driver, clock, secret="another secret of 32 bytes, or more")},
        {"token": _forged(driver, clock, family="ienerzy")},
        {"token": _forged(driver, clock, life_s=0)},
        {"token": _forged(Person(10**9, {}), clock)},
        {"token": driver.login["refreshToken"]},
        {"token": "x" * 5_000},
        {"token": 7},
        None,
    ):
        ear = await listen()
        answer = await ear.ask("authenticate", payload)
        assert (answer["success"], answer["statusCode"]) == (False, 401)
        assert (await ear.next("unauthorized"))["message"]
        await ear.next("disconnect")


async def test_silence_ends_the_socket(
    monkeypatch: pytest.MonkeyPatch, listen: Listen, driver: Person
) -> None:
    monkeypatch.setattr(visitors, "AUTHENTICATE_S", 0.2)
    silent, known = await listen(), await listen(driver)
    assert "token" in (await silent.next("unauthorized"))["message"]
    await silent.next("disconnect")
    assert known.client.connected


async def test_the_rights_end_with_the_token_and_come_back_with_the_next(
    listen: Listen, api: httpx.AsyncClient, pool: Pool, bus: Client, clock: Clock, config: ApiConfig,
    driver: Person, brand: Person,
) -> None:  # fmt: skip
    session_id = await charging(pool, clock, driver, brand)
    ear = await listen(driver)
    clock.advance(config.evcms_access_s + 1)
    answer = await ear.ask("join-session", {"sessionId": session_id})
    assert answer["statusCode"] == 401
    assert "expired" in (await ear.next("unauthorized"))["message"]
    await notify(bus, driver, id="1")
    await ear.nothing("notification")
    renewed = await api.post(
        "/api/v1/auth/refresh-token", json={"refreshToken": driver.login["refreshToken"]}
    )
    token = renewed.json()["data"]["accessToken"]
    assert (await ear.ask("authenticate", {"token": token}))["success"]
    await notify(bus, driver, id="2")
    assert (await ear.next("notification"))["id"] == "2"


ENDS = (
    ("UPDATE users SET role = 'brand' WHERE id = %s", "UPDATE users SET role = 'user' WHERE id = %s"),
    ("UPDATE users SET status = 'blocked' WHERE id = %s", "UPDATE users SET status = 'active' WHERE id = %s"),
    ("UPDATE users SET deleted_at = now() WHERE id = %s", "UPDATE users SET deleted_at = NULL WHERE id = %s"),
    ("UPDATE refresh_tokens SET revoked_at = now() WHERE user_id = %s", "SELECT %s"),
)


async def test_who_is_blocked_or_logged_out_is_dropped(
    listen: Listen, pool: Pool, driver: Person, stranger: Person
) -> None:
    other = await listen(stranger)
    for end, undo in ENDS:
        ear = await listen(driver)
        async with pool.connection() as db:
            await db.execute(end.encode(), (driver.id,))
        assert (await ear.next("unauthorized"))["message"]
        await ear.next("disconnect")
        async with pool.connection() as db:
            await db.execute(undo.encode(), (driver.id,))
    await other.nothing("unauthorized")
    assert other.client.connected


async def test_another_account_on_the_same_socket_takes_none_of_the_rooms(
    listen: Listen, pool: Pool, bus: Client, clock: Clock, driver: Person, brand: Person, stranger: Person
) -> None:
    session_id = await charging(pool, clock, driver, brand)
    ear = await listen(driver)
    await ear.ask("join-session", {"sessionId": session_id})
    await ear.next("session-update")
    await ear.be(stranger)
    ear.heard["session-update"] = asyncio.Queue()
    await notify(bus, driver, id="1")
    await publish_live(bus, "session-stopped", {"session_id": session_id, "user_id": driver.id})
    await ear.nothing("notification")
    assert ear.heard["session-update"].empty()


async def test_a_chargers_status_goes_to_whom_it_concerns(
    listen: Listen, pool: Pool, bus: Client, driver: Person, brand: Person, rival: Person, admin: Person
) -> None:
    hear = {person.id: await listen(person) for person in (driver, brand, rival, admin)}
    device_id = await make_charger(pool, owner_id=brand.id)
    for _ in range(5):
        await publish_live(bus, "charger-status", {"device_id": device_id, "connector_id": 1})
    for person in (driver, brand, admin):
        told = await hear[person.id].next("charger-status")
        assert (told["chargerId"], told["status"]) == ("CP-1", "Online")
        assert told["connectors"][0]["status"] == "Available"
        assert hear[person.id].heard["charger-status"].empty()  # five changes at once are one
    await hear[rival.id].nothing("charger-status")
    async with pool.connection() as db:
        await db.execute("UPDATE devices SET status = 'quarantined' WHERE id = %s", (device_id,))
    await publish_live(bus, "charger-status", {"device_id": device_id})
    await hear[admin.id].next("charger-status")
    await hear[driver.id].nothing("charger-status")
    assert hear[brand.id].heard["charger-status"].empty()


async def test_an_odd_event_on_the_bus_stops_nothing(listen: Listen, bus: Client, driver: Person) -> None:
    ear = await listen(driver)
    for data in (b"not json", b"{}", b'{"user_id": "x"}', b"[1]"):
        for topic in ("notification", "session-started", "session-stopped", "charger-status", "low-balance"):
            await bus.publish(f"gridwire.live.{topic}", data)
    await notify(bus, driver, id="after")
    assert (await ear.next("notification"))["id"] == "after"


async def raw(url: str, person: Person | None = None) -> ClientConnection:
    """The protocol by hand, for what no client library sends."""
    socket = await connect(f"ws{url.removeprefix('http')}/socket.io/?EIO=4&transport=websocket", max_queue=1)
    assert str(await socket.recv()).startswith("0{")
    await socket.send("40")
    assert str(await socket.recv()).startswith("40{")
    if person is not None:
        await socket.send("42" + json.dumps(["authenticate", {"token": person.login["accessToken"]}]))
        assert "authenticated" in str(await socket.recv())
    return socket


async def read_to_the_end(socket: ClientConnection) -> int:
    """How many messages came before the server ended it."""
    async with asyncio.timeout(WAIT_S):
        return len([each async for each in socket])


ODD = (
    "4", "42", "42[", "42{}", "42[]", "42[1]", '451-["join-session",{"_placeholder":true,"num":0}]',
    "4" + "9" * 50, '42["authenticate"' + "," * 10, b"binary", '42["x","' + "y" * 70_000 + '"]',
    '42["authenticate",' + "[" * 30_000, "9", "47",
)  # fmt: skip


async def test_what_is_no_socket_io_harms_nobody(
    url: str, listen: Listen, bus: Client, driver: Person
) -> None:
    ear = await listen(driver)
    for message in ODD:
        odd = await raw(url)
        await odd.send(message)
        await notify(bus, driver, id="after")
        assert (await ear.next("notification"))["id"] == "after"
        await odd.close()


async def test_a_flood_of_messages_ends_the_socket(
    monkeypatch: pytest.MonkeyPatch, url: str, driver: Person
) -> None:
    monkeypatch.setattr(visitors, "MESSAGES_MAX", 20)
    odd = await raw(url, driver)
    for _ in range(100):
        await odd.send('42["join-session",{"sessionId":"1"}]')
    await read_to_the_end(odd)


async def test_a_client_that_does_not_read_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, url: str, listen: Listen, bus: Client, driver: Person
) -> None:
    monkeypatch.setattr("api.evcms.live.rights.QUEUE_MAX", 100)
    deaf = await raw(url, driver)
    ear = await listen(driver)
    for number in range(600):
        await notify(bus, driver, id=str(number), text="x" * 50_000)
        assert (await ear.next("notification"))["id"] == str(number)
    assert await read_to_the_end(deaf) < 600


async def test_one_account_has_so_many_sockets(
    monkeypatch: pytest.MonkeyPatch, listen: Listen, driver: Person
) -> None:
    monkeypatch.setattr("api.evcms.live.rights.SOCKETS_OF_USER_MAX", 2)
    for _ in range(2):
        await listen(driver)
    one_more = await listen()
    answer = await one_more.ask("authenticate", {"token": driver.login["accessToken"]})
    assert answer["statusCode"] == 429


async def test_one_socket_has_so_many_rooms(
    monkeypatch: pytest.MonkeyPatch, listen: Listen, pool: Pool, clock: Clock, driver: Person, brand: Person
) -> None:
    monkeypatch.setattr("api.evcms.live.rights.ROOMS_MAX", 1)
    first = await charging(pool, clock, driver, brand)
    second = await begin_session(pool, await make_charger(pool, "CP-2", brand.id), driver.id, clock.moment())
    ear = await listen(driver)
    for _ in range(2):
        assert (await ear.ask("join-session", {"sessionId": first}))["success"]
    assert (await ear.ask("join-session", {"sessionId": second}))["statusCode"] == 400
    await ear.ask("leave-session", {"sessionId": first})
    assert (await ear.ask("join-session", {"sessionId": second}))["success"]


async def test_a_full_process_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch, listen: Listen, driver: Person
) -> None:
    monkeypatch.setattr(visitors, "SOCKETS_MAX", 1)
    first = await listen(driver)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await listen()
    await first.client.disconnect()
    await asyncio.sleep(QUIET_S)
    await listen(driver)


async def test_pages_of_other_hosts_need_to_be_named(make_service: Callable[..., Service]) -> None:
    page = "https://app.example"
    for origins, is_let_in in (
        ("", False),
        (page, True),
        ("https://a.example, https://app.example", True),
        ("*", True),
    ):
        made = make_service(web_origins=origins)
        answer = await made.client.get(f"{server.PATH}/?EIO=4&transport=polling", headers={"Origin": page})
        assert (answer.status_code == 200) is is_let_in
        assert answer.headers.get("Access-Control-Allow-Origin") == (page if is_let_in else None)
