"""Analytics (EV-111 to EV-114, R403): roles, own chargers, spans, periods, utilisation."""

from datetime import UTC, date, datetime, timedelta

import httpx
import pytest

from storage.database import Pool
from stream.figures.days import platform_day
from tests.api.evcms.figures_scene import NEW_YORK, charge, data, kolkata, make_station, statuses
from tests.api.helpers import Clock, Person

PATHS = ("/analytics/revenue", "/analytics/charger-stats", "/analytics/session-summary")


async def test_who_may_see_what(api: httpx.AsyncClient, admin: Person, brand: Person, driver: Person) -> None:
    for path in PATHS:
        assert await statuses(api, [admin, brand, driver], path) == [200, 200, 403]
    assert await statuses(api, [admin, brand, driver], "/analytics/user-activity") == [200, 403, 403]
    for path in (*PATHS, "/analytics/user-activity"):
        assert (await api.get(f"/api/v1{path}")).status_code == 401


async def test_a_brand_sees_its_own_chargers_only(
    api: httpx.AsyncClient, admin: Person, brand: Person, rival: Person, pool: Pool, clock: Clock
) -> None:
    own_id, own = await make_station(pool, "Own", "CP-OWN", brand.id)
    other_id, other = await make_station(pool, "Other", "CP-OTHER", rival.id)
    at = clock.moment() - timedelta(hours=30)
    await charge(pool, own, None, at)
    await charge(pool, other, None, at, energy_wh=20_000)
    assert (await data(api, brand, "/analytics/revenue"))["revenue"] == 177
    assert (await data(api, rival, "/analytics/revenue"))["revenue"] == 354
    assert (await data(api, admin, "/analytics/revenue"))["revenue"] == 531
    assert (await data(api, brand, "/analytics/session-summary"))["totalSessions"] == 1
    shown = await data(api, brand, "/analytics/charger-stats")
    assert [each["chargerId"] for each in shown["chargers"]] == ["CP-OWN"]
    foreign = await data(api, brand, "/analytics/charger-stats", stationId=str(other_id))
    assert foreign["chargers"] == []
    mine = await data(api, brand, "/analytics/charger-stats", stationId=str(own_id))
    assert mine["chargers"][0]["revenue"] == 177
    everything = await data(api, admin, "/analytics/charger-stats")
    assert [each["chargerId"] for each in everything["chargers"]] == ["CP-OWN", "CP-OTHER"]
    for station in ("", "abc", "999999", "1\0"):
        found = await data(api, admin, "/analytics/charger-stats", stationId=station)
        assert found == {**found, "chargers": [], "avgUtilization": 0}


async def test_periods_have_their_sessions_and_empty_ones_are_there(
    api: httpx.AsyncClient, admin: Person, pool: Pool
) -> None:
    _, device_id = await make_station(pool, "A", "CP-A", None)
    # a Saturday, the Sunday after it, and the last minute of a month
    for number, at in enumerate(
        [kolkata(date(2026, 3, 7), 0), kolkata(date(2026, 3, 8), 23, 59), kolkata(date(2026, 3, 31), 23, 59)]
    ):
        await charge(pool, device_id, None, at, id_tag=f"T{number}")
    asked = {"startDate": "2026-03-01", "endDate": "2026-04-01"}
    days = await data(api, admin, "/analytics/revenue", **asked)
    assert len(days["period"]) == 32
    assert [each["period"] for each in days["period"] if each["sessionCount"]] == [
        "2026-03-07",
        "2026-03-08",
        "2026-03-31",
    ]
    weeks = await data(api, admin, "/analytics/revenue", **asked, groupBy="week")
    assert [(each["period"], each["sessionCount"]) for each in weeks["period"]] == [
        ("2026-03-01", 0),
        ("2026-03-02", 2),
        ("2026-03-09", 0),
        ("2026-03-16", 0),
        ("2026-03-23", 0),
        ("2026-03-30", 1),
    ]
    months = await data(api, admin, "/analytics/revenue", **asked, groupBy="month")
    assert [(each["period"], each["revenue"]) for each in months["period"]] == [
        ("2026-03", 531.0),
        ("2026-04", 0.0),
    ]
    assert months["revenue"] == 531
    assert months["sessionCount"] == 3


async def test_a_stations_day_is_that_of_its_clock(
    api: httpx.AsyncClient, admin: Person, brand: Person, pool: Pool
) -> None:
    """Where the clocks change on 8 March 2026: 23 hours."""
    _, device_id = await make_station(pool, "A", "CP-A", brand.id, "America/New_York")
    starts = [
        datetime(2026, 3, 7, 23, 59, tzinfo=NEW_YORK),
        datetime(2026, 3, 8, 0, 0, tzinfo=NEW_YORK),
        datetime(2026, 3, 8, 23, 59, tzinfo=NEW_YORK),
        datetime(2026, 3, 9, 0, 0, tzinfo=NEW_YORK),
    ]
    for number, at in enumerate(starts):
        await charge(pool, device_id, None, at.astimezone(UTC), id_tag=f"T{number}")
    asked = {"startDate": "2026-03-07", "endDate": "2026-03-09"}
    local = await data(api, brand, "/analytics/revenue", **asked)
    assert [each["sessionCount"] for each in local["period"]] == [1, 2, 1]
    platform = await data(api, admin, "/analytics/revenue", **asked)
    assert [each["sessionCount"] for each in platform["period"]] == [0, 2, 2]


