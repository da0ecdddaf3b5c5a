"""Refunds of what wallets paid: asked for by users, decided by admins; used by the EV-CMS family."""

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Refund:
    """`transfer_id` moved the money; `entry_id` is what the user knows it by. `status`: pending, approved
    or rejected.
    """

    id: int
    user_id: int
    transfer_id: int
    entry_id: int
    session_id: int | None
    amount_minor: int
    reason: str
    status: str
    admin_notes: str | None
    processed_by: int | None
    processed_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Refunded:
    """What was given back of a transfer, in minor units, and whether more is asked for."""

    amount_minor: int
    has_pending: bool


_SELECT = """
SELECT refunds.id, refunds.user_id, transfer_id, coalesce(transfers.pending_id, transfers.id) AS entry_id,
       transfers.session_id, refunds.amount_minor, reason, status, admin_notes, processed_by, processed_at,
       refunds.created_at
FROM refunds JOIN transfers ON transfers.id = transfer_id
"""

_FILTER = """
WHERE (%(user_id)s::bigint IS NULL OR refunds.user_id = %(user_id)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
"""

_LIST = _SELECT + _FILTER + "ORDER BY refunds.id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*) FROM refunds" + _FILTER

_GET = _SELECT + "WHERE refunds.id = %(id)s"

_LOCK = _GET + " FOR UPDATE OF refunds"

_REFUNDED = """
SELECT coalesce(sum(amount_minor) FILTER (WHERE status = 'approved'), 0)::bigint AS amount_minor,
       coalesce(bool_or(status = 'pending'), false) AS has_pending
FROM refunds WHERE transfer_id = %(transfer_id)s
"""

_PART_REFUNDED = """
SELECT coalesce(sum(transfers.amount_minor), 0)::bigint
FROM refunds JOIN transfers ON key = 'refund:' || refunds.id || ':' || %(name)s::text
WHERE transfer_id = %(transfer_id)s AND status = 'approved'
"""

_INSERT = """
INSERT INTO refunds (user_id, transfer_id, amount_minor, reason, created_at)
VALUES (%(user_id)s, %(transfer_id)s, %(amount_minor)s, %(reason)s, %(now)s)
RETURNING id
"""

_DECIDE = """
UPDATE refunds
SET status = %(status)s, admin_notes = %(admin_notes)s, processed_by = %(processed_by)s,
    processed_at = %(now)s, refund_transfer_id = %(refund_transfer_id)s
WHERE id = %(id)s
"""


async def list_refunds(
    connection: Connection, *, user_id: int | None, status: str | None, limit: int, offset: int
) -> tuple[list[Refund], int]:
    """Return one page, newest first, and how many there are in all; of one user or of everybody."""
    where = {"user_id": user_id, "status": status}
    page = await fetch_all(connection, Refund, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def get_refund(connection: Connection, refund_id: int) -> Refund | None:
    """Return the refund, or None."""
    return await fetch_one(connection, Refund, _GET, {"id": refund_id})


async def lock_refund(connection: Connection, refund_id: int) -> Refund | None:
    """Return the refund, held until commit, or None."""
    return await fetch_one(connection, Refund, _LOCK, {"id": refund_id})


async def refunded(connection: Connection, transfer_id: int) -> Refunded:
    """Return what was given back of a transfer so far; whoever asks for more holds the transfer's entry."""
    found = await fetch_one(connection, Refunded, _REFUNDED, {"transfer_id": transfer_id})
    assert found is not None
    return found


async def part_refunded(connection: Connection, transfer_id: int, name: str) -> int:
    """Return what moved back of a part of a transfer ("gst", "platform_fee") with its refunds."""
    return int(await fetch_value(connection, _PART_REFUNDED, {"transfer_id": transfer_id, "name": name}))


async def insert_refund(
    connection: Connection, *, user_id: int, transfer_id: int, amount_minor: int, reason: str, now: datetime
) -> Refund:
    """Write a pending refund."""
    facts = {"user_id": user_id, "transfer_id": transfer_id, "amount_minor": amount_minor, "reason": reason}
    made = await get_refund(connection, int(await fetch_value(connection, _INSERT, {**facts, "now": now})))
    assert made is not None
    return made


async def decide_refund(
    connection: Connection,
    refund_id: int,
    *,
    status: str,
    admin_notes: str | None,
    processed_by: int,
    refund_transfer_id: int | None,
    now: datetime,
) -> Refund:
    """Write the decision about a refund; returns it after that."""
    facts = {"id": refund_id, "status": status, "admin_notes": admin_notes, "processed_by": processed_by}
    await connection.execute(_DECIDE, {**facts, "refund_transfer_id": refund_transfer_id, "now": now})
    decided = await get_refund(connection, refund_id)
    assert decided is not None
    return decided
