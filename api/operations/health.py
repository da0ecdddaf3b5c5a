"""/healthz and /readyz: for supervisors and load balancers."""

import asyncio
from typing import Literal

import structlog
from fastapi import Response
from pydantic import BaseModel

from api.context import Context, Ctx
from api.routing import Router
from storage.database import find_abilities

log = structlog.get_logger()

router = Router(tags=["Operations"])

CHECK_S_MAX = 2.0
OK = "ok"


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"]


class Readiness(BaseModel):
    """Each part is "ok", or it is said what is wrong with it."""

    status: Literal["ready", "not ready"]
    database: str
    bus: str


@router.get("/healthz")
async def healthz() -> Alive:
    """Say that the process lives, whatever it depends on."""
    return Alive(status="alive")


@router.get("/readyz", responses={503: {"model": Readiness}})
async def readyz(context: Ctx, response: Response) -> Readiness:
    """Say whether database and bus are reachable, and which is not; 503 if one is not."""
    database, bus = await asyncio.gather(_database(context), _bus(context))
    if database == bus == OK:
        return Readiness(status="ready", database=database, bus=bus)
    response.status_code = 503
    return Readiness(status="not ready", database=database, bus=bus)


async def _database(context: Context) -> str:
    try:
        async with asyncio.timeout(CHECK_S_MAX), context.pool.connection() as connection:
            await find_abilities(connection)
    except Exception as error:  # whatever it was, the answer is that it cannot be reached
        log.warning("database_unreachable", error=repr(error))
        return f"unreachable: {type(error).__name__}"
    return OK


async def _bus(context: Context) -> str:
    try:
        async with asyncio.timeout(CHECK_S_MAX):
            await context.bus.flush()
    except Exception as error:  # as above
        log.warning("bus_unreachable", error=repr(error))
        return f"unreachable: {type(error).__name__}"
    return OK
