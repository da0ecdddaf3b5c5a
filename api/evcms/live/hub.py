"""The sockets of one API process: what serves them, and what goes on beside; mounted by `api.app`.

Each process that serves the API has its own hub, hears all live events on the bus, and keeps nothing that
another one needs. A client with the polling transport must reach the same process with each request.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import socketio
import structlog

from api.context import Context
from api.evcms.live.events import Events
from api.evcms.live.feed import Feed
from api.evcms.live.rights import Rights
from api.evcms.live.server import Server
from api.evcms.live.updates import Updates
from api.evcms.live.visitors import Visitors

log = structlog.get_logger()

TICK_S = 1.0
LOGINS_CHECK_S = 5.0  # from a logout or a block to the end of its sockets
LIVE_SUBJECT = "gridwire.live.*"
EVENTS_WAITING_MAX = 10_000
EVENTS_WAITING_BYTES_MAX = 16 << 20


class Hub:
    """`asgi` is to be mounted at /socket.io; it serves while `running`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        visitors = Visitors()
        self._server = Server(visitors, context.config.origins)
        self._rights = Rights(context, self._server, visitors)
        self._updates = Updates(context, self._server)
        self._feed = Feed(context, self._server, self._updates)
        Events(context, self._server, self._rights, self._updates, self._feed)
        self.asgi = socketio.ASGIApp(self._server, socketio_path="socket.io")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hear the bus, and watch over the sockets."""
        subscription = await self._context.bus.subscribe(
            LIVE_SUBJECT,
            cb=self._feed.take,
            pending_msgs_limit=EVENTS_WAITING_MAX,
            pending_bytes_limit=EVENTS_WAITING_BYTES_MAX,
        )
        tasks = [
            asyncio.create_task(_every(TICK_S, self._rights.watch)),
            asyncio.create_task(_every(TICK_S, self._updates.send_changed)),
            asyncio.create_task(_every(TICK_S, self._feed.send_chargers)),
            asyncio.create_task(_every(LOGINS_CHECK_S, self._rights.check_logins)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, *self._rights.stop(), return_exceptions=True)
            if self._context.bus.is_connected:
                await subscription.unsubscribe()
            await self._server.shutdown()

    async def end_sockets(self) -> None:
        """End all sockets, so that no request of theirs is waited for; their clients connect again."""
        for connection in list(self._server.sockets):
            await self._server.drop(connection)


async def _every(interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
    """Work again and again; what fails is said once, and tried again."""
    is_failing = False
    while True:
        try:
            await work()
            is_failing = False
        except Exception as error:  # whatever it was, the sockets stay
            if not is_failing:
                log.warning(
                    "socket_work_failed", work=work.__qualname__, error=repr(error), action="retrying"
                )
            is_failing = True
        await asyncio.sleep(interval_s)
