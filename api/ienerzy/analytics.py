"""Ienerzy analytics: /api/analytics (IE-032 to IE-036).

A dealer's figures are his own, an admin's those of all dealers or of one. All are counted when asked for, so
that they agree with each other and with the lists. Days and months begin in Asia/Kolkata.
"""

from api.context import Ctx, Db
from api.ienerzy.analytics_schemas import (
    LABOR_MINOR_PER_HOUR,
    CollectionAnalytics,
    Dashboard,
    FleetHealth,
)
from api.ienerzy.figures_scope import DealerId, ReportSpan
from api.ienerzy.portfolio_schemas import Portfolio
from api.ienerzy.service_metrics import ServicePerformance
from api.routing import Router
from storage.queries import (
    batteries,
    emi_payments,
    ienerzy_collections,
    ienerzy_figures,
    ienerzy_fleet,
    ienerzy_service,
)
from storage.queries.ienerzy_collections import Span
from stream.lending.terms import today

router = Router(prefix="/analytics")

MONTHS_MAX = 12  # of a trend: the latest in which anything happened
DAYS_MAX = 10_000
TECHNICIANS_MAX = 1_000


@router.get("/dealer-dashboard")
async def dealer_dashboard(dealer_id: DealerId, db: Db) -> Dashboard:
    """Count consumers, batteries, applications and tickets as they stand."""
    return Dashboard.of(
        await ienerzy_figures.consumer_counts(db, dealer_id),
        await batteries.health_report(db, dealer_id=dealer_id),
        await ienerzy_figures.application_counts(db, dealer_id),
        await ienerzy_service.ticket_sums(db, dealer_id),
    )


@router.get("/nbfc-portfolio")
async def nbfc_portfolio(dealer_id: DealerId, context: Ctx, db: Db) -> Portfolio:
    """Show approval and disbursement rates, the last 12 months with anything in them, and the risk."""
    return Portfolio.of(
        await ienerzy_figures.application_counts(db, dealer_id),
        await ienerzy_figures.months_of_loans(db, dealer_id, MONTHS_MAX),
        await ienerzy_collections.due_sums(db, dealer_id, Span(), today(context.now())),
        await ienerzy_figures.mean_credit_score(db, dealer_id),
    )


@router.get("/collection-report")
async def collection_report(
    dealer_id: DealerId, span: ReportSpan, context: Ctx, db: Db
) -> CollectionAnalytics:
    """Show what was due and collected in a period, by day, and how late the rest is.

    Instalments count by the day they are due on, once it is over; payments by the day they were made on.
    """
    return CollectionAnalytics.of(
        await ienerzy_collections.due_sums(db, dealer_id, span, today(context.now())),
        await emi_payments.days_of_payments(
            db, dealer_id=dealer_id, since=span.first, until=span.last, limit=DAYS_MAX
        ),
    )


@router.get("/battery-health")
async def battery_health(dealer_id: DealerId, db: Db) -> FleetHealth:
    """Grade the batteries, show the trend of the last 12 months, and say which ones will need service."""
    return FleetHealth.of(
        await ienerzy_fleet.grades_of_health(db, dealer_id),
        await ienerzy_fleet.months_of_health(db, dealer_id, MONTHS_MAX),
        await ienerzy_fleet.needs(db, dealer_id),
        await ienerzy_service.service_costs(db, dealer_id, LABOR_MINOR_PER_HOUR),
    )


@router.get("/service-metrics")
async def service_metrics(dealer_id: DealerId, db: Db) -> ServicePerformance:
    """Show how many tickets there are, how fast they are resolved and by whom."""
    return ServicePerformance.of(
        await ienerzy_service.ticket_sums(db, dealer_id),
        await ienerzy_service.technician_sums(db, dealer_id, TECHNICIANS_MAX),
    )
