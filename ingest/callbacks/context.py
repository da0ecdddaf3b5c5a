"""What the routes of the callbacks role share: configuration, the way into the log, and how to answer.

A sender gets 200 once the log has what it sent, 503 with Retry-After while we hold back, and 400 with the
field that was wrong, where the payload is kept as a refused event.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog
from nats.aio.client import Client
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ingest.lorawan.handler import NetworkEvents
from ingest.uplinks import Uplinks
from protocols.samples import DecodeError
from storage.database import Pool
from stream.errors import PublisherClosedError
from stream.log import Publisher

log = structlog.get_logger()

RETRY_AFTER_S = 15


@dataclass(frozen=True, slots=True)
class CallbacksConfig:
    """`tokens`: integration (`chirpstack`, `things_stack`, ...) to the token that its requests must bear.

    An integration without a token takes nothing. `in_hand_max` requests are held at a time, each for at
    most `hold_s`: network servers give up after 5 to 10 s.
    """

    tokens: Mapping[str, str] = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 5080
    body_bytes_max: int = 256 << 10
    in_hand_max: int = 1_000
    hold_s: float = 4.0


@dataclass(slots=True)
class Callbacks:
    """The parts of one process. `clock` returns microseconds since 1970 UTC."""

    config: CallbacksConfig
    pool: Pool
    bus: Client
    publisher: Publisher
    uplinks: Uplinks
    events: NetworkEvents
    clock: Callable[[], int]
    is_closed: asyncio.Event = field(default_factory=asyncio.Event)
    in_hand: int = 0

    def route(self, path: str, integration: str, take: "Take") -> Route:
        """Return a route that takes POSTs of an integration: see the module."""

        async def endpoint(request: Request) -> Response:
            return await self._answer(request, integration, take)

        return Route(path, endpoint, methods=["POST"])

    async def _answer(self, request: Request, integration: str, take: "Take") -> Response:
        refusal = self._refusal(request, integration)
        if refusal is not None:
            return refusal
        self.in_hand += 1
        try:
            async with asyncio.timeout(self.config.hold_s):
                return await self._take(request, self.clock(), take)
        except TimeoutError:
            return _held_back("the log or the database does not answer")
        except PublisherClosedError:
            self.is_closed.set()
            return _held_back("the log is closed")
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        finally:
            self.in_hand -= 1

    async def _take(self, request: Request, received_at_us: int, take: "Take") -> Response:
        body = await _body(request, self.config.body_bytes_max)
        if body is None:
            return _problem(413, "too_large", "", f"at most {self.config.body_bytes_max} bytes are read")
        try:
            is_welcome = await take(request, body, received_at_us)
        except DecodeError as error:
            await self.publisher.refuse(error, body, received_at_us=received_at_us)
            return _problem(400, error.reason, error.field, str(error))
        return JSONResponse({"stored": is_welcome})

    def _refusal(self, request: Request, integration: str) -> Response | None:
        token = self.config.tokens.get(integration)
        if not token:
            return _unauthorized(f"no token is set for {integration}: nothing is taken from it")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            log.warning("callback_unauthorized", integration=integration)
            return _unauthorized("the request needs the header Authorization: Bearer <its token>")
        if self.in_hand >= self.config.in_hand_max:
            return _held_back("too many requests wait for the log")
        return None


Take = Callable[[Request, bytes, int], Awaitable[bool]]
"""Takes a body that arrived at a time; returns once it is durable, whether its device is welcome.

Raises `DecodeError` for a body that cannot be read.
"""


async def _body(request: Request, bytes_max: int) -> bytes | None:
    """Return the body; None: it is longer than `bytes_max`."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            return None
        parts.append(part)
    return b"".join(parts)


def _problem(status: int, reason: str, where: str, message: str) -> Response:
    return JSONResponse({"error": {"reason": reason, "field": where, "message": message}}, status)


def _unauthorized(message: str) -> Response:
    answer = _problem(401, "unauthorized", "authorization", message)
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _held_back(message: str) -> Response:
    answer = _problem(503, "held_back", "", f"{message}: send it again")
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer
