"""EV-CMS top-ups through payment providers: pending until paid, credited once whatever comes how often."""

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from storage.database import Pool, fetch_value
from stream.money_upkeep import expire_top_ups
from stream.payments import SandboxProvider
from tests.api.evcms.money import (
    WALLET,
    assert_books_balance,
    balance,
    post,
    set_bounds,
    told,
    transactions,
)
from tests.api.helpers import Clock, Person, Service
from tests.stream.razorpay_server import WEBHOOK_SECRET, RazorpayServer, running, sign

SANDBOX = SandboxProvider("sandbox-secret")
TOPUP = f"{WALLET}/topup"
WEBHOOKS = "/api/v1/payments"
BODY = {"amount": 500, "paymentMethod": "upi"}


@pytest.fixture
def razorpay() -> Iterator[RazorpayServer]:
    with running() as server:
        yield server


@pytest.fixture
def api(make_service: Callable[..., Service], razorpay: RazorpayServer) -> httpx.AsyncClient:
    return make_service(payments={"razorpay": razorpay.provider(), "sandbox": SANDBOX}).client


async def order(
    api: httpx.AsyncClient, person: Person, key: str | None = None, **changes: Any
) -> dict[str, Any]:
    answer = await post(api, person, TOPUP, {**BODY, **changes}, key)
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


async def tell(api: httpx.AsyncClient, webhook: tuple[bytes, dict[str, str]]) -> httpx.Response:
    body, headers = webhook
    return await api.post(f"{WEBHOOKS}/razorpay/webhook", content=body, headers=headers)


async def verify(api: httpx.AsyncClient, person: Person, proof: dict[str, str]) -> httpx.Response:
    return await api.post(f"{TOPUP}/verify", json=proof, headers=person.headers)


async def test_a_top_up_waits_for_its_payment(
    api: httpx.AsyncClient, driver: Person, razorpay: RazorpayServer, pool: Pool
) -> None:
    data = await order(api, driver)
    order_id = data["payment"]["orderId"]
    assert data["wallet"]["balance"] == 0
    pending = data["transaction"]
    assert (pending["type"], pending["status"], pending["amount"]) == ("credit", "pending", 500)
    assert (pending["description"], pending["balanceAfter"]) == ("Wallet top-up (upi)", 0)
    assert data["payment"]["provider"] == "razorpay"
    assert data["payment"]["details"]["amount"] == razorpay.orders[order_id]["amount"] == 50_000
    assert await transactions(api, driver, status="pending") == [pending]

    answer = await verify(api, driver, razorpay.proof(razorpay.pay(order_id)))
    assert answer.status_code == 200, answer.text
    completed = answer.json()["data"]
    assert completed["wallet"]["balance"] == 500
    assert "payment" not in completed
    assert completed["transaction"] == {**pending, "status": "completed", "balanceAfter": 500}
    assert await transactions(api, driver) == [completed["transaction"]]
    assert await transactions(api, driver, status="pending") == []
    assert len([key for key in await told(pool, driver) if key.startswith("credit:")]) == 1
    async with pool.connection() as db:
        told_of = await fetch_value(db, "SELECT data->>'transactionId' FROM notifications", {})
    assert told_of == pending["id"]
    await assert_books_balance(pool)


async def test_webhooks_and_proofs_in_any_number_credit_once(
    api: httpx.AsyncClient, driver: Person, razorpay: RazorpayServer, pool: Pool
) -> None:
    order_id = (await order(api, driver))["payment"]["orderId"]
    failed, paid = razorpay.pay(order_id, "failed"), razorpay.pay(order_id)
    first = await tell(api, razorpay.webhook("payment.failed", failed))
    assert first.json()["data"] == {"status": "failed"}
    assert [row["status"] for row in await transactions(api, driver, status="failed")] == ["failed"]
    # money that comes after all is taken; after that nothing changes any more
    same = razorpay.webhook("payment.captured", paid)
    late = [same, same, razorpay.webhook("order.paid", paid), razorpay.webhook("payment.failed", failed)]
    answers = await asyncio.gather(
        *(tell(api, webhook) for webhook in late),
        *(verify(api, driver, razorpay.proof(paid)) for _ in range(3)),
    )
    assert {answer.status_code for answer in answers} == {200}
    assert (await tell(api, same)).json()["data"] == {"status": "completed"}
    assert await balance(api, driver) == 500
    assert [row["status"] for row in await transactions(api, driver)] == ["completed"]
    await assert_books_balance(pool)


