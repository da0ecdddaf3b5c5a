"""OCPP MeterValues from socket to acknowledgement: our gateway beside the `ocpp` package's own ChargePoint.

Run by `make bench`. Each server has a process of its own, and so has the client, which is the same for
both: N connections, each sends the next message when the last one was acknowledged. Our gateway
acknowledges when the durable log has the samples; the peer's handler returns at once. The client speaks
the least WebSocket that does (prebuilt masked frames), so that the servers are what is measured.
"""

import asyncio
import contextlib
import json
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import nats
import numpy as np
import structlog
import uvloop
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from benchmarks.report import Measurement
from ingest.ocpp.server import GatewayConfig, open_gateway
from protocols.timestamps import format_utc_ms
from storage.database import open_pool
from stream.bus import connect_bus
from stream.log import STREAM, LogConfig, ensure_log

CONNECTIONS = 100
OPENED_AT_ONCE = 50
WARM_UP_S = 1.0
LOG_BYTES_MAX = 512 << 20
HOST = "127.0.0.1"
_PERIODIC = {"context": "Sample.Periodic"}
_SAMPLED = [
    {"value": "1234567", "measurand": "Energy.Active.Import.Register", "unit": "Wh", **_PERIODIC},
    {"value": "7.36", "measurand": "Power.Active.Import", "unit": "kW", **_PERIODIC},
    {"value": "11.25", "measurand": "Current.Import", "phase": "L1", "unit": "A", **_PERIODIC},
    {"value": "12.25", "measurand": "Current.Import", "phase": "L2", "unit": "A", **_PERIODIC},
    {"value": "13.25", "measurand": "Current.Import", "phase": "L3", "unit": "A", **_PERIODIC},
    {"value": "231.4", "measurand": "Voltage", "phase": "L1-N", "unit": "V", **_PERIODIC},
    {"value": "54", "measurand": "SoC", "location": "EV", "unit": "Percent", **_PERIODIC},
]


async def measure(
    database_url: str, nats_url: str, *, seconds: float = 8.0, connections: int = CONNECTIONS
) -> Measurement:
    """Return messages acknowledged a second by both, with the 99th percentile of latency in the note.

    Needs a migrated database and a JetStream that nobody else uses: it empties the log.
    """
    bus = await nats.connect(nats_url)
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=LOG_BYTES_MAX))
    await bus.jetstream().purge_stream(STREAM)
    await bus.close()
    peer = await _load(["peer"], seconds, connections)
    ours = await _load(["gateway", database_url, nats_url], seconds, connections)
    return Measurement(
        name="ocpp_meter_values",
        unit="messages/s",
        ours=ours["rate"],
        peer=peer["rate"],
        peer_name="ocpp ChargePoint",
        note=(
            f"{connections} connections, closed loop, {len(_SAMPLED)} samples a message;"
            f" p99 {ours['p99_ms']:.1f} ms beside {peer['p99_ms']:.1f} ms"
        ),
    )


async def _load(server: list[str], seconds: float, connections: int) -> dict[str, float]:
    """Start a server, load it from a client of its own, stop it."""
    async with (
        running(*server) as (_, port),
        running("client", port, str(connections), str(seconds)) as (_, result),
    ):
        found: dict[str, float] = json.loads(result)
        return found


