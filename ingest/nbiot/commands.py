"""Commands that ride in the answer to a device's message.

Used by `ingest.nbiot.intake` and the shells. A command is taken by the message that it answers, and is
written down as sent once the answer went out. The device's next message shows that the answer had arrived: a
device that has none sends the same message again. So a command whose process died before the answer is sent
again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from protocols.timestamps import to_datetime
from storage.database import Pool
from storage.queries import device_commands
from storage.queries.device_commands import DeviceCommand, State

log = structlog.get_logger()

COMMANDS_MAX = 16  # open ones of a device that are looked at
UNSENT_AFTER = timedelta(seconds=30)  # a taken command whose answer did not go out by then waits again
HEARD_AGAIN = "the device has sent another message since"
CONFIRMED = "the device has acknowledged the answer that bore it"


@dataclass(slots=True)
class _Look:
    """One question to the database for all who ask while the one before it is under way."""

    task: asyncio.Task[set[int]]
    device_ids: set[int] = field(default_factory=set)


class Commands:
    """One for each process. `clock` returns microseconds since 1970 UTC.

    A message acknowledges what was sent more than `settle_s` before it came: one that crossed the answer on
    its way says nothing. `patience_s`: how long a message's answer waits for the database at most.
    """

    def __init__(
        self, pool: Pool, clock: Callable[[], int], *, settle_s: float = 5.0, patience_s: float = 1.0
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._settle = timedelta(seconds=settle_s)
        self._patience_s = patience_s
        self._late: set[asyncio.Task[None]] = set()  # bounded by the messages under way
        self._looking = asyncio.Lock()
        self._look: _Look | None = None

    async def next(self, device_id: int, received_at_us: int) -> DeviceCommand | None:
        """Return the command for the answer to a message that came at this time, taken from its queue.

        Its message is stored already: where the database is away the answer goes out without a command.
        """
        taking = asyncio.create_task(self._next(device_id, received_at_us))
        done, _ = await asyncio.wait([taking], timeout=self._patience_s)
        if not done:
            late = asyncio.create_task(self._put_back(taking))
            self._late.add(late)
            late.add_done_callback(self._late.discard)
            return None
        if (error := taking.exception()) is not None:
            log.warning("device_commands_away", device_id=device_id, error=str(error))
            return None
        return taking.result()

    async def sent(self, command: DeviceCommand, way: str) -> None:
        """The answer with the command went out."""
        log.info("device_command_sent", command=str(command.id), device_id=command.device_id, way=way)
        await self._mark(command, "sent", f"in an answer by {way}")

    async def confirmed(self, command: DeviceCommand) -> None:
        """The device has said that it has the answer."""
        await self._mark(command, "acknowledged", CONFIRMED)

    async def lost(self, command: DeviceCommand, detail: str) -> None:
        """The answer did not arrive: the command waits for the next message."""
        log.info("device_command_waits_again", command=str(command.id), detail=detail)
        await self._mark(command, "pending", None)

    async def _next(self, device_id: int, received_at_us: int) -> DeviceCommand | None:
        if not await self._has_open(device_id):
            return None
        now, received_at = to_datetime(self._clock()), to_datetime(received_at_us)
        async with self._pool.connection() as connection:
            for each in await device_commands.open_commands(connection, device_id, limit=COMMANDS_MAX):
                if each.state != "sent" or each.sent_at is None:
                    continue
                if each.detail is None and now - each.sent_at >= UNSENT_AFTER:
                    await device_commands.mark(connection, each.id, "pending", now)
                elif each.detail is not None and received_at - each.sent_at >= self._settle:
                    await device_commands.mark(connection, each.id, "acknowledged", now, HEARD_AGAIN)
            return await device_commands.take_next(connection, device_id, now)

    async def _has_open(self, device_id: int) -> bool:
        """Few messages find a command, and a query for each would cost more than all else."""
        if self._look is None:
            self._look = _Look(asyncio.create_task(self._ask()))
        look = self._look
        look.device_ids.add(device_id)
        return device_id in await asyncio.shield(look.task)

    async def _ask(self) -> set[int]:
        async with self._looking:
            look, self._look = self._look, None
            assert look is not None
            async with self._pool.connection() as connection:
                return await device_commands.devices_with_open(connection, sorted(look.device_ids))

    async def _put_back(self, taking: asyncio.Task[DeviceCommand | None]) -> None:
        """What was taken too late for its answer waits again."""
        await asyncio.wait([taking])
        if taking.exception() is None and (command := taking.result()) is not None:
            await self._mark(command, "pending", None)

    async def _mark(self, command: DeviceCommand, state: State, detail: str | None) -> None:
        """The device is not to wait for this, nor to be failed by it."""
        try:
            async with self._pool.connection() as connection:
                at = to_datetime(self._clock())
                await device_commands.mark(connection, command.id, state, at, detail)
        except Exception as error:
            log.warning("device_command_not_marked", command=str(command.id), state=state, error=str(error))
