"""EV-CMS analytics: revenue, chargers, sessions and people over a span of days.

Money in rupees with GST, energy in kWh, durations in minutes, utilisation in percent.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from api.context import Context
from api.errors import FieldError, invalid
from api.evcms.envelope import Out
from api.evcms.schemas.receipts import WH_PER_KWH, minutes
from api.fields import money
from storage.queries.figures_evcms import ChargerFacts, UserSums
from storage.queries.session_days import ChargerSums, Sums
from stream.figures.days import PLATFORM_ZONE, SPAN_DAYS_MAX, Days, Grouping, platform_day, span

YEAR_MIN = 2000
YEAR_MAX = 2199


def parse_day(text: str) -> date:
    """Read an ISO 8601 date, or a date-time as the platform's day at it. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
        day = moment.date() if moment.tzinfo is None else moment.astimezone(PLATFORM_ZONE).date()
    except (ValueError, OverflowError) as error:
        raise ValueError("must be an ISO 8601 date, as in 2026-01-31") from error
    if not YEAR_MIN <= day.year <= YEAR_MAX:
        raise ValueError(f"must be of a year from {YEAR_MIN} to {YEAR_MAX}")
    return day


def _checked(text: str) -> str:
    parse_day(text)
    return text


DayText = Annotated[str, StringConstraints(max_length=40), AfterValidator(_checked)]


def days_of(
    context: Context, start: DayText | None, end: DayText | None, days_max: int = SPAN_DAYS_MAX
) -> Days:
    """Return the days that a query asks for; raises 422 where there is none, or more than `days_max`."""
    days = span(
        parse_day(start) if start else None, parse_day(end) if end else None, platform_day(context.now())
    )
    if days.count < 1:
        raise invalid("/api/v1", [FieldError("endDate", "must not be before startDate")])
    if days.count > days_max:
        message = f"must be at most {days_max} days from startDate, both included"
        raise invalid("/api/v1", [FieldError("endDate", message)])
    return days


def kwh(energy_wh: int) -> float:
    """Print energy."""
    return round(energy_wh / WH_PER_KWH, 3)


def percent(share: float) -> float:
    """Print a share of 1."""
    return round(100 * min(share, 1.0), 1)


class PeriodOut(Out):
    """One period; `period` names it by its day, by the Monday of its week, or as 2026-01."""

    period: str
    start_date: date
    end_date: date
    revenue: float
    session_count: int
    energy_dispensed: float

    @classmethod
    def of(cls, days: Days, grouping: Grouping, sums: Sequence[Sums]) -> "PeriodOut":
        """Add up the days of a period."""
        is_month = grouping is Grouping.MONTH
        return cls(
            period=days.first.strftime("%Y-%m") if is_month else days.first.isoformat(),
            start_date=days.first,
            end_date=days.last,
            revenue=money(sum(each.total_minor for each in sums)),
            session_count=sum(each.sessions for each in sums),
            energy_dispensed=kwh(sum(each.energy_wh for each in sums)),
        )


class RevenueOut(Out):
    """Sums over all days, and of each period, those without sessions too."""

    revenue: float
    session_count: int
    energy_dispensed: float
    start_date: date
    end_date: date
    group_by: Grouping
    period: list[PeriodOut]


class ChargerStatOut(Out):
    """One charger over the span; `utilization`: the share of its connectors' time that a session took."""

    id: str
    charger_id: str
    charger_name: str
    station_id: str
    station_name: str
    connectors: int
    utilization: float
    sessions: int
    energy_dispensed: float
    revenue: float

    @classmethod
    def of(cls, charger: ChargerFacts, share: float, sums: ChargerSums | None) -> "ChargerStatOut":
        """Show a charger; one without sessions has zeros."""
        return cls(
            id=str(charger.device_id),
            charger_id=charger.identity,
            charger_name=charger.name or charger.identity,
            station_id="" if charger.station_id is None else str(charger.station_id),
            station_name=charger.station_name or "",
            connectors=charger.connectors,
            utilization=percent(share),
            sessions=sums.sessions if sums else 0,
            energy_dispensed=kwh(sums.energy_wh if sums else 0),
            revenue=money(sums.total_minor if sums else 0),
        )


class ChargerStatsOut(Out):
    """Chargers in order of id, at most 1,000; `avg_utilization` is the mean over all that are asked for."""

    chargers: list[ChargerStatOut]
    avg_utilization: float
    start_date: date
    end_date: date


class SessionSummaryOut(Out):
    """Sessions that started in the span; `avg_duration` is that of those with a record."""

    total_sessions: int
    successful: int
    failed: int
    active: int
    avg_duration: float
    start_date: date
    end_date: date

    @classmethod
    def of(cls, sums: Sums, days: Days) -> "SessionSummaryOut":
        """Show the sums."""
        return cls(
            total_sessions=sums.sessions,
            successful=sums.completed,
            failed=sums.failed,
            active=sums.active,
            avg_duration=minutes(sums.mean_duration_s),
            start_date=days.first,
            end_date=days.last,
        )


class TopUserOut(Out):
    """A driver's sessions of the span."""

    user_id: str
    name: str
    sessions: int
    energy_consumed: float
    total_spent: float

    @classmethod
    def of(cls, user: UserSums) -> "TopUserOut":
        """Show a driver."""
        return cls(
            user_id=str(user.user_id),
            name=user.name,
            sessions=user.sessions,
            energy_consumed=kwh(user.energy_wh),
            total_spent=money(user.total_minor),
        )


class UserActivityOut(Out):
    """Drivers with a session in the span, accounts made in it, and who spent most."""

    active_users: int
    new_users: int
    top_users: list[TopUserOut]
    start_date: date
    end_date: date
