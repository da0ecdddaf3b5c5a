"""Other people's things, forged tokens and signatures, guesses: Lithovolt refuses what an attacker tries."""

import asyncio
import base64
import hashlib
import io
import re
from collections import Counter
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pypdf import PdfReader

from api import tokens
from storage.database import Pool
from tests.api.forged_tokens import forged_tokens
from tests.api.helpers import PASSWORD, SECRET, Clock, Person, Service, bearer
from tests.api.lithovolt.contract_table import CALLERS, CONTRACT
from tests.api.lithovolt.contract_world import Json, World
from tests.api.lithovolt.people import lithovolt_person
from tests.api.lithovolt.test_contract import good_request

ORDER_OF_25519 = 2**252 + 27742317777372353535851937790883648493
# Where the owner of a thing looks at it.
SHOWN = {
    "order": ("wholesaler", "/api/orders/{}/"),
    "approved order": ("wholesaler", "/api/orders/{}/"),
    "allocation": ("wholesaler", "/api/inventory/allocations/{}/"),
    "sold serial": ("consumer", "/api/inventory/serials/{}/"),
    "warranty": ("consumer", "/api/warranty/{}/"),
    "claim": ("consumer", "/api/warranty/claims/{}/"),
    "first claim": ("consumer", "/api/warranty/claims/{}/"),
    "model": ("consumer", "/api/inventory/models/{}/"),
    "user": ("admin", "/api/users/{}/"),
}


async def test_nobody_changes_what_is_another_persons(world: World) -> None:
    """Whoever the table refuses leaves the thing as it was."""
    for row in CONTRACT:
        if row.subject is None or not row.is_changing:
            continue
        subject = await world.make(row.subject)
        owner, path = SHOWN[row.subject]
        before = (await world.call(world.people[owner], "GET", path.format(subject), 200)).json()
        for caller, status in zip(CALLERS, row.statuses, strict=True):
            if status < 400:
                continue
            answer = await good_request(world, row, caller, subject)
            assert answer.status_code == status, (row.name, caller, answer.text)
        after = (await world.call(world.people[owner], "GET", path.format(subject), 200)).json()
        assert after == before, row.name


async def test_no_body_reaches_what_is_another_persons(world: World) -> None:
    """Serials, warranties and wholesalers of others, named in bodies and queries."""
    own, foreign = await world.allocated(), await world.allocated("rival")
    in_stock = (await world.add_serials(1))[0]
    warranty = await world.activated()
    number = warranty["verification_url"].partition("signature=")[2]
    link = {"serial": warranty["serial"], "certificate_number": warranty["certificate_number"]}
    for who, path, body in (
        ("rival", "/api/warranty/activate/", {"serial": own, "customer_name": "R"}),
        ("rival", "/api/warranty/activate/", {"serial": in_stock, "customer_name": "R"}),
        ("rival", "/api/warranty/activate/", {"serial": warranty["serial"], "customer_name": "R"}),
        ("consumer", "/api/warranty/activate/", {"serial": in_stock}),
        ("stranger", "/api/warranty/activate/", {"serial": warranty["serial"]}),
        ("rival", "/api/warranty/claims/", {"warranty": warranty["id"], "issue": "x", "description": "x"}),
        ("stranger", "/api/warranty/claims/", {"warranty": warranty["id"], "issue": "x", "description": "x"}),
        ("stranger", "/api/warranty/link/", {**link, "signature": number}),
        ("stranger", "/api/warranty/link/", {**link, "signature": "A" * 86}),
    ):
        await world.call(world.people[who], "POST", path, 400, json=body)
    # the same answer for what is another's, and for what is not there at all
    answers = {
        (await world.call(world.people["rival"], "POST", "/api/warranty/activate/", 400, json=body))
        .text.replace(body["serial"], "SERIAL")
        for body in ({"serial": serial, "customer_name": "R"} for serial in (own, in_stock, "NOTHING-1"))
    }  # fmt: skip
    assert len(answers) == 1, answers
    claim = await world.make("claim")
    await world.done("admin", "PATCH", f"/api/warranty/claims/{claim}/", {"status": "under_review"})
    await world.done("admin", "PATCH", f"/api/warranty/claims/{claim}/", {"status": "approved"})
    resolved = {"status": "resolved", "replacement_serial": foreign}
    for who, status in (("stranger", 404), ("rival", 404), ("consumer", 403), ("wholesaler", 403)):
        await world.call(world.people[who], "PATCH", f"/api/warranty/claims/{claim}/", status, json=resolved)
    await world.call(world.people["admin"], "PATCH", f"/api/warranty/claims/{claim}/", 400, json=resolved)
    order = {"items": [{"model": world.model, "quantity": 1}], "buyer": world.people["wholesaler"].id}
    made = await world.done("rival", "POST", "/api/orders/", order)
    assert made["buyer"] == world.people["rival"].id
    # an e-mail that its owner has not proven links nobody's account
    body = {"serial": own, "customer_name": "R", "customer_email": "stranger@example.com"}
    assert (await world.done("wholesaler", "POST", "/api/warranty/activate/", body))["consumer_id"] is None
    assert (await world.call(world.people["stranger"], "GET", "/api/warranty/", 200)).json()["count"] == 0
    assert await world.value("SELECT count(*) FROM warranties WHERE seller_id = %(id)s",
                             id=world.people["rival"].id) == 0  # fmt: skip


