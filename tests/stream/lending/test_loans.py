"""Loans over the real database: decisions, payments in any order, and a ledger that says the same."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from storage import ledger
from storage.database import Connection, Pool, fetch_value
from storage.errors import IdempotencyConflictError
from storage.queries import emi_payments, emis, lending, outbox
from storage.queries.emi_payments import Payment
from storage.queries.lending import Application
from stream.lending import loans
from stream.lending.allocation import quote
from stream.lending.loans import LoanRefusedError
from stream.lending.rules import TooLittleError
from stream.lending.terms import LendingTerms
from tests.storage.people import make_user

NOW = datetime(2025, 6, 30, 12, tzinfo=UTC)
START = date(2024, 1, 31)
TERMS = LendingTerms(penalty_pct=Decimal(24), foreclosure_fee_pct=Decimal(2))

_BALANCE = "SELECT coalesce(sum(balance_minor), 0)::bigint FROM accounts WHERE kind = %(kind)s"
_BATTERY = "INSERT INTO batteries (serial_number, dealer_id) VALUES (%(serial)s, %(dealer_id)s) RETURNING id"


@dataclass(frozen=True)
class Lender:
    """A dealer and a consumer; makes applications, each for a battery of its own."""

    connection: Connection
    dealer_id: int
    consumer_id: int

    async def apply(self, serial: str = "BAT001", **changes: Any) -> Application:
        facts = {"serial": serial, "dealer_id": self.dealer_id}
        battery_id = int(await fetch_value(self.connection, _BATTERY, facts))
        asked: dict[str, Any] = {
            "dealer_id": self.dealer_id,
            "consumer_id": self.consumer_id,
            "battery_id": battery_id,
            "amount_minor": 4_500_000,
            "tenure_months": 24,
            "rate_pct": Decimal("12.5"),
            "created_by": self.dealer_id,
            "now": NOW,
        }
        return await lending.insert_application(self.connection, **{**asked, **changes})

    async def lend(self, serial: str = "BAT001", **changes: Any) -> Application:
        application = await self.apply(serial, **changes)
        return await approve(self.connection, application)


@pytest.fixture
async def lender(connection: Connection) -> Lender:
    dealer_id = await make_user(connection, "Dealer", "ienerzy", "dealer")
    return Lender(connection, dealer_id, await make_user(connection, "Ram", "ienerzy", "consumer"))


async def approve(connection: Connection, application: Application, **changes: Any) -> Application:
    said: dict[str, Any] = {
        "approved_minor": application.amount_minor,
        "rate_pct": None,
        "tenure_months": None,
        "emi_minor": None,
        "starts_on": START,
        "method": "reducing",
        "decided_by": None,
        "now": NOW,
    }
    return await loans.approve(connection, application.id, **{**said, **changes})


async def pay(connection: Connection, application_id: int, key: str, **changes: Any) -> Payment:
    said: dict[str, Any] = {
        "key": key,
        "amount_minor": 212_883,
        "paid_on": date(2024, 2, 29),
        "kind": "instalment",
        "method": "cash",
        "reference": None,
        "recorded_by": None,
        "terms": TERMS,
        "now": NOW,
    }
    return await loans.record_payment(connection, application_id, **{**said, **changes})


async def state(connection: Connection, application_id: int) -> tuple[Any, ...]:
    """All that payments decide, without the times of writing."""
    found = await lending.get_application(connection, application_id)
    assert found is not None
    lines = await emis.emis_of(connection, application_id)
    paid = await emi_payments.payments_of(connection, application_id, limit=1_000)
    return (
        (found.status, found.is_foreclosed, found.excess_minor),
        (found.interest_minor, found.penalty_minor, found.fee_minor),
        [(each.paid_minor, each.penalty_minor, each.penalty_paid_minor, each.status) for each in lines],
        [each.paid_on for each in lines],
        {each.key: each.is_late for each in paid},
    )


async def assert_books_agree(connection: Connection, applications: Sequence[int]) -> None:
    """The ledger sums to zero, and the loan accounts are what is left of the principal, and the excess."""
    assert await ledger.trial_balance(connection) in ({"INR": 0}, {})
    expected = {"loan": 0, "interest": 0, "penalty": 0, "fee": 0}
    for application_id in applications:
        found = await lending.get_application(connection, application_id)
        assert found is not None
        loan = await loans.read(connection, found, TERMS)
        expected["loan"] += found.excess_minor - loan.book.principal_left_minor
        expected["interest"] += found.interest_minor
        expected["penalty"] += found.penalty_minor
        expected["fee"] += found.fee_minor
        assert found.interest_minor == loan.book.interest_paid_minor
        rows = await emis.emis_of(connection, application_id)
        assert [each.paid_minor for each in rows] == [line.paid_minor for line in loan.book.lines]
    for kind, balance_minor in expected.items():
        assert await fetch_value(connection, _BALANCE, {"kind": kind}) == balance_minor, kind


async def test_an_approval_makes_instalments_and_is_made_once(lender: Lender) -> None:
    db = lender.connection
    application = await lender.apply()
    with pytest.raises(LoanRefusedError, match="more cannot be approved"):
        await approve(db, application, approved_minor=4_500_001)
    with pytest.raises(TooLittleError):
        await approve(db, application, approved_minor=100)
    assert (await lending.get_application(db, application.id)) == application
    approved = await approve(db, application)
    assert (approved.status, approved.method, approved.approved_minor) == ("approved", "reducing", 4_500_000)
    rows = await emis.emis_of(db, application.id)
    assert [rows[0].due_date, rows[1].due_date] == [date(2024, 2, 29), date(2024, 3, 31)]
    assert (len(rows), rows[0].amount_minor, rows[0].status) == (24, 212_883, "pending")
    assert await approve(db, application) == approved
    with pytest.raises(LoanRefusedError, match="approved already"):
        await approve(db, application, approved_minor=4_000_000)
    with pytest.raises(LoanRefusedError, match="approved already"):
        await loans.reject(db, application.id, reason=None, decided_by=None, now=NOW)
    other = await lending.insert_application(
        db,
        dealer_id=lender.dealer_id,
        consumer_id=lender.consumer_id,
        battery_id=application.battery_id,
        amount_minor=100_000,
        tenure_months=2,
        rate_pct=None,
        created_by=None,
        now=NOW,
    )
    with pytest.raises(LoanRefusedError, match="BAT001 has a running loan"):
        await approve(db, other)
    rejected = await loans.reject(db, other.id, reason="no", decided_by=None, now=NOW)
    assert (rejected.status, rejected.decision_reason) == ("rejected", "no")
    assert await loans.reject(db, other.id, reason="again", decided_by=None, now=NOW) == rejected


async def test_what_the_nbfc_names_is_each_instalment(lender: Lender) -> None:
    application = await approve(lender.connection, await lender.apply(), emi_minor=187_500)
    rows = await emis.emis_of(lender.connection, application.id)
    assert (application.method, {each.amount_minor for each in rows}) == ("agreed", {187_500})
    assert sum(each.interest_minor for each in rows) == 0


async def test_a_disbursement_posts_the_principal_and_moves_the_dates(lender: Lender) -> None:
    db = lender.connection
    application = await lender.lend()
    paid_out: dict[str, Any] = {"disbursed_on": date(2024, 3, 10), "now": NOW}
    with pytest.raises(LoanRefusedError, match="more cannot be disbursed"):
        await loans.disburse(db, application.id, amount_minor=4_500_001, **paid_out)
    after = await loans.disburse(db, application.id, amount_minor=4_000_000, **paid_out)
    assert (after.status, after.disbursed_minor, after.starts_on) == (
        "disbursed",
        4_000_000,
        date(2024, 3, 10),
    )
    rows = await emis.emis_of(db, application.id)
    assert rows[0].due_date == date(2024, 4, 10)
    assert sum(each.principal_minor for each in rows) == 4_000_000
    assert await loans.disburse(db, application.id, amount_minor=None, **paid_out) == after
    assert await fetch_value(db, _BALANCE, {"kind": "loan"}) == -4_000_000
    await assert_books_agree(db, [application.id])


async def test_an_nbfc_may_lend_another_amount_after_all(lender: Lender) -> None:
    db = lender.connection
    application = await lender.apply()
    for amount_minor in (4_000_000, 4_500_000, 4_000_000, 4_500_000):
        await db.execute("UPDATE finance_applications SET status = 'submitted'")
        await approve(db, application, approved_minor=amount_minor)
        await loans.disburse(db, application.id, amount_minor=None, disbursed_on=START, now=NOW)
        assert await fetch_value(db, _BALANCE, {"kind": "loan"}) == -amount_minor
    await assert_books_agree(db, [application.id])


async def test_a_disbursement_after_a_payment_leaves_the_dates(lender: Lender) -> None:
    db = lender.connection
    application = await lender.lend()
    await pay(db, application.id, "early", amount_minor=1_000)
    paid_out: dict[str, Any] = {"disbursed_on": date(2024, 3, 10), "now": NOW}
    with pytest.raises(LoanRefusedError, match="disburse what was approved"):
        await loans.disburse(db, application.id, amount_minor=4_000_000, **paid_out)
    after = await loans.disburse(db, application.id, amount_minor=None, **paid_out)
    assert (after.status, after.starts_on) == ("disbursed", START)
    await assert_books_agree(db, [application.id])


async def test_a_payment_is_recorded_once_and_followed(lender: Lender) -> None:
    db = lender.connection
    application = await lender.lend()
    first = await pay(db, application.id, "first")
    before = await state(db, application.id)
    assert await pay(db, application.id, "first") == first
    assert await state(db, application.id) == before
    assert (first.amount_minor, first.is_late, first.dealer_id) == (212_883, False, lender.dealer_id)
    assert before[2][0] == (212_883, 0, 0, "paid")
    tasks = await outbox.claim_due(db, datetime(2100, 1, 1, tzinfo=UTC), 10)
    assert [(each.kind, each.payload) for each in tasks] == [
        ("follow_lock", {"application_id": application.id})
    ]
    for changed in ({"amount_minor": 1}, {"paid_on": date(2024, 2, 1)}, {"kind": "foreclosure"}):
        with pytest.raises(IdempotencyConflictError):
            await pay(db, application.id, "first", **changed)
    other = await lender.lend("BAT002")
    with pytest.raises(IdempotencyConflictError):
        await pay(db, other.id, "first")
    pending = await lender.apply("BAT003")
    with pytest.raises(LoanRefusedError, match="nothing to pay"):
        await pay(db, pending.id, "none")
    await assert_books_agree(db, [application.id])  # nothing was lent on the others yet


async def test_a_key_that_ends_like_one_of_ours_is_a_key_like_any_other(lender: Lender) -> None:
    loan = await lender.lend()
    for key in ("a", "a:interest", "b:interest", "b"):
        await pay(lender.connection, loan.id, key)
    assert len(await emi_payments.payments_of(lender.connection, loan.id, limit=10)) == 4


async def test_an_earlier_payment_that_becomes_known_late_gives_a_penalty_back(lender: Lender) -> None:
    db = lender.connection
    application = await lender.lend()
    late = await pay(db, application.id, "late", paid_on=date(2024, 3, 30), amount_minor=300_000)
    assert late.is_late
    before = await lending.get_application(db, application.id)
    assert before is not None
    assert before.penalty_minor == 4_199  # 2128.83 for 30 days at 24 %
    await pay(db, application.id, "known later", paid_on=date(2024, 2, 28))
    after = await lending.get_application(db, application.id)
    assert after is not None
    assert (after.penalty_minor, after.excess_minor) == (0, 0)
    changed = await emi_payments.find_payment(db, "late")
    assert changed is not None
    assert not changed.is_late
    await assert_books_agree(db, [application.id])


async def test_what_lateness_costs_is_fixed_with_the_first_payment(lender: Lender) -> None:
    db = lender.connection
    application = await lender.lend()
    await pay(db, application.id, "a", paid_on=date(2024, 3, 30), amount_minor=300_000)
    before = await state(db, application.id)
    dear = LendingTerms(penalty_pct=Decimal(90))
    await pay(db, application.id, "b", paid_on=date(2024, 3, 30), amount_minor=1, terms=dear)
    assert (await state(db, application.id))[1][1] == before[1][1]


async def test_a_foreclosure_ends_the_loan(lender: Lender) -> None:
    db = lender.connection
    application = await lender.lend()
    await pay(db, application.id, "first")
    loan = await loans.read(db, application, TERMS)
    total = quote(loan.book, date(2024, 3, 15), loan.charges).total_minor
    said: dict[str, Any] = {
        "paid_on": date(2024, 3, 15),
        "method": "upi",
        "reference": "UTR1",
        "recorded_by": lender.dealer_id,
        "terms": TERMS,
        "now": NOW,
    }
    with pytest.raises(LoanRefusedError, match="is too little"):
        await loans.foreclose(db, application.id, key="end", amount_minor=total - 1, **said)
    ended = await loans.foreclose(db, application.id, key="end", amount_minor=None, **said)
    again = await loans.foreclose(db, application.id, key="end", amount_minor=None, **said)
    assert again == ended
    assert (ended.kind, ended.amount_minor) == ("foreclosure", total)
    after = await lending.get_application(db, application.id)
    assert after is not None
    assert (after.status, after.is_foreclosed, after.excess_minor) == ("closed", True, 0)
    assert after.fee_minor == round(Decimal(loan.book.principal_left_minor) * 2 / 100)
    assert {each.status for each in (await emis.emis_of(db, application.id))[1:]} == {"cancelled"}
    with pytest.raises(LoanRefusedError, match="is closed"):
        await loans.foreclose(db, application.id, key="twice", amount_minor=None, **said)
    await pay(db, application.id, "after the end", amount_minor=500, paid_on=date(2024, 4, 1))
    kept = await lending.get_application(db, application.id)
    assert kept is not None
    assert (kept.status, kept.excess_minor) == ("closed", 500)
    assert await fetch_value(db, _BALANCE, {"kind": "loan"}) == 500
    await assert_books_agree(db, [application.id])
    battery_free_again = await lending.running_loan(db, application.battery_id)
    assert battery_free_again is None


async def test_any_order_and_repetition_gives_the_same_state(lender: Lender) -> None:
    """A set of payments of three loans each, in other orders and with repeats; the books agree after each."""
    db, random = lender.connection, Random(6)
    for example in range(10):
        small = {"amount_minor": random.randint(60_000, 500_000), "tenure_months": random.randint(1, 6)}
        payments = [
            {
                "key": f"{number}",
                "amount_minor": random.choice((random.randint(1, 200_000), 90_000)),
                "paid_on": START + timedelta(days=random.randint(0, 250)),
                "kind": random.choice(("instalment", "instalment", "foreclosure")),
            }
            for number in range(random.randint(1, 6))
        ]
        states: list[Any] = []
        made: list[int] = []
        for order in range(2):
            application = await lender.lend(f"B{example}-{order}", **small)
            made.append(application.id)
            arriving = [*payments, *payments[: random.randint(0, 3)]]
            random.shuffle(arriving)
            for each in arriving:
                facts: dict[str, Any] = {**each, "key": f"{application.id}/{each['key']}"}
                await pay(db, application.id, **facts)
            found = await state(db, application.id)
            late = {key.split("/")[1]: is_late for key, is_late in found[4].items()}
            states.append((*found[:4], late))
        assert states[0] == states[1]
    await assert_books_agree(db, list(range(1, made[-1] + 1)))


async def test_fifty_payments_at_the_same_time(pool: Pool) -> None:
    """Of two loans of one consumer, each payment sent twice: each counts once, and nothing deadlocks."""
    async with pool.connection() as db:
        dealer_id = await make_user(db, "Dealer", "ienerzy", "dealer")
        lender = Lender(db, dealer_id, await make_user(db, "Ram", "ienerzy", "consumer"))
        ids = [(await lender.lend(f"B{number}", tenure_months=6)).id for number in range(2)]

    async def send(number: int) -> Payment:
        async with pool.connection() as db:
            day = START + timedelta(days=number)
            return await pay(db, ids[number % 2], f"{number}", amount_minor=100_000 + number, paid_on=day)

    sent = await asyncio.gather(*(send(number % 25) for number in range(50)))
    assert len({payment.id for payment in sent}) == 25
    async with pool.connection() as db:
        await assert_books_agree(db, ids)
        paid_minor = sum(100_000 + number for number in range(25))
        assert await fetch_value(db, _BALANCE, {"kind": "funding"}) == -paid_minor


async def test_who_is_overdue(lender: Lender) -> None:
    db = lender.connection
    application = await lender.lend()
    fresh = await lender.lend("BAT002")
    today = date(2024, 4, 5)
    await pay(db, application.id, "part", amount_minor=100_000)
    await pay(db, fresh.id, "all so far", amount_minor=2 * 212_883)
    rows = await lending.list_overdue(db, today=today, limit=10)
    assert [(each.emi_number, each.open_minor, each.overdue_days) for each in rows] == [
        (1, 112_883, 36),
        (2, 212_883, 5),
    ]
    assert (rows[0].consumer_name, rows[0].battery_serial, rows[0].loan_minor) == ("Ram", "BAT001", 4_500_000)
    totals = await lending.overdue_totals(db, today=today, dealer_id=lender.dealer_id)
    assert (totals.count, totals.open_minor) == (2, 325_766)
    assert (await lending.overdue_totals(db, today=today, dealer_id=lender.consumer_id)).count == 0
    due_today = await lending.list_overdue(db, today=date(2024, 2, 29), limit=10)
    assert due_today == []
