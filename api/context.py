"""What every endpoint may ask for: configuration, clock, bus, and a connection in a transaction."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from nats.aio.client import Client

from api.config import ApiConfig
from api.limits import RateLimiter
from protocols.timestamps import to_datetime
from storage.database import Connection, Pool


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that `create_app` was given. `clock` returns microseconds since 1970 UTC."""

    config: ApiConfig
    pool: Pool
    bus: Client
    clock: Callable[[], int]
    limiter: RateLimiter

    def now(self) -> datetime:
        """The clock's time as an aware datetime."""
        return to_datetime(self.clock())


def _context(request: Request) -> Context:
    context = request.app.state.context
    assert isinstance(context, Context)
    return context


Ctx = Annotated[Context, Depends(_context)]


async def _transaction(context: Ctx) -> AsyncIterator[Connection]:
    async with context.pool.connection() as connection:
        yield connection


# "function": committed before the answer leaves. By default FastAPI commits after the client has its 200.
Db = Annotated[Connection, Depends(_transaction, scope="function")]
