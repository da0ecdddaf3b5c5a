"""The Socket.IO server itself, with the bounds that the library does not have; used by the hub."""

import logging
import time
from typing import Any

import socketio
import structlog

from api.evcms.live.visitors import Visitors

log = structlog.get_logger()

PATH = "/socket.io"
NAMESPACE = "/"
PING_INTERVAL_S = 25
PING_TIMEOUT_S = 20
MESSAGE_BYTES_MAX = 65_536  # of what a client sends
QUEUE_MAX = 1_000  # packets that wait for one client, before it is dropped as too slow
# At INFO the libraries write down each packet, and with it tokens.
_quiet = logging.getLogger("gridwire.sockets")
_quiet.setLevel(logging.WARNING)
BINARY = ("5", "6")  # Socket.IO packets that announce attachments; no event of ours has any


class Server(socketio.AsyncServer):  # type: ignore[misc]
    """`visitors` are told of each socket that comes and goes. Text only: binary messages end a socket."""

    def __init__(self, visitors: Visitors, origins: list[str]) -> None:
        self._visitors = visitors
        super().__init__(
            async_mode="asgi",
            namespaces=[NAMESPACE],
            # None: the page's own origin
            cors_allowed_origins="*" if origins == ["*"] else origins or None,
            cors_credentials=False,
            max_http_buffer_size=MESSAGE_BYTES_MAX,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            logger=_quiet,
            engineio_logger=_quiet,
        )

    @property
    def sockets(self) -> dict[str, Any]:
        """The connections (`engineio.async_socket.AsyncSocket`) by their ids, silent ones too."""
        sockets: dict[str, Any] = self.eio.sockets
        return sockets

    async def drop(self, connection: str) -> None:
        """End a connection without waiting for it; what it has not read is forgotten."""
        socket = self.sockets.get(connection)
        if socket is None:
            return
        while not socket.queue.empty():
            socket.queue.get_nowait()
            socket.queue.task_done()
        await socket.close(wait=False)
        socket.queue.put_nowait(None)  # ends the writer, which closes the WebSocket

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> bool | None:
        if self._visitors.open(eio_sid) is None:
            log.warning("sockets_full", sockets=len(self._visitors), action="refused")
            return False
        await super()._handle_eio_connect(eio_sid, environ)
        return None

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        visitor = self._visitors.get(eio_sid)
        if visitor is None:
            return
        problem = "too many messages" if not visitor.speaks(time.monotonic()) else _unfit(data)
        if problem is None:
            try:
                await super()._handle_eio_message(eio_sid, data)
            except (ValueError, TypeError, IndexError, KeyError, AttributeError, RecursionError) as error:
                problem = f"not Socket.IO: {error!r}"
        if problem is not None:
            log.warning("socket_dropped", connection=eio_sid, reason=problem)
            await self.drop(eio_sid)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        await super()._handle_eio_disconnect(eio_sid, reason)
        self._visitors.close(eio_sid)


def _unfit(data: str | bytes) -> str | None:
    is_binary = isinstance(data, bytes) or data.startswith(BINARY)
    return "a binary message" if is_binary else None
