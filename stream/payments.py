"""Payments by the app: the interface of a provider, a sandbox of it, and what an event does to a wallet.

Used by the Mobile family for wallets of units, by EV-CMS for those of users. An order is created, then paid
or failed; paid is the end, whatever order events come in and however often: each event is taken once, each
order credits once (transfer key `top-up:<id>`). To add a provider: a class with `name`, `create` and
`read_event`, given to the API under its name; with `confirm` too where clients get a proof of their payment
(`stream.razorpay`).
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable
from uuid import UUID

import msgspec
import structlog

from storage.database import Connection
from storage.errors import InsufficientFundsError
from storage.ledger import Transfer
from storage.queries import top_ups
from storage.queries.top_ups import TopUp
from stream import user_wallets
from stream.errors import StreamError
from stream.metering import wallets

log = structlog.get_logger()

SIGNATURE_HEADER = "gridwire-signature"
SIGNATURE_AGE_S_MAX = 300


class WebhookRefusedError(StreamError):
    """Not from the provider, too old, or not in its form; nothing was changed."""


class UnknownOrderError(StreamError):
    """The provider tells of an order that we do not have (yet), or not as paid."""


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """What is to be paid; `id` is ours and the same when the order is placed again."""

    id: UUID
    amount_minor: int
    currency: str
    description: str


@dataclass(frozen=True, slots=True)
class Checkout:
    """The provider's name for the order, and what the app needs to have it paid."""

    provider_id: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """What a provider says of an order; `id` names the event.

    `refunded`: the provider gave the money (`amount_minor`) back, under the name `refund_id`.
    """

    id: str
    provider_id: str
    outcome: Literal["paid", "failed", "refunded"]
    amount_minor: int
    currency: str
    detail: str = ""
    refund_id: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a client got from the provider's checkout: `signature` is over the order and the payment."""

    order_id: str
    payment_id: str
    signature: str


class PaymentProvider(Protocol):
    """Takes people's money outside of Gridwire and tells us of it by signed events."""

    @property
    def name(self) -> str:
        """What the provider goes by in paths and in the ledger."""

    async def create(self, order: PaymentOrder) -> Checkout:
        """Place the order. Raises `stream.providers.ProviderError`."""

    def read_event(self, headers: Mapping[str, str], body: bytes, now_us: int) -> PaymentEvent | None:
        """Verify and read a webhook; None for an event that says nothing of ours.

        `headers` by lower-case names. Raises `WebhookRefusedError`.
        """


@runtime_checkable
class ConfirmingProvider(PaymentProvider, Protocol):
    """A provider whose checkout gives the client a proof, and which can be asked about a payment."""

    async def confirm(self, proof: Proof) -> PaymentEvent | None:
        """Verify a proof and return what became of the payment; None while nothing did.

        Raises `WebhookRefusedError` and `stream.providers.ProviderError`.
        """


