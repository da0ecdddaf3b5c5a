"""Documents of Ienerzy's consumers: where each is, whose number it has, what was decided of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, Unpack

from storage.database import Connection, fetch_all, fetch_one


@dataclass(frozen=True, slots=True)
class ConsumerDocument:
    """At `document_url`, or in the file store under `consumer/<file_name>`; the number is sealed.

    `status`: pending_verification, verified or rejected.
    """

    id: int
    consumer_id: int
    document_type: str
    document_url: str | None
    file_name: str | None
    mimetype: str | None
    number_sealed: bytes | None
    number_end: str | None
    status: str
    notes: str | None
    uploaded_at: datetime
    reviewed_at: datetime | None


class NewDocument(TypedDict):
    """What a document is entered with: a URL, or a file of ours with what it is."""

    consumer_id: int
    document_type: str
    document_url: str | None
    file_name: str | None
    mimetype: str | None
    sha256: bytes | None
    number_sealed: bytes | None
    number_end: str | None
    uploaded_by: int
    now: datetime


_COLUMNS = """
id, consumer_id, document_type, document_url, file_name, mimetype, number_sealed, number_end, status, notes,
uploaded_at, reviewed_at
"""

_INSERT = f"""
INSERT INTO consumer_documents (consumer_id, document_type, document_url, file_name, mimetype, sha256,
                                number_sealed, number_end, uploaded_by, uploaded_at)
VALUES (%(consumer_id)s, %(document_type)s, %(document_url)s, %(file_name)s, %(mimetype)s, %(sha256)s,
        %(number_sealed)s, %(number_end)s, %(uploaded_by)s, %(now)s)
RETURNING {_COLUMNS}
"""

_GET = f"SELECT {_COLUMNS} FROM consumer_documents WHERE id = %(id)s AND consumer_id = %(consumer_id)s"

_LIST = f"""
SELECT {_COLUMNS} FROM consumer_documents WHERE consumer_id = %(consumer_id)s
ORDER BY id DESC LIMIT %(limit)s
"""

_REVIEW = f"""
UPDATE consumer_documents
SET status = %(status)s, notes = %(notes)s, reviewed_by = %(reviewed_by)s, reviewed_at = %(now)s
WHERE id = %(id)s AND consumer_id = %(consumer_id)s
RETURNING {_COLUMNS}
"""


async def insert_document(connection: Connection, **facts: Unpack[NewDocument]) -> ConsumerDocument:
    """Enter a document; its file is in the store already."""
    made = await fetch_one(connection, ConsumerDocument, _INSERT, facts)
    assert made is not None, "an INSERT without ON CONFLICT returns its row"
    return made


async def get_document(connection: Connection, consumer_id: int, document_id: int) -> ConsumerDocument | None:
    """Return this document of this consumer, or None."""
    where = {"id": document_id, "consumer_id": consumer_id}
    return await fetch_one(connection, ConsumerDocument, _GET, where)


async def list_documents(connection: Connection, consumer_id: int, *, limit: int) -> list[ConsumerDocument]:
    """Return a consumer's documents, the newest first."""
    where = {"consumer_id": consumer_id, "limit": limit}
    return await fetch_all(connection, ConsumerDocument, _LIST, where)


async def review_document(
    connection: Connection,
    consumer_id: int,
    document_id: int,
    *,
    status: str,
    notes: str | None,
    reviewed_by: int,
    now: datetime,
) -> ConsumerDocument | None:
    """Note what was decided; the last decision stands. None where the consumer has no such document."""
    where = {"id": document_id, "consumer_id": consumer_id}
    facts = {"status": status, "notes": notes, "reviewed_by": reviewed_by, "now": now}
    return await fetch_one(connection, ConsumerDocument, _REVIEW, {**where, **facts})
