"""/metrics: Prometheus text; in the all-in-one run it answers for all roles."""

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import GaugeMetricFamily

from api.context import Ctx
from api.routing import Router
from storage.queries.figures import read_figures
from stream.log import log_heads
from stream.metrics import render, sample_metrics

router = Router(tags=["Operations"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(context: Ctx) -> Response:
    """Count samples, messages and sessions, for Prometheus."""
    # The heads first: what is stored meanwhile is then counted as stored, never as lost.
    heads = await log_heads(context.bus.jetstream())
    async with context.pool.connection() as connection:
        figures = await read_figures(connection)
    sessions = GaugeMetricFamily(
        "gridwire_sessions_active", "Charging sessions under way", value=figures.active_sessions
    )
    samples = sample_metrics(figures.producers, figures.totals, heads)
    return Response(render([*samples, sessions]), media_type=CONTENT_TYPE_LATEST)
