"""All figures of 10,000 consumers, recomputed without the database; and that the reports agree."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from storage.database import Pool
from tests.api.helpers import Clock, Codes, Person, ienerzy_person
from tests.api.ienerzy.figures_expected import Expected
from tests.api.ienerzy.figures_world import Facts, make_facts, store

SEED = 20_260
WHOLE = {
    "/analytics/dealer-dashboard": Expected.dashboard,
    "/batteries/health-report": Expected.health_report,
    "/nbfc/portfolio": Expected.nbfc_portfolio,
    "/analytics/nbfc-portfolio": Expected.portfolio,
    "/analytics/collection-report": Expected.collections,
    "/finance/collection-report": Expected.finance_collections,
    "/analytics/battery-health": Expected.fleet,
    "/analytics/service-metrics": Expected.service,
}
OF_A_PERIOD = {
    "/analytics/collection-report": Expected.collections,
    "/finance/collection-report": Expected.finance_collections,
}


class Reader:
    """Reads figures as one person."""

    def __init__(self, api: httpx.AsyncClient, person: Person) -> None:
        self.api = api
        self.person = person

    async def __call__(self, path: str, **query: Any) -> Any:
        answer = await self.api.get(f"/api{path}", params=query, headers=self.person.headers)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()


@pytest.fixture
async def small_dealer(api: httpx.AsyncClient, pool: Pool, codes: Codes) -> Person:
    return await ienerzy_person(api, pool, codes, "dealer", "+919876543213")


async def test_the_figures_of_10_000_consumers(
    api: httpx.AsyncClient,
    pool: Pool,
    clock: Clock,
    dealer: Person,
    other_dealer: Person,
    small_dealer: Person,
    admin: Person,
) -> None:
    dealers = (dealer, other_dealer, small_dealer)
    facts = make_facts(SEED, clock.moment(), [each.id for each in dealers])
    assert len(facts.consumers) == 10_000
    async with pool.connection() as db:
        await store(db, facts)
    sums = [await read_all(Reader(api, person), facts, person.id) for person in dealers]
    of_all = await read_all(Reader(api, admin), facts, None)
    all_dealers_add_up(sums, of_all)
    expected = Expected(facts, small_dealer.id)
    one = await Reader(api, admin)("/analytics/collection-report", dealer_id=small_dealer.id)
    assert one == expected.collections()


async def read_all(read: Reader, facts: Facts, dealer_id: int | None) -> dict[str, Any]:
    """Compare everything that this person sees with what follows from the facts."""
    expected = Expected(facts, dealer_id)
    found = {path: await read(path) for path in WHOLE}
    for path, figures in found.items():
        assert figures == WHOLE[path](expected), path
    overdue = await read("/finance/overdue")
    listed = overdue.pop("overdue_accounts")
    assert {**overdue, "days": Counter(each["overdue_days"] for each in listed)} == expected.overdue()
    assert overdue["total_overdue"] > 100
    for days in periods(facts.today):
        query = {name: day.isoformat() for name, day in zip(("start_date", "end_date"), days, strict=True)}
        for path, work_out in OF_A_PERIOD.items():
            assert await read(path, **query) == work_out(expected, *days), (path, days)
    reports_agree(found, overdue)
    return found


def periods(today: date) -> list[tuple[date, date]]:
    week = timedelta(days=7)
    return [(today - 10 * week, today - 3 * week), (today - week, today + week), (today, today)]


def reports_agree(found: dict[str, Any], overdue: dict[str, Any]) -> None:
    """The same fact has the same figure wherever it is shown."""
    dashboard, fleet, metrics = (
        found[f"/analytics/{name}"] for name in ("dealer-dashboard", "battery-health", "service-metrics")
    )
    health, nbfc, portfolio = (
        found[path] for path in ("/batteries/health-report", "/nbfc/portfolio", "/analytics/nbfc-portfolio")
    )
    report, days = found["/analytics/collection-report"], found["/finance/collection-report"]
    batteries_agree(dashboard, fleet, health)
    loans_agree(dashboard, nbfc, portfolio)
    collections_agree(report, days, portfolio, overdue)
    tickets = metrics["ticket_metrics"]
    assert dashboard["service_metrics"]["total_tickets"] == tickets["total_tickets"]
    assert dashboard["service_metrics"]["resolved_tickets"] == tickets["resolved_tickets"]
    times = metrics["resolution_times"]
    assert dashboard["service_metrics"]["avg_resolution_time"] == times["avg_resolution_time"]
    assert sum(metrics["issue_categories"].values()) == tickets["total_tickets"]
    by_status = sum(value for key, value in tickets.items() if key != "total_tickets")
    assert by_status == tickets["total_tickets"]
    by_technician = sum(each["tickets_resolved"] for each in metrics["technician_performance"])
    assert 0.9 * tickets["resolved_tickets"] < by_technician <= tickets["resolved_tickets"]


def batteries_agree(dashboard: Any, fleet: Any, health: Any) -> None:
    total = dashboard["battery_metrics"]["total_batteries"]
    assert total == health["total_batteries"]
    assert total == sum(each["count"] for each in health["fleet_health"].values())
    assert total == sum(each["count"] for each in fleet["fleet_health"].values())
    assert dashboard["battery_metrics"]["active_batteries"] == health["fleet_health"]["active"]["count"]
    assert dashboard["battery_metrics"]["avg_health_score"] == health["overall_health_score"]
    needs = fleet["predictive_maintenance"]
    assert needs["risk_batteries"] <= needs["batteries_needing_service"] <= total


def loans_agree(dashboard: Any, nbfc: Any, portfolio: Any) -> None:
    finance, counts, summary = (
        dashboard["finance_metrics"], nbfc["portfolio_summary"], portfolio["portfolio_summary"],
    )  # fmt: skip
    assert finance["total_applications"] == counts["total_applications"] == summary["total_applications"]
    assert finance["approved_applications"] == counts["approved_count"]
    assert finance["disbursed_applications"] == counts["disbursed_count"]
    assert finance["total_disbursed"] == counts["total_disbursed"] == summary["total_disbursed"]
    assert summary["approval_rate"] == nbfc["portfolio_health"]["approval_rate"] + "%"
    assert summary["disbursement_rate"] == nbfc["portfolio_health"]["disbursement_rate"] + "%"
    short = [
        (each["month"] + "-01", each["applications"], each["amount"]) for each in portfolio["monthly_trends"]
    ]
    assert short == [tuple(each.values()) for each in nbfc["monthly_trend"]]


def collections_agree(report: Any, days: Any, portfolio: Any, overdue: Any) -> None:
    summary, late, risk = (
        report["collection_summary"], report["overdue_analysis"], portfolio["risk_metrics"],
    )  # fmt: skip
    assert summary["collected_emi"] + summary["overdue_emi"] == summary["total_emi_due"]
    assert late["1-7_days"] + late["8-15_days"] + late["15+_days"] == late["total_overdue"]
    assert late["total_overdue"] == summary["overdue_emi"] == overdue["total_overdue"]
    owed = summary["total_amount_due"] - summary["amount_collected"]
    assert round(owed, 2) == overdue["total_overdue_amount"]
    assert risk["collection_efficiency"] == summary["collection_rate"]
    rates = [float(risk[name].removesuffix("%")) for name in ("overdue_rate", "collection_efficiency")]
    assert round(sum(rates), 1) == 100.0
    by_day = [(each["date"], each["collections"], each["amount"]) for each in report["daily_collections"]]
    listed = days["collection_report"]
    assert by_day == [
        (each["collection_date"], each["collections_count"], each["total_collected"]) for each in listed
    ]
    assert sum(count for _, count, _ in by_day) == days["summary"]["total_collections"]
    assert round(sum(amount for _, _, amount in by_day), 2) == days["summary"]["total_amount_collected"]


def all_dealers_add_up(sums: list[dict[str, Any]], of_all: dict[str, Any]) -> None:
    """What is counted of each dealer is what is counted of all; nobody's batteries only an admin sees."""

    def total(path: str, *keys: str) -> tuple[float, float]:
        def value(figures: Any) -> float:
            for key in keys:
                figures = figures[key]
            return float(figures)

        return round(sum(value(each[path]) for each in sums), 2), value(of_all[path])

    for path, *keys in (
        ("/analytics/dealer-dashboard", "consumer_metrics", "total_consumers"),
        ("/analytics/dealer-dashboard", "finance_metrics", "total_disbursed"),
        ("/analytics/dealer-dashboard", "service_metrics", "resolved_tickets"),
        ("/analytics/collection-report", "collection_summary", "total_emi_due"),
        ("/analytics/collection-report", "collection_summary", "amount_collected"),
        ("/analytics/collection-report", "overdue_analysis", "15+_days"),
        ("/nbfc/portfolio", "portfolio_summary", "rejected_count"),
    ):
        added, whole = total(path, *keys)
        assert added == whole > 0, (path, keys)
    added, whole = total("/batteries/health-report", "total_batteries")
    assert whole == added + 200
