"""What Ienerzy's analytics say of a dealer's day, collections and batteries (IE-032, IE-034, IE-035).

Rates are percentages with one decimal, times days with one decimal, money rupees. Lists begin with the newest
day or month.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.ienerzy.figure_text import (
    as_number,
    days_text,
    mean,
    percent_text,
    rupees,
)
from storage.queries.batteries import HealthGroup
from storage.queries.emi_payments import DayOfPayments
from storage.queries.ienerzy_collections import DueSums
from storage.queries.ienerzy_figures import ApplicationCounts, ConsumerCounts
from storage.queries.ienerzy_fleet import GRADES, GradeOfHealth, MonthOfHealth, Needs
from storage.queries.ienerzy_service import ServiceCosts, TicketSums

# What an hour of a technician costs, and a service where no resolved ticket says what it cost.
LABOR_MINOR_PER_HOUR = 300_00
SERVICE_COST_MINOR_DEFAULT = 2_000_00

Number = int | float
Grade = Literal["excellent", "good", "fair", "poor"]
Month = Annotated[str, Field(examples=["2024-01"])]
Percent = Annotated[str, Field(examples=["83.3%"])]
DaysText = Annotated[str, Field(examples=["2.5 days"])]


def month_text(first_day: date) -> str:
    """Write a month as "2024-01"."""
    return f"{first_day:%Y-%m}"


class ConsumerMetrics(BaseModel):
    """Consumers; `verified` and `pending` by their KYC. A rejected one is in the total only."""

    total_consumers: int
    verified_consumers: int
    pending_consumers: int


class BatteryMetrics(BaseModel):
    """Batteries; the mean is that of the health report."""

    total_batteries: int
    active_batteries: int
    maintenance_batteries: int
    avg_health_score: Number


class FinanceMetrics(BaseModel):
    """Applications; approved are those that ever were, disbursed those whose loan was paid out."""

    total_applications: int
    approved_applications: int
    disbursed_applications: int
    total_disbursed: Number


class ServiceMetrics(BaseModel):
    """Tickets."""

    total_tickets: int
    resolved_tickets: int
    avg_resolution_time: DaysText


class Dashboard(BaseModel):
    """A dealer's figures as they stand."""

    model_config = ConfigDict(json_schema_extra={"examples": [{
        "consumer_metrics": {"total_consumers": 150, "verified_consumers": 120, "pending_consumers": 30},
        "battery_metrics": {
            "total_batteries": 200, "active_batteries": 180, "maintenance_batteries": 15,
            "avg_health_score": 87.5,
        },
        "finance_metrics": {
            "total_applications": 180, "approved_applications": 150, "disbursed_applications": 140,
            "total_disbursed": 6300000,
        },
        "service_metrics": {
            "total_tickets": 45, "resolved_tickets": 40, "avg_resolution_time": "2.5 days",
        },
    }]})  # fmt: skip

    consumer_metrics: ConsumerMetrics
    battery_metrics: BatteryMetrics
    finance_metrics: FinanceMetrics
    service_metrics: ServiceMetrics

    @classmethod
    def of(
        cls,
        consumers: ConsumerCounts,
        batteries: Sequence[HealthGroup],
        applications: ApplicationCounts,
        tickets: TicketSums,
    ) -> "Dashboard":
        """Show what was counted."""
        by_status = {group.status: group.count for group in batteries}
        total = sum(by_status.values())
        return cls(
            consumer_metrics=ConsumerMetrics(
                total_consumers=consumers.total,
                verified_consumers=consumers.verified,
                pending_consumers=consumers.pending,
            ),
            battery_metrics=BatteryMetrics(
                total_batteries=total,
                active_batteries=by_status.get("active", 0),
                maintenance_batteries=by_status.get("maintenance", 0),
                avg_health_score=as_number(mean(sum(group.sum_health for group in batteries), total)),
            ),
            finance_metrics=FinanceMetrics(
                total_applications=applications.total,
                approved_applications=applications.approved,
                disbursed_applications=applications.disbursed,
                total_disbursed=rupees(applications.disbursed_minor),
            ),
            service_metrics=ServiceMetrics(
                total_tickets=tickets.total,
                resolved_tickets=tickets.resolved,
                avg_resolution_time=days_text(tickets.mean_s),
            ),
        )


class CollectionTotals(BaseModel):
    """Instalments whose day is over: counts, and money with what was paid on them in parts."""

    total_emi_due: int
    collected_emi: int
    overdue_emi: int
    collection_rate: Percent
    total_amount_due: Number
    amount_collected: Number


class DailyCollections(BaseModel):
    """Payments of a day; `overdue_collections` of them paid something that was past due."""

    date: date
    collections: int
    amount: Number
    overdue_collections: int


class OverdueAnalysis(BaseModel):
    """Unpaid instalments by days late; day 15 is in the second group (conflict C74)."""

    late_1_to_7_days: Annotated[int, Field(alias="1-7_days")]
    late_8_to_15_days: Annotated[int, Field(alias="8-15_days")]
    late_over_15_days: Annotated[int, Field(alias="15+_days")]
    total_overdue: int


