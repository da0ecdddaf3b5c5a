"""The local authorisation list of each charger: what it took of what we sent, and its own word on it.

Written by the OCPP gateway, read by the API. OCPP 1.6 section 3.5.2, OCPP 2.0.1 part 2, block D.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value

ENTRIES_MAX = 50_000  # of one charger


@dataclass(frozen=True, slots=True)
class LocalList:
    """`version` of what we sent and it took, `reported_version` as it says: in doubt where they differ."""

    version: int
    is_in_doubt: bool
    sent_at: datetime | None
    reported_version: int | None
    reported_at: datetime | None
    entries: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A token with its IdTagInfo or IdTokenInfoType; `info` None takes it off the list."""

    id_token: str
    token_type: str
    info: Mapping[str, Any] | None


_GET = """
SELECT version, is_in_doubt, sent_at, reported_version, reported_at,
       (SELECT count(*) FROM local_list_entries AS entry WHERE entry.device_id = list.device_id) AS entries
FROM local_lists AS list WHERE device_id = %(device_id)s
"""

_SENT = """
INSERT INTO local_lists (device_id, version, sent_at) VALUES (%(device_id)s, %(version)s, %(at)s)
ON CONFLICT (device_id) DO UPDATE
SET version = EXCLUDED.version, sent_at = EXCLUDED.sent_at,
    is_in_doubt = local_lists.is_in_doubt AND NOT %(is_full)s
"""

_DOUBT = """
INSERT INTO local_lists (device_id, version, is_in_doubt) VALUES (%(device_id)s, 0, true)
ON CONFLICT (device_id) DO UPDATE SET is_in_doubt = true
"""

_REPORTED = """
INSERT INTO local_lists (device_id, version, is_in_doubt, reported_version, reported_at)
VALUES (%(device_id)s, 0, %(version)s > 0, %(version)s, %(at)s)
ON CONFLICT (device_id) DO UPDATE
SET reported_version = EXCLUDED.reported_version, reported_at = EXCLUDED.reported_at,
    is_in_doubt = local_lists.version <> greatest(EXCLUDED.reported_version, 0)
"""

_REMOVE_ALL = "DELETE FROM local_list_entries WHERE device_id = %(device_id)s"

_REMOVE = """
DELETE FROM local_list_entries AS entry USING unnest(%(id_tokens)s::text[], %(token_types)s::text[])
    AS given (id_token, token_type)
WHERE entry.device_id = %(device_id)s AND lower(entry.id_token) = lower(given.id_token)
  AND lower(entry.token_type) = lower(given.token_type)
"""

_PUT = """
INSERT INTO local_list_entries (device_id, id_token, token_type, info)
SELECT %(device_id)s, given.*
FROM unnest(%(id_tokens)s::text[], %(token_types)s::text[], %(infos)s::jsonb[]) AS given
LIMIT greatest(0, %(bound)s - (SELECT count(*) FROM local_list_entries WHERE device_id = %(device_id)s))
"""

_LIST = """
SELECT id_token, token_type, info FROM local_list_entries WHERE device_id = %(device_id)s
ORDER BY lower(id_token), lower(token_type) LIMIT %(limit)s OFFSET %(offset)s
"""

_COUNT = "SELECT count(*) FROM local_list_entries WHERE device_id = %(device_id)s"


async def get_local_list(connection: Connection, device_id: int) -> LocalList | None:
    """Return the list's facts without its entries; None: none was ever sent or reported."""
    return await fetch_one(connection, LocalList, _GET, {"device_id": device_id})


async def update_local_list(
    connection: Connection,
    device_id: int,
    *,
    version: int,
    is_full: bool,
    entries: Sequence[Entry],
    at: datetime,
) -> int:
    """Keep a list, or an update of one, that the charger took; returns how many entries were written.

    Of two with one token the later. Beyond `ENTRIES_MAX` entries of one charger the rest is left out.
    """
    given = {(each.id_token.lower(), each.token_type.lower()): each for each in entries}
    kept = [each for each in given.values() if each.info is not None]
    about = {"device_id": device_id}
    await connection.execute(_SENT, {**about, "version": version, "is_full": is_full, "at": at})
    if is_full:
        await connection.execute(_REMOVE_ALL, about)
    else:
        await connection.execute(_REMOVE, {**about, **_tokens(list(given.values()))})
    infos = [Jsonb(each.info) for each in kept]
    parameters = {**about, **_tokens(kept), "infos": infos, "bound": ENTRIES_MAX}
    return (await connection.execute(_PUT, parameters)).rowcount


async def doubt_local_list(connection: Connection, device_id: int) -> None:
    """Note that it refused an update: what it holds is not known until it says so or takes a full list."""
    await connection.execute(_DOUBT, {"device_id": device_id})


async def report_local_list(connection: Connection, device_id: int, version: int, at: datetime) -> None:
    """Keep the version that the charger says it has: 0 an empty list, -1 none at all (OCPP 1.6, 5.10)."""
    await connection.execute(_REPORTED, {"device_id": device_id, "version": version, "at": at})


async def list_entries(
    connection: Connection, device_id: int, *, limit: int, offset: int = 0
) -> tuple[list[Entry], int]:
    """Return one page by token, and how many there are in all."""
    where = {"device_id": device_id}
    page = await fetch_all(connection, Entry, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


def _tokens(entries: Sequence[Entry]) -> dict[str, list[str]]:
    id_tokens = [each.id_token for each in entries]
    return {"id_tokens": id_tokens, "token_types": [each.token_type for each in entries]}
