"""The API role: one application of all families, and the server that runs it; started by `gridwire.py`."""

import asyncio
import functools
from collections.abc import Callable

import structlog
from fastapi import FastAPI
from nats.aio.client import Client
from starlette.routing import BaseRoute

from api import errors
from api.config import ApiConfig
from api.context import Context
from api.documents import PARTS
from api.evcms import uploads
from api.evcms.live.hub import Hub
from api.evcms.live.server import PATH
from api.evcms.router import router as evcms
from api.ienerzy.router import router as ienerzy
from api.limits import RateLimiter, RateLimitMiddleware
from api.lithovolt.router import router as lithovolt
from api.middleware import BodyLimitMiddleware, GuardMiddleware, PagesMiddleware, SlashMiddleware
from api.mobile.admin.router import router as mobile_portal
from api.mobile.router import router as mobile
from api.operation_ids import operation_id
from api.operations import docs, health, metrics
from deploy.web import RoleServer, listen
from storage.database import Pool

__all__ = ["ApiConfig", "create_app", "run"]

# Patterns of paths that take files.
UPLOAD_PATHS = (
    "/api/v1/upload",
    "/api/consumers/[^/]+/documents",
    "/api/warranty/claims/[^/]+/files",
)

log = structlog.get_logger()

DESCRIPTION = """Chargers, batteries and what people make of them, in one document for all API families.

**EV-CMS** is `/api/v1`, **Mobile** `/api/mobile` with its portal under `/api/mobile/admin`, **Lithovolt**
what ends with a slash elsewhere under `/api`, **Ienerzy** the rest of it. Each has its own tokens, envelopes,
errors and rate limits. Limits are counted by the process that answers. Without a payment provider a top-up of
an EV-CMS wallet completes at once. One-time passwords go out by the configured sender; the default writes
them to the log.
"""


def create_app(config: ApiConfig, pool: Pool, bus: Client, clock: Callable[[], int]) -> FastAPI:
    """Build the application; `clock` returns microseconds since 1970 UTC. Rate limits keep their own time."""
    app = FastAPI(
        title="Gridwire",
        version="0.1.0",
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # conflict C01: a slash at the end may be another family's path
    )
    limiter = RateLimiter(config)
    app.state.context = Context(config, pool, bus, clock, limiter)
    errors.install(app)
    # The last one added is the outermost.
    app.add_middleware(SlashMiddleware)
    larger = dict.fromkeys(UPLOAD_PATHS, config.upload_bytes_max)
    app.add_middleware(BodyLimitMiddleware, bytes_max=config.body_bytes_max, larger=larger)
    app.add_middleware(GuardMiddleware)
    app.add_middleware(RateLimitMiddleware, limiter=limiter)
    if config.origins:
        app.add_middleware(PagesMiddleware, origins=config.origins, elsewhere=PATH)
    app.router.routes.extend(_endpoints())
    docs.install(app, PARTS)
    app.state.hub = Hub(app.state.context)
    app.mount(PATH, app.state.hub.asgi)
    return app


@functools.cache
def _endpoints() -> tuple[BaseRoute, ...]:
    """Those of all families, once: the framework takes a second to make what it needs of their signatures."""
    made = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, generate_unique_id_function=operation_id)
    families = (evcms, uploads.public, mobile, mobile_portal, lithovolt, ienerzy)
    for router in (*families, health.router, metrics.router):
        made.include_router(router)
    return tuple(made.routes)


async def run(
    config: ApiConfig,
    *,
    pool: Pool,
    bus: Client,
    clock: Callable[[], int],
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    """Serve until `stop`; requests under way are finished, within a bound. Raises `ListenError`."""
    listener = listen(config.host, config.port, "The API cannot listen", "GRIDWIRE_HTTP_PORT")
    app = create_app(config, pool, bus, clock)
    server = RoleServer(app, ready, config.trusted_proxies)
    try:
        async with app.state.hub.running():
            serving = asyncio.create_task(server.serve([listener]))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await app.state.hub.end_sockets()
            server.should_exit = True
            await serving
    finally:
        listener.close()
