import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import aiomqtt

from deploy.temporary import TemporaryNats as Nats
from protocols.battery import frames, topics
from protocols.battery.commands import Answer, Command, decode_answer, encode_command
from protocols.battery.telemetry import decode
from protocols.battery.topics import Channel
from protocols.samples import DecodeError
from simulators.battery import Battery, BatterySettings, RawFrames
from simulators.battery_client import BatteryClient
from simulators.faults import Faults
from simulators.mqtt_link import BrokerConfig
from simulators.records import BatteryRow
from tests.simulators.central import until
from tests.simulators.test_charger_client import Recorded, clock


class Platform:
    """Everything that batteries say, as a subscriber hears it."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.times: dict[str, list[int]] = {}
        self.answers: list[Answer] = []
        self.refused = 0

    async def listen(self) -> None:
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            serial, channel = topics.parse(str(message.topic))
            if channel is Channel.ANSWER:
                self.answers.append(decode_answer(message.payload))
                continue
            try:
                rows = decode(message.payload, 0).rows
            except DecodeError:
                rows = None
            if rows is None:
                self.refused += 1
            else:
                self.times.setdefault(serial, []).extend(rows.columns["ts"])  # type: ignore[arg-type]

    async def command(self, serial: str, number: int, action: str) -> None:
        order = Command(UUID(int=number), action, datetime.now(UTC))  # type: ignore[arg-type]
        await self.client.publish(topics.build(serial, Channel.COMMAND), encode_command(order), qos=1)


def subscriber(nats: Nats) -> aiomqtt.Client:
    """A client that may hear everything."""
    host, port = nats.device_mqtt_url.removeprefix("mqtt://").split(":")
    owner, password = nats.mqtt_url.removeprefix("mqtt://").split("@")[0].split(":")
    return aiomqtt.Client(host, int(port), username=owner, password=password)


@asynccontextmanager
async def platform(nats: Nats) -> AsyncIterator[Platform]:
    async with subscriber(nats) as client:
        for channel in (Channel.TELEMETRY, Channel.ANSWER):
            await client.subscribe(topics.subscription(channel), qos=1)
        one = Platform(client)
        listening = asyncio.create_task(one.listen())
        yield one
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@asynccontextmanager
async def running(
    nats: Nats, recorded: Recorded, count: int = 1, faults: Faults | None = None
) -> AsyncIterator[BatteryClient]:
    batteries = [
        Battery(
            BatterySettings(f"BAT-{number}", interval_s=0.05, faults=faults or Faults()),
            random.Random(number),
            clock(),
        )
        for number in range(count)
    ]
    broker = BrokerConfig(nats.device_mqtt_url, retry_s=0.1, retry_s_max=0.5, ack_timeout_s=5, finish_s=8)
    client = BatteryClient(batteries, broker, recorded.record, clock, random.Random(9))
    task = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        client.finish()
        await asyncio.wait_for(task, 15)


def recorded_times(recorded: Recorded, serial: str) -> list[int]:
    return [row.ts_us for row in recorded.of(BatteryRow) if row.serial == serial]


async def test_what_the_broker_acknowledged_is_recorded_and_arrives(nats: Nats) -> None:
    recorded = Recorded()
    async with platform(nats) as one:
        async with running(nats, recorded):
            await until(lambda: len(recorded.of(BatteryRow)) >= 20)
        await until(lambda: len(one.times["BAT-0"]) >= len(recorded.of(BatteryRow)))
    assert one.times["BAT-0"] == recorded_times(recorded, "BAT-0")


async def test_batteries_may_share_a_connection(nats: Nats) -> None:
    recorded = Recorded()
    async with platform(nats) as one:
        async with running(nats, recorded, count=12):
            await until(lambda: len(recorded.of(BatteryRow)) >= 120)
            await one.command("BAT-7", 1, "deactivate")
            await until(lambda: bool(one.answers))
        await until(lambda: sum(map(len, one.times.values())) >= len(recorded.of(BatteryRow)))
    assert len(one.times) == 12
    assert [answer.state for answer in one.answers] == ["inactive"]


async def test_commands_are_obeyed_and_answered(nats: Nats) -> None:
    recorded = Recorded()
    async with platform(nats) as one, running(nats, recorded) as client:
        await until(lambda: client.is_connected)
        await one.command("BAT-0", 1, "deactivate")
        await until(lambda: len(one.answers) == 1)
        assert client.batteries["BAT-0"].state == "inactive"
        await one.command("BAT-0", 2, "activate")
        await until(lambda: len(one.answers) == 2)
    assert [(a.command_id.int, a.outcome, a.state) for a in one.answers] == [
        (1, "done", "inactive"),
        (2, "done", "active"),
    ]


async def test_a_killed_broker_costs_no_sample(nats: Nats) -> None:
    recorded = Recorded()
    async with running(nats, recorded) as client:
        await until(lambda: len(recorded.of(BatteryRow)) >= 5)
        nats.kill()
        await until(lambda: not client.is_connected)
        before = len(recorded.of(BatteryRow))
        await asyncio.sleep(1.0)
        nats.start()
        await until(lambda: len(recorded.of(BatteryRow)) >= before + 30)
    times = recorded_times(recorded, "BAT-0")
    assert times == sorted(set(times))
    gaps = {round((after - before) / 10_000) for before, after in pairwise(times)}
    assert gaps == {5}, "a sample each 50 ms, whether the broker was there or not"
    assert {row.payload_kind for row in recorded.of(BatteryRow)} == {"single", "array"}


async def test_rough_links_repeat_and_lose_nothing(nats: Nats) -> None:
    recorded = Recorded()
    faults = Faults(
        disconnect=0.05, duplicate=0.2, rubbish=0.1, truncated=0.1, out_of_range=0.05, clock_1970=0.05
    )
    async with platform(nats) as one:
        async with running(nats, recorded, faults=faults):
            await until(lambda: len(recorded.of(BatteryRow)) >= 150, timeout_s=60)
        wanted = set(recorded_times(recorded, "BAT-0"))
        await until(lambda: wanted <= set(one.times["BAT-0"]))
    heard = one.times["BAT-0"]
    assert len(heard) > len(set(heard))
    assert one.refused > 0
    assert len(wanted) == len(recorded_times(recorded, "BAT-0")), "acknowledged once each"


async def test_finishing_without_a_broker_is_bounded(nats: Nats) -> None:
    nats.kill()
    recorded = Recorded()
    started_s = time.monotonic()
    async with running(nats, recorded):
        await asyncio.sleep(0.2)
    assert time.monotonic() - started_s < 10
    assert not recorded.of(BatteryRow)
    nats.start()


async def test_a_battery_with_raw_frames_sends_them_binary_or_as_hex(nats: Nats) -> None:
    recorded = Recorded()
    raws = [RawFrames("jbd"), RawFrames("jk", is_hex=True, names_protocol=False)]
    packs = [
        Battery(BatterySettings(f"R-{number}", 0.1, raw=raw), random.Random(number), clock())
        for number, raw in enumerate(raws)
    ]
    broker = BrokerConfig(nats.device_mqtt_url, retry_s=0.1, retry_s_max=0.5, ack_timeout_s=5, finish_s=8)
    one = BatteryClient(packs, broker, recorded.record, clock, random.Random(1))
    heard: set[tuple[str, tuple[str, ...]]] = set()
    async with asyncio.timeout(30), subscriber(nats) as client:
        await client.subscribe(topics.subscription(Channel.RAW), qos=1)
        running = asyncio.create_task(one.run())
        async for message in client.messages:
            topic = str(message.topic)
            answer = frames.decode(message.payload, topics.raw_protocol(topic), received_at_us=1)
            heard.add((topic.rpartition("R-")[2], answer.protocols))
            if len(heard) == 2:
                break
        one.finish()
        await running
    assert heard == {("0/raw/jbd", ("jbd",)), ("1/raw", ("jk",))}
    assert recorded.total("battery_frames") >= 2
