"""EV-CMS payments by wallet: exact, once, of one's own sessions, and a warning when the balance falls low."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from storage.database import Pool, fetch_value
from storage.queries import sessions
from stream.settlement import rate_session
from tests.api.evcms.money import (
    BILLING,
    WALLET,
    assert_books_balance,
    balance,
    fund,
    live_events,
    post,
    set_bounds,
    told,
    transactions,
)
from tests.api.helpers import Clock, Person, begin_session, make_charger

PAY = f"{WALLET}/pay"
COST = 177  # 10 kWh at 15.00, and 18 % of it


async def charge(pool: Pool, person: Person, clock: Clock, *, is_rated: bool = True) -> str:
    """A session of the person's of 10 kWh; returns its id."""
    device_id = await make_charger(pool)
    session_id = await begin_session(pool, device_id, person.id, clock.moment() - timedelta(hours=1))
    async with pool.connection() as db:
        session = await sessions.get_session(db, session_id)
        assert session is not None
        await sessions.stop_session(
            db,
            device_id=device_id,
            transaction_id=session.transaction_id,
            ended_at=clock.moment(),
            received_at=clock.moment(),
            meter_stop_wh=11_000,
            reason="Remote",
        )
        if is_rated:
            await rate_session(db, session_id)
    return str(session_id)


async def payment_status(pool: Pool, session_id: str) -> str:
    async with pool.connection() as db:
        query = "SELECT payment_status FROM sessions WHERE id = %(id)s"
        return str(await fetch_value(db, query, {"id": int(session_id)}))


def body(amount: float, session_id: str | None = None) -> dict[str, Any]:
    return {"amount": amount, "description": "Parking", **({"sessionId": session_id} if session_id else {})}


async def test_a_payment_is_exact_and_told(api: httpx.AsyncClient, driver: Person, pool: Pool) -> None:
    await fund(pool, driver, 50_000)
    answer = await post(api, driver, PAY, body(120.35))
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert data["wallet"]["balance"] == 379.65
    shown = data["transaction"]
    assert {name: shown[name] for name in ("type", "amount", "description", "balanceAfter", "status")} == {
        "type": "debit",
        "amount": 120.35,
        "description": "Parking",
        "balanceAfter": 379.65,
        "status": "completed",
    }
    assert (await transactions(api, driver))[0] == shown
    assert f"debit:{shown['id']}" in await told(pool, driver)
    await assert_books_balance(pool)


async def test_what_the_wallet_does_not_have_is_not_paid(
    api: httpx.AsyncClient, driver: Person, pool: Pool
) -> None:
    assert (await post(api, driver, PAY, body(1))).status_code == 400
    await fund(pool, driver, 10_000)
    refused = await post(api, driver, PAY, body(100.01))
    assert (refused.status_code, refused.json()["message"]) == (400, "Insufficient wallet balance")
    assert await balance(api, driver) == 100
    assert (await post(api, driver, PAY, body(100))).status_code == 200
    assert await balance(api, driver) == 0


@pytest.mark.parametrize(
    "wrong", [{"amount": 0}, {"amount": -1}, {"amount": 1.001}, {"description": ""}, {"description": "\0"}]
)
async def test_what_is_no_payment(api: httpx.AsyncClient, driver: Person, wrong: dict[str, Any]) -> None:
    assert (await post(api, driver, PAY, {**body(1), **wrong})).status_code == 422


