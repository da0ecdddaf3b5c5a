"""A charger that reads all the time: answers our calls as a test says, and awaits answers to its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.ingest.ocpp_gateway import WAIT_S, RawCharger, raw_charger

# Given action and payload: the answer's payload, [code, description] of an error, or None for no answer.
React = Callable[[str, dict[str, Any]], dict[str, Any] | list[str] | None]


def accept(_action: str, _payload: dict[str, Any]) -> dict[str, Any]:
    return {"status": "Accepted"}


class Peer:
    """`calls` are what it was asked, in order; `frames` the whole frames."""

    def __init__(self, charger: RawCharger, react: React) -> None:
        self.charger = charger
        self.react = react
        self.frames: list[list[Any]] = []
        self._answers: dict[str, asyncio.Future[list[Any]]] = {}
        self._count = 0

    @property
    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        return [(frame[2], frame[3]) for frame in self.frames]

    async def read(self) -> None:
        try:
            while True:
                frame = json.loads(await self.charger.socket.recv())
                if frame[0] == 2:
                    self.frames.append(frame)
                    await self.answer(frame, self.react(frame[2], frame[3]))
                elif frame[1] in self._answers:
                    self._answers[frame[1]].set_result(frame)
        except ConnectionClosed:
            pass

    async def answer(self, frame: list[Any], reply: dict[str, Any] | list[str] | None) -> None:
        if isinstance(reply, dict):
            await self.charger.send([3, frame[1], reply])
        elif reply is not None:
            await self.charger.send([4, frame[1], *reply, {}])

    async def call(self, action: str, payload: dict[str, Any]) -> list[Any]:
        """The whole answer frame."""
        self._count += 1
        message_id = f"own-{self._count}"
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._answers[message_id] = future
        await self.charger.send([2, message_id, action, payload])
        async with asyncio.timeout(WAIT_S):
            return await future

    async def asked(self, count: int) -> None:
        """Wait until it was asked so often in all."""
        async with asyncio.timeout(WAIT_S):
            while len(self.frames) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def peer(url: str, react: React = accept, **options: Any) -> AsyncIterator[Peer]:
    async with raw_charger(url, **options) as charger:
        found = Peer(charger, react)
        reading = asyncio.create_task(found.read())
        try:
            yield found
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
