"""Durable commands in a real database: order, superseding, claims, and those without an answer."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from protocols.ocpp.command_rules import is_repeatable, supersede_key
from storage.database import Connection, Pool
from storage.errors import NotFoundError, TooManyCommandsError
from storage.queries import commands
from storage.queries.chargers import charger_connected, charger_disconnected
from storage.queries.commands import ATTEMPTS_MAX, QUEUED_MAX, SENT_FOR_MAX, Command, NewCommand
from tests.storage.people import NOON, make_charger

LATER = NOON + timedelta(seconds=5)


async def connected(connection: Connection, identity: str = "CP-1") -> tuple[int, int]:
    """A charger with a socket: its id and the socket's generation."""
    device = await make_charger(connection, identity)
    return device.id, await charger_connected(connection, device.id, "a", "1.6")


async def keep(
    connection: Connection,
    device_id: int,
    action: str,
    payload: dict[str, Any] | None = None,
    *,
    priority: int = 0,
    at: datetime = NOON,
    ttl: timedelta = timedelta(hours=1),
) -> tuple[Command, list[Command]]:
    new = NewCommand(
        uuid4(),
        device_id,
        action,
        payload or {},
        priority,
        is_repeatable(action),
        supersede_key(action, payload or {}),
        at,
        at + ttl,
        None,
    )
    return await commands.enqueue(connection, new)


async def states(connection: Connection, device_id: int) -> list[tuple[str, str]]:
    """Action and state, oldest first."""
    page, _ = await commands.list_commands(connection, device_id, state=None, limit=1_000)
    return [(each.action, each.state) for each in reversed(page)]


async def take(connection: Connection, device_id: int, generation: int, now: datetime = LATER) -> Command:
    claim = await commands.claim(connection, device_id, generation, now)
    assert claim.command is not None
    return claim.command


async def test_priority_then_age_and_one_at_a_time(connection: Connection) -> None:
    device_id, generation = await connected(connection)
    for action, priority in (("GetLocalListVersion", 0), ("GetDiagnostics", 0), ("GetConfiguration", 5)):
        await keep(connection, device_id, action, {"n": 1}, priority=priority)
    order = []
    for _ in range(3):
        command = await take(connection, device_id, generation)
        order.append(command.action)
        assert (command.state, command.attempts, command.sent_at) == ("sent", 1, LATER)
        again = await commands.claim(connection, device_id, generation, LATER)
        assert again.command is None, "one is out already"
        ended = await commands.finish(connection, command, "accepted", LATER, result={"b": 1, "a": 2})
        assert ended is not None
        assert list(ended.result or {}) == ["b", "a"]
        assert await commands.finish(connection, command, "rejected", LATER) is None
    assert order == ["GetConfiguration", "GetLocalListVersion", "GetDiagnostics"]
    assert (await commands.claim(connection, device_id, generation, LATER)).command is None


async def test_a_command_that_has_ended_forgets_its_secrets(connection: Connection) -> None:
    device_id, generation = await connected(connection)
    payload = {"key": "AuthorizationKey", "value": "0123456789ABCDEF"}
    await keep(connection, device_id, "ChangeConfiguration", payload)
    command = await take(connection, device_id, generation)
    assert command.payload == payload
    ended = await commands.finish(connection, command, "accepted", LATER)
    assert ended is not None
    assert ended.payload["key"] == "AuthorizationKey"
    assert "0123456789ABCDEF" not in str(ended.payload)


async def test_a_newer_command_takes_the_place_of_queued_ones(connection: Connection) -> None:
    device_id, generation = await connected(connection)
    other, _ = await connected(connection, "CP-2")
    first, _ = await keep(connection, device_id, "Reset", {"type": "Soft"})
    await keep(connection, other, "Reset", {"type": "Soft"})
    one, _ = await keep(connection, device_id, "ChangeAvailability", {"connectorId": 1, "type": "Operative"})
    await keep(connection, device_id, "ChangeAvailability", {"connectorId": 2, "type": "Operative"})
    assert (await take(connection, device_id, generation)).id == first.id
    _, superseded = await keep(connection, device_id, "Reset", {"type": "Hard"})
    assert superseded == [], "what is out is not called back"
    _, superseded = await keep(
        connection, device_id, "ChangeAvailability", {"connectorId": 1, "type": "Inoperative"}
    )
    assert [each.id for each in superseded] == [one.id]
    assert superseded[0].finished_at == NOON
    assert [state for _, state in await states(connection, device_id)] == [
        "sent", "superseded", "queued", "queued", "queued",
    ]  # fmt: skip
    assert await states(connection, other) == [("Reset", "queued")]