async def test_how_sessions_ended(api: httpx.AsyncClient, admin: Person, pool: Pool) -> None:
    _, device_id = await make_station(pool, "A", "CP-A", None)
    noon = kolkata(date(2026, 3, 7))
    kinds = ["rated", "corrected", "failed", "active", "unrated"]
    for number, kind in enumerate(kinds):
        at = noon + timedelta(hours=number)
        await charge(pool, device_id, None, at, kind=kind, hours=number + 1, id_tag=f"T{number}")
    asked = {"startDate": "2026-03-07", "endDate": "2026-03-07"}
    assert await data(api, admin, "/analytics/session-summary", **asked) == {
        "totalSessions": 5,
        "successful": 3,
        "failed": 1,
        "active": 1,
        "avgDuration": 90.0,
        **asked,
    }
    revenue = await data(api, admin, "/analytics/revenue", **asked)
    assert revenue["revenue"] == 177 + 265.5, "as corrected"
    nothing = await data(
        api, admin, "/analytics/session-summary", startDate="2020-01-01", endDate="2020-01-01"
    )
    assert (nothing["totalSessions"], nothing["avgDuration"]) == (0, 0)


async def test_utilisation_of_each_charger(api: httpx.AsyncClient, admin: Person, pool: Pool) -> None:
    _, device_id = await make_station(pool, "A", "CP-A", None)
    await make_station(pool, "B", "CP-B", None)
    await charge(pool, device_id, None, kolkata(date(2026, 3, 6), 18), hours=12)
    stats = await data(api, admin, "/analytics/charger-stats", startDate="2026-03-07", endDate="2026-03-07")
    assert [each["utilization"] for each in stats["chargers"]] == [25.0, 0.0], "6 of 24 hours"
    assert stats["avgUtilization"] == 12.5
    assert stats["chargers"][0]["sessions"] == 0, "it started the day before"


async def test_who_charges(
    api: httpx.AsyncClient, admin: Person, driver: Person, stranger: Person, pool: Pool, clock: Clock
) -> None:
    _, device_id = await make_station(pool, "A", "CP-A", None)
    at = clock.moment() - timedelta(hours=5)
    await charge(pool, device_id, driver.id, at, id_tag="A")
    await charge(pool, device_id, stranger.id, at, id_tag="B", energy_wh=20_000)
    await charge(pool, device_id, stranger.id, at, id_tag="C", kind="failed")
    await charge(pool, device_id, None, at, id_tag="D")
    today = str(platform_day(clock.moment()))
    found = await data(api, admin, "/analytics/user-activity")
    assert (found["activeUsers"], found["newUsers"]) == (2, 3)
    assert [(each["userId"], each["sessions"], each["totalSpent"]) for each in found["topUsers"]] == [
        (str(stranger.id), 2, 354.0),
        (str(driver.id), 1, 177.0),
    ]
    assert found["endDate"] == today


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"startDate": "yesterday"}, "startDate"),
        ({"endDate": "2026-02-30"}, "endDate"),
        ({"startDate": "1999-12-31"}, "startDate"),
        ({"endDate": "9999-12-31"}, "endDate"),
        ({"startDate": "2026-03-02", "endDate": "2026-03-01"}, "endDate"),
        ({"startDate": "2025-01-01", "endDate": "2026-01-02"}, "endDate"),
        ({"startDate": "2026-01-01" + " " * 50}, "startDate"),
        ({"groupBy": "year"}, "groupBy"),
    ],
)
async def test_what_is_no_span_is_refused(
    api: httpx.AsyncClient, admin: Person, query: dict[str, str], field: str
) -> None:
    answer = await api.get("/api/v1/analytics/revenue", params=query, headers=admin.headers)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [field]


async def test_spans_that_are_just_allowed(api: httpx.AsyncClient, admin: Person) -> None:
    year = await data(api, admin, "/analytics/revenue", startDate="2025-01-01", endDate="2026-01-01")
    assert len(year["period"]) == 366
    default = await data(api, admin, "/analytics/revenue")
    assert len(default["period"]) == 30
    zoned = await data(
        api, admin, "/analytics/revenue", startDate="2026-03-01T18:30:00Z", endDate="2026-03-02T18:29:59Z"
    )
    assert [each["period"] for each in zoned["period"]] == ["2026-03-02"]
    answer = await api.get(
        "/api/v1/analytics/user-activity",
        params={"startDate": "2026-01-01", "endDate": "2026-04-03"},
        headers=admin.headers,
    )
    assert answer.status_code == 422, "people are counted over 92 days at most"
