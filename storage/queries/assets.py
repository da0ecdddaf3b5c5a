"""The history of one battery over both families, by its serial number in any case of letters.

Used by Ienerzy's `GET /api/batteries/{serial}/history` and Lithovolt's
`GET /api/inventory/serials/{serial}/history/`. What a reader sees follows from its `Reader`: persons and
money stay in the family that they are of, stock and warranties are told without persons elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString

from storage.database import Connection, fetch_all

Family = Literal["ienerzy", "lithovolt"]
HISTORY_MAX = 500


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose eyes: an Ienerzy dealer, consumer or admin (no ids), or Lithovolt, which says itself who may ask.

    A dealer sees loans and tickets of its own; a consumer his own ones, and of the rest what was since
    `since`, when he got the battery.
    """

    family: Family
    dealer_id: int | None = None
    consumer_id: int | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class AssetEvent:
    """`source`: assignment, command, alarm, loan, lock, ticket, stock, warranty, claim or telemetry.

    `actor_id` is an account of the reader's family, or None.
    """

    at: datetime
    source: str
    kind: str
    actor_id: int | None
    detail: dict[str, Any]


# Each part gives (at, source, kind, actor_id, detail) of %(serial)s, from which `_HISTORY` takes the newest.
_ASSIGNMENTS = """
SELECT at, 'assignment', kind, assigned_by, jsonb_build_object('consumer_id', consumer_id)
FROM battery_assignments JOIN battery ON battery.id = battery_id,
     LATERAL (VALUES (assigned_at, 'assigned'), (ended_at, 'ended')) steps (at, kind)
WHERE %(consumer_id)s::bigint IS NULL OR consumer_id = %(consumer_id)s
"""

_COMMANDS = """
SELECT at, 'command', kind, CASE kind WHEN 'asked' THEN requested_by END,
       jsonb_build_object('action', action, 'state', state)
FROM battery_commands JOIN battery ON battery.id = battery_id,
     LATERAL (VALUES (battery_commands.created_at, 'asked'), (answered_at, state)) steps (at, kind)
"""

_ALARMS = """
SELECT at, 'alarm', step, NULL::bigint,
       jsonb_build_object('alarm', kind, 'severity', severity, 'worst', round(worst::numeric, 3),
                          'cell', cell)
FROM battery_alarms JOIN battery ON battery.id = battery_id,
     LATERAL (VALUES (opened_at, 'opened'), (closed_at, 'closed')) steps (at, step)
"""

_LOANS = """
SELECT at, 'loan', kind, NULL::bigint,
       jsonb_build_object('application_id', loans.id, 'consumer_id', consumer_id, 'status', status,
                          'amount', round(coalesce(approved_minor, amount_minor) / 100.0, 2))
FROM finance_applications loans JOIN battery ON battery.id = battery_id,
     LATERAL (VALUES (loans.created_at, 'applied'),
                     (decided_at, CASE status WHEN 'rejected' THEN 'rejected' ELSE 'approved' END),
                     (closed_at, CASE WHEN is_foreclosed THEN 'foreclosed' ELSE 'closed' END)
             ) steps (at, kind)
WHERE (%(dealer_id)s::bigint IS NULL OR loans.dealer_id = %(dealer_id)s)
  AND (%(consumer_id)s::bigint IS NULL OR consumer_id = %(consumer_id)s)
"""

_LOCKS = """
SELECT at, 'lock', kind, NULL::bigint, jsonb_build_object('application_id', application_id)
FROM battery_locks locks JOIN battery ON battery.id = locks.battery_id
     JOIN finance_applications loans ON loans.id = application_id,
     LATERAL (VALUES (noticed_at, 'noticed'), (disable_asked_at, 'disable_asked'), (disabled_at, 'disabled'),
                     (enable_asked_at, 'enable_asked'), (ended_at, 'ended')) steps (at, kind)
WHERE (%(dealer_id)s::bigint IS NULL OR loans.dealer_id = %(dealer_id)s)
  AND (%(consumer_id)s::bigint IS NULL OR consumer_id = %(consumer_id)s)
"""

_TICKETS = """
SELECT at, 'ticket', kind, NULL::bigint,
       jsonb_build_object('ticket_id', tickets.id, 'issue_category', issue_category, 'priority', priority,
                          'status', status)
FROM service_tickets tickets JOIN battery ON battery.id = battery_id,
     LATERAL (VALUES (tickets.created_at, 'opened'), (resolved_at, 'resolved')) steps (at, kind)
WHERE (%(dealer_id)s::bigint IS NULL OR tickets.dealer_id = %(dealer_id)s)
  AND (%(consumer_id)s::bigint IS NULL OR consumer_id = %(consumer_id)s)
"""