async def test_a_command_that_comes_back_yields_to_the_newer_one(connection: Connection) -> None:
    device_id, generation = await connected(connection)
    await keep(connection, device_id, "ChangeConfiguration", {"key": "A", "value": "1"})
    out = await take(connection, device_id, generation)
    newer, _ = await keep(connection, device_id, "ChangeConfiguration", {"key": "a", "value": "2"})
    back = await commands.give_back(connection, out, LATER, due_at=LATER, reason="no answer")
    assert back is not None
    assert (back.state, back.finished_at) == ("superseded", LATER)
    assert (await take(connection, device_id, generation)).id == newer.id


async def test_too_many_wait_and_no_charger(connection: Connection) -> None:
    device_id, _ = await connected(connection)
    for _ in range(QUEUED_MAX):
        await keep(connection, device_id, "GetConfiguration")
    with pytest.raises(TooManyCommandsError, match=str(QUEUED_MAX)):
        await keep(connection, device_id, "GetConfiguration")
    with pytest.raises(NotFoundError):
        await keep(connection, 4711, "GetConfiguration")


async def test_an_answer_that_never_came(connection: Connection) -> None:
    """What may be said twice is tried again up to a bound; the rest fails at once."""
    device_id, generation = await connected(connection)
    await keep(connection, device_id, "GetConfiguration")
    for attempt in range(1, ATTEMPTS_MAX + 1):
        command = await take(connection, device_id, generation)
        assert command.attempts == attempt
        due_at = LATER + timedelta(seconds=1)
        back = await commands.give_back(connection, command, LATER, due_at=due_at, reason="silence")
        assert back is not None
        assert back.state == ("queued" if attempt < ATTEMPTS_MAX else "failed")
        assert (await commands.claim(connection, device_id, generation, LATER)).command is None
        await connection.execute("UPDATE charger_commands SET due_at = %s", (NOON,))
    assert back is not None
    assert back.error == f"given up after {ATTEMPTS_MAX} attempts: silence"
    await keep(connection, device_id, "UnlockConnector", {"connectorId": 1})
    unlock = await take(connection, device_id, generation)
    back = await commands.give_back(connection, unlock, LATER, due_at=LATER, reason="silence")
    assert back is not None
    assert back.state == "failed"
    assert (back.error or "").startswith("unknown outcome: silence; the charger may have carried it out")


async def test_what_never_went_out_counts_as_no_attempt(connection: Connection) -> None:
    device_id, generation = await connected(connection)
    await keep(connection, device_id, "Reset", {"type": "Soft"})
    for _ in range(ATTEMPTS_MAX + 1):
        command = await take(connection, device_id, generation)
        back = await commands.unsend(connection, command, LATER)
        assert back is not None
        assert (back.state, back.attempts) == ("queued", 0)


async def test_one_that_waits_for_its_next_try_holds_back_those_behind_it(connection: Connection) -> None:
    device_id, generation = await connected(connection)
    await keep(connection, device_id, "ChangeConfiguration", {"key": "A", "value": "1"})
    await keep(connection, device_id, "Reset", {"type": "Soft"})
    command = await take(connection, device_id, generation)
    due_at = LATER + timedelta(seconds=30)
    await commands.give_back(connection, command, LATER, due_at=due_at, reason="silence")
    assert (await commands.claim(connection, device_id, generation, LATER)).command is None
    assert (await take(connection, device_id, generation, due_at)).id == command.id


async def test_a_newer_socket_decides_what_an_older_one_left(connection: Connection) -> None:
    device_id, old = await connected(connection)
    await keep(connection, device_id, "GetConfiguration")
    first = await take(connection, device_id, old)
    new = await charger_connected(connection, device_id, "b", "1.6")
    assert (await commands.claim(connection, device_id, old, LATER)).command is None, "not the newest"
    claim = await commands.claim(connection, device_id, new, LATER)
    assert claim.command is not None
    assert (claim.command.id, claim.command.attempts, claim.command.generation) == (first.id, 2, new)
    assert [each.state for each in claim.changed] == ["queued"]
    assert await commands.finish(connection, first, "accepted", LATER) is None, "the old socket speaks late"
    await commands.finish(connection, claim.command, "accepted", LATER)
    await keep(connection, device_id, "Reset", {"type": "Soft"})
    await take(connection, device_id, new)
    newest = await charger_connected(connection, device_id, "a", "1.6")
    claim = await commands.claim(connection, device_id, newest, LATER)
    assert claim.command is None
    assert [(each.state, (each.error or "")[:15]) for each in claim.changed] == [
        ("failed", "unknown outcome")
    ]