async def test_nobody_activates_a_warehouse_by_counting(
    world: World, make_service: Callable[..., Service]
) -> None:
    """Serial numbers follow each other, and whoever registers is a consumer: his tries are bounded."""
    serials = await world.add_serials(13)
    body = {"wholesaler": world.people["wholesaler"].id, "serials": serials}
    await world.done("admin", "POST", "/api/inventory/allocate/", body)
    api, path = make_service(lithovolt_login_tries=10).client, "/api/warranty/activate/"

    async def activate(who: str, serial: str) -> int:
        body = {"serial": serial, "customer_name": "C"}
        return (await api.post(path, json=body, headers=world.people[who].headers)).status_code

    guesses = [*serials[:2], *(f"NOTHING-{number}" for number in range(8)), *serials[2:]]
    assert Counter([await activate("stranger", each) for each in guesses]) == {201: 2, 400: 8, 429: 11}
    assert await activate("consumer", serials[2]) == 201
    assert Counter([await activate("wholesaler", each) for each in serials[3:]]) == {201: 10}


async def test_nobody_gives_himself_a_role_or_an_approval(world: World) -> None:
    person = {"password": PASSWORD, "first_name": "E", "status": "active", "is_approved": True, "id": 1}
    for role in ("admin", "Admin", "superuser", "", None, ["admin"], {"role": "admin"}, 0):
        body = {**person, "email": "evil@example.com", "role": role}
        answer = await world.call(None, "POST", "/api/auth/register/", 400, json=body)
        assert {field.split(".")[0] for field in answer.json()} == {"role"}, role
    body = {**person, "email": "seller@example.com", "role": "wholesaler", "is_email_verified": True}
    made = (await world.call(None, "POST", "/api/auth/register/", 201, json=body)).json()
    assert (made["is_approved"], made["is_email_verified"]) == (False, False)
    login = {"email": "seller@example.com", "password": PASSWORD}
    await world.call(None, "POST", "/api/auth/login/", 403, json=login)
    await world.call(None, "POST", "/api/auth/otp/send/", 200, json={"email": "seller@example.com"})
    assert await world.value("SELECT count(*) FROM notices WHERE address = 'seller@example.com'") == 0
    standing = {"role": "admin", "is_approved": True, "status": "active", "email": "admin@example.com"}
    for name in ("wholesaler", "rival", "consumer", "stranger"):
        own = await world.done(name, "PATCH", "/api/users/me/", {**standing, "first_name": "E"})
        assert (own["role"], own["email"]) != ("admin", "admin@example.com")
        path = f"/api/users/{world.people[name].id}/"
        await world.call(world.people[name], "PATCH", path, 403, json=standing)
        await world.call(world.people[name], "POST", "/api/users/", 403, json={**person, **standing})
    assert await world.value("SELECT count(*) FROM users WHERE role = 'admin'") == 1
    for change in ({"role": "consumer"}, {"status": "blocked"}):
        await world.call(
            world.people["admin"], "PATCH", f"/api/users/{world.people['admin'].id}/", 403, json=change
        )


