"""EV-CMS billing reports: /api/v1/billing/reports (EV-068, EV-069), by the platform's days."""

from typing import Annotated

from fastapi import Query

from api.context import Ctx, Db
from api.evcms.callers import Admin
from api.evcms.envelope import Answer
from api.evcms.schemas.analytics import YEAR_MAX, YEAR_MIN, DayText, parse_day
from api.evcms.schemas.reports import (
    DailyReportOut,
    MonthlyReportOut,
    NamedDailyReport,
    NamedMonthlyReport,
    StationReportOut,
    day_report,
)
from api.routing import Router
from storage.queries import figures_evcms, session_days
from storage.queries.session_days import Selection
from stream.figures.days import Days, month, platform_day

router = Router(prefix="/billing/reports")

STATIONS_MAX = 100


@router.get("/daily")
async def daily(
    _: Admin,
    context: Ctx,
    db: Db,
    date: Annotated[DayText | None, Query(description="as in 2026-01-31; today by default")] = None,
) -> Answer[NamedDailyReport]:
    """Report what was billed for the sessions of a day, and what was topped up and refunded on it."""
    day = parse_day(date) if date else platform_day(context.now())
    days = Days(day, day)
    sums = await session_days.sums(db, Selection(day, day))
    flows = await figures_evcms.money_by_day(db, days.start, days.end)
    stations = await session_days.top_stations(db, Selection(day, day), STATIONS_MAX)
    shown = day_report(day, sums, flows[0] if flows else None)
    by_station = [StationReportOut.of(each) for each in stations]
    report = DailyReportOut(**dict(shown), currency="INR", by_station=by_station)
    return Answer.of(NamedDailyReport.around(report))


@router.get("/monthly")
async def monthly(
    _: Admin,
    context: Ctx,
    db: Db,
    number: Annotated[
        int | None, Query(alias="month", ge=1, le=12, description="this month by default")
    ] = None,
    year: Annotated[int | None, Query(ge=YEAR_MIN, le=YEAR_MAX, description="this year by default")] = None,
) -> Answer[NamedMonthlyReport]:
    """Report what was billed for the sessions of a month, day by day."""
    today = platform_day(context.now())
    days = month(year or today.year, number or today.month)
    selection = Selection(days.first, days.last)
    by_day = await session_days.sums_by_day(db, selection)
    flows = await figures_evcms.money_by_day(db, days.start, days.end)
    stations = await session_days.top_stations(db, selection, STATIONS_MAX)
    report = MonthlyReportOut.of(
        days,
        await session_days.sums(db, selection),
        {each.day: each for each in by_day},
        {each.day: each for each in flows},
        stations,
    )
    return Answer.of(NamedMonthlyReport.around(report))
