"""EV-CMS refunds: /api/v1/billing/refunds (EV-064 to EV-067). An approved one is a credit of the wallet."""

from typing import Annotated

from fastapi import Depends

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import Problem, forbidden, not_found
from api.evcms.callers import Admin, AnyUser, wallet_filter
from api.evcms.envelope import Answer, Id, Paging
from api.evcms.idempotency import Keyed, Replay, once
from api.evcms.schemas.refunds import (
    NamedRefund,
    RefundDecision,
    RefundIn,
    RefundOut,
    RefundPage,
    RefundStatus,
)
from api.fields import money, parse_id
from api.routing import Router
from storage import ledger
from storage.database import Connection
from storage.ledger import Transfer
from storage.queries import outbox, reconciliation, refunds, wallet_entries
from storage.queries.admin_actions import record_action
from storage.queries.refunds import Refund
from stream.notices import amount
from stream.notify import Kind, News, notify
from stream.refunding import RefundTooLargeError, give_back, is_refundable, left_of
from stream.user_wallets import CURRENCY

router = Router(prefix="/billing/refunds")

CREATED = 201


@router.get("")
async def list_refunds(
    caller: AnyUser, db: Db, paging: Annotated[Paging, Depends()], status: RefundStatus | None = None
) -> RefundPage:
    """List refunds, newest first: the caller's own, an admin those of all users."""
    found, total = await refunds.list_refunds(
        db, user_id=wallet_filter(caller), status=status, limit=paging.limit, offset=paging.offset
    )
    rows = [RefundOut.of(refund) for refund in found]
    return RefundPage(success=True, data=rows, refunds=rows, pagination=paging.of(total))


@router.post("", status_code=CREATED, response_model=Answer[NamedRefund])
async def request_refund(
    body: RefundIn, caller: AnyUser, context: Ctx, db: Db, keyed: Keyed
) -> Answer[NamedRefund] | Replay:
    """Ask for (a part of) what the caller's wallet has paid; an admin decides."""

    async def work() -> Answer[NamedRefund]:
        made = await _request(context, db, caller, body)
        return Answer.of(NamedRefund.around(RefundOut.of(made)))

    return await once(db, keyed, caller.id, body, context.now(), work, status=CREATED)


@router.get("/{id}")
async def refund(refund_id: Id, caller: AnyUser, db: Db) -> Answer[NamedRefund]:
    """Show a refund."""
    number = parse_id(refund_id)
    found = None if number is None else await refunds.get_refund(db, number)
    if found is None:
        raise _missing(refund_id)
    if wallet_filter(caller) not in {None, found.user_id}:
        raise forbidden("This refund belongs to another user")
    return Answer.of(NamedRefund.around(RefundOut.of(found)))


@router.put("/{id}/process", response_model=Answer[NamedRefund])
async def process(
    refund_id: Id, body: RefundDecision, caller: Admin, context: Ctx, db: Db, keyed: Keyed
) -> Answer[NamedRefund] | Replay:
    """Decide about a refund, once: an approved one credits the user's wallet."""

    async def work() -> Answer[NamedRefund]:
        decided = await _decide(context, db, caller, refund_id, body)
        return Answer.of(NamedRefund.around(RefundOut.of(decided)))

    return await once(db, keyed, caller.id, body, context.now(), work)


async def _request(context: Context, db: Connection, caller: Caller, body: RefundIn) -> Refund:
    """Raises 404 and 403 for the transaction, 400 for what cannot be refunded, 409 while one is pending."""
    number = parse_id(body.transaction_id)
    entry = None if number is None else await wallet_entries.lock_entry(db, number)
    if entry is None:
        raise not_found("Transaction", f"No transaction has the id {body.transaction_id}")
    if entry.user_id != caller.id:
        raise forbidden("This transaction belongs to another user")
    paid = None if entry.transfer_id is None else await ledger.get_transfer(db, entry.transfer_id)
    if entry.direction != "debit" or paid is None or not await is_refundable(db, paid):
        raise Problem(400, "Not refundable", "Only a completed payment from your wallet can be refunded")
    if (await refunds.refunded(db, paid.id)).has_pending:
        raise Problem(409, "Refund already requested", "A refund of this transaction waits for its decision")
    left_minor = (await left_of(db, paid)).total_minor
    if body.amount_minor > left_minor:
        raise Problem(400, "Refund too large", f"{money(left_minor):.2f} of this transaction can be refunded")
    return await refunds.insert_refund(
        db,
        user_id=caller.id,
        transfer_id=paid.id,
        amount_minor=body.amount_minor,
        reason=body.reason,
        now=context.now(),
    )


async def _decide(
    context: Context, db: Connection, caller: Caller, refund_id: str, body: RefundDecision
) -> Refund:
    number = parse_id(refund_id)
    found = None if number is None else await refunds.lock_refund(db, number)
    if found is None:
        raise _missing(refund_id)
    if found.status != "pending":
        raise Problem(409, "Refund already processed", f"Refund {found.id} was {found.status} before")
    credit = await _credit(db, found) if body.status == "approved" else None
    decided = await refunds.decide_refund(
        db,
        found.id,
        status=body.status,
        admin_notes=body.admin_notes,
        processed_by=caller.id,
        refund_transfer_id=None if credit is None else credit.id,
        now=context.now(),
    )
    await record_action(
        db,
        actor_id=caller.id,
        action=f"refund.{body.status}",
        subject=f"refund:{found.id}",
        detail={"user_id": found.user_id, "amount_minor": found.amount_minor, "notes": body.admin_notes},
        now=context.now(),
    )
    values = {"decision": body.status, "amount": amount(CURRENCY, found.amount_minor)}
    news = News(f"refund:{found.id}", Kind.REFUND_DECIDED, values, {"refundId": str(found.id)})
    await notify(db, found.user_id, news, context.now())
    return decided


async def _credit(db: Connection, found: Refund) -> Transfer:
    """Bring the money back from where it went; debts are paid from it shortly after.

    Raises 400 where the session was corrected since, and less is left.
    """
    paid = await ledger.get_transfer(db, found.transfer_id)
    assert paid is not None, "a refund refers to its transfer"
    if paid.session_id is not None:  # its correction waits, or is seen
        await reconciliation.lock_session(db, paid.session_id)
    try:
        credit = await give_back(db, found, paid)
    except RefundTooLargeError as error:
        raise Problem(400, "Refund too large", f"Reject it: {error}") from error
    await outbox.enqueue(db, "settle_debts", {"user_id": found.user_id})
    return credit


def _missing(reference: str) -> Problem:
    return not_found("Refund", f"No refund has the id {reference}")
