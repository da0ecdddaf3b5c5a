"""A top-up: at once where no payment provider is configured, else ordered, paid outside and credited once."""

import uuid

import structlog

from api.context import Context
from api.errors import Problem, forbidden, not_found
from api.evcms.envelope import Answer
from api.evcms.idempotency import Replay, RequestKey, key_conflict, once, replayed
from api.evcms.schemas.users import WalletOut
from api.evcms.schemas.wallet import CheckoutOut, ToppedUp, TopUp, TopUpProof, TransactionOut
from api.fields import money
from storage import ledger
from storage.database import Connection
from storage.errors import IdempotencyConflictError
from storage.queries import top_ups, wallet_entries
from storage.queries.top_ups import TopUp as Order
from storage.queries.wallet_entries import WalletEntry
from stream import user_wallets
from stream.payments import (
    ConfirmingProvider,
    PaymentOrder,
    PaymentProvider,
    Proof,
    UnknownOrderError,
    WebhookRefusedError,
    apply_event,
)
from stream.platform_settings import read_settings
from stream.providers import ProviderError, ProviderRefusedError

log = structlog.get_logger()

CREATED = 201
DETAIL_CHARACTERS_MAX = 300


def provider_of(context: Context, payment_method: str) -> PaymentProvider | None:
    """Return who takes the money: the provider of that name, else the first configured one, else nobody."""
    payments = context.config.payments
    return payments.get(payment_method.lower()) or next(iter(payments.values()), None)


async def credit(
    context: Context, db: Connection, user_id: int, body: TopUp, keyed: RequestKey
) -> Answer[ToppedUp] | Replay:
    """Credit the user's wallet at once. Raises 400 beyond its maximum, 409 for a key that was used."""

    async def work() -> Answer[ToppedUp]:
        try:
            made = await user_wallets.credit(
                db,
                user_id,
                amount_minor=body.amount_minor,
                key=f"topup:{user_id}:{keyed.key or uuid.uuid4()}",
                description=f"Wallet top-up ({body.payment_method})",
                now=context.now(),
            )
        except IdempotencyConflictError as error:
            details = "This Idempotency-Key was used for another amount: send a new key for a new top-up"
            raise key_conflict(details) from error
        await _refuse_beyond(db, made.credit_balance_minor)
        entry = await wallet_entries.get_entry(db, made.id, user_id)
        assert entry is not None, "a transfer to a wallet is entered with it"
        return await _shown(db, entry)

    return await once(db, keyed, user_id, body, context.now(), work, status=CREATED)


async def order(
    context: Context, provider: PaymentProvider, user_id: int, body: TopUp, keyed: RequestKey
) -> Answer[ToppedUp] | Replay:
    """Order a top-up; no connection is held while the provider thinks.

    Raises 400 beyond the wallet's maximum or where the provider refuses, 409 for a key that was used for
    something else, 502 where the provider is away: the same key orders again.
    """
    async with context.pool.connection() as db:
        before = await replayed(db, keyed, user_id, body)
        if before is not None:
            return before
        made = await _entered(context, db, provider, user_id, body, keyed)
    if made.provider_id is None:
        details = PaymentOrder(made.id, made.amount_minor, made.currency, "Wallet top-up")
        try:
            checkout = await provider.create(details)
        except ProviderError as error:
            raise await _not_taken(context, provider, made, error) from error
    async with context.pool.connection() as db:

        async def work() -> Answer[ToppedUp]:
            placed = made
            if made.provider_id is None:
                placed = await top_ups.set_checkout(db, made.id, checkout.provider_id, checkout.details)
            return await _shown_order(db, placed)

        return await once(db, keyed, user_id, body, context.now(), work, status=CREATED)


