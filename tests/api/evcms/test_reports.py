"""Billing reports (EV-068, EV-069, R346): top-ups and refunds, bounds, roles. Sums: see test_dashboards."""

from datetime import date, timedelta

import httpx
import pytest

from storage import ledger
from storage.database import Pool
from stream.figures.days import platform_day
from tests.api.evcms.figures_scene import charge, data, kolkata, make_station, statuses
from tests.api.helpers import Clock, Person

DAILY, MONTHLY = "/billing/reports/daily", "/billing/reports/monthly"


async def test_only_an_admin_sees_reports(
    api: httpx.AsyncClient, admin: Person, brand: Person, driver: Person
) -> None:
    for path in (DAILY, MONTHLY):
        assert await statuses(api, [admin, brand, driver], path) == [200, 403, 403]
        assert (await api.get(f"/api/v1{path}")).status_code == 401


async def test_a_day_and_its_parts(api: httpx.AsyncClient, admin: Person, pool: Pool) -> None:
    first_id, first = await make_station(pool, "First", "CP-1", None)
    second_id, second = await make_station(pool, "Second", "CP-2", None)
    day = date(2026, 2, 28)
    await charge(pool, first, None, kolkata(day, 0), id_tag="A")
    await charge(pool, second, None, kolkata(day, 23, 59), id_tag="B", energy_wh=20_000, kind="corrected")
    await charge(pool, second, None, kolkata(day), id_tag="C", kind="failed")
    await charge(pool, first, None, kolkata(day + timedelta(days=1), 0), id_tag="D")
    report = await data(api, admin, DAILY, date="2026-02-28")
    assert report.pop("report") == report
    stations = report.pop("byStation")
    assert report == {
        "date": "2026-02-28",
        "currency": "INR",
        "sessions": 3,
        "completed": 2,
        "failed": 1,
        "energyDispensed": 40.0,
        "revenue": 708.0,
        "gst": 108.0,
        "platformFee": 0.0,
        "netRevenue": 600.0,
        "refunds": 0.0,
        "topups": 0.0,
    }
    assert [(each["stationId"], each["stationName"], each["revenue"]) for each in stations] == [
        (str(second_id), "Second", 531.0),
        (str(first_id), "First", 177.0),
    ]
    month = await data(api, admin, MONTHLY, month=2, year=2026)
    assert month.pop("report") == month
    assert (month["startDate"], month["endDate"], len(month["days"])) == ("2026-02-01", "2026-02-28", 28)
    assert month["revenue"] == 708.0
    assert month["days"][-1] == {key: report[key] for key in month["days"][-1]}
    assert month["days"][0]["revenue"] == 0


async def test_top_ups_and_refunds_of_a_day(
    api: httpx.AsyncClient, admin: Person, driver: Person, pool: Pool, clock: Clock
) -> None:
    async with pool.connection() as db:
        funding, wallet = await ledger.house_account(db, "funding"), await ledger.ensure_wallet(db, driver.id)
        moved = await ledger.transfer(
            db,
            key="topup",
            debit_account_id=funding.id,
            credit_account_id=wallet.id,
            amount_minor=50_000,
            description="top-up",
        )
        await db.execute(
            "INSERT INTO refunds (user_id, transfer_id, amount_minor, reason, status, processed_at,"
            " refund_transfer_id, created_at) VALUES (%s, %s, 1234, 'x', 'approved', %s, %s, now()),"
            " (%s, %s, 99, 'x', 'rejected', %s, NULL, now())",
            [driver.id, moved.id, clock.moment(), moved.id, driver.id, moved.id, clock.moment()],
        )
    for path in (DAILY, MONTHLY):
        report = await data(api, admin, path)
        assert (report["topups"], report["refunds"]) == (500.0, 12.34)
        assert report["revenue"] == 0
    today = platform_day(clock.moment())
    yesterday = await data(api, admin, DAILY, date=str(today - timedelta(days=1)))
    assert (yesterday["topups"], yesterday["refunds"]) == (0, 0)
    month = await data(api, admin, MONTHLY)
    assert [each["topups"] for each in month["days"] if each["topups"]] == [500.0]
    assert month["days"][today.day - 1]["refunds"] == 12.34


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        (DAILY, {"date": "2026-02-30"}, "date"),
        (DAILY, {"date": "0001-01-01"}, "date"),
        (MONTHLY, {"month": "0"}, "month"),
        (MONTHLY, {"month": "13"}, "month"),
        (MONTHLY, {"year": "1999"}, "year"),
        (MONTHLY, {"year": "99999"}, "year"),
        (MONTHLY, {"month": "x"}, "month"),
    ],
)
async def test_what_is_no_day_or_month_is_refused(
    api: httpx.AsyncClient, admin: Person, path: str, query: dict[str, str], field: str
) -> None:
    answer = await api.get(f"/api/v1{path}", params=query, headers=admin.headers)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [field]
