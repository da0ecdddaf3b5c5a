"""EV-CMS refunds: of one's own payments, never more than was paid, decided and credited once."""

import asyncio
from typing import Any

import httpx
import pytest

from storage import ledger
from storage.database import Pool
from storage.queries.admin_actions import list_actions
from tests.api.evcms.money import (
    BILLING,
    WALLET,
    assert_books_balance,
    balance,
    fund,
    post,
    told,
    transactions,
)
from tests.api.evcms.people import charge
from tests.api.helpers import Person, make_charger

REFUNDS = f"{BILLING}/refunds"
REQUIRED = {"id", "userId", "transactionId", "amount", "reason", "status", "createdAt"}


@pytest.fixture
async def paid(api: httpx.AsyncClient, driver: Person, pool: Pool) -> str:
    """The transaction with which the driver paid 100 of 500."""
    await fund(pool, driver, 50_000)
    answer = await post(api, driver, f"{WALLET}/pay", {"amount": 100, "description": "Parking"})
    return str(answer.json()["data"]["transaction"]["id"])


def body(transaction_id: str, amount: float = 40) -> dict[str, Any]:
    return {"transactionId": transaction_id, "amount": amount, "reason": "The barrier was closed"}


async def requested(api: httpx.AsyncClient, person: Person, transaction_id: str, amount: float = 40) -> str:
    answer = await post(api, person, REFUNDS, body(transaction_id, amount))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["id"])


async def decide(
    api: httpx.AsyncClient, admin: Person, refund_id: str, status: str, **more: str
) -> httpx.Response:
    path = f"{REFUNDS}/{refund_id}/process"
    return await api.put(path, json={"status": status, **more}, headers=admin.headers)


