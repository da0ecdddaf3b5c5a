"""Device profiles: how the payloads of one make of device are decoded, and what it can be told.

Used by `ingest.uplinks` (decoding), the Mobile family's portal and the command line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Required, TypedDict, Unpack

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Profile:
    """`decoder`: a name of `protocols.payloads.DECODERS`, or `js` with `codec_id`.

    `mapping`: of a codec's output to quantities (`protocols.mapping`); `options`: of the decoder;
    `interval_s`: expected between uplinks; `downlinks`: action to `{"port", "payload_hex", "is_confirmed"}`.
    """

    id: int
    name: str
    vendor: str | None
    model: str | None
    utility: str | None
    decoder: str
    codec_id: int | None
    mapping: list[dict[str, Any]]
    options: dict[str, Any]
    interval_s: int | None
    downlinks: dict[str, dict[str, Any]]


class Definition(TypedDict, total=False):
    """A profile but for its id; see `Profile`."""

    name: Required[str]
    decoder: Required[str]
    vendor: str | None
    model: str | None
    utility: str | None
    codec_id: int | None
    mapping: Sequence[Mapping[str, Any]]
    options: Mapping[str, Any]
    interval_s: int | None
    downlinks: Mapping[str, Any]


_COLUMNS = "id, name, vendor, model, utility, decoder, codec_id, mapping, options, interval_s, downlinks"

_SELECT = f"SELECT {_COLUMNS} FROM device_profiles "

_GET = _SELECT + "WHERE id = %(id)s"

_FIND = _SELECT + "WHERE name = %(name)s"

_LIST = (
    _SELECT
    + """
WHERE id > %(after_id)s AND (%(query)s::text IS NULL OR strpos(lower(name), lower(%(query)s)) > 0)
ORDER BY id LIMIT %(limit)s
"""
)

_OF_DEVICE = _SELECT + "WHERE id = (SELECT profile_id FROM devices WHERE id = %(device_id)s)"

_PUT = f"""
INSERT INTO device_profiles (name, vendor, model, utility, decoder, codec_id, mapping, options, interval_s,
                             downlinks)
VALUES (%(name)s, %(vendor)s, %(model)s, %(utility)s, %(decoder)s, %(codec_id)s, %(mapping)s, %(options)s,
        %(interval_s)s, %(downlinks)s)
ON CONFLICT (name) DO UPDATE SET vendor = EXCLUDED.vendor, model = EXCLUDED.model, utility = EXCLUDED.utility,
    decoder = EXCLUDED.decoder, codec_id = EXCLUDED.codec_id, mapping = EXCLUDED.mapping,
    options = EXCLUDED.options, interval_s = EXCLUDED.interval_s, downlinks = EXCLUDED.downlinks,
    updated_at = now()
RETURNING {_COLUMNS}
"""

_SET_CODEC = f"""
UPDATE device_profiles SET decoder = 'js', codec_id = %(codec_id)s, updated_at = now()
WHERE id = %(id)s RETURNING {_COLUMNS}
"""

_SET_OF_DEVICE = "UPDATE devices SET profile_id = %(profile_id)s WHERE id = %(device_id)s RETURNING id"

_KEYS = "SELECT kind, secret FROM device_keys WHERE device_id = %(device_id)s"

_PUT_KEY = """
INSERT INTO device_keys (device_id, kind, secret) VALUES (%(device_id)s, %(kind)s, %(secret)s)
ON CONFLICT (device_id, kind) DO UPDATE SET secret = EXCLUDED.secret, created_at = now()
"""

_DELETE_KEY = "DELETE FROM device_keys WHERE device_id = %(device_id)s AND kind = %(kind)s RETURNING kind"


async def get_profile(connection: Connection, profile_id: int) -> Profile | None:
    """Return the profile with this id, or None."""
    return await fetch_one(connection, Profile, _GET, {"id": profile_id})


async def find_profile(connection: Connection, name: str) -> Profile | None:
    """Return the profile of this name, or None."""
    return await fetch_one(connection, Profile, _FIND, {"name": name})


async def list_profiles(
    connection: Connection, *, query: str | None = None, after_id: int = 0, limit: int
) -> list[Profile]:
    """Return a page of profiles in order of id, those behind `after_id`; `query`: text in their names."""
    parameters = {"query": query, "after_id": after_id, "limit": limit}
    return await fetch_all(connection, Profile, _LIST, parameters)


async def profile_of_device(connection: Connection, device_id: int) -> Profile | None:
    """Return the profile that a device was given, or None."""
    return await fetch_one(connection, Profile, _OF_DEVICE, {"device_id": device_id})


async def put_profile(connection: Connection, **definition: Unpack[Definition]) -> Profile:
    """Write a profile, in the place of the one with its name.

    Raises `psycopg.IntegrityError` as the server does: an unknown utility, a codec where none belongs.
    """
    parameters: dict[str, Any] = dict.fromkeys(Definition.__annotations__) | dict(definition)
    for name, empty in (("mapping", []), ("options", {}), ("downlinks", {})):
        parameters[name] = Jsonb(definition.get(name) or empty)
    profile = await fetch_one(connection, Profile, _PUT, parameters)
    assert profile is not None
    return profile


async def set_profile_codec(connection: Connection, profile_id: int, codec_id: int) -> Profile | None:
    """Let a profile's payloads be decoded by this codec from now on; None: there is no such profile."""
    return await fetch_one(connection, Profile, _SET_CODEC, {"id": profile_id, "codec_id": codec_id})


async def set_device_profile(connection: Connection, device_id: int, profile_id: int | None) -> bool:
    """Give a device its profile; False: there is no such device."""
    parameters = {"device_id": device_id, "profile_id": profile_id}
    return await fetch_value(connection, _SET_OF_DEVICE, parameters) is not None


async def device_keys(connection: Connection, device_id: int) -> dict[str, bytes]:
    """Return a device's secrets by kind: `token` (its SHA-256), `payload_aes`, `dlms_authentication`."""
    rows = await connection.execute(_KEYS, {"device_id": device_id})
    return {kind: bytes(secret) for kind, secret in await rows.fetchall()}


async def put_device_key(connection: Connection, device_id: int, kind: str, secret: bytes) -> None:
    """Set one of a device's secrets."""
    await connection.execute(_PUT_KEY, {"device_id": device_id, "kind": kind, "secret": secret})


async def delete_device_key(connection: Connection, device_id: int, kind: str) -> bool:
    """Take one of a device's secrets away; False: it had none of that kind."""
    return await fetch_value(connection, _DELETE_KEY, {"device_id": device_id, "kind": kind}) is not None