async def test_the_same_key_pays_once(
    api: httpx.AsyncClient, driver: Person, stranger: Person, pool: Pool
) -> None:
    for person in (driver, stranger):
        await fund(pool, person, 50_000)
    answers = await asyncio.gather(*(post(api, driver, PAY, body(10), "k1") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert await balance(api, driver) == 490
    for path, other in ((PAY, body(11)), (f"{WALLET}/topup", {"amount": 10, "paymentMethod": "upi"})):
        assert (await post(api, driver, path, other, "k1")).status_code == 409
    # a key is its user's, and a refused request leaves it free
    assert (await post(api, stranger, PAY, body(501), "k1")).status_code == 400
    assert (await post(api, stranger, PAY, body(10), "k1")).status_code == 200
    assert await balance(api, stranger) == 490


async def test_a_session_is_paid_once_and_exactly(
    api: httpx.AsyncClient, driver: Person, pool: Pool, clock: Clock
) -> None:
    session_id = await charge(pool, driver, clock)
    assert await payment_status(pool, session_id) == "failed"
    assert (await post(api, driver, PAY, body(COST, session_id))).status_code == 400
    await fund(pool, driver, 100_000)
    for amount in (COST - 0.01, COST + 0.01):
        wrong = await post(api, driver, PAY, body(amount, session_id))
        assert (wrong.status_code, wrong.json()["message"]) == (400, "Wrong amount")
    answers = await asyncio.gather(*(post(api, driver, PAY, body(COST, session_id)) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert await payment_status(pool, session_id) == "paid"
    assert await balance(api, driver) == 1_000 - COST
    (debit,) = await transactions(api, driver, type="debit")
    assert (debit["sessionId"], debit["amount"]) == (session_id, COST)
    async with pool.connection() as db:
        tax = "SELECT balance_minor FROM accounts WHERE kind = 'tax'"
        assert await fetch_value(db, tax, {}) == 2_700, "the tax in it is where settlement puts it"
    await assert_books_balance(pool)


async def test_sessions_that_are_not_to_be_paid(
    api: httpx.AsyncClient, driver: Person, stranger: Person, admin: Person, pool: Pool, clock: Clock
) -> None:
    session_id = await charge(pool, driver, clock, is_rated=False)
    for person in (stranger, admin):
        await fund(pool, person, 100_000)
        assert (await post(api, person, PAY, body(COST, session_id))).status_code == 403
    for nobody in ("999", "x", "-1"):
        assert (await post(api, driver, PAY, body(COST, nobody))).status_code == 404
    unrated = await post(api, driver, PAY, body(COST, session_id))
    assert (unrated.status_code, unrated.json()["message"]) == (400, "Session not payable")
    assert await balance(api, stranger) == 1_000


async def test_a_low_balance_is_told_once_for_each_crossing(
    api: httpx.AsyncClient, driver: Person, pool: Pool
) -> None:
    await set_bounds(pool, driver, minimum=200)
    await fund(pool, driver, 30_000)

    async def warnings() -> list[str]:
        return [key for key in await told(pool, driver) if key.startswith("low-balance:")]

    steps = [(100, 0), (1, 1), (50, 1), (-200, 1), (150, 2)]  # balance 300: 200, 199, 149, 349, 199
    for number, (amount, wanted) in enumerate(steps):
        if amount < 0:
            await fund(pool, driver, -amount * 100, f"more-{number}")
        else:
            assert (await post(api, driver, PAY, body(amount))).status_code == 200
        assert len(await warnings()) == wanted, f"step {number}"
    low = await live_events(pool, "low-balance")
    assert low == [{"user_id": driver.id, "balance_minor": 19_900, "currency": "INR"}] * 2
    shown = (await api.get(WALLET, headers=driver.headers)).json()["data"]
    assert shown["lowBalance"] is True


async def test_billing_shows_the_same_transactions_and_an_admin_those_of_all(
    api: httpx.AsyncClient, driver: Person, brand: Person, admin: Person, pool: Pool
) -> None:
    for person in (driver, brand):
        await fund(pool, person, 50_000)
        await post(api, person, PAY, body(1))

    async def rows(person: Person, **query: str) -> list[dict[str, Any]]:
        answer = await api.get(f"{BILLING}/transactions", params=query, headers=person.headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["transactions"] == answer.json()["data"]
        found: list[dict[str, Any]] = answer.json()["data"]
        assert answer.json()["pagination"]["total"] == len(found)
        return found

    own = await transactions(api, driver)
    assert await rows(driver) == [{**row, "userId": str(driver.id)} for row in own]
    assert {row["userId"] for row in await rows(brand)} == {str(brand.id)}
    assert [row["userId"] for row in await rows(admin)] == [str(brand.id)] * 2 + [str(driver.id)] * 2
    assert len(await rows(admin, type="debit")) == 2
    assert len(await rows(admin, type="credit", status="completed")) == 2
    assert await rows(admin, status="failed") == []
    for wrong in ({"type": "gift"}, {"status": "done"}, {"page": "0"}):
        answer = await api.get(f"{BILLING}/transactions", params=wrong, headers=admin.headers)
        assert answer.status_code == 422
