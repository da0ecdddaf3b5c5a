"""The API role: one application of all families, and the server that runs it; started by `gridwire.py`."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import structlog
import uvicorn
from fastapi import FastAPI
from nats.aio.client import Client

from api import errors
from api.config import ApiConfig
from api.context import Context
from api.evcms.router import router as evcms
from api.ienerzy.router import router as ienerzy
from api.limits import RateLimiter, RateLimitMiddleware
from api.middleware import BodyLimitMiddleware, GuardMiddleware, SlashMiddleware
from api.mobile.admin.router import router as mobile_portal
from api.mobile.router import router as mobile
from api.operations import docs, health, metrics
from deploy.messages import ListenError
from storage.database import Pool

__all__ = ["ApiConfig", "create_app", "run"]

log = structlog.get_logger()

BACKLOG_MAX = 2048
SHUTDOWN_S_MAX = 10
DESCRIPTION = """Chargers, batteries and what people make of them, in one document for all API families.

**EV-CMS** is `/api/v1`, **Mobile** `/api/mobile` with its portal under `/api/mobile/admin`, **Ienerzy** the
rest of `/api`. Each has its own tokens, envelopes, errors and rate limits. Limits are counted by the process
that answers. EV-CMS has no payment gateway: a top-up of its wallet completes at once. One-time passwords go
out by the configured sender; the default writes them to the log.
"""


def create_app(config: ApiConfig, pool: Pool, bus: Client, clock: Callable[[], int]) -> FastAPI:
    """Build the application; `clock` returns microseconds since 1970 UTC. Rate limits keep their own time."""
    app = FastAPI(
        title="Gridwire",
        version="0.1.0",
        description=DESCRIPTION,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # conflict C01: a slash at the end may be another family's path
    )
    limiter = RateLimiter(config)
    app.state.context = Context(config, pool, bus, clock, limiter)
    errors.install(app)
    # The last one added is the outermost.
    app.add_middleware(SlashMiddleware)
    app.add_middleware(BodyLimitMiddleware, bytes_max=config.body_bytes_max)
    app.add_middleware(GuardMiddleware)
    app.add_middleware(RateLimitMiddleware, limiter=limiter)
    for router in (evcms, mobile, mobile_portal, ienerzy, health.router, metrics.router):
        app.include_router(router)
    docs.install(app)
    return app


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers (the composition root has those), and saying when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
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


async def run(
    config: ApiConfig,
    *,
    pool: Pool,
    bus: Client,
    clock: Callable[[], int],
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    """Serve until `stop`; requests under way get `SHUTDOWN_S_MAX` seconds. Raises `ListenError`."""
    listener = _listen(config.host, config.port)
    options = uvicorn.Config(
        create_app(config, pool, bus, clock),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        proxy_headers=bool(config.trusted_proxies),
        forwarded_allow_ips=config.trusted_proxies or None,
        timeout_graceful_shutdown=SHUTDOWN_S_MAX,
    )
    server = _Server(options, ready)
    try:
        serving = asyncio.create_task(server.serve([listener]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        server.should_exit = True
        await serving
    finally:
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG_MAX)
    except OSError as error:
        listener.close()
        address = f"{host}:{port}"
        raise ListenError("The API cannot listen", address, error, "GRIDWIRE_HTTP_PORT") from error
    listener.setblocking(False)
    return listener
