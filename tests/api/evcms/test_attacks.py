"""Other people's things and tokens that are none: what an attacker tries on EV-CMS is refused."""

import asyncio
import re
from dataclasses import replace

import socketio
from nats.aio.client import Client

from api.app import run
from api.config import ApiConfig
from deploy.temporary import free_port
from storage.database import Pool
from tests.api.evcms.booking_scene import enrich
from tests.api.evcms.contract_table import CONTRACT, PREFIX
from tests.api.evcms.contract_world import Json, World
from tests.api.forged_tokens import forged_tokens
from tests.api.helpers import Clock, Person, bearer

# Where the owner of a thing looks at it.
SHOWN = {
    "vehicle": "profile/vehicles",
    "booking": "bookings",
    "due booking": "bookings",
    "active booking": "bookings",
    "session": "sessions",
    "active session": "sessions",
    "invoice": "billing/invoices",
    "refund": "billing/refunds",
    "notification": "notifications",
    "ticket": "support/tickets",
    "resolved ticket": "support/tickets",
    "station": "stations",
    "charger": "chargers",
    "record": "maintenance",
    "begun record": "maintenance",
    "franchise": "franchises",
}
OF_BRANDS = {"station", "charger", "record", "begun record", "franchise"}


async def test_nobody_reaches_what_is_another_persons(world: World) -> None:
    faults = []
    for row in CONTRACT:
        if row.subject not in SHOWN or row.callers == ("admin",):
            continue
        owner = world.people["brand" if row.subject in OF_BRANDS else "user"]
        subject = await world.make(row.subject, owner)
        shown = f"{PREFIX}/{SHOWN[row.subject]}/{subject}"
        before = (await world.call(owner, "GET", shown, 200)).json()
        thieves = ["rival"] if row.subject in OF_BRANDS else ["stranger", "rival"]
        for thief in thieves:
            body = await world.body(row.id, owner)
            answer = await world.call(world.people[thief], row.method, row.url(subject), json=body)
            if answer.status_code not in {403, 404}:
                faults.append(
                    f"{row.id} {row.method} {row.path} by {thief}: {answer.status_code} {answer.text}"
                )
        after = (await world.call(owner, "GET", shown, 200)).json()
        if after != before:
            faults.append(f"{row.id} {row.method} {row.path} changed {before} to {after}")
    assert not faults, "\n".join(faults)


# Endpoints beyond the contract with an id in their path: what the id is of, who owns it, a good body.
EXTENSIONS: dict[tuple[str, str], tuple[str, str, Json | None]] = {
    ("post", "billing/invoices/{id}/pay"): ("invoice", "user", None),
    ("post", "billing/invoices/{id}/cancel"): ("invoice", "user", None),
    ("get", "billing/invoices/{id}/pdf"): ("invoice", "user", None),
    ("get", "uploads/{filename}/link"): ("upload", "user", None),
    ("post", "franchises/{id}/staff"): ("franchise", "brand", {"name": "Ravi", "role": "guard"}),
    ("delete", "franchises/{id}/staff/{staffId}"): ("franchise", "brand", None),
    ("post", "chargers/{id}/commands"): ("charger", "brand", {"action": "ClearCache"}),
    ("post", "chargers/{id}/password"): ("charger", "brand", None),
    ("put", "chargers/{id}/security-profile"): ("charger", "brand", {"profile": 1}),
    **{
        ("get", f"chargers/{{id}}/{part}"): ("charger", "brand", None)
        for part in (
            "commands", "actions", "certificates", "variables", "charging-profiles", "reservations",
            "local-list", "jobs", "display-messages", "monitors", "messages",
        )
    },
}  # fmt: skip
# A station may be anybody's favourite; a provider's webhook is signed; commands have a test of their own.
NOBODYS = {
    ("put", "stations/{id}/favourite"),
    ("delete", "stations/{id}/favourite"),
    ("post", "payments/{provider}/webhook"),
    ("get", "commands/{id}"),
    ("delete", "commands/{id}"),
}


