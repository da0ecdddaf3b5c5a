"""A booking at its charger: ReserveNow and CancelReservation, as durable commands.

OCPP 1.6 sections 5.13 and 5.1; 2.0.1 part 2, H01 and H02. A charger that refuses costs the driver nothing:
the booking stands, and nobody else is started there from afar.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from nats.aio.client import Client

from protocols.ocpp import remote
from protocols.ocpp.command_rules import is_repeatable, status_of, supersede_key
from protocols.ocpp.surface import Version
from protocols.timestamps import format_utc_ms, from_datetime
from storage.database import Connection
from storage.errors import TooManyCommandsError
from storage.queries import bookings_due, charger_views, commands
from storage.queries.bookings import Booking, Changes, change
from storage.queries.commands import Command, NewCommand
from storage.queries.id_tokens import group_of_user, put_token
from stream.bus import nudge_charger
from stream.charger_commands import tell

TOKEN_SLACK = timedelta(days=1)  # a charger that was offline tells of its session later
CANCEL_TTL = timedelta(days=1)
PRIORITY = 1  # before what an operator leaves to wait
GROUP_CHARACTERS_MAX = 20  # CiString20 of OCPP 1.6; 2.x takes more
_ID_MAX = 2**31 - 1


async def reserve(connection: Connection, booking: Booking, now: datetime) -> list[Command]:
    """Ask the charger of a locked booking to hold its connector; returns the commands that changed."""
    assert booking.device_id is not None
    assert booking.connector_id is not None
    charger = await charger_views.get_view(connection, booking.device_id)
    assert charger is not None
    if not await bookings_due.supports_reservations(connection, booking.device_id):
        refused = Changes(reservation_state="refused")
        await change(connection, booking.id, refused, now, ["reservation not supported by the charger"])
        return []
    group = await give_token(connection, booking)
    reservation_id = booking.id % _ID_MAX + 1
    order = remote.reserve(
        Version(charger.ocpp_version or Version.V16),
        booking.connector_id,
        booking.id_tag,
        reservation_id,
        format_utc_ms(from_datetime(booking.ends_at)),
        group=group,
    )
    try:
        command, changed = await _enqueue(connection, booking.device_id, order, now, booking.ends_at)
    except TooManyCommandsError as error:
        await change(connection, booking.id, Changes(reservation_state="refused"), now, [str(error)])
        return []
    asked = Changes(
        reservation_state="asked", ocpp_reservation_id=reservation_id, reserve_command_id=command.id
    )
    await change(connection, booking.id, asked, now, ["reservation asked of the charger"])
    return [*changed, command]


async def note_answer(connection: Connection, booking: Booking, now: datetime) -> None:
    """Note on a locked booking what its charger said to ReserveNow."""
    assert booking.reserve_command_id is not None
    command = await commands.get_command(connection, booking.reserve_command_id)
    if command is None or command.state in {"queued", "sent"}:
        return
    if command.state == "accepted":
        await change(
            connection, booking.id, Changes(reservation_state="accepted"), now, ["reservation accepted"]
        )
        return
    said = command.error or (status_of(command.result) if command.result else command.state)
    refused = Changes(reservation_state="refused")
    await change(connection, booking.id, refused, now, [f"reservation refused: {said}"])


async def release(connection: Connection, booking: Booking, now: datetime) -> list[Command]:
    """Have the charger hold a locked booking's connector no longer; returns the commands that changed."""
    if booking.reservation_state not in {"asked", "accepted"} or booking.device_id is None:
        return []
    assert booking.reserve_command_id is not None
    assert booking.ocpp_reservation_id is not None
    await put_token(connection, booking.id_tag, booking.user_id, expires_at=now)
    await change(connection, booking.id, Changes(reservation_state="cancelled"), now)
    unsent = await commands.cancel(connection, booking.reserve_command_id, now)
    if unsent is not None:
        return [unsent]
    order = remote.Order("CancelReservation", {"reservationId": booking.ocpp_reservation_id})
    try:
        command, changed = await _enqueue(connection, booking.device_id, order, now, now + CANCEL_TTL)
    except TooManyCommandsError:
        return []  # it ends by itself with the booking's time
    return [*changed, command]


async def give_token(connection: Connection, booking: Booking) -> str | None:
    """Let the driver charge with the booking's token; returns the group that it shares with the driver's."""
    group = await group_of_user(connection, booking.user_id, GROUP_CHARACTERS_MAX)
    expires_at = booking.ends_at + TOKEN_SLACK
    await put_token(connection, booking.id_tag, booking.user_id, expires_at=expires_at, group_id=group)
    return group


async def deliver(bus: Client, changed: Sequence[Command]) -> None:
    """Tell of commands that are committed, and have the gateways look for them."""
    await tell(bus, changed)
    for device_id in {command.device_id for command in changed}:
        await nudge_charger(bus, device_id)


async def _enqueue(
    connection: Connection, device_id: int, order: remote.Order, now: datetime, expires_at: datetime
) -> tuple[Command, list[Command]]:
    return await commands.enqueue(
        connection,
        NewCommand(
            id=uuid4(),
            device_id=device_id,
            action=order.action,
            payload=order.payload,
            priority=PRIORITY,
            is_repeatable=is_repeatable(order.action),
            supersede_key=supersede_key(order.action, order.payload),
            created_at=now,
            expires_at=expires_at,
            requested_by=None,
        ),
    )