class _SandboxEvent(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    order_id: str
    outcome: Literal["paid", "failed"]
    amount_minor: int
    currency: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SandboxProvider:
    """No money moves: whoever has the secret says what was paid. For development, demonstrations and tests.

    A webhook's header `Gridwire-Signature` is `t=<Unix seconds>,v1=<hex>`: HMAC-SHA256 of `<t>.<body>`.
    """

    secret: str = field(repr=False)
    name: str = "sandbox"

    async def create(self, order: PaymentOrder) -> Checkout:
        """Name the order after its id."""
        provider_id = f"sbx_{order.id.hex}"
        details = {"order_id": provider_id, "amount_minor": order.amount_minor, "currency": order.currency}
        return Checkout(provider_id, details)

    def sign(self, body: bytes, at_s: int) -> str:
        """Return the signature header of a webhook."""
        digest = hmac.new(self.secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256)
        return f"t={at_s},v1={digest.hexdigest()}"

    def read_event(self, headers: Mapping[str, str], body: bytes, now_us: int) -> PaymentEvent | None:
        """Verify and read a webhook."""
        signature = headers.get(SIGNATURE_HEADER, "")
        at = signature.partition(",")[0].removeprefix("t=")
        if not (at.isascii() and at.isdigit() and len(at) <= len(str(now_us))):
            raise WebhookRefusedError("the signature has no time")
        if not hmac.compare_digest(signature.encode(), self.sign(body, int(at)).encode()):
            raise WebhookRefusedError("the signature is not of this body")
        if abs(now_us // 1_000_000 - int(at)) > SIGNATURE_AGE_S_MAX:
            raise WebhookRefusedError(f"the signature is more than {SIGNATURE_AGE_S_MAX} s away from now")
        try:
            event = msgspec.json.decode(body, type=_SandboxEvent)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WebhookRefusedError(f"the body is no event: {error}") from error
        return PaymentEvent(
            event.id, event.order_id, event.outcome, event.amount_minor, event.currency, event.detail
        )


async def apply_event(connection: Connection, provider: str, event: PaymentEvent, now: datetime) -> TopUp:
    """Do what an event says, once; returns the top-up as it stands then.

    Raises `UnknownOrderError`, and `WebhookRefusedError` where another sum was paid than ordered.
    """
    top_up = await top_ups.lock_top_up(connection, provider, event.provider_id)
    if top_up is None:
        raise UnknownOrderError(f"there is no order {event.provider_id!r} of {provider}")
    if event.outcome == "paid" and (event.amount_minor, event.currency) != _ordered(top_up):
        log.error("payment_differs", top_up=str(top_up.id), provider=provider, paid_minor=event.amount_minor)
        raise WebhookRefusedError(
            f"order {event.provider_id} is of {top_up.amount_minor} {top_up.currency} minor units,"
            f" {event.amount_minor} {event.currency} were paid: nothing was credited"
        )
    if event.outcome == "refunded" and top_up.state != "paid":
        raise UnknownOrderError(f"order {event.provider_id!r} was given back, but is not known as paid (yet)")
    if await top_ups.take_event(connection, provider, event.id, top_up.id, event.outcome, now):
        await _carry_out(connection, top_up, event, now)
    changed = await top_ups.get_top_up(connection, top_up.id)
    assert changed is not None
    return changed


def _ordered(top_up: TopUp) -> tuple[int, str]:
    return top_up.amount_minor, top_up.currency


async def _carry_out(connection: Connection, top_up: TopUp, event: PaymentEvent, now: datetime) -> None:
    """Created or failed may become paid, created may become failed, paid may be given back."""
    if event.outcome == "paid" and top_up.state != "paid":
        transfer = await _credit(connection, top_up, now)
        await top_ups.set_paid(connection, top_up.id, transfer.id, now)
    elif event.outcome == "failed" and top_up.state == "created":
        await top_ups.set_failed(connection, top_up.id, event.detail, now)
    elif event.outcome == "refunded":
        await _take_back(connection, top_up, event)


async def _credit(connection: Connection, top_up: TopUp, now: datetime) -> Transfer:
    key, amount_minor = f"top-up:{top_up.id}", top_up.amount_minor
    if top_up.unit_id is None:
        description = f"Wallet top-up ({top_up.payment_method})"
        return await user_wallets.credit(
            connection, top_up.user_id, amount_minor=amount_minor, key=key, description=description, now=now
        )
    return await wallets.top_up(
        connection,
        unit_id=top_up.unit_id,
        amount_minor=amount_minor,
        key=key,
        description="Wallet top-up",
        now=now,
    )


async def _take_back(connection: Connection, top_up: TopUp, event: PaymentEvent) -> None:
    """What the provider gave back leaves the wallet; an operator must look where it cannot."""
    facts = {"top_up": str(top_up.id), "refund": event.refund_id, "amount_minor": event.amount_minor}
    is_of_wallet = top_up.unit_id is None and event.currency == top_up.currency
    if not is_of_wallet or not 0 < event.amount_minor <= top_up.amount_minor:
        log.error("provider_refund_not_booked", **facts, action="book it by hand")
        return
    try:
        async with connection.transaction():
            await user_wallets.debit(
                connection,
                top_up.user_id,
                amount_minor=event.amount_minor,
                key=f"top-up:{top_up.id}:refund:{event.refund_id}",
                description="Top-up given back by the payment provider",
                house=user_wallets.FUNDING,
            )
    except InsufficientFundsError:
        log.error(
            "provider_refund_not_covered", **facts, action="the wallet has less: collect it from the user"
        )
