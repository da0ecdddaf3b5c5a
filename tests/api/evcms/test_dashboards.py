"""Dashboards (EV-097, EV-127, R400, R401, R408), and that all figures of the family agree."""

import csv
import io
import random
from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from storage import ledger
from storage.database import Pool
from stream.co2 import co2_saved_kg
from stream.figures.days import comparable, month, platform_day, this_month, this_week
from tests.api.evcms.figures_scene import KINDS, charge, data, kolkata, make_station, statuses
from tests.api.helpers import Clock, Person

SECTIONS = {"overview", "chargers", "sessions", "revenue"}
HALF_HOUR = timedelta(minutes=30)
ZONES = ("Asia/Kolkata", "America/New_York", "Europe/London")


async def test_sections_are_those_that_are_asked_for(api: httpx.AsyncClient, admin: Person) -> None:
    everything = await data(api, admin, "/admin/dashboard")
    assert set(everything) == SECTIONS | {"stats"}
    assert set(everything["stats"]) == SECTIONS
    assert set(everything["overview"]) == {
        "totalUsers", "totalStations", "totalChargers", "activeSessions", "todayRevenue", "monthRevenue",
    }  # fmt: skip
    assert set(everything["chargers"]) == {"online", "offline", "faulted", "maintenance", "utilizationRate"}
    assert set(everything["sessions"]) == {
        "today", "thisWeek", "thisMonth", "avgDuration", "totalEnergyDispensed", "co2SavedKg",
    }  # fmt: skip
    assert set(everything["revenue"]) == {"today", "thisWeek", "thisMonth", "trend", "topStations"}
    two = await data(api, admin, "/admin/dashboard", include="overview, revenue")
    assert set(two["stats"]) == {"overview", "revenue"}
    assert set((await data(api, admin, "/admin/dashboard", include=""))["stats"]) == SECTIONS
    for unknown in ("overview,secrets", "x" * 101, "overview;revenue"):
        answer = await api.get("/api/v1/admin/dashboard", params={"include": unknown}, headers=admin.headers)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "include"


async def test_only_an_admin_sees_the_platform(
    api: httpx.AsyncClient, admin: Person, brand: Person, driver: Person
) -> None:
    assert await statuses(api, [admin, brand, driver], "/admin/dashboard") == [200, 403, 403]
    assert (await api.get("/api/v1/dashboard/stats")).status_code == 401


async def test_what_there_is(api: httpx.AsyncClient, admin: Person, pool: Pool, clock: Clock) -> None:
    _, first = await make_station(pool, "A", "CP-A", None)
    _, second = await make_station(pool, "B", "CP-B", None)
    now = clock.moment()
    await charge(pool, first, None, now - timedelta(hours=3), kind="active")
    async with pool.connection() as db:
        await db.execute("UPDATE chargers SET maintenance = true WHERE device_id = %s", [second])
        await db.execute("UPDATE stations SET deleted_at = now() WHERE name = 'B'")
    stats = await data(api, admin, "/admin/dashboard")
    assert stats["overview"]["totalStations"] == 1
    assert stats["overview"]["totalChargers"] == 2
    assert stats["overview"]["totalUsers"] == 1
    assert stats["overview"]["activeSessions"] == 1
    counted = {key: stats["chargers"][key] for key in ("online", "offline", "faulted", "maintenance")}
    assert counted == {"online": 1, "offline": 0, "faulted": 0, "maintenance": 1}
    assert stats["chargers"]["utilizationRate"] > 0
    assert stats["revenue"]["trend"] == "up", "nothing beside nothing"


@pytest.mark.parametrize(("this_wh", "before_wh", "trend"), [(10_000, 9_000, "up"), (9_000, 10_000, "down")])
async def test_the_trend_is_beside_as_many_days_of_the_month_before(
    api: httpx.AsyncClient, admin: Person, pool: Pool, clock: Clock, this_wh: int, before_wh: int, trend: str
) -> None:
    _, device_id = await make_station(pool, "A", "CP-A", None)
    today = platform_day(clock.moment())
    before = comparable(today)
    await charge(pool, device_id, None, kolkata(today.replace(day=1), 0), energy_wh=this_wh, id_tag="A")
    await charge(pool, device_id, None, kolkata(before.last, 23, 59), energy_wh=before_wh, id_tag="B")
    if before.last + timedelta(days=1) < today.replace(day=1):
        late = kolkata(before.last + timedelta(days=1), 0)
        await charge(pool, device_id, None, late, energy_wh=1_000_000, id_tag="C")
    assert (await data(api, admin, "/admin/dashboard"))["revenue"]["trend"] == trend


