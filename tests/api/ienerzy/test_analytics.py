"""Ienerzy's analytics and portfolios (IE-023, IE-032 to IE-036): who reads them, formats, days, zeros."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ienerzy.figure_text import days_text, percent_text, rupees, tenth
from storage.database import Pool
from storage.queries import battery_health
from storage.queries.battery_health import BatteryHealth
from tests.api.helpers import Clock, Person
from tests.api.ienerzy.figures_world import (
    AlarmFact,
    ApplicationFact,
    BatteryFact,
    ConsumerFact,
    Facts,
    HealthFact,
    InstalmentFact,
    PaymentFact,
    TicketFact,
    day_of,
    store,
)

PATHS = (
    "/analytics/dealer-dashboard",
    "/analytics/nbfc-portfolio",
    "/analytics/collection-report",
    "/analytics/battery-health",
    "/analytics/service-metrics",
    "/nbfc/portfolio",
)
TECHNICIAN_ID = 900
AFTER_MIDNIGHT = timedelta(hours=18, minutes=40)  # UTC: ten minutes into the next day in India


@pytest.fixture
def clock() -> Clock:
    """Ten minutes into a day of Kolkata, which is still the day before in UTC."""
    clock = Clock()
    today = clock.moment().replace(hour=0, minute=0, second=0, microsecond=0)
    clock.now_us = int((today + AFTER_MIDNIGHT).timestamp() * 1_000_000)
    return clock


@pytest.fixture
def read(api: httpx.AsyncClient) -> Callable[..., Any]:
    async def read(person: Person | None, path: str, status: int = 200, **query: Any) -> Any:
        headers = {} if person is None else person.headers
        answer = await api.get(f"/api{path}", params=query, headers=headers)
        assert answer.status_code == status, (path, answer.text)
        return answer.json()

    return read


async def test_dealers_and_admins_read_figures(
    read: Callable[..., Any], dealer: Person, admin: Person, consumer: Person, technician: Person
) -> None:
    for path in PATHS:
        await read(None, path, 401)
        for person, status in ((dealer, 200), (admin, 200), (consumer, 403), (technician, 403)):
            await read(person, path, status)
        for unreadable in ("x", "0", "-1", str(2**63)):
            await read(admin, path, 400, dealer_id=unreadable)
    for person, status in ((dealer, 200), (consumer, 200), (technician, 403)):
        await read(person, "/batteries/health-report", status)


async def test_nothing_is_a_figure_too(read: Callable[..., Any], dealer: Person) -> None:
    dashboard = await read(dealer, "/analytics/dealer-dashboard")
    assert dashboard["consumer_metrics"] == dict.fromkeys(
        ("total_consumers", "verified_consumers", "pending_consumers"), 0
    )
    assert dashboard["battery_metrics"]["avg_health_score"] == 0
    assert dashboard["service_metrics"]["avg_resolution_time"] == "0.0 days"
    portfolio = await read(dealer, "/analytics/nbfc-portfolio")
    assert portfolio == {
        "portfolio_summary": {
            "total_applications": 0, "approval_rate": "0.0%", "disbursement_rate": "0.0%",
            "total_disbursed": 0, "avg_loan_amount": 0,
        },
        "monthly_trends": [],
        "risk_metrics": {
            "overdue_rate": "0.0%", "collection_efficiency": "0.0%", "avg_credit_score": None,
        },
    }  # fmt: skip
    nbfc = await read(dealer, "/nbfc/portfolio")
    assert nbfc["portfolio_health"] == {"approval_rate": "0.0", "disbursement_rate": "0.0"}
    assert nbfc["portfolio_summary"]["avg_interest_rate"] == 0
    report = await read(dealer, "/analytics/collection-report")
    assert report["collection_summary"]["collection_rate"] == "0.0%"
    assert report["daily_collections"] == []
    assert report["overdue_analysis"] == {
        "1-7_days": 0, "8-15_days": 0, "15+_days": 0, "total_overdue": 0,
    }  # fmt: skip
    fleet = await read(dealer, "/analytics/battery-health")
    none = {"count": 0, "percentage": "0.0%", "avg_health": 0}
    assert fleet["fleet_health"] == dict.fromkeys(("excellent", "good", "fair", "poor"), none)
    assert fleet["predictive_maintenance"] == {
        "batteries_needing_service": 0, "estimated_service_cost": 0, "risk_batteries": 0,
    }  # fmt: skip
    service = await read(dealer, "/analytics/service-metrics")
    assert service["resolution_times"] == {
        "avg_resolution_time": "0.0 days", "fastest_resolution": "0.0 days",
        "slowest_resolution": "0.0 days", "sla_compliance": "0.0%",
    }  # fmt: skip
    assert service["issue_categories"] == dict.fromkeys(
        ("performance", "charging", "mechanical", "electrical", "other"), 0
    )
    assert service["technician_performance"] == []


def a_loan(number: int, dealer_id: int, **facts: Any) -> ApplicationFact:
    known: dict[str, Any] = {
        "status": "disbursed",
        "consumer_id": 501,
        "amount_minor": 45_000_00,
        "tenure_months": 24,
        "rate_pct": Decimal("12.5"),
        "approved_minor": 45_000_00,
    }
    return ApplicationFact(id=number, dealer_id=dealer_id, battery_id=number, **(known | facts))


def a_ticket(dealer_id: int, battery_id: int, created_at: datetime, **facts: Any) -> TicketFact:
    known: dict[str, Any] = {
        "category": "performance",
        "status": "open",
        "technician_id": None,
        "sla_due_at": created_at + timedelta(days=2),
        "resolved_at": None,
        "parts_cost_minor": None,
        "labor_hours": None,
        "satisfaction": None,
    }
    return TicketFact(dealer_id=dealer_id, battery_id=battery_id, created_at=created_at, **(known | facts))


def small_facts(now: datetime, dealer_id: int) -> Facts:
    """Three loans, four batteries, three tickets; all that follows can be worked out on paper."""
    facts = Facts(now, technicians={TECHNICIAN_ID: "Tech One"})
    today = facts.today
    facts.consumers = [
        ConsumerFact(501, dealer_id, "verified", 720, False),
        ConsumerFact(502, dealer_id, "pending", None, False),
    ]
    for number, score in enumerate(("95.2", "74.9", "50", "39.9"), 1):
        facts.batteries.append(BatteryFact(number, dealer_id, 501, "active", Decimal(score)))
    made = datetime(2024, 1, 31, 18, 29, 59, tzinfo=UTC)  # January in India, for one more second
    paid = a_loan(1, dealer_id, created_at=made, decided_at=made + timedelta(seconds=2))
    paid.disbursed_on, paid.disbursed_minor = date(2024, 3, 1), 45_000_00
    for number, (days, paid_minor) in enumerate(
        ((16, 1875_00), (15, 0), (8, 0), (7, 500_00), (1, 0), (0, 0)), 1
    ):
        due = InstalmentFact(number, today - timedelta(days), 1875_00, 0, paid_minor)
        if paid_minor == 1875_00:
            due.status, due.paid_on = "paid", today - timedelta(20)
        paid.instalments.append(due)
    refused = a_loan(2, dealer_id, created_at=made, decided_at=made, status="rejected", approved_minor=None)
    waiting = a_loan(3, dealer_id, created_at=made, status="pending", approved_minor=None)
    facts.applications = [paid, refused, waiting]
    facts.payments = [
        PaymentFact(1, dealer_id, 1875_00, today - timedelta(20), "instalment", False),
        PaymentFact(1, dealer_id, 500_01, today, "instalment", True),
    ]
    facts.tickets = [
        a_ticket(dealer_id, 1, made),
        a_ticket(
            dealer_id, 1, made + timedelta(seconds=1), status="resolved", technician_id=TECHNICIAN_ID,
            resolved_at=made + timedelta(days=2, seconds=1), parts_cost_minor=100_00,
            labor_hours=Decimal("1.5"), satisfaction=4,
        ),
        a_ticket(
            dealer_id, 2, made, status="resolved", technician_id=TECHNICIAN_ID, category="other",
            resolved_at=made + timedelta(days=3), labor_hours=Decimal("0.01"), satisfaction=5,
        ),
    ]  # fmt: skip
    facts.alarms = [
        AlarmFact(1, "over_temperature", "critical", made, None),
        AlarmFact(2, "over_temperature", "critical", made, made),
        AlarmFact(3, "deep_discharge", "warning", made, None),
    ]
    facts.health = [
        HealthFact(1, date(2023, 12, 1), Decimal("90")),
        HealthFact(1, date(2023, 12, 31), Decimal("85.1")),
    ]
    return facts


async def test_each_answer_has_the_documented_form(
    read: Callable[..., Any], pool: Pool, clock: Clock, dealer: Person, other_dealer: Person, admin: Person
) -> None:
    async with pool.connection() as db:
        await store(db, small_facts(clock.moment(), dealer.id))

    async def written(path: str) -> str:
        """As JSON, where 45000 and 45000.0 differ; the same for an admin who asks for this dealer."""
        found = await read(dealer, path)
        assert found == await read(admin, path, dealer_id=dealer.id) == await read(admin, path)
        assert found == await read(dealer, path, dealer_id=other_dealer.id)
        return json.dumps(found)

    assert await written("/analytics/dealer-dashboard") == json.dumps({
        "consumer_metrics": {"total_consumers": 2, "verified_consumers": 1, "pending_consumers": 1},
        "battery_metrics": {
            "total_batteries": 4, "active_batteries": 4, "maintenance_batteries": 0, "avg_health_score": 65,
        },
        "finance_metrics": {
            "total_applications": 3, "approved_applications": 1, "disbursed_applications": 1,
            "total_disbursed": 45000,
        },
        "service_metrics": {"total_tickets": 3, "resolved_tickets": 2, "avg_resolution_time": "2.5 days"},
    })  # fmt: skip
    assert await written("/nbfc/portfolio") == json.dumps({
        "portfolio_summary": {
            "total_applications": 3, "approved_count": 1, "disbursed_count": 1, "rejected_count": 1,
            "total_disbursed": 45000, "avg_interest_rate": 12.5,
        },
        "monthly_trend": [
            {"month": "2024-03-01", "applications": 0, "amount_disbursed": 45000},
            {"month": "2024-02-01", "applications": 0, "amount_disbursed": 0},
            {"month": "2024-01-01", "applications": 3, "amount_disbursed": 0},
        ],
        "portfolio_health": {"approval_rate": "33.3", "disbursement_rate": "33.3"},
    })  # fmt: skip
    assert await written("/analytics/nbfc-portfolio") == json.dumps({
        "portfolio_summary": {
            "total_applications": 3, "approval_rate": "33.3%", "disbursement_rate": "33.3%",
            "total_disbursed": 45000, "avg_loan_amount": 15000,
        },
        "monthly_trends": [
            {"month": "2024-03", "applications": 0, "approvals": 0, "disbursements": 1, "amount": 45000},
            {"month": "2024-02", "applications": 0, "approvals": 1, "disbursements": 0, "amount": 0},
            {"month": "2024-01", "applications": 3, "approvals": 0, "disbursements": 0, "amount": 0},
        ],
        "risk_metrics": {
            "overdue_rate": "80.0%", "collection_efficiency": "20.0%", "avg_credit_score": 720,
        },
    })  # fmt: skip
    today = day_of(clock.moment())
    assert await written("/analytics/collection-report") == json.dumps({
        "collection_summary": {
            "total_emi_due": 5, "collected_emi": 1, "overdue_emi": 4, "collection_rate": "20.0%",
            "total_amount_due": 9375, "amount_collected": 2375,
        },
        "daily_collections": [
            {"date": f"{today}", "collections": 1, "amount": 500.01, "overdue_collections": 1},
            {"date": f"{today - timedelta(20)}", "collections": 1, "amount": 1875, "overdue_collections": 0},
        ],
        "overdue_analysis": {"1-7_days": 2, "8-15_days": 2, "15+_days": 0, "total_overdue": 4},
    })  # fmt: skip
    assert await written("/analytics/battery-health") == json.dumps({
        "fleet_health": {
            "excellent": {"count": 1, "percentage": "25.0%", "avg_health": 95.2},
            "good": {"count": 0, "percentage": "0.0%", "avg_health": 0},
            "fair": {"count": 2, "percentage": "50.0%", "avg_health": 62.5},
            "poor": {"count": 1, "percentage": "25.0%", "avg_health": 39.9},
        },
        "health_trends": [
            {"month": "2024-02", "avg_health": None, "maintenance_count": 1},
            {"month": "2024-01", "avg_health": None, "maintenance_count": 2},
            {"month": "2023-12", "avg_health": 87.6, "maintenance_count": 0},
        ],
        "predictive_maintenance": {
            # parts 100 and 1.5 hours, and 0.01 hours, of 300 each: 276.5 a service
            "batteries_needing_service": 3, "estimated_service_cost": 829.5, "risk_batteries": 2,
        },
    })  # fmt: skip
    assert await written("/analytics/service-metrics") == json.dumps({
        "ticket_metrics": {
            "total_tickets": 3, "open_tickets": 1, "assigned_tickets": 0, "in_progress_tickets": 0,
            "resolved_tickets": 2,
        },
        "resolution_times": {
            "avg_resolution_time": "2.5 days", "fastest_resolution": "2.0 days",
            "slowest_resolution": "3.0 days", "sla_compliance": "50.0%",
        },
        "technician_performance": [{
            "technician_id": TECHNICIAN_ID, "name": "Tech One", "tickets_resolved": 2,
            "avg_resolution_time": "2.5 days", "customer_satisfaction": 4.5,
        }],
        "issue_categories": {"performance": 2, "charging": 0, "mechanical": 0, "electrical": 0, "other": 1},
    })  # fmt: skip
    for path in PATHS:
        strangers = await read(other_dealer, path)
        assert strangers == await read(admin, path, dealer_id=other_dealer.id)
        assert "45000" not in json.dumps(strangers)


async def test_a_period_has_both_its_days(
    read: Callable[..., Any], pool: Pool, clock: Clock, dealer: Person
) -> None:
    async with pool.connection() as db:
        await store(db, small_facts(clock.moment(), dealer.id))
    path, today = "/analytics/collection-report", day_of(clock.moment())

    async def due_and_days(**query: date) -> tuple[int, int, int]:
        found = await read(dealer, path, **{name: day.isoformat() for name, day in query.items()})
        counts = found["collection_summary"]
        assert found["overdue_analysis"]["total_overdue"] == counts["overdue_emi"]
        return counts["total_emi_due"], counts["overdue_emi"], len(found["daily_collections"])

    days = {back: today - timedelta(back) for back in (0, 1, 7, 8, 15, 16, 20, 21)}
    assert await due_and_days(start_date=days[15], end_date=days[7]) == (3, 3, 0)
    assert await due_and_days(start_date=days[16]) == (5, 4, 1)
    assert await due_and_days(end_date=days[16]) == (1, 0, 1)
    assert await due_and_days(end_date=days[20]) == (0, 0, 1)
    assert await due_and_days(end_date=days[21]) == (0, 0, 0)
    assert await due_and_days(start_date=days[0], end_date=days[0]) == (0, 0, 1)
    assert await due_and_days(start_date=days[1], end_date=date(9999, 12, 31)) == (1, 1, 1)
    for query in (
        {"start_date": f"{today}", "end_date": f"{today - timedelta(1)}"},
        {"start_date": "2024-02-30"},
        {"end_date": "15.01.2024"},
        {"end_date": "1705276800"},
        {"start_date": ""},
        {"start_date": "2024-W01-1"},
        {"start_date": "2024-01-15T10:30:00"},
    ):
        refused = await read(dealer, path, 400, **query)
        assert refused["error"]


async def test_months_of_health_follow_each_assessment(
    read: Callable[..., Any], pool: Pool, clock: Clock, dealer: Person
) -> None:
    facts = Facts(clock.moment(), batteries=[BatteryFact(1, dealer.id, None, "active", Decimal(80))])

    async def assess(day: date, score: Decimal | None) -> Any:
        row = BatteryHealth(
            day=day, assessed_at=facts.now, since=facts.now, until=facts.now, samples=1, health_score=score,
            known=1.0, penalty=0.0, capacity_ah=None, soh_capacity_pct=None, resistance_ohm=None,
            soh_resistance_pct=None, reported_soh_pct=None, imbalance_mv=None, weakest_cell=None,
            full_cycles=0.0, cycle_depths=[], anomaly_score=None, figures={}, parts=[],
        )  # fmt: skip
        async with pool.connection() as db:
            await battery_health.put_health(db, 1, row)
        shown = await read(dealer, "/analytics/battery-health")
        return [(each["month"], each["avg_health"]) for each in shown["health_trends"]]

    async with pool.connection() as db:
        await store(db, facts)
    assert await assess(date(2024, 1, 1), None) == []
    assert await assess(date(2024, 1, 1), Decimal(80)) == [("2024-01", 80)]
    assert await assess(date(2024, 1, 31), Decimal("70.5")) == [("2024-01", 75.3)]
    assert await assess(date(2024, 2, 1), Decimal(60)) == [("2024-02", 60), ("2024-01", 75.3)]
    assert await assess(date(2024, 1, 1), Decimal(90)) == [("2024-02", 60), ("2024-01", 80.3)]
    assert await assess(date(2024, 2, 1), None) == [("2024-01", 80.3)]


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_shares_are_rounded_half_up(part: int, rest: int) -> None:
    whole = part + rest
    tenths = floor(Fraction(1000 * part, whole) + Fraction(1, 2)) if whole else 0
    assert percent_text(part, whole) == f"{tenths // 10}.{tenths % 10}%"


@given(st.decimals(0, 10**9, places=6))
def test_numbers_are_rounded_half_up(number: Decimal) -> None:
    assert Fraction(tenth(number)) == Fraction(floor(Fraction(number) * 10 + Fraction(1, 2)), 10)
    assert Fraction(str(rupees(number))) == Fraction(floor(Fraction(number) + Fraction(1, 2)), 100)
    tenths = floor(Fraction(number) / 8640 + Fraction(1, 2))
    assert days_text(number) == f"{tenths // 10}.{tenths % 10} days"
