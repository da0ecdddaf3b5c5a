"""`/healthz`, `/readyz`, `/metrics` and `/api-docs`: public by design (`api.app.PUBLIC`)."""

import asyncio
from collections.abc import Sequence

import nats.errors
from fastapi import APIRouter, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client.core import GaugeMetricFamily, Metric
from pydantic import BaseModel

from api.context import Context, Ctx
from api.errors import Problem
from storage.queries.sessions import count_active
from storage.queries.totals import snapshot
from stream.errors import StreamError
from stream.log import log_heads
from stream.metrics import render, sample_metrics

READY_TIMEOUT_S = 3.0
ASSETS = "/api-docs/assets"

router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """Each part that was asked, and what it said."""

    status: str
    checks: dict[str, str]


@router.get("/healthz")
async def healthz() -> Health:
    """Whether this process lives: it answers."""
    return Health(status="ok", checks={})


@router.get("/readyz", responses={503: {"model": Health}})
async def readyz(context: Ctx) -> Response:
    """Whether requests can be served: database and bus, each named."""
    database, bus = await asyncio.gather(_database(context), _bus(context))
    checks = {"database": database, "bus": bus}
    is_ready = set(checks.values()) == {"ok"}
    body = Health(status="ok" if is_ready else "unavailable", checks=checks)
    return JSONResponse(body.model_dump(), 200 if is_ready else 503)


@router.get("/metrics", response_class=Response)
async def metrics(context: Ctx) -> Response:
    """Prometheus text, of all roles where they share a machine."""
    try:
        families = await _families(context)
    except Exception as error:
        raise Problem(503, "Metrics unavailable", f"The database or the log is away: {error!r}") from error
    return Response(render(families), media_type="text/plain; version=0.0.4")


@router.get("/api-docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """Swagger UI over the document of all families, from files of our own."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Gridwire API",
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon.png",
    )


async def _families(context: Context) -> Sequence[Metric]:
    """Counts of samples and of open sessions; the log is read before the tables, so that the laws hold."""
    heads = await log_heads(context.bus.jetstream())
    async with context.pool.connection() as connection:
        producers, totals = await snapshot(connection)
        active = await count_active(connection)
    sessions = GaugeMetricFamily("gridwire_sessions_active", "Open charging sessions", value=active)
    return [*sample_metrics(producers, totals, heads), sessions]


async def _database(context: Context) -> str:
    try:
        async with asyncio.timeout(READY_TIMEOUT_S), context.pool.connection():
            pass  # the pool tries a connection before it gives it
    except Exception as error:
        return f"away: {error}"
    return "ok"


async def _bus(context: Context) -> str:
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            await log_heads(context.bus.jetstream())
    except (nats.errors.Error, StreamError, TimeoutError, OSError) as error:
        return f"away: {error!r}"
    return "ok"
