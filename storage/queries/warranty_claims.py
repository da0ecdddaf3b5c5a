"""Claims on warranties: their workflow's rows, history and files. Used by `stream.warranty` and the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.queries.warranties import Scope


@dataclass(frozen=True, slots=True)
class Claim:
    """`status`: submitted, under_review, approved, rejected, resolved or withdrawn.

    `consumer_id` and `seller_id` are the warranty's. `verdict` is that of the evidence.
    """

    id: int
    claim_number: str
    warranty_id: int
    certificate_number: str
    serial: str
    consumer_id: int | None
    seller_id: int | None
    claimant_id: int
    issue: str
    description: str
    status: str
    verdict: str | None
    resolution: str | None
    replacement_serial: str | None
    decided_by: int | None
    decided_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimEvent:
    """`kind`: submitted, status, noted or attached."""

    kind: str
    actor_id: int | None
    detail: dict[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class ClaimFile:
    """`file_name` is the one in the file store, `original` what the sender called it."""

    id: int
    claim_id: int
    file_name: str
    original: str
    mimetype: str
    size_bytes: int
    uploaded_by: int
    uploaded_at: datetime


_FROM = """
FROM warranty_claims AS claims
JOIN warranties ON warranties.id = warranty_id
JOIN serial_numbers ON serial_numbers.id = warranties.serial_id
LEFT JOIN serial_numbers AS replacements ON replacements.id = replacement_serial_id
"""

# The evidence may be large: only `get_evidence` reads it whole.
_SELECT = (
    """
SELECT claims.id, claim_number, warranty_id, certificate_number, serial_numbers.serial, consumer_id,
       seller_id, claimant_id, issue, description, claims.status, evidence ->> 'verdict' AS verdict,
       resolution, replacements.serial AS replacement_serial, decided_by, decided_at, claims.created_at,
       claims.updated_at
"""
    + _FROM
)

_GET = _SELECT + "WHERE claims.id = %(id)s"

_LOCK = _GET + " FOR UPDATE OF claims"

_FILTER = """
WHERE (%(consumer_id)s::bigint IS NULL OR consumer_id = %(consumer_id)s)
  AND (%(seller_id)s::bigint IS NULL OR seller_id = %(seller_id)s)
  AND (%(warranty_id)s::bigint IS NULL OR warranty_id = %(warranty_id)s)
  AND (%(status)s::text IS NULL OR claims.status = %(status)s)
"""

_LIST = _SELECT + _FILTER + "ORDER BY claims.id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*)" + _FROM + _FILTER

_INSERT = """
INSERT INTO warranty_claims (claim_number, warranty_id, claimant_id, issue, description, evidence, created_at,
                             updated_at)
VALUES (%(claim_number)s, %(warranty_id)s, %(claimant_id)s, %(issue)s, %(description)s, %(evidence)s, %(now)s,
        %(now)s)
RETURNING id
"""

_HAS_OPEN = """
SELECT claim_number FROM warranty_claims
WHERE warranty_id = %(warranty_id)s AND status IN ('submitted', 'under_review', 'approved')
"""

_HOLD_WARRANTY = "SELECT id FROM warranties WHERE id = %(id)s FOR UPDATE"

_EVIDENCE = "SELECT evidence FROM warranty_claims WHERE id = %(id)s"

_MOVE = """
UPDATE warranty_claims
SET status = %(status)s, resolution = coalesce(%(resolution)s, resolution),
    replacement_serial_id = coalesce(%(replacement_serial_id)s, replacement_serial_id),
    decided_by = CASE WHEN %(is_decision)s THEN %(actor_id)s ELSE decided_by END,
    decided_at = CASE WHEN %(is_decision)s THEN %(now)s ELSE decided_at END, updated_at = %(now)s
WHERE id = %(id)s
"""

_ADD_EVENT = """
INSERT INTO warranty_claim_events (claim_id, kind, actor_id, detail, at)
VALUES (%(claim_id)s, %(kind)s, %(actor_id)s, %(detail)s, %(now)s)
"""

_EVENTS = """
SELECT kind, actor_id, detail, at FROM warranty_claim_events WHERE claim_id = %(claim_id)s
ORDER BY id LIMIT %(limit)s
"""

_FILE_COLUMNS = "id, claim_id, file_name, original, mimetype, size_bytes, uploaded_by, uploaded_at"

_ADD_FILE = f"""
INSERT INTO warranty_claim_files (claim_id, file_name, original, mimetype, size_bytes, uploaded_by,
                                  uploaded_at)
