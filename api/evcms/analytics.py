"""EV-CMS analytics: /api/v1/analytics (EV-111 to EV-114).

A session counts on the day on which it started: for an admin the platform's day, for a brand that of the
station. A brand's figures are those of its own chargers. Revenue is what drivers pay, GST included.
"""

from typing import Annotated

from fastapi import Query

from api.callers import Caller
from api.context import Ctx, Db
from api.evcms.callers import Admin, BrandOrAdmin, owner_filter
from api.evcms.envelope import Answer
from api.evcms.schemas.analytics import (
    ChargerStatOut,
    ChargerStatsOut,
    DayText,
    PeriodOut,
    RevenueOut,
    SessionSummaryOut,
    TopUserOut,
    UserActivityOut,
    days_of,
    kwh,
    percent,
)
from api.fields import money, parse_id
from api.routing import Router
from storage.queries import figures_evcms, session_days
from storage.queries.session_days import Selection
from storage.queries.utilisation import utilisation
from stream.figures.days import Days, Grouping, periods

router = Router(prefix="/analytics")

CHARGERS_MAX = 1_000
TOP_USERS = 10
# People are counted from the sessions themselves.
ACTIVITY_DAYS_MAX = 92
NOWHERE = 0  # no station has this id
Start = Annotated[
    DayText | None, Query(alias="startDate", description="the first day; 30 days up to the end by default")
]
End = Annotated[
    DayText | None, Query(alias="endDate", description="the last day, included; today by default")
]


def _selection(caller: Caller, days: Days, station_id: int | None = None) -> Selection:
    owner_id = owner_filter(caller)
    calendar = session_days.PLATFORM if owner_id is None else session_days.STATION
    return Selection(days.first, days.last, calendar, owner_id, station_id)


@router.get("/revenue")
async def revenue(
    caller: BrandOrAdmin,
    context: Ctx,
    db: Db,
    start_date: Start = None,
    end_date: End = None,
    group_by: Annotated[Grouping, Query(alias="groupBy")] = Grouping.DAY,
) -> Answer[RevenueOut]:
    """Show revenue and sessions by day, week or month of at most 366 days."""
    days = days_of(context, start_date, end_date)
    by_day = await session_days.sums_by_day(db, _selection(caller, days))
    shown = [
        PeriodOut.of(period, group_by, [each for each in by_day if period.first <= each.day <= period.last])
        for period in periods(days, group_by)
    ]
    found = RevenueOut(
        revenue=money(sum(each.total_minor for each in by_day)),
        session_count=sum(each.sessions for each in by_day),
        energy_dispensed=kwh(sum(each.energy_wh for each in by_day)),
        start_date=days.first,
        end_date=days.last,
        group_by=group_by,
        period=shown,
    )
    return Answer.of(found)


@router.get("/charger-stats")
async def charger_stats(
    caller: BrandOrAdmin,
    context: Ctx,
    db: Db,
    station: Annotated[
        str | None, Query(alias="stationId", description="one that does not exist matches nothing")
    ] = None,
    start_date: Start = None,
    end_date: End = None,
) -> Answer[ChargerStatsOut]:
    """Show how chargers were used over the last 30 days, or other days: utilisation, sessions, revenue."""
    days = days_of(context, start_date, end_date)
    owner_id = owner_filter(caller)
    station_id = None if station is None else parse_id(station) or NOWHERE
    found = await figures_evcms.chargers(db, owner_id=owner_id, station_id=station_id, limit=CHARGERS_MAX)
    shares = await utilisation(
        db,
        owner_id=owner_id,
        station_id=station_id,
        from_=days.start,
        to=min(days.end, max(days.start, context.now())),
    )
    by_charger = await session_days.sums_by_charger(db, _selection(caller, days, station_id))
    sums = {each.device_id: each for each in by_charger}
    shown = [
        ChargerStatOut.of(each, shares.get(each.device_id, 0.0), sums.get(each.device_id))
        for each in found
        if not each.is_archived or each.device_id in sums
    ]
    mean = sum(shares.values()) / len(shares) if shares else 0.0
    return Answer.of(
        ChargerStatsOut(
            chargers=shown, avg_utilization=percent(mean), start_date=days.first, end_date=days.last
        )
    )


@router.get("/session-summary")
async def session_summary(
    caller: BrandOrAdmin, context: Ctx, db: Db, start_date: Start = None, end_date: End = None
) -> Answer[SessionSummaryOut]:
    """Count sessions by how they ended, over at most 366 days."""
    days = days_of(context, start_date, end_date)
    return Answer.of(SessionSummaryOut.of(await session_days.sums(db, _selection(caller, days)), days))


@router.get("/user-activity")
async def user_activity(
    _: Admin, context: Ctx, db: Db, start_date: Start = None, end_date: End = None
) -> Answer[UserActivityOut]:
    """Count who charged and who is new, over at most 92 days, and name the ten who spent most."""
    days = days_of(context, start_date, end_date, ACTIVITY_DAYS_MAX)
    counts = await figures_evcms.user_counts(db, days.start, days.end)
    top = await figures_evcms.top_users(db, days.start, days.end, TOP_USERS)
    found = UserActivityOut(
        active_users=counts.active,
        new_users=counts.new,
        top_users=[TopUserOut.of(each) for each in top],
        start_date=days.first,
        end_date=days.last,
    )
    return Answer.of(found)