async def test_a_drivers_own_dashboard(
    api: httpx.AsyncClient, driver: Person, stranger: Person, brand: Person, pool: Pool, clock: Clock
) -> None:
    station_id, device_id = await make_station(pool, "Home", "CP-A", brand.id)
    now = clock.moment()
    await charge(pool, device_id, stranger.id, now - timedelta(minutes=90), id_tag="OTHER")
    for number in range(7):
        at = now - timedelta(minutes=200 + 10 * number)
        await charge(pool, device_id, driver.id, at, hours=0.1, id_tag=f"TAG-{number}")
    active = await charge(pool, device_id, driver.id, now - timedelta(days=90), kind="active")
    async with pool.connection() as db:
        funding, wallet = await ledger.house_account(db, "funding"), await ledger.ensure_wallet(db, driver.id)
        await ledger.transfer(
            db,
            key="gift",
            debit_account_id=funding.id,
            credit_account_id=wallet.id,
            amount_minor=12_345,
            description="gift",
        )
        await db.execute("INSERT INTO favourite_stations VALUES (%s, %s)", [driver.id, station_id])
    stats = await data(api, driver, "/dashboard/stats")
    assert stats.pop("stats") == stats
    assert set(stats) == {
        "upcomingBookings", "activeSession", "walletBalance", "thisMonth", "recentSessions",
        "favoriteStations",
    }  # fmt: skip
    assert stats["walletBalance"] == 123.45
    assert stats["activeSession"]["id"] == str(active)
    assert len(stats["recentSessions"]) == 5
    starts = [each["startTime"] for each in stats["recentSessions"]]
    assert starts == sorted(starts, reverse=True)
    assert [each["name"] for each in stats["favoriteStations"]] == ["Home"]
    own = (await api.get("/api/v1/sessions", params={"limit": 100}, headers=driver.headers)).json()["data"]
    first = this_month(platform_day(now)).first
    shown = [each for each in own if platform_day(datetime.fromisoformat(each["startTime"])) >= first]
    assert stats["thisMonth"]["sessions"] == len(shown)
    assert stats["thisMonth"]["totalSpent"] == round(sum(each.get("cost", 0) for each in shown), 2)
    energy_wh = round(1_000 * stats["thisMonth"]["energyConsumed"])
    assert stats["thisMonth"]["co2SavedKg"] == co2_saved_kg(energy_wh)
    nobody = await data(api, brand, "/dashboard/stats")
    assert nobody["thisMonth"]["sessions"] == 0
    assert "activeSession" not in nobody


async def test_bookings_ahead_are_counted(
    api: httpx.AsyncClient, driver: Person, pool: Pool, clock: Clock
) -> None:
    station_id, _ = await make_station(pool, "Home", "CP-A", None)
    now = clock.moment()
    async with pool.connection() as db:
        (connector_id,) = await (await db.execute("SELECT min(id) FROM station_connectors")).fetchone() or (
            0,
        )
        for number, (status, hours) in enumerate(
            [("confirmed", 2), ("pending", 4), ("confirmed", -2), ("cancelled", 6), ("active", -1)]
        ):
            at = now + timedelta(hours=hours)
            await db.execute(
                "INSERT INTO bookings (booking_number, user_id, station_id, station_connector_id, status,"
                " scheduled_at, estimated_minutes, during, created_at, updated_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, 30, tstzrange(%s, %s), %s, %s)",
                [str(number), driver.id, station_id, connector_id, status, at, at, at + HALF_HOUR, now, now],
            )
    assert (await data(api, driver, "/dashboard/stats"))["upcomingBookings"] == 2


def rupees(rows: list[dict[str, Any]], key: str) -> float:
    return round(sum(float(row[key]) for row in rows), 2)