async def confirm(context: Context, user_id: int, body: TopUpProof) -> Answer[ToppedUp]:
    """Take the proof of a payment, and credit what the provider says was paid.

    Raises 400 for a proof that is none, 403 and 404 for orders of others and of nobody, 502.
    """
    provider = context.config.payments.get("razorpay")
    if not isinstance(provider, ConfirmingProvider):
        raise Problem(400, "No payment provider", "Razorpay is not configured here")
    async with context.pool.connection() as db:
        await _own_order(db, provider, user_id, body.razorpay_order_id)
    proof = Proof(body.razorpay_order_id, body.razorpay_payment_id, body.razorpay_signature)
    try:
        event = await provider.confirm(proof)
        async with context.pool.connection() as db:
            if event is not None:
                await apply_event(db, provider.name, event, context.now())
            return await _shown_order(db, await _own_order(db, provider, user_id, proof.order_id))
    except (WebhookRefusedError, UnknownOrderError) as error:
        log.warning("payment_proof_refused", order=proof.order_id, user_id=user_id, error=str(error))
        raise Problem(400, "Payment not verified", str(error)) from error
    except ProviderError as error:
        log.error("payment_not_confirmed", order=proof.order_id, error=str(error))
        raise Problem(502, "Payment provider failed", "It did not tell of the payment: try again") from error


async def _entered(
    context: Context,
    db: Connection,
    provider: PaymentProvider,
    user_id: int,
    body: TopUp,
    keyed: RequestKey,
) -> Order:
    """Write the order as pending, or find the one of this key."""
    wallet = await ledger.ensure_wallet(db, user_id)
    await _refuse_beyond(db, wallet.balance_minor + body.amount_minor)
    made = await top_ups.ensure_top_up(
        db,
        uuid.uuid4(),
        user_id=user_id,
        provider=provider.name,
        request_key=keyed.key or str(uuid.uuid4()),
        amount_minor=body.amount_minor,
        currency=wallet.currency,
        payment_method=body.payment_method,
        now=context.now(),
    )
    asked = (None, provider.name, body.amount_minor, body.payment_method)
    if (made.unit_id, made.provider, made.amount_minor, made.payment_method) != asked:
        raise key_conflict("This Idempotency-Key was used for another top-up: send a new key for a new one")
    return made


async def _not_taken(
    context: Context, provider: PaymentProvider, made: Order, error: ProviderError
) -> Problem:
    """Fail the order; the same key may place it again."""
    log.error("payment_order_failed", provider=provider.name, top_up=str(made.id), error=str(error))
    async with context.pool.connection() as db:
        await top_ups.set_not_placed(db, made.id, str(error)[:DETAIL_CHARACTERS_MAX], context.now())
    if isinstance(error, ProviderRefusedError):
        return Problem(400, "Payment provider refused", "It does not take this order: try another amount")
    return Problem(502, "Payment provider failed", "It did not take the order: try again")


async def _own_order(db: Connection, provider: PaymentProvider, user_id: int, provider_id: str) -> Order:
    found = await top_ups.lock_top_up(db, provider.name, provider_id)
    if found is None:
        raise not_found("Order", f"There is no order {provider_id} of {provider.name}")
    if found.user_id != user_id or found.unit_id is not None:
        raise forbidden("This order belongs to another user")
    return found


async def _shown_order(db: Connection, made: Order) -> Answer[ToppedUp]:
    entry = await wallet_entries.entry_of_top_up(db, made.id)
    assert entry is not None, "an order is entered with it"
    return await _shown(db, entry, CheckoutOut.of(made) if entry.status == "pending" else None)


async def _shown(db: Connection, entry: WalletEntry, payment: CheckoutOut | None = None) -> Answer[ToppedUp]:
    account = await ledger.ensure_wallet(db, entry.user_id)
    minimum_minor = (await read_settings(db)).payment.min_wallet_balance_minor
    wallet = WalletOut.of(account, minimum_minor)
    return Answer.of(ToppedUp(wallet=wallet, transaction=TransactionOut.of(entry), payment=payment))


async def _refuse_beyond(db: Connection, balance_minor: int) -> None:
    maximum_minor = (await read_settings(db)).payment.max_wallet_balance_minor
    if balance_minor > maximum_minor:
        raise Problem(
            400,
            "Wallet limit exceeded",
            f"The balance would be {money(balance_minor):.2f}, at most {money(maximum_minor):.2f} is allowed",
        )
