"""Files that people of EV-CMS sent: whose they are, what they are; `stream.files` has the bytes."""

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_one


@dataclass(frozen=True, slots=True)
class Upload:
    """`type`: profile, vehicle, document or station. `original`: what the sender called it, never a path."""

    id: int
    user_id: int
    type: str
    filename: str
    original: str
    mimetype: str
    size_bytes: int
    created_at: datetime


_COLUMNS = "id, user_id, type, filename, original, mimetype, size_bytes, created_at"

_INSERT = f"""
INSERT INTO uploads (user_id, type, filename, original, mimetype, size_bytes, sha256, created_at)
VALUES (%(user_id)s, %(type)s, %(filename)s, %(original)s, %(mimetype)s, %(size_bytes)s, %(sha256)s, %(now)s)
RETURNING {_COLUMNS}
"""

_FIND = f"SELECT {_COLUMNS} FROM uploads WHERE type = %(type)s AND filename = %(filename)s"


async def insert_upload(
    connection: Connection,
    *,
    user_id: int,
    type_: str,
    filename: str,
    original: str,
    mimetype: str,
    size_bytes: int,
    sha256: bytes,
    now: datetime,
) -> Upload:
    """Write down a file that the store holds already; `sha256` is of the bytes that it holds."""
    facts = {"user_id": user_id, "type": type_, "filename": filename, "original": original, "now": now}
    more = {"mimetype": mimetype, "size_bytes": size_bytes, "sha256": sha256}
    upload = await fetch_one(connection, Upload, _INSERT, {**facts, **more})
    assert upload is not None, "an INSERT without ON CONFLICT returns its row"
    return upload


async def find_upload(connection: Connection, type_: str, filename: str) -> Upload | None:
    """Return the upload of this type with this name, or None."""
    return await fetch_one(connection, Upload, _FIND, {"type": type_, "filename": filename})