_STOCK = """
SELECT at, 'stock', kind, actor_id, detail
FROM serial_events JOIN serial ON serial.id = serial_id
"""

_WARRANTIES = """
SELECT activated_at, 'warranty', 'activated', activated_by,
       jsonb_build_object('certificate_number', certificate_number, 'starts_on', starts_on,
                          'expires_on', expires_on, 'is_void', is_void)
FROM warranties JOIN serial ON serial.id = serial_id
"""

_CLAIMS = """
SELECT at, 'claim', kind, actor_id,
       jsonb_build_object('claim_number', claim_number, 'issue', issue, 'status', status)
FROM warranty_claims claims JOIN warranties ON warranties.id = warranty_id
     JOIN serial ON serial.id = serial_id,
     LATERAL (VALUES (claims.created_at, 'submitted', claimant_id),
                     (decided_at, 'decided', decided_by)) steps (at, kind, actor_id)
"""

_TELEMETRY = """
SELECT at, 'telemetry', kind, NULL::bigint, '{}'::jsonb
FROM battery,
     LATERAL (SELECT (SELECT ts FROM battery_samples samples WHERE samples.device_id = battery.device_id
                      ORDER BY ts LIMIT 1) AS earliest,
                     (SELECT ts FROM battery_samples samples WHERE samples.device_id = battery.device_id
                      ORDER BY ts DESC LIMIT 1) AS latest) ends,
     LATERAL (VALUES (earliest, 'first_sample'), (latest, 'last_sample')) steps (at, kind)
"""


def _without_actors(part: LiteralString) -> LiteralString:
    return (
        "SELECT at, source, kind, NULL::bigint, detail FROM ("
        + part
        + ") told (at, source, kind, by, detail)"
    )


def _bare(part: LiteralString) -> LiteralString:
    return (
        "SELECT at, source, kind, NULL::bigint, '{}'::jsonb FROM ("
        + part
        + ") told (at, source, kind, by, detail)"
    )


# What is not named here a family does not see.
_PARTS: Mapping[Family, tuple[LiteralString, ...]] = {
    "ienerzy": (
        _ASSIGNMENTS,
        _COMMANDS,
        _ALARMS,
        _LOANS,
        _LOCKS,
        _TICKETS,
        _TELEMETRY,
        _bare(_STOCK),
        _without_actors(_WARRANTIES),
        _without_actors(_CLAIMS),
    ),
    "lithovolt": (
        _STOCK,
        _WARRANTIES,
        _CLAIMS,
        _ALARMS,
        _TELEMETRY,
        _bare(_ASSIGNMENTS),
        _bare(_TICKETS),
    ),
}

# Both families print seconds: a page ends with a whole one, so that the next begins behind it.
_HISTORY: Mapping[Family, LiteralString] = {
    family: (
        """
WITH battery AS (SELECT id, device_id FROM batteries WHERE serial_key = lower(%(serial)s)),
     serial AS (SELECT id FROM serial_numbers WHERE serial_key = lower(%(serial)s))
SELECT at, source, kind, actor_id, detail FROM (
SELECT at, source, kind, actor_id, detail FROM (
"""
        + " UNION ALL ".join(parts)
        + """
) events (at, source, kind, actor_id, detail)
WHERE at IS NOT NULL
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(before)s::timestamptz IS NULL OR date_trunc('second', at) < %(before)s)
ORDER BY date_trunc('second', at) DESC FETCH FIRST (%(limit)s) ROWS WITH TIES
) page
ORDER BY at DESC, source, kind
"""
    )
    for family, parts in _PARTS.items()
}


async def history(
    connection: Connection, serial: str, *, reader: Reader, before: datetime | None = None, limit: int = 100
) -> list[AssetEvent]:
    """Return what is known of the serial to this reader, the newest first, at most `HISTORY_MAX`.

    For the next page give the `at` of the last one as `before`, to the second; what shares its second with
    the last one comes with it. A serial that nobody entered has none.
    """
    facts = {
        "serial": serial,
        "dealer_id": reader.dealer_id,
        "consumer_id": reader.consumer_id,
        "since": reader.since,
        "before": before,
        "limit": min(limit, HISTORY_MAX),
    }
    return await fetch_all(connection, AssetEvent, _HISTORY[reader.family], facts)
