"""Sign-in by one-time password (IE-001, IE-002): who, how often, at the same time, the way of the text."""

import asyncio
from collections.abc import Callable

import httpx

from api.otp import SmsSender
from storage.database import Connection, Pool
from storage.queries import notices
from stream.notices import Senders, deliver
from stream.sms import TextMessage
from tests.api.helpers import Clock, Codes, Person, Service, ienerzy_person
from tests.api.ienerzy.people import PHONES, World

PHONE = "+919876543210"


async def sign_in(api: httpx.AsyncClient, role: str, phone: str = PHONE) -> httpx.Response:
    return await api.post("/api/auth/login", json={"phone": phone, "userType": role})


async def verify(api: httpx.AsyncClient, code: str, phone: str = PHONE) -> httpx.Response:
    return await api.post("/api/auth/verify-otp", json={"phone": phone, "otp": code})


def wrong(code: str, by: int = 1) -> str:
    return f"{(int(code) + by) % 1_000_000:06}"


async def test_all_four_roles_sign_in_each_as_itself(world: World) -> None:
    assert await world.call(world.technician, "GET", "/batteries/test") == {
        "message": "Battery routes answer",
        "user_id": world.technician.id,
        "role": "technician",
        "batteries": 0,
    }
    for person, role, reached in ((world.dealer, "dealer", 1), (world.admin, "admin", 1)):
        told = await world.call(person, "GET", "/batteries/test")
        assert (told["role"], told["batteries"]) == (role, reached)
    await world.call(world.technician, "GET", "/batteries", 403)
    for body in ({"phone": PHONES["admin"], "userType": "dealer"}, {"phone": PHONE, "userType": "admin"}):
        refusal = await world.call(None, "POST", "/auth/login", 404, json=body)
        assert refusal["error"] == "User not found"


async def test_the_code_is_of_the_latest_user_type_and_of_its_phone_alone(world: World) -> None:
    api, codes = world.api, world.codes
    twin = await world.person("consumer", PHONE, world.dealer.id)
    await sign_in(api, "dealer")
    assert (await verify(api, codes.sent[PHONE], PHONES["admin"])).status_code == 401
    await sign_in(api, "consumer")
    user = (await verify(api, codes.sent[PHONE])).json()["user"]
    assert (user["id"], user["role"]) == (twin.id, "consumer")
    async with world.pool.connection() as db:
        await sign_in(api, "dealer")
        rows = await (await db.execute("SELECT code_hash, user_id FROM one_time_passwords")).fetchall()
    assert [user_id for _, user_id in rows] == [world.dealer.id]
    assert codes.sent[PHONE].encode() not in bytes(rows[0][0])


async def test_a_code_to_a_phone_that_was_taken_from_the_account_lets_nobody_in(world: World) -> None:
    await sign_in(world.api, "dealer")
    path = f"/admin/accounts/{world.dealer.id}"
    await world.call(world.admin, "PATCH", path, json={"phone": "+919876543299"})
    assert (await verify(world.api, world.codes.sent[PHONE])).status_code == 401


async def test_guesses_at_the_same_time_share_no_try_and_a_code_makes_one_token(
    api: httpx.AsyncClient, dealer: Person, codes: Codes
) -> None:
    await sign_in(api, "dealer")
    code = codes.sent[PHONE]
    guesses = [wrong(code, by) for by in range(1, 20)]
    answers = await asyncio.gather(*(verify(api, guess) for guess in guesses))
    assert {answer.status_code for answer in answers} == {401}
    assert (await verify(api, code)).status_code == 401
    await sign_in(api, "dealer")
    code = codes.sent[PHONE]
    answers = await asyncio.gather(*(verify(api, code) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9


async def test_a_phone_is_sent_five_codes_a_minute_from_wherever(
    make_service: Callable[..., Service], pool: Pool, codes: Codes
) -> None:
    busy = make_service(ienerzy_auth_per_minute=5)
    await ienerzy_person(make_service().client, pool, codes, "dealer", PHONE)
    statuses = []
    for number in range(6):
        transport = httpx.ASGITransport(busy.app, client=(f"10.0.0.{number}", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://gridwire.test") as client:
            answer = await sign_in(client, "dealer")
            statuses.append(answer.status_code)
    assert statuses == [200] * 5 + [429]
    assert set(answer.json()) == {"error", "details", "retry_after"}


class _Phone:
    name = "fake"

    def __init__(self) -> None:
        self.texts: list[TextMessage] = []

    async def send(self, message: TextMessage) -> str:
        self.texts.append(message)
        return "1"


async def test_the_text_goes_by_the_provider_and_is_blanked(
    make_service: Callable[..., Service], pool: Pool, codes: Codes, clock: Clock
) -> None:
    texting = make_service(otp_sender=SmsSender()).client
    await ienerzy_person(make_service().client, pool, codes, "dealer", PHONE)
    phone = _Phone()

    async def deliver_all(db: Connection) -> list[int]:
        rows = await (await db.execute("SELECT id FROM notices ORDER BY id")).fetchall()
        for (notice_id,) in rows:
            await deliver(db, notice_id, Senders(sms=phone), clock.moment())
        return [notice_id for (notice_id,) in rows]

    for _ in range(2):  # the same code might come twice: each is a text of its own
        assert (await sign_in(texting, "dealer")).status_code == 200
    async with pool.connection() as db:
        assert len(await deliver_all(db)) == 2
        kept = await (await db.execute("SELECT body, state, kind FROM notices")).fetchall()
    assert kept == [(None, "sent", "otp")] * 2
    assert {text.phone for text in phone.texts} == {PHONE}
    code = phone.texts[-1].body[:6]
    assert (await verify(texting, code)).status_code == 200
    async with pool.connection() as db:
        queued = await (await db.execute("SELECT payload::text FROM outbox")).fetchall()
        shown = await notices.list_notices(db, 1, before_id=None, limit=10)
    assert not any(code in text for (text,) in queued)
    assert all(notice.body is None for notice in shown)
