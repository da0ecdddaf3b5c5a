"""Other people's things, tokens, codes, money and webhooks: what an attacker tries on Ienerzy is refused."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from api import ienerzy
from protocols.nbfc import EVENT_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature, signed_headers
from storage.database import Pool
from storage.queries import users
from stream.lending.terms import today
from tests.api.forged_tokens import forged_tokens
from tests.api.helpers import Codes, Person, Service, bearer, ienerzy_person
from tests.api.ienerzy.contract_table import CONTRACT
from tests.api.ienerzy.contract_world import NBFC_SECRET, Json, Scene, furnish
from tests.api.ienerzy.people import World

THIEVES = ("rival", "outsider", "stranger", "colleague")
# Endpoints beyond the contract with an id in their path: what the id is of, what is below it, a good body.
EXTENSIONS: dict[tuple[str, str], tuple[str, Json | None]] = {
    ("GET", "admin/accounts/{id}"): ("account", None),
    ("PATCH", "admin/accounts/{id}"): ("account", {"status": "blocked", "name": "Mine"}),
    ("GET", "batteries/{serial}/history"): ("battery", None),
    ("GET", "batteries/{serial}/health"): ("battery", None),
    ("GET", "batteries/{serial}/alarms"): ("battery", None),
    ("GET", "consumers/{id}/documents"): ("consumer", None),
    ("PUT", "consumers/{id}/documents/{document_id}"): ("document", {"status": "verified"}),
    ("GET", "consumers/{id}/documents/{document_id}/file"): ("document", None),
    ("GET", "service/tickets/{id}"): ("ticket", None),
    ("POST", "service/tickets/{id}/rate"): ("resolved ticket", {"rating": 1}),
    ("GET", "messaging/messages/{message_id}"): ("message", None),
    ("GET", "finance/applications/{id}"): ("loan", None),
    ("POST", "finance/applications/{id}/disburse"): ("loan", {}),
    ("GET", "finance/applications/{id}/foreclosure-quote"): ("loan", None),
    ("POST", "finance/applications/{id}/foreclose"): ("loan", {}),
    ("POST", "finance/emi/{id}/pay"): ("emi", {"amount": 1}),
}
# The SMS provider signs what it sends.
NOBODYS = {("POST", "messaging/status/{provider}")}
DAY = timedelta(days=1)


async def test_nobody_reaches_what_is_another_persons_beyond_the_contract(scene: Scene) -> None:
    known = {(row.method, row.path) for row in CONTRACT}
    there = {
        (method, path.removeprefix("/api/"))
        for method, path in _routes()
        if "{" in path and (method, path) not in known
    }
    assert there == set(EXTENSIONS) | NOBODYS
    for (method, path), (subject, body) in EXTENSIONS.items():
        found = await scene.make(subject)
        holder = str(scene.people["consumer"].id)
        url = f"/api/{path.replace('{document_id}', found)}"
        url = re.sub(r"\{.*?\}", holder if subject == "document" else found, url)
        before = await scene.rows()
        for thief in THIEVES:
            answer = await scene.call(scene.people[thief], method, url, json=body)
            assert answer.status_code in {403, 404}, (method, path, thief, answer.status_code, answer.text)
        answer = await scene.call(None, method, url, json=body)
        assert answer.status_code == 401, (method, path, answer.text)
        assert await scene.rows() == before, (method, path)
    document = await scene.make("document")
    stranger = scene.people["stranger"].id
    for method, path in (("PUT", ""), ("GET", "/file")):
        url = f"/api/consumers/{stranger}/documents/{document}{path}"
        await scene.call(scene.people["dealer"], method, url, 404, json={"status": "verified"})


def _routes() -> Iterator[tuple[str, str]]:
    """Method and path of every endpoint of the family."""
    for part in vars(ienerzy).values():
        for route in getattr(part, "router", APIRouter()).routes:
            if isinstance(route, APIRoute):
                yield from ((method, f"/api{route.path}") for method in route.methods or ())


async def test_lists_beyond_the_contract_have_nothing_of_others(scene: Scene) -> None:
    await furnish(scene)
    await scene.make("message")
    loan = await scene.make("loan")
    for thief in THIEVES:
        for path in ("finance/payments", f"finance/payments?application_id={loan}", "messaging/messages"):
            answer = await scene.call(scene.people[thief], "GET", f"/api/{path}")
            assert answer.status_code == 403 or answer.json() == [], (thief, path, answer.text)
    for person in ("dealer", *THIEVES):
        await scene.call(scene.people[person], "GET", "/api/admin/accounts", 403)
        new = {"role": "admin", "name": "Mine", "phone": "+919811111111"}
        await scene.call(scene.people[person], "POST", "/api/admin/accounts", 403, json=new)


async def test_nobody_makes_himself_another(scene: Scene) -> None:
    """A role or a user type in a body opens no other account."""
    for role in ("admin", "technician", "consumer"):
        body = {"phone": "+919876543210", "userType": role, "role": "admin", "user_id": 1}
        await scene.call(None, "POST", "/api/auth/login", 404, json=body)
    sign_in = {"phone": "+919876543210", "userType": "dealer", "role": "admin", "userId": 1}
    await scene.call(None, "POST", "/api/auth/login", 200, json=sign_in)
    proof = {"phone": "+919876543210", "otp": scene.world.codes.sent["+919876543210"]}
    more = {"role": "admin", "userType": "admin", "user_id": scene.people["admin"].id}
    answer = await scene.call(None, "POST", "/api/auth/verify-otp", 200, json={**proof, **more})
    assert answer.json()["user"]["id"] == scene.people["dealer"].id
    assert answer.json()["user"]["role"] == "dealer"
    new = {"name": "Evil", "phone": "+919811111112", "role": "admin", "kyc_status": "verified"}
    made = await scene.made("dealer", "/consumers", new)
    assert (made["kyc_status"], made["dealer_id"]) == ("pending", scene.people["dealer"].id)
    assert await scene.count("SELECT count(*) FROM users WHERE role = 'admin'") == 1


async def test_no_bad_token_opens_anything(scene: Scene, driver: Person) -> None:
    people = scene.people
    good = people["dealer"].login["token"]
    left = await ienerzy_person(scene.api, scene.pool, scene.world.codes, "dealer", "+919811111113")
    blocked = await ienerzy_person(scene.api, scene.pool, scene.world.codes, "dealer", "+919811111114")
    moved = {"phone": "+919811111115"}
    admin = people["admin"]
    await scene.call(admin, "PATCH", f"/api/admin/accounts/{left.id}", 200, json=moved)
    await scene.call(admin, "PATCH", f"/api/admin/accounts/{blocked.id}", 200, json={"status": "blocked"})
    bad = {
        **forged_tokens(
            good, user_id=people["dealer"].id, admin_id=admin.id, audience="ienerzy", now_us=scene.clock()
        ),
        "of another family": driver.login["accessToken"],
        "a refresh token": driver.login["refreshToken"],
        "of an ended login": left.login["token"],
    }
    for what, token in bad.items():
        for path in ("batteries", "consumers", "admin/accounts", "batteries/test"):
            answer = await scene.call(None, "GET", f"/api/{path}", headers=bearer(token))
            assert answer.status_code == 401, (what, path, answer.text)
        event = {"applicationId": 1, "status": "rejected"}
        answer = await scene.call(None, "POST", "/api/nbfc/webhook-status", headers=bearer(token), json=event)
        assert answer.status_code == 401, (what, answer.text)
    answer = await scene.call(blocked, "GET", "/api/batteries")
    assert answer.status_code in {401, 403}, answer.text
    scene.clock.advance(86_401)
    await scene.call(people["dealer"], "GET", "/api/batteries", 401)


async def test_codes_cannot_be_guessed(
    make_service: Callable[..., Service], world: World, codes: Codes
) -> None:
    """Five tries a code, also where twenty come at once; five requests a minute from an address."""
    phone = "+919876543210"

    async def verify(otp: str) -> httpx.Response:
        return await world.api.post("/api/auth/verify-otp", json={"phone": phone, "otp": otp})

    async def sign_in() -> list[str]:
        await world.call(None, "POST", "/auth/login", json={"phone": phone, "userType": "dealer"})
        return [f"{(int(codes.sent[phone]) + by) % 10**6:06}" for by in range(1, 20)]

    for odd in ("", " ", "0" * 16, "1" * 17, "\0", "١٢٣٤٥٦", "' OR 1=1", codes.sent[phone] + " "):
        wrong = await sign_in()
        assert (await verify(odd)).status_code in {400, 401}, odd
    answers = [await verify(code) for code in [*wrong[:5], codes.sent[phone]]]
    assert [answer.status_code for answer in answers] == [401] * 6
    for _ in range(3):
        wrong = await sign_in()
        guesses = await asyncio.gather(*(verify(code) for code in [*wrong, codes.sent[phone]]))
        assert sum(answer.status_code == 200 for answer in guesses) <= 1
        async with world.pool.connection() as db:
            row = await (await db.execute("SELECT tries_left FROM one_time_passwords")).fetchone()
        is_in = 200 in {answer.status_code for answer in guesses}
        assert row == (None if is_in else (0,)), "the right one came among the first five, or all are spent"
        assert (await verify(codes.sent[phone])).status_code == 401
    busy = make_service(ienerzy_auth_per_minute=5)
    tries = [
        await busy.client.post("/api/auth/verify-otp", json={"phone": phone, "otp": "1"}) for _ in range(7)
    ]
    assert [answer.status_code for answer in tries] == [401] * 5 + [429] * 2
    # nor from many addresses, each with a code of its own
    app, statuses = make_service(ienerzy_auth_per_minute=5).app, []
    for number in range(1, 8):
        wrong = await sign_in()
        transport = httpx.ASGITransport(app, client=(f"10.0.0.{number}", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://gridwire.test") as client:
            guess = await client.post("/api/auth/verify-otp", json={"phone": phone, "otp": wrong[0]})
        statuses.append(guess.status_code)
    assert statuses == [401] * 5 + [429] * 2
    # a code is of its phone: it opens no other account
    await sign_in()
    other = {"phone": "+919876543211", "otp": codes.sent[phone]}
    await world.call(None, "POST", "/auth/verify-otp", 401, json=other)


MONEY = [
    "-1", "0", "-0.0", "0.001", "1e-7", "10000000001", "99999999999999999999", "1e400", "1e308", "NaN",
    "-Infinity", '"NaN"', '"1e400"', "null", "true", "[1]", '{"a":1}', '""', '"12,5"', "1.005",
]  # fmt: skip
AMOUNTS = [
    ("POST", "finance/applications", "amount"),
    ("PUT", "finance/applications/{application}/approve", "approved_amount"),
    ("POST", "finance/applications/{loan}/disburse", "amount"),
    ("POST", "finance/applications/{loan}/foreclose", "amount"),
    ("POST", "finance/emi/{emi}/pay", "amount"),
    ("POST", "nbfc/submit-application", "amount"),
    ("POST", "nbfc/webhook-status", "sanctionedAmount"),
    ("POST", "nbfc/webhook-status", "emiAmount"),
    ("POST", "service/tickets/{ticket}/update", "parts_cost"),
    ("POST", "nbfc/collection-report", "collection_data"),
]
# Where nothing, or a share of nothing, means: as it was applied for, or all that is open.
LEFT_OUT = {"approved_amount", "amount", "emiAmount", "parts_cost"}


async def test_money_is_an_amount(scene: Scene) -> None:
    ids = {name: await scene.make(name) for name in ("application", "loan", "emi", "ticket")}
    submitted = int(await scene.make("submitted application"))
    terms: Json = await scene.loan()
    good: dict[str, Json] = {
        "finance/applications": terms,
        "nbfc/submit-application": await scene.loan(),
        "nbfc/webhook-status": {"applicationId": submitted, "status": "approved", "sanctionedAmount": 1},
        "finance/applications/{application}/approve": {"status": "approved"},
        "nbfc/collection-report": {"report_date": "2026-01-15"},
    }
    before = await scene.rows()
    for method, path, name in AMOUNTS:
        for text in MONEY:
            is_optional = name in LEFT_OUT and path not in {"finance/applications", "nbfc/submit-application"}
            if (text == "null" and is_optional) or text == "true" or (name == "parts_cost" and "0" in text):
                continue
            value = text
            if name == "collection_data":
                value = f'{{"total_collections": 1, "overdue_count": 0, "amount_collected": {text}}}'
                if text in {"0", "-0.0", "10000000001"}:
                    continue
            body = json.dumps(good.get(path, {}))[:-1] + (", " if good.get(path) else "")
            raw = f'{body}"{name}": {value}}}'
            headers = {"Content-Type": "application/json"}
            url = f"/api/{path.format(**ids)}"
            dealer = scene.people["dealer"]
            answer = await scene.call(dealer, method, url, content=raw, headers=headers)
            assert answer.status_code == 400, (method, path, raw, answer.status_code, answer.text)
    assert await scene.rows() == before
    # the last of two fields counts, and it alone is looked at
    twice = '{"amount": 100, "amount": -5}'
    path = f"/api/finance/emi/{ids['emi']}/pay"
    headers = {"Content-Type": "application/json"}
    await scene.call(scene.people["dealer"], "POST", path, 400, content=twice, headers=headers)


async def test_what_is_paid_is_paid_once(scene: Scene) -> None:
    """The same key is the same payment, also twenty times at once; for another one it is refused."""
    emi, other = await scene.make("emi"), await scene.make("emi")
    dealer = scene.people["dealer"]

    async def pay(emi: str, key: str | None, amount: Any = 500, **more: Any) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        body = {"amount": amount, **more}
        return await scene.call(dealer, "POST", f"/api/finance/emi/{emi}/pay", json=body, headers=headers)

    answers = await asyncio.gather(*(pay(emi, "key-1") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["payment"]["id"] for answer in answers}) == 1
    same = await pay(emi, "key-1", None)  # all that is open, said again: it was the one with this key
    assert same.json()["payment"] == answers[0].json()["payment"]
    for answer in (await pay(emi, "key-1", 501), await pay(other, "key-1"), await pay(other, "key-1", None)):
        assert answer.status_code == 400, answer.text
        assert answer.json()["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert await scene.count("SELECT count(*) FROM emi_payments") == 1
    assert await scene.count("SELECT sum(amount_minor) FROM emi_payments") == 50_000
    loan = await _loan_of(scene, emi)
    assert sum(float(each["paid_amount"]) for each in loan["emi_schedule"]) == 500
    for key in ("", "x" * 256):
        assert (await pay(emi, key)).status_code == 400
    # fields that are not the caller's to say
    tomorrow = (today(scene.clock.moment()) + DAY).isoformat()
    assert (await pay(emi, None, paid_on=tomorrow)).status_code == 400
    taken = await pay(
        emi, "key-2", 100, id=1, is_late=False, recorded_by=1, kind="foreclosure", status="paid",
        application_id=1, dealer_id=scene.people["rival"].id, created_at="1999-01-01T00:00:00Z",
    )  # fmt: skip
    payment = taken.json()["payment"]
    assert (payment["kind"], payment["recorded_by"], payment["amount"]) == ("instalment", dealer.id, "100.00")
    # far more than is owed is kept, never paid out or applied to another's loan
    assert (await pay(emi, "key-3", 10_000_000)).status_code in {201, 400}
    untouched = await _loan_of(scene, other)
    assert {each["paid_amount"] for each in untouched["emi_schedule"]} == {"0.00"}
    assert (
        await scene.count("SELECT count(*) FROM accounts WHERE NOT may_be_negative AND balance_minor < 0")
        == 0
    )


async def _loan_of(scene: Scene, emi: str) -> Any:
    async with scene.pool.connection() as db:
        query = "SELECT application_id FROM emi_schedules WHERE id = %s"
        row = await (await db.execute(query, (int(emi),))).fetchone()
    assert row is not None
    answer = await scene.call(scene.people["dealer"], "GET", f"/api/finance/applications/{row[0]}", 200)
    return answer.json()


async def test_loans_end_once(scene: Scene) -> None:
    """A loan is foreclosed once, and not by less than it costs; nothing is decided or paid out twice."""
    loan, dealer = await scene.make("loan"), scene.people["dealer"]
    path = f"/api/finance/applications/{loan}"
    quote = (await scene.call(dealer, "GET", f"{path}/foreclosure-quote", 200)).json()
    little = {"amount": float(quote["total_amount"]) - 1}
    await scene.call(dealer, "POST", f"{path}/foreclose", 400, json=little)
    ends = await asyncio.gather(
        *(scene.call(dealer, "POST", f"{path}/foreclose", json={}) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in ends) == [201] + [400] * 9
    for change, body in (
        ("disburse", {}), ("foreclose", {}), ("disburse", {"amount": 1}),
    ):  # fmt: skip
        await scene.call(dealer, "POST", f"{path}/{change}", 400, json=body)
    for status in ("approved", "rejected"):
        await scene.call(dealer, "PUT", f"{path}/approve", 400, json={"status": status})
    assert await scene.count("SELECT count(*) FROM emi_payments") == 1


async def test_webhooks_that_are_replayed_altered_late_or_anothers_change_nothing(scene: Scene) -> None:
    application = int(await scene.make("submitted application"))
    url = "/api/nbfc/webhook-status"
    body = json.dumps(
        {"applicationId": application, "status": "approved", "sanctionedAmount": 30000}
    ).encode()
    now_s = scene.clock() // 1_000_000
    good = signed_headers(NBFC_SECRET, body, now_s)
    stamp, signed = good[TIMESTAMP_HEADER], good[SIGNATURE_HEADER]
    before = await scene.rows()
    refused: list[tuple[bytes, dict[str, str]]] = [
        (body, {}), (body + b" ", good), (body, good | {EVENT_HEADER: "E1"}),
        (body.replace(b"30000", b"45000"), good),
        (body, good | {SIGNATURE_HEADER: ""}), (body, good | {SIGNATURE_HEADER: signed[:-1]}),
        (body, good | {SIGNATURE_HEADER: signed.removeprefix("sha256=")}),
        (body, good | {SIGNATURE_HEADER: signed.upper()}), (body, good | {SIGNATURE_HEADER: "sha256="}),
        (body, good | {TIMESTAMP_HEADER: str(now_s + 1)}), (body, good | {TIMESTAMP_HEADER: f" {stamp}.0"}),
        (body, {k: v for k, v in good.items() if k != TIMESTAMP_HEADER}),
        (body, signed_headers(NBFC_SECRET, body, now_s - 301)),
        (body, signed_headers(NBFC_SECRET, body, now_s + 301)),
        (body, signed_headers("another", body, now_s)), (body, signed_headers("", body, now_s)),
        (body, good | {TIMESTAMP_HEADER: "9" * 40, SIGNATURE_HEADER: signature(NBFC_SECRET, "9" * 40, body)}),
    ]  # fmt: skip
    for content, headers in refused:
        answer = await scene.call(None, "POST", url, content=content, headers=headers)
        assert answer.status_code == 401, (content, headers, answer.text)
    for thief, status in (("rival", 404), ("outsider", 403), ("consumer", 403), ("technician", 403)):
        for headers in ({}, good):
            await scene.call(scene.people[thief], "POST", url, status, content=body, headers={
                "Content-Type": "application/json", **headers})  # fmt: skip
    assert await scene.rows() == before
    named = signed_headers(NBFC_SECRET, body, now_s, "E1")
    answers = await asyncio.gather(
        *(scene.call(None, "POST", url, content=body, headers=named) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    assert len({answer.text for answer in answers}) == 1
    after = await scene.rows()
    assert await scene.count("SELECT count(*) FROM emi_schedules") == 24
    # the same event with other words, signed by the NBFC, is the event that it was
    lie = json.dumps({"applicationId": application, "status": "rejected", "reason": "x"}).encode()
    headers = signed_headers(NBFC_SECRET, lie, now_s, "E1")
    again = await scene.call(None, "POST", url, content=lie, headers=headers)
    assert again.status_code in {200, 400}
    assert await scene.rows() == after
    # an application that is the house's own is nothing an NBFC can speak of, and neither is one that is not
    for number in (0, -1, 2**63, 10**30):
        odd = json.dumps({"applicationId": number, "status": "rejected"}).encode()
        headers = signed_headers(NBFC_SECRET, odd, now_s)
        await scene.call(None, "POST", url, 400, content=odd, headers=headers)
    for odd in (b"", b"[]", b"null", b"\xff", b'{"a":' * 50_000):
        headers = signed_headers(NBFC_SECRET, odd, now_s)
        await scene.call(None, "POST", url, 400, content=odd, headers=headers)


async def test_sms_callbacks_need_a_provider_that_signs(scene: Scene) -> None:
    for provider in ("twilio", "x", "..", "%2e%2e", "a" * 33, "%00", "' OR 1=1"):
        answer = await scene.call(None, "POST", f"/api/messaging/status/{provider}", content=b"MessageSid=1")
        assert answer.status_code in {400, 404, 405}, (provider, answer.status_code, answer.text)


@pytest.mark.parametrize("role", ["dealer", "admin"])
async def test_an_account_of_another_family_is_nobody_here(scene: Scene, pool: Pool, role: str) -> None:
    """Ids are of one table for all families: one of EV-CMS is no dealer, consumer or technician."""
    async with pool.connection() as db:
        alien = await users.insert_user(db, system="evcms", role="user", name="Alien", email="a@example.com")
    dealer = scene.people["dealer"].id
    battery, ticket = await scene.make("battery"), await scene.make("ticket")
    person = scene.people[role]
    loan = await scene.loan() | {"consumer_id": alien.id, "dealer_id": dealer}
    tries: list[tuple[str, str, Json | None]] = [
        ("PUT", f"batteries/{battery}/assign", {"consumer_id": alien.id}),
        ("PUT", f"consumers/{alien.id}/kyc", {"kyc_status": "verified"}),
        ("GET", f"consumers/{alien.id}/profile", None), ("GET", f"consumers/{alien.id}/finance", None),
        ("GET", f"consumers/{dealer}/profile", None), ("GET", f"consumers/{person.id}/profile", None),
        ("POST", "finance/applications", loan), ("POST", "nbfc/submit-application", loan),
        ("PUT", f"service/tickets/{ticket}/assign", {"technician_id": alien.id}),
        ("PUT", f"service/tickets/{ticket}/assign", {"technician_id": dealer}),
    ]  # fmt: skip
    before = await scene.rows()
    for method, path, body in tries:
        await scene.call(person, method, f"/api/{path}", 404, json=body)
    if role == "admin":
        await scene.call(person, "GET", f"/api/admin/accounts/{alien.id}", 404)
        await scene.call(person, "PATCH", f"/api/admin/accounts/{alien.id}", 404, json={"name": "x"})
        for named in (alien.id, scene.people["consumer"].id, 10**15):
            new = {"serial_number": "NEW-1", "dealer_id": named}
            answer = await scene.call(person, "POST", "/api/batteries", json=new)
            assert answer.status_code in {400, 404}, answer.text
    assert await scene.rows() == before


async def test_an_nbfc_speaks_of_what_went_to_it_and_within_reason(scene: Scene) -> None:
    """A loan of the house is not an NBFC's to decide, and no instalment is beyond the loan itself."""
    now_s, dealer = scene.clock() // 1_000_000, scene.people["dealer"]

    async def say(expected: int, **words: Any) -> Any:
        body = json.dumps(words).encode()
        headers = signed_headers(NBFC_SECRET, body, now_s)
        answer = await scene.call(
            None, "POST", "/api/nbfc/webhook-status", expected, content=body, headers=headers
        )
        return answer.json()

    house, running = int(await scene.make("application")), int(await scene.make("loan"))
    before = await scene.rows()
    for application in (house, running):
        for status in ("approved", "rejected", "disbursed"):
            said = await say(404, applicationId=application, status=status, sanctionedAmount=45000)
            assert said["error"] == "Application not found"
    assert await scene.rows() == before
    theirs = int(await scene.make("submitted application"))
    words = {"applicationId": theirs, "status": "approved", "sanctionedAmount": 45000}
    refused = await say(400, **words, emiAmount=90000.01)
    assert refused["code"] == "NOT_POSSIBLE"
    assert (await say(200, **words, emiAmount=1875))["application"]["emi_amount"] == 1875
    by_dealer = {"applicationId": house, "status": "approved", "sanctionedAmount": 45000}
    await scene.call(dealer, "POST", "/api/nbfc/webhook-status", 200, json=by_dealer)


async def test_nothing_is_paid_before_the_loan_began(scene: Scene) -> None:
    """A date of long ago would make what is overdue paid in time."""
    dealer, emi = scene.people["dealer"], await scene.make("emi")
    starts_on = (await _loan_of(scene, emi))["starts_on"]
    path = f"/api/finance/emi/{emi}/pay"
    for day in ("2000-01-01", (date.fromisoformat(starts_on) - DAY).isoformat()):
        body = {"amount": 1, "paid_on": day}
        refused = await scene.call(dealer, "POST", path, 400, json=body)
        assert refused.json()["code"] == "NOT_POSSIBLE"
    assert await scene.count("SELECT count(*) FROM emi_payments") == 0
    await scene.call(dealer, "POST", path, 201, json={"amount": 1, "paid_on": starts_on})
