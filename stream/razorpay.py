"""Razorpay behind the interface of `stream.payments`: orders, checkout proofs, webhooks.

Orders API and webhooks as Razorpay documents them: Basic authentication by key id and secret, amounts in the
currency's smallest unit, HMAC-SHA256 over the raw body of a webhook, or over order and payment of a proof.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

import httpx
import msgspec

from stream.payments import (
    Checkout,
    PaymentEvent,
    PaymentOrder,
    Proof,
    WebhookRefusedError,
)
from stream.providers import ProviderAwayError, ProviderRefusedError, get_json, post_json

SIGNATURE_HEADER = "x-razorpay-signature"
EVENT_HEADER = "x-razorpay-event-id"
DETAIL_CHARACTERS_MAX = 300
# Minutes in which an authorized payment is captured by Razorpay itself, or else refunded.
CAPTURE = {"automatic_expiry_period": 720, "manual_expiry_period": 7200, "refund_speed": "normal"}

T = TypeVar("T")
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9_]+$")]


class _Order(msgspec.Struct):
    id: _Name
    amount: int
    currency: str


class _Payment(msgspec.Struct):
    id: _Name
    amount: int
    currency: str
    status: str
    order_id: _Name | None = None
    error_description: str | None = None


class _Refund(msgspec.Struct):
    id: _Name
    amount: int
    currency: str


class _PaymentEntity(msgspec.Struct):
    entity: _Payment


class _RefundEntity(msgspec.Struct):
    entity: _Refund


class _Payload(msgspec.Struct):
    payment: _PaymentEntity | None = None
    refund: _RefundEntity | None = None


class _Event(msgspec.Struct):
    event: str
    payload: _Payload


class _AnyEvent(msgspec.Struct):
    event: str


# Everything else that Razorpay tells is not about orders of ours.
_OUTCOMES: Mapping[str, Literal["paid", "failed", "refunded"]] = {
    "payment.captured": "paid",
    "order.paid": "paid",
    "payment.failed": "failed",
    "refund.processed": "refunded",
}


@dataclass(frozen=True, slots=True)
class Razorpay:
    """Takes payments through Razorpay Checkout. `base_url` without a path, as in `https://api.razorpay.com`."""

    key_id: str
    key_secret: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    base_url: str = "https://api.razorpay.com"
    name: str = "razorpay"

    async def create(self, order: PaymentOrder) -> Checkout:
        """Place the order; the details are options of Razorpay Checkout."""
        body = {
            "amount": order.amount_minor,
            "currency": order.currency,
            "receipt": order.id.hex,
            "notes": {"top_up": str(order.id)},
            "payment": {"capture": "automatic", "capture_options": CAPTURE},
        }
        answer = await post_json(self.name, f"{self.base_url}/v1/orders", auth=self._auth(), json=body)
        placed = _read(answer, _Order)
        if (placed.amount, placed.currency) != (order.amount_minor, order.currency):
            raise ProviderRefusedError(
                f"razorpay made order {placed.id} of {placed.amount} {placed.currency}"
            )
        details = {
            "key": self.key_id,
            "order_id": placed.id,
            "amount": placed.amount,
            "currency": placed.currency,
        }
        return Checkout(placed.id, {**details, "description": order.description})

    async def confirm(self, proof: Proof) -> PaymentEvent | None:
        """Check what Checkout gave the client, and ask Razorpay about the payment; None: nothing yet.

        Raises `WebhookRefusedError` for a proof that is none, and `ProviderError`.
        """
        signed = f"{proof.order_id}|{proof.payment_id}".encode()
        if not _is_signature(proof.signature, self.key_secret, signed):
            raise WebhookRefusedError("the signature is not of this order and payment")
        payment = await self._payment(proof)
        if payment.status not in {"captured", "failed"}:
            return None
        outcome: Literal["paid", "failed"] = "paid" if payment.status == "captured" else "failed"
        return _event(f"{payment.id}:{payment.status}", proof.order_id, outcome, payment)

    def read_event(self, headers: Mapping[str, str], body: bytes, now_us: int) -> PaymentEvent | None:
        """Verify and read a webhook."""
        if not _is_signature(headers.get(SIGNATURE_HEADER, ""), self.webhook_secret, body):
            raise WebhookRefusedError("the signature is not of this body")
        try:
            outcome = _OUTCOMES.get(msgspec.json.decode(body, type=_AnyEvent).event)
            if outcome is None:
                return None
            payload = msgspec.json.decode(body, type=_Event).payload
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WebhookRefusedError(f"the body is no event: {error}") from error
        payment = None if payload.payment is None else payload.payment.entity
        if payment is None or payment.order_id is None:
            return None  # a payment without an order is none of ours
        refund = None if payload.refund is None else payload.refund.entity
        if outcome == "refunded" and refund is None:
            raise WebhookRefusedError("the event of a refund has no refund")
        subject = f"{outcome}:{payment.id if refund is None else refund.id}"
        event_id = headers.get(EVENT_HEADER) or subject
        return _event(event_id, payment.order_id, outcome, payment, refund)

    async def _payment(self, proof: Proof) -> _Payment:
        """Return the payment; one that is only authorized is captured."""
        url = f"{self.base_url}/v1/payments/{proof.payment_id}"
        payment = _read(await get_json(self.name, url, auth=self._auth()), _Payment)
        if (payment.id, payment.order_id) != (proof.payment_id, proof.order_id):
            raise WebhookRefusedError(f"payment {proof.payment_id} is not of order {proof.order_id}")
        if payment.status != "authorized":
            return payment
        body = {"amount": payment.amount, "currency": payment.currency}
        return _read(await post_json(self.name, f"{url}/capture", auth=self._auth(), json=body), _Payment)

    def _auth(self) -> httpx.BasicAuth:
        return httpx.BasicAuth(self.key_id, self.key_secret)


def _is_signature(signature: str, secret: str, signed: bytes) -> bool:
    wanted = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signature.encode(), wanted.encode())


def _event(
    event_id: str,
    order_id: str,
    outcome: Literal["paid", "failed", "refunded"],
    payment: _Payment,
    refund: _Refund | None = None,
) -> PaymentEvent:
    moved = payment if refund is None else refund
    return PaymentEvent(
        id=event_id,
        provider_id=order_id,
        outcome=outcome,
        amount_minor=moved.amount,
        currency=moved.currency,
        detail=(payment.error_description or "")[:DETAIL_CHARACTERS_MAX],
        refund_id="" if refund is None else refund.id,
    )


def _read(answer: Any, type_: type[T]) -> T:
    try:
        return msgspec.convert(answer, type_)
    except msgspec.ValidationError as error:
        raise ProviderAwayError(f"razorpay answered in another form: {error}") from error
