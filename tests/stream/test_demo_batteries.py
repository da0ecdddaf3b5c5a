"""What `gridwire up` makes of simulated batteries: in both families, once."""

from datetime import UTC, datetime
from decimal import Decimal

from storage import demo
from storage.database import Connection, fetch_value
from storage.queries import lending
from stream.demo_batteries import OVERDUE_LOANS, DemoFleet, register_families
from stream.lending.terms import LendingTerms

NOW = datetime(2026, 5, 31, 6, tzinfo=UTC)
SERIALS = [f"SIM-BAT-{number:04}" for number in range(1, 61)]
COUNTS = (
    "SELECT count(*) FROM batteries WHERE owner_id IS NOT NULL",
    "SELECT count(*) FROM finance_applications WHERE status = 'disbursed'",
    "SELECT count(*) FROM emi_payments",
    "SELECT count(*) FROM serial_numbers WHERE status = 'allocated'",
    "SELECT count(*) FROM serial_numbers",
    "SELECT count(*) FROM technicians",
    "SELECT count(*) FROM users WHERE system = 'lithovolt'",
)


async def test_a_fleet_has_people_loans_and_stock_and_a_second_start_changes_nothing(
    connection: Connection,
) -> None:
    accounts = await demo.register_accounts(connection, "hash", "+919876543210")
    await demo.register_batteries(connection, SERIALS, accounts.dealer.id)
    fleet = DemoFleet(SERIALS, accounts.dealer)
    for _ in range(2):
        await register_families(connection, fleet, "hash", LendingTerms(), NOW)
        assert [await fetch_value(connection, count, {}) for count in COUNTS] == [20, 10, 30, 50, 60, 2, 3]
    overdue = await lending.list_overdue(
        connection, today=NOW.date(), dealer_id=accounts.dealer.id, consumer_id=None, limit=10
    )
    assert len(overdue) == OVERDUE_LOANS
    assert await fetch_value(connection, "SELECT sum(balance_minor) FROM accounts", {}) == Decimal(0)
