"""Top-ups of wallets by the app, and the providers' events that say what became of them.

Created, then paid or failed; paid is the end. The wallet is a unit's (`unit_id`) or else the user's own.
Used by the Mobile and the EV-CMS family, and by `stream.payments`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NotRequired, TypedDict, Unpack
from uuid import UUID

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class TopUp:
    """`checkout` is what the app opens to pay; `state`: created, paid or failed.

    `payment_method`: what the user wants to pay with, of a user's own wallet.
    """

    id: UUID
    unit_id: int | None
    user_id: int
    provider: str
    amount_minor: int
    currency: str
    state: str
    provider_id: str | None
    checkout: dict[str, Any]
    transfer_id: int | None
    detail: str | None
    created_at: datetime
    done_at: datetime | None
    payment_method: str | None = None


_COLUMNS = """
id, unit_id, user_id, provider, amount_minor, currency, state, provider_id, checkout, transfer_id, detail,
created_at, done_at, payment_method
"""

_INSERT = (
    """
INSERT INTO top_ups (id, unit_id, user_id, provider, request_key, amount_minor, currency, payment_method,
                     created_at)
VALUES (%(id)s, %(unit_id)s, %(user_id)s, %(provider)s, %(request_key)s, %(amount_minor)s, %(currency)s,
        %(payment_method)s, %(now)s)
ON CONFLICT (user_id, request_key) DO NOTHING
RETURNING"""
    + _COLUMNS
)

_SELECT = "SELECT" + _COLUMNS + "FROM top_ups "

_BY_KEY = _SELECT + "WHERE user_id = %(user_id)s AND request_key = %(request_key)s FOR UPDATE"

_GET = _SELECT + "WHERE id = %(id)s"

_LOCK = _SELECT + "WHERE provider = %(provider)s AND provider_id = %(provider_id)s FOR UPDATE"

# The first one stays: it is what the client has.
_SET_CHECKOUT = (
    """
UPDATE top_ups
SET provider_id = coalesce(provider_id, %(provider_id)s),
    checkout = CASE WHEN provider_id IS NULL THEN %(checkout)s ELSE checkout END,
    state = CASE WHEN provider_id IS NULL THEN 'created' ELSE state END,
    detail = CASE WHEN provider_id IS NULL THEN NULL ELSE detail END,
    done_at = CASE WHEN provider_id IS NULL THEN NULL ELSE done_at END
WHERE id = %(id)s
RETURNING"""
    + _COLUMNS
)

_SET_PAID = """
UPDATE top_ups SET state = 'paid', transfer_id = %(transfer_id)s, detail = NULL, done_at = %(now)s
WHERE id = %(id)s
"""

_SET_FAILED = """
UPDATE top_ups SET state = 'failed', detail = %(detail)s, done_at = %(now)s WHERE id = %(id)s
"""

_SET_NOT_PLACED = """
UPDATE top_ups SET state = 'failed', detail = %(detail)s, done_at = %(now)s
WHERE id = %(id)s AND provider_id IS NULL
"""

_EXPIRE = """
UPDATE top_ups SET state = 'failed', detail = %(detail)s, done_at = %(now)s
WHERE id IN (SELECT id FROM top_ups
             WHERE state = 'created' AND unit_id IS NULL AND created_at < %(before)s
             ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""

_TAKE_EVENT = """
INSERT INTO payment_events (provider, event_id, top_up_id, outcome, received_at)
VALUES (%(provider)s, %(event_id)s, %(top_up_id)s, %(outcome)s, %(now)s)
ON CONFLICT (provider, event_id) DO NOTHING
RETURNING true
"""


class NewTopUp(TypedDict):
    """A top-up of the unit's wallet, or of the user's own where there is no `unit_id`.

    With a `payment_method` then. `request_key` is the client's Idempotency-Key.
    """

    user_id: int
    provider: str
    request_key: str
    amount_minor: int
    currency: str
    now: datetime
    unit_id: NotRequired[int]
    payment_method: NotRequired[str]


async def ensure_top_up(connection: Connection, top_up_id: UUID, **order: Unpack[NewTopUp]) -> TopUp:
    """Return the top-up of this key, made with these facts unless it was there; held until commit."""
    key = {"user_id": order["user_id"], "request_key": order["request_key"]}
    absent = {"unit_id": None, "payment_method": None}
    made = await fetch_one(connection, TopUp, _INSERT, {"id": top_up_id, **absent, **order})
    if made is not None:
        return made
    found = await fetch_one(connection, TopUp, _BY_KEY, key)
    assert found is not None, "what made the insert do nothing is committed"
    return found


async def get_top_up(connection: Connection, top_up_id: UUID) -> TopUp | None:
    """Return the top-up, or None."""
    return await fetch_one(connection, TopUp, _GET, {"id": top_up_id})


async def lock_top_up(connection: Connection, provider: str, provider_id: str) -> TopUp | None:
    """Return the top-up that the provider has under this name, held until commit, or None."""
    return await fetch_one(connection, TopUp, _LOCK, {"provider": provider, "provider_id": provider_id})


async def set_checkout(
    connection: Connection, top_up_id: UUID, provider_id: str, checkout: Mapping[str, Any]
) -> TopUp:
    """Note the provider's name for the order and what the app opens, unless there is one already.

    Returns the top-up after it; one that had failed for want of an order waits again.
    """
    facts = {"id": top_up_id, "provider_id": provider_id, "checkout": Jsonb(checkout)}
    changed = await fetch_one(connection, TopUp, _SET_CHECKOUT, facts)
    assert changed is not None
    return changed


async def set_paid(connection: Connection, top_up_id: UUID, transfer_id: int, now: datetime) -> None:
    """Note the transfer that credited the wallet."""
    await connection.execute(_SET_PAID, {"id": top_up_id, "transfer_id": transfer_id, "now": now})


async def set_failed(connection: Connection, top_up_id: UUID, detail: str, now: datetime) -> None:
    """Note that the payment did not come, and why."""
    await connection.execute(_SET_FAILED, {"id": top_up_id, "detail": detail, "now": now})


async def set_not_placed(connection: Connection, top_up_id: UUID, detail: str, now: datetime) -> None:
    """Note that the provider did not take the order, unless the same request placed it meanwhile."""
    await connection.execute(_SET_NOT_PLACED, {"id": top_up_id, "detail": detail, "now": now})


async def expire_top_ups(
    connection: Connection, before: datetime, detail: str, now: datetime, limit: int
) -> int:
    """Fail users' top-ups that wait since before then; one that is paid after all is credited."""
    facts = {"before": before, "detail": detail, "now": now, "limit": limit}
    return (await connection.execute(_EXPIRE, facts)).rowcount


async def take_event(
    connection: Connection, provider: str, event_id: str, top_up_id: UUID, outcome: str, now: datetime
) -> bool:
    """Note an event; False where it was taken before."""
    facts = {"provider": provider, "event_id": event_id, "top_up_id": top_up_id, "outcome": outcome}
    return await fetch_value(connection, _TAKE_EVENT, {**facts, "now": now}) is not None
