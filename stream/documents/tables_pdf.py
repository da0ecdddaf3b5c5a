"""Tables as PDF on landscape pages with a line of sums; bounded, as a PDF is built whole. Used by exports."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from fpdf import FPDF
from fpdf.enums import XPos, YPos

ROWS_MAX = 2_000
_FONT = "Helvetica"
_FONT_PT = 6.0
_TITLE_PT = 12.0
_ROW_MM = 4.5

Cells = Sequence[str | int | Decimal | None]


@dataclass(frozen=True, slots=True)
class PdfColumn:
    """`width` relative to the others; `is_sum`: the last line has the column's sum."""

    name: str
    width: int
    is_sum: bool


class _Table(FPDF):
    """Repeats the names of the columns at the top of each page, and numbers the pages."""

    def __init__(self, title: str, columns: Sequence[PdfColumn]) -> None:
        super().__init__(orientation="landscape", format="A4")
        self.set_title(title)
        self.columns = columns
        whole = sum(column.width for column in columns)
        self.widths = [self.epw * column.width / whole for column in columns]
        self.set_auto_page_break(auto=True, margin=12)

    def header(self) -> None:
        self.set_font(_FONT, "B", _TITLE_PT)
        self.cell(0, _ROW_MM * 2, _printable(self.title), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_font(_FONT, "B", _FONT_PT)
        self.line_of([column.name for column in self.columns], border="B")
        self.set_font(_FONT, "", _FONT_PT)

    def footer(self) -> None:
        self.set_y(-10)
        self.set_font(_FONT, "", _FONT_PT)
        self.cell(0, _ROW_MM, f"{self.page_no()} / {{nb}}", align="R")

    def line_of(self, cells: Cells, border: str = "") -> None:
        """Write one line; a text that is too wide for its column is cut."""
        for cell, width in zip(cells, self.widths, strict=True):
            align = "R" if isinstance(cell, int | Decimal) else "L"
            self.cell(width, _ROW_MM, self.fitting(_printable(cell), width), border=border, align=align)
        self.ln(_ROW_MM)

    def fitting(self, text: str, width_mm: float) -> str:
        """Return the text, or as much of its beginning as the width has room for."""
        room_mm = width_mm - 2 * self.c_margin
        while text and self.get_string_width(text) > room_mm:
            text = text[:-1]
        return text


def pdf_table(title: str, columns: Sequence[PdfColumn], rows: Sequence[Cells]) -> bytes:
    """Return the table as a PDF; raises ValueError beyond `ROWS_MAX` rows."""
    if len(rows) > ROWS_MAX:
        raise ValueError(f"{len(rows)} rows are too many for a PDF, {ROWS_MAX} is the most")
    page = _Table(title, columns)
    page.add_page()
    for row in rows:
        page.line_of(row)
    page.set_font(_FONT, "B", _FONT_PT)
    page.line_of([_sum_of(column, rows, index) for index, column in enumerate(columns)], border="T")
    return bytes(page.output())


def _sum_of(column: PdfColumn, rows: Sequence[Cells], index: int) -> Decimal | None:
    if not column.is_sum:
        return None
    return sum((Decimal(row[index] or 0) for row in rows), Decimal(0))


def _printable(cell: str | int | Decimal | None) -> str:
    """What the core fonts can print: others become question marks."""
    text = "" if cell is None else f"{cell:,}" if isinstance(cell, Decimal) else str(cell)
    return text.replace("\n", " ").encode("latin-1", "replace").decode("latin-1")
