"""Sessions that the API started from afar: found by the id tag or number that was made for that one start.

Used by the EV-CMS sessions. A charger may change the case of an id tag (CiString, OCPP 1.6 section 7.4); one
of 2.x says the number back as `remoteStartId` (2.0.1 part 2, F01.FR.19).
"""

from storage.database import Connection, fetch_value

_FIND = """
SELECT id FROM sessions
WHERE device_id = %(device_id)s
  AND (lower(id_tag) = lower(%(id_tag)s) OR remote_start_id = %(remote_start_id)s)
ORDER BY id DESC LIMIT 1
"""

_SET_VEHICLE = """
UPDATE sessions SET vehicle_id = %(vehicle_id)s WHERE id = %(id)s AND vehicle_id IS NULL
"""


async def find_started(
    connection: Connection, device_id: int, id_tag: str, remote_start_id: int
) -> int | None:
    """Return the id of the newest session that this charger began with the tag or the number, or None."""
    parameters = {"device_id": device_id, "id_tag": id_tag, "remote_start_id": remote_start_id}
    found = await fetch_value(connection, _FIND, parameters)
    return None if found is None else int(found)


async def set_vehicle(connection: Connection, session_id: int, vehicle_id: str) -> None:
    """Note whose vehicle is charged; what is known already stays."""
    await connection.execute(_SET_VEHICLE, {"id": session_id, "vehicle_id": vehicle_id})
