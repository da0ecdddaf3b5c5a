"""A charging station for the conformance cases: it is told what to say, and answers calls as it was told.

Every answer of ours is checked against its schema on the way; so is every request that we send it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from protocols.ocpp.schemas import check_call, check_request
from protocols.ocpp.surface import Version
from storage.queries.devices import Device
from stream.bus import CallOutcome, ChargerOfflineError, call_charger
from tests.conformance.schemas import answer_schema
from tests.ingest.ocpp_gateway import Running, add_charger, add_driver

WAIT_S = 10.0
POLL_S = 0.01
Answer = Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]]


class RefusedError(Exception):
    """The central system refused a request."""


@dataclass
class Station:
    """One station. `answers` by action; `asked` is what the central system sent, in order."""

    running: Running
    device: Device
    version: Version
    socket: ClientConnection
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    _waiting: dict[str, asyncio.Future[Any]] = field(default_factory=dict)
    _count: int = 0

    async def call(self, action: str, payload: Mapping[str, Any]) -> Any:
        """Send a request that keeps its schema; the payload of the answer, which must keep its own."""
        assert check_request(self.version, action, payload), f"{action} {payload} breaks its schema"
        self._count += 1
        message_id = f"m{self._count}"
        future = self._waiting[message_id] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps([2, message_id, action, payload]))
        async with asyncio.timeout(WAIT_S):
            answer = await future
        answer_schema(self.version, action).validate(answer)
        return answer

    async def ask(self, action: str, payload: Mapping[str, Any], answer: Answer | None = None) -> CallOutcome:
        """Have the operator send `action` to this station, which answers `answer`."""
        if answer is not None:
            self.answers[action] = answer
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    return await call_charger(self.running.bus, self.device.id, action, dict(payload), WAIT_S)
                except ChargerOfflineError:  # the handshake is over, the gateway's own bookkeeping not yet
                    await asyncio.sleep(POLL_S)

    def last(self, action: str) -> Mapping[str, Any]:
        """The payload of the newest request of this action that was received."""
        return next(payload for name, payload in reversed(self.asked) if name == action)

    async def read(self) -> None:
        """Work off what comes, until the socket ends."""
        async for text in self.socket:
            frame = json.loads(text)
            if frame[0] == 2:
                await self._answer(frame)
            elif (future := self._waiting.pop(frame[1], None)) is not None:
                if frame[0] == 3:
                    future.set_result(frame[2])
                else:
                    future.set_exception(RefusedError(f"{frame[2]}: {frame[3]}"))

    async def _answer(self, frame: list[Any]) -> None:
        _, message_id, action, payload = frame
        check_call(self.version, action, payload)
        self.asked.append((action, payload))
        answer = self.answers.get(action)
        if answer is None:
            error = [4, message_id, "NotSupported", "", {}]
            await self.socket.send(json.dumps(error))
            return
        said = answer(payload) if callable(answer) else answer
        await self.socket.send(json.dumps([3, message_id, said]))


@asynccontextmanager
async def station(
    running: Running,
    identity: str = "CP1",
    version: Version = Version.V16,
    *,
    device: Device | None = None,
    **options: Any,
) -> AsyncIterator[Station]:
    """A registered station, connected."""
    device = device or await add_charger(running.pool, identity)
    settings: dict[str, Any] = {"subprotocols": [version.subprotocol], "compression": None}
    url = options.pop("url", running.url)
    async with connect(f"{url}/{device.identity}", **{**settings, **options}) as socket:
        client = Station(running, device, version, socket)
        reading = asyncio.create_task(client.read())
        try:
            yield client
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def at(seconds: float = 0.0) -> str:
    """A time of the station's clock, `seconds` from now."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def sessions(running: Running, device: Device) -> list[dict[str, Any]]:
    """The sessions of a charger, oldest first."""
    query = "SELECT * FROM sessions WHERE device_id = %s ORDER BY id"
    async with running.pool.connection() as connection:
        cursor = await connection.execute(query, [device.id])
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]


__all__ = [
    "RefusedError",
    "Station",
    "add_charger",
    "add_driver",
    "at",
    "sessions",
    "station",
]
