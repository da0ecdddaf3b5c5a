"""Webhooks of payment providers: /api/v1/payments/{provider}/webhook; what they say of EV-CMS top-ups."""

from typing import Annotated

import structlog
from fastapi import Path, Request

from api.context import Ctx
from api.errors import Problem, not_found
from api.evcms.envelope import Answer
from api.evcms.schemas.wallet import PaymentEventTaken, TransactionStatus
from api.routing import Router
from stream.payments import UnknownOrderError, WebhookRefusedError, apply_event

log = structlog.get_logger()

router = Router(prefix="/payments")

PROVIDER_CHARACTERS_MAX = 32
STATUSES: dict[str, TransactionStatus] = {"created": "pending", "paid": "completed", "failed": "failed"}


@router.post("/{provider}/webhook")
async def webhook(
    provider: Annotated[str, Path(max_length=PROVIDER_CHARACTERS_MAX)], request: Request, context: Ctx
) -> Answer[PaymentEventTaken]:
    """Take a payment provider's event: signed by it, in its own form.

    The same event again changes nothing, and neither does the order in which events come. Events that are
    about no top-up are taken and ignored; for an order that is not known (yet) the provider should try again.
    """
    known = context.config.payments.get(provider)
    if known is None:
        raise not_found("Payment provider", f"There is no payment provider {provider}")
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = await request.body()
    try:
        event = known.read_event(headers, body, context.clock())
        if event is None:
            return Answer.of(PaymentEventTaken(status=None))
        async with context.pool.connection() as db:
            top_up = await apply_event(db, known.name, event, context.now())
    except WebhookRefusedError as error:
        log.warning("webhook_refused", provider=provider, error=str(error))
        raise Problem(400, "Webhook refused", str(error)) from error
    except UnknownOrderError as error:
        raise not_found("Order", str(error)) from error
    return Answer.of(PaymentEventTaken(status=STATUSES[top_up.state]))
