"""EV-CMS endpoints on a million sessions, beside a bare FastAPI endpoint that returns the same bytes.

Run by `make bench`, alone by `python -m benchmarks.evcms_api`. The peer has the same server (uvicorn with
uvloop), the same pool and one prepared query that reads the whole answer by its key: no tokens, no limits, no
JSON to make. The ratio says what all the rest costs. Servers and client have processes of their own; the
client speaks the least HTTP/1.1 that does, over connections that stay open, each with one request under way.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import psycopg
import structlog
import uvloop
from fastapi import FastAPI, Response
from psycopg import sql
from rich.console import Console

from api import tokens
from api.app import run
from api.config import ApiConfig
from api.evcms.callers import FAMILY
from benchmarks.report import Measurement, print_table
from deploy.temporary import free_port, temporary_nats, temporary_postgres
from deploy.web import RoleServer, listen
from storage.database import open_pool
from storage.migrate import migrate
from stream.bus import connect_bus

SESSIONS = 1_000_000
CHARGERS = 500
BRANDS = 25
DRIVERS = 10_000
DAYS = 365
CONNECTIONS = 8
POOL_SIZE_MAX = 8
WARM_UP_S = 0.5
SECONDS = 2.0
HOST = "127.0.0.1"
_SECRET = "benchmark-" * 4
_UNLIMITED = 1_000_000_000

# Rows come as a year of traffic would leave them; triggers and secondary indexes wait until all are there.
_PEOPLE = """
INSERT INTO users (system, role, name, email)
SELECT 'evcms', CASE WHEN n = 1 THEN 'admin' WHEN n <= 1 + %(brands)s THEN 'brand' ELSE 'user' END,
       'Person ' || n, 'person' || n || '@example.com'
FROM generate_series(1, 1 + %(brands)s + %(drivers)s) AS n;
"""
_PLACES = """
INSERT INTO stations (name, owner_id)
SELECT 'Station ' || n, 2 + n %% %(brands)s FROM generate_series(1, %(chargers)s) AS n;
INSERT INTO devices (kind, identity, owner_id, name)
SELECT 'charger', 'CP-' || id, owner_id, 'Charger ' || id FROM stations;
INSERT INTO chargers (device_id, station_id, is_connected) SELECT id, id, true FROM devices;
INSERT INTO connectors (device_id, connector_id, status)
SELECT device_id, n, 'Available' FROM chargers, generate_series(1, 2) AS n;
"""
_SESSIONS = """
INSERT INTO sessions (device_id, connector_id, user_id, id_tag, status, payment_status, started_at,
                      start_received_at, meter_start_wh, ended_at, stop_received_at, meter_stop_wh,
                      stop_reason)
SELECT 1 + abs(hashint4(n)) %% %(chargers)s, 1 + n %% 2,
       2 + %(brands)s + abs(hashint4(n + 7)) %% %(drivers)s,
       'TAG', 'completed', 'paid', at, at, 1000, at + interval '40 minutes', at, 11000, 'Local'
FROM (SELECT n, now() - interval '1 hour' - (%(sessions)s - n) * interval '1 day' * %(days)s / %(sessions)s
             AS at
      FROM generate_series(1, %(sessions)s) AS n) AS one;
"""
_RECORDS = """
INSERT INTO cdrs (session_id, user_id, tariff_id, currency, energy_wh, duration_s, energy_minor_per_kwh,
                  energy_minor, time_minor, parking_minor, gst_minor, total_minor)