async def test_every_figure_agrees_with_the_others(
    api: httpx.AsyncClient, admin: Person, brand: Person, rival: Person, driver: Person, stranger: Person,
    pool: Pool, clock: Clock,
) -> None:  # fmt: skip
    now = clock.moment()
    today = platform_day(now)
    stations = [
        await make_station(pool, zone, zone, (brand if number else rival).id, zone)
        for number, zone in enumerate(ZONES)
    ]
    last_of_before = today.replace(day=1) - timedelta(days=1)
    before = month(last_of_before.year, last_of_before.month)
    pick = random.Random(3)
    edges = [before.start, before.end, before.end - timedelta(seconds=1), this_week(today).start]
    edges += [before.start + timedelta(days=1, minutes=each) for each in (-1, 0, 1)]
    span_s = int((now - before.start).total_seconds()) - 3_600
    moments = edges + [before.start + timedelta(seconds=pick.randrange(span_s)) for _ in range(28)]
    for number, at in enumerate(moment for moment in moments if moment < now - timedelta(hours=1)):
        _, device_id = stations[number % 3]
        user = (driver, stranger)[number % 2]
        kind = "rated" if number < 5 else KINDS[number % 5]
        wh = pick.randrange(1, 60_000)
        await charge(pool, device_id, user.id, at, energy_wh=wh, hours=0.9, kind=kind, id_tag=f"T{number}")

    for days in (before, this_month(today)):
        await agree(api, admin, days.first, days.last)
    overview = await data(api, admin, "/admin/dashboard")
    current = await data(api, admin, "/billing/reports/monthly")
    daily = await data(api, admin, "/billing/reports/daily")
    week = await data(
        api, admin, "/analytics/revenue", startDate=str(this_week(today).first), endDate=str(today)
    )
    assert overview["overview"]["monthRevenue"] == overview["revenue"]["thisMonth"] == current["revenue"]
    assert overview["overview"]["todayRevenue"] == overview["revenue"]["today"] == daily["revenue"]
    assert overview["revenue"]["thisWeek"] == week["revenue"]
    assert overview["sessions"]["thisMonth"] == current["sessions"]
    assert overview["sessions"]["today"] == daily["sessions"]
    assert overview["sessions"]["thisWeek"] == week["sessionCount"]
    top = {each["stationId"]: each["revenue"] for each in overview["revenue"]["topStations"]}
    assert {each["stationId"]: each["revenue"] for each in current["byStation"]} == top
    mine = [await data(api, each, "/dashboard/stats") for each in (driver, stranger)]
    assert rupees([each["thisMonth"] for each in mine], "totalSpent") == current["revenue"]
    await by_the_stations_clock(api, brand, before.first, today)


async def agree(api: httpx.AsyncClient, admin: Person, first: date, last: date) -> None:
    """One month by each of its ways."""
    monthly = await data(api, admin, "/billing/reports/monthly", month=first.month, year=first.year)
    spent = {"startDate": str(first), "endDate": str(last)}
    assert monthly["revenue"] == rupees(monthly["days"], "revenue")
    assert monthly["gst"] == rupees(monthly["days"], "gst")
    assert monthly["revenue"] == rupees(monthly["byStation"], "revenue")
    assert monthly["netRevenue"] == round(monthly["revenue"] - monthly["gst"], 2)
    for day in monthly["days"]:
        daily = await data(api, admin, "/billing/reports/daily", date=day["date"])
        assert {key: daily[key] for key in day} == day
        assert rupees(daily["byStation"], "revenue") == daily["revenue"]
    for grouping in ("day", "week", "month"):
        revenue = await data(api, admin, "/analytics/revenue", **spent, groupBy=grouping)
        assert revenue["revenue"] == monthly["revenue"] == rupees(revenue["period"], "revenue")
        assert revenue["sessionCount"] == monthly["sessions"]
        assert sum(each["sessionCount"] for each in revenue["period"]) == monthly["sessions"]
    chargers = await data(api, admin, "/analytics/charger-stats", **spent)
    assert rupees(chargers["chargers"], "revenue") == monthly["revenue"]
    summary = await data(api, admin, "/analytics/session-summary", **spent)
    assert summary["totalSessions"] == monthly["sessions"]
    assert (summary["successful"], summary["failed"]) == (monthly["completed"], monthly["failed"])
    activity = await data(api, admin, "/analytics/user-activity", **spent)
    assert rupees(activity["topUsers"], "totalSpent") == monthly["revenue"]
    assert sum(each["sessions"] for each in activity["topUsers"]) == monthly["sessions"]
    answer = await api.get("/api/v1/billing/export", params=spent, headers=admin.headers)
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert rupees(rows, "totalCost") == monthly["revenue"]
    assert rupees(rows, "gst") == monthly["gst"]
    assert round(sum(float(row["energyKwh"]) for row in rows), 3) == monthly["energyDispensed"]
    history = await api.get(
        "/api/v1/sessions/history",
        params={"startDate": f"{first}T00:00:00+05:30", "endDate": f"{last}T23:59:59.999999+05:30"},
        headers=admin.headers,
    )
    assert history.json()["totals"]["totalCost"] == monthly["revenue"]


async def by_the_stations_clock(api: httpx.AsyncClient, brand: Person, first: date, last: date) -> None:
    """A brand's days are those of its stations: added up from the list of its sessions."""
    listed = (await api.get("/api/v1/sessions", params={"limit": 100}, headers=brand.headers)).json()["data"]
    expected: dict[str, float] = defaultdict(float)
    for session in listed:
        zone = ZoneInfo(session["chargerId"])
        day = datetime.fromisoformat(session["startTime"]).astimezone(zone).date()
        expected[str(day)] = round(expected[str(day)] + session.get("cost", 0), 2)
    found = await data(api, brand, "/analytics/revenue", startDate=str(first), endDate=str(last))
    shown = {each["period"]: each["revenue"] for each in found["period"] if each["sessionCount"]}
    assert shown == {day: cost for day, cost in expected.items() if str(first) <= day <= str(last)}
    assert any(expected.values())