@contextlib.asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[int, str]]:
    """A process of this module (see `_ROLES`); yields its id and the first line that it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.ocpp", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"benchmarks.ocpp {arguments[0]} ended before it said anything; see its errors"
            )
        yield process.pid, line.decode().strip()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


# --- servers ------------------------------------------------------------------------------------


async def _gateway(database_url: str, nats_url: str) -> None:
    stop = _stop_event()
    bus = await connect_bus(nats_url, "benchmark")
    config = GatewayConfig(
        host=HOST,
        port=0,
        name="benchmark",
        clock=lambda: time.time_ns() // 1000,
        partitions=1,
        unknown_devices="register",
    )
    async with open_pool(database_url, size_max=8) as pool, open_gateway(config, pool, bus) as gateway:
        await gateway.run(stop, lambda: print(gateway.port, flush=True))
    await bus.close()


class _Peer(ChargePoint):  # type: ignore[misc]
    @on("MeterValues")  # type: ignore[untyped-decorator]
    async def on_meter_values(self, **_: Any) -> Any:
        return call_result.MeterValues()


async def _peer() -> None:
    async def handle(socket: ServerConnection) -> None:
        assert socket.request is not None
        with contextlib.suppress(ConnectionClosed):
            await _Peer(socket.request.path.strip("/"), socket).start()

    protocols, options = [Subprotocol("ocpp1.6")], {"compression": None, "ping_interval": None}
    async with serve(handle, HOST, 0, subprotocols=protocols, **options) as server:  # type: ignore[arg-type]
        print(server.sockets[0].getsockname()[1], flush=True)
        await _stop_event().wait()


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


# --- the client ---------------------------------------------------------------------------------


class _Charger(asyncio.Protocol):
    """Sends a MeterValues, waits for its CALLRESULT, sends the next."""

    def __init__(self, number: int, latencies_s: list[float], until_s: float) -> None:
        self._number = number
        self._latencies_s = latencies_s
        self._until_s = until_s
        self._count = 0
        self._sent_s = 0.0
        self._buffer = b""
        self._is_open = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before, _, after = json.dumps(_payload(), separators=(",", ":")).partition("TIME")
        self._before, self._after = before.encode(), after.encode()

    def connection_made(self, transport: Any) -> None:
        """Ask for the upgrade."""
        self._transport = transport
        transport.write(
            f"GET /bench-{self._number} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Take answers; all are shorter than 126 bytes."""
        self._buffer += data
        if not self._is_open:
            head, end, self._buffer = self._buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self._fail(f"the handshake was refused: {head[:100]!r}")
                return
            self._is_open = True
            self._send()
        while len(self._buffer) >= 2 and len(self._buffer) >= 2 + self._buffer[1]:
            size = self._buffer[1]
            body, self._buffer = self._buffer[2 : 2 + size], self._buffer[2 + size :]
            self._answered(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note an end that was not meant."""
        self._fail(f"the server hung up: {exc}")

    def _answered(self, body: bytes) -> None:
        now_s = time.perf_counter()
        if body != b'[3,"%d",{}]' % self._count:
            self._fail(f"not acknowledged: {body!r}")
            return
        self._latencies_s.append(now_s - self._sent_s)
        if now_s < self._until_s:
            self._send()
        elif not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        self._count += 1
        moment = format_utc_ms(1_700_000_000_000_000 + self._count * 1_000_000)
        text = b'[2,"%d","MeterValues",%b%b%b]' % (self._count, self._before, moment.encode(), self._after)
        # a final text frame of 126 to 65,535 bytes, masked with zeros
        self._sent_s = time.perf_counter()
        self._transport.write(b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text)

    def _fail(self, message: str) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(message))


def _payload() -> dict[str, Any]:
    return {
        "connectorId": 1,
        "transactionId": 42,
        "meterValue": [{"timestamp": "TIME", "sampledValue": _SAMPLED}],
    }


async def _client(port: str, connections: str, seconds: str) -> None:
    await _run_client(int(port), int(connections), WARM_UP_S, [])
    latencies_s: list[float] = []
    begun_s = time.perf_counter()
    await _run_client(int(port), int(connections), float(seconds), latencies_s)
    took_s = time.perf_counter() - begun_s
    p99_ms = float(np.percentile(latencies_s, 99)) * 1000
    print(json.dumps({"rate": len(latencies_s) / took_s, "p99_ms": p99_ms}), flush=True)


async def _run_client(port: int, connections: int, seconds: float, latencies_s: list[float]) -> None:
    loop = asyncio.get_running_loop()
    until_s = time.perf_counter() + seconds
    chargers = []
    for number in range(connections):
        make = _charger_factory(number, latencies_s, until_s)
        transport, charger = await loop.create_connection(make, HOST, port)
        chargers.append((transport, charger))
    await asyncio.gather(*(charger.done for _, charger in chargers))
    for transport, _ in chargers:
        transport.write(b"\x88\x82" + bytes(4) + (1000).to_bytes(2, "big"))  # a masked close frame
        transport.close()


async def _hold(port: str, connections: str) -> None:
    """Open sockets, send one message over each, then keep them open without a word."""
    loop, stop = asyncio.get_running_loop(), _stop_event()
    for first in range(0, int(connections), OPENED_AT_ONCE):
        numbers = range(first, min(first + OPENED_AT_ONCE, int(connections)))
        makes = [_charger_factory(number, [], until_s=0.0) for number in numbers]
        opened = await asyncio.gather(*(loop.create_connection(make, HOST, int(port)) for make in makes))
        await asyncio.gather(*(charger.done for _, charger in opened))
    print("held", flush=True)
    await stop.wait()


def _charger_factory(number: int, latencies_s: list[float], until_s: float) -> Callable[[], _Charger]:
    return lambda: _Charger(number, latencies_s, until_s)


_ROLES = {"gateway": _gateway, "peer": _peer, "client": _client, "hold": _hold}

if __name__ == "__main__":
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),  # standard output carries the figures
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    uvloop.run(_ROLES[sys.argv[1]](*sys.argv[2:]))  # type: ignore[operator]
