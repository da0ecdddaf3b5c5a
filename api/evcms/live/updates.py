"""`session-update`: sessions that somebody watches are read once a second, in one query for all of them.

That costs the gateway nothing. A room is told when its session's meter, power or status has changed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from api.context import Context
from api.evcms.live.payloads import SessionUpdate, printed
from api.evcms.live.rooms import session_room
from api.evcms.live.server import NAMESPACE, Server
from protocols.vocabulary import MEASURAND_CODES
from storage.database import Connection
from storage.queries.live import SessionState, session_states
from stream.rating import RatingError
from stream.settlement import cost_so_far

log = structlog.get_logger()

SESSIONS_PAGE = 500  # of one query
UPDATES_MAX = 100  # in one second; the others have theirs in the next
COST_S = 5.0  # a price may be that old
POWER_WINDOW = timedelta(minutes=15)  # an older value says nothing about now
ENERGY = MEASURAND_CODES["Energy.Active.Import.Register"]
POWER = MEASURAND_CODES["Power.Active.Import"]


@dataclass(slots=True)
class _Watched:
    """What a room was told last, and when; `told_at` and `priced_at` are monotonic."""

    state: SessionState | None = None
    cost_minor: int | None = None
    priced_at: float = float("-inf")
    told_at: float = float("-inf")


class Updates:
    """Of all sessions that sockets of this process have joined."""

    def __init__(self, context: Context, server: Server) -> None:
        self._context, self._server = context, server
        self._watched: dict[int, _Watched] = {}

    async def send_changed(self) -> None:
        """Tell the rooms of running sessions what has changed."""
        joined = self._joined()
        self._watched = {each: self._watched.get(each, _Watched()) for each in joined}
        running = [each for each, watched in self._watched.items() if not _is_over(watched.state)]
        changed: list[tuple[_Watched, SessionState]] = []
        for start in range(0, len(running), SESSIONS_PAGE):
            async with self._context.pool.connection() as db:
                states = await self._read(db, running[start : start + SESSIONS_PAGE])
            found = [(self._watched.get(state.session_id, _Watched()), state) for state in states]
            changed += [(watched, state) for watched, state in found if _differs(watched.state, state)]
        if not changed:
            return
        changed.sort(key=lambda each: each[0].told_at)  # who has waited longest comes first
        async with self._context.pool.connection() as db:
            for watched, state in changed[:UPDATES_MAX]:
                await self._send(db, watched, state, session_room(state.session_id))

    async def send_now(self, session_id: int, to: str | None = None) -> None:
        """Tell how a session stands: one socket, or its room if there is anybody in it."""
        if to is None and session_id not in self._joined():
            return
        async with self._context.pool.connection() as db:
            for state in await self._read(db, [session_id]):
                # what one socket is told, the others of the room were not
                is_for_one = to is not None and session_id in self._watched
                watched = _Watched() if is_for_one else self._watched.setdefault(session_id, _Watched())
                watched.priced_at = float("-inf")
                await self._send(db, watched, state, to or session_room(session_id))

    def _joined(self) -> list[int]:
        names = self._server.manager.rooms.get(NAMESPACE, {})
        return [int(name[8:]) for name in names if isinstance(name, str) and name.startswith("session:")]

    async def _read(self, db: Connection, session_ids: Sequence[int]) -> list[SessionState]:
        now = self._context.now()
        return await session_states(
            db, session_ids, energy=ENERGY, power=POWER, power_since=now - POWER_WINDOW, now=now
        )

    async def _send(self, db: Connection, watched: _Watched, state: SessionState, to: str) -> None:
        is_over = _is_over(state)
        if is_over or time.monotonic() - watched.priced_at >= COST_S:
            watched.cost_minor, watched.priced_at = await self._price(db, state), time.monotonic()
        watched.state, watched.told_at = state, time.monotonic()
        update = SessionUpdate.of(state, watched.cost_minor, self._context.now())
        await self._server.emit("session-update", printed(update), to=to)

    async def _price(self, db: Connection, state: SessionState) -> int | None:
        if state.total_minor is not None or state.status == "failed":
            return state.total_minor or 0
        try:
            return await cost_so_far(db, state.session_id, self._context.clock())
        except RatingError as error:
            log.warning("session_not_priced", session=state.session_id, error=str(error))
            return None


def _is_over(state: SessionState | None) -> bool:
    return state is not None and state.status != "active"


def _differs(before: SessionState | None, now: SessionState) -> bool:
    if before is None:
        return True
    return (before.status, before.measured_at, before.energy_wh, before.power_w) != (
        now.status,
        now.measured_at,
        now.energy_wh,
        now.power_w,
    )
