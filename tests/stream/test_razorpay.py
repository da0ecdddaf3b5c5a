"""Razorpay's orders, proofs and webhooks, against a local server that behaves as documented."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.payments import ConfirmingProvider, PaymentEvent, PaymentOrder, Proof, WebhookRefusedError
from stream.providers import ProviderAwayError, ProviderRefusedError
from stream.razorpay import Razorpay
from tests.stream.razorpay_server import KEY_ID, KEY_SECRET, WEBHOOK_SECRET, RazorpayServer, running, sign

NOW_US = 1_700_000_000_000_000
RAZORPAY = Razorpay(KEY_ID, KEY_SECRET, WEBHOOK_SECRET)
ORDER = PaymentOrder(uuid.UUID(int=7), 50_000, "INR", "Wallet top-up")


@pytest.fixture
def server() -> Iterator[RazorpayServer]:
    with running() as server:
        yield server


def proof_of(server: RazorpayServer, payment: dict[str, str]) -> Proof:
    return Proof(*server.proof(payment).values())


def read(provider: Razorpay, body: bytes, headers: dict[str, str]) -> PaymentEvent | None:
    return provider.read_event({name.lower(): text for name, text in headers.items()}, body, NOW_US)


async def test_an_order_is_what_checkout_needs(server: RazorpayServer) -> None:
    checkout = await server.provider().create(ORDER)
    (order,) = server.orders.values()
    assert (order["amount"], order["currency"], order["receipt"]) == (50_000, "INR", ORDER.id.hex)
    assert order["notes"] == {"top_up": str(ORDER.id)}
    assert checkout.provider_id == order["id"]
    assert checkout.details == {
        "key": KEY_ID,
        "order_id": order["id"],
        "amount": 50_000,
        "currency": "INR",
        "description": "Wallet top-up",
    }


async def test_orders_that_razorpay_does_not_take(server: RazorpayServer) -> None:
    with pytest.raises(ProviderRefusedError, match="less than minimum"):
        await server.provider().create(replace(ORDER, amount_minor=99))
    with pytest.raises(ProviderAwayError, match="401"):
        await Razorpay(KEY_ID, "another", WEBHOOK_SECRET, server.url).create(ORDER)
    server.is_away = True
    with pytest.raises(ProviderAwayError, match="503"):
        await server.provider().create(ORDER)
    with pytest.raises(ProviderAwayError, match="does not answer"):
        await Razorpay(KEY_ID, KEY_SECRET, WEBHOOK_SECRET, "http://127.0.0.1:1").create(ORDER)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("captured", "paid"), ("authorized", "paid"), ("failed", "failed"), ("created", None)],
)
async def test_a_proof_is_what_razorpay_says_of_the_payment(
    server: RazorpayServer, status: str, outcome: str | None
) -> None:
    provider = server.provider()
    assert isinstance(provider, ConfirmingProvider)
    checkout = await provider.create(ORDER)
    payment = server.pay(checkout.provider_id, status)
    event = await provider.confirm(proof_of(server, payment))
    if outcome is None:
        assert event is None
        return
    assert event is not None
    assert (event.provider_id, event.outcome) == (checkout.provider_id, outcome)
    assert (event.amount_minor, event.currency) == (50_000, "INR")


async def test_a_proof_that_is_none(server: RazorpayServer) -> None:
    provider = server.provider()
    first, second = [(await provider.create(ORDER)).provider_id for _ in range(2)]
    payment = server.pay(first)
    good = proof_of(server, payment)
    asked = len(server.asked)
    for forged in (
        replace(good, signature="0" * 64),
        replace(good, order_id=second),
        replace(good, signature=""),
    ):
        with pytest.raises(WebhookRefusedError, match="signature"):
            await provider.confirm(forged)
    assert len(server.asked) == asked, "Razorpay is not asked about what has no signature"
    # signed, but Razorpay knows it as another order's
    server.payments[payment["id"]] = {**payment, "order_id": second}
    with pytest.raises(WebhookRefusedError, match="is not of order"):
        await provider.confirm(good)
    server.payments.clear()
    with pytest.raises(ProviderRefusedError, match="does not exist"):
        await provider.confirm(good)


async def test_webhooks(server: RazorpayServer) -> None:
    provider = server.provider()
    order_id = (await provider.create(ORDER)).provider_id
    paid, failed = server.pay(order_id), server.pay(order_id, "failed")
    told: list[tuple[str, dict[str, Any], Literal["paid", "failed"]]] = [
        ("payment.captured", paid, "paid"),
        ("order.paid", paid, "paid"),
        ("payment.failed", failed, "failed"),
    ]
    for name, payment, outcome in told:
        body, headers = server.webhook(name, payment)
        detail = "Payment was declined" if outcome == "failed" else ""
        assert read(provider, body, headers) == PaymentEvent(
            headers["X-Razorpay-Event-Id"], order_id, outcome, 50_000, "INR", detail
        )
    refund = {"id": "rfnd_1", "amount": 20_000, "currency": "INR", "payment_id": paid["id"]}
    body, headers = server.webhook("refund.processed", paid, refund)
    assert read(provider, body, headers) == PaymentEvent(
        headers["X-Razorpay-Event-Id"], order_id, "refunded", 20_000, "INR", "", "rfnd_1"
    )
    for name in ("payment.authorized", "payment.downtime.started", "subscription.charged"):
        assert read(provider, *server.webhook(name, paid)) is None
    assert read(provider, *server.webhook("payment.captured", {**paid, "order_id": None})) is None


async def test_webhooks_that_are_not_razorpays(server: RazorpayServer) -> None:
    provider = server.provider()
    payment = server.pay((await provider.create(ORDER)).provider_id)
    body, headers = server.webhook("payment.captured", payment)
    forged = {**headers, "X-Razorpay-Signature": sign("another", body)}
    for refused in (forged, {**headers, "X-Razorpay-Signature": ""}, {}):
        with pytest.raises(WebhookRefusedError, match="signature"):
            read(provider, body, refused)
    with pytest.raises(WebhookRefusedError, match="signature"):
        read(provider, body + b" ", headers)
    for unread in ({}, {"event": "payment.captured"}, {"event": "order.paid", "payload": {"payment": {}}}):
        text = json.dumps(unread).encode()
        with pytest.raises(WebhookRefusedError, match="no event"):
            read(provider, text, {"X-Razorpay-Signature": sign(WEBHOOK_SECRET, text)})
    body, headers = server.webhook("refund.processed", payment)
    with pytest.raises(WebhookRefusedError, match="no refund"):
        read(provider, body, headers)


def test_secrets_are_not_printed() -> None:
    assert KEY_SECRET not in repr(RAZORPAY)
    assert WEBHOOK_SECRET not in repr(RAZORPAY)


@given(st.binary(max_size=200))
def test_any_signed_body_is_read_or_refused(body: bytes) -> None:
    with pytest.raises(WebhookRefusedError):
        read(RAZORPAY, body, {"x-razorpay-signature": sign(WEBHOOK_SECRET, body)})


@given(st.text(max_size=80), st.binary(max_size=40))
def test_any_webhook_is_read_or_refused(signature: str, body: bytes) -> None:
    with pytest.raises(WebhookRefusedError):
        read(RAZORPAY, body, {"x-razorpay-signature": signature})
