"""EV-CMS export of billing data: /api/v1/billing/export (EV-070).

Rows come through a cursor of the database in batches, and leave as they come: CSV at once, XLSX by way of a
temporary file, PDF (bounded) from memory. CSV is UTF-8 with a byte order mark; texts that a spreadsheet
would take for formulas get an apostrophe in front.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import IO, Annotated, Literal

from fastapi import Query
from fastapi.responses import StreamingResponse

from api.context import Context, Ctx
from api.errors import Problem
from api.evcms.callers import Admin
from api.evcms.schemas.analytics import DayText, days_of
from api.routing import Router
from storage.queries import exports
from storage.queries.exports import Kind
from stream.documents import tables_csv, tables_pdf, tables_xlsx
from stream.documents.tables_pdf import PdfColumn, pdf_table
from stream.figures.days import Days
from stream.figures.exports import COLUMNS, Cell, show_rows

router = Router(prefix="/billing")

EXPORTS_AT_ONCE = 2  # in this process: each holds a connection until its last row was read
RETRY_AFTER_S = 10
CHUNK_BYTES = 64 << 10
Format = Literal["csv", "xlsx", "pdf"]
MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
ROWS_MAX: dict[Format, int] = {"xlsx": tables_xlsx.ROWS_MAX, "pdf": tables_pdf.ROWS_MAX}

_running: set[object] = set()


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The file",
            "content": {
                media_type.split(";")[0]: {"schema": {"type": "string", "format": "binary"}}
                for media_type in MEDIA_TYPES.values()
            },
        }
    },
)
async def export(
    _: Admin,
    context: Ctx,
    start_date: Annotated[
        DayText | None,
        Query(alias="startDate", description="the first day; 30 days up to the end by default"),
    ] = None,
    end_date: Annotated[
        DayText | None, Query(alias="endDate", description="the last day, included; today by default")
    ] = None,
    format_: Annotated[Format, Query(alias="format")] = "csv",
    kind: Annotated[Kind, Query(alias="type")] = "sessions",
) -> StreamingResponse:
    """Download billing data as CSV, XLSX or PDF, oldest first: sessions, wallet transactions or invoices.

    Of sessions those with a record, by the day on which they started. A PDF has 2,000 rows at most.
    """
    days = days_of(context, start_date, end_date)
    if format_ in ROWS_MAX:
        await _refuse_beyond(context, kind, days, format_)
    chunks = _WRITERS[format_](context, kind, days)
    first = await anext(chunks)  # what is wrong shows here, before the answer has begun
    name = f"{kind}_{days.first}_{days.last}.{format_}"
    return StreamingResponse(
        _from(first, chunks),
        media_type=MEDIA_TYPES[format_],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


async def _refuse_beyond(context: Context, kind: Kind, days: Days, format_: Format) -> None:
    rows_max = ROWS_MAX[format_]
    async with context.pool.connection() as db:
        if await exports.exceeds(db, kind, days.start, days.end, rows_max):
            details = f"{format_.upper()} has room for {rows_max:,} rows: ask for fewer days, or for csv"
            raise Problem(400, "Too many rows", details)


async def _from(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


async def _batches(context: Context, kind: Kind, days: Days) -> AsyncIterator[list[list[Cell]]]:
    with _slot():
        async with context.pool.connection() as db:
            async for rows in exports.read_rows(db, kind, days.start, days.end):
                yield show_rows(kind, rows)


@contextlib.contextmanager
def _slot() -> Iterator[None]:
    """One of the exports at a time; raises 429 where all are taken."""
    if len(_running) >= EXPORTS_AT_ONCE:
        details = "Others are being made: try again shortly"
        raise Problem(429, "Too many exports", details, retry_after_s=RETRY_AFTER_S)
    own = object()
    _running.add(own)
    try:
        yield
    finally:
        _running.discard(own)


def _header(kind: Kind) -> list[str]:
    return [column.name for column in COLUMNS[kind]]


async def _csv(context: Context, kind: Kind, days: Days) -> AsyncIterator[bytes]:
    async for chunk in tables_csv.csv_chunks(_header(kind), _batches(context, kind, days)):
        yield chunk


async def _xlsx(context: Context, kind: Kind, days: Days) -> AsyncIterator[bytes]:
    with tempfile.TemporaryFile(prefix="gridwire-export-") as target:
        await tables_xlsx.write_xlsx(target, _header(kind), _batches(context, kind, days))
        target.seek(0)
        while chunk := await asyncio.to_thread(_read, target):
            yield chunk


def _read(source: IO[bytes]) -> bytes:
    return source.read(CHUNK_BYTES)


async def _pdf(context: Context, kind: Kind, days: Days) -> AsyncIterator[bytes]:
    rows = [row async for batch in _batches(context, kind, days) for row in batch]
    columns = [PdfColumn(column.name, column.width, column.is_sum) for column in COLUMNS[kind]]
    title = f"Billing export: {kind}, {days.first} to {days.last}"
    yield await asyncio.to_thread(pdf_table, title, columns, rows)


_WRITERS = {"csv": _csv, "xlsx": _xlsx, "pdf": _pdf}