async def bad_tokens(world: World, dealer: Person) -> dict[str, str]:
    """Tokens that must let nobody in, by what is wrong with them."""
    admin, consumer = world.people["admin"], world.people["consumer"]
    login = {"email": "consumer@example.com", "password": PASSWORD}
    good = (await world.call(None, "POST", "/api/auth/login/", 200, json=login)).json()
    ids = {"user_id": consumer.id, "admin_id": admin.id}
    older = tokens.Claims(consumer.id, -1, None)
    return {
        **forged_tokens(good["access"], **ids, audience="lithovolt", now_us=world.clock()),
        "of another family": dealer.headers["Authorization"].removeprefix("Bearer "),
        "of a dealer as ours": issued(world, tokens.Claims(dealer.id, 0, None)),
        "of an old version": issued(world, older),
        "a refresh token": good["refresh"],
    }


def issued(world: World, claims: tokens.Claims) -> str:
    return tokens.issue(SECRET, "lithovolt", claims, now_us=world.clock(), life_s=60)


async def test_no_bad_token_opens_anything(world: World, dealer: Person) -> None:
    for what, token in (await bad_tokens(world, dealer)).items():
        for path in ("/api/users/me/", "/api/users/", "/api/warranty/", "/api/orders/"):
            answer = await world.call(None, "GET", path, headers=bearer(token))
            assert answer.status_code == 401, (what, path, answer.text)
    for method in ("GET", "PATCH"):  # nor does ours open what is of another family
        await world.call(world.people["admin"], method, f"/api/users/{dealer.id}/", 404, json={})
    given = {"wholesaler": dealer.id, "model": world.model, "quantity": 1}
    await world.call(world.people["admin"], "POST", "/api/inventory/allocate/", 400, json=given)
    own = bearer(issued(world, tokens.Claims(world.people["consumer"].id, 0, None)))
    await world.call(None, "GET", "/api/users/me/", 200, headers=own)
    assert (await world.call(None, "GET", "/api/batteries", headers=own)).status_code == 401
    assert (await world.call(None, "GET", "/api/v1/auth/me", headers=own)).status_code == 401


async def test_a_refresh_token_that_was_stolen_ends_the_login(world: World) -> None:
    login = {"email": "consumer@example.com", "password": PASSWORD}

    async def exchange(refresh: str) -> httpx.Response:
        return await world.call(None, "POST", "/api/auth/token/refresh/", json={"refresh": refresh})

    first = (await world.call(None, "POST", "/api/auth/login/", 200, json=login)).json()
    answers = await asyncio.gather(*(exchange(first["refresh"]) for _ in range(8)))
    assert Counter(each.status_code for each in answers) in ({200: 1, 401: 7}, {401: 8})
    for each in answers:
        if each.status_code == 200:
            assert (await exchange(each.json()["refresh"])).status_code == 401
            me = await world.call(None, "GET", "/api/users/me/", headers=bearer(each.json()["access"]))
            assert me.status_code == 401, "whoever has it cannot go on with it"
    for refresh in (first["access"], "x" * 43, "' OR '1'='1", "\0" * 43, "é" * 43):
        assert (await exchange(refresh)).status_code in {400, 401}


