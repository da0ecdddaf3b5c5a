"""Who has shown which identity documents, and what an admin decided (conflict C96); numbers are sealed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class KycRecord:
    """One a person. `status`: pending as long as a document waits, else what was decided last."""

    user_id: int
    user_name: str
    user_email: str | None
    status: str
    notes: str | None
    submitted_at: datetime
    verified_by: int | None
    verified_at: datetime | None


@dataclass(frozen=True, slots=True)
class KycDocument:
    """`number_sealed` is the number encrypted, `number_end` the part of it that is shown."""

    user_id: int
    document_type: str
    number_sealed: bytes
    number_end: str
    front_image: str
    back_image: str | None
    status: str
    created_at: datetime


_SELECT = """
SELECT user_id, users.name AS user_name, users.email AS user_email, kyc_records.status, notes, submitted_at,
       verified_by, verified_at
FROM kyc_records JOIN users ON users.id = user_id
"""

_GET = _SELECT + "WHERE user_id = %(user_id)s AND users.deleted_at IS NULL"

_LOCK = _GET + " FOR NO KEY UPDATE OF kyc_records"

_FILTER = """
WHERE users.deleted_at IS NULL AND (%(status)s::text IS NULL OR kyc_records.status = %(status)s)
"""

_LIST = _SELECT + _FILTER + "ORDER BY submitted_at DESC, user_id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*) FROM kyc_records JOIN users ON users.id = user_id" + _FILTER

_DOCUMENTS = """
SELECT user_id, document_type, number_sealed, number_end, front_image, back_image, status, created_at
FROM kyc_documents WHERE user_id = ANY(%(user_ids)s) ORDER BY user_id, created_at, id
"""

# The row is there, and held, before its documents are looked at: two submissions come one after the other.
_OPEN = """
INSERT INTO kyc_records (user_id, submitted_at) VALUES (%(user_id)s, %(now)s)
ON CONFLICT (user_id) DO UPDATE SET submitted_at = %(now)s
"""

_SUBMIT = """
INSERT INTO kyc_documents (user_id, document_type, number_sealed, number_end, front_image, back_image,
                           created_at)
VALUES (%(user_id)s, %(document_type)s, %(number_sealed)s, %(number_end)s, %(front_image)s, %(back_image)s,
        %(now)s)
ON CONFLICT (user_id, document_type) DO UPDATE
SET number_sealed = excluded.number_sealed, number_end = excluded.number_end,
    front_image = excluded.front_image, back_image = excluded.back_image, status = 'pending',
    created_at = excluded.created_at
WHERE kyc_documents.status <> 'approved'
RETURNING user_id
"""

_WAIT = "UPDATE kyc_records SET status = 'pending' WHERE user_id = %(user_id)s"

_DECIDE_DOCUMENTS = """
UPDATE kyc_documents SET status = %(status)s WHERE user_id = %(user_id)s AND status = 'pending'
"""

_DECIDE = """
UPDATE kyc_records
SET status = %(status)s, notes = %(notes)s, verified_by = %(verified_by)s, verified_at = %(now)s
WHERE user_id = %(user_id)s
"""


async def get_record(connection: Connection, user_id: int, *, is_locked: bool = False) -> KycRecord | None:
    """Return the person's record, held until commit where that is asked for; None: nothing was submitted."""
    return await fetch_one(connection, KycRecord, _LOCK if is_locked else _GET, {"user_id": user_id})


async def list_records(
    connection: Connection, *, status: str | None = None, limit: int, offset: int = 0
) -> tuple[list[KycRecord], int]:
    """Return one page, the latest submission first, and how many there are in all."""
    where = {"status": status}
    page = await fetch_all(connection, KycRecord, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def documents_of(connection: Connection, user_ids: Sequence[int]) -> dict[int, list[KycDocument]]:
    """Return the documents of each of these people, in the order they were submitted."""
    by_user: dict[int, list[KycDocument]] = {user_id: [] for user_id in user_ids}
    for document in await fetch_all(connection, KycDocument, _DOCUMENTS, {"user_ids": list(user_ids)}):
        by_user[document.user_id].append(document)
    return by_user


async def submit_document(
    connection: Connection,
    *,
    user_id: int,
    document_type: str,
    number_sealed: bytes,
    number_end: str,
    front_image: str,
    back_image: str | None,
    now: datetime,
) -> bool:
    """Keep a document to be verified, in place of one of the same type that was not approved.

    False, and the document that is there stays, where one of this type is approved.
    """
    await connection.execute(_OPEN, {"user_id": user_id, "now": now})
    facts = {"user_id": user_id, "document_type": document_type, "now": now}
    number = {"number_sealed": number_sealed, "number_end": number_end}
    images = {"front_image": front_image, "back_image": back_image}
    if await fetch_value(connection, _SUBMIT, {**facts, **number, **images}) is None:
        return False
    await connection.execute(_WAIT, {"user_id": user_id})
    return True


async def decide(
    connection: Connection,
    user_id: int,
    *,
    status: str,
    notes: str | None,
    verified_by: int,
    now: datetime,
) -> None:
    """Approve or reject the documents that wait, and with them the record."""
    await connection.execute(_DECIDE_DOCUMENTS, {"user_id": user_id, "status": status})
    facts = {"user_id": user_id, "status": status, "notes": notes, "verified_by": verified_by, "now": now}
    await connection.execute(_DECIDE, facts)
