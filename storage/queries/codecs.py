"""Payload codecs and their versions: JavaScript sources with the examples that they must satisfy.

Used by `stream.decoding` (what decodes a device's payloads), the Mobile family's portal and the command line.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,79}$"  # as the table has it


@dataclass(frozen=True, slots=True)
class CodecText:
    """What running a codec needs: source, the SHA-256 of that, whether it leaks state between calls."""

    id: int
    name: str
    version: int
    sha256: str
    source: str = field(repr=False)
    is_stateful: bool

    @classmethod
    def unstored(cls, source: str) -> "CodecText":
        """Return a codec that is in no database: one that is tried, or measured."""
        return cls(0, "unstored", 0, hash_source(source), source, is_stateful=False)


@dataclass(frozen=True, slots=True)
class CodecVersion:
    """One version in a list; `examples` counts them, `profiles` the device profiles that use it."""

    id: int
    name: str
    version: int
    sha256: str
    is_stateful: bool
    examples: int
    profiles: int
    created_by: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Codec:
    """One version whole."""

    id: int
    name: str
    version: int
    sha256: str
    source: str
    examples: list[dict[str, Any]]
    is_stateful: bool
    created_by: int | None
    created_at: datetime


_WHOLE = "id, name, version, sha256, source, examples, is_stateful, created_by, created_at"

_LISTED = """
SELECT id, name, version, sha256, is_stateful, jsonb_array_length(examples) AS examples,
       (SELECT count(*) FROM device_profiles WHERE codec_id = codecs.id) AS profiles, created_by, created_at
FROM codecs
"""

_GET_TEXT = "SELECT id, name, version, sha256, source, is_stateful FROM codecs WHERE id = %(id)s"

_FIND = f"""
SELECT {_WHOLE} FROM codecs
WHERE name = %(name)s AND (%(version)s::integer IS NULL OR version = %(version)s)
ORDER BY version DESC LIMIT 1
"""

_LIST = (
    _LISTED
    + """
WHERE id > %(after_id)s AND (%(query)s::text IS NULL OR strpos(name, lower(%(query)s)) > 0)
  AND version = (SELECT max(version) FROM codecs AS other WHERE other.name = codecs.name)
ORDER BY id LIMIT %(limit)s
"""
)

_VERSIONS = _LISTED + "WHERE name = %(name)s ORDER BY version DESC LIMIT %(limit)s"

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('codec:' || %(name)s, 0))"

_INSERT = f"""
INSERT INTO codecs (name, version, source, sha256, examples, is_stateful, created_by)
SELECT %(name)s, coalesce(max(version), 0) + 1, %(source)s, %(sha256)s, %(examples)s, %(is_stateful)s,
       %(created_by)s
FROM codecs WHERE name = %(name)s
RETURNING {_WHOLE}
"""

_MARK_STATEFUL = "UPDATE codecs SET is_stateful = true WHERE sha256 = %(sha256)s AND NOT is_stateful"


def hash_source(source: str) -> str:
    """Return the SHA-256 by which a source is known."""
    return hashlib.sha256(source.encode()).hexdigest()


async def get_codec_text(connection: Connection, codec_id: int) -> CodecText | None:
    """Return what running this codec needs, or None."""
    return await fetch_one(connection, CodecText, _GET_TEXT, {"id": codec_id})


async def find_codec(connection: Connection, name: str, version: int | None = None) -> Codec | None:
    """Return this version of a codec, by default its newest, or None."""
    return await fetch_one(connection, Codec, _FIND, {"name": name, "version": version})


async def list_codecs(
    connection: Connection, *, query: str | None = None, after_id: int = 0, limit: int
) -> list[CodecVersion]:
    """Return a page of codecs, each by its newest version; `query` looks into their names."""
    parameters = {"query": query, "after_id": after_id, "limit": limit}
    return await fetch_all(connection, CodecVersion, _LIST, parameters)


async def list_versions(connection: Connection, name: str, *, limit: int) -> list[CodecVersion]:
    """Return the newest versions of a codec, the newest first."""
    return await fetch_all(connection, CodecVersion, _VERSIONS, {"name": name, "limit": limit})


async def insert_codec(
    connection: Connection,
    *,
    name: str,
    source: str,
    examples: Sequence[Mapping[str, Any]],
    is_stateful: bool,
    created_by: int | None = None,
) -> Codec:
    """Store the next version of a codec. Raises `AlreadyExistsError` where its newest is just that."""
    await fetch_value(connection, _LOCK, {"name": name})
    newest = await find_codec(connection, name)
    if newest is not None and newest.source == source and newest.examples == list(examples):
        raise AlreadyExistsError(f"version {newest.version} of {name} has this source and these examples")
    parameters = {
        "name": name,
        "source": source,
        "sha256": hash_source(source),
        "examples": Jsonb(list(examples)),
        "is_stateful": is_stateful,
        "created_by": created_by,
    }
    stored = await fetch_one(connection, Codec, _INSERT, parameters)
    assert stored is not None
    return stored


async def mark_stateful(connection: Connection, sha256: str) -> None:
    """Remember that every codec with this source leaks state between calls."""
    await connection.execute(_MARK_STATEFUL, {"sha256": sha256})
