"""Durable commands over real sockets: kept, in order, once, and through the death of gateways."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from nats.aio.client import Client

from deploy.temporary import TemporaryNats, free_port
from ingest.ocpp import remote_starts
from ingest.ocpp.server import Gateway
from protocols.ocpp.command_rules import is_repeatable, supersede_key
from storage.database import Pool
from storage.queries import commands
from storage.queries.commands import ATTEMPTS_MAX, Command, NewCommand
from stream import jobs
from stream.bus import call_charger, nudge_charger
from stream.charger_commands import TOPIC, sweep, tell
from stream.jobs import JobsConfig
from stream.log import LogConfig, ensure_log
from tests.ingest.ocpp_gateway import Running, add_charger, add_driver, eventually, now_us, running_gateway
from tests.ingest.ocpp_peer import peer

BOOT = {"chargePointVendor": "Acme", "chargePointModel": "One"}
QUICK = {
    "command_settle_s": 0.0,
    "sweep_s": 0.05,
    "command_retry_s": 0.05,
    "timeouts_max": 100,
    "drain_s": 1.0,
}
OPEN = {"queued", "sent"}


@asynccontextmanager
async def quick_gateway(pool: Pool, bus: Client, **settings: Any) -> AsyncIterator[Running]:
    async with running_gateway(pool, bus, **{**QUICK, **settings}) as running:
        yield running


async def keep(
    pool: Pool,
    bus: Client,
    device_id: int,
    action: str,
    payload: dict[str, Any] | None = None,
    *,
    priority: int = 0,
    ttl_s: float = 60.0,
) -> UUID:
    """As the API does."""
    now = datetime.now(UTC)
    new = NewCommand(
        uuid4(),
        device_id,
        action,
        payload or {},
        priority,
        is_repeatable(action),
        supersede_key(action, payload or {}),
        now,
        now + timedelta(seconds=ttl_s),
        None,
    )
    async with pool.connection() as connection:
        command, superseded = await commands.enqueue(connection, new)
    await tell(bus, [*superseded, command])
    await nudge_charger(bus, device_id)
    return command.id


async def get(pool: Pool, command_id: UUID) -> Command:
    async with pool.connection() as connection:
        found = await commands.get_command(connection, command_id)
    assert found is not None
    return found


async def ended(pool: Pool, command_id: UUID) -> Command:
    async def is_over() -> bool:
        return (await get(pool, command_id)).state not in OPEN

    await eventually(is_over)
    return await get(pool, command_id)


async def test_an_offline_charger_gets_its_commands_in_order_when_it_is_back(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    live = await bus.subscribe(f"gridwire.live.{TOPIC}")
    outstanding = 0
    order: list[str] = []

    def react(action: str, payload: dict[str, Any]) -> None:
        nonlocal outstanding
        outstanding += 1
        assert outstanding == 1, "one at a time"
        order.append(payload["key"])

    keys = [("A", 0), ("B", 0), ("C", 5), ("D", -1), ("E", 0)]
    async with quick_gateway(pool, bus) as running:
        ids = {
            key: await keep(
                pool, bus, device.id, "ChangeConfiguration", {"key": key, "value": "1"}, priority=priority
            )
            for key, priority in keys
        }
        async with peer(f"{running.url}/CP1", react) as charger:
            for count in range(1, len(keys) + 1):
                await charger.asked(count)
                await asyncio.sleep(0.02)
                outstanding = 0
                await charger.answer(charger.frames[-1], {"status": "Accepted"})
            last = await ended(pool, ids["D"])
    assert order == ["C", "A", "B", "E", "D"]
    assert (last.state, last.result, last.attempts) == ("accepted", {"status": "Accepted"}, 1)
    told = [json.loads(message.data) async for message in _pending(live)]
    of_first = [event["state"] for event in told if event["command_id"] == str(ids["A"])]
    assert of_first == ["queued", "sent", "accepted"]
    assert {event["charger"] for event in told} == {"CP1"}


async def _pending(subscription: Any) -> AsyncIterator[Any]:
    await asyncio.sleep(0.1)
    while subscription.pending_msgs:
        yield await subscription.next_msg(1)


async def test_superseded_and_expired_ones_are_never_sent(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    old = await keep(pool, bus, device.id, "Reset", {"type": "Hard"})
    stale = await keep(pool, bus, device.id, "UnlockConnector", {"connectorId": 1}, ttl_s=0.01)
    new = await keep(pool, bus, device.id, "Reset", {"type": "Soft"})
    await asyncio.sleep(0.05)
    async with quick_gateway(pool, bus) as running, peer(f"{running.url}/CP1") as charger:
        assert (await ended(pool, new)).state == "accepted"
        assert charger.calls == [("Reset", {"type": "Soft"})]
    assert (await get(pool, old)).state == "superseded"
    assert (await get(pool, stale)).state == "expired"


async def test_the_sweep_ends_what_expires_for_a_charger_that_stays_away(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    live = await bus.subscribe(f"gridwire.live.{TOPIC}")
    stale = await keep(pool, bus, device.id, "Reset", {"type": "Soft"}, ttl_s=1)
    assert await sweep(pool, bus, datetime.now(UTC)) == 0
    assert await sweep(pool, bus, datetime.now(UTC) + timedelta(seconds=2)) == 1
    assert (await get(pool, stale)).state == "expired"
    states = [json.loads(message.data)["state"] async for message in _pending(live)]
    assert states == ["queued", "expired"]


async def test_the_jobs_role_sweeps(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    stale = await keep(pool, bus, device.id, "Reset", {"type": "Soft"}, ttl_s=0.01)
    stop = asyncio.Event()
    config = JobsConfig(now_us, commands_interval_s=0.05)
    role = asyncio.create_task(jobs.run(config, pool=pool, bus=bus, stop=stop, ready=lambda: None))
    assert (await ended(pool, stale)).state == "expired"
    stop.set()
    await role


async def test_a_connected_charger_is_asked_at_once_and_heard_meanwhile(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    silence = {"sweep_s": 60.0}  # the nudge alone must do
    async with (
        quick_gateway(pool, bus, **silence) as running,
        peer(f"{running.url}/CP1", lambda *_: None) as charger,
    ):
        await charger.call("Heartbeat", {})
        command_id = await keep(pool, bus, device.id, "GetConfiguration")
        await charger.asked(1)
        assert (await get(pool, command_id)).state == "sent"
        for _ in range(3):
            assert (await charger.call("Heartbeat", {}))[0] == 3
        await charger.answer(charger.frames[0], {"configurationKey": [], "unknownKey": ["x"]})
        done = await ended(pool, command_id)
    assert (done.state, done.result) == ("accepted", {"configurationKey": [], "unknownKey": ["x"]})


@pytest.mark.parametrize(
    ("reply", "state", "error"),
    [
        ({"status": "Scheduled"}, "accepted", None),
        ({"status": "Rejected"}, "rejected", None),
        (["NotSupported", "no such thing"], "failed", "NotSupported: no such thing"),
        ({"status": "Perhaps"}, "failed", "PropertyConstraintViolation: ChangeAvailability.status"),
    ],
)
async def test_what_the_charger_answers(
    pool: Pool, bus: Client, reply: Any, state: str, error: str | None
) -> None:
    device = await add_charger(pool, "CP1")
    async with quick_gateway(pool, bus) as running, peer(f"{running.url}/CP1", lambda *_: reply) as charger:
        payload = {"connectorId": 1, "type": "Operative"}
        done = await ended(pool, await keep(pool, bus, device.id, "ChangeAvailability", payload))
        assert len(charger.calls) == 1
    assert done.state == state
    assert (done.error or "").startswith(error or "")
    assert (done.result is None) == (state == "failed")


async def test_a_command_of_another_version_fails_and_the_next_goes_on(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    wrong = await keep(pool, bus, device.id, "GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"})
    right = await keep(pool, bus, device.id, "ClearCache")
    async with quick_gateway(pool, bus) as running, peer(f"{running.url}/CP1") as charger:
        assert (await ended(pool, right)).state == "accepted"
        assert [action for action, _ in charger.calls] == ["ClearCache"]
    failed = await get(pool, wrong)
    assert failed.state == "failed"
    assert "OCPP 1.6" in (failed.error or "")


async def test_a_charger_that_does_not_answer_is_asked_again_up_to_a_bound(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    replies: list[Any] = [None, None, {"status": "Accepted"}]

    def react(_action: str, _payload: Any) -> Any:
        return replies.pop(0) if replies else None

    async with (
        quick_gateway(pool, bus, command_timeout_s=0.15) as running,
        peer(f"{running.url}/CP1", react) as charger,
    ):
        done = await ended(pool, await keep(pool, bus, device.id, "ClearCache"))
        assert (done.state, done.attempts) == ("accepted", 3)
        assert len({frame[1] for frame in charger.frames}) == 3, "each try has a message id of its own"
        given_up = await ended(pool, await keep(pool, bus, device.id, "ClearCache"))
        assert len(charger.frames) == 3 + ATTEMPTS_MAX
    assert given_up.state == "failed"
    assert given_up.error == f"given up after {ATTEMPTS_MAX} attempts: no answer within 0.15 s"


async def test_what_must_not_be_said_twice_is_not(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    async with (
        quick_gateway(pool, bus, command_timeout_s=0.1) as running,
        peer(f"{running.url}/CP1", lambda *_: None) as charger,
    ):
        done = await ended(pool, await keep(pool, bus, device.id, "UnlockConnector", {"connectorId": 1}))
        await asyncio.sleep(0.3)
        assert len(charger.frames) == 1
    assert done.state == "failed"
    assert (done.error or "").startswith("unknown outcome: no answer within 0.1 s; the charger may have")


async def test_a_socket_that_ends_before_the_answer(pool: Pool, bus: Client) -> None:
    """By its kind: the one is sent again over the next socket, the other is not."""
    device = await add_charger(pool, "CP1")
    async with quick_gateway(pool, bus) as running:
        async with peer(f"{running.url}/CP1", lambda *_: None) as charger:
            again = await keep(pool, bus, device.id, "ClearCache")
            await charger.asked(1)
        async with peer(f"{running.url}/CP1") as charger:
            done = await ended(pool, again)
            assert (done.state, done.attempts) == ("accepted", 2)
            charger.react = lambda *_: None
            once = await keep(pool, bus, device.id, "Reset", {"type": "Soft"})
            await charger.asked(2)
        assert (await ended(pool, once)).error is not None
        async with peer(f"{running.url}/CP1") as charger:
            probe = await keep(pool, bus, device.id, "ClearCache")
            assert (await ended(pool, probe)).state == "accepted"
            assert [action for action, _ in charger.calls] == ["ClearCache"]
    assert (await get(pool, once)).state == "failed"


@contextmanager
def gateway_process(database_url: str, nats_url: str, port: int) -> Iterator[subprocess.Popen[str]]:
    arguments = [
        sys.executable,
        "-m",
        "tests.ingest.gateway_process",
        database_url,
        nats_url,
        "victim",
        str(port),
    ]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert any(line.strip() == "ready" for line in process.stdout)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(
    ("action", "payload", "is_sent_again"),
    [("ClearCache", {}, True), ("RemoteStartTransaction", {"idTag": "CARD"}, False)],
)
async def test_a_gateway_that_is_killed_between_sending_and_answer(
    pool: Pool,
    bus: Client,
    nats: TemporaryNats,
    database_url: str,
    action: str,
    payload: Any,
    is_sent_again: bool,
) -> None:
    device = await add_charger(pool, "CP1")
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=64 << 20))
    port = free_port()
    with gateway_process(database_url, nats.url, port) as process:
        async with peer(f"ws://127.0.0.1:{port}/CP1", lambda *_: None) as charger:
            command_id = await keep(pool, bus, device.id, action, payload)
            behind = await keep(pool, bus, device.id, "GetConfiguration")
            await charger.asked(1)
            process.kill()
            await asyncio.to_thread(process.wait)
    assert (await get(pool, command_id)).state == "sent", "nobody is there to say otherwise"
    async with (
        quick_gateway(pool, bus, name="other") as running,
        peer(f"{running.url}/CP1", _either) as charger,
    ):
        await ended(pool, behind)
        expected = [action, "GetConfiguration"] if is_sent_again else ["GetConfiguration"]
        assert [each for each, _ in charger.calls] == expected
    done = await get(pool, command_id)
    assert (done.state, done.attempts) == (("accepted", 2) if is_sent_again else ("failed", 1))
    if not is_sent_again:
        assert (done.error or "").startswith("unknown outcome: ")


def _either(action: str, _payload: Any) -> dict[str, Any]:
    return {"configurationKey": []} if action == "GetConfiguration" else {"status": "Accepted"}


async def test_two_gateways_never_send_one_command_twice(pool: Pool, bus: Client) -> None:
    """The charger jumps between them while commands come in; those at most once arrive at most once."""
    device = await add_charger(pool, "CP1")
    heard: list[str] = []

    def react(_action: str, payload: dict[str, Any]) -> dict[str, Any]:
        heard.append(payload["data"])
        return {"status": "Accepted"}

    async with quick_gateway(pool, bus, name="a") as one, quick_gateway(pool, bus, name="b") as two:
        ids = []
        for round_ in range(4):
            async with peer(f"{(one, two)[round_ % 2].url}/CP1", react):
                for number in range(5):
                    data = {"vendorId": "acme", "data": f"{round_}-{number}"}
                    ids.append(await keep(pool, bus, device.id, "DataTransfer", data))
                async with peer(f"{(two, one)[round_ % 2].url}/CP1", react):
                    await asyncio.sleep(0.15)
        async with peer(f"{one.url}/CP1", react):
            done = [await ended(pool, command_id) for command_id in ids]
    assert len(heard) == len(set(heard)), "none was said twice"
    states = {each.payload["data"]: each.state for each in done}
    assert {data for data, state in states.items() if state == "accepted"} <= set(heard)
    assert set(states.values()) <= {"accepted", "failed"}
    assert list(states.values()).count("accepted") >= 10
    for each in done:
        assert each.state == "accepted" or (each.error or "").startswith("unknown outcome"), each


async def test_a_gateway_that_has_not_heard_of_a_newer_socket_sends_nothing(
    pool: Pool, bus: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus may be slow: what counts is the generation in the database."""

    async def hear_nothing(_self: Gateway, _message: Any) -> None:
        pass

    monkeypatch.setattr(Gateway, "_on_taken", hear_nothing)
    device = await add_charger(pool, "CP1")
    async with (
        quick_gateway(pool, bus, name="a") as one,
        quick_gateway(pool, bus, name="b") as two,
        peer(f"{one.url}/CP1") as older,
    ):
        await older.call("Heartbeat", {})
        async with peer(f"{two.url}/CP1") as newer:
            await newer.call("Heartbeat", {})
            assert len(one.gateway.links) == len(two.gateway.links) == 1
            ids = [
                await keep(pool, bus, device.id, "DataTransfer", {"vendorId": "acme", "data": str(number)})
                for number in range(20)
            ]
            assert {(await ended(pool, command_id)).state for command_id in ids} == {"accepted"}
            assert [payload["data"] for _, payload in newer.calls] == [str(number) for number in range(20)]
            assert older.calls == []


