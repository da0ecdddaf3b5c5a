"""Reservations that chargers hold for drivers, and what became of them.

Written by the OCPP gateway, read by the API. OCPP 1.6 section 3.11, OCPP 2.0.1 part 2, block H.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from storage.database import Connection, fetch_all, fetch_value

Ended = Literal["used", "cancelled", "expired", "removed"]


@dataclass(frozen=True, slots=True)
class Reservation:
    """`evse_id`: the connector in 1.6; 0 is any. `token_type` is '' in 1.6."""

    reservation_id: int
    evse_id: int
    connector_type: str | None
    id_token: str
    token_type: str
    group_token: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StoredReservation(Reservation):
    """`status`: active, used, cancelled (by us), expired or removed (by the charger)."""

    status: str
    created_at: datetime
    updated_at: datetime


_PUT = """
INSERT INTO reservations (
    device_id, reservation_id, evse_id, connector_type, id_token, token_type, group_token, expires_at,
    created_at, updated_at)
VALUES (%(device_id)s, %(reservation_id)s, %(evse_id)s, %(connector_type)s, %(id_token)s, %(token_type)s,
        %(group_token)s, %(expires_at)s, %(at)s, %(at)s)
ON CONFLICT (device_id, reservation_id) DO UPDATE
SET evse_id = EXCLUDED.evse_id, connector_type = EXCLUDED.connector_type, id_token = EXCLUDED.id_token,
    token_type = EXCLUDED.token_type, group_token = EXCLUDED.group_token, expires_at = EXCLUDED.expires_at,
    status = 'active', updated_at = EXCLUDED.updated_at
"""

_END = """
UPDATE reservations SET status = %(status)s, updated_at = %(at)s
WHERE device_id = %(device_id)s AND reservation_id = %(reservation_id)s AND status = 'active'
RETURNING reservation_id
"""

_LIST = """
SELECT reservation_id, evse_id, connector_type, id_token, token_type, group_token, expires_at,
       CASE WHEN status = 'active' AND expires_at <= %(now)s THEN 'expired' ELSE status END AS status,
       created_at, updated_at
FROM reservations WHERE device_id = %(device_id)s
ORDER BY created_at DESC, reservation_id DESC LIMIT %(limit)s OFFSET %(offset)s
"""

_COUNT = "SELECT count(*) FROM reservations WHERE device_id = %(device_id)s"


async def put_reservation(
    connection: Connection, device_id: int, reservation: Reservation, at: datetime
) -> None:
    """Keep a reservation that the charger accepted; one with its id is replaced (OCPP 1.6 section 5.13)."""
    facts = {
        "reservation_id": reservation.reservation_id,
        "evse_id": reservation.evse_id,
        "connector_type": reservation.connector_type,
        "id_token": reservation.id_token,
        "token_type": reservation.token_type,
        "group_token": reservation.group_token,
        "expires_at": reservation.expires_at,
    }
    await connection.execute(_PUT, {"device_id": device_id, "at": at, **facts})


async def end_reservation(
    connection: Connection, device_id: int, reservation_id: int, status: Ended, at: datetime
) -> bool:
    """Note how a reservation ended; False if there is no active one with this id."""
    parameters = {"device_id": device_id, "reservation_id": reservation_id, "status": status, "at": at}
    return await fetch_value(connection, _END, parameters) is not None


async def list_reservations(
    connection: Connection, device_id: int, *, now: datetime, limit: int, offset: int = 0
) -> tuple[list[StoredReservation], int]:
    """Return one page, newest first, and how many there are in all; past its time one is shown as expired."""
    where = {"device_id": device_id}
    page = await fetch_all(
        connection, StoredReservation, _LIST, {**where, "now": now, "limit": limit, "offset": offset}
    )
    return page, int(await fetch_value(connection, _COUNT, where))
