"""From live events on the bus to the rooms of this process.

An event on the bus says what happened to what; what a client is told is read from the database, and only
where somebody of this process is to be told.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from nats.aio.msg import Msg

from api.context import Context
from api.evcms.live.payloads import ChargerChange, Payload, SessionStarted, SessionStopped, printed
from api.evcms.live.rooms import ADMINS, DRIVERS, booking_room, user_room
from api.evcms.live.server import NAMESPACE, Server
from api.evcms.live.updates import Updates
from api.evcms.schemas.bookings import BookingOut
from api.evcms.session_access import record_of, show
from api.fields import money
from storage.queries import charger_views
from storage.queries.bookings import get_booking
from storage.queries.charger_views import ChargerView
from storage.queries.sessions import SessionDetail, get_session

log = structlog.get_logger()

CHARGERS_MAX = 200  # told in one second; the others in the next
CHARGERS_WAITING_MAX = 100_000

_Facts = Mapping[str, Any]


class Feed:
    """`take` is the subscriber of all live events. Chargers are told once a second, however they change."""

    def __init__(self, context: Context, server: Server, updates: Updates) -> None:
        self._context, self._server, self._updates = context, server, updates
        self._changed_chargers: dict[int, None] = {}  # in order of their first change
        self._topics: Mapping[str, Callable[[_Facts], Awaitable[None]]] = {
            "session-started": self._session_started,
            "session-stopped": self._session_stopped,
            "session-corrected": self._session_corrected,
            "charger-status": self._charger_status,
            "notification": self._notification,
            "low-balance": self._low_balance,
            "booking-reminder": self._booking_reminder,
            "booking-updated": self._booking_updated,
        }

    async def take(self, message: Msg) -> None:
        """One live event; what cannot be told is logged, as it is never the record."""
        handler = self._topics.get(message.subject.rpartition(".")[2])
        if handler is None:
            return
        try:
            await handler(msgspec.json.decode(message.data, type=dict[str, Any]))
        except Exception as error:  # whatever it was, the next event is another one
            log.warning("live_event_not_told", subject=message.subject, error=repr(error))

    async def send_chargers(self) -> None:
        """Tell of the chargers that have changed since."""
        changed = list(self._changed_chargers)[:CHARGERS_MAX]
        for device_id in changed:
            del self._changed_chargers[device_id]
        if not changed or not self._is_anybody():
            return
        async with self._context.pool.connection() as db:
            views = await charger_views.some_views(db, changed)
            connectors = await charger_views.list_connector_views(db, [view.device_id for view in views])
        for view in views:
            payload = printed(ChargerChange.of(view, connectors))
            await self._server.emit("charger-status", payload, to=_audience(view))

    async def send_booking(self, booking_id: int, to: str | None) -> None:
        """Tell one socket how a booking stands."""
        await self._tell_booking("booking-updated", booking_id, [] if to is None else [to])

    async def _session_started(self, facts: _Facts) -> None:
        async with self._context.pool.connection() as db:
            session = await get_session(db, int(facts["session_id"]))
            told = [] if session is None else _parties(session)
            if session is None or not self._is_anybody(told):
                return
            (shown,) = await show(self._context, db, [session])
        await self._server.emit("session-started", printed(SessionStarted(session=shown)), to=told)

    async def _session_stopped(self, facts: _Facts) -> None:
        await self._updates.send_now(int(facts["session_id"]))
        async with self._context.pool.connection() as db:
            session = await get_session(db, int(facts["session_id"]))
            told = [] if session is None else _parties(session)
            if session is None or not self._is_anybody(told):
                return
            (shown,) = await show(self._context, db, [session])
            stopped = SessionStopped(session=shown, cdr=await record_of(db, session))
        await self._server.emit("session-stopped", printed(stopped), to=told)

    async def _session_corrected(self, facts: _Facts) -> None:
        await self._updates.send_now(int(facts["session_id"]))

    async def _charger_status(self, facts: _Facts) -> None:
        if len(self._changed_chargers) < CHARGERS_WAITING_MAX:
            self._changed_chargers[int(facts["device_id"])] = None

    async def _notification(self, facts: _Facts) -> None:
        """The notification's own fields and, under its name, the notification (conflict C28)."""
        notification: Payload = facts["notification"]
        room = user_room(int(facts["user_id"]))
        await self._server.emit("notification", {**notification, "notification": notification}, to=[room])

    async def _low_balance(self, facts: _Facts) -> None:
        payload = {"balance": money(int(facts["balance_minor"]))}
        await self._server.emit("low-balance", payload, to=[user_room(int(facts["user_id"]))])

    async def _booking_reminder(self, facts: _Facts) -> None:
        await self._tell_booking(
            "booking-reminder", int(facts["booking_id"]), [user_room(int(facts["user_id"]))]
        )

    async def _booking_updated(self, facts: _Facts) -> None:
        booking_id = int(facts["booking_id"])
        rooms = [user_room(int(facts["user_id"])), booking_room(booking_id)]
        await self._tell_booking("booking-updated", booking_id, rooms)

    async def _tell_booking(self, event: str, booking_id: int, rooms: list[str]) -> None:
        if not self._is_anybody(rooms):
            return
        async with self._context.pool.connection() as db:
            booking = await get_booking(db, booking_id)
        if booking is not None:
            await self._server.emit(event, {"booking": printed(BookingOut.of(booking))}, to=rooms)

    def _is_anybody(self, rooms: Sequence[str | None] = (None,)) -> bool:
        """Whether a socket of this process is in one of the rooms; without rooms, whether there is one."""
        occupied = self._server.manager.rooms.get(NAMESPACE, {})
        return any(occupied.get(room) for room in rooms)


def _parties(session: SessionDetail) -> list[str]:
    """The driver, and the brand whose charger it is."""
    ids = (session.user_id, session.charger_owner_id)
    return [user_room(each) for each in ids if each is not None]


def _audience(view: ChargerView) -> list[str]:
    """Who may see a charger: admins; of one in use its owner and all drivers too."""
    if view.registry != "active":
        return [ADMINS]
    owner = [] if view.owner_id is None else [user_room(view.owner_id)]
    return [ADMINS, DRIVERS, *owner]