async def test_a_charger_that_boots_is_answered_before_it_is_asked(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    command_id = await keep(pool, bus, device.id, "ClearCache")
    async with (
        running_gateway(pool, bus, command_settle_s=5.0) as running,
        peer(f"{running.url}/CP1") as charger,
    ):
        await asyncio.sleep(0.3)
        assert charger.frames == []
        answered = asyncio.create_task(charger.call("BootNotification", BOOT))
        answered.add_done_callback(lambda _: charger.frames.append(["boot"]))
        assert (await ended(pool, command_id)).state == "accepted"
        assert [frame[0] for frame in charger.frames] == ["boot", 2]


async def test_an_answer_that_comes_while_the_database_is_away_is_kept(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    async with quick_gateway(pool, bus) as running, peer(f"{running.url}/CP1", lambda *_: None) as charger:
        command_id = await keep(pool, bus, device.id, "UnlockConnector", {"connectorId": 1})
        await charger.asked(1)
        async with pool.connection() as connection:
            await connection.execute("ALTER TABLE charger_commands RENAME TO gone")
        await charger.answer(charger.frames[0], {"status": "Unlocked"})
        await asyncio.sleep(0.2)
        assert (await charger.call("Heartbeat", {}))[0] == 3
        async with pool.connection() as connection:
            await connection.execute("ALTER TABLE gone RENAME TO charger_commands")
        assert (await ended(pool, command_id)).state == "accepted"


async def test_a_gateway_that_stops_awaits_the_answer_that_is_out(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    async with (
        quick_gateway(pool, bus, drain_s=5.0) as running,
        peer(f"{running.url}/CP1", lambda *_: None) as charger,
    ):
        command_id = await keep(pool, bus, device.id, "Reset", {"type": "Soft"})
        await charger.asked(1)
        running.stop.set()
        await asyncio.sleep(0.2)
        await charger.answer(charger.frames[0], {"status": "Accepted"})
        assert (await ended(pool, command_id)).state == "accepted"


AUTHORIZE: dict[str, dict[str, Any]] = {
    "ocpp1.6": {"idTag": "CARD"},
    "ocpp2.0.1": {"idToken": {"idToken": "CARD", "type": "Central"}},
}
START: dict[str, tuple[str, dict[str, Any]]] = {
    "ocpp1.6": ("RemoteStartTransaction", {"idTag": "CARD", "connectorId": 1}),
    "ocpp2.0.1": (
        "RequestStartTransaction",
        {"idToken": {"idToken": "CARD", "type": "Central"}, "remoteStartId": 1, "evseId": 1},
    ),
}


@pytest.mark.parametrize("subprotocol", sorted(START))
@pytest.mark.parametrize("is_durable", [True, False])
async def test_a_charger_asks_about_the_token_before_it_answers_the_start(
    pool: Pool, bus: Client, subprotocol: str, is_durable: bool
) -> None:
    """citrineos-core#178: refused there as "call already in progress", and charging never begins."""
    device = await add_charger(pool, "CP1")
    await add_driver(pool, "CARD")
    action, payload = START[subprotocol]
    async with (
        quick_gateway(pool, bus) as running,
        peer(f"{running.url}/CP1", lambda *_: None, subprotocols=[subprotocol]) as charger,
    ):
        await charger.call("Heartbeat", {})
        if is_durable:
            command_id = await keep(pool, bus, device.id, action, payload)
        else:
            starting = asyncio.create_task(call_charger(bus, device.id, action, payload, 5.0))
        await charger.asked(1)
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        answers = await asyncio.gather(*(charger.call("Authorize", AUTHORIZE[subprotocol]) for _ in range(5)))
        assert loop.time() - before_s < 2.0, "not held up by our own call"
        for answer in answers:
            assert answer[0] == 3, answer
            info = answer[2].get("idTagInfo") or answer[2]["idTokenInfo"]
            assert info["status"] == "Accepted"
        await charger.answer(charger.frames[0], {"status": "Accepted"})
        if is_durable:
            assert (await ended(pool, command_id)).state == "accepted"
        else:
            assert (await starting).payload == {"status": "Accepted"}


async def test_many_chargers_with_commands_come_back_at_once(pool: Pool, bus: Client) -> None:
    devices = [await add_charger(pool, f"CP{number}") for number in range(20)]
    ids = [await keep(pool, bus, device.id, "ClearCache") for device in devices]
    async with quick_gateway(pool, bus) as running, AsyncExitStack() as stack:
        for device in devices:
            await stack.enter_async_context(peer(f"{running.url}/{device.identity}"))
        done = [await ended(pool, command_id) for command_id in ids]
    assert {each.state for each in done} == {"accepted"}


@pytest.mark.parametrize(("vendor", "gap_s"), [("MENNEKES", 1.0), ("Acme", 0.0)])
async def test_a_make_that_needs_it_has_a_pause_between_calls(
    pool: Pool, bus: Client, vendor: str, gap_s: float
) -> None:
    device = await add_charger(pool, "CP1")
    boot = {"chargePointVendor": vendor, "chargePointModel": "M"}
    async with running_gateway(pool, bus) as running, peer(f"{running.url}/CP1") as charger:
        await charger.call("BootNotification", boot)
        times: list[float] = []

        def react(*_: Any) -> dict[str, Any]:
            times.append(asyncio.get_running_loop().time())
            return {"status": "Accepted"}

        charger.react = react
        outcomes = await asyncio.gather(
            *(call_charger(bus, device.id, "ClearCache", {}, 10) for _ in range(3))
        )
    assert [each.outcome for each in outcomes] == ["result"] * 3
    pauses = [after - before for before, after in pairwise(times)]
    assert all(pause >= gap_s - 0.01 for pause in pauses), pauses
    assert gap_s or max(pauses) < 0.9, pauses


async def test_a_start_whose_token_cannot_be_kept_does_not_go_out_yet(
    pool: Pool, bus: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await add_charger(pool, "CP1")
    note, failures = remote_starts.note, iter([True])

    async def away_once(*about: Any) -> None:
        if next(failures, False):
            raise psycopg.OperationalError("away")
        await note(*about)

    monkeypatch.setattr(remote_starts, "note", away_once)
    options: dict[str, Any] = {"subprotocols": ["ocpp2.0.1"]}
    async with quick_gateway(pool, bus) as running, peer(f"{running.url}/CP1", **options) as charger:
        await charger.call("Heartbeat", {})
        command_id = await keep(pool, bus, device.id, *START["ocpp2.0.1"])
        done = await ended(pool, command_id)
    assert (done.state, done.attempts, len(charger.frames)) == ("accepted", 1, 1)
