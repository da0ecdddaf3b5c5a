"""Export of billing data (EV-070, R347): each format and type, bounds, and files that harm nobody."""

import csv
import io
from datetime import date
from typing import Any

import httpx
import openpyxl  # type: ignore[import-untyped]
import pypdf
import pytest
import structlog

from api.evcms import export
from storage import ledger
from storage.database import Pool
from storage.queries import exports
from stream.documents import tables_pdf
from tests.api.evcms.figures_scene import charge, kolkata, make_station, statuses
from tests.api.helpers import Person

URL = "/api/v1/billing/export"
DAY = date(2026, 3, 1)
MARCH = {"startDate": "2026-03-01", "endDate": "2026-03-31"}


async def fetch(
    api: httpx.AsyncClient, admin: Person, days: dict[str, str] = MARCH, **query: Any
) -> httpx.Response:
    answer = await api.get(URL, params={**days, **query}, headers=admin.headers)
    assert answer.status_code == 200, answer.text
    return answer


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


async def test_only_an_admin_exports(
    api: httpx.AsyncClient, admin: Person, brand: Person, driver: Person
) -> None:
    assert await statuses(api, [admin, brand, driver], "/billing/export") == [200, 403, 403]
    assert (await api.get(URL)).status_code == 401


async def test_sessions_in_each_format(
    api: httpx.AsyncClient, admin: Person, driver: Person, pool: Pool
) -> None:
    station_id, device_id = await make_station(pool, "=cmd|' /C calc'!A0", "CP-A", None)
    async with pool.connection() as db:
        await db.execute("UPDATE users SET name = '@SUM(1+1)' WHERE id = %s", [driver.id])
    first = await charge(pool, device_id, driver.id, kolkata(DAY, 0), id_tag="A")
    await charge(pool, device_id, None, kolkata(DAY, 1), id_tag="B", kind="corrected")
    await charge(pool, device_id, None, kolkata(DAY, 2), id_tag="C", kind="failed")
    await charge(pool, device_id, None, kolkata(DAY, 3), id_tag="D", kind="active")
    await charge(pool, device_id, None, kolkata(date(2026, 3, 31), 23, 59), id_tag="E")
    await charge(pool, device_id, None, kolkata(date(2026, 4, 1), 0), id_tag="F")
    answer = await fetch(api, admin)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    disposition = 'attachment; filename="sessions_2026-03-01_2026-03-31.{}"'
    assert answer.headers["content-disposition"] == disposition.format("csv")
    rows = rows_of(answer)
    assert [row["totalCost"] for row in rows] == ["177.00", "265.50", "177.00"]
    assert rows[0] == {
        "sessionId": str(first),
        "startTime": "2026-03-01T00:00:00+05:30",
        "endTime": "2026-03-01T01:00:00+05:30",
        "userId": str(driver.id),
        "userName": "'@SUM(1+1)",
        "chargerId": "CP-A",
        "connectorId": "1",
        "stationId": str(station_id),
        "stationName": "'=cmd|' /C calc'!A0",
        "energyKwh": "10",
        "durationMinutes": "60.00",
        "netAmount": "150.00",
        "platformFee": "0.00",
        "gst": "27.00",
        "totalCost": "177.00",
        "currency": "INR",
        "paymentStatus": "failed",
        "estimated": "no",
        "corrected": "no",
    }
    assert rows[1]["corrected"] == "yes"

    sheet = await fetch(api, admin, format="xlsx")
    assert sheet.headers["content-disposition"] == disposition.format("xlsx")
    book = openpyxl.load_workbook(io.BytesIO(sheet.content))
    header, *cells = book.active.iter_rows(values_only=True)
    totals = [row[header.index("totalCost")] for row in cells]
    assert totals == [177, 265.5, 177]
    assert cells[0][header.index("userName")] == "@SUM(1+1)"

    page = await fetch(api, admin, format="pdf")
    assert page.headers["content-type"] == "application/pdf"
    text = pypdf.PdfReader(io.BytesIO(page.content)).pages[0].extract_text()
    assert "619.50" in text
    assert "sessions, 2026-03-01 to 2026-03-31" in text


