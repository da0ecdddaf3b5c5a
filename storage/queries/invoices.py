"""Invoices and their lines; used by billing, by the jobs role (sessions' own invoices) and by documents.

Money in minor units. What an invoice says never changes; that it was paid, sent or cancelled is noted in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypedDict, Unpack

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """`amount_minor` is `quantity` times `rate_minor`, rounded half up; what is taken off is below zero."""

    invoice_id: int
    position: int
    description: str
    quantity: Decimal
    rate_minor: int
    amount_minor: int

    @property
    def shown_rate_minor(self) -> int:
        """The rate; of what is taken off, once, its amount."""
        return self.rate_minor if self.amount_minor >= 0 else self.amount_minor


@dataclass(frozen=True, slots=True)
class Invoice:
    """`total` is `subtotal` and `tax`. `session_id`: of the charging session that it is the receipt of."""

    id: int
    invoice_number: str
    user_id: int
    user_name: str
    user_email: str | None
    user_phone: str | None
    session_id: int | None
    currency: str
    subtotal_minor: int
    tax_minor: int
    total_minor: int
    is_cancelled: bool
    due_at: datetime
    paid_at: datetime | None
    transfer_id: int | None
    sent_at: datetime | None
    created_at: datetime

    def status(self, now: datetime) -> str:
        """Return cancelled, paid, overdue or pending, in this order."""
        if self.is_cancelled:
            return "cancelled"
        if self.paid_at is not None:
            return "paid"
        return "overdue" if self.due_at < now else "pending"


@dataclass(frozen=True, slots=True)
class InvoiceSummary:
    """Counts by status and sums, of all invoices that somebody sees; cancelled ones are in `total` alone."""

    total: int
    pending: int
    paid: int
    overdue: int
    total_minor: int
    outstanding_minor: int

    def count(self, status: str | None) -> int:
        """Return how many have this status, None: how many there are in all."""
        counts = {None: self.total, "pending": self.pending, "paid": self.paid, "overdue": self.overdue}
        cancelled = self.total - self.pending - self.paid - self.overdue
        return counts.get(status, cancelled)


class NewInvoice(TypedDict):
    """`session_id` and `transfer_key` of a session's own, which is paid by that transfer at `paid_at`."""

    invoice_number: str
    user_id: int
    session_id: int | None
    currency: str
    subtotal_minor: int
    tax_minor: int
    due_at: datetime
    paid_at: datetime | None
    transfer_key: str | None
    created_by: int | None
    now: datetime


_SELECT = """
SELECT invoices.id, invoice_number, user_id, users.name AS user_name, users.email AS user_email,
       users.phone AS user_phone, session_id, currency, subtotal_minor, tax_minor, total_minor, is_cancelled,
       due_at, paid_at, transfer_id, sent_at, invoices.created_at
FROM invoices JOIN users ON users.id = user_id
"""

_GET = _SELECT + "WHERE invoices.id = %(id)s"

_LOCK = _GET + " FOR UPDATE OF invoices"

_OF_SESSION = _SELECT + "WHERE session_id = %(session_id)s AND NOT is_cancelled"

_FILTER = """
WHERE (%(user_id)s::bigint IS NULL OR user_id = %(user_id)s)
  AND CASE %(status)s::text
      WHEN 'cancelled' THEN is_cancelled
      WHEN 'paid' THEN NOT is_cancelled AND paid_at IS NOT NULL
      WHEN 'overdue' THEN NOT is_cancelled AND paid_at IS NULL AND due_at < %(now)s
      WHEN 'pending' THEN NOT is_cancelled AND paid_at IS NULL AND due_at >= %(now)s
      ELSE true END
"""

_LIST = _SELECT + _FILTER + "ORDER BY invoices.id DESC LIMIT %(limit)s OFFSET %(offset)s"

_SUMMARY = """
SELECT count(*) AS total,
       count(*) FILTER (WHERE is_open AND due_at >= %(now)s) AS pending,
       count(*) FILTER (WHERE NOT is_cancelled AND paid_at IS NOT NULL) AS paid,
       count(*) FILTER (WHERE is_open AND due_at < %(now)s) AS overdue,
       coalesce(sum(total_minor) FILTER (WHERE NOT is_cancelled), 0)::bigint AS total_minor,
       coalesce(sum(total_minor) FILTER (WHERE is_open), 0)::bigint AS outstanding_minor
FROM invoices CROSS JOIN LATERAL (SELECT NOT is_cancelled AND paid_at IS NULL AS is_open) AS open
WHERE (%(user_id)s::bigint IS NULL OR user_id = %(user_id)s)
"""