async def test_nobody_reaches_what_is_another_persons_beyond_the_contract(world: World) -> None:
    document = (await world.call(None, "GET", "/openapi.json", 200)).json()
    known = {(row.method.lower(), row.path) for row in CONTRACT}
    there = {
        (method, path.removeprefix(f"{PREFIX}/"))
        for path, item in document["paths"].items()
        for method in item
        if path.startswith(PREFIX) and "{" in path and (method, path) not in known
    }
    assert there == set(EXTENSIONS) | NOBODYS
    for (method, path), (subject, owner, body) in EXTENSIONS.items():
        found = (await world.make(subject, world.people[owner])).rpartition("/")[2]
        url = re.sub(r"\{.*?\}", found, f"{PREFIX}/{path}")
        for thief in ("stranger", "rival"):
            answer = await world.call(world.people[thief], method, url, json=body)
            assert answer.status_code in {403, 404}, (method, path, thief, answer.status_code, answer.text)


async def test_nobody_reaches_another_brands_command(world: World) -> None:
    brand = world.people["brand"]
    device_id, _ = await world.charger_at()
    order = {"action": "Reset", "payload": {"type": "Hard"}, "wait": False}
    made = await world.call(brand, "POST", f"{PREFIX}/chargers/{device_id}/commands", 202, json=order)
    path = f"{PREFIX}/commands/{made.json()['data']['id']}"
    for thief in ("stranger", "rival"):
        for method in ("GET", "DELETE"):
            answer = await world.call(world.people[thief], method, path)
            assert answer.status_code in {403, 404}, (thief, method, answer.text)
    await world.call(brand, "GET", path, 200)


async def test_no_body_and_no_query_reaches_what_is_another_persons(world: World) -> None:
    driver, brand = world.people["user"], world.people["brand"]
    stranger, rival = world.people["stranger"], world.people["rival"]
    await enrich(world.pool, stranger.id, 1_000_000)
    session, vehicle = await world.make("session", driver), await world.make("vehicle", driver)
    file = f"/uploads/{await world.make('upload', driver)}"
    device_id, identity = await world.charger_at()
    station = await world.place()
    franchise = await world.make("franchise", brand)
    ticket = await world.make("ticket", stranger)
    booked = await world.order(stranger) | {"vehicleId": vehicle}
    own_station = await world.place(rival)
    charger = {"chargerId": "MINE-1", "name": "x", "manufacturer": "x", "model": "x", "stationId": station}
    work = {"type": "preventive", "scheduledDate": "2026-03-01T09:00:00Z", "description": "x"}
    identity_card = {"documentType": "pan", "documentNumber": "ABCDE1234F", "frontImage": file}
    start = {"chargerId": identity, "connectorId": 1, "userId": str(driver.id)}
    tries: list[tuple[Person, str, str, Json]] = [
        (stranger, "POST", "profile/wallet/pay", {"amount": 1, "description": "x", "sessionId": session}),
        (stranger, "POST", "bookings", booked),
        (stranger, "POST", "billing/refunds",
         {"transactionId": await world.payment(driver), "amount": 1, "reason": "x"}),
        (stranger, "POST", f"support/tickets/{ticket}/comments", {"comment": "x", "attachments": [file]}),
        (stranger, "POST", "kyc/submit", identity_card),
        (rival, "POST", "chargers", charger),
        (rival, "PUT", f"stations/{own_station}", {"franchiseId": franchise}),
        (rival, "POST", "sessions", start),
        (rival, "POST", "maintenance", work | {"chargerId": identity, "priority": "low"}),
        (rival, "POST", "maintenance", work | {"chargerId": str(device_id), "priority": "low"}),
        (rival, "POST", "maintenance/schedule", work | {"chargerIds": [identity]}),
    ]  # fmt: skip
    for person, method, path, body in tries:
        answer = await world.call(person, method, f"{PREFIX}/{path}", json=body)
        assert answer.status_code in {400, 403, 404, 422}, (path, answer.status_code, answer.text)
    for path in (f"chargers?station={station}", f"maintenance?chargerId={identity}"):
        answer = await world.call(rival, "GET", f"{PREFIX}/{path}")
        assert answer.status_code in {403, 404} or answer.json()["data"] == [], (path, answer.text)
    figures = await world.call(rival, "GET", f"{PREFIX}/analytics/charger-stats?stationId={station}")
    assert figures.status_code in {403, 404} or figures.json()["data"]["chargers"] == []
    stats = await world.call(rival, "GET", f"{PREFIX}/chargers/stats?station={station}")
    assert stats.status_code in {403, 404} or stats.json()["data"]["totalChargers"] == 0
    assert await world.count("SELECT count(*) FROM bookings") == 0
    assert await world.count("SELECT count(*) FROM maintenance_records") == 0
    assert await world.count("SELECT count(*) FROM refunds") == 0