async def test_a_one_time_password_is_not_guessed(world: World) -> None:
    code = await world.code_for("consumer@example.com")

    async def guess(otp: str, email: str = "consumer@example.com") -> int:
        body = {"email": email, "otp": otp}
        return (await world.call(None, "POST", "/api/auth/otp/verify/", json=body)).status_code

    wrong = [f"{(int(code) + number) % 1_000_000:06}" for number in range(1, 21)]
    assert Counter(await asyncio.gather(*(guess(otp) for otp in wrong))) == {401: 20}
    assert await guess(code) == 401, "its tries were used up"
    code = await world.code_for("consumer@example.com")
    for email in ("stranger@example.com", "wholesaler@example.com", "admin@example.com"):
        assert await guess(code, email) == 401, "a code is of one account"
    assert Counter(await asyncio.gather(*(guess(code) for _ in range(5)))) == {200: 1, 401: 4}
    for otp in ("0" * 17, "", "١٢٣٤٥٦", "' OR 1=1"):
        assert await guess(otp) in {400, 401}


async def test_nobody_learns_who_has_an_account(world: World) -> None:
    """The same answer for a consumer, for others, and for nobody, wherever an address is asked for."""
    addresses = ["consumer", "wholesaler", "admin", "nobody"]
    cases: list[tuple[str, Json]] = [
        ("/api/auth/otp/send/", {}),
        ("/api/auth/password/reset/", {}),
        ("/api/auth/login/", {"password": "wrong horse"}),
        ("/api/auth/otp/verify/", {"otp": "000000"}),
    ]
    for path, body in cases:
        answers = [
            await world.call(None, "POST", path, json={**body, "email": f"{name}@example.com"})
            for name in addresses
        ]
        told = {(each.status_code, each.text, *sorted(each.headers)) for each in answers}
        assert len(told) == 1, (path, told)
    for role in ("wholesaler", "admin"):
        count = "SELECT count(*) FROM notices WHERE kind = 'otp' AND address = %(address)s"
        assert await world.value(count, address=f"{role}@example.com") == 0


async def test_a_password_is_not_set_anew_by_who_has_no_token(world: World) -> None:
    async def confirm(token: str, password: str = "battery staple") -> int:
        body = {"token": token, "password": password}
        return (await world.call(None, "POST", "/api/auth/password/reset/confirm/", json=body)).status_code

    first, second = [await world.reset_token("consumer@example.com") for _ in range(2)]
    guesses = ["x" * 43, "", first[:-1], first.swapcase(), "' OR '1'='1", "\0", "%", "x" * 201]
    guesses.append(hashlib.sha256(first.encode()).hexdigest())
    for token in guesses:
        assert await confirm(token) == 400, token
    answers = await asyncio.gather(*(confirm(second) for _ in range(6)))
    assert Counter(answers) == {200: 1, 400: 5}
    assert await confirm(first) == 400, "an older one is void once a password was set"
    login = {"email": "consumer@example.com", "password": PASSWORD}
    await world.call(None, "POST", "/api/auth/login/", 401, json=login)
    assert (
        await world.value("SELECT count(*) FROM notices WHERE body LIKE %(token)s", token=f"%{first}%") == 1
    )
    blocked = await world.someone("consumer")
    email = str(await world.value("SELECT email FROM users WHERE id = %(id)s", id=blocked.id))
    token = await world.reset_token(email)
    await world.done("admin", "PATCH", f"/api/users/{blocked.id}/", {"status": "blocked"})
    await confirm(token)
    answer = await world.call(
        None, "POST", "/api/auth/login/", json={"email": email, "password": "battery staple"}
    )
    assert answer.status_code in {401, 403}


_NOTES = """
INSERT INTO warranty_claim_events (claim_id, kind, actor_id, detail, at)
SELECT %(claim)s, 'noted', %(by)s, '{"note": "x"}', now() FROM generate_series(1, 398) RETURNING id
"""


async def test_nobody_hides_a_decision_behind_notes(world: World) -> None:
    """A claim shows its oldest entries: whoever fills it with notes is stopped before the last step."""
    claim, consumer = await world.make("claim"), world.people["consumer"]
    await world.value(_NOTES, claim=int(claim), by=consumer.id)
    path = f"/api/warranty/claims/{claim}/"
    refused = await world.call(consumer, "PATCH", path, 400, json={"note": "One more"})
    assert list(refused.json()) == ["note"]
    for step in ("under_review", "approved", "resolved"):
        shown = await world.done("admin", "PATCH", path, {"status": step, "note": "Because"})
        assert shown["events"][-1]["detail"]["to"] == step


