"""Warranty certificates as PDF, a page of A4; used by the API.

It says what is signed, and no person: whoever holds it may show it to anybody. See `stream.documents.layout`.
"""

import io
from datetime import date, datetime

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from stream.documents.layout import FONT, line, new_page, printable
from stream.platform_settings import General
from stream.warranty.certificates import Certificate, draw_qr, printed, verification_url
from stream.warranty.terms import Terms, in_words

_FIXED_FONT = "Courier"
_TEXT_PT = 10.5
_SMALL_PT = 8.5
_TITLE_PT = 24
_LINE_MM = 6.0
_GAP_MM = 7.0
_LABEL_MM = 42
_QR_MM = 58
_FRAME_MM = 8
_MARGIN_MM = 22
_INK = (33, 64, 102)
_BLACK = (0, 0, 0)


def draw_certificate(
    certificate: Certificate,
    terms: Terms,
    signature: bytes,
    *,
    issued_at: datetime,
    seller: General,
    public_url: str,
) -> bytes:
    """Return the PDF; the same for the same values. `public_url` begins the address in the QR code."""
    page = new_page(f"Warranty certificate {certificate.certificate_number}", issued_at)
    page.set_auto_page_break(auto=False)
    page.set_margins(_MARGIN_MM, _MARGIN_MM)
    page.set_draw_color(*_INK)
    page.set_line_width(0.8)
    page.rect(_FRAME_MM, _FRAME_MM, page.w - 2 * _FRAME_MM, page.h - 2 * _FRAME_MM)
    page.set_y(_MARGIN_MM)
    _head(page, seller)
    _facts(page, certificate, terms)
    _terms(page, terms)
    _proof(page, certificate, signature, public_url)
    return bytes(page.output())


def _head(page: FPDF, seller: General) -> None:
    page.set_text_color(*_INK)
    page.set_font(FONT, "", _TEXT_PT + 2)
    _centred(page, seller.site_name, _LINE_MM)
    page.set_font(FONT, "B", _TITLE_PT)
    _centred(page, "Warranty certificate", 14)
    page.set_text_color(*_BLACK)
    page.ln(_GAP_MM)


def _facts(page: FPDF, certificate: Certificate, terms: Terms) -> None:
    facts = {
        "Certificate": certificate.certificate_number,
        "Battery": certificate.model,
        "Serial number": certificate.serial,
        "Warranty begins": _day(certificate.starts_on),
        "Warranty ends": f"{_day(certificate.expires_on)} (this day included)",
        "Term of the model": f"{terms.months} months",
    }
    for name, value in facts.items():
        page.set_font(FONT, "B", _TEXT_PT)
        page.cell(_LABEL_MM, _LINE_MM + 1, name)
        page.set_font(FONT, "", _TEXT_PT)
        line(page, value, _LINE_MM + 1)
    page.ln(_GAP_MM)


def _terms(page: FPDF, terms: Terms) -> None:
    page.set_font(FONT, "B", _TEXT_PT + 1)
    line(page, "Terms")
    page.set_font(FONT, "", _TEXT_PT)
    limits = in_words(terms.limits)
    if limits:
        line(page, "The warranty covers faults of the battery that is used within these limits:")
    for words in limits:
        line(page, f"  -  {words}")
    if not limits:
        line(page, "The warranty covers faults of the battery.")
    line(page, "A claim is judged by the battery's own telemetry, where it reports any.")
    page.ln(_GAP_MM)


def _proof(page: FPDF, certificate: Certificate, signature: bytes, public_url: str) -> None:
    """The QR code on the left, beside it how to check the certificate, and the signature."""
    url = verification_url(public_url, certificate, signature)
    top = page.h - _MARGIN_MM - _QR_MM
    page.image(io.BytesIO(draw_qr(url, "png")), x=page.l_margin, y=top, w=_QR_MM, h=_QR_MM)
    page.set_left_margin(page.l_margin + _QR_MM + 4)
    page.set_y(top + 4)
    page.set_font(FONT, "B", _TEXT_PT)
    line(page, "Is this certificate genuine?")
    page.set_font(FONT, "", _TEXT_PT)
    line(page, "Scan the code: the address that it opens says whether what is written here was signed"
                " by us, and whether the warranty is still in force.")  # fmt: skip
    page.ln(2)
    page.set_font(FONT, "B", _SMALL_PT)
    line(page, "Signature (Ed25519, base64url)", 4.5)
    page.set_font(_FIXED_FONT, "", _SMALL_PT)
    line(page, printed(signature), 4.5)


def _centred(page: FPDF, text: str, height_mm: float) -> None:
    page.cell(0, height_mm, printable(text), align="C", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
