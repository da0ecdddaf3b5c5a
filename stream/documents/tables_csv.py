"""Tables as CSV (RFC 4180), in UTF-8 with a byte order mark, which is how Excel knows; used by exports."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from decimal import Decimal

BYTE_ORDER_MARK = "\ufeff"
# A spreadsheet takes a text that begins with one of these for a formula, unless an apostrophe is before it.
_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n")

Cells = Sequence[str | int | Decimal | None]


def neutral(cell: str | int | Decimal | None) -> str | int | Decimal | None:
    """Keep a text from being run as a formula; numbers stay numbers."""
    if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA_BEGINS):
        return "'" + cell
    return cell


def csv_text(rows: Iterable[Cells]) -> str:
    """Write rows as lines of CSV."""
    target = io.StringIO()
    csv.writer(target).writerows([neutral(cell) for cell in row] for row in rows)
    return target.getvalue()


async def csv_chunks(header: Sequence[str], batches: AsyncIterator[Sequence[Cells]]) -> AsyncIterator[bytes]:
    """Yield the table in pieces, one for each batch; the first has the header too."""
    begin = BYTE_ORDER_MARK + csv_text([header])
    async for batch in batches:
        yield (begin + csv_text(batch)).encode()
        begin = ""
    if begin:
        yield begin.encode()
