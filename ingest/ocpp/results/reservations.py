"""ReserveNow and CancelReservation (OCPP 1.6, sections 5.13 and 5.1; OCPP 2.0.1 part 2, H01 and H02)."""

from datetime import datetime

from ingest.ocpp.context import Context
from ingest.ocpp.results.recording import ACCEPTED, Fields, record
from ingest.ocpp.variables import int4
from protocols.samples import DecodeError
from protocols.timestamps import parse_timestamp, to_datetime
from storage.queries.reservations import Ended, Reservation, end_reservation, put_reservation


async def reserve_now(context: Context, request: Fields, answer: Fields) -> None:
    """Keep a reservation that the charger accepted; why it did not is an event."""
    reservation = _reservation_2(request) if context.version.is_2 else _reservation_16(request)
    if answer["status"] != ACCEPTED or reservation is None:
        await record(context, "ReserveNow", request, answer)
        return
    async with context.services.pool.connection() as connection:
        await put_reservation(connection, context.device.id, reservation, context.received_at)


async def cancel_reservation(context: Context, request: Fields, answer: Fields) -> None:
    """Note the end of the reservation; Rejected says that the charger has none with this id."""
    reservation_id, status = int4(request["reservationId"]), answer["status"]
    has_ended = False
    if reservation_id is not None:
        ended: Ended = "cancelled" if status == ACCEPTED else "removed"
        async with context.services.pool.connection() as connection:
            has_ended = await end_reservation(
                connection, context.device.id, reservation_id, ended, context.received_at
            )
    if status != ACCEPTED or not has_ended:
        await record(context, "CancelReservation", request, answer)


def _reservation_16(request: Fields) -> Reservation | None:
    reservation_id, expires_at = int4(request["reservationId"]), _time(request["expiryDate"])
    if reservation_id is None or expires_at is None:
        return None
    return Reservation(
        reservation_id,
        evse_id=int4(request["connectorId"]) or 0,
        connector_type=None,
        id_token=request["idTag"],
        token_type="",
        group_token=request.get("parentIdTag"),
        expires_at=expires_at,
    )


def _reservation_2(request: Fields) -> Reservation | None:
    reservation_id, expires_at = int4(request["id"]), _time(request["expiryDateTime"])
    if reservation_id is None or expires_at is None:
        return None
    return Reservation(
        reservation_id,
        evse_id=int4(request.get("evseId")) or 0,
        connector_type=request.get("connectorType"),
        id_token=request["idToken"]["idToken"],
        token_type=request["idToken"]["type"],
        group_token=(request.get("groupIdToken") or {}).get("idToken"),
        expires_at=expires_at,
    )


def _time(text: str) -> datetime | None:
    try:
        return to_datetime(parse_timestamp(text))
    except DecodeError:
        return None
