"""Top-ups of a wallet by the app, and the payment providers' webhooks (MO-X09)."""

import uuid
from typing import Annotated, cast

import structlog
from fastapi import Path, Request

from api.context import Context, Ctx, Db
from api.errors import Problem, not_found
from api.fields import IdempotencyKey
from api.mobile.callers import Resident
from api.mobile.lookup import UnitId, find_wallet, missing, reach_unit
from api.mobile.schemas.wallets import EventTaken, NewTopUp, OneTopUp, TopUpOut, TopUpStatus
from api.routing import Router
from storage.queries import top_ups
from stream.payments import (
    PaymentOrder,
    PaymentProvider,
    UnknownOrderError,
    WebhookRefusedError,
    apply_event,
)
from stream.providers import ProviderError

log = structlog.get_logger()

router = Router()

TopUpId = Annotated[str, Path(alias="top_up_id", json_schema_extra={"format": "uuid"})]


@router.post("/units/{unit_id}/wallet/top-ups", status_code=201)
async def order(
    unit_id: UnitId,
    body: NewTopUp,
    caller: Resident,
    context: Ctx,
    db: Db,
    idempotency_key: IdempotencyKey = None,
) -> OneTopUp:
    """Order a top-up. The wallet has it once the payment provider says that it was paid."""
    unit = await reach_unit(context, db, caller, unit_id)
    wallet = await find_wallet(db, unit)
    provider = _provider(context, body.provider)
    request_key = idempotency_key or str(uuid.uuid4())
    made = await top_ups.ensure_top_up(
        db,
        _order_id(caller.id, request_key, unit.id, provider.name, body.amount_minor),
        unit_id=unit.id,
        user_id=caller.id,
        provider=provider.name,
        request_key=request_key,
        amount_minor=body.amount_minor,
        currency=wallet.currency,
        now=context.now(),
    )
    if (made.unit_id, made.amount_minor, made.provider) != (unit.id, body.amount_minor, provider.name):
        details = "This Idempotency-Key was used for another top-up: send a new key for a new one"
        raise Problem(409, "Idempotency key already used", details)
    if made.provider_id is None:
        placed = PaymentOrder(made.id, made.amount_minor, made.currency, f"Unit {unit.unit_number}")
        try:
            checkout = await provider.create(placed)
        except ProviderError as error:
            log.error("payment_order_failed", provider=provider.name, error=str(error))
            raise Problem(502, "Payment provider failed", "It did not take the order: try again") from error
        made = await top_ups.set_checkout(db, made.id, checkout.provider_id, checkout.details)
    return OneTopUp(top_up=TopUpOut.of(made))


@router.get("/units/{unit_id}/wallet/top-ups/{top_up_id}")
async def detail(unit_id: UnitId, top_up_id: TopUpId, caller: Resident, context: Ctx, db: Db) -> OneTopUp:
    """Show what became of a top-up."""
    unit = await reach_unit(context, db, caller, unit_id)
    found = None if (number := _uuid(top_up_id)) is None else await top_ups.get_top_up(db, number)
    if found is None or found.unit_id != unit.id:
        raise missing("Top-up", top_up_id)
    return OneTopUp(top_up=TopUpOut.of(found))


@router.post("/payments/{provider}/webhook")
async def webhook(
    provider: Annotated[str, Path(max_length=32)], request: Request, context: Ctx, db: Db
) -> EventTaken:
    """Take a payment provider's event: signed by it, in its own form; the same one again changes nothing."""
    known = context.config.payments.get(provider)
    if known is None:
        raise not_found("Payment provider", f"There is no payment provider {provider}")
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        event = known.read_event(headers, await request.body(), context.clock())
        if event is None:
            return EventTaken(message="Event ignored", status=None)
        top_up = await apply_event(db, known.name, event, context.now())
    except WebhookRefusedError as error:
        log.warning("webhook_refused", provider=provider, error=str(error))
        raise Problem(400, "Webhook refused", str(error)) from error
    except UnknownOrderError as error:
        raise not_found("Order", str(error)) from error
    return EventTaken(message="Event taken", status=cast("TopUpStatus", top_up.state))


def _provider(context: Context, name: str | None) -> PaymentProvider:
    payments = context.config.payments
    if not payments:
        raise Problem(503, "No payment provider", "Top-ups by the app are not configured here")
    chosen = next(iter(payments)) if name is None else name
    if chosen not in payments:
        raise Problem(400, "Validation failed", f"provider: choose one of {', '.join(payments)}")
    return payments[chosen]


def _order_id(*facts: object) -> uuid.UUID:
    """The same for the same order: one that the provider took and we forgot is placed as itself again."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"top-up:{facts!r}")


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
