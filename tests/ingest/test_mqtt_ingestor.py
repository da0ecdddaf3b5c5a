"""The MQTT ingestor against a real nats-server (broker and log), a real database and foreign clients."""

import asyncio
import json
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aiomqtt
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from deploy.temporary import TemporaryNats as Nats
from ingest import seen
from ingest.mqtt import role
from ingest.mqtt.commands import RelayConfig
from ingest.mqtt.connection import BrokerConfig, BrokerConnection, Message
from ingest.mqtt.ingestor import IngestorConfig
from ingest.registry import Policy
from protocols.battery import topics
from protocols.battery.commands import Answer, decode_command, encode_answer
from protocols.battery.topics import Channel
from storage.database import Pool, open_pool
from storage.queries import batteries, devices
from stream.codecs.pool import CodecPool
from stream.frames import decode_frame
from stream.headers import FrameHeader
from stream.log import STREAM, LogConfig, ensure_log
from stream.reader import FetchLimits, LogReader

TELEMETRY = topics.build("BAT-1", Channel.TELEMETRY)
RELAY = RelayConfig(silence_s=60.0, resend_s=0.5)


def clock() -> int:
    return time.time_ns() // 1000


@pytest.fixture
async def config(nats: Nats, bus: Client) -> IngestorConfig:
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=64 << 20))
    return IngestorConfig(
        broker=BrokerConfig(nats.mqtt_url, "ingestor-test", reconnect_s_max=0.5),
        clock=clock,
        partitions=2,
        unknown_devices="register",
        drain_s=5.0,
    )


async def run(
    config: IngestorConfig, pool: Pool, bus: Client, stop: asyncio.Event, is_ready: asyncio.Event
) -> None:
    codecs = CodecPool(clock)  # starts no process before a payload needs one
    await role.run(config, relay=RELAY, pool=pool, bus=bus, codecs=codecs, stop=stop, ready=is_ready.set)


@asynccontextmanager
async def running(config: IngestorConfig, pool: Pool, bus: Client) -> AsyncIterator[asyncio.Task[None]]:
    """An ingestor that has subscribed, stopped in order at the end unless the test did so before."""
    stop, is_ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(run(config, pool, bus, stop, is_ready))
    await asyncio.wait(
        [task, asyncio.create_task(is_ready.wait())], return_when=asyncio.FIRST_COMPLETED, timeout=20
    )
    assert is_ready.is_set()
    yield task
    stop.set()
    if not task.cancelled():
        await asyncio.wait_for(task, 20)


