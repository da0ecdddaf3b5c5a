"""Charging profiles that chargers hold, as they confirmed or reported them.

Written by the OCPP gateway, read by the API. OCPP 1.6 section 5.16, OCPP 2.0.1 part 2, block K.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_value

PROFILES_MAX = 1_000  # of one charger
OURS = "CSO"  # ChargingLimitSource of what a central system sets
# Set by whoever else limits the charger; ours cannot clear it (OCPP 2.0.1 part 2, K10).
EXTERNAL = "ChargingStationExternalConstraints"


@dataclass(frozen=True, slots=True)
class ChargingProfile:
    """`evse_id`: the connector in 1.6; 0 is the whole charger. `profile`: as its version writes it."""

    profile_id: int
    evse_id: int
    purpose: str
    stack_level: int
    transaction_id: str | None
    source: str
    profile: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredProfile(ChargingProfile):
    """A profile, and when it came."""

    updated_at: datetime


_PUT = """
INSERT INTO charging_profiles (
    device_id, profile_id, evse_id, purpose, stack_level, transaction_id, source, profile, updated_at)
SELECT %(device_id)s, %(profile_id)s, %(evse_id)s, %(purpose)s, %(stack_level)s, %(transaction_id)s,
       %(source)s, %(profile)s, %(at)s
WHERE (SELECT count(*) FROM charging_profiles
       WHERE device_id = %(device_id)s AND profile_id <> %(profile_id)s) < %(bound)s
ON CONFLICT (device_id, profile_id) DO UPDATE
SET evse_id = EXCLUDED.evse_id, purpose = EXCLUDED.purpose, stack_level = EXCLUDED.stack_level,
    transaction_id = EXCLUDED.transaction_id, source = EXCLUDED.source, profile = EXCLUDED.profile,
    updated_at = EXCLUDED.updated_at
"""

_REMOVE = """
DELETE FROM charging_profiles
WHERE device_id = %(device_id)s
  AND (%(profile_id)s::int IS NULL OR profile_id = %(profile_id)s)
  AND (%(evse_id)s::int IS NULL OR evse_id = %(evse_id)s)
  AND (%(purpose)s::text IS NULL OR purpose = %(purpose)s)
  AND (%(stack_level)s::int IS NULL OR stack_level = %(stack_level)s)
  AND (%(source)s::text IS NULL OR source = %(source)s)
  AND (purpose <> %(kept_purpose)s OR %(source)s::text IS NOT NULL)
RETURNING profile_id
"""

_END = """
DELETE FROM charging_profiles
WHERE device_id = %(device_id)s AND purpose = 'TxProfile'
  AND (transaction_id = %(transaction_id)s OR (transaction_id IS NULL AND evse_id = %(evse_id)s))
"""

_LIST = """
SELECT profile_id, evse_id, purpose, stack_level, transaction_id, source, profile, updated_at
FROM charging_profiles WHERE device_id = %(device_id)s
ORDER BY evse_id, purpose, stack_level, profile_id LIMIT %(limit)s OFFSET %(offset)s
"""

_COUNT = "SELECT count(*) FROM charging_profiles WHERE device_id = %(device_id)s"


async def put_profile(connection: Connection, device_id: int, profile: ChargingProfile, at: datetime) -> bool:
    """Keep a profile; one with its id is replaced, wherever it was (OCPP 2.0.1 part 2, K01.FR.05).

    False, and nothing kept, beyond `PROFILES_MAX`.
    """
    facts = {
        "profile_id": profile.profile_id,
        "evse_id": profile.evse_id,
        "purpose": profile.purpose,
        "stack_level": profile.stack_level,
        "transaction_id": profile.transaction_id,
        "source": profile.source,
        "profile": Jsonb(profile.profile),
    }
    parameters = {"device_id": device_id, "at": at, "bound": PROFILES_MAX, **facts}
    return (await connection.execute(_PUT, parameters)).rowcount == 1


async def remove_profiles(
    connection: Connection,
    device_id: int,
    *,
    profile_id: int | None = None,
    evse_id: int | None = None,
    purpose: str | None = None,
    stack_level: int | None = None,
    source: str | None = None,
) -> list[int]:
    """Forget the profiles that fit all of what is given, and return their ids.

    Those of `EXTERNAL` purpose go only where the source is named: they are not ours to clear.
    """
    where = {
        "device_id": device_id,
        "profile_id": profile_id,
        "evse_id": evse_id,
        "purpose": purpose,
        "stack_level": stack_level,
        "source": source,
        "kept_purpose": EXTERNAL,
    }
    rows = await (await connection.execute(_REMOVE, where)).fetchall()
    return sorted(profile for (profile,) in rows)


async def end_transaction_profiles(
    connection: Connection, device_id: int, *, transaction_id: str, evse_id: int
) -> int:
    """Forget the profiles of a transaction, which end with it (OCPP 1.6 section 3.13.1); returns how many.

    Those that name no transaction came with a remote start: they are of the one at their EVSE.
    """
    where = {"device_id": device_id, "transaction_id": transaction_id, "evse_id": evse_id}
    return (await connection.execute(_END, where)).rowcount


async def list_profiles(
    connection: Connection, device_id: int, *, limit: int, offset: int = 0
) -> tuple[list[StoredProfile], int]:
    """Return one page by EVSE, purpose and stack level, and how many there are in all."""
    where = {"device_id": device_id}
    page = await fetch_all(connection, StoredProfile, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))