async def test_an_approved_refund_is_credited_once(
    api: httpx.AsyncClient, driver: Person, admin: Person, pool: Pool, paid: str
) -> None:
    made = (await post(api, driver, REFUNDS, body(paid))).json()["data"]
    refund = made.pop("refund")
    assert made == refund
    assert set(refund) == REQUIRED
    assert (refund["transactionId"], refund["amount"], refund["status"]) == (paid, 40, "pending")
    assert refund["userId"] == str(driver.id)
    assert await balance(api, driver) == 400

    answers = await asyncio.gather(*(decide(api, admin, refund["id"], "approved") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert (await decide(api, admin, refund["id"], "rejected")).status_code == 409
    assert await balance(api, driver) == 440
    credit = (await transactions(api, driver, type="credit"))[0]
    assert (credit["amount"], credit["description"]) == (40, "Refund: Parking")
    shown = (await api.get(f"{REFUNDS}/{refund['id']}", headers=driver.headers)).json()["data"]
    assert (shown["status"], shown["processedBy"]) == ("approved", str(admin.id))
    assert set(shown) == REQUIRED | {"refund", "processedBy", "processedAt"}
    assert f"refund:{refund['id']}" in await told(pool, driver)
    async with pool.connection() as db:
        (action,) = await list_actions(db, subject=f"refund:{refund['id']}", limit=5)
        assert (action.actor_id, action.action) == (admin.id, "refund.approved")
    await assert_books_balance(pool)


async def test_a_rejected_refund_moves_nothing_and_frees_its_amount(
    api: httpx.AsyncClient, driver: Person, admin: Person, paid: str
) -> None:
    first = await requested(api, driver, paid, 100)
    again = await post(api, driver, REFUNDS, body(paid, 1))
    assert (again.status_code, again.json()["message"]) == (409, "Refund already requested")
    decided = (await decide(api, admin, first, "rejected", adminNotes="It was open")).json()["data"]
    assert (decided["status"], decided["adminNotes"]) == ("rejected", "It was open")
    assert await balance(api, driver) == 400
    second = await requested(api, driver, paid, 70)
    assert (await decide(api, admin, second, "approved")).status_code == 200
    refused = await post(api, driver, REFUNDS, body(paid, 30.01))
    assert (refused.status_code, refused.json()["message"]) == (400, "Refund too large")
    assert (await decide(api, admin, await requested(api, driver, paid, 30), "approved")).status_code == 200
    assert (await post(api, driver, REFUNDS, body(paid, 0.01))).status_code == 400
    assert await balance(api, driver) == 500


async def test_requests_at_the_same_time(
    api: httpx.AsyncClient, driver: Person, pool: Pool, paid: str
) -> None:
    answers = await asyncio.gather(*(post(api, driver, REFUNDS, body(paid)) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    await assert_books_balance(pool)


async def test_the_same_key_asks_and_decides_once(
    api: httpx.AsyncClient, driver: Person, admin: Person, paid: str
) -> None:
    answers = await asyncio.gather(*(post(api, driver, REFUNDS, body(paid), "k1") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert (await post(api, driver, REFUNDS, body(paid, 41), "k1")).status_code == 409
    path = f"{REFUNDS}/{answers[0].json()['data']['id']}/process"
    headers = {**admin.headers, "Idempotency-Key": "k1"}
    decided = [await api.put(path, json={"status": "approved"}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in decided] == [200, 200]
    assert decided[0].json() == decided[1].json()
    assert await balance(api, driver) == 440


async def test_what_cannot_be_refunded(
    api: httpx.AsyncClient, driver: Person, stranger: Person, pool: Pool, paid: str
) -> None:
    credit = (await transactions(api, driver, type="credit"))[0]["id"]
    assert (await post(api, driver, REFUNDS, body(credit))).status_code == 400
    for nothing in ("999999", "x", "-1", "9" * 40):
        assert (await post(api, driver, REFUNDS, body(nothing))).status_code == 404
    assert (await post(api, stranger, REFUNDS, body(paid))).status_code == 403
    assert (await post(api, driver, REFUNDS, body(paid, 100.01))).status_code == 400
    for wrong in (
        {"amount": 0},
        {"amount": 0.001},
        {"reason": ""},
        {"reason": "\0"},
        {"transactionId": None},
    ):
        assert (await post(api, driver, REFUNDS, {**body(paid), **wrong})).status_code == 422


async def test_a_hold_can_be_refunded_when_it_was_posted(
    api: httpx.AsyncClient, driver: Person, admin: Person, pool: Pool, paid: str
) -> None:
    async with pool.connection() as db:
        wallet = await ledger.ensure_wallet(db, driver.id)
        revenue = await ledger.house_account(db, "revenue")
        held = await ledger.hold(
            db,
            key="booking:1",
            debit_account_id=wallet.id,
            credit_account_id=revenue.id,
            amount_minor=5_000,
            description="Reservation",
        )
    assert (await transactions(api, driver, status="pending"))[0]["id"] == str(held.id)
    refused = await post(api, driver, REFUNDS, body(str(held.id), 10))
    assert (refused.status_code, refused.json()["message"]) == (400, "Not refundable")
    async with pool.connection() as db:
        posted = await ledger.post_hold(
            db, key="booking:1:post", hold_id=held.id, description="Reservation", amount_minor=3_000
        )
    assert (await post(api, driver, REFUNDS, body(str(held.id), 30.01))).status_code == 400
    # both of its transfers name it
    refund_id = await requested(api, driver, str(posted.id), 30)
    shown = (await api.get(f"{REFUNDS}/{refund_id}", headers=driver.headers)).json()["data"]
    assert shown["transactionId"] == str(held.id)
    assert (await decide(api, admin, refund_id, "approved")).status_code == 200
    assert await balance(api, driver) == 400
    await assert_books_balance(pool)


async def test_an_invoice_is_refunded_with_its_tax(
    api: httpx.AsyncClient, driver: Person, admin: Person, pool: Pool
) -> None:
    await fund(pool, driver, 50_000)
    items = [{"description": "Cable", "quantity": 1, "rate": 100}]
    order = {"userId": str(driver.id), "items": items, "dueDate": "2099-12-31"}
    invoice = (await post(api, admin, f"{BILLING}/invoices", order)).json()["data"]
    assert (await post(api, driver, f"{BILLING}/invoices/{invoice['id']}/pay", {})).status_code == 200
    (payment,) = await transactions(api, driver, type="debit")
    for amount, tax_minor in ((59, 900), (0.01, 900), (58.99, 0)):
        refund_id = await requested(api, driver, payment["id"], amount)
        assert (await decide(api, admin, refund_id, "approved")).status_code == 200
        async with pool.connection() as db:
            assert (await ledger.house_account(db, "tax")).balance_minor == tax_minor
    assert await balance(api, driver) == 500
    await assert_books_balance(pool)


async def test_a_refund_that_a_correction_has_overtaken_is_not_approved(
    api: httpx.AsyncClient, driver: Person, admin: Person, pool: Pool
) -> None:
    await fund(pool, driver, 50_000)
    session_id = await charge(pool, await make_charger(pool), driver.id)
    (payment,) = await transactions(api, driver, type="debit")
    refund_id = await requested(api, driver, payment["id"], payment["amount"])
    async with pool.connection() as db:
        wallet = await ledger.ensure_wallet(db, driver.id)
        revenue = await ledger.house_account(db, "revenue")
        await ledger.transfer(
            db,
            key=f"session:{session_id}:correction",
            debit_account_id=revenue.id,
            credit_account_id=wallet.id,
            amount_minor=1,
            description="Correction",
            session_id=session_id,
        )
    refused = await decide(api, admin, refund_id, "approved")
    assert (refused.status_code, refused.json()["message"]) == (400, "Refund too large")
    assert (await decide(api, admin, refund_id, "rejected")).status_code == 200
    assert await balance(api, driver) == round(500 - payment["amount"] + 0.01, 2)
    await assert_books_balance(pool)


async def test_who_sees_and_decides(
    api: httpx.AsyncClient, driver: Person, stranger: Person, brand: Person, admin: Person, paid: str
) -> None:
    refund_id = await requested(api, driver, paid)

    async def listed(person: Person, **query: str) -> list[str]:
        answer = await api.get(REFUNDS, params=query, headers=person.headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["refunds"] == answer.json()["data"]
        return [row["id"] for row in answer.json()["data"]]

    for person, wanted in ((driver, [refund_id]), (admin, [refund_id]), (stranger, []), (brand, [])):
        assert await listed(person) == wanted
        shown = await api.get(f"{REFUNDS}/{refund_id}", headers=person.headers)
        assert shown.status_code == (200 if wanted else 403)
        if person is not admin:
            assert (await decide(api, person, refund_id, "approved")).status_code == 403
    assert await listed(driver, status="pending") == [refund_id]
    assert await listed(driver, status="approved") == []
    assert (await api.get(REFUNDS, params={"status": "x"}, headers=driver.headers)).status_code == 422
    for nothing in ("999999", "x"):
        assert (await api.get(f"{REFUNDS}/{nothing}", headers=driver.headers)).status_code == 404
        assert (await decide(api, admin, nothing, "approved")).status_code == 404
    assert (await decide(api, admin, refund_id, "pending")).status_code == 422
