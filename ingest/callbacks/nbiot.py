"""Operators' platforms that send by HTTP what NB-IoT devices said: `POST /nbiot/<platform>`.

The platforms are the shapes of `protocols.nbiot.callbacks`; all have the token of the integration `nbiot`.
Commands do not go this way: they wait until the device is heard by another.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.routing import Route

from ingest.callbacks.context import Callbacks, Take
from ingest.uplinks import Uplink
from protocols.nbiot.callbacks import SHAPES, OperatorMessage, Shape, decode
from protocols.payloads.identity import identify
from protocols.samples import DecodeError

SOURCE = "callback"
INTEGRATION = "nbiot"


def routes(callbacks: Callbacks) -> Sequence[Route]:
    """Return a route for each platform."""
    return [
        callbacks.route(f"/nbiot/{platform}", INTEGRATION, _take(callbacks, platform, shape))
        for platform, shape in SHAPES.items()
    ]


def _take(callbacks: Callbacks, platform: str, shape: Shape) -> Take:
    async def take(request: Request, body: bytes, received_at_us: int) -> bool:
        messages = [_named(each) for each in decode(shape, body, request.headers)]
        stored = await asyncio.gather(
            *(callbacks.uplinks.take(_uplink(each, platform, received_at_us)) for each in messages)
        )
        return all(device is not None for device in stored)

    return take


def _named(message: OperatorMessage) -> OperatorMessage:
    """Let the payload name the device where the platform does not. Raises `DecodeError`."""
    identity = message.identity or identify(message.payload).identity
    if identity is None:
        raise DecodeError("identity", "identity", "neither the request nor its payload names a device")
    return replace(message, identity=identity)


def _uplink(message: OperatorMessage, platform: str, received_at_us: int) -> Uplink:
    assert message.identity is not None
    heard_at_us = received_at_us if message.heard_at_us is None else message.heard_at_us
    return Uplink(
        identity=message.identity,
        source=SOURCE,
        heard_at_us=heard_at_us,
        received_at_us=received_at_us,
        payload=message.payload,
        meta={"platform": platform, **message.meta},
        address={"way": SOURCE, "platform": platform},
    )