async def test_the_sandbox_by_name(api: httpx.AsyncClient, driver: Person, clock: Clock) -> None:
    data = await order(api, driver, paymentMethod="sandbox")
    assert data["payment"]["provider"] == "sandbox"
    event = {
        "id": str(uuid.uuid4()),
        "order_id": data["payment"]["orderId"],
        "outcome": "paid",
        "amount_minor": 50_000,
        "currency": "INR",
    }
    for wrong in ({"amount_minor": 1}, {"currency": "USD"}):
        body = json.dumps({**event, **wrong}).encode()
        headers = {"Gridwire-Signature": SANDBOX.sign(body, clock() // 1_000_000)}
        refused = await api.post(f"{WEBHOOKS}/sandbox/webhook", content=body, headers=headers)
        assert (refused.status_code, refused.json()["message"]) == (400, "Webhook refused")
    assert await balance(api, driver) == 0
    body = json.dumps(event).encode()
    headers = {"Gridwire-Signature": SANDBOX.sign(body, clock() // 1_000_000)}
    for _ in range(3):
        taken = await api.post(f"{WEBHOOKS}/sandbox/webhook", content=body, headers=headers)
        assert taken.json() == {"success": True, "data": {"status": "completed"}}
    assert await balance(api, driver) == 500


async def test_another_sum_than_ordered_is_refused(
    api: httpx.AsyncClient, driver: Person, razorpay: RazorpayServer
) -> None:
    order_id = (await order(api, driver))["payment"]["orderId"]
    for changes in ({"amount": 100}, {"currency": "USD"}):
        payment = razorpay.pay(order_id, **changes)
        assert (await tell(api, razorpay.webhook("payment.captured", payment))).status_code == 400
        assert (await verify(api, driver, razorpay.proof(payment))).status_code == 400
    assert await balance(api, driver) == 0


async def test_webhooks_that_are_forged_or_of_nobody(
    api: httpx.AsyncClient, driver: Person, razorpay: RazorpayServer
) -> None:
    order_id = (await order(api, driver))["payment"]["orderId"]
    body, headers = razorpay.webhook("payment.captured", razorpay.pay(order_id))
    forged = sign(WEBHOOK_SECRET + "x", body)
    assert (await tell(api, (body, {**headers, "X-Razorpay-Signature": forged}))).status_code == 400
    assert (await tell(api, (body + b" ", headers))).status_code == 400
    elsewhere = await api.post(f"{WEBHOOKS}/sandbox/webhook", content=body, headers=headers)
    assert elsewhere.status_code == 400
    assert (await api.post(f"{WEBHOOKS}/nobody/webhook", content=body)).status_code == 404
    unknown = {**razorpay.pay(order_id), "order_id": "order_unknown"}
    assert (await tell(api, razorpay.webhook("payment.captured", unknown))).status_code == 404
    ignored = await tell(api, razorpay.webhook("payment.authorized", unknown))
    assert ignored.json()["data"] == {"status": None}
    assert await balance(api, driver) == 0


async def test_proofs_of_others_and_of_nothing(
    api: httpx.AsyncClient, driver: Person, stranger: Person, razorpay: RazorpayServer
) -> None:
    order_id = (await order(api, driver))["payment"]["orderId"]
    proof = razorpay.proof(razorpay.pay(order_id))
    assert (await verify(api, stranger, proof)).status_code == 403
    assert (await verify(api, driver, {**proof, "razorpay_order_id": "order_x"})).status_code == 404
    assert (await verify(api, driver, {**proof, "razorpay_signature": "0" * 64})).status_code == 400
    bad = await verify(api, driver, {**proof, "razorpay_payment_id": "../../orders"})
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "razorpay_payment_id")
    razorpay.is_away = True
    assert (await verify(api, driver, proof)).status_code == 502
    razorpay.is_away = False
    waiting = razorpay.proof(razorpay.pay(order_id, "created"))
    assert (await verify(api, driver, waiting)).json()["data"]["transaction"]["status"] == "pending"
    assert await balance(api, driver) == 0


async def test_the_same_key_orders_once(
    api: httpx.AsyncClient, driver: Person, razorpay: RazorpayServer
) -> None:
    made = await asyncio.gather(*(order(api, driver, "k1") for _ in range(4)))
    assert all(each == made[0] for each in made)
    assert len(await transactions(api, driver)) == 1
    assert (await post(api, driver, TOPUP, {**BODY, "amount": 501}, "k1")).status_code == 409
    assert (await order(api, driver, "k2"))["transaction"]["id"] != made[0]["transaction"]["id"]


async def test_an_order_that_the_provider_does_not_take_fails_and_can_be_placed_again(
    api: httpx.AsyncClient, driver: Person, razorpay: RazorpayServer
) -> None:
    razorpay.is_away = True
    assert (await post(api, driver, TOPUP, BODY, "k1")).status_code == 502
    (failed,) = await transactions(api, driver)
    assert failed["status"] == "failed"
    razorpay.is_away = False
    data = await order(api, driver, "k1")
    assert data["transaction"] == {**failed, "status": "pending"}
    small = await post(api, driver, TOPUP, {**BODY, "amount": 0.5})
    assert (small.status_code, small.json()["message"]) == (400, "Payment provider refused")


async def test_an_order_beyond_the_maximum_is_refused_but_money_that_came_is_kept(
    api: httpx.AsyncClient, driver: Person, razorpay: RazorpayServer, pool: Pool
) -> None:
    await set_bounds(pool, driver, maximum=800)
    first, second = [(await order(api, driver))["payment"]["orderId"] for _ in range(2)]
    for order_id in (first, second):
        assert (await verify(api, driver, razorpay.proof(razorpay.pay(order_id)))).status_code == 200
    assert await balance(api, driver) == 1_000
    refused = await post(api, driver, TOPUP, BODY)
    assert (refused.status_code, refused.json()["message"]) == (400, "Wallet limit exceeded")
    assert len(await transactions(api, driver)) == 2


async def test_what_the_provider_gives_back_leaves_the_wallet_once(
    api: httpx.AsyncClient, driver: Person, razorpay: RazorpayServer, pool: Pool
) -> None:
    order_id = (await order(api, driver))["payment"]["orderId"]
    payment = razorpay.pay(order_id)
    refund = {"id": "rfnd_1", "amount": 20_000, "currency": "INR"}
    given_back = razorpay.webhook("refund.processed", payment, refund)
    assert (await tell(api, given_back)).status_code == 404, "not known as paid yet: to be sent again"
    await tell(api, razorpay.webhook("payment.captured", payment))
    for webhook in (given_back, given_back, razorpay.webhook("refund.processed", payment, refund)):
        assert (await tell(api, webhook)).status_code == 200
    assert await balance(api, driver) == 300
    # more than there is: nothing moves, the error is in the log
    whole = {**refund, "id": "rfnd_2", "amount": 50_000}
    assert (await tell(api, razorpay.webhook("refund.processed", payment, whole))).status_code == 200
    assert await balance(api, driver) == 300
    await assert_books_balance(pool)


async def test_an_order_that_nobody_pays_fails_after_a_day(
    api: httpx.AsyncClient, driver: Person, razorpay: RazorpayServer, pool: Pool, clock: Clock
) -> None:
    order_id = (await order(api, driver))["payment"]["orderId"]
    async with pool.connection() as db:
        assert await expire_top_ups(db, clock.moment() + timedelta(hours=23)) == 0
        assert await expire_top_ups(db, clock.moment() + timedelta(hours=25)) == 1
    assert [row["status"] for row in await transactions(api, driver)] == ["failed"]
    assert (await verify(api, driver, razorpay.proof(razorpay.pay(order_id)))).status_code == 200
    assert await balance(api, driver) == 500


async def test_without_razorpay_there_are_no_proofs(
    make_service: Callable[..., Service], driver: Person, razorpay: RazorpayServer
) -> None:
    proof = {
        "razorpay_order_id": "order_1",
        "razorpay_payment_id": "pay_1",
        "razorpay_signature": "0" * 64,
    }
    assert (await verify(make_service().client, driver, proof)).status_code == 400


async def test_webhooks_are_not_counted_by_address(
    make_service: Callable[..., Service], razorpay: RazorpayServer
) -> None:
    api = make_service(evcms_requests_per_15_minutes=2, payments={"razorpay": razorpay.provider()}).client
    answers = [await api.post(f"{WEBHOOKS}/razorpay/webhook", content=b"{}") for _ in range(4)]
    assert {answer.status_code for answer in answers} == {400}
