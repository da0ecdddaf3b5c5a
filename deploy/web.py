"""An HTTP server as a role runs it: its address taken beforehand, no signal handlers, word when it listens.

Used by the API and by the callbacks of network servers.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from deploy.messages import ListenError

BACKLOG_MAX = 2048
SHUTDOWN_S_MAX = 10  # for requests under way
STALLED_MS_MAX = 60_000  # then a client that takes nothing of what is sent to it is given up
WS_BYTES_MAX = 131_072  # of one message to a WebSocket; the API's sockets take half of it


class RoleServer(uvicorn.Server):
    """Uvicorn without its signal handlers (the composition root has those), and saying when it listens."""

    def __init__(self, app: Any, ready: Callable[[], None], trusted_proxies: str | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=trusted_proxies or None,
                timeout_graceful_shutdown=SHUTDOWN_S_MAX,
                ws_max_size=WS_BYTES_MAX,
                ws_per_message_deflate=False,  # its buffers would be most of what a socket costs
            )
        )
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()


def listen(host: str, port: int, problem: str, setting: str) -> socket.socket:
    """Take an address. Raises `ListenError` with `problem` and the `setting` to change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle off only where it is told that this is TCP: else each answer may wait 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections have it of their listener
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS_MAX)
        listener.bind((host, port))
        listener.listen(BACKLOG_MAX)
    except OSError as error:
        listener.close()
        raise ListenError(problem, f"{host}:{port}", error, setting) from error
    listener.setblocking(False)
    return listener
