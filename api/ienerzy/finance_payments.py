"""Payments of loans: IE-018, IE-020, IE-X02, and foreclosure, all below /api/finance."""

from typing import Annotated

from fastapi import Path, Query

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import Problem
from api.fields import IdempotencyKey, minor_units
from api.ienerzy.callers import DealerOrAdmin, DealerOrConsumer, reach
from api.ienerzy.figures_scope import DealerId, ReportSpan
from api.ienerzy.finance import LIST_MAX, Reference, detail
from api.ienerzy.finance_access import application_of, emi_of, payment_key, refusals
from api.ienerzy.finance_schemas import (
    CollectionReport,
    Foreclosed,
    ForeclosureQuote,
    Overdue,
    OwedOut,
    Paid,
    PayIn,
    PaymentOut,
    emis_out,
)
from api.ienerzy.nbfc_schemas import Day
from api.ienerzy.schemas import BIGINT_MAX
from api.routing import Router
from storage.queries import emi_payments, lending
from stream.lending import loans
from stream.lending.loans import Settlement
from stream.lending.terms import today

router = Router(prefix="/finance")


@router.get("/overdue")
async def overdue(caller: DealerOrConsumer, context: Ctx, db: Db) -> Overdue:
    """List the caller's instalments that are past due and what is open of each, the longest overdue first."""
    own, day = reach(caller), today(context.now())
    rows = await lending.list_overdue(
        db, today=day, dealer_id=own.dealer_id, consumer_id=own.owner_id, limit=LIST_MAX
    )
    totals = await lending.overdue_totals(db, today=day, dealer_id=own.dealer_id, consumer_id=own.owner_id)
    return Overdue.of(rows, totals)


@router.get("/collection-report")
async def collection_report(dealer_id: DealerId, span: ReportSpan, db: Db) -> CollectionReport:
    """Sum up what was paid by day, the newest first; both ends of the period are included."""
    days = await emi_payments.days_of_payments(
        db, dealer_id=dealer_id, since=span.first, until=span.last, limit=LIST_MAX
    )
    return CollectionReport.of(days)


@router.get("/payments")
async def payments(
    caller: DealerOrConsumer,
    span: ReportSpan,
    db: Db,
    application_id: Annotated[int | None, Query(ge=1, le=BIGINT_MAX)] = None,
) -> list[PaymentOut]:
    """List the caller's payments, the newest recorded first."""
    own = reach(caller)
    found = await emi_payments.list_payments(
        db,
        dealer_id=own.dealer_id,
        consumer_id=own.owner_id,
        application_id=application_id,
        since=span.first,
        until=span.last,
        limit=LIST_MAX,
    )
    return [PaymentOut.of(payment) for payment in found]


@router.post("/emi/{id}/pay", status_code=201)
async def pay(
    reference: Annotated[str, Path(alias="id")],
    body: PayIn,
    caller: DealerOrAdmin,
    context: Ctx,
    db: Db,
    idempotency_key: IdempotencyKey = None,
) -> Paid:
    """Record a payment for an instalment; without an amount: of it, what is older, and penalties.

    The oldest instalments are paid first, penalties after those that are due, and what is more than due pays
    ahead. The same Idempotency-Key again is the same payment.
    """
    emi = await emi_of(db, caller, reference)
    settlement = _settlement(context, caller, body, idempotency_key)
    async with refusals():
        payment = await loans.pay_emi(db, emi, **settlement)
    found = await lending.get_application(db, emi.application_id)
    assert found is not None
    loan, day = await loans.read(db, found, context.config.lending), today(context.now())
    return Paid.model_validate(
        {
            "payment": PaymentOut.of(payment),
            "emi": emis_out(loan, day)[emi.emi_number - 1],
            "application_status": found.status,
            "owed": OwedOut.of(loan, day),
        }
    )


@router.get("/applications/{id}/foreclosure-quote")
async def foreclosure_quote(
    reference: Reference,
    caller: DealerOrConsumer,
    context: Ctx,
    db: Db,
    day: Annotated[Day | None, Query(alias="date", description="today without it")] = None,
) -> ForeclosureQuote:
    """Show what ends the loan on a day: all that is due, the rest of the principal, its interest, the fee."""
    found = await application_of(db, caller, reference)
    day = day or today(context.now())
    async with refusals():
        costs = await loans.foreclosure_quote(db, found, day, context.config.lending)
    return ForeclosureQuote.of(found.id, day, costs)


@router.post("/applications/{id}/foreclose", status_code=201)
async def foreclose(
    reference: Reference,
    body: PayIn,
    caller: DealerOrAdmin,
    context: Ctx,
    db: Db,
    idempotency_key: IdempotencyKey = None,
) -> Foreclosed:
    """Record the payment that ends a loan; without an amount: exactly what the quote of that day says.

    The interest of later periods is waived, and their instalments are cancelled.
    """
    found = await application_of(db, caller, reference)
    settlement = _settlement(context, caller, body, idempotency_key)
    async with refusals():
        payment = await loans.foreclose(db, found.id, **settlement)
    after = await application_of(db, caller, reference)
    return Foreclosed(payment=PaymentOut.of(payment), application=await detail(context, db, after))


def _settlement(context: Context, caller: Caller, body: PayIn, idempotency_key: str | None) -> Settlement:
    now = context.now()
    if body.paid_on is not None and body.paid_on > today(now):
        raise Problem(400, "Validation failed", "paid_on: must not be in the future", "VALIDATION_FAILED")
    return {
        "key": payment_key(caller, idempotency_key, now),
        "amount_minor": None if body.amount is None else minor_units(body.amount),
        "paid_on": body.paid_on,
        "method": body.payment_method,
        "reference": body.reference,
        "recorded_by": caller.id,
        "terms": context.config.lending,
        "now": now,
    }
