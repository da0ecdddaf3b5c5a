"""Commands to batteries: from a request on the bus to MQTT, and the battery's answer back to the bus.

Used by `ingest.mqtt.batteries`, whose connection it shares. The API writes the command into the database
before it asks; so a battery that is offline now gets it when it is heard of again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from ingest.mqtt.connection import BrokerAwayError, BrokerConnection
from protocols.battery import topics
from protocols.battery.commands import STATE_AFTER, Action, Answer, Command, decode_answer, encode_command
from protocols.battery.topics import Channel
from protocols.samples import DecodeError
from protocols.timestamps import from_datetime, to_datetime
from storage.database import Pool
from storage.queries import batteries
from storage.queries.batteries import BatteryCommand

log = structlog.get_logger()

REQUEST_SUBJECT = "gridwire.battery.command"
ANSWER_SUBJECT = "gridwire.battery.answer"
QUEUE_GROUP = "mqtt"
PUBACK_TIMEOUT_S = 2.0
HEARD_MAX = 200_000  # batteries remembered; the one heard of longest ago is forgotten first
CHECKS_MAX = 10_000  # batteries that wait for a look into the database
DATABASE_PAUSE_S = 1.0


class CommandRequest(msgspec.Struct, frozen=True):
    """What the API sends on `gridwire.battery.command`; `identity` is the battery's serial."""

    command_id: UUID
    identity: str
    action: Action


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """A battery counts as silent after `silence_s`; an unanswered command is sent again every `resend_s`
    at most, while its battery is heard of.
    """

    silence_s: float = 60.0
    resend_s: float = 15.0


class CommandRelay:
    """One for each ingestor process. `clock` returns microseconds since 1970 UTC."""

    def __init__(
        self,
        config: RelayConfig,
        *,
        connection: BrokerConnection,
        pool: Pool,
        bus: Client,
        clock: Callable[[], int],
    ) -> None:
        self._silence_us = round(config.silence_s * 1e6)
        self._resend_us = round(config.resend_s * 1e6)
        self._connection = connection
        self._pool = pool
        self._bus = bus
        self._clock = clock
        self._heard_us: OrderedDict[str, int] = OrderedDict()
        self._sent_us: dict[str, int] = {}  # by serial: commands without an answer, as far as we know
        self._checks: asyncio.Queue[str] = asyncio.Queue(CHECKS_MAX)
        self._queued: set[str] = set()

    async def run(self) -> None:
        """Serve requests, and send again what batteries have not answered, until cancelled."""
        subscription = await self._bus.subscribe(REQUEST_SUBJECT, queue=QUEUE_GROUP, cb=self._serve)
        try:
            while True:
                await self._check(await self._checks.get())
        finally:
            if not self._bus.is_closed:
                await subscription.unsubscribe()

    def heard(self, serial: str) -> None:
        """Note that a battery has sent something: if it was silent or owes an answer, look what waits."""
        now_us = self._clock()
        last_us = self._heard_us.get(serial)
        was_silent = last_us is None or now_us - last_us >= self._silence_us
        is_due = serial in self._sent_us and now_us - self._sent_us[serial] >= self._resend_us
        if (was_silent or is_due) and serial not in self._queued:
            if self._checks.full():
                return  # not noted as heard: its next message tries again
            self._queued.add(serial)
            self._checks.put_nowait(serial)
        self._heard_us[serial] = now_us
        self._heard_us.move_to_end(serial)
        if len(self._heard_us) > HEARD_MAX:
            forgotten, _ = self._heard_us.popitem(last=False)
            self._sent_us.pop(forgotten, None)

    async def answer(self, serial: str, payload: bytes) -> None:
        """Store a battery's answer and tell who waits for it.

        Raises `DecodeError` for what is no answer, or answers no command of this battery. May be called
        again with the same answer.
        """
        answer = decode_answer(payload)
        async with self._pool.connection() as connection:
            command = await batteries.get_command(connection, answer.command_id)
            if command is None or command.serial_number.lower() != serial.lower():
                raise DecodeError("unknown_command", "command_id", f"{answer.command_id} is not for {serial}")
            state, detail = _verdict(answer, command)
            body = {"outcome": answer.outcome, "state": answer.state, "detail": detail}
            at = to_datetime(self._clock())
            command = await batteries.answer_command(connection, answer.command_id, state, body, at)
        assert command is not None
        self._sent_us.pop(serial, None)
        outcome = _outcome(command)
        log.info("battery_answered", battery=serial, command=str(command.id), **outcome)
        await self._bus.publish(f"{ANSWER_SUBJECT}.{command.id}", msgspec.json.encode(outcome))

    async def _serve(self, message: Msg) -> None:
        await message.respond(msgspec.json.encode(await self._relay(message.data)))

    async def _relay(self, request: bytes) -> dict[str, str]:
        try:
            wanted = msgspec.json.decode(request, type=CommandRequest)
            command = Command(wanted.command_id, wanted.action, to_datetime(self._clock()))
            await self._send(wanted.identity, command)
        except BrokerAwayError as error:
            return {"outcome": "unavailable", "detail": str(error)}
        except ValueError as error:
            return {"outcome": "invalid", "detail": str(error)}
        return {"outcome": "sent"}

    async def _send(self, serial: str, command: Command) -> None:
        topic = topics.build(serial, Channel.COMMAND)
        await self._connection.publish(topic, encode_command(command), PUBACK_TIMEOUT_S)
        if serial in self._heard_us:  # so that both tables have the same bound
            self._sent_us[serial] = self._clock()
        log.info("battery_command_sent", battery=serial, command=str(command.command_id))

    async def _check(self, serial: str) -> None:
        """Send again what this battery has not answered."""
        self._queued.discard(serial)
        try:
            async with self._pool.connection() as connection:
                pending = await batteries.pending_commands_for(connection, serial)
            for command in pending:
                await self._resend(serial, command)
        except BrokerAwayError:
            self._heard_us.pop(serial, None)  # its next message counts as the first
        except Exception as error:  # the database is away, mostly; either way look again
            self._heard_us.pop(serial, None)
            log.warning("battery_commands_not_checked", error=str(error), action="trying again")
            await asyncio.sleep(DATABASE_PAUSE_S)
        else:
            if not pending:
                self._sent_us.pop(serial, None)

    async def _resend(self, serial: str, command: BatteryCommand) -> None:
        if from_datetime(command.created_at) + self._resend_us > self._clock():
            self._sent_us[serial] = from_datetime(command.created_at)  # just sent by whoever was asked
            return
        action: Action = "activate" if command.action == "activate" else "deactivate"
        await self._send(serial, Command(command.id, action, command.created_at))


def _verdict(answer: Answer, command: BatteryCommand) -> tuple[Literal["confirmed", "refused"], str | None]:
    """Whether the battery is now as the command wants it, and what to say if not."""
    wanted = STATE_AFTER["activate" if command.action == "activate" else "deactivate"]
    if answer.outcome == "refused":
        return "refused", answer.detail
    if answer.state != wanted:
        return "refused", f"the battery says done, but that it is {answer.state}"
    return "confirmed", answer.detail


def _outcome(command: BatteryCommand) -> dict[str, str]:
    """The message for who waits, from the command as it stands in the database."""
    if command.state == "confirmed":
        return {"outcome": "confirmed"}
    if command.state == "superseded":
        return {"outcome": "refused", "detail": "a later command took its place"}
    return {"outcome": "refused", "detail": str((command.answer or {}).get("detail") or "")}