VALUES (%(claim_id)s, %(file_name)s, %(original)s, %(mimetype)s, %(size_bytes)s, %(uploaded_by)s, %(now)s)
RETURNING {_FILE_COLUMNS}
"""

_OF_CLAIM = f"SELECT {_FILE_COLUMNS} FROM warranty_claim_files WHERE claim_id = %(claim_id)s "

_FILES = _OF_CLAIM + "ORDER BY id LIMIT %(limit)s"

_FILE = _OF_CLAIM + "AND id = %(id)s"


async def hold_warranty(connection: Connection, warranty_id: int) -> None:
    """Hold a warranty until commit: what is decided of its claims is decided one after the other."""
    await connection.execute(_HOLD_WARRANTY, {"id": warranty_id})


async def open_claim_of(connection: Connection, warranty_id: int) -> str | None:
    """Return the number of the claim that is open on a warranty, or None."""
    found: str | None = await fetch_value(connection, _HAS_OPEN, {"warranty_id": warranty_id})
    return found


async def insert_claim(
    connection: Connection,
    *,
    claim_number: str,
    warranty_id: int,
    claimant_id: int,
    issue: str,
    description: str,
    evidence: Mapping[str, Any],
    now: datetime,
) -> Claim:
    """Write a claim on a warranty that is held and has none open."""
    facts = {"claim_number": claim_number, "warranty_id": warranty_id, "claimant_id": claimant_id, "now": now}
    words = {"issue": issue, "description": description, "evidence": Jsonb(dict(evidence))}
    made = await get_claim(connection, int(await fetch_value(connection, _INSERT, {**facts, **words})))
    assert made is not None, "it was written just now"
    return made


async def get_claim(connection: Connection, claim_id: int, *, is_locked: bool = False) -> Claim | None:
    """Return the claim, or None; `is_locked` holds it until commit."""
    return await fetch_one(connection, Claim, _LOCK if is_locked else _GET, {"id": claim_id})


async def get_evidence(connection: Connection, claim_id: int) -> dict[str, Any]:
    """Return what the battery's telemetry said when the claim was made; see `stream.warranty.evidence`."""
    evidence: dict[str, Any] = await fetch_value(connection, _EVIDENCE, {"id": claim_id})
    return evidence


async def list_claims(
    connection: Connection,
    scope: Scope,
    *,
    status: str | None,
    warranty_id: int | None,
    limit: int,
    offset: int,
) -> tuple[list[Claim], int]:
    """Return one page of claims, newest first, and how many there are in all."""
    where = {"consumer_id": scope.consumer_id, "seller_id": scope.seller_id}
    where |= {"warranty_id": warranty_id}
    facts = {**where, "status": status}
    page = await fetch_all(connection, Claim, _LIST, {**facts, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, facts))


async def move_claim(
    connection: Connection,
    claim_id: int,
    status: str,
    *,
    actor_id: int,
    is_decision: bool,
    now: datetime,
    resolution: str | None = None,
    replacement_serial_id: int | None = None,
) -> None:
    """Give a claim that is held another status; a decision has its author and time."""
    facts = {"id": claim_id, "status": status, "actor_id": actor_id, "is_decision": is_decision, "now": now}
    more = {"resolution": resolution, "replacement_serial_id": replacement_serial_id}
    await connection.execute(_MOVE, {**facts, **more})


async def add_event(
    connection: Connection, claim_id: int, kind: str, actor_id: int, detail: Mapping[str, Any], now: datetime
) -> None:
    """Write into a claim's history."""
    facts = {"claim_id": claim_id, "kind": kind, "actor_id": actor_id, "now": now}
    await connection.execute(_ADD_EVENT, {**facts, "detail": Jsonb(dict(detail))})


async def events_of(connection: Connection, claim_id: int, limit: int) -> list[ClaimEvent]:
    """Return the first `limit` entries of a claim's history, oldest first."""
    return await fetch_all(connection, ClaimEvent, _EVENTS, {"claim_id": claim_id, "limit": limit})


async def add_file(
    connection: Connection,
    claim_id: int,
    *,
    file_name: str,
    original: str,
    mimetype: str,
    size_bytes: int,
    uploaded_by: int,
    now: datetime,
) -> ClaimFile:
    """Write down a file that the store holds already."""
    facts = {"claim_id": claim_id, "file_name": file_name, "original": original, "now": now}
    more = {"mimetype": mimetype, "size_bytes": size_bytes, "uploaded_by": uploaded_by}
    made = await fetch_one(connection, ClaimFile, _ADD_FILE, {**facts, **more})
    assert made is not None, "an INSERT without ON CONFLICT returns its row"
    return made


async def files_of(connection: Connection, claim_id: int, limit: int) -> list[ClaimFile]:
    """Return up to `limit` files of a claim, the oldest first."""
    return await fetch_all(connection, ClaimFile, _FILES, {"claim_id": claim_id, "limit": limit})


async def get_file(connection: Connection, claim_id: int, file_id: int) -> ClaimFile | None:
    """Return a file of a claim, or None."""
    return await fetch_one(connection, ClaimFile, _FILE, {"claim_id": claim_id, "id": file_id})
