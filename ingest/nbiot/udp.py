"""Plain UDP: one datagram is one message, its answer one datagram.

Used by `ingest.nbiot.app`. The profile's option `udp_ack_hex` is what a device expects for an answer; a
queued command follows it. Without either nothing is sent.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import cast

import structlog

from ingest.nbiot.intake import Arrival, Intake, Verdict
from stream.errors import PublisherClosedError
from stream.metrics import NBIOT_MESSAGES

log = structlog.get_logger()

WAY = "udp"
ACK_OPTION = "udp_ack_hex"
RECEIVE_BUFFER_BYTES = 4 << 20
TASKS_MAX = 10_000  # datagrams that wait, those that came again included


class UdpServer(asyncio.DatagramProtocol):
    """One socket. `clock` returns microseconds since 1970 UTC.

    What comes while the window is full is dropped and counted: nobody could be told.
    """

    def __init__(self, intake: Intake, clock: Callable[[], int], is_closed: asyncio.Event) -> None:
        self._intake = intake
        self._clock = clock
        self._is_closed = is_closed
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> None:
        """Listen. Raises `OSError` where the port cannot be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_DGRAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            listener.bind((host, port))
            listener.setblocking(False)
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=listener)
        except OSError:
            listener.close()
            raise

    def close(self) -> None:
        """Stop listening; what is under way is not answered any more."""
        if self._transport is not None:
            self._transport.close()
        for task in self._tasks:
            task.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.DatagramProtocol`."""
        self._transport = cast("asyncio.DatagramTransport", transport)  # asyncio's own is no subclass of it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take a datagram."""
        if not data:
            return
        if len(self._tasks) >= TASKS_MAX:
            NBIOT_MESSAGES.labels(WAY, Verdict.HELD_BACK.value).inc()
            return
        task = asyncio.create_task(self._take(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, data: bytes, addr: tuple[str, int]) -> None:
        arrival = Arrival(
            way=WAY,
            payload=data,
            received_at_us=self._clock(),
            meta={"endpoint": f"{addr[0]}:{addr[1]}"},
            address={"way": WAY},
        )
        try:
            answer = await self._intake.take(arrival)
        except PublisherClosedError:
            self._is_closed.set()
            return
        if answer.verdict is not Verdict.STORED:
            return
        command = answer.command
        said = acknowledgement(answer.options) + (b"" if command is None else command.payload)
        if said and self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(said, addr)
            if command is not None:
                await self._intake.commands.sent(command, WAY)


def acknowledgement(options: Mapping[str, object]) -> bytes:
    """Return what a profile's devices expect as an answer; empty: nothing, or what is set there is no hex."""
    text = options.get(ACK_OPTION, "")
    try:
        return bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        log.warning(
            "udp_ack_unreadable", option=ACK_OPTION, value=text, action="write it as hexadecimal digits"
        )
        return b""
