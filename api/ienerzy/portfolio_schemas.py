"""The two portfolios of loans, each in its own format (conflict C11): what IE-023 and IE-033 say.

Money is rupees; the newest month comes first.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.ienerzy.analytics_schemas import Month, Number, Percent, month_text
from api.ienerzy.figure_text import as_number, mean, percent_text, percentage, rupees
from storage.queries.ienerzy_collections import DueSums
from storage.queries.ienerzy_figures import ApplicationCounts, MonthOfLoans


class NbfcSummary(BaseModel):
    """Applications, and the mean rate (percent a year) of approved ones whose rate is known."""

    total_applications: int
    approved_count: int
    disbursed_count: int
    rejected_count: int
    total_disbursed: Number
    avg_interest_rate: Number


class NbfcMonth(BaseModel):
    """A month by its first day: applications made in it and loans paid out in it."""

    month: Annotated[date, Field(examples=["2024-01-01"])]
    applications: int
    amount_disbursed: Number


class NbfcHealth(BaseModel):
    """Shares of all applications in percent, without the sign."""

    approval_rate: Annotated[str, Field(examples=["85.0"])]
    disbursement_rate: Annotated[str, Field(examples=["75.0"])]


class NbfcPortfolio(BaseModel):
    """The portfolio as the NBFC reads it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{
        "portfolio_summary": {
            "total_applications": 100, "approved_count": 85, "disbursed_count": 75, "rejected_count": 15,
            "total_disbursed": 3375000, "avg_interest_rate": 12.3,
        },
        "monthly_trend": [{"month": "2024-01-01", "applications": 25, "amount_disbursed": 1125000}],
        "portfolio_health": {"approval_rate": "85.0", "disbursement_rate": "75.0"},
    }]})  # fmt: skip

    portfolio_summary: NbfcSummary
    monthly_trend: list[NbfcMonth]
    portfolio_health: NbfcHealth

    @classmethod
    def of(cls, counts: ApplicationCounts, months: Sequence[MonthOfLoans]) -> "NbfcPortfolio":
        """Show what was counted."""
        return cls(
            portfolio_summary=NbfcSummary(
                total_applications=counts.total,
                approved_count=counts.approved,
                disbursed_count=counts.disbursed,
                rejected_count=counts.rejected,
                total_disbursed=rupees(counts.disbursed_minor),
                avg_interest_rate=as_number(counts.avg_rate_pct or Decimal(0)),
            ),
            monthly_trend=[
                NbfcMonth(
                    month=each.month,
                    applications=each.applications,
                    amount_disbursed=rupees(each.disbursed_minor),
                )
                for each in months
            ],
            portfolio_health=NbfcHealth(
                approval_rate=str(percentage(counts.approved, counts.total)),
                disbursement_rate=str(percentage(counts.disbursed, counts.total)),
            ),
        )


class PortfolioSummary(BaseModel):
    """`avg_loan_amount` is what was disbursed over all applications (conflict C72)."""

    total_applications: int
    approval_rate: Percent
    disbursement_rate: Percent
    total_disbursed: Number
    avg_loan_amount: Number


class PortfolioMonth(BaseModel):
    """Applications made, approvals decided and loans paid out in a month; `amount` of the last."""

    month: Month
    applications: int
    approvals: int
    disbursements: int
    amount: Number


class RiskMetrics(BaseModel):
    """The two rates add up to 100 %; both are 0.0% before anything was due.

    `avg_credit_score` is that of consumers with an application; null where no score is known.
    """

    overdue_rate: Percent
    collection_efficiency: Percent
    avg_credit_score: Number | None


class Portfolio(BaseModel):
    """The portfolio as analytics show it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{
        "portfolio_summary": {
            "total_applications": 180, "approval_rate": "83.3%", "disbursement_rate": "77.8%",
            "total_disbursed": 6300000, "avg_loan_amount": 35000,
        },
        "monthly_trends": [
            {"month": "2024-01", "applications": 25, "approvals": 22, "disbursements": 20, "amount": 700000},
        ],
        "risk_metrics": {
            "overdue_rate": "5.2%", "collection_efficiency": "94.8%", "avg_credit_score": 720,
        },
    }]})  # fmt: skip

    portfolio_summary: PortfolioSummary
    monthly_trends: list[PortfolioMonth]
    risk_metrics: RiskMetrics

    @classmethod
    def of(
        cls,
        counts: ApplicationCounts,
        months: Sequence[MonthOfLoans],
        due: DueSums,
        credit_score: Decimal | None,
    ) -> "Portfolio":
        """Show what was counted."""
        collected = percentage(due.collected, due.due)
        overdue = 100 - collected if due.due else collected
        return cls(
            portfolio_summary=PortfolioSummary(
                total_applications=counts.total,
                approval_rate=percent_text(counts.approved, counts.total),
                disbursement_rate=percent_text(counts.disbursed, counts.total),
                total_disbursed=rupees(counts.disbursed_minor),
                avg_loan_amount=rupees(mean(counts.disbursed_minor, counts.total)),
            ),
            monthly_trends=[_portfolio_month(each) for each in months],
            risk_metrics=RiskMetrics(
                overdue_rate=f"{overdue}%",
                collection_efficiency=f"{collected}%",
                avg_credit_score=None if credit_score is None else as_number(credit_score),
            ),
        )


def _portfolio_month(month: MonthOfLoans) -> PortfolioMonth:
    return PortfolioMonth(
        month=month_text(month.month),
        applications=month.applications,
        approvals=month.approvals,
        disbursements=month.disbursements,
        amount=rupees(month.disbursed_minor),
    )
