"""Loans as facts: approved, disbursed, paid; each function is one decision in the caller's transaction.

Used by the Ienerzy API (a dealer decides, payments are entered) and by the NBFC's events. Every function
holds the application first, so that decisions and payments of a loan come one after the other; each may be
repeated. What is paid follows from all payments of the loan (`stream.lending.allocation`); the ledger follows
in `stream.lending.bookkeeping`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, NotRequired, TypedDict, Unpack

from storage.database import Connection
from storage.errors import AlreadyExistsError, IdempotencyConflictError, NotFoundError
from storage.queries import emi_payments, emis, lending, outbox
from storage.queries.emi_payments import Payment
from storage.queries.emis import Emi
from storage.queries.lending import Application
from stream.errors import StreamError
from stream.lending import bookkeeping
from stream.lending.allocation import Book, Charges, Line, Quote, Receipt, quote, replay
from stream.lending.bookkeeping import Accounts
from stream.lending.rules import LoanTerms, Plan, Planned, plan
from stream.lending.terms import LendingTerms, Method, today

PAYMENTS_MAX = 1_000  # of one loan
EMI_SHARES_MAX = 2  # of the principal: all of it and a month's interest at 100 % are less
UNDECIDED = frozenset({"pending", "submitted"})

Kind = Literal["instalment", "foreclosure"]


class LoanRefusedError(StreamError):
    """What was asked for does not fit the state of the application; nothing was changed."""


class Approval(TypedDict):
    """What is lent. None: as it was applied for. With `emi_minor` each instalment is that amount."""

    approved_minor: int
    rate_pct: Decimal | None
    tenure_months: int | None
    emi_minor: int | None
    starts_on: date
    method: Method
    decided_by: int | None
    now: datetime


class NewPayment(TypedDict):
    """A payment; the same `key` again is the same payment. `recorded_by` None: the NBFC."""

    key: str
    amount_minor: int
    paid_on: date
    kind: NotRequired[Kind]
    method: str
    reference: str | None
    recorded_by: int | None
    terms: LendingTerms
    now: datetime


class Settlement(TypedDict):
    """A payment of what is open; `amount_minor` None: exactly that; `paid_on` None: today."""

    key: str
    amount_minor: int | None
    paid_on: date | None
    method: str
    reference: str | None
    recorded_by: int | None
    terms: LendingTerms
    now: datetime


@dataclass(frozen=True, slots=True)
class Loan:
    """A loan as its payments have made it."""

    application: Application
    emis: list[Emi]
    payments: list[Payment]
    charges: Charges
    book: Book


async def approve(connection: Connection, application_id: int, **approval: Unpack[Approval]) -> Application:
    """Approve the application and make its instalments; the same approval again changes nothing.

    Raises `LoanRefusedError` (decided otherwise, more than was asked for, an instalment beyond reason, the
    battery has a running loan), `TooLittleError`, `NotFoundError`.
    """
    application = await _held(connection, application_id)
    terms = _terms_of(application, approval)
    if application.is_running and _is_as_approved(application, terms):
        return application
    _require_undecided(application)
    if terms.principal_minor > application.amount_minor:
        raise LoanRefusedError("more cannot be approved than was asked for")
    if terms.emi_minor is not None and terms.emi_minor > EMI_SHARES_MAX * terms.principal_minor:
        raise LoanRefusedError(f"an instalment cannot be more than {EMI_SHARES_MAX} times what is lent")
    planned = plan(terms)
    try:
        await lending.set_approved(
            connection,
            application_id,
            approved_minor=terms.principal_minor,
            tenure_months=terms.tenure_months,
            rate_pct=terms.rate_pct,
            method=terms.method,
            emi_minor=terms.emi_minor,
            starts_on=terms.starts_on,
            decided_by=approval["decided_by"],
            now=approval["now"],
        )
    except AlreadyExistsError as error:
        raise LoanRefusedError(f"battery {application.battery_serial} has a running loan") from error
    await emis.put_emis(connection, application_id, _rows(planned))
    return await _present(connection, application_id)


async def reject(
    connection: Connection,
    application_id: int,
    *,
    reason: str | None,
    decided_by: int | None,
    now: datetime,
) -> Application:
    """Reject the application; again changes nothing. Raises `LoanRefusedError`, `NotFoundError`."""
    application = await _held(connection, application_id)
    if application.status == "rejected":
        return application
    _require_undecided(application)
    await lending.set_rejected(connection, application_id, reason=reason, decided_by=decided_by, now=now)
    return await _present(connection, application_id)


async def disburse(
    connection: Connection,
    application_id: int,
    *,
    amount_minor: int | None,
    disbursed_on: date,
    now: datetime,
) -> Application:
    """Note that the money was paid out, all that was approved or less; again changes nothing.

    While nothing is paid the instalments become those of this amount, from this day on. Raises
    `LoanRefusedError` (not approved, more than approved, another amount than what is paid back already),
    `TooLittleError`, `NotFoundError`.
    """
    application = await _held(connection, application_id)
    if application.status in {"disbursed", "closed"}:
        return application
    if application.approved_minor is None or application.status != "approved":
        raise LoanRefusedError(f"the application is {application.status}, only an approved one is disbursed")
    amount_minor = amount_minor or application.approved_minor
    if amount_minor > application.approved_minor:
        raise LoanRefusedError("more cannot be disbursed than was approved")
    starts_on = application.starts_on
    if not await emi_payments.payments_of(connection, application_id, limit=1):
        starts_on = disbursed_on
        planned = plan(_terms(application, amount_minor, starts_on))
        await emis.put_emis(connection, application_id, _rows(planned))
    elif amount_minor != application.approved_minor:
        raise LoanRefusedError("instalments are paid already: disburse what was approved")
    assert starts_on is not None
    await lending.set_disbursed(
        connection,
        application_id,
        disbursed_minor=amount_minor,
        disbursed_on=disbursed_on,
        starts_on=starts_on,
        now=now,
    )
    accounts = await bookkeeping.hold_accounts(connection, application.consumer_id)
    await bookkeeping.lend(connection, accounts, application, amount_minor)
    return await _present(connection, application_id)


async def record_payment(connection: Connection, application_id: int, **new: Unpack[NewPayment]) -> Payment:
    """Record money that was paid on the loan, on whatever day and in whatever order it becomes known.

    What a closed loan gets is kept as excess. Raises `LoanRefusedError` (no loan yet, too many payments),
    `IdempotencyConflictError` (the key was used for another payment), `NotFoundError`.
    """
    application = await _held(connection, application_id)
    before = await _earlier(connection, application, new["key"])
    if before is not None:
        return _same(before, new)
    if not application.is_running and application.status != "closed":
        raise LoanRefusedError(f"the application is {application.status}: there is nothing to pay")
    _require_begun(application, new["paid_on"])
    loan = await read(connection, application, new["terms"])
    if len(loan.payments) >= PAYMENTS_MAX:
        raise LoanRefusedError(f"the loan has {PAYMENTS_MAX} payments, more are not taken")
    accounts = await bookkeeping.hold_accounts(connection, application.consumer_id)
    principal_minor = sum(emi.principal_minor for emi in loan.emis)
    await bookkeeping.lend(connection, accounts, application, principal_minor)
    transfer = await bookkeeping.receive(connection, accounts, application, new["key"], new["amount_minor"])
    payment = await emi_payments.insert_payment(
        connection,
        key=new["key"],
        application_id=application_id,
        dealer_id=application.dealer_id,
        amount_minor=new["amount_minor"],
        paid_on=new["paid_on"],
        kind=new.get("kind", "instalment"),
        method=new["method"],
        reference=new["reference"],
        recorded_by=new["recorded_by"],
        transfer_id=transfer.id,
        now=new["now"],
    )
    await _follow(connection, accounts, loan, payment, new["now"])
    await outbox.enqueue(connection, "follow_lock", {"application_id": application_id})
    after = await emi_payments.find_payment(connection, payment.key)
    assert after is not None
    return after


async def pay_emi(connection: Connection, emi: Emi, **settlement: Unpack[Settlement]) -> Payment:
    """Record a payment for this instalment; without an amount: of it, what is older, and penalties.

    It pays the oldest first, whichever it was meant for. Raises `LoanRefusedError` (it is paid already, more
    than all that is left), and what `record_payment` raises.
    """
    application = await _held(connection, emi.application_id)
    before = await _earlier(connection, application, settlement["key"])
    amount_minor = settlement["amount_minor"]
    if before is None:
        loan = await read(connection, application, settlement["terms"])
        line = loan.book.lines[emi.emi_number - 1]
        _require_running(application)
        day = _day_of(settlement)
        if not line.open_minor and not line.penalty_open_minor(day, loan.charges):
            raise LoanRefusedError(f"instalment {emi.emi_number} is {line.status} already")
        amount_minor = amount_minor or loan.book.settles_minor(emi.emi_number, day, loan.charges)
        whole_minor = loan.book.settles_minor(len(loan.emis), day, loan.charges)
        if amount_minor > whole_minor:  # a slip of the hand: nothing pays it back
            raise LoanRefusedError(
                f"{amount_minor / 100:.2f} is too much: {whole_minor / 100:.2f} pay all instalments"
            )
    return await _settle(connection, application, before, amount_minor, "instalment", settlement)


async def foreclose(connection: Connection, application_id: int, **settlement: Unpack[Settlement]) -> Payment:
    """Record the payment that ends the loan; without an amount: exactly what that costs.

    Raises `LoanRefusedError` (it does not run, the amount is too little), and what `record_payment` raises.
    """
    application = await _held(connection, application_id)
    before = await _earlier(connection, application, settlement["key"])
    amount_minor = settlement["amount_minor"]
    if before is None:
        day = _day_of(settlement)
        costs = await foreclosure_quote(connection, application, day, settlement["terms"])
        amount_minor = costs.total_minor if amount_minor is None else amount_minor
        if amount_minor < costs.total_minor:
            raise LoanRefusedError(
                f"{amount_minor / 100:.2f} is too little: {costs.total_minor / 100:.2f} end the loan on {day}"
            )
    return await _settle(connection, application, before, amount_minor, "foreclosure", settlement)


async def foreclosure_quote(
    connection: Connection, application: Application, day: date, terms: LendingTerms
) -> Quote:
    """Return what ends the loan on this day. Raises `LoanRefusedError`: it does not run."""
    _require_running(application)
    loan = await read(connection, application, terms)
    if day < loan.book.as_of:
        raise LoanRefusedError(f"the loan has a payment of {loan.book.as_of}: name that day or a later one")
    return quote(loan.book, day, loan.charges)


async def read(connection: Connection, application: Application, terms: LendingTerms) -> Loan:
    """Return the loan as its payments have made it; without instalments while it is not approved."""
    found = await emis.emis_of(connection, application.id)
    payments = await emi_payments.payments_of(connection, application.id, limit=PAYMENTS_MAX)
    charges = Charges(
        terms.penalty_pct if application.penalty_pct is None else application.penalty_pct,
        terms.foreclosure_fee_pct if application.fee_pct is None else application.fee_pct,
    )
    return Loan(application, found, payments, charges, _replay(application, found, payments, charges))


def _replay(application: Application, found: list[Emi], payments: list[Payment], charges: Charges) -> Book:
    lines = [Line(emi.emi_number, emi.due_date, emi.principal_minor, emi.interest_minor) for emi in found]
    receipts = [
        Receipt(each.key, each.paid_on, each.amount_minor, each.kind == "foreclosure") for each in payments
    ]
    return replay(application.starts_on or date.min, lines, receipts, charges)


async def _follow(
    connection: Connection, accounts: Accounts, loan: Loan, payment: Payment, now: datetime
) -> None:
    """Write what all payments together make of the loan, and have the ledger say the same."""
    application, payments = loan.application, [*loan.payments, payment]
    book = _replay(application, loan.emis, payments, loan.charges)
    await emis.set_paid(connection, application.id, _changed(loan, book))
    late = [each.id for each in payments if each.key in book.late_keys]
    on_time = [each.id for each in payments if each.key not in book.late_keys]
    await emi_payments.set_late(connection, late, on_time)
    await bookkeeping.recognise(connection, accounts, application, payment.key, book)
    open_status = "approved" if application.disbursed_on is None else "disbursed"
    is_closed = book.closed_on is not None
    await lending.set_standing(
        connection,
        application.id,
        status="closed" if is_closed else open_status,
        is_foreclosed=book.is_foreclosed,
        excess_minor=book.excess_minor,
        interest_minor=book.interest_paid_minor,
        penalty_minor=book.penalty_paid_minor,
        fee_minor=book.fee_minor,
        penalty_pct=loan.charges.penalty_pct,
        fee_pct=loan.charges.fee_pct,
        closed_at=(application.closed_at or now) if is_closed else None,
        now=now,
    )


def _changed(loan: Loan, book: Book) -> list[emis.PaidEmi]:
    """Return the instalments that are not as they were written."""
    rows: list[emis.PaidEmi] = []
    for emi, line in zip(loan.emis, book.lines, strict=True):
        penalty_minor = line.penalty_minor(book.as_of, loan.charges)
        after = (line.paid_minor, penalty_minor, line.penalty_paid_minor, line.status, line.paid_on)
        before = (emi.paid_minor, emi.penalty_minor, emi.penalty_paid_minor, emi.status, emi.paid_on)
        if after != before:
            rows.append(
                {
                    "emi_number": line.number,
                    "paid_minor": line.paid_minor,
                    "penalty_minor": penalty_minor,
                    "penalty_paid_minor": line.penalty_paid_minor,
                    "status": line.status,
                    "paid_on": line.paid_on,
                }
            )
    return rows


async def _settle(
    connection: Connection,
    application: Application,
    before: Payment | None,
    amount_minor: int | None,
    kind: Kind,
    settlement: Settlement,
) -> Payment:
    """Record it; a repeat that leaves out amount or day means those that it had."""
    paid_on = settlement["paid_on"]
    if before is not None:
        amount_minor = amount_minor or before.amount_minor
        paid_on = paid_on or before.paid_on
    assert amount_minor is not None
    new: NewPayment = {
        **settlement,
        "amount_minor": amount_minor,
        "paid_on": paid_on or _day_of(settlement),
        "kind": kind,
    }
    return await record_payment(connection, application.id, **new)


def _day_of(settlement: Settlement) -> date:
    return settlement["paid_on"] or today(settlement["now"])


async def _earlier(connection: Connection, application: Application, key: str) -> Payment | None:
    """Return the payment that this key was used for. Raises `IdempotencyConflictError`: of another loan."""
    before = await emi_payments.find_payment(connection, key)
    if before is not None and before.application_id != application.id:
        raise IdempotencyConflictError(f"key {key!r} was used for a payment of another loan")
    return before


def _same(before: Payment, new: NewPayment) -> Payment:
    facts = (new["amount_minor"], new["paid_on"], new.get("kind", "instalment"))
    if (before.amount_minor, before.paid_on, before.kind) != facts:
        raise IdempotencyConflictError(
            f"key {before.key!r} was used for a payment with another amount, day or kind"
        )
    return before


def _rows(planned: Sequence[Planned]) -> list[emis.NewEmi]:
    return [
        {
            "emi_number": each.number,
            "due_date": each.due_date,
            "principal_minor": each.principal_minor,
            "interest_minor": each.interest_minor,
        }
        for each in planned
    ]


def _terms_of(application: Application, approval: Approval) -> LoanTerms:
    """What was approved, and where that says nothing what was applied for."""
    rate_pct = approval["rate_pct"]
    method: Plan = approval["method"] if approval["emi_minor"] is None else "agreed"
    return LoanTerms(
        principal_minor=approval["approved_minor"],
        tenure_months=approval["tenure_months"] or application.tenure_months,
        rate_pct=application.rate_pct if rate_pct is None else rate_pct,
        method=method,
        starts_on=approval["starts_on"],
        emi_minor=approval["emi_minor"],
    )


def _terms(application: Application, principal_minor: int, starts_on: date) -> LoanTerms:
    return LoanTerms(
        principal_minor=principal_minor,
        tenure_months=application.tenure_months,
        rate_pct=application.rate_pct,
        method=application.method,
        starts_on=starts_on,
        emi_minor=application.emi_minor,
    )


def _is_as_approved(application: Application, terms: LoanTerms) -> bool:
    was = (application.approved_minor, application.tenure_months, application.rate_pct)
    return was == (terms.principal_minor, terms.tenure_months, terms.rate_pct) and (
        application.emi_minor == terms.emi_minor
    )


def _require_begun(application: Application, day: date) -> None:
    """Nobody paid for a loan before it began; one that begins later may be paid of ahead."""
    begun_on = min(application.starts_on or date.max, today(application.created_at))
    if day < begun_on:
        raise LoanRefusedError(f"nothing was paid on {day}: the loan began on {begun_on}")


def _require_undecided(application: Application) -> None:
    if application.status not in UNDECIDED:
        raise LoanRefusedError(f"the application is {application.status} already")


def _require_running(application: Application) -> None:
    if not application.is_running:
        raise LoanRefusedError(f"the application is {application.status}: there is nothing to pay")


async def _held(connection: Connection, application_id: int) -> Application:
    application = await lending.get_application(connection, application_id, is_locked=True)
    if application is None:
        raise NotFoundError(f"there is no finance application {application_id}")
    return application


async def _present(connection: Connection, application_id: int) -> Application:
    application = await lending.get_application(connection, application_id)
    assert application is not None
    return application
