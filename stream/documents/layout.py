"""How documents on A4 are laid out: their lines, facts, tables and sums; shared by all that is drawn as PDF.

Core fonts only: a character outside Latin-1 becomes a question mark, so money is printed with the currency's
code and never with its sign.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import FontFace

from stream.invoicing import ZONE

FONT = "Helvetica"
TEXT_PT = 10
TITLE_PT = 18
LINE_MM = 5.5
GAP_MM = 8.0
LABEL_MM = 35


def new_page(title: str, made_at: datetime) -> FPDF:
    """Begin a document; the same for the same values."""
    page = FPDF(format="A4")
    page.set_title(title)
    page.set_creation_date(made_at)
    page.add_page()
    return page


def heading(page: FPDF, text: str) -> None:
    """Write a line in large letters."""
    page.set_font(FONT, "B", TITLE_PT)
    line(page, text, 2 * LINE_MM)
    page.set_font(FONT, "", TEXT_PT)


def line(page: FPDF, text: str, height_mm: float = LINE_MM) -> None:
    """Write text over the whole width, in as many lines as it takes."""
    page.multi_cell(0, height_mm, printable(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def facts(page: FPDF, named: Mapping[str, str]) -> None:
    """Write what is known, a line each, by name; nothing for what is empty."""
    for name, value in named.items():
        if value:
            page.set_font(FONT, "B", TEXT_PT)
            page.cell(LABEL_MM, LINE_MM, name)
            page.set_font(FONT, "", TEXT_PT)
            line(page, value)


def table(
    page: FPDF,
    names: Sequence[str],
    widths_mm: Sequence[float],
    aligns: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> None:
    """Write a table with a heading, which is repeated on each page."""
    with page.table(
        col_widths=tuple(widths_mm),
        text_align=tuple(aligns),
        headings_style=FontFace(emphasis="BOLD"),
        line_height=LINE_MM,
    ) as drawn:
        drawn.row(names)
        for row in rows:
            drawn.row([printable(cell) for cell in row])


def sums(page: FPDF, named: Mapping[str, str], width_mm: float) -> None:
    """Write amounts at the right margin, in a column of this width; the last in bold."""
    page.ln(LINE_MM)
    for number, (name, text) in enumerate(named.items(), start=1):
        page.set_font(FONT, "B" if number == len(named) else "", TEXT_PT)
        page.cell(page.epw - width_mm, LINE_MM, name, align="R")
        page.cell(width_mm, LINE_MM, text, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def day(moment: datetime) -> str:
    """The day that it was where the seller is."""
    return moment.astimezone(ZONE).date().isoformat()


def printable(text: str) -> str:
    """What the fonts can show of a text."""
    return text.encode("latin-1", "replace").decode("latin-1")