async def test_expired_ones_are_not_sent(connection: Connection) -> None:
    device_id, generation = await connected(connection)
    await keep(connection, device_id, "Reset", {"type": "Soft"}, ttl=timedelta(seconds=1))
    await keep(connection, device_id, "GetConfiguration")
    claim = await commands.claim(connection, device_id, generation, LATER)
    assert claim.command is not None
    assert claim.command.action == "GetConfiguration"
    assert [(each.state, each.error) for each in claim.changed] == [("expired", "not delivered in time")]


async def test_the_sweep(connection: Connection) -> None:
    device_id, generation = await connected(connection)
    await keep(connection, device_id, "Reset", {"type": "Soft"}, ttl=timedelta(seconds=1))
    gone, gone_generation = await connected(connection, "CP-2")
    await keep(connection, gone, "UnlockConnector", {"connectorId": 1})
    await take(connection, gone, gone_generation)
    await charger_disconnected(connection, gone, gone_generation)
    alive, alive_generation = await connected(connection, "CP-3")
    await keep(connection, alive, "GetConfiguration")
    await take(connection, alive, alive_generation)
    changed = await commands.end_overdue(connection, LATER, 10)
    assert sorted((each.identity, each.state) for each in changed) == [
        ("CP-1", "expired"),
        ("CP-2", "failed"),
    ]
    assert await commands.end_overdue(connection, LATER, 10) == []
    much_later = LATER + SENT_FOR_MAX
    changed = await commands.end_overdue(connection, much_later, 10)
    assert [(each.identity, each.state) for each in changed] == [("CP-3", "queued")]
    assert await commands.due_chargers(connection, "a", much_later, 10) == [alive]
    assert await commands.due_chargers(connection, "b", much_later, 10) == []
    assert generation == 1
    assert await commands.purge(connection, NOON + timedelta(days=1), 10) == 2
    assert await states(connection, device_id) == []


async def test_only_queued_ones_are_cancelled(connection: Connection) -> None:
    device_id, generation = await connected(connection)
    out, _ = await keep(connection, device_id, "GetConfiguration")
    waiting, _ = await keep(connection, device_id, "GetConfiguration")
    await take(connection, device_id, generation)
    assert await commands.cancel(connection, out.id, LATER) is None
    cancelled = await commands.cancel(connection, waiting.id, LATER)
    assert cancelled is not None
    assert (cancelled.state, cancelled.finished_at) == ("cancelled", LATER)
    assert await commands.cancel(connection, waiting.id, LATER) is None
    page, total = await commands.list_commands(connection, device_id, state="cancelled", limit=1)
    assert ([each.id for each in page], total) == ([waiting.id], 1)
    assert await commands.get_command(connection, uuid4()) is None


async def test_a_rejected_charger_is_sent_nothing(connection: Connection) -> None:
    device_id, generation = await connected(connection)
    await keep(connection, device_id, "GetConfiguration")
    await connection.execute("UPDATE chargers SET registration = 'Rejected'")
    assert (await commands.claim(connection, device_id, generation, LATER)).command is None


async def test_racing_claims_take_each_command_once(pool: Pool) -> None:
    async with pool.connection() as connection:
        device_id, generation = await connected(connection)
        made = [(await keep(connection, device_id, "GetConfiguration"))[0].id for _ in range(12)]
    taken = []

    async def deliver() -> None:
        for _ in range(len(made) * 2):
            async with pool.connection() as connection:
                command = (await commands.claim(connection, device_id, generation, LATER)).command
            if command is not None:
                taken.append(command.id)
                await asyncio.sleep(0)
                async with pool.connection() as connection:
                    assert await commands.finish(connection, command, "accepted", LATER) is not None

    await asyncio.gather(*(deliver() for _ in range(6)))
    assert taken == made


async def test_adding_and_claiming_at_once_neither_deadlocks_nor_loses(pool: Pool) -> None:
    async with pool.connection() as connection:
        device_id, generation = await connected(connection)

    async def add(number: int) -> None:
        for _ in range(10):
            async with pool.connection() as connection:
                key = {"key": str(number), "value": "x"}
                await keep(connection, device_id, "ChangeConfiguration", key)

    async def deliver() -> None:
        for _ in range(40):
            async with pool.connection() as connection:
                command = (await commands.claim(connection, device_id, generation, LATER)).command
            if command is not None:
                async with pool.connection() as connection:
                    await commands.finish(connection, command, "accepted", LATER)

    await asyncio.gather(*(add(number) for number in range(4)), deliver(), deliver())
    async with pool.connection() as connection:
        found = [state for _, state in await states(connection, device_id)]
    assert len(found) == 40
    assert set(found) <= {"accepted", "superseded", "queued"}
    assert found.count("queued") <= 4
