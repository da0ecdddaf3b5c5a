"""Durable commands: from the database to the chargers whose newest socket this gateway holds.

A charger's commands go out one at a time and in their order, in a task beside its socket's own, so that what
the charger sends is never held up. A command is committed as `sent` under the socket's generation before it
goes out: no other gateway can send it, and one that a killed gateway leaves behind is decided by its kind,
with the charger's next connection or by the jobs role, whichever is first. Used by the server.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Literal

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as BusProblem

from ingest.ocpp.commands import ask
from ingest.ocpp.context import Services, is_outage
from ingest.ocpp.link import Link
from protocols.ocpp.command_rules import is_taken
from protocols.ocpp.connection import Answered, Lost, Outcome, QueueFullError, Refused, TimedOut
from protocols.ocpp.schemas import SchemaError
from protocols.timestamps import to_datetime
from storage.database import Connection
from storage.queries import commands
from storage.queries.commands import Command
from stream.bus import commands_subject
from stream.charger_commands import tell

log = structlog.get_logger()

DUE_MAX = 1_000  # chargers woken in one round of the clock
ERROR_CHARACTERS_MAX = 1_000
SETTLE_POLL_S = 0.05
UNSENT_PAUSE = timedelta(seconds=1)
STORE_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0)  # between tries to store an outcome


class Deliveries:
    """One a gateway. `links` has the newest socket of each charger, as the server keeps them."""

    def __init__(self, services: Services, links: Mapping[int, Link]) -> None:
        self._services = services
        self._links = links
        self._tasks: dict[int, asyncio.Task[None]] = {}  # at most one a charger
        self._woken: set[int] = set()
        self._subscription: Subscription | None = None
        self._is_closing = False

    async def subscribe(self) -> None:
        """Hear of new commands from now on."""
        self._subscription = await self._services.bus.subscribe(commands_subject("*"), cb=self._on_nudge)

    async def drain(self) -> None:
        """Send no more; return when what is out has its answer, at the latest after `drain_s`."""
        self._is_closing = True
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                await subscription.unsubscribe()
            except BusProblem as error:
                log.debug("unsubscribe_failed", error=repr(error))
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=self._services.config.drain_s)

    async def close(self) -> None:
        """End what is left. Only once all sockets are closed: a call of theirs must not be cancelled."""
        await self.drain()
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def wake(self, device_id: int) -> None:
        """Look for commands of this charger, now or once more when the look that is under way ends."""
        if self._is_closing or device_id not in self._links:
            return
        if device_id in self._tasks:
            self._woken.add(device_id)
            return
        task = asyncio.create_task(self._work(device_id))
        self._tasks[device_id] = task
        task.add_done_callback(lambda _: self._ended(device_id))

    async def wake_due(self) -> None:
        """Wake what is due by the clock, and what a lost nudge has left; by the server, every few seconds."""
        try:
            async with self._services.pool.connection() as connection:
                name = self._services.config.name
                due = await commands.due_chargers(connection, name, self._now(), DUE_MAX)
        except Exception as error:
            log.debug("commands_not_looked_for", error=repr(error))
            return
        for device_id in due:
            self.wake(device_id)

    async def _on_nudge(self, message: Msg) -> None:
        device_id = message.subject.split(".")[2]
        if device_id.isdecimal():
            self.wake(int(device_id))

    def _ended(self, device_id: int) -> None:
        del self._tasks[device_id]
        if device_id in self._woken:
            self._woken.discard(device_id)
            self.wake(device_id)

    async def _work(self, device_id: int) -> None:
        """Deliver what is due to this charger, over whichever of its sockets is the newest."""
        try:
            while not self._is_closing:
                self._woken.discard(device_id)
                link = self._links.get(device_id)
                if link is None:
                    return
                await self._settle(link)
                if not await self._deliver_next(link) and device_id not in self._woken:
                    return
        except Exception as error:
            away = is_outage(error)
            log.warning("commands_not_delivered", device_id=device_id, error=repr(error), exc_info=not away)

    async def _settle(self, link: Link) -> None:
        """Let a charger that has just connected speak first: one that boots takes no call before its
        BootNotification is answered (OCPP 1.6 section 4.2; 2.0.1 part 2, B01).
        """
        config = self._services.config
        until_us = link.opened_us + int(config.command_settle_s * 1e6)
        while config.clock() < until_us and (link.heard_us == link.opened_us or link.is_busy):  # noqa: ASYNC110
            await asyncio.sleep(SETTLE_POLL_S)

    async def _deliver_next(self, link: Link) -> bool:
        """Bring one command to the charger; False where none is due, or the socket is gone."""
        async with self._services.pool.connection() as connection:
            claim = await commands.claim(connection, link.device.id, link.generation, self._now())
        command = claim.command
        await tell(self._services.bus, claim.changed if command is None else [*claim.changed, command])
        if command is None:
            return False
        timeout_s = self._services.config.command_timeout_s
        try:
            outcome = await ask(self._services, link, command.action, command.payload, timeout_s)
        except SchemaError as error:
            outcome = Refused(error.code, str(error))  # made for another version than the charger speaks now
        except QueueFullError:
            outcome = TimedOut(was_sent=False)
        log.info(
            "charger_command_ended",
            charger=link.device.identity,
            command=str(command.id),
            action=command.action,
            attempts=command.attempts,
            outcome=type(outcome).__name__.lower(),
        )
        await self._store(command, self._change(command, outcome))
        return not isinstance(outcome, Lost)

    def _change(
        self, command: Command, outcome: Outcome
    ) -> Callable[[Connection], Awaitable[Command | None]]:
        """What an outcome makes of the command."""
        now, config = self._now(), self._services.config
        state: Literal["accepted", "rejected"]
        match outcome:
            case Answered(payload):
                state = "accepted" if is_taken(payload) else "rejected"
                return lambda db: commands.finish(db, command, state, now, result=payload)
            case Refused(code, description):
                error = f"{code}: {description or 'no description'}".replace("\0", " ")[:ERROR_CHARACTERS_MAX]
                return lambda db: commands.finish(db, command, "failed", now, error=error)
            case TimedOut(was_sent=False) | Lost(was_sent=False):
                return lambda db: commands.unsend(db, command, now + UNSENT_PAUSE)
            case TimedOut():
                due_at = now + timedelta(seconds=config.command_retry_s * 2 ** (command.attempts - 1))
                reason = f"no answer within {config.command_timeout_s:g} s"
                return lambda db: commands.give_back(db, command, now, due_at=due_at, reason=reason)
            case Lost():
                return lambda db: commands.give_back(db, command, now, due_at=now, reason=commands.GONE)

    async def _store(
        self, command: Command, change: Callable[[Connection], Awaitable[Command | None]]
    ) -> None:
        """Commit the change and tell of it. A database that is away for longer than the pauses loses it:
        then the command is decided as one that a killed gateway has left.
        """
        for pause_s in (*STORE_PAUSES_S, None):
            try:
                async with self._services.pool.connection() as connection:
                    changed = await change(connection)
                await tell(self._services.bus, [] if changed is None else [changed])
            except Exception as error:
                if pause_s is None or not is_outage(error):
                    raise
                log.warning("command_outcome_not_stored", command=str(command.id), error=repr(error))
                await asyncio.sleep(pause_s)
            else:
                return

    def _now(self) -> datetime:
        return to_datetime(self._services.config.clock())
