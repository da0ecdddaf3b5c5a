"""What a socket may be told, as rooms, and the end of that: expiry, logout, silence, a slow client."""

import asyncio
import time

import structlog

from api.callers import Caller
from api.context import Context
from api.errors import Problem, unauthenticated
from api.evcms.live.rooms import own_rooms
from api.evcms.live.server import NAMESPACE, QUEUE_MAX, Server
from api.evcms.live.visitors import AUTHENTICATE_S, ROOMS_MAX, SOCKETS_OF_USER_MAX, Visitor, Visitors
from storage.queries.live import ended_logins

log = structlog.get_logger()

FAREWELL_S = 0.2  # between the last word and the end: time for a callback
LEAVING_S_MAX = 2.0  # then it is ended, whether it has read the last word or not


class Rights:
    """Of all sockets of this process."""

    def __init__(self, context: Context, server: Server, visitors: Visitors) -> None:
        self._context, self._server, self._visitors = context, server, visitors
        self._farewells: set[asyncio.Task[None]] = set()

    def visitor(self, sid: str) -> Visitor | None:
        """Return who is behind a Socket.IO id; None for a socket that is gone or going."""
        connection = self._server.manager.eio_sid_from_sid(sid, NAMESPACE)
        visitor = None if connection is None else self._visitors.get(connection)
        return None if visitor is None or visitor.is_leaving else visitor

    def known(self, visitor: Visitor) -> Caller:
        """Return the account; raises the 401 `Problem` without one whose token is good now."""
        if visitor.caller is None or not visitor.is_known(self._context.clock()):
            raise unauthenticated("Send authenticate {token} first")
        return visitor.caller

    async def grant(self, visitor: Visitor, caller: Caller, expires_us: int) -> None:
        """Let a socket be of this account; raises the 429 `Problem` where the account has too many."""
        is_same = visitor.caller is not None and visitor.caller.id == caller.id
        if not is_same and self._visitors.sockets_of(caller.id) >= SOCKETS_OF_USER_MAX:
            raise Problem(429, "Too many sockets", f"At most {SOCKETS_OF_USER_MAX} of one account")
        if not is_same:
            await self.revoke(visitor)
        visitor.caller, visitor.expires_us = caller, expires_us
        for room in own_rooms(caller):
            await self._enter(visitor, room)

    async def revoke(self, visitor: Visitor) -> None:
        """Take a socket out of all rooms; it may authenticate again."""
        if visitor.sid is not None:
            for room in self._server.rooms(visitor.sid):
                if room != visitor.sid:
                    await self._server.leave_room(visitor.sid, room)
        visitor.forget()

    def refuse_crowd(self, visitor: Visitor, room: str) -> None:
        """Raise the 400 `Problem` for one room too many."""
        if room not in visitor.rooms and len(visitor.rooms) >= ROOMS_MAX:
            raise Problem(400, "Too many rooms", f"At most {ROOMS_MAX} at a time: leave one first")

    async def join(self, visitor: Visitor, caller: Caller, room: str) -> None:
        """Let a socket hear a room that `caller` may hear: it may be another's by now (the 401 `Problem`)."""
        self.refuse_crowd(visitor, room)
        if self.known(visitor).id != caller.id:
            raise unauthenticated("This socket belongs to another account now")
        await self._enter(visitor, room)
        visitor.rooms.add(room)

    async def leave(self, visitor: Visitor, room: str) -> None:
        """Nothing happens to one who is not there."""
        if room in visitor.rooms and visitor.sid is not None:
            visitor.rooms.discard(room)
            await self._server.leave_room(visitor.sid, room)

    async def _enter(self, visitor: Visitor, room: str) -> None:
        is_here = visitor.sid is not None and self._server.manager.is_connected(visitor.sid, NAMESPACE)
        if is_here and self._visitors.get(visitor.connection) is visitor:
            await self._server.enter_room(visitor.sid, room)

    async def turn_away(self, visitor: Visitor, why: str) -> None:
        """Say `unauthorized`, and end the socket soon."""
        await self.revoke(visitor)
        visitor.is_leaving, visitor.deadline = True, time.monotonic() + LEAVING_S_MAX
        if visitor.sid is not None:
            await self._server.emit("unauthorized", {"message": why}, to=visitor.sid)
            task = asyncio.create_task(self._say_goodbye(visitor.sid))
            self._farewells.add(task)
            task.add_done_callback(self._farewells.discard)

    async def _say_goodbye(self, sid: str) -> None:
        await asyncio.sleep(FAREWELL_S)
        await self._server.disconnect(sid)

    async def watch(self) -> None:
        """End who is slow, silent or on his way out; tell those whose token has expired."""
        now, now_us = time.monotonic(), self._context.clock()
        for visitor in self._visitors.all():
            socket = self._server.sockets.get(visitor.connection)
            if socket is None or socket.closed:
                self._visitors.close(visitor.connection)
            elif socket.queue.qsize() > QUEUE_MAX:
                log.warning("socket_dropped", connection=visitor.connection, reason="reads too slowly")
                await self._server.drop(visitor.connection)
            elif visitor.caller is None and now > visitor.deadline:
                await self._end_silent(visitor)
            elif visitor.caller is not None and not visitor.is_known(now_us):
                await self.revoke(visitor)
                told = {"message": f"The token has expired: authenticate again within {AUTHENTICATE_S:.0f} s"}
                await self._server.emit("unauthorized", told, to=visitor.sid)

    async def _end_silent(self, visitor: Visitor) -> None:
        if visitor.is_leaving or visitor.sid is None:
            await self._server.drop(visitor.connection)
        else:
            await self.turn_away(visitor, f"No valid token within {AUTHENTICATE_S:.0f} s")

    async def check_logins(self) -> None:
        """End the sockets whose login or account has ended."""
        known = [each for each in self._visitors.all() if each.caller is not None]
        if not known:
            return
        async with self._context.pool.connection() as db:
            places = await ended_logins(db, [each.login for each in known])
        for place in places:
            if known[place].caller is not None:
                await self.turn_away(known[place], "This login has ended")

    def stop(self) -> list[asyncio.Task[None]]:
        """Cancel what is under way; returns it."""
        for task in self._farewells:
            task.cancel()
        return list(self._farewells)
