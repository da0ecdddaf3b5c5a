"""The events that clients send; `docs/evcms-live.md` has their payloads."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from fastapi.security import HTTPAuthorizationCredentials

from api.callers import authenticate
from api.context import Context
from api.errors import Problem, unauthenticated
from api.evcms.callers import FAMILY
from api.evcms.live.feed import Feed
from api.evcms.live.payloads import Payload, refusal
from api.evcms.live.rights import Rights
from api.evcms.live.rooms import (
    ID_CHARACTERS_MAX,
    booking_id_of,
    booking_room,
    field_of,
    session_id_of,
    session_room,
)
from api.evcms.live.server import Server
from api.evcms.live.updates import Updates
from api.evcms.live.visitors import Visitor, expiry_us

log = structlog.get_logger()

TOKEN_CHARACTERS_MAX = 4_096

_FAILED = Problem(500, "Internal server error", "The server failed; it is in its log")
_Handler = Callable[[Visitor, tuple[Any, ...]], Awaitable[Payload]]


class Events:
    """Answers each event: by its callback, and what is refused by `error-message` too."""

    def __init__(
        self, context: Context, server: Server, rights: Rights, updates: Updates, feed: Feed
    ) -> None:
        self._context, self._server, self._rights = context, server, rights
        self._updates, self._feed = updates, feed
        handlers: dict[str, _Handler] = {
            "authenticate": self._authenticate,
            "join-session": self._join_session,
            "leave-session": self._leave_session,
            "join-booking": self._join_booking,
            "leave-booking": self._leave_booking,
        }
        server.on("connect", self._connected)
        server.on("disconnect", self._disconnected)
        server.on("*", self._unknown)
        for event, handler in handlers.items():
            server.on(event, self._guarded(event, handler))

    async def _connected(self, sid: str, environ: dict[str, Any], auth: object) -> None:
        visitor = self._rights.visitor(sid)
        if visitor is not None:
            visitor.sid = sid

    async def _disconnected(self, sid: str, reason: str) -> None:
        """The connection may go on and be another Socket.IO client, with no rights."""
        visitor = self._rights.visitor(sid)
        if visitor is not None:
            visitor.sid = None
            visitor.forget()

    def _guarded(self, event: str, handler: _Handler) -> Callable[..., Awaitable[Payload | None]]:
        async def handle(sid: str, *arguments: Any) -> Payload | None:
            visitor = self._rights.visitor(sid)
            if visitor is None:
                return None
            try:
                return await handler(visitor, arguments)
            except Problem as problem:
                return await self._refuse(sid, event, problem)
            except Exception:  # whatever it was, it is this event's failure and not the socket's
                log.exception("socket_event_failed", socket_event=event)
                return await self._refuse(sid, event, _FAILED)

        return handle

    async def _unknown(self, event: str, sid: str, *arguments: Any) -> Payload:
        name = str(event)[:ID_CHARACTERS_MAX]
        return await self._refuse(sid, name, Problem(404, "Unknown event", f"There is no event {name}"))

    async def _refuse(self, sid: str, event: str, problem: Problem) -> Payload:
        told = refusal(event, problem)
        await self._server.emit("error-message", told, to=sid)
        return told

    async def _authenticate(self, visitor: Visitor, arguments: tuple[Any, ...]) -> Payload:
        try:
            token = _token_of(arguments)
            credentials = HTTPAuthorizationCredentials(scheme="Bearer", credentials=token)
            caller = await authenticate(self._context, FAMILY, credentials)
            await self._rights.grant(visitor, caller, expiry_us(token))
        except Problem as problem:
            await self._rights.turn_away(visitor, problem.details or problem.message)
            return refusal("authenticate", problem)
        answer = {"userId": str(caller.id)}
        await self._server.emit("authenticated", answer, to=visitor.sid)
        return {"success": True, **answer}

    async def _join_session(self, visitor: Visitor, arguments: tuple[Any, ...]) -> Payload:
        caller = self._rights.known(visitor)
        session_id = await session_id_of(self._context, caller, field_of(arguments, "sessionId"))
        self._rights.refuse_crowd(visitor, session_room(session_id))
        await self._updates.send_now(session_id, visitor.sid)
        await self._rights.join(visitor, caller, session_room(session_id))
        return {"success": True, "sessionId": str(session_id)}

    async def _leave_session(self, visitor: Visitor, arguments: tuple[Any, ...]) -> Payload:
        session_id = field_of(arguments, "sessionId")
        await self._rights.leave(visitor, session_room(session_id))
        return {"success": True, "sessionId": session_id}

    async def _join_booking(self, visitor: Visitor, arguments: tuple[Any, ...]) -> Payload:
        caller = self._rights.known(visitor)
        booking_id = await booking_id_of(self._context, caller, field_of(arguments, "bookingId"))
        self._rights.refuse_crowd(visitor, booking_room(booking_id))
        await self._feed.send_booking(booking_id, visitor.sid)
        await self._rights.join(visitor, caller, booking_room(booking_id))
        return {"success": True, "bookingId": str(booking_id)}

    async def _leave_booking(self, visitor: Visitor, arguments: tuple[Any, ...]) -> Payload:
        booking_id = field_of(arguments, "bookingId")
        await self._rights.leave(visitor, booking_room(booking_id))
        return {"success": True, "bookingId": booking_id}


def _token_of(arguments: tuple[Any, ...]) -> str:
    payload = arguments[0] if arguments else None
    token = payload.get("token") if isinstance(payload, dict) else None
    if not isinstance(token, str) or not 0 < len(token) <= TOKEN_CHARACTERS_MAX:
        raise unauthenticated("authenticate needs {token}")
    return token
