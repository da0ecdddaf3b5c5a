"""What an export has in its columns, in the order of `storage.queries.exports`; pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from storage.queries.exports import Kind, Row
from stream.figures.days import PLATFORM_ZONE

Cell = str | int | Decimal | None
_SECONDS_PER_MINUTE = 60
_WH_PER_KWH = 1_000
_TWO_PLACES = Decimal("0.01")


def _text(value: str | None) -> Cell:
    return value or ""


def _id(value: int | None) -> Cell:
    return "" if value is None else str(value)


def _moment(value: datetime | None) -> Cell:
    """By the platform's clock, with its offset."""
    return "" if value is None else value.astimezone(PLATFORM_ZONE).isoformat(timespec="seconds")


def _money(minor: int) -> Cell:
    return Decimal(minor).scaleb(-2)


def _kwh(energy_wh: int) -> Cell:
    return Decimal(energy_wh) / _WH_PER_KWH


def _minutes(duration_s: int) -> Cell:
    return (Decimal(duration_s) / _SECONDS_PER_MINUTE).quantize(_TWO_PLACES)


def _number(value: int) -> Cell:
    return value


def _flag(value: bool) -> Cell:
    return "yes" if value else "no"


@dataclass(frozen=True, slots=True)
class Column:
    """`width` is that of a PDF, relative to the others."""

    name: str
    show: Callable[..., Cell]
    width: int = 1

    @property
    def is_sum(self) -> bool:
        """Whether the column's sum means anything."""
        return self.show in {_money, _kwh} and self.name != "balanceAfter"


COLUMNS: Mapping[Kind, Sequence[Column]] = {
    "sessions": (
        Column("sessionId", _id),
        Column("startTime", _moment, 3),
        Column("endTime", _moment, 3),
        Column("userId", _id),
        Column("userName", _text, 2),
        Column("chargerId", _text, 2),
        Column("connectorId", _number),
        Column("stationId", _id),
        Column("stationName", _text, 2),
        Column("energyKwh", _kwh),
        Column("durationMinutes", _minutes),
        Column("netAmount", _money),
        Column("platformFee", _money),
        Column("gst", _money),
        Column("totalCost", _money),
        Column("currency", _text),
        Column("paymentStatus", _text),
        Column("estimated", _flag),
        Column("corrected", _flag),
    ),
    "transactions": (
        Column("transactionId", _id),
        Column("createdAt", _moment, 3),
        Column("userId", _id),
        Column("userName", _text, 2),
        Column("type", _text),
        Column("amount", _money),
        Column("balanceAfter", _money),
        Column("currency", _text),
        Column("description", _text, 4),
        Column("sessionId", _id),
    ),
    "invoices": (
        Column("invoiceNumber", _text, 2),
        Column("createdAt", _moment, 3),
        Column("userId", _id),
        Column("userName", _text, 2),
        Column("sessionId", _id),
        Column("subtotal", _money),
        Column("tax", _money),
        Column("total", _money),
        Column("currency", _text),
        Column("dueDate", _moment, 3),
        Column("paidAt", _moment, 3),
        Column("cancelled", _flag),
    ),
}


def show_rows(kind: Kind, rows: Sequence[Row]) -> list[list[Cell]]:
    """Turn rows of the database into cells; amounts and energies become decimals."""
    columns = COLUMNS[kind]
    return [[column.show(value) for column, value in zip(columns, row, strict=True)] for row in rows]
