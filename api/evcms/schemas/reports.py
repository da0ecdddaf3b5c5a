"""EV-CMS billing reports of a day and of a month, by the platform's clock.

Money in rupees, energy in kWh. `revenue` is what drivers pay for the sessions that started then, GST
included, as their latest records say; top-ups and refunds are what moved then, and are not in it.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from api.evcms.envelope import Named, Out
from api.evcms.schemas.analytics import kwh
from api.fields import money
from storage.queries.figures_evcms import MoneyFlow
from storage.queries.session_days import DaySums, StationSums, Sums
from stream.figures.days import Days


class _Billed(Out):
    """`net_revenue` is `revenue` less `gst`; `platform_fee` is in both."""

    sessions: int
    energy_dispensed: float
    revenue: float
    gst: float
    platform_fee: float
    net_revenue: float


def _billed(sums: Sums) -> dict[str, float | int]:
    return {
        "sessions": sums.sessions,
        "energy_dispensed": kwh(sums.energy_wh),
        "revenue": money(sums.total_minor),
        "gst": money(sums.gst_minor),
        "platform_fee": money(sums.platform_fee_minor),
        "net_revenue": money(sums.total_minor - sums.gst_minor),
    }


class StationReportOut(_Billed):
    """One station's part of a report."""

    station_id: str
    station_name: str

    @classmethod
    def of(cls, station: StationSums) -> "StationReportOut":
        """Show a station's sums."""
        return cls.model_validate(
            {"station_id": str(station.station_id), "station_name": station.name, **_billed(station)}
        )


class DayReportOut(_Billed):
    """One day; `topups` were paid into wallets, `refunds` were approved."""

    date: date
    completed: int
    failed: int
    refunds: float
    topups: float


def day_report(day: date, sums: Sums, flow: MoneyFlow | None) -> DayReportOut:
    """Show one day."""
    return DayReportOut.model_validate(
        {
            "date": day,
            "completed": sums.completed,
            "failed": sums.failed,
            "refunds": money(flow.refunds_minor if flow else 0),
            "topups": money(flow.top_ups_minor if flow else 0),
            **_billed(sums),
        }
    )


class DailyReportOut(DayReportOut):
    """A day, with its stations by revenue, at most 100."""

    currency: str
    by_station: list[StationReportOut]


class NamedDailyReport(DailyReportOut, Named):
    """`data` of a daily report."""

    report: DailyReportOut


class MonthlyReportOut(_Billed):
    """A month, each of its days, and its stations by revenue, at most 100."""

    month: int
    year: int
    start_date: date
    end_date: date
    currency: str
    completed: int
    failed: int
    refunds: float
    topups: float
    days: list[DayReportOut]
    by_station: list[StationReportOut]

    @classmethod
    def of(
        cls,
        days: Days,
        total: Sums,
        by_day: Mapping[date, DaySums],
        flows: Mapping[date, MoneyFlow],
        stations: Sequence[StationSums],
    ) -> "MonthlyReportOut":
        """Show a month; a day without sessions has zeros."""
        nothing = Sums(0, 0, 0, 0, 0, 0, 0, 0, 0)
        every = [date.fromordinal(days.first.toordinal() + number) for number in range(days.count)]
        return cls.model_validate(
            {
                "month": days.first.month,
                "year": days.first.year,
                "start_date": days.first,
                "end_date": days.last,
                "currency": "INR",
                "completed": total.completed,
                "failed": total.failed,
                "refunds": money(sum(flow.refunds_minor for flow in flows.values())),
                "topups": money(sum(flow.top_ups_minor for flow in flows.values())),
                "days": [day_report(day, by_day.get(day, nothing), flows.get(day)) for day in every],
                "by_station": [StationReportOut.of(each) for each in stations],
                **_billed(total),
            }
        )


class NamedMonthlyReport(MonthlyReportOut, Named):
    """`data` of a monthly report."""

    report: MonthlyReportOut