_LINES = """
SELECT invoice_id, position, description, quantity, rate_minor, amount_minor
FROM invoice_lines WHERE invoice_id = ANY(%(invoice_ids)s) ORDER BY invoice_id, position
"""

_INSERT = """
INSERT INTO invoices (invoice_number, user_id, session_id, currency, subtotal_minor, tax_minor, total_minor,
                      due_at, paid_at, transfer_id, created_by, created_at)
VALUES (%(invoice_number)s, %(user_id)s, %(session_id)s, %(currency)s, %(subtotal_minor)s, %(tax_minor)s,
        %(subtotal_minor)s::bigint + %(tax_minor)s::bigint, %(due_at)s, %(paid_at)s,
        (SELECT id FROM transfers WHERE key = %(transfer_key)s), %(created_by)s, %(now)s)
RETURNING id
"""

_INSERT_LINE = """
INSERT INTO invoice_lines (invoice_id, position, description, quantity, rate_minor, amount_minor)
VALUES (%(invoice_id)s, %(position)s, %(description)s, %(quantity)s, %(rate_minor)s, %(amount_minor)s)
"""

_PAY = "UPDATE invoices SET paid_at = %(now)s, transfer_id = %(transfer_id)s WHERE id = %(id)s"

_SENT = "UPDATE invoices SET sent_at = %(now)s WHERE id = %(id)s"

_CANCEL = "UPDATE invoices SET is_cancelled = true WHERE id = %(id)s"


async def insert_invoice(
    connection: Connection, lines: Sequence[tuple[str, Decimal, int, int]], **invoice: Unpack[NewInvoice]
) -> int:
    """Write an invoice with its lines (description, quantity, rate and amount); returns its id."""
    invoice_id = int(await fetch_value(connection, _INSERT, invoice))
    rows = [
        {
            "invoice_id": invoice_id,
            "position": position,
            "description": description,
            "quantity": quantity,
            "rate_minor": rate_minor,
            "amount_minor": amount_minor,
        }
        for position, (description, quantity, rate_minor, amount_minor) in enumerate(lines, start=1)
    ]
    async with connection.cursor() as cursor:
        await cursor.executemany(_INSERT_LINE, rows)
    return invoice_id


async def get_invoice(connection: Connection, invoice_id: int, *, is_locked: bool = False) -> Invoice | None:
    """Return the invoice, held until commit where that is asked for, or None."""
    return await fetch_one(connection, Invoice, _LOCK if is_locked else _GET, {"id": invoice_id})


async def invoice_of_session(connection: Connection, session_id: int) -> Invoice | None:
    """Return the session's own invoice, or None; one that was cancelled is none."""
    return await fetch_one(connection, Invoice, _OF_SESSION, {"session_id": session_id})


async def list_invoices(
    connection: Connection,
    *,
    user_id: int | None,
    status: str | None,
    now: datetime,
    limit: int,
    offset: int = 0,
) -> list[Invoice]:
    """Return one page, newest first, of one user or of all; `summarise` knows how many there are."""
    where = {"user_id": user_id, "status": status, "now": now}
    return await fetch_all(connection, Invoice, _LIST, {**where, "limit": limit, "offset": offset})


async def summarise(connection: Connection, user_id: int | None, now: datetime) -> InvoiceSummary:
    """Return counts and sums over all invoices, of one user or of all."""
    summary = await fetch_one(connection, InvoiceSummary, _SUMMARY, {"user_id": user_id, "now": now})
    assert summary is not None
    return summary


async def lines_of(connection: Connection, invoice_ids: Sequence[int]) -> dict[int, list[InvoiceLine]]:
    """Return the lines of each of these invoices, in order."""
    by_invoice: dict[int, list[InvoiceLine]] = {invoice_id: [] for invoice_id in invoice_ids}
    for line in await fetch_all(connection, InvoiceLine, _LINES, {"invoice_ids": list(invoice_ids)}):
        by_invoice[line.invoice_id].append(line)
    return by_invoice


async def mark_paid(connection: Connection, invoice_id: int, transfer_id: int, now: datetime) -> None:
    """Note the transfer that paid the invoice."""
    await connection.execute(_PAY, {"id": invoice_id, "transfer_id": transfer_id, "now": now})


async def mark_sent(connection: Connection, invoice_id: int, now: datetime) -> None:
    """Note when the invoice was sent last."""
    await connection.execute(_SENT, {"id": invoice_id, "now": now})


async def cancel(connection: Connection, invoice_id: int) -> None:
    """Note that the invoice is not to be paid."""
    await connection.execute(_CANCEL, {"id": invoice_id})