SELECT id, user_id, 1, 'INR', 10000, 2400, 1500, 15000, 0, 0, 2700, 17700 FROM sessions;
"""
_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid IN ('sessions'::regclass, 'cdrs'::regclass) AND NOT indisprimary
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""
_FINISH = """
SELECT recount_session_days(device_id) FROM chargers;
CREATE TABLE bare_answers (key text PRIMARY KEY, body bytea NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One request; `user_id` is whose."""

    name: str
    path: str
    user_id: int


def cases(sessions: int, first_session_id: int) -> list[Case]:
    """Each endpoint by each role; deep is as far down as the list goes."""
    admin, brand, driver = 1, 2, 2 + BRANDS
    page = "/api/v1/sessions?limit=10&page={}".format
    return [
        Case("sessions, user, first page", page(1), driver),
        Case("sessions, user, deep page", page(max(1, sessions // DRIVERS // 10 // 2)), driver),
        Case("sessions, brand, first page", page(1), brand),
        Case("sessions, brand, deep page", page(max(1, sessions // BRANDS // 10 // 2)), brand),
        Case("sessions, admin, first page", page(1), admin),
        Case("sessions, admin, deep page", page(sessions // 10 // 2), admin),
        Case("sessions, admin, last page", page(sessions // 10), admin),
        Case("session", f"/api/v1/sessions/{first_session_id + sessions // 3}", admin),
        Case("dashboard, user", "/api/v1/dashboard/stats", driver),
        Case("dashboard, admin", "/api/v1/admin/dashboard", admin),
        Case("chargers, brand", "/api/v1/chargers?limit=10", brand),
    ]


async def measure(
    server_url: str, nats_url: str, *, sessions: int = SESSIONS, seconds: float = SECONDS
) -> list[Measurement]:
    """Return requests a second of each case beside the peer's, with both 99th percentiles in the note.

    Makes a database of its own on the server, and drops it.
    """
    name = f"evcms_bench_{secrets.token_hex(4)}"
    url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    _execute(server_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        migrate(url)
        first_session_id = _seed(url, sessions)
        async with running("api", url, nats_url) as ours, running("bare", url) as bare:
            found = cases(sessions, first_session_id)
            await _keep_answers(url, int(ours), found)
            asked = json.dumps([asdict(case) for case in found])
            async with running("client", ours, bare, asked, str(seconds)) as results:
                pairs = zip(found, json.loads(results), strict=True)
                return [_measurement(case, *pair) for case, pair in pairs]
    finally:
        _execute(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _measurement(case: Case, ours: dict[str, float], bare: dict[str, float]) -> Measurement:
    return Measurement(
        name=f"EV-CMS {case.name}",
        unit="requests/s",
        ours=ours["rate"],
        peer=bare["rate"],
        peer_name="bare FastAPI",
        note=(
            f"{CONNECTIONS} connections, {ours['bytes']:,.0f} bytes an answer;"
            f" p99 {ours['p99_ms']:.1f} ms beside {bare['p99_ms']:.1f} ms"
        ),
    )


@contextlib.asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[str]:
    """A process of this module (see `_ROLES`); yields the first line that it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.evcms_api", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"benchmarks.evcms_api {arguments[0]} ended before it said anything; see its errors"
            )
        yield line.decode().strip()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


# --- data ---------------------------------------------------------------------------------------


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def _seed(url: str, sessions: int) -> int:
    """Fill the database; returns the id of the first session."""
    numbers = {"brands": BRANDS, "drivers": DRIVERS, "chargers": CHARGERS}
    facts = {**numbers, "days": DAYS, "sessions": sessions}
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as db:
        db.execute(_PEOPLE, facts)
        db.execute(_PLACES, facts)
        indexes = db.execute(_INDEXES).fetchall()
        for name, _ in indexes:
            db.execute(sql.SQL("DROP INDEX {}").format(sql.SQL(name)))
        db.execute("SET session_replication_role = replica")
        db.execute(_SESSIONS, facts)
        db.execute(_RECORDS)
        db.execute("SET session_replication_role = origin")
        db.execute("SET maintenance_work_mem = '256MB'")
        for _, definition in indexes:
            db.execute(definition)
        db.execute(_FINISH)
        db.execute("VACUUM ANALYZE")
        row = db.execute("SELECT min(id) FROM sessions").fetchone()
        assert row is not None
        return int(row[0])


