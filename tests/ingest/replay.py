"""Plays the charger's side of a recording against a running gateway, and compares the answers by shape.

A recording is made by `gridwire ocpp record`. Ids, times and texts may differ from what was recorded; the
type of each answer, its fields and their types may not.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from itertools import groupby
from pathlib import Path
from typing import Any

from protocols.ocpp.recording import Line, Recording, read
from tests.ingest.ocpp_gateway import RawCharger

CALL, RESULT, ERROR = 2, 3, 4

Connect = Callable[[], AbstractAsyncContextManager[RawCharger]]
# Has the gateway send this call to the charger, as somebody did when it was recorded.
Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]


def load(path: Path) -> Recording:
    with path.open(encoding="utf-8") as file:
        return read(file)


async def replay(recording: Recording, connect: Connect, ask: Ask) -> list[str]:
    """Play every connection of `recording`; returns what was different, a line each."""
    player = _Player(ask)
    for _, lines in groupby(recording.lines, key=lambda line: line.connection):
        async with connect() as charger:
            await player.play(charger, list(lines))
    return player.differences


class _Player:
    """`_transactions`: ids that the system gave when it was recorded, to those that it gives now."""

    def __init__(self, ask: Ask) -> None:
        self.differences: list[str] = []
        self._ask = ask
        self._transactions: dict[int, int] = {}

    async def play(self, charger: RawCharger, lines: list[Line]) -> None:
        answers = {
            (line.sender, frame[1]): frame
            for line in lines
            if (frame := _parsed(line)) is not None and frame[0] in {RESULT, ERROR}
        }
        calls: deque[Any] = deque()
        for line in lines:
            frame = _parsed(line)
            is_call = frame is not None and frame[0] == CALL
            if line.sender == "charger" and (is_call or frame is None):
                message_id = frame[1] if frame is not None else "-1"
                await charger.send(self._today(line, frame))
                if ("system", message_id) in answers:
                    answer = await self._answer(charger, message_id, calls)
                    self._compare(line, answers["system", message_id], answer)
            elif line.sender == "system" and is_call and ("charger", frame[1]) in answers:
                await self._called(charger, line, frame, answers["charger", frame[1]], calls)

    async def _answer(self, charger: RawCharger, message_id: str, calls: deque[Any]) -> Any:
        """The answer to our call; calls of the system that come before it wait."""
        while True:
            frame = await charger.receive()
            if frame[0] != CALL and frame[1] == message_id:
                return frame
            calls.append(frame)

    async def _called(
        self, charger: RawCharger, line: Line, recorded: Any, answer: Any, calls: deque[Any]
    ) -> None:
        """Have the system call us, and answer as the charger did."""
        asking = asyncio.ensure_future(self._ask(recorded[2], recorded[3]))
        call = calls.popleft() if calls else await charger.receive()
        self._compare(line, recorded, call)
        await charger.send([answer[0], call[1], *answer[2:]])
        await asking

    def _today(self, line: Line, frame: Any) -> str:
        """The frame as it was, or with the transaction id that was given today."""
        match frame:
            case [int(), str(), str(), {"transactionId": int(number), **rest}] if (
                number in self._transactions
            ):
                today = {"transactionId": self._transactions[number], **rest}
                return json.dumps([*frame[:3], today])
        return line.frame

    def _compare(self, line: Line, recorded: Any, live: Any) -> None:
        if recorded[0] == RESULT and live[0] == RESULT and "transactionId" in recorded[2]:
            self._transactions[recorded[2]["transactionId"]] = live[2].get("transactionId")
        if _shape_of_frame(recorded) != _shape_of_frame(live):
            self.differences.append(f"{line.frame}: recorded {json.dumps(recorded)}, now {json.dumps(live)}")


def _shape_of_frame(frame: Any) -> Any:
    """Type and action or error code as they are; ids and an error's words and details are free."""
    if frame[0] == RESULT:
        return [RESULT, shape(frame[2])]
    return [frame[0], frame[2], shape(frame[3]) if frame[0] == CALL else None]


def shape(value: Any) -> Any:
    """Fields and types, without values; the elements of a list as the set of their shapes."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(item), sort_keys=True) for item in value})
    return "number" if type(value) in {int, float} else type(value).__name__


def _parsed(line: Line) -> Any:
    """The frame as JSON; None where it is no frame, or was cut."""
    try:
        frame = json.loads(line.frame)
    except json.JSONDecodeError:
        return None
    is_frame = isinstance(frame, list) and len(frame) >= 3 and frame[0] in {CALL, RESULT, ERROR}
    return frame if is_frame else None
