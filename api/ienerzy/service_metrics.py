"""How service went, as GET /api/analytics/service-metrics shows it (IE-036)."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from api.ienerzy.analytics_schemas import DaysText, Number, Percent
from api.ienerzy.figure_text import as_number, days_text, percent_text
from storage.queries.ienerzy_service import TechnicianSums, TicketSums

Category = Literal["performance", "charging", "mechanical", "electrical", "other"]


class TicketMetrics(BaseModel):
    """Tickets by status."""

    total_tickets: int
    open_tickets: int
    assigned_tickets: int
    in_progress_tickets: int
    resolved_tickets: int


class ResolutionTimes(BaseModel):
    """From creation to resolution; `sla_compliance` is the share resolved in time."""

    avg_resolution_time: DaysText
    fastest_resolution: DaysText
    slowest_resolution: DaysText
    sla_compliance: Percent


class TechnicianPerformance(BaseModel):
    """What a technician resolved; the satisfaction is a mean of 1 to 5, null where nobody rated."""

    technician_id: int
    name: str
    tickets_resolved: int
    avg_resolution_time: DaysText
    customer_satisfaction: Number | None

    @classmethod
    def of(cls, sums: TechnicianSums) -> "TechnicianPerformance":
        """Show one technician's sums."""
        return cls(
            technician_id=sums.technician_id,
            name=sums.name,
            tickets_resolved=sums.resolved,
            avg_resolution_time=days_text(sums.mean_s),
            customer_satisfaction=None if sums.satisfaction is None else as_number(sums.satisfaction),
        )


class ServicePerformance(BaseModel):
    """All tickets; `issue_categories` always has all five."""

    model_config = ConfigDict(json_schema_extra={"examples": [{
        "ticket_metrics": {
            "total_tickets": 150, "open_tickets": 15, "assigned_tickets": 25, "in_progress_tickets": 20,
            "resolved_tickets": 90,
        },
        "resolution_times": {
            "avg_resolution_time": "2.3 days", "fastest_resolution": "0.5 days",
            "slowest_resolution": "7.2 days", "sla_compliance": "92.0%",
        },
        "technician_performance": [{
            "technician_id": 1, "name": "Tech One", "tickets_resolved": 25,
            "avg_resolution_time": "1.8 days", "customer_satisfaction": 4.6,
        }],
        "issue_categories": {
            "performance": 45, "charging": 35, "mechanical": 25, "electrical": 20, "other": 25,
        },
    }]})  # fmt: skip

    ticket_metrics: TicketMetrics
    resolution_times: ResolutionTimes
    technician_performance: list[TechnicianPerformance]
    issue_categories: dict[Category, int]

    @classmethod
    def of(cls, tickets: TicketSums, technicians: Sequence[TechnicianSums]) -> "ServicePerformance":
        """Show what was counted."""
        return cls(
            ticket_metrics=TicketMetrics(
                total_tickets=tickets.total,
                open_tickets=tickets.open,
                assigned_tickets=tickets.assigned,
                in_progress_tickets=tickets.in_progress,
                resolved_tickets=tickets.resolved,
            ),
            resolution_times=ResolutionTimes(
                avg_resolution_time=days_text(tickets.mean_s),
                fastest_resolution=days_text(tickets.fastest_s),
                slowest_resolution=days_text(tickets.slowest_s),
                sla_compliance=percent_text(tickets.within_sla, tickets.resolved),
            ),
            technician_performance=[TechnicianPerformance.of(each) for each in technicians],
            issue_categories={
                "performance": tickets.performance,
                "charging": tickets.charging,
                "mechanical": tickets.mechanical,
                "electrical": tickets.electrical,
                "other": tickets.other,
            },
        )
