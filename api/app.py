"""The HTTP application: families, middleware, documentation; and the role that serves it."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from nats.aio.client import Client

from api import errors
from api.config import ApiConfig
from api.context import Context
from api.evcms import routes as evcms
from api.ienerzy import routes as ienerzy
from api.limits import RateLimiter, RateLimitMiddleware
from api.middleware import BodyLimitMiddleware, GuardMiddleware, SlashMiddleware
from api.operations import routes as operations
from storage.database import Pool

__all__ = ["PUBLIC", "ApiConfig", "create_app", "run"]

STOP_TIMEOUT_S = 10

# Endpoints that anybody may call. A test fails for any other that declares no caller.
PUBLIC = frozenset(
    {
        ("post", "/api/v1/auth/register"),
        ("post", "/api/v1/auth/login"),
        ("post", "/api/v1/auth/refresh-token"),
        ("post", "/api/auth/login"),
        ("post", "/api/auth/verify-otp"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/metrics"),
    }
)


def create_app(config: ApiConfig, pool: Pool, bus: Client, clock: Callable[[], int]) -> FastAPI:
    """Build the application; `clock` returns microseconds since 1970 UTC."""
    limiter = RateLimiter(config)
    # a slash too many or too few is another family's path, never a redirect (conflict C01)
    app = FastAPI(title="Gridwire", version="0.1.0", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.context = Context(config, pool, bus, clock, limiter)
    errors.install(app)
    for router in (operations.router, evcms.router, ienerzy.router):
        app.include_router(router)
    app.mount(operations.ASSETS, StaticFiles(packages=[("fastapi_offline", "static")]))
    # the last added stands outermost
    app.add_middleware(SlashMiddleware)
    app.add_middleware(BodyLimitMiddleware, bytes_max=config.body_bytes_max)
    app.add_middleware(GuardMiddleware)
    app.add_middleware(RateLimitMiddleware, limiter=limiter)
    return app


async def run(
    config: ApiConfig,
    *,
    pool: Pool,
    bus: Client,
    stop: asyncio.Event,
    ready: Callable[[], None],
    clock: Callable[[], int],
) -> None:
    """Serve until `stop`; requests under way are finished, within `STOP_TIMEOUT_S`."""
    server = _Server(
        uvicorn.Config(
            create_app(config, pool, bus, clock),
            host=config.host,
            port=config.port,
            log_config=None,
            access_log=False,
            proxy_headers=bool(config.trusted_proxies),
            forwarded_allow_ips=config.trusted_proxies,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
            lifespan="off",
        )
    )
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    await server.is_up.wait()
    if server.started:
        ready()
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving


class _Server(uvicorn.Server):
    """Leaves signals to the role's own process, and says when it is up, or will not be."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Not here: several roles of a process stop in order."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bind, then say so."""
        try:
            await super().startup(sockets)
        finally:
            self.is_up.set()