async def test_a_signature_that_is_not_ours_is_refused(world: World) -> None:
    """Altered, made malleable, of another battery, or of nothing: 400, and a link takes none of them."""
    made, other = await world.activated("wholesaler"), await world.activated("wholesaler")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(made["verification_url"]).query).items()}
    foreign = parse_qs(urlsplit(other["verification_url"]).query)["signature"][0]
    raw = base64.urlsafe_b64decode(asked["signature"] + "==")
    scalar = int.from_bytes(raw[32:], "little") + ORDER_OF_25519

    def text(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    forged = [
        text(raw[:32] + scalar.to_bytes(32, "little")), text(bytes(64)), text(raw[::-1]), foreign,
        text(raw[:-1] + bytes([raw[-1] ^ 1])), text(raw + b"\0"), asked["signature"] + "=", "x", "é" * 86,
        asked["signature"].swapcase(), "A" * 200,
    ]  # fmt: skip
    path = f"/api/warranty/verify/{made['serial']}/"
    for signature in forged:
        query = {**asked, "signature": signature}
        answer = await world.call(None, "GET", path, 400, params=query)
        assert "forged or altered" in answer.json()["detail"] or list(answer.json()) == ["signature"]
        link = {"serial": made["serial"], "certificate_number": made["certificate_number"]}
        body = {**link, "signature": signature}
        await world.call(world.people["stranger"], "POST", "/api/warranty/link/", 400, json=body)
    await world.call(None, "GET", path, 200, params=asked)
    elsewhere = f"/api/warranty/verify/{other['serial']}/"
    await world.call(None, "GET", elsewhere, 400, params=asked)
    assert await world.value("SELECT count(*) FROM warranties WHERE consumer_id IS NOT NULL") == 0


async def test_the_public_verification_reveals_no_person(world: World) -> None:
    names = {"customer_name": "Asha Secret", "customer_phone": "+919876511111"}
    body = {"serial": await world.allocated(), **names, "customer_email": "secret@example.com"}
    made = await world.done("wholesaler", "POST", "/api/warranty/activate/", body)
    urls = [made["verification_url"], f"/api/warranty/verify/{made['serial']}/"]
    await world.call(
        world.people["admin"], "POST", f"/api/warranty/{made['id']}/void/", 200,
        json={"reason": "Asha Secret asked for it"},
    )  # fmt: skip
    for url in [*urls, "/api/warranty/public-key/"]:
        shown = await world.call(None, "GET", url.removeprefix("http://localhost:5000"), 200)
        for word in ("Asha", "secret@", "9876511111", "Wholesaler", "Traders", "consumer_id", "seller"):
            assert word not in shown.text + str(shown.headers), (url, word)
    certificate = await world.call(
        world.people["wholesaler"], "GET", f"/api/warranty/{made['id']}/certificate/", 200
    )
    printed = PdfReader(io.BytesIO(certificate.content)).pages[0].extract_text()
    assert not re.search("Asha|secret@|9876511111", printed)
    stock = (await world.add_serials(1))[0]
    unsold = (await world.call(None, "GET", f"/api/warranty/verify/{stock}/", 200)).json()
    assert {name for name, value in unsold.items() if value is not None} == {"serial", "model", "status"}


@pytest.mark.parametrize("path", ["/api/auth/login/", "/api/auth/otp/send/", "/api/auth/password/reset/"])
async def test_a_flood_is_held_back_by_account_and_the_rest_goes_on(
    make_service: Callable[..., Service], pool: Pool, clock: Clock, password_hash: str, path: str
) -> None:
    await lithovolt_person(pool, clock, "consumer", password_hash=password_hash)
    api = make_service().client
    body = {"email": "consumer@example.com", "password": "wrong horse"}
    answers = [(await api.post(path, json=body)).status_code for _ in range(12)]
    assert answers[10:] == [429, 429]
    assert 429 not in answers[:10]
    other = await api.post(path, json={**body, "email": "nobody@example.com"})
    assert other.status_code != 429