async def test_transactions_and_invoices(
    api: httpx.AsyncClient, admin: Person, driver: Person, pool: Pool
) -> None:
    async with pool.connection() as db:
        funding, wallet = await ledger.house_account(db, "funding"), await ledger.ensure_wallet(db, driver.id)
        sides = {"debit_account_id": funding.id, "credit_account_id": wallet.id}
        await ledger.transfer(db, key="in", **sides, amount_minor=50_000, description="=top-up")
        await ledger.transfer(
            db,
            key="out",
            debit_account_id=wallet.id,
            credit_account_id=funding.id,
            amount_minor=1_050,
            description="payment",
        )
        await db.execute(
            "INSERT INTO invoices (invoice_number, user_id, subtotal_minor, tax_minor, total_minor, due_at,"
            " created_at) VALUES ('INV-1', %s, 10000, 1800, 11800, now(), now())",
            [driver.id],
        )
    moved = rows_of(await fetch(api, admin, days={}, type="transactions"))
    assert [(row["type"], row["amount"], row["balanceAfter"], row["description"]) for row in moved] == [
        ("credit", "500.00", "500.00", "'=top-up"),
        ("debit", "10.50", "489.50", "payment"),
    ]
    (invoice,) = rows_of(await fetch(api, admin, days={}, type="invoices"))
    assert (invoice["invoiceNumber"], invoice["total"], invoice["paidAt"]) == ("INV-1", "118.00", "")
    for kind in ("transactions", "invoices"):
        for format_ in ("xlsx", "pdf"):
            assert (await fetch(api, admin, days={}, type=kind, format=format_)).content


async def test_more_rows_than_a_batch_come_whole(
    api: httpx.AsyncClient, admin: Person, driver: Person, pool: Pool
) -> None:
    _, device_id = await make_station(pool, "A", "CP-A", None)
    count = 2 * exports.BATCH_ROWS + 5
    async with pool.connection() as db:
        await insert_many(db, device_id, driver.id, count)
    rows = rows_of(await fetch(api, admin))
    assert len(rows) == count
    assert len({row["sessionId"] for row in rows}) == count
    starts = [row["startTime"] for row in rows]
    assert starts == sorted(starts)
    refused = await api.get(URL, params={**MARCH, "format": "pdf"}, headers=admin.headers)
    assert refused.status_code == 400
    assert f"{tables_pdf.ROWS_MAX:,} rows" in refused.json()["error"]


async def insert_many(db: Any, device_id: int, user_id: int, count: int) -> None:
    parameters = {"device": device_id, "user": user_id, "count": count, "at": kolkata(DAY)}
    await db.execute(
        "INSERT INTO sessions (device_id, connector_id, user_id, id_tag, status, started_at,"
        " start_received_at, meter_start_wh, ended_at, stop_received_at, meter_stop_wh)"
        " SELECT %(device)s, 1, %(user)s, 'T' || n, 'completed', %(at)s + n * interval '1 s', %(at)s, 0,"
        " %(at)s + interval '1 day', %(at)s, 1000 FROM generate_series(1, %(count)s) AS n",
        parameters,
    )
    await db.execute(
        "INSERT INTO cdrs (session_id, user_id, tariff_id, currency, energy_wh, duration_s,"
        " energy_minor_per_kwh, energy_minor, time_minor, parking_minor, gst_minor, total_minor)"
        " SELECT id, user_id, 1, 'INR', 1000, 60, 1500, 1500, 0, 0, 270, 1770 FROM sessions"
    )


async def test_no_more_exports_than_places(
    api: httpx.AsyncClient, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "EXPORTS_AT_ONCE", 0)
    answer = await api.get(URL, headers=admin.headers)
    assert answer.status_code == 429
    assert answer.json()["retryAfter"] == export.RETRY_AFTER_S
    monkeypatch.undo()
    assert (await api.get(URL, headers=admin.headers)).status_code == 200


async def test_a_failure_before_the_first_row_is_an_error_and_frees_its_place(
    api: httpx.AsyncClient, admin: Person, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(exports._QUERIES, "sessions", "SELECT nothing")
    with structlog.testing.capture_logs():
        for _ in range(export.EXPORTS_AT_ONCE + 1):
            assert (await api.get(URL, headers=admin.headers)).status_code == 500
    monkeypatch.undo()
    assert (await api.get(URL, headers=admin.headers)).status_code == 200
    stats = pool.get_stats()
    assert stats["pool_available"] == stats["pool_size"]


@pytest.mark.parametrize(
    "query",
    [
        {"format": "doc"},
        {"type": "secrets"},
        {"startDate": "x"},
        {"startDate": "2024-01-01", "endDate": "2026-01-01"},
        {"startDate": "2026-01-02", "endDate": "2026-01-01"},
    ],
)
async def test_what_is_no_export_is_refused(
    api: httpx.AsyncClient, admin: Person, query: dict[str, str]
) -> None:
    answer = await api.get(URL, params=query, headers=admin.headers)
    assert answer.status_code == 422
    assert answer.json()["errors"]
