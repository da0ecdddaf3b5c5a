"""Tables as CSV, XLSX and PDF: what is in them, and that memory stays bounded."""

import csv
import io
import tempfile
import tracemalloc
from collections.abc import AsyncIterator
from decimal import Decimal

import openpyxl  # type: ignore[import-untyped]
import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.documents.tables_csv import BYTE_ORDER_MARK, csv_chunks, csv_text
from stream.documents.tables_pdf import ROWS_MAX, PdfColumn, pdf_table
from stream.documents.tables_xlsx import write_xlsx

Cell = str | int | Decimal | None
BATCH_ROWS = 1_000
MIB = 1 << 20


async def batches(count: int) -> AsyncIterator[list[list[Cell]]]:
    for first in range(0, count, BATCH_ROWS):
        numbers = range(first, min(first + BATCH_ROWS, count))
        yield [[f"driver {number}", Decimal(number) / 100] for number in numbers]


def read_back(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =HYPERLINK()"])
def test_a_text_that_is_a_formula_is_neutral(text: str) -> None:
    ((cell,),) = read_back(csv_text([[text]]))
    assert cell == "'" + text


def test_numbers_below_zero_stay_numbers() -> None:
    assert read_back(csv_text([[Decimal("-1.50"), -3, None, "a,b"]])) == [["-1.50", "-3", "", "a,b"]]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
def test_any_text_comes_back_and_none_begins_a_formula(texts: list[str]) -> None:
    (row,) = read_back(csv_text([texts]))
    for text, cell in zip(texts, row, strict=True):
        assert cell in (text, "'" + text)
        assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


async def test_csv_has_a_mark_a_header_and_all_rows() -> None:
    pieces = [piece async for piece in csv_chunks(["a", "b"], batches(2_500))]
    assert len(pieces) == 3
    text = b"".join(pieces).decode()
    assert text.startswith(BYTE_ORDER_MARK)
    rows = read_back(text.removeprefix(BYTE_ORDER_MARK))
    assert rows[0] == ["a", "b"]
    assert [row[0] for row in rows[1:]] == [f"driver {number}" for number in range(2_500)]
    (empty,) = [piece async for piece in csv_chunks(["a"], batches(0))]
    assert empty.decode() == BYTE_ORDER_MARK + "a\r\n"


async def test_xlsx_has_texts_as_texts_and_amounts_as_numbers() -> None:
    async def rows() -> AsyncIterator[list[list[Cell]]]:
        yield [["=1+1", "https://example.com", Decimal("12.34"), None]]

    with tempfile.TemporaryFile() as target:
        await write_xlsx(target, ["a", "b", "c", "d"], rows())
        target.seek(0)
        book = openpyxl.load_workbook(target)
        header, cells = book.active.iter_rows()
        assert [cell.value for cell in header] == ["a", "b", "c", "d"]
        assert [cell.value for cell in cells] == ["=1+1", "https://example.com", 12.34, None]
        assert [cell.data_type for cell in cells[:3]] == ["s", "s", "n"]
        book.close()


async def test_a_hundred_thousand_rows_grow_no_memory() -> None:
    async def csv_bytes(count: int) -> int:
        return sum([len(chunk) async for chunk in csv_chunks(["a", "b"], batches(count))])

    async def xlsx_bytes(count: int) -> int:
        with tempfile.TemporaryFile() as target:
            await write_xlsx(target, ["a", "b"], batches(count))
            return target.tell()

    for write in (csv_bytes, xlsx_bytes):
        await write(BATCH_ROWS)  # what is made once
        tracemalloc.start()
        try:
            size = await write(100_000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size > MIB
        assert peak < 8 * MIB, write.__name__


def test_a_pdf_has_its_rows_and_their_sum_on_every_page_a_header() -> None:
    columns = [PdfColumn("driver", 2, is_sum=False), PdfColumn("totalCost", 1, is_sum=True)]
    rows = [(f"driver {number} \u0905", Decimal("1.25")) for number in range(100)]
    pages = pypdf.PdfReader(io.BytesIO(pdf_table("Billing export", columns, rows))).pages
    texts = [page.extract_text() for page in pages]
    assert len(texts) > 1
    assert all("Billing export" in text and "totalCost" in text for text in texts)
    assert "driver 99 ?" in texts[-1]
    assert "125.00" in texts[-1]


def test_a_pdf_beyond_its_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        pdf_table("x", [PdfColumn("a", 1, is_sum=False)], [("x",)] * (ROWS_MAX + 1))
