"""What users' wallets have seen: movements, open holds, and top-ups that wait for their payment or failed.

The database keeps it up from `transfers` and `top_ups`, with its counts beside it. Read by the EV-CMS family.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class WalletEntry:
    """`direction`: credit or debit; `status`: completed, pending or failed; money in minor units.

    `id` is that of its first transfer; `transfer_id` that of the one which completed it.
    """

    id: int
    user_id: int
    direction: str
    status: str
    amount_minor: int
    balance_minor: int
    description: str
    session_id: int | None
    transfer_id: int | None
    created_at: datetime


_SELECT = """
SELECT id, user_id, direction, status, amount_minor, balance_minor, description, session_id, transfer_id,
       created_at
FROM wallet_entries
"""

_FILTER = """
WHERE (%(user_id)s::bigint IS NULL OR user_id = %(user_id)s)
  AND (%(direction)s::text IS NULL OR direction = %(direction)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
"""

# The rows before the page are walked in an index alone.
_LIST = f"""
{_SELECT}
WHERE (id, direction) IN (
    SELECT id, direction FROM wallet_entries {_FILTER}
    ORDER BY id DESC, direction DESC LIMIT %(limit)s OFFSET %(offset)s)
ORDER BY id DESC, direction DESC
"""

# The same page from the other end, for the half that is nearer to it.
_LIST_FROM_END = f"""
{_SELECT}
WHERE (id, direction) IN (
    SELECT id, direction FROM wallet_entries {_FILTER}
    ORDER BY id, direction LIMIT %(limit)s OFFSET %(offset)s)
ORDER BY id DESC, direction DESC
"""

_COUNT = "SELECT coalesce(sum(entries), 0)::bigint FROM wallet_entry_counts" + _FILTER

_GET = _SELECT + "WHERE id = %(id)s AND user_id = %(user_id)s"

_AWAITING = _SELECT + "WHERE awaited_key = %(key)s"

# A hold that was posted is known by both of its transfers.
_LOCK = (
    _SELECT
    + """
WHERE id = coalesce((SELECT pending_id FROM transfers WHERE transfers.id = %(id)s), %(id)s)
ORDER BY direction DESC LIMIT 1 FOR UPDATE
"""
)


async def list_entries(
    connection: Connection,
    *,
    user_id: int | None = None,
    direction: str | None = None,
    status: str | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[WalletEntry], int]:
    """Return one page, newest first, and how many there are in all; of one user or of everybody."""
    where = {"user_id": user_id, "direction": direction, "status": status}
    total = int(await fetch_value(connection, _COUNT, where))
    size = min(limit, total - offset)
    if size <= 0:
        return [], total
    behind = total - offset - size
    query, skipped = (_LIST, offset) if offset <= behind else (_LIST_FROM_END, behind)
    page = await fetch_all(connection, WalletEntry, query, {**where, "limit": size, "offset": skipped})
    return page, total


async def get_entry(connection: Connection, entry_id: int, user_id: int) -> WalletEntry | None:
    """Return what this transfer, or hold, was to this user, or None."""
    return await fetch_one(connection, WalletEntry, _GET, {"id": entry_id, "user_id": user_id})


async def entry_of_top_up(connection: Connection, top_up_id: UUID) -> WalletEntry | None:
    """Return the entry of a top-up by a payment provider, or None."""
    return await entry_awaiting(connection, f"top-up:{top_up_id}")


async def entry_awaiting(connection: Connection, key: str) -> WalletEntry | None:
    """Return the entry that the transfer with this key completes, or completed, or None."""
    return await fetch_one(connection, WalletEntry, _AWAITING, {"key": key})


async def lock_entry(connection: Connection, entry_id: int) -> WalletEntry | None:
    """Return the entry, its debit where it has two sides, held until commit, or None."""
    return await fetch_one(connection, WalletEntry, _LOCK, {"id": entry_id})
