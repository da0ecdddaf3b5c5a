"""Rows of an export, read through a cursor of the server: no more than one batch is ever in memory."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Literal

from storage.database import Connection, fetch_value

Kind = Literal["sessions", "transactions", "invoices"]
Row = tuple[Any, ...]

BATCH_ROWS = 1_000
# Whoever reads a file so slowly loses it, and not the server its connection.
_IDLE = "SET LOCAL idle_in_transaction_session_timeout = '60s'"

# Each has its columns in the order of `stream.figures.exports.COLUMNS`; amounts in minor units.
_SESSIONS = """
SELECT sessions.id, started_at, ended_at, sessions.user_id, users.name, devices.identity, connector_id,
       stations.id, stations.name, energy_wh, duration_s, total_minor - gst_minor, platform_fee_minor,
       gst_minor, total_minor, currency::text, payment_status, is_estimated, is_corrected
FROM sessions
JOIN latest_cdrs AS cdrs ON cdrs.session_id = sessions.id
JOIN devices ON devices.id = sessions.device_id
LEFT JOIN chargers ON chargers.device_id = sessions.device_id
LEFT JOIN stations ON stations.id = chargers.station_id
LEFT JOIN users ON users.id = sessions.user_id
WHERE started_at >= %(from)s AND started_at < %(to)s
ORDER BY started_at, sessions.id
"""

_TRANSACTIONS = """
SELECT transfers.id, transfers.created_at, users.id, users.name,
       CASE WHEN credited.kind = 'wallet' THEN 'credit' ELSE 'debit' END, amount_minor,
       CASE WHEN credited.kind = 'wallet' THEN credit_balance_minor ELSE debit_balance_minor END,
       accounts.currency::text, description, session_id
FROM transfers
JOIN accounts AS debited ON debited.id = debit_account_id
JOIN accounts AS credited ON credited.id = credit_account_id
JOIN accounts ON accounts.id = CASE WHEN credited.kind = 'wallet' THEN credited.id ELSE debited.id END
JOIN users ON users.id = accounts.owner_id AND users.system = 'evcms'
WHERE accounts.kind = 'wallet' AND state IN ('posted', 'post_pending')
  AND transfers.created_at >= %(from)s AND transfers.created_at < %(to)s
ORDER BY transfers.created_at, transfers.id
"""

_INVOICES = """
SELECT invoice_number, invoices.created_at, users.id, users.name, session_id, subtotal_minor, tax_minor,
       total_minor, invoices.currency::text, due_at, paid_at, is_cancelled
FROM invoices JOIN users ON users.id = user_id
WHERE invoices.created_at >= %(from)s AND invoices.created_at < %(to)s
ORDER BY invoices.created_at, invoices.id
"""

_QUERIES: Mapping[Kind, str] = {
    "sessions": _SESSIONS,
    "transactions": _TRANSACTIONS,
    "invoices": _INVOICES,
}

_EXCEEDS = "SELECT count(*) > %(limit)s FROM ({} LIMIT %(limit)s + 1) AS counted"
_COUNTS = {kind: _EXCEEDS.format(query) for kind, query in _QUERIES.items()}


async def exceeds(connection: Connection, kind: Kind, from_: datetime, to: datetime, limit: int) -> bool:
    """Whether the export has more than `limit` rows."""
    parameters = {"from": from_, "to": to, "limit": limit}
    return bool(await fetch_value(connection, _COUNTS[kind], parameters))


async def read_rows(
    connection: Connection, kind: Kind, from_: datetime, to: datetime
) -> AsyncIterator[list[Row]]:
    """Yield the rows of [from, to) in batches, oldest first; the connection is this cursor's meanwhile."""
    await connection.execute(_IDLE)
    async with connection.cursor(name=f"export_{kind}") as cursor:
        await cursor.execute(_QUERIES[kind], {"from": from_, "to": to})
        while batch := await cursor.fetchmany(BATCH_ROWS):
            yield batch