async def test_nobody_makes_himself_an_admin(world: World) -> None:
    answer = await world.call(
        None, "POST", f"{PREFIX}/auth/register",
        json={"email": "evil@example.com", "password": "correct horse", "name": "E", "role": "admin"},
    )  # fmt: skip
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "role"
    for name in ("user", "brand"):
        person = world.people[name]
        more = {"role": "admin", "status": "active", "isEmailVerified": True, "wallet": {"balance": 1}}
        await world.call(person, "PUT", f"{PREFIX}/profile", 200, json={"name": "E", **more})
        await world.call(person, "PUT", f"{PREFIX}/admin/users/{person.id}", 403, json={"role": "admin"})
        await world.call(
            person, "PUT", f"{PREFIX}/admin/users/{person.id}/status", 403, json={"status": "active"}
        )
        me = (await world.call(person, "GET", f"{PREFIX}/auth/me", 200)).json()["data"]["user"]
        assert (me["role"], me["isEmailVerified"]) == (name, False)
    assert await world.count("SELECT count(*) FROM users WHERE role = 'admin'") == 1


async def bad_tokens(world: World, dealer: Person) -> dict[str, str]:
    """Tokens that must let nobody in, by what is wrong with them."""
    admin, driver = world.people["admin"], world.people["user"]
    left, deleted = await world.someone(), await world.someone()
    await world.call(left, "POST", f"{PREFIX}/auth/logout", 200)
    await world.call(admin, "DELETE", f"{PREFIX}/admin/users/{deleted.id}", 200)
    good = driver.login["accessToken"]
    return {
        **forged_tokens(good, user_id=driver.id, admin_id=admin.id, audience="evcms", now_us=world.clock()),
        "of another family": dealer.headers["Authorization"].removeprefix("Bearer "),
        "of an ended login": left.login["accessToken"],
        "of a deleted account": deleted.login["accessToken"],
        "a refresh token": driver.login["refreshToken"],
    }


async def test_no_bad_token_opens_anything(world: World, dealer: Person) -> None:
    for what, token in (await bad_tokens(world, dealer)).items():
        for path in ("auth/me", "admin/users", "profile/wallet", "sessions"):
            answer = await world.call(None, "GET", f"{PREFIX}/{path}", headers=bearer(token))
            assert answer.status_code == 401, (what, path, answer.text)
    blocked = await world.someone()
    status = {"status": "blocked", "reason": "x"}
    path = f"{PREFIX}/admin/users/{blocked.id}/status"
    await world.call(world.people["admin"], "PUT", path, 200, json=status)
    answer = await world.call(blocked, "GET", f"{PREFIX}/auth/me")
    assert answer.status_code in {401, 403}
    access = {"refreshToken": world.people["user"].login["accessToken"]}
    await world.call(None, "POST", f"{PREFIX}/auth/refresh-token", 401, json=access)
    spent = blocked.login["refreshToken"]
    answer = await world.call(None, "POST", f"{PREFIX}/auth/refresh-token", json={"refreshToken": spent})
    assert answer.status_code in {401, 403}


async def test_no_bad_token_opens_a_socket(
    world: World, dealer: Person, config: ApiConfig, pool: Pool, bus: Client, clock: Clock
) -> None:
    bad = await bad_tokens(world, dealer)
    port, stop, ready = free_port(), asyncio.Event(), asyncio.Event()
    there = replace(config, port=port)
    role = asyncio.create_task(run(there, pool=pool, bus=bus, clock=clock, stop=stop, ready=ready.set))
    async with asyncio.timeout(60):
        await ready.wait()
        for what, token in bad.items():
            client = socketio.AsyncClient(reconnection=False)
            await client.connect(f"http://127.0.0.1:{port}", transports=["websocket"])
            answer = await client.call("authenticate", {"token": token}, timeout=5)
            assert (answer["success"], answer["statusCode"]) == (False, 401), what
            await client.eio.disconnect(abort=True)
        stop.set()
        await role
