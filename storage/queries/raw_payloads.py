"""Raw payloads as they came: pages of them, and what is written when a decoder is run over the past.

Used by `stream.reprocess` and the portal. `stream.writer` stores them; the way they are declared is
`storage.hypertables.RAW_PAYLOADS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from storage.database import Connection, fetch_all


@dataclass(frozen=True, slots=True)
class RawPayload:
    """Times are microseconds since 1970 UTC. `decoded`: see `stream.decoding.Decoding.to_json`."""

    ts_us: int
    received_at_us: int
    source: str
    event: str
    port: int
    counter: int
    decoder: str
    digest: int
    payload: bytes
    decoded: dict[str, Any] | None
    meta: dict[str, Any] | None


_US = "(extract(epoch FROM {}) * 1000000)::bigint"
_AT = "to_timestamp(0) + {} * interval '1 microsecond'"

_COLUMNS = f"""
SELECT {_US.format("ts")} AS ts_us, {_US.format("received_at")} AS received_at_us, source, event, port,
       counter, decoder, digest, payload, decoded, meta
FROM raw_payloads
"""

_UPLINKS = (
    _COLUMNS
    + f"""
WHERE device_id = %(device_id)s AND event = 'uplink'
  AND ts >= {_AT.format("%(since_us)s")} AND ts < {_AT.format("%(until_us)s")}
  AND (ts, counter, digest) > ({_AT.format("%(after_us)s")}, %(after_counter)s, %(after_digest)s)
ORDER BY ts, counter, digest LIMIT %(limit)s
"""
)

_NEWEST = (
    _COLUMNS
    + f"""
WHERE device_id = %(device_id)s AND ts < {_AT.format("%(before_us)s")} AND ts >= {_AT.format("%(since_us)s")}
ORDER BY ts DESC, counter DESC LIMIT %(limit)s
"""
)

_WITH_PROFILE = """
SELECT id FROM devices WHERE profile_id = %(profile_id)s AND id > %(after_id)s ORDER BY id LIMIT %(limit)s
"""

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('gridwire reprocess'))"

_REDECODED = f"""
UPDATE raw_payloads SET decoder = %(decoder)s, decoded = %(decoded)s
WHERE device_id = %(device_id)s AND ts = {_AT.format("%(ts_us)s")}
  AND counter = %(counter)s AND digest = %(digest)s
"""

INT8_MIN = -(2**63)


async def uplinks(
    connection: Connection,
    device_id: int,
    *,
    since_us: int,
    until_us: int,
    after: RawPayload | None = None,
    limit: int,
) -> list[RawPayload]:
    """Return a page of a device's uplinks in [since, until), oldest first, those behind `after`."""
    parameters = {
        "device_id": device_id,
        "since_us": since_us,
        "until_us": until_us,
        "after_us": since_us if after is None else after.ts_us,
        "after_counter": INT8_MIN if after is None else after.counter,
        "after_digest": INT8_MIN if after is None else after.digest,
        "limit": limit,
    }
    return await fetch_all(connection, RawPayload, _UPLINKS, parameters)


async def newest_payloads(
    connection: Connection, device_id: int, *, since_us: int, before_us: int, limit: int
) -> list[RawPayload]:
    """Return what a device sent in [since, before), newest first, all events."""
    parameters = {"device_id": device_id, "since_us": since_us, "before_us": before_us, "limit": limit}
    return await fetch_all(connection, RawPayload, _NEWEST, parameters)


async def devices_with_profile(
    connection: Connection, profile_id: int, *, after_id: int = 0, limit: int
) -> list[int]:
    """Return the ids of devices with this profile, in order, those behind `after_id`."""
    parameters = {"profile_id": profile_id, "after_id": after_id, "limit": limit}
    rows = await connection.execute(_WITH_PROFILE, parameters)
    return [device_id for (device_id,) in await rows.fetchall()]


async def lock_reprocessing(connection: Connection) -> None:
    """Wait until nobody else reprocesses; held until the transaction ends."""
    await connection.execute(_LOCK)


async def set_decoded(
    connection: Connection, device_id: int, decoded: Sequence[tuple[RawPayload, str, bytes | None]]
) -> None:
    """Write by what payloads are decoded now (`decoder`), and what that said (JSON)."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            _REDECODED,
            [
                {
                    "device_id": device_id,
                    "ts_us": payload.ts_us,
                    "counter": payload.counter,
                    "digest": payload.digest,
                    "decoder": decoder,
                    "decoded": None if text is None else text.decode(),
                }
                for payload, decoder, text in decoded
            ],
        )