def _token(user_id: int) -> str:
    claims = tokens.Claims(user_id, 0, None)
    return tokens.issue(_SECRET, FAMILY, claims, now_us=time.time_ns() // 1_000, life_s=86_400)


def _key(case: Case) -> str:
    return case.name.replace(", ", "-").replace(" ", "-")


async def _keep_answers(url: str, port: int, wanted: Sequence[Case]) -> None:
    """Ask each case once, and keep the bytes for the peer."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        for case in wanted:
            body = await _once(port, case)
            await db.execute("INSERT INTO bare_answers VALUES (%s, %s)", [_key(case), body])


async def _once(port: int, case: Case) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(_request(case))
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(_length(head))
    writer.close()
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise RuntimeError(f"{case.path} was answered with {head[:60]!r} {body[:200]!r}")
    return body


def _request(case: Case) -> bytes:
    return (
        f"GET {case.path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {_token(case.user_id)}\r\n\r\n"
    ).encode()


def _length(head: bytes) -> int:
    _, _, after = head.lower().partition(b"content-length:")
    return int(after.split(b"\r\n", 1)[0])


# --- servers ------------------------------------------------------------------------------------


async def _api(database_url: str, nats_url: str) -> None:
    port, stop = free_port(), _stop_event()
    bus = await connect_bus(nats_url, "benchmark")
    config = ApiConfig(secret_key=_SECRET, host=HOST, port=port, evcms_requests_per_15_minutes=_UNLIMITED)
    async with open_pool(database_url, size_max=POOL_SIZE_MAX) as pool:
        await run(
            config,
            pool=pool,
            bus=bus,
            clock=lambda: time.time_ns() // 1_000,
            stop=stop,
            ready=lambda: print(port, flush=True),
        )
    await bus.close()


async def _bare(database_url: str) -> None:
    app, stop = FastAPI(), _stop_event()
    async with open_pool(database_url, size_max=POOL_SIZE_MAX) as pool:

        @app.get("/bare/{key}")
        async def bare(key: str) -> Response:
            async with pool.connection() as db:
                query = "SELECT body FROM bare_answers WHERE key = %s"
                row = await (await db.execute(query, [key], prepare=True)).fetchone()
            assert row is not None
            return Response(row[0], media_type="application/json")

        listener = listen(HOST, 0, "The peer cannot listen", "none")
        port = listener.getsockname()[1]
        server = RoleServer(app, lambda: print(port, flush=True))
        serving = asyncio.create_task(server.serve([listener]))
        await stop.wait()
        server.should_exit = True
        await serving


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


# --- the client ---------------------------------------------------------------------------------


class _Connection(asyncio.Protocol):
    """Sends a request, waits for its whole answer, sends it again."""

    def __init__(self, request: bytes, latencies_s: list[float], until_s: float) -> None:
        self._request = request
        self._latencies_s = latencies_s
        self._until_s = until_s
        self._sent_s = 0.0
        self._buffer = b""
        self.bytes = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """Ask."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take an answer, perhaps in pieces."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        now_s = time.perf_counter()
        if not head.startswith(b"HTTP/1.1 200"):
            self._fail(f"answered with {self._buffer[:300]!r}")
            return
        self._buffer, self.bytes = b"", len(body)
        self._latencies_s.append(now_s - self._sent_s)
        if now_s < self._until_s:
            self._send()
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note an end that was not meant."""
        self._fail(f"the server hung up: {exc}")

    def _send(self) -> None:
        self._sent_s = time.perf_counter()
        self._transport.write(self._request)

    def _fail(self, message: str) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(message))


async def _client(ours: str, bare: str, asked: str, seconds: str) -> None:
    """Load both servers with each case in turn; prints `[[ours, bare], ...]`."""
    found = [Case(**each) for each in json.loads(asked)]
    results = []
    for case in found:
        bare_case = Case(case.name, f"/bare/{_key(case)}", case.user_id)
        theirs = await _load(int(bare), bare_case, float(seconds))
        results.append([await _load(int(ours), case, float(seconds)), theirs])
    print(json.dumps(results), flush=True)


async def _load(port: int, case: Case, seconds: float) -> dict[str, float]:
    request = _request(case)
    await _ask(port, request, WARM_UP_S, [])
    latencies_s: list[float] = []
    begun_s = time.perf_counter()
    size = await _ask(port, request, seconds, latencies_s)
    took_s = time.perf_counter() - begun_s
    p99_ms = float(np.percentile(latencies_s, 99)) * 1000
    return {"rate": len(latencies_s) / took_s, "p99_ms": p99_ms, "bytes": size}


async def _ask(port: int, request: bytes, seconds: float, latencies_s: list[float]) -> int:
    """Load the server; returns the bytes of an answer."""
    loop, until_s = asyncio.get_running_loop(), time.perf_counter() + seconds
    made = [
        await loop.create_connection(lambda: _Connection(request, latencies_s, until_s), HOST, port)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(connection.done for _, connection in made))
    return made[0][1].bytes


_ROLES = {"api": _api, "bare": _bare, "client": _client}


def _alone(sessions: int) -> None:
    """Measure on servers of its own, and print."""
    with tempfile.TemporaryDirectory(prefix="gridwire-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the database runs as another account under root
        with temporary_postgres(folder / "postgres") as postgres, temporary_nats(folder / "nats") as nats:
            print_table(asyncio.run(measure(postgres.url, nats.url, sessions=sessions)), Console(width=200))


if __name__ == "__main__":
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),  # standard output carries the figures
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    if sys.argv[1:] and sys.argv[1] in _ROLES:
        uvloop.run(_ROLES[sys.argv[1]](*sys.argv[2:]))  # type: ignore[operator]
    else:
        _alone(int(sys.argv[1]) if sys.argv[1:] else SESSIONS)
