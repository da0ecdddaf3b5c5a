"""Every frame, both ways, from the socket to the table, without slowing the socket."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from deploy.temporary import TemporaryNats
from protocols.ocpp.surface import Version
from storage.copy import encode
from storage.database import Pool
from storage.hypertables import OCPP_MESSAGES
from storage.queries.messages import Direction
from stream.bus import call_charger
from stream.frames import decode_frame, encode_frame
from stream.log import STREAM
from stream.message_log import FRAME_BYTES_MAX, Channel, MessageLog, MessageLogLimits, Pending, batch_of
from stream.metrics import OCPP_UNLOGGED
from stream.writer import WriterConfig
from tests.ingest.ocpp_gateway import (
    PARTITIONS,
    RawCharger,
    add_charger,
    counted,
    eventually,
    log_rows,
    now_us,
    raw_charger,
    running_gateway,
)
from tests.stream.helpers import open_log, publisher, read_laws, running_writer

METERS = {
    "connectorId": 1,
    "meterValue": [{"timestamp": "2026-01-02T03:05:05Z", "sampledValue": [{"value": "1.5"}]}],
}
FAST = MessageLogLimits(linger_s=0.01)
NEVER = MessageLogLimits(linger_s=600.0)
SELECT = """
SELECT direction, type, action, message_id, frame FROM ocpp_messages ORDER BY ts, generation
"""


async def stored(pool: Pool) -> list[tuple[Any, ...]]:
    async with pool.connection() as connection:
        return await (await connection.execute(SELECT)).fetchall()


async def answer_one(charger: RawCharger, payload: dict[str, Any]) -> None:
    """Answer one call of ours."""
    _, message_id, _, _ = await charger.receive()
    await charger.send([3, message_id, payload])


async def test_frames_of_both_directions_are_in_the_table(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    async with (
        running_gateway(pool, bus, message_log_limits=FAST) as running,
        raw_charger(f"{running.url}/CP1") as charger,
    ):
        await charger.send('[2, "h1", "Heartbeat", {}]')
        await charger.receive()
        await charger.call("NoSuchAction", {})
        await charger.send("{nonsense")
        await charger.receive()
        await charger.send("")
        answering = asyncio.create_task(answer_one(charger, {"status": "Accepted"}))
        await call_charger(bus, device.id, "ClearCache", {}, timeout_s=5)
        await answering
        await charger.call("MeterValues", METERS)
    writer = WriterConfig(clock=now_us, partitions=tuple(range(PARTITIONS)))
    async with running_writer(pool, bus, writer):

        async def is_stored() -> bool:
            return len(await stored(pool)) == 10

        await eventually(is_stored)
    rows = await stored(pool)
    assert [row[:3] for row in rows] == [
        (1, 2, "Heartbeat"),
        (2, 3, "Heartbeat"),
        (1, 2, "NoSuchAction"),
        (2, 4, "NoSuchAction"),
        (1, 0, None),
        (2, 4, None),
        (2, 2, "ClearCache"),
        (1, 3, "ClearCache"),
        (1, 2, "MeterValues"),
        (2, 3, "MeterValues"),
    ]
    assert rows[0][3:] == ("h1", '[2, "h1", "Heartbeat", {}]')
    assert rows[4][4] == "{nonsense"
    assert json.loads(rows[5][4])[:2] == [4, "-1"]
    laws = await read_laws(pool, bus)
    assert laws.hold()
    assert (laws.stored, laws.refused) == (1, 1)  # frames are no samples


async def test_what_a_row_says_of_its_socket(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    options = {"subprotocols": ["ocpp2.0.1"]}
    async with running_gateway(pool, bus) as running:
        for _ in range(2):
            async with raw_charger(f"{running.url}/CP1", **options) as charger:
                await charger.call("Heartbeat", {})
    rows = await log_rows(bus, "ocpp_messages")
    assert rows["device_id"] == [device.id] * 4
    assert rows["version"] == [201] * 4
    assert rows["generation"] == [1, 1, 2, 2]
    assert rows["ts"] == rows["received_at"]
    assert rows["ts"] == sorted(set(rows["ts"]))


async def test_a_charger_in_quarantine_is_logged_where_one_looks_for_it(pool: Pool, bus: Client) -> None:
    async with (
        running_gateway(pool, bus, unknown_devices="quarantine") as running,
        raw_charger(f"{running.url}/NEW") as charger,
    ):
        await charger.call("Heartbeat", {})
    assert (await log_rows(bus, "ocpp_messages"))["reason"] == [0, 0]


async def test_passwords_are_not_kept(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    change = {"key": "AuthorizationKey", "value": "0123456789abcdef0123"}
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        await charger.call("Heartbeat", {})  # calls come to it from here on
        answering = asyncio.create_task(answer_one(charger, {"status": "Accepted"}))
        await call_charger(bus, device.id, "ChangeConfiguration", change, timeout_s=5)
        await answering
    frames = (await log_rows(bus, "ocpp_messages"))["frame"]
    assert json.loads(frames[2])[3] == {"key": "AuthorizationKey", "value": "***"}


async def test_long_frames_are_cut_and_odd_bytes_made_text(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    long = '[2,"l","DataTransfer",{"vendorId":"%s"}]' % ("é" * 20_000)
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        for frame in (long, b"\xff\x00\xfe", '[2,"n","Heartbeat",{"a":"\\u0000"}]'):
            await charger.send(frame)
            await charger.receive()
    rows = await log_rows(bus, "ocpp_messages")
    came = [i for i, direction in enumerate(rows["direction"]) if direction == Direction.FROM_CHARGER]
    texts = [rows["frame"][i].decode() for i in came]
    cut = [rows["cut_bytes"][i] for i in came]
    assert long.startswith(texts[0])
    assert FRAME_BYTES_MAX - 1 <= len(texts[0].encode()) <= FRAME_BYTES_MAX
    assert cut == [len(long.encode()) - len(texts[0].encode()), 0, 0]
    assert texts[1] == "\ufffd" * 3
    assert texts[2] == '[2,"n","Heartbeat",{"a":"\\u0000"}]'


async def test_many_frames_are_one_message_of_the_log(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with (
        running_gateway(pool, bus, message_log_limits=NEVER) as running,
        raw_charger(f"{running.url}/CP1") as charger,
    ):
        for _ in range(100):
            await charger.call("Heartbeat", {})
    assert await _batch_sizes(bus) == [200]


async def test_a_full_batch_goes_at_once_and_what_is_left_waits_for_more(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    limits = MessageLogLimits(linger_s=600.0, batch_frames=10)
    async with (
        running_gateway(pool, bus, message_log_limits=limits) as running,
        raw_charger(f"{running.url}/CP1") as charger,
    ):
        for _ in range(12):
            await charger.call("Heartbeat", {})

        async def are_there() -> bool:
            return len((await log_rows(bus, "ocpp_messages")).get("frame", [])) == 20

        await eventually(are_there)
        assert await _batch_sizes(bus) == [10, 10]
    assert await _batch_sizes(bus) == [10, 10, 4]


async def _batch_sizes(bus: Client) -> list[int]:
    messages = [await bus.jetstream().get_msg(STREAM, seq) for seq in await _sequences(bus)]
    frames = [decode_frame(message.data or b"") for message in messages]
    return [frame.batch.rows for frame in frames if frame.table is OCPP_MESSAGES]


async def _sequences(bus: Client) -> range:
    return range(1, (await bus.jetstream().stream_info(STREAM)).state.last_seq + 1)


async def test_without_room_frames_are_dropped_and_counted_but_never_telemetry(
    pool: Pool, bus: Client
) -> None:
    await add_charger(pool, "CP1")
    before = OCPP_UNLOGGED._value.get()
    limits = MessageLogLimits(linger_s=600.0, pending_frames=3)
    async with (
        running_gateway(pool, bus, message_log_limits=limits) as running,
        raw_charger(f"{running.url}/CP1") as charger,
    ):
        for _ in range(10):
            assert await charger.call("MeterValues", METERS) == {}
        assert await counted(bus) == (10, 0)
    assert len((await log_rows(bus, "ocpp_messages"))["frame"]) == 3
    assert OCPP_UNLOGGED._value.get() - before == 17


async def test_a_frame_larger_than_all_room_is_dropped(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    limits = MessageLogLimits(linger_s=600.0, pending_bytes=100)
    async with (
        running_gateway(pool, bus, message_log_limits=limits) as running,
        raw_charger(f"{running.url}/CP1") as charger,
    ):
        await charger.call("Heartbeat", {})
        await charger.call("DataTransfer", {"vendorId": "v" * 90})
    assert len((await log_rows(bus, "ocpp_messages"))["frame"]) == 2


async def test_a_log_that_is_away_holds_no_answer_back(pool: Pool, bus: Client, nats: TemporaryNats) -> None:
    await add_charger(pool, "CP1")
    async with (
        running_gateway(pool, bus, message_log_limits=FAST) as running,
        raw_charger(f"{running.url}/CP1") as charger,
    ):
        await charger.call("Heartbeat", {})
        nats.stop()
        for _ in range(20):
            assert "currentTime" in await charger.call("Heartbeat", {})
        nats.start()
        while not bus.is_connected:
            await asyncio.sleep(0.02)

        async def is_there() -> bool:
            return len((await log_rows(bus, "ocpp_messages")).get("frame", [])) == 42

        await eventually(is_there)


async def test_it_can_be_switched_off(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with (
        running_gateway(pool, bus, message_log=False) as running,
        raw_charger(f"{running.url}/CP1") as charger,
    ):
        await charger.call("Heartbeat", {})
    assert await log_rows(bus, "ocpp_messages") == {}


async def test_a_writer_that_is_cut_off_stores_each_frame_once(pool: Pool, bus: Client) -> None:
    """The table has no key that would tell a repeated row: the numbers of the log's frames do."""
    await open_log(bus)
    log = MessageLog(publisher(bus, "frames"), 1, MessageLogLimits(linger_s=0.001, batch_frames=7))
    channel = Channel(5, Version.V16, 1)

    async def count() -> int:
        return len(await stored(pool))

    for life in range(1, 6):
        async with running_writer(pool, bus) as writer:
            for number in range(100):
                log.add(channel, 1, now_us(), b'[2,"%d-%d","Heartbeat",{}]' % (life, number))
                await asyncio.sleep(0.001)
            writer.cancel()
    await log.close()
    async with running_writer(pool, bus):
        async with asyncio.timeout(20):
            while await count() < 500:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
    rows = await stored(pool)
    assert [row[3] for row in rows] == [f"{life}-{number}" for life in range(1, 6) for number in range(100)]
    assert (await read_laws(pool, bus)).hold()