class CollectionAnalytics(BaseModel):
    """Collections of a period, or of all time."""

    model_config = ConfigDict(json_schema_extra={"examples": [{
        "collection_summary": {
            "total_emi_due": 1500, "collected_emi": 1425, "overdue_emi": 75, "collection_rate": "95.0%",
            "total_amount_due": 2812500, "amount_collected": 2671875,
        },
        "daily_collections": [
            {"date": "2024-01-15", "collections": 25, "amount": 46875, "overdue_collections": 3},
        ],
        "overdue_analysis": {"1-7_days": 25, "8-15_days": 30, "15+_days": 20, "total_overdue": 75},
    }]})  # fmt: skip

    collection_summary: CollectionTotals
    daily_collections: list[DailyCollections]
    overdue_analysis: OverdueAnalysis

    @classmethod
    def of(cls, due: DueSums, days: Sequence[DayOfPayments]) -> "CollectionAnalytics":
        """Show what was counted."""
        return cls(
            collection_summary=CollectionTotals(
                total_emi_due=due.due,
                collected_emi=due.collected,
                overdue_emi=due.overdue,
                collection_rate=percent_text(due.collected, due.due),
                total_amount_due=rupees(due.due_minor),
                amount_collected=rupees(due.collected_minor),
            ),
            daily_collections=[
                DailyCollections(
                    date=each.paid_on,
                    collections=each.count,
                    amount=rupees(each.amount_minor),
                    overdue_collections=each.late,
                )
                for each in days
            ],
            overdue_analysis=OverdueAnalysis(
                **{
                    "1-7_days": due.late_1_to_7_days,
                    "8-15_days": due.late_8_to_15_days,
                    "15+_days": due.late_over_15_days,
                },
                total_overdue=due.overdue,
            ),
        )


class GradeOut(BaseModel):
    """Batteries of one grade and their share of all."""

    count: int
    percentage: Percent
    avg_health: Number


class HealthMonth(BaseModel):
    """Mean of a month's daily scores, null where nothing was assessed, and tickets opened in it."""

    month: Month
    avg_health: Number | None
    maintenance_count: int


class PredictiveMaintenance(BaseModel):
    """`batteries_needing_service`: below 60, or with an open alarm. `risk_batteries`: below 40, or critical.

    The cost is their number times the mean cost of resolved tickets, parts and labour.
    """

    batteries_needing_service: int
    estimated_service_cost: Number
    risk_batteries: int

    @classmethod
    def of(cls, needs: Needs, costs: ServiceCosts) -> "PredictiveMaintenance":
        """Estimate from what earlier services cost."""
        known = costs if costs.tickets else ServiceCosts(1, Decimal(SERVICE_COST_MINOR_DEFAULT))
        return cls(
            batteries_needing_service=needs.service,
            estimated_service_cost=rupees(mean(needs.service * known.cost_minor, known.tickets)),
            risk_batteries=needs.risk,
        )


class FleetHealth(BaseModel):
    """Batteries by grade: excellent from 90, good from 75, fair from 50, else poor (conflict C12)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{
        "fleet_health": {
            "excellent": {"count": 80, "percentage": "40.0%", "avg_health": 95.2},
            "good": {"count": 70, "percentage": "35.0%", "avg_health": 82.1},
            "fair": {"count": 35, "percentage": "17.5%", "avg_health": 65.8},
            "poor": {"count": 15, "percentage": "7.5%", "avg_health": 45.3},
        },
        "health_trends": [{"month": "2024-01", "avg_health": 87.5, "maintenance_count": 8}],
        "predictive_maintenance": {
            "batteries_needing_service": 12, "estimated_service_cost": 24000, "risk_batteries": 5,
        },
    }]})  # fmt: skip

    fleet_health: dict[Grade, GradeOut]
    health_trends: list[HealthMonth]
    predictive_maintenance: PredictiveMaintenance

    @classmethod
    def of(
        cls,
        grades: Sequence[GradeOfHealth],
        months: Sequence[MonthOfHealth],
        needs: Needs,
        costs: ServiceCosts,
    ) -> "FleetHealth":
        """Show what was counted; a grade without batteries with zeros."""
        found = {each.grade: each for each in grades}
        total = sum(each.count for each in grades)
        shown = {}
        for grade in GRADES:
            count = found[grade].count if grade in found else 0
            health = found[grade].avg_health if grade in found else Decimal(0)
            share = percent_text(count, total)
            shown[grade] = GradeOut(count=count, percentage=share, avg_health=as_number(health))
        trends = [
            HealthMonth(
                month=month_text(each.month),
                avg_health=None if each.avg_health is None else as_number(each.avg_health),
                maintenance_count=each.tickets,
            )
            for each in months
        ]
        return cls(
            fleet_health=shown,
            health_trends=trends,
            predictive_maintenance=PredictiveMaintenance.of(needs, costs),
        )
