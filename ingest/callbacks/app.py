"""The callbacks role: one HTTP server for everybody who sends by HTTP what devices said.

Started by `gridwire.py`. `ROUTES` is the whole surface; another integration is one more function in it.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.web import RoleServer, listen
from ingest.callbacks import lorawan, nbiot
from ingest.callbacks.context import Callbacks, CallbacksConfig
from ingest.holding import Holding
from ingest.lorawan.backfill import Backfill, BackfillConfig
from ingest.lorawan.downlinks import Downlinks
from ingest.lorawan.handler import NetworkEvents
from ingest.lorawan.things_stack import ThingsStackApi, ThingsStackConfig
from ingest.registry import Policy, Registry
from ingest.seen import Seen
from ingest.uplinks import Uplinks
from storage.database import Pool
from stream.codecs.pool import CodecPool
from stream.errors import PublisherClosedError
from stream.log import Publisher, PublisherLimits

SOURCE = "callbacks"
CLOSE_S = 1.0

ROUTES: Sequence[Callable[[Callbacks], Sequence[Route]]] = (lorawan.routes, nbiot.routes)


@dataclass(frozen=True, slots=True)
class CallbacksRoleConfig:
    """The whole role. `things_stack`: where its API is, for downlinks and stored uplinks; None: nowhere."""

    http: CallbacksConfig
    clock: Callable[[], int]
    partitions: int
    unknown_devices: Policy
    things_stack: ThingsStackConfig | None = None
    backfill: BackfillConfig = field(default_factory=BackfillConfig)
    limits: PublisherLimits = field(default_factory=PublisherLimits)


async def run(
    config: CallbacksRoleConfig,
    *,
    pool: Pool,
    bus: Client,
    codecs: CodecPool,
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    """Serve until `stop`; requests under way are finished, within a bound.

    Raises `ListenError`, and `PublisherClosedError` where the connection to the log was closed for good.
    """
    producer_id = f"{SOURCE}-{secrets.token_hex(8)}"
    publisher = Publisher(
        bus.jetstream(), SOURCE, config.partitions, config.limits, config.clock, producer_id
    )
    holding = Holding(SOURCE)
    registry = Registry(pool, config.unknown_devices, config.clock)
    seen = Seen(pool, config.clock, holding)
    uplinks = Uplinks(
        publisher=publisher,
        registry=registry,
        codecs=codecs,
        pool=pool,
        clock=config.clock,
        holding=holding,
        seen=seen,
    )
    events = NetworkEvents(uplinks=uplinks, pool=pool, clock=config.clock, holding=holding)
    callbacks = Callbacks(config.http, pool, bus, publisher, uplinks, events, config.clock)
    try:
        async with contextlib.AsyncExitStack() as stack:
            beside = [seen.run()]
            if config.things_stack is not None:
                api = await stack.enter_async_context(ThingsStackApi.opened(config.things_stack))
                beside += _things_stack(config, api, callbacks, holding)
            tasks = [asyncio.create_task(each) for each in beside]
            stack.push_async_callback(_cancel, tasks)
            await _serve(callbacks, stop, ready, tasks)
    finally:
        await publisher.close(CLOSE_S)
    if callbacks.is_closed.is_set():
        raise PublisherClosedError("the connection to the log was closed: nothing more can be stored")


def create_app(callbacks: Callbacks) -> Starlette:
    """Build the application; every answer that is none of a route's is JSON as well."""

    async def not_found(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        return JSONResponse({"error": {"reason": "path", "field": "", "message": str(error)}}, status)

    routes = [route for each in ROUTES for route in each(callbacks)]
    return Starlette(routes=routes, exception_handlers={404: not_found, 405: not_found})


def _things_stack(
    config: CallbacksRoleConfig, api: ThingsStackApi, callbacks: Callbacks, holding: Holding
) -> list[Coroutine[Any, Any, None]]:
    """Return what runs beside the server where The Things Stack's API is known."""
    downlinks = Downlinks(api, pool=callbacks.pool, bus=callbacks.bus, clock=config.clock, holding=holding)
    backfill = Backfill(
        config.backfill,
        api,
        events=callbacks.events,
        publisher=callbacks.publisher,
        pool=callbacks.pool,
        bus=callbacks.bus,
        clock=config.clock,
        holding=holding,
    )
    callbacks.events.tell(downlinks)
    callbacks.events.tell(backfill)
    return [downlinks.run(), backfill.run()]


async def _serve(
    callbacks: Callbacks,
    stop: asyncio.Event,
    ready: Callable[[], None],
    beside: Sequence[asyncio.Task[None]],
) -> None:
    """Serve until `stop`, until the log is closed for good, or until what runs beside has failed."""
    config = callbacks.config
    listener = listen(config.host, config.port, "Callbacks cannot be taken", "GRIDWIRE_CALLBACKS_PORT")
    server = RoleServer(create_app(callbacks), ready)
    serving = asyncio.create_task(server.serve([listener]))
    ending = [asyncio.create_task(stop.wait()), asyncio.create_task(callbacks.is_closed.wait())]
    try:
        await asyncio.wait([serving, *ending, *beside], return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    finally:
        await _cancel(ending)
        listener.close()


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """End tasks; raises what one of them failed with."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