pieces = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b'[2,"a","Heartbeat",{}]', b'[3,"a",{}]', b'[6,"b","X",{}]', b'{"password":"x"}', b"\\"]
    ),
    st.text(max_size=20).map(lambda text: json.dumps([2, text, text, {"password": text}]).encode()),
)


@given(st.lists(st.tuples(st.sampled_from([1, 2]), pieces), min_size=1, max_size=20))
def test_any_bytes_become_rows_that_can_be_stored(frames: list[tuple[int, bytes]]) -> None:
    channel = Channel(5, Version.V16, 1)
    pending: list[Pending] = [(channel, channel.moment_us(7), way, data) for way, data in frames]
    batch = batch_of(pending)
    assert batch.rows == len(frames)
    assert decode_frame(encode_frame(OCPP_MESSAGES, batch)).batch.rows == len(frames)
    encode(OCPP_MESSAGES, batch)
    assert batch.integers("ts").tolist() == [7 + i for i in range(len(frames))]
    for name in ("action", "message_id", "frame"):
        text = batch.columns[name].values.tobytes().decode()
        assert "\0" not in text


def test_what_was_never_answered_is_forgotten() -> None:
    channel = Channel(5, Version.V16)
    for number in range(1000):
        channel.action_of(1, 2, b"%d" % number, b"Heartbeat")
    assert channel.action_of(2, 3, b"0", None) is None
    assert channel.action_of(2, 3, b"999", None) == b"Heartbeat"
    assert channel.action_of(2, 3, b"999", None) is None


@pytest.mark.parametrize("kind", [3, 4])
def test_an_answer_is_never_matched_with_a_request_of_its_own_direction(kind: int) -> None:
    channel = Channel(5, Version.V16)
    channel.action_of(1, 2, b"1", b"Heartbeat")
    channel.action_of(2, 2, b"1", b"Reset")
    assert channel.action_of(1, kind, b"1", None) == b"Reset"
    assert channel.action_of(2, kind, b"1", None) == b"Heartbeat"
