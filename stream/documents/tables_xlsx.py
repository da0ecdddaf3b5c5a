"""Tables as XLSX, written row by row to a file: memory stays that of one row; used by exports."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import IO

import xlsxwriter  # type: ignore[import-untyped]
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]

ROWS_MAX = 1_048_575  # of a sheet, without its header


async def write_xlsx(
    target: IO[bytes],
    header: Sequence[str],
    batches: AsyncIterator[Sequence[Sequence[str | int | Decimal | None]]],
) -> None:
    """Write the table into `target`, in a thread of its own; the caller has bounded it by `ROWS_MAX`.

    Texts are texts: none becomes a formula or a link.
    """
    book = xlsxwriter.Workbook(target, {"constant_memory": True})
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, header)
    sheet.freeze_panes(1, 0)
    below = 1
    async for batch in batches:
        await asyncio.to_thread(_write, sheet, below, batch)
        below += len(batch)
    await asyncio.to_thread(book.close)


def _write(sheet: Worksheet, below: int, batch: Sequence[Sequence[str | int | Decimal | None]]) -> None:
    for row, cells in enumerate(batch, below):
        for column, cell in enumerate(cells):
            if isinstance(cell, str):
                sheet.write_string(row, column, cell)
            elif cell is not None:
                sheet.write_number(row, column, cell)
