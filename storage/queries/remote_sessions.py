"""Sessions that the API started from afar: found by the id tag that was made for that one start.

Used by the EV-CMS sessions. A charger may change the case of an id tag (CiString, OCPP 1.6 section 7.4).
"""

from storage.database import Connection, fetch_value

_FIND = """
SELECT id FROM sessions WHERE device_id = %(device_id)s AND lower(id_tag) = lower(%(id_tag)s)
ORDER BY id DESC LIMIT 1
"""

_SET_VEHICLE = """
UPDATE sessions SET vehicle_id = %(vehicle_id)s WHERE id = %(id)s AND vehicle_id IS NULL
"""


async def find_started(connection: Connection, device_id: int, id_tag: str) -> int | None:
    """Return the id of the newest session that this charger began with the tag, or None."""
    found = await fetch_value(connection, _FIND, {"device_id": device_id, "id_tag": id_tag})
    return None if found is None else int(found)


async def set_vehicle(connection: Connection, session_id: int, vehicle_id: str) -> None:
    """Note whose vehicle is charged; what is known already stays."""
    await connection.execute(_SET_VEHICLE, {"id": session_id, "vehicle_id": vehicle_id})
