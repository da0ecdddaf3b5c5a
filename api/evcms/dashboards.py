"""EV-CMS dashboards: /api/v1/admin/dashboard (EV-097) and /api/v1/dashboard/stats (EV-127).

Days, weeks and months are the platform's; a session counts on the day on which it started.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated

from fastapi import Query

from api.context import Context, Ctx, Db
from api.evcms.callers import Admin, AnyUser, charger_scope
from api.evcms.envelope import Answer
from api.evcms.schemas.dashboards import (
    AdminStatsOut,
    ChargersOut,
    Include,
    NamedAdminStats,
    NamedUserStats,
    OverviewOut,
    RevenueSectionOut,
    SessionsOut,
    UserStatsOut,
    sections_of,
)
from api.evcms.session_access import show
from api.routing import Router
from storage import ledger
from storage.database import Connection
from storage.queries import charger_views, figures_evcms, session_days
from storage.queries.charger_views import Scope
from storage.queries.session_days import Selection
from storage.queries.session_pages import list_sessions_page
from storage.queries.utilisation import utilisation
from stream.figures.days import Days, comparable, midnight, platform_day, this_month, this_week

router = Router()

TOP_STATIONS = 5
RECENT_SESSIONS = 5
FAVOURITES_MAX = 20
_NEEDED: Mapping[str, Sequence[str]] = {
    "overview": ("today", "month"),
    "chargers": (),
    "sessions": ("today", "week", "month"),
    "revenue": ("today", "week", "month", "month_before"),
}


@router.get("/admin/dashboard")
async def admin_dashboard(
    caller: Admin,
    context: Ctx,
    db: Db,
    include: Annotated[
        Include | None,
        Query(description="a comma list of overview, chargers, sessions and revenue; all by default"),
    ] = None,
) -> Answer[NamedAdminStats]:
    """Show the platform's figures of today, this week and this month, in the sections that are asked for."""
    sections = sections_of(include)
    today = platform_day(context.now())
    spans = _spans(today)
    needed = {name for section in sections for name in _NEEDED[section]}
    sums = {name: await session_days.sums(db, spans[name]) for name in sorted(needed)}
    stats = AdminStatsOut(overview=None, chargers=None, sessions=None, revenue=None)
    if "overview" in sections:
        overview = await figures_evcms.overview(db)
        stats.overview = OverviewOut.of(overview, sums["today"].total_minor, sums["month"].total_minor)
    if "chargers" in sections:
        stats.chargers = await _chargers(context, db, charger_scope(caller))
    if "sessions" in sections:
        ever = await session_days.sums_ever(db)
        stats.sessions = SessionsOut.of(sums["today"], sums["week"], sums["month"], ever)
    if "revenue" in sections:
        top = await session_days.top_stations(db, spans["month"], TOP_STATIONS)
        stats.revenue = RevenueSectionOut.of(
            sums["today"], sums["week"], sums["month"], sums["month_before"], top
        )
    return Answer.of(NamedAdminStats.around(stats))


def _spans(today: date) -> dict[str, Selection]:
    """What is summed up; the month before as far as this one has come."""
    found = {
        "today": Days(today, today),
        "week": this_week(today),
        "month": this_month(today),
        "month_before": comparable(today),
    }
    return {name: Selection(days.first, days.last) for name, days in found.items()}


async def _chargers(context: Context, db: Connection, scope: Scope) -> ChargersOut:
    totals = await charger_views.charger_totals(db, scope, None)
    now = context.now()
    shares = await utilisation(db, from_=midnight(platform_day(now)), to=now)
    return ChargersOut.of(totals, list(shares.values()))


@router.get("/dashboard/stats")
async def user_dashboard(caller: AnyUser, context: Ctx, db: Db) -> Answer[NamedUserStats]:
    """Show the caller's own bookings ahead, wallet, sessions of this month and favourite stations."""
    now = context.now()
    month = this_month(platform_day(now))
    own = await figures_evcms.own_figures(db, caller.id, now=now, from_=month.start, to=month.end)
    wallet = await ledger.wallet(db, caller.id)
    recent, _ = await list_sessions_page(db, user_id=caller.id, limit=RECENT_SESSIONS)
    active, _ = await list_sessions_page(db, user_id=caller.id, status="active", limit=1)
    favourites = await figures_evcms.favourites(db, caller.id, FAVOURITES_MAX)
    shown = await show(context, db, [*active, *recent])
    stats = UserStatsOut.of(
        own,
        0 if wallet is None else wallet.balance_minor,
        shown[0] if active else None,
        shown[len(active) :],
        favourites,
    )
    return Answer.of(NamedUserStats.around(stats))
