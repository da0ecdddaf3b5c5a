"""EV-CMS dashboards: an admin's and a driver's.

Money in rupees with GST, energy in kWh, durations in minutes, utilisation in percent.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, StringConstraints

from api.evcms.envelope import Maybe, Named, Out
from api.evcms.schemas.analytics import kwh, percent
from api.evcms.schemas.receipts import minutes
from api.evcms.schemas.sessions import SessionOut
from api.fields import money
from storage.queries.charger_views import ChargerTotals
from storage.queries.figures_evcms import Favourite, Overview, OwnFigures
from storage.queries.session_days import StationSums, Sums
from stream.co2 import co2_saved_kg

Section = Literal["overview", "chargers", "sessions", "revenue"]
SECTIONS: tuple[Section, ...] = get_args(Section)


def sections_of(include: str | None) -> set[str]:
    """Return the sections that a comma list names; all where it is empty. Raises ValueError."""
    named = {each.strip() for each in (include or "").split(",")} - {""}
    unknown = sorted(named - set(SECTIONS))
    if unknown:
        raise ValueError(f"there is no section {', '.join(unknown)}: {', '.join(SECTIONS)} are there")
    return named or set(SECTIONS)


def _checked(include: str) -> str:
    sections_of(include)
    return include


Include = Annotated[str, StringConstraints(max_length=100), AfterValidator(_checked)]


class OverviewOut(Out):
    """What there is, and what came in today and this month."""

    total_users: int
    total_stations: int
    total_chargers: int
    active_sessions: int
    today_revenue: float
    month_revenue: float

    @classmethod
    def of(cls, overview: Overview, today_minor: int, month_minor: int) -> "OverviewOut":
        """Show the counts."""
        return cls(
            total_users=overview.users,
            total_stations=overview.stations,
            total_chargers=overview.chargers,
            active_sessions=overview.active_sessions,
            today_revenue=money(today_minor),
            month_revenue=money(month_minor),
        )


class ChargersOut(Out):
    """Chargers by status now; `utilization_rate`: the share of connector time of today that sessions took."""

    online: int
    offline: int
    faulted: int
    maintenance: int
    utilization_rate: float

    @classmethod
    def of(cls, totals: ChargerTotals, shares: Sequence[float]) -> "ChargersOut":
        """Show the counts; those that are neither online, offline nor faulted are in maintenance."""
        mean = sum(shares) / len(shares) if shares else 0.0
        return cls(
            online=totals.online,
            offline=totals.offline,
            faulted=totals.faulted,
            maintenance=totals.total - totals.online - totals.offline - totals.faulted,
            utilization_rate=percent(mean),
        )


class SessionsOut(Out):
    """Sessions by when they started; `avg_duration` of this month, `total_energy_dispensed` of all time.

    Extension: `co2_saved_kg`, of all time.
    """

    today: int
    this_week: int
    this_month: int
    avg_duration: float
    total_energy_dispensed: float
    co2_saved_kg: float

    @classmethod
    def of(cls, today: Sums, week: Sums, month: Sums, ever: Sums) -> "SessionsOut":
        """Show the counts."""
        return cls(
            today=today.sessions,
            this_week=week.sessions,
            this_month=month.sessions,
            avg_duration=minutes(month.mean_duration_s),
            total_energy_dispensed=kwh(ever.energy_wh),
            co2_saved_kg=co2_saved_kg(ever.energy_wh),
        )


class TopStationOut(Out):
    """A station's revenue of this month."""

    station_id: str
    station_name: str
    revenue: float

    @classmethod
    def of(cls, station: StationSums) -> "TopStationOut":
        """Show a station."""
        return cls(
            station_id=str(station.station_id), station_name=station.name, revenue=money(station.total_minor)
        )


class RevenueSectionOut(Out):
    """`trend` compares this month so far with as many days of the month before; equal is up."""

    today: float
    this_week: float
    this_month: float
    trend: Literal["up", "down"]
    top_stations: list[TopStationOut]

    @classmethod
    def of(
        cls, today: Sums, week: Sums, month: Sums, month_before: Sums, top: Sequence[StationSums]
    ) -> "RevenueSectionOut":
        """Show the sums."""
        return cls(
            today=money(today.total_minor),
            this_week=money(week.total_minor),
            this_month=money(month.total_minor),
            trend="up" if month.total_minor >= month_before.total_minor else "down",
            top_stations=[TopStationOut.of(each) for each in top],
        )


class AdminStatsOut(Out):
    """The sections that were asked for."""

    overview: Maybe[OverviewOut]
    chargers: Maybe[ChargersOut]
    sessions: Maybe[SessionsOut]
    revenue: Maybe[RevenueSectionOut]


class NamedAdminStats(AdminStatsOut, Named):
    """`data` of an admin's dashboard."""

    stats: AdminStatsOut


class MonthOut(Out):
    """A driver's sessions of this month. Extension: `co2_saved_kg`."""

    sessions: int
    energy_consumed: float
    total_spent: float
    co2_saved_kg: float


class FavouriteOut(Out):
    """A favourite station."""

    id: str
    name: str
    address: str
    city: str
    status: Literal["active", "inactive", "maintenance"]
    rating: float

    @classmethod
    def of(cls, station: Favourite) -> "FavouriteOut":
        """Show a station."""
        return cls.model_validate(
            {
                "id": str(station.id),
                "name": station.name,
                "address": station.address,
                "city": station.city,
                "status": station.status,
                "rating": station.rating,
            }
        )


class UserStatsOut(Out):
    """What a driver sees first; `active_session` only while one is under way."""

    upcoming_bookings: int
    active_session: Maybe[SessionOut]
    wallet_balance: float
    this_month: MonthOut
    recent_sessions: list[SessionOut]
    favorite_stations: list[FavouriteOut]

    @classmethod
    def of(
        cls,
        own: OwnFigures,
        balance_minor: int,
        active: SessionOut | None,
        recent: list[SessionOut],
        favourites: Sequence[Favourite],
    ) -> "UserStatsOut":
        """Put the parts together."""
        month = MonthOut(
            sessions=own.sessions,
            energy_consumed=kwh(own.energy_wh),
            total_spent=money(own.total_minor),
            co2_saved_kg=co2_saved_kg(own.energy_wh),
        )
        return cls(
            upcoming_bookings=own.upcoming_bookings,
            active_session=active,
            wallet_balance=money(balance_minor),
            this_month=month,
            recent_sessions=recent,
            favorite_stations=[FavouriteOut.of(each) for each in favourites],
        )


class NamedUserStats(UserStatsOut, Named):
    """`data` of a driver's dashboard."""

    stats: UserStatsOut