async def kill(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


@asynccontextmanager
async def battery(nats: Nats) -> AsyncIterator[aiomqtt.Client]:
    address = urlsplit(nats.device_mqtt_url)
    assert address.hostname is not None
    assert address.port is not None
    client = aiomqtt.Client(address.hostname, address.port, identifier=f"battery-{secrets.token_hex(4)}")
    async with client:
        yield client


async def send(client: aiomqtt.Client, payload: object, topic: str = TELEMETRY) -> None:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    await client.publish(topic, data, qos=1)


@dataclass(slots=True)
class Logged:
    """What the log holds: rows of `battery_samples`, and the newest header of each producer."""

    rows: list[dict[str, Any]]
    events: list[dict[str, Any]]
    heads: Mapping[str, FrameHeader]

    @property
    def refused(self) -> Counter[str]:
        return sum((Counter(head.refused) for head in self.heads.values()), Counter())


async def logged(bus: Client, partitions: int = 2) -> Logged:
    found = Logged([], [], {})
    heads: dict[str, FrameHeader] = {}
    for partition in range(partitions):
        reader = LogReader(bus.jetstream(), partition)
        limits = FetchLimits(wait_s=0.2)
        await reader.open(0, limits)
        while entries := await reader.fetch(limits):
            for entry in entries:
                assert entry.header is not None
                heads[entry.header.producer] = entry.header
                frame = decode_frame(entry.data)
                columns = {
                    name: frame.batch.columns[name] for name in ("ts", "device_id", "reason")
                }  # fmt: skip
                rows = [
                    {name: int(data.values[i]) for name, data in columns.items()}
                    for i in range(frame.batch.rows)
                ]
                target = found.rows if frame.table.name == "battery_samples" else found.events
                target.extend(rows)
        await reader.close()
    found.heads = heads
    return found


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def until_logged(bus: Client, rows: int, seconds: float = 30) -> Logged:
    async def is_there() -> bool:
        return len((await logged(bus)).rows) >= rows

    await until(is_there, seconds)
    return await logged(bus)


async def test_every_message_is_in_the_log_once_and_acknowledged(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    async with running(config, pool, bus), battery(nats) as client:
        await asyncio.gather(
            *(
                send(client, {"ts": i, "soc_pct": 50}, topics.build(f"BAT-{i % 20}", Channel.TELEMETRY))
                for i in range(1, 501)
            )
        )
        await send(client, [{"ts": 1_000 + i, "voltage_v": 48, "current_a": 1} for i in range(200)])
        await until_logged(bus, 700)
    found = await logged(bus)
    assert sorted(row["ts"] for row in found.rows) == [
        ts * 1_000_000 for ts in [*range(1, 501), *range(1_000, 1_200)]
    ]
    assert len({row["device_id"] for row in found.rows}) == 20
    assert {row["reason"] for row in found.rows} == {0}
    assert sum(head.decoded for head in found.heads.values()) == 500 + 400
    # what was acknowledged does not come again
    async with running(config, pool, bus):
        await asyncio.sleep(5)
    assert len((await logged(bus)).rows) == 700


async def test_without_the_log_there_is_no_acknowledgement_and_the_message_comes_again(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    await bus.jetstream().delete_stream(STREAM)
    async with battery(nats) as client:
        async with running(config, pool, bus) as first:
            await send(client, {"ts": 7, "soc_pct": 50})
            await asyncio.sleep(5)  # longer than the broker's ack_wait: it has sent it a second time
            await kill(first)
        with pytest.raises(NotFoundError):
            await bus.jetstream().stream_info(STREAM)
        await ensure_log(bus.jetstream(), LogConfig(bytes_max=64 << 20))
        async with running(config, pool, bus):
            found = await until_logged(bus, 1)
    assert [row["ts"] for row in found.rows] == [7_000_000]


async def test_a_message_that_waits_for_the_log_is_stored_once_when_the_log_is_back(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    await bus.jetstream().delete_stream(STREAM)
    async with running(config, pool, bus), battery(nats) as client:
        await asyncio.gather(*(send(client, {"ts": i, "soc_pct": 50}) for i in range(50)))
        await asyncio.sleep(9)  # sent again twice meanwhile
        await ensure_log(bus.jetstream(), LogConfig(bytes_max=64 << 20))
        await until_logged(bus, 50)
    assert sorted(row["ts"] for row in (await logged(bus)).rows) == [i * 1_000_000 for i in range(50)]


async def test_messages_sent_while_no_ingestor_ran_are_kept_by_the_session(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    async with running(config, pool, bus):
        pass
    async with battery(nats) as client:
        for i in range(20):
            await send(client, {"ts": i, "soc_pct": 50})
    async with running(config, pool, bus):
        found = await until_logged(bus, 20)
    assert len(found.rows) == 20


async def test_an_ingestor_killed_in_the_middle_loses_nothing(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    sent = 0
    enough = asyncio.Event()

    async def feed(client: aiomqtt.Client) -> None:
        nonlocal sent
        while not enough.is_set():
            await send(client, {"ts": sent + 1, "soc_pct": 50})
            sent += 1

    async with running(config, pool, bus):
        pass  # from here on the broker keeps what no ingestor takes
    async with battery(nats) as client:
        feeder = asyncio.create_task(feed(client))
        for _ in range(3):
            async with running(config, pool, bus) as task:
                await asyncio.sleep(0.3)
                await kill(task)
        enough.set()
        await feeder
        assert sent > 20

        async def has_all() -> bool:
            return {row["ts"] // 1_000_000 for row in (await logged(bus)).rows} >= set(range(1, sent + 1))

        async with running(config, pool, bus):
            await until(has_all)


async def test_the_broker_going_away_and_coming_back_loses_nothing(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    async with running(config, pool, bus):
        async with battery(nats) as client:
            await send(client, {"ts": 1, "soc_pct": 50})
        await until_logged(bus, 1)
        nats.kill()
        await asyncio.sleep(1)
        nats.start()
        async with battery(nats) as client:
            await send(client, {"ts": 2, "soc_pct": 50})

            async def is_there() -> bool:
                return {row["ts"] for row in (await logged(bus)).rows} >= {1_000_000, 2_000_000}

            await until(is_there)


async def test_garbage_is_counted_and_its_neighbours_are_stored(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    garbage = [b"", b"\xff\x00", b"{", b"[]", b"{}", b'{"soc_pct":"x"}', b"\x80" * 4000]
    async with running(config, pool, bus), battery(nats) as client:
        for payload in garbage:
            await send(client, payload)
        await send(client, [{"ts": 1, "soc_pct": 1}, {"ts": 2, "soc_pct": "?"}, {"ts": 3}])
        await send(client, {"ts": 4, "soc_pct": 1}, f"gridwire/batteries/{'x' * 65}/telemetry")
        await send(client, b"{}", topics.build("BAT-1", Channel.ANSWER))
        await send(client, {"ts": 9, "soc_pct": 1})
        await until_logged(bus, 2)
    found = await logged(bus)
    assert sorted(row["ts"] for row in found.rows) == [1_000_000, 9_000_000]
    assert found.refused == {"malformed": 4, "empty": 3, "invalid": 3, "topic": 1}
    assert len(found.events) == 11
    received = sum(head.received for head in found.heads.values())
    assert received == sum(head.decoded for head in found.heads.values()) + 11 == 13


async def test_any_bytes_on_any_topic_are_stored_or_refused_and_the_process_lives_on(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    async with running(config, pool, bus) as task, battery(nats) as client:
        randomness = random.Random(7)
        collected = [randomness.randbytes(randomness.randrange(200)) for _ in range(200)]
        collected += [_mutated(randomness) for _ in range(400)]
        for payload in collected:
            channel = randomness.choice([Channel.TELEMETRY, Channel.ANSWER])
            await send(client, payload, topics.build("BAT-1", channel))
        await send(client, {"ts": 123_456, "soc_pct": 5})

        async def is_there() -> bool:
            return 123_456_000_000 in {row["ts"] for row in (await logged(bus)).rows}

        await until(is_there)
        assert not task.done()
    found = await logged(bus)
    received = sum(head.received for head in found.heads.values())
    decoded = sum(head.decoded for head in found.heads.values())
    assert received == decoded + found.refused.total()
    assert found.refused.total() >= 500


def _mutated(randomness: random.Random) -> bytes:
    """A good message with a few bytes changed, cut or doubled."""
    payload = bytearray(
        b'[{"ts":17,"soc_pct":81.5,"position":{"latitude_deg":1,"longitude_deg":2}},{"flags":[]}]'
    )
    for _ in range(randomness.randrange(1, 4)):
        at = randomness.randrange(len(payload))
        payload[at : at + randomness.randrange(3)] = randomness.randbytes(randomness.randrange(3))
    return bytes(payload)


async def test_when_a_battery_was_last_heard_of_is_noted(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "SEEN_INTERVAL_S", 0.1)

    async def is_noted() -> bool:
        async with pool.connection() as connection:
            device = await devices.find_device(connection, "battery", "BAT-1")
        return device is not None and device.last_seen_at is not None

    async with running(config, pool, bus), battery(nats) as client:
        await send(client, {"soc_pct": 5})
        await until(is_noted)


async def test_a_refused_array_counts_each_of_its_samples(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    async with running(config, pool, bus), battery(nats) as client:
        await send(client, [{"ts": i, "soc_pct": None} for i in range(300)])
        await send(client, {"ts": 1, "soc_pct": 5})
        await until_logged(bus, 1)
    assert (await logged(bus)).refused == {"empty": 300}


@pytest.mark.parametrize(
    ("policy", "reasons", "refused"),
    [
        ("register", [0], {}),
        ("quarantine", [1], {}),
        ("reject", [], {"unknown_device": 1}),
    ],
)
async def test_an_unknown_battery_meets_the_policy(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats, policy: Policy, reasons: list[int],
    refused: dict[str, int],
) -> None:  # fmt: skip
    async with running(replace(config, unknown_devices=policy), pool, bus), battery(nats) as client:
        await send(client, {"ts": 1, "soc_pct": 5})

        async def is_logged() -> bool:
            return bool((await logged(bus)).heads)

        await until(is_logged)
    found = await logged(bus)
    assert [row["reason"] for row in found.rows] == reasons
    assert found.refused == refused


async def test_an_archived_battery_is_shut_out(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    async with pool.connection() as connection:
        device = await devices.register_device(connection, "battery", "BAT-1")
        await devices.set_device_status(connection, device.id, "archived")
    async with running(config, pool, bus), battery(nats) as client:
        await send(client, {"ts": 1, "soc_pct": 5})

        async def is_logged() -> bool:
            return bool((await logged(bus)).heads)

        await until(is_logged)
    found = await logged(bus)
    assert found.rows == []
    assert found.refused == {"archived_device": 1}


async def test_a_small_window_holds_the_broker_back_and_loses_nothing(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    async with running(replace(config, window=4), pool, bus), battery(nats) as client:
        await asyncio.gather(*(send(client, {"ts": i, "soc_pct": 5}) for i in range(300)))
        await until_logged(bus, 300)
    assert len((await logged(bus)).rows) == 300


async def test_messages_wait_for_a_database_that_is_away(
    config: IngestorConfig, database_url: str, bus: Client, nats: Nats
) -> None:
    pool = open_pool(database_url, size_max=2)  # not open yet: as good as no database
    async with running(config, pool, bus), battery(nats) as client:
        await send(client, {"ts": 1, "soc_pct": 5})
        await asyncio.sleep(1)
        assert (await logged(bus)).rows == []
        await pool.open()
        await until_logged(bus, 1)
    await pool.close()


async def test_an_acknowledgement_never_goes_to_a_connection_that_did_not_bring_the_message(
    nats: Nats,
) -> None:
    received: asyncio.Queue[Message] = asyncio.Queue()
    stop, is_ready = asyncio.Event(), asyncio.Event()
    config = BrokerConfig(nats.mqtt_url, "stale-test", reconnect_s_max=0.5)
    connection = BrokerConnection(config, ["gridwire/batteries/+/telemetry"], received.put_nowait, clock)
    task = asyncio.create_task(connection.run(stop, is_ready.set))
    await asyncio.wait_for(is_ready.wait(), 10)
    async with battery(nats) as client:
        await send(client, {"ts": 1, "soc_pct": 5})
    before = await asyncio.wait_for(received.get(), 5)
    nats.kill()
    nats.start()
    after = await asyncio.wait_for(received.get(), 20)
    assert (after.payload, after.generation) == (before.payload, before.generation + 1)
    assert not connection.acknowledge(before)
    assert connection.acknowledge(after)
    stop.set()
    await asyncio.wait_for(task, 5)


async def test_an_ingestor_waits_for_a_broker_that_is_not_there_yet(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    nats.kill()
    stop, is_ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(run(config, pool, bus, stop, is_ready))
    await asyncio.sleep(0.5)
    assert not is_ready.is_set()
    assert not task.done()
    nats.start()
    await asyncio.wait_for(is_ready.wait(), 20)
    stop.set()
    await asyncio.wait_for(task, 20)


async def test_it_stops_while_the_broker_is_away(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    async with running(config, pool, bus):
        nats.kill()
        await asyncio.sleep(0.5)


@pytest.mark.parametrize("url", ["http://localhost", "mqtt://", "localhost:1883"])
async def test_a_wrong_broker_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="MQTT URL"):
        BrokerConnection(BrokerConfig(url, "x"), [], lambda message: None, clock)


# -- commands ----------------------------------------------------------------------------------------


async def a_command(pool: Pool, serial: str, action: str = "deactivate") -> UUID:
    command_id = uuid4()
    async with pool.connection() as connection:
        await devices.register_device(connection, "battery", serial)
        found = await batteries.find_battery(connection, serial)
        assert found is not None
        await batteries.insert_command(connection, command_id, found.id, action, None)
    return command_id


async def request(bus: Client, command_id: UUID, serial: str, action: str = "deactivate") -> dict[str, Any]:
    body = json.dumps({"command_id": str(command_id), "identity": serial, "action": action}).encode()
    reply = await bus.request("gridwire.battery.command", body, timeout=5)
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


async def state(pool: Pool, command_id: UUID) -> tuple[str, str]:
    async with pool.connection() as connection:
        command = await batteries.get_command(connection, command_id)
        assert command is not None
        found = await batteries.find_battery(connection, command.serial_number)
    assert found is not None
    return command.state, found.status


async def obey(client: aiomqtt.Client, serial: str, answer: Answer | None = None) -> None:
    """Await one command and answer it."""
    message = await asyncio.wait_for(anext(aiter(client.messages)), 20)
    assert isinstance(message.payload, bytes)
    command = decode_command(message.payload)
    said = answer or Answer(command.command_id, "done", "inactive")
    await client.publish(topics.build(serial, Channel.ANSWER), encode_answer(said), qos=1)


async def test_a_command_goes_out_and_its_answer_comes_back(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    command_id = await a_command(pool, "BAT-9")
    async with running(config, pool, bus), battery(nats) as client:
        await client.subscribe(topics.build("BAT-9", Channel.COMMAND), qos=1)
        answers = await bus.subscribe(f"gridwire.battery.answer.{command_id}")
        assert await request(bus, command_id, "BAT-9") == {"outcome": "sent"}
        await obey(client, "BAT-9")
        answer = await answers.next_msg(10)
        assert json.loads(answer.data) == {"outcome": "confirmed"}
    assert await state(pool, command_id) == ("confirmed", "inactive")


@pytest.mark.parametrize(
    ("outcome", "said", "detail"),
    [
        ("refused", "active", "vehicle in motion"),
        ("done", "active", "the battery says done, but that it is active"),
    ],
)
async def test_a_battery_may_refuse(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats, outcome: Any, said: Any, detail: str
) -> None:
    command_id = await a_command(pool, "BAT-9")
    async with running(config, pool, bus), battery(nats) as client:
        await client.subscribe(topics.build("BAT-9", Channel.COMMAND), qos=1)
        answers = await bus.subscribe(f"gridwire.battery.answer.{command_id}")
        await request(bus, command_id, "BAT-9")
        await obey(client, "BAT-9", Answer(command_id, outcome, said, "vehicle in motion"))
        answer = await answers.next_msg(10)
        assert json.loads(answer.data) == {"outcome": "refused", "detail": detail}
    assert await state(pool, command_id) == ("refused", "active")


async def test_a_battery_that_was_offline_gets_the_command_when_it_is_heard_of(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    async with running(config, pool, bus):
        command_id = await a_command(pool, "BAT-9")
        assert await request(bus, command_id, "BAT-9") == {"outcome": "sent"}  # nobody listens
        await asyncio.sleep(0.6)
        async with battery(nats) as client:
            await client.subscribe(topics.build("BAT-9", Channel.COMMAND), qos=1)
            await send(client, {"ts": 1, "soc_pct": 5}, topics.build("BAT-9", Channel.TELEMETRY))
            await obey(client, "BAT-9")

            async def is_confirmed() -> bool:
                return await state(pool, command_id) == ("confirmed", "inactive")

            await until(is_confirmed)


async def test_a_battery_cannot_answer_for_another(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    command_id = await a_command(pool, "BAT-9")
    async with running(config, pool, bus), battery(nats) as client:
        forged = encode_answer(Answer(command_id, "done", "inactive"))
        await client.publish(topics.build("BAT-8", Channel.ANSWER), forged, qos=1)

        async def is_refused() -> bool:
            return (await logged(bus)).refused == {"unknown_command": 1}

        await until(is_refused)
    assert await state(pool, command_id) == ("pending", "active")


async def test_a_request_that_cannot_be_sent_says_so(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    async with running(config, pool, bus):
        assert (await request(bus, uuid4(), "no such serial"))["outcome"] == "invalid"
        assert (await request(bus, uuid4(), "BAT-1", "explode"))["outcome"] == "invalid"
