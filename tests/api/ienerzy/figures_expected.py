"""Ienerzy's figures worked out anew from the facts, in plain Python with fractions: no SQL, no code of ours.

Each method returns the whole answer of one endpoint for one dealer, or for all (None).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from fractions import Fraction
from math import floor
from typing import Any

from tests.api.ienerzy.figures_world import (
    CATEGORIES,
    ApplicationFact,
    Facts,
    InstalmentFact,
    TicketFact,
    day_of,
)

Json = dict[str, Any]
MICROSECOND = timedelta(microseconds=1)
DAY_US = timedelta(days=1) // MICROSECOND


def rounded(number: Fraction, decimals: int) -> Fraction:
    """Halves go up."""
    scale = 10**decimals
    return Fraction(floor(number * scale + Fraction(1, 2)), scale)


def tenth(number: Fraction) -> float:
    return float(rounded(number, 1))


def rupees(minor: Fraction | int) -> float:
    return float(rounded(Fraction(minor, 100), 2))


def mean(numbers: Iterable[Any]) -> Fraction | None:
    """Exact: sums of integers and of decimals with few digits are."""
    listed = list(numbers)
    return Fraction(sum(listed)) / len(listed) if listed else None


def rate(part: int, whole: int) -> str:
    return f"{tenth(Fraction(100 * part, whole)):.1f}" if whole else "0.0"


def days_text(time_us: Fraction | int | None) -> str:
    return f"{tenth(Fraction(time_us or 0) / DAY_US):.1f} days"


class Expected:
    """The answers for one dealer, or for all."""

    def __init__(self, facts: Facts, dealer_id: int | None) -> None:
        def own(of: int | None) -> bool:
            return dealer_id is None or of == dealer_id

        self.today = facts.today
        self.names = facts.technicians
        self.consumers = [each for each in facts.consumers if own(each.dealer_id)]
        self.batteries = [each for each in facts.batteries if own(each.dealer_id)]
        self.applications = [each for each in facts.applications if own(each.dealer_id)]
        self.payments = [each for each in facts.payments if own(each.dealer_id)]
        self.tickets = [each for each in facts.tickets if own(each.dealer_id)]
        ids = {each.id for each in self.batteries}
        self.health = [each for each in facts.health if each.battery_id in ids]
        self.open_alarms = [each for each in facts.alarms if each.battery_id in ids and not each.closed_at]

    @property
    def approved(self) -> list[ApplicationFact]:
        return [each for each in self.applications if each.is_approved]

    @property
    def disbursed(self) -> list[ApplicationFact]:
        return [each for each in self.applications if each.disbursed_on]

    @property
    def disbursed_minor(self) -> int:
        return sum(each.disbursed_minor or 0 for each in self.disbursed)

    @property
    def resolved(self) -> list[TicketFact]:
        return [each for each in self.tickets if each.resolved_at]

    def due(self, first: date = date.min, last: date = date.max) -> list[InstalmentFact]:
        """Instalments whose day is over."""
        return [
            emi
            for loan in self.approved
            for emi in loan.instalments
            if emi.status != "cancelled" and first <= emi.due_date <= last and emi.due_date < self.today
        ]

    def health_report(self) -> Json:
        fleet = {}
        for status in ("active", "inactive", "maintenance"):
            scores = [each.health_score for each in self.batteries if each.status == status]
            fleet[status] = {
                "count": len(scores),
                "avg_health": f"{tenth(mean(scores) or Fraction(0)):.1f}",
                "min_health": float(min(scores, default=0)),
                "max_health": float(max(scores, default=0)),
            }
        overall = mean(each.health_score for each in self.batteries) or Fraction(0)
        return {
            "fleet_health": fleet,
            "total_batteries": len(self.batteries),
            "overall_health_score": tenth(overall),
        }

    def dashboard(self) -> Json:
        people = Counter(each.kyc_status for each in self.consumers if not each.is_deleted)
        statuses = Counter(each.status for each in self.batteries)
        return {
            "consumer_metrics": {
                "total_consumers": people.total(),
                "verified_consumers": people["verified"],
                "pending_consumers": people["pending"],
            },
            "battery_metrics": {
                "total_batteries": statuses.total(),
                "active_batteries": statuses["active"],
                "maintenance_batteries": statuses["maintenance"],
                "avg_health_score": tenth(mean(each.health_score for each in self.batteries) or Fraction(0)),
            },
            "finance_metrics": {
                "total_applications": len(self.applications),
                "approved_applications": len(self.approved),
                "disbursed_applications": len(self.disbursed),
                "total_disbursed": rupees(self.disbursed_minor),
            },
            "service_metrics": {
                "total_tickets": len(self.tickets),
                "resolved_tickets": len(self.resolved),
                "avg_resolution_time": days_text(mean(_times(self.resolved))),
            },
        }

    def months(self) -> list[Json]:
        """The last 12 with anything, the newest first."""
        months: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for each in self.applications:
            months[_month(day_of(each.created_at))]["applications"] += 1
        for each in self.approved:
            assert each.decided_at is not None
            months[_month(day_of(each.decided_at))]["approvals"] += 1
        for each in self.disbursed:
            assert each.disbursed_on is not None
            months[_month(each.disbursed_on)]["disbursements"] += 1
            months[_month(each.disbursed_on)]["minor"] += each.disbursed_minor or 0
        return [
            {
                "month": month,
                **{key: counts[key] for key in ("applications", "approvals", "disbursements")},
                "amount": rupees(counts["minor"]),
            }
            for month, counts in sorted(months.items(), reverse=True)[:12]
        ]

    def nbfc_portfolio(self) -> Json:
        total = len(self.applications)
        rates = [each.rate_pct for each in self.approved if each.rate_pct is not None]
        return {
            "portfolio_summary": {
                "total_applications": total,
                "approved_count": len(self.approved),
                "disbursed_count": len(self.disbursed),
                "rejected_count": sum(each.status == "rejected" for each in self.applications),
                "total_disbursed": rupees(self.disbursed_minor),
                "avg_interest_rate": tenth(mean(rates) or Fraction(0)),
            },
            "monthly_trend": [
                {
                    "month": f"{each['month']}-01",
                    "applications": each["applications"],
                    "amount_disbursed": each["amount"],
                }
                for each in self.months()
            ],
            "portfolio_health": {
                "approval_rate": rate(len(self.approved), total),
                "disbursement_rate": rate(len(self.disbursed), total),
            },
        }

    def portfolio(self) -> Json:
        total = len(self.applications)
        due = self.due()
        collected = rate(sum(each.status == "paid" for each in due), len(due))
        borrowers = {each.consumer_id for each in self.applications}
        scores = mean(
            each.credit_score for each in self.consumers if each.id in borrowers and each.credit_score
        )
        return {
            "portfolio_summary": {
                "total_applications": total,
                "approval_rate": rate(len(self.approved), total) + "%",
                "disbursement_rate": rate(len(self.disbursed), total) + "%",
                "total_disbursed": rupees(self.disbursed_minor),
                "avg_loan_amount": rupees(Fraction(self.disbursed_minor, total)) if total else 0,
            },
            "monthly_trends": self.months(),
            "risk_metrics": {
                "overdue_rate": f"{100 - float(collected):.1f}%" if due else "0.0%",
                "collection_efficiency": collected + "%",
                "avg_credit_score": None if scores is None else tenth(scores),
            },
        }

    def collections(self, first: date = date.min, last: date = date.max) -> Json:
        due = self.due(first, last)
        paid = [each for each in due if each.status == "paid"]
        late_days = [(self.today - each.due_date).days for each in due if each.status == "pending"]
        return {
            "collection_summary": {
                "total_emi_due": len(due),
                "collected_emi": len(paid),
                "overdue_emi": len(late_days),
                "collection_rate": rate(len(paid), len(due)) + "%",
                "total_amount_due": rupees(sum(each.amount_minor for each in due)),
                "amount_collected": rupees(sum(each.paid_minor for each in due)),
            },
            "daily_collections": [
                {
                    "date": day.isoformat(),
                    "collections": counts["payments"],
                    "amount": rupees(counts["minor"]),
                    "overdue_collections": counts["late"],
                }
                for day, counts in self._days(first, last)
            ],
            "overdue_analysis": {
                "1-7_days": sum(1 <= days <= 7 for days in late_days),
                "8-15_days": sum(8 <= days <= 15 for days in late_days),
                "15+_days": sum(days > 15 for days in late_days),
                "total_overdue": len(late_days),
            },
        }

    def finance_collections(self, first: date = date.min, last: date = date.max) -> Json:
        days = self._days(first, last)
        count = sum(counts["payments"] for _, counts in days)
        minor = sum(counts["minor"] for _, counts in days)
        return {
            "collection_report": [
                {
                    "collection_date": day.isoformat(),
                    "collections_count": counts["payments"],
                    "total_collected": rupees(counts["minor"]),
                    "avg_collection": rupees(Fraction(counts["minor"], counts["payments"])),
                }
                for day, counts in days
            ],
            "summary": {
                "total_collections": count,
                "total_amount_collected": rupees(minor),
                "avg_daily_collection": rupees(Fraction(minor, count)) if count else 0,
            },
        }

    def _days(self, first: date, last: date) -> list[tuple[date, Counter[str]]]:
        days: defaultdict[date, Counter[str]] = defaultdict(Counter)
        for each in self.payments:
            if first <= each.paid_on <= last:
                counts = days[each.paid_on]
                counts["payments"] += 1
                counts["minor"] += each.amount_minor
                counts["late"] += each.is_late
        return sorted(days.items(), reverse=True)

    def overdue(self) -> Json:
        """The two totals of the list, and its instalments by days late."""
        listed = [
            ((self.today - emi.due_date).days, emi.amount_minor - emi.paid_minor)
            for loan in self.approved
            for emi in loan.instalments
            if emi.status == "pending" and emi.due_date < self.today
        ]
        return {
            "total_overdue": len(listed),
            "total_overdue_amount": rupees(sum(minor for _, minor in listed)),
            "days": Counter(days for days, _ in listed),
        }

    def fleet(self) -> Json:
        grades: defaultdict[str, list[Any]] = defaultdict(list)
        for each in self.batteries:
            score = each.health_score
            grade = (
                "excellent" if score >= 90 else "good" if score >= 75 else "fair" if score >= 50 else "poor"
            )
            grades[grade].append(score)
        total = len(self.batteries)
        return {
            "fleet_health": {
                grade: {
                    "count": len(grades[grade]),
                    "percentage": rate(len(grades[grade]), total) + "%",
                    "avg_health": tenth(mean(grades[grade]) or Fraction(0)),
                }
                for grade in ("excellent", "good", "fair", "poor")
            },
            "health_trends": self._health_months(),
            "predictive_maintenance": self._maintenance(),
        }

    def _health_months(self) -> list[Json]:
        scores: defaultdict[str, list[Any]] = defaultdict(list)
        for each in self.health:
            if each.score is not None:
                scores[_month(each.day)].append(each.score)
        tickets = Counter(_month(day_of(each.created_at)) for each in self.tickets)
        shown = []
        for month in sorted({*scores, *tickets}, reverse=True)[:12]:
            health = mean(scores[month])
            shown.append(
                {
                    "month": month,
                    "avg_health": None if health is None else tenth(health),
                    "maintenance_count": tickets[month],
                }
            )
        return shown

    def _maintenance(self) -> Json:
        alarmed = {each.battery_id for each in self.open_alarms}
        critical = {each.battery_id for each in self.open_alarms if each.severity == "critical"}
        needing = sum(each.health_score < 60 or each.id in alarmed for each in self.batteries)
        costs = [
            (each.parts_cost_minor or 0) + Fraction(each.labor_hours or 0) * 300 * 100
            for each in self.resolved
            if each.parts_cost_minor is not None or each.labor_hours is not None
        ]
        cost_each = mean(costs)
        return {
            "batteries_needing_service": needing,
            "estimated_service_cost": rupees(
                needing * (Fraction(200_000) if cost_each is None else cost_each)
            ),
            "risk_batteries": sum(each.health_score < 40 or each.id in critical for each in self.batteries),
        }

    def service(self) -> Json:
        statuses = Counter(each.status for each in self.tickets)
        categories = Counter(each.category for each in self.tickets)
        times = _times(self.resolved)
        in_time = sum(
            bool(each.resolved_at and each.resolved_at <= each.sla_due_at) for each in self.resolved
        )
        return {
            "ticket_metrics": {
                "total_tickets": statuses.total(),
                **{
                    f"{key}_tickets": statuses[key] for key in ("open", "assigned", "in_progress", "resolved")
                },
            },
            "resolution_times": {
                "avg_resolution_time": days_text(mean(times)),
                "fastest_resolution": days_text(min(times, default=None)),
                "slowest_resolution": days_text(max(times, default=None)),
                "sla_compliance": rate(in_time, len(self.resolved)) + "%",
            },
            "technician_performance": self._technicians(),
            "issue_categories": {category: categories[category] for category in CATEGORIES},
        }

    def _technicians(self) -> list[Json]:
        by_technician: defaultdict[int, list[TicketFact]] = defaultdict(list)
        for each in self.resolved:
            if each.technician_id is not None:
                by_technician[each.technician_id].append(each)
        shown = []
        for id_, tickets in sorted(by_technician.items(), key=lambda item: (-len(item[1]), item[0])):
            liked = mean(each.satisfaction for each in tickets if each.satisfaction is not None)
            shown.append(
                {
                    "technician_id": id_,
                    "name": self.names[id_],
                    "tickets_resolved": len(tickets),
                    "avg_resolution_time": days_text(mean(_times(tickets))),
                    "customer_satisfaction": None if liked is None else tenth(liked),
                }
            )
        return shown


def _times(tickets: Iterable[TicketFact]) -> list[int]:
    """From creation to resolution, in microseconds."""
    return [(each.resolved_at - each.created_at) // MICROSECOND for each in tickets if each.resolved_at]


def _month(day: date) -> str:
    return f"{day:%Y-%m}"
