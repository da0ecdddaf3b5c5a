"""Applications for loans: /api/finance/applications (IE-015 to IE-017), and disbursement (IE-X05)."""

from typing import Annotated

from fastapi import Path

from api.context import Context, Ctx, Db
from api.errors import Problem
from api.fields import minor_units
from api.ienerzy.callers import DealerOrAdmin, DealerOrConsumer, reach
from api.ienerzy.finance_access import application_of, check_amount, check_parties, dealer_of, refusals
from api.ienerzy.finance_schemas import (
    ApplicationDetail,
    ApplicationIn,
    ApplicationOut,
    ApplicationStatus,
    DecidedOut,
    DecisionIn,
    DisburseIn,
)
from api.routing import Router
from storage.database import Connection
from storage.queries import lending
from storage.queries.lending import Application
from stream.lending import loans
from stream.lending.terms import today

router = Router(prefix="/finance/applications")

LIST_MAX = 10_000  # the contract has no pages here; who has more gets the newest

Reference = Annotated[str, Path(alias="id")]


@router.post("", status_code=201)
async def apply(body: ApplicationIn, caller: DealerOrAdmin, context: Ctx, db: Db) -> ApplicationOut:
    """Apply for a loan on a battery, for a consumer of the dealer; it is pending until it is decided."""
    dealer_id = await dealer_of(db, caller, body.dealer_id)
    await check_parties(db, dealer_id, body.consumer_id, body.battery_id)
    amount_minor = minor_units(body.amount)
    check_amount(amount_minor, body.tenure_months)
    async with refusals():
        made = await lending.insert_application(
            db,
            dealer_id=dealer_id,
            consumer_id=body.consumer_id,
            battery_id=body.battery_id,
            amount_minor=amount_minor,
            tenure_months=body.tenure_months,
            rate_pct=body.interest_rate,
            created_by=caller.id,
            now=context.now(),
        )
    return ApplicationOut.of(made)


@router.get("")
async def list_applications(
    caller: DealerOrConsumer, db: Db, status: ApplicationStatus | None = None
) -> list[ApplicationOut]:
    """List the caller's applications, the newest first."""
    own = reach(caller)
    found = await lending.list_applications(
        db, dealer_id=own.dealer_id, consumer_id=own.owner_id, status=status, limit=LIST_MAX
    )
    return [ApplicationOut.of(application) for application in found]


@router.get("/{id}")
async def application(
    reference: Reference, caller: DealerOrConsumer, context: Ctx, db: Db
) -> ApplicationDetail:
    """Show an application with its instalments, its payments and what is owed today."""
    return await detail(context, db, await application_of(db, caller, reference))


@router.put("/{id}/approve")
async def decide(
    reference: Reference, body: DecisionIn, caller: DealerOrAdmin, context: Ctx, db: Db
) -> DecidedOut:
    """Approve or reject an application that is not decided yet; an approval makes the instalments."""
    found = await application_of(db, caller, reference, is_locked=True)
    if found.status not in loans.UNDECIDED:
        details = f"The application is {found.status} already"
        raise Problem(400, "Application is decided", details, "NOT_POSSIBLE")
    now = context.now()
    async with refusals():
        if body.status == "rejected":
            after = await loans.reject(db, found.id, reason=body.reason, decided_by=caller.id, now=now)
            return DecidedOut.of(after)
        asked = body.approved_amount
        after = await loans.approve(
            db,
            found.id,
            approved_minor=found.amount_minor if asked is None else minor_units(asked),
            rate_pct=body.interest_rate,
            tenure_months=body.tenure_months,
            emi_minor=None,
            starts_on=body.starts_on or today(now),
            method=body.method or context.config.lending.method,
            decided_by=caller.id,
            now=now,
        )
    return DecidedOut.of(after)


@router.post("/{id}/disburse")
async def disburse(
    reference: Reference, body: DisburseIn, caller: DealerOrAdmin, context: Ctx, db: Db
) -> ApplicationDetail:
    """Note that an approved loan of the house was paid out; what an NBFC pays out comes by its webhook.

    While nothing is paid back the instalments become those of this amount, from this day on.
    """
    found = await application_of(db, caller, reference, is_locked=True)
    now = context.now()
    disbursed_on = body.disbursed_on or today(now)
    if disbursed_on > today(now):
        raise Problem(
            400, "Validation failed", "disbursed_on: must not be in the future", "VALIDATION_FAILED"
        )
    if found.nbfc is not None and found.decided_by is None:
        details = f"The NBFC {found.nbfc} lends, and says when it is paid out"
        raise Problem(400, "Not a loan of the house", details, "NOT_POSSIBLE")
    if found.status != "approved":
        details = f"The application is {found.status}, only an approved one is disbursed"
        raise Problem(400, "Not possible", details, "NOT_POSSIBLE")
    async with refusals():
        after = await loans.disburse(
            db,
            found.id,
            amount_minor=None if body.amount is None else minor_units(body.amount),
            disbursed_on=disbursed_on,
            now=now,
        )
    return await detail(context, db, after)


async def detail(context: Context, db: Connection, found: Application) -> ApplicationDetail:
    """Show an application as its payments have made it, today."""
    loan = await loans.read(db, found, context.config.lending)
    return ApplicationDetail.of_loan(loan, today(context.now()))
