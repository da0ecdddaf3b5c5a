import asyncio
import random

import pytest
from nats.aio.client import Client

from deploy.temporary import TemporaryNats as Nats
from protocols.samples import DecodeError, Reason, Rows
from storage.database import Pool
from storage.hypertables import DEVICE_EVENTS
from storage.queries.totals import advance_position
from stream import store
from stream.batcher import Batcher, Checked, Limits, check_rows
from stream.checks import DAY_US
from stream.frames import encode_frame
from stream.headers import FrameHeader
from stream.log import STREAM, SUBJECT, log_heads
from stream.prepare import Prepared, PrepareLimits, Preparer, Stored
from stream.reader import Entry, FetchLimits
from stream.store import commit
from stream.writer import WriterConfig
from tests.stream.helpers import (
    SAMPLES_OF_ROW,
    battery_rows,
    drained,
    now_us,
    open_log,
    publisher,
    read_laws,
    running_writer,
    scalar,
)

COUNT = "SELECT count(*) FROM battery_samples"
SMALL = FetchLimits(frames=3, rows=50, bytes=1 << 20, wait_s=0.05)


def times_from(start_us: int, count: int) -> list[int]:
    return [start_us - i * 1_000_000 for i in range(count)]


async def test_rows_reach_their_table(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus, partitions=2)
    async with running_writer(pool, bus, WriterConfig(now_us, partitions=(0, 1))):
        for device in (1, 2, 3):
            await source.publish(battery_rows(times_from(ts, 5)), device_id=device, received_at_us=ts)
        laws = await drained(pool, bus, 15 * SAMPLES_OF_ROW)
    assert laws.hold()
    assert laws.stored == 15 * SAMPLES_OF_ROW
    assert await scalar(pool, COUNT) == 15
    assert await scalar(pool, "SELECT temperatures_c FROM battery_samples LIMIT 1") == [20.0, 21.5]
    assert await scalar(pool, "SELECT count(*) FROM battery_samples WHERE cycles IS NULL") == 15
    await source.close()


async def test_exactly_once_over_writers_cancelled_at_any_point(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    rng = random.Random(5)
    ts = now_us()
    source = publisher(bus, partitions=2)
    config = WriterConfig(now_us, partitions=(0, 1), fetch=SMALL, purge_every_s=0.05)

    async def produce() -> None:
        for i in range(150):
            rows = battery_rows(times_from(ts - i * 60_000_000, 7))
            await source.publish(rows, device_id=1 + i % 9, received_at_us=ts)

    producing = asyncio.create_task(produce())
    for _ in range(15):
        async with running_writer(pool, bus, config) as task:
            await asyncio.sleep(rng.uniform(0, 0.12))
            task.cancel()
        assert (await read_laws(pool, bus)).hold()
    await producing
    async with running_writer(pool, bus, config):
        laws = await drained(pool, bus, 150 * 7 * SAMPLES_OF_ROW)
    assert laws.hold()
    assert laws.duplicate == 0
    assert await scalar(pool, COUNT) == 150 * 7
    await source.close()


async def test_a_lost_database_connection_is_resumed(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    async with running_writer(pool, bus, WriterConfig(now_us, fetch=SMALL, backoff_s_min=0.01)):
        for i in range(20):
            await source.publish(
                battery_rows(times_from(ts - i * 60_000_000, 7)), device_id=1, received_at_us=ts
            )
            if i % 5 == 0:
                await scalar(
                    pool,
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()",
                )
        laws = await drained(pool, bus, 20 * 7 * SAMPLES_OF_ROW)
    assert laws.hold()
    assert await scalar(pool, COUNT) == 140
    await source.close()


async def test_two_transactions_with_the_same_rows_in_another_order_store_each_once(
    pool: Pool, bus: Client
) -> None:
    """They lock each other out, the database ends one, and the writer goes on with one at a time."""
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    times, devices = times_from(ts, 1200), range(1, 41)
    # a row's shape comes before its key in the COPY: the second half of the devices changes its shape
    for i in range(4):
        for device in devices:
            rows = battery_rows(times)
            if (device > 20) == (i % 2 == 0):
                rows = Rows(
                    rows.table, {**rows.columns, "cycles": [7] * 1200}, 1200, 1200 * (SAMPLES_OF_ROW + 1)
                )
            await source.publish(rows, device_id=device, received_at_us=ts)
    fetch = FetchLimits(frames=len(devices), wait_s=0.05)
    async with running_writer(pool, bus, WriterConfig(now_us, fetch=fetch, backoff_s_min=0.01)):
        laws = await drained(pool, bus, 4 * 40 * 1200 * SAMPLES_OF_ROW)
    assert laws.hold()
    assert await scalar(pool, COUNT) == 40 * 1200
    assert laws.stored + laws.duplicate == laws.decoded
    await source.close()


def one_row(ts: int, seq: int) -> Prepared:
    """The transaction of one frame with one row of device 1."""
    batcher = Batcher(1, Limits())
    rows = check_rows(battery_rows([ts]))
    batcher.add(rows, device_id=1, received_at_us=ts, reason=Reason.OK, now_us=ts)
    taken = batcher.take(0)
    assert taken is not None
    header = FrameHeader(
        "x-0", seq, "mqtt", "battery_samples", SAMPLES_OF_ROW * seq, SAMPLES_OF_ROW * seq, {}
    )
    entry = Entry(seq, header, encode_frame(taken.table, taken.batch), ts, 0)
    before = {"x-0": Stored(seq - 1, SAMPLES_OF_ROW * (seq - 1))}
    return Preparer(before, PrepareLimits()).prepare([entry], ts)


async def test_a_transaction_that_waits_for_the_next_one_does_not_wait_for_ever(
    pool: Pool, bus: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one behind has stored a row that the one in front needs, and must commit after it."""
    monkeypatch.setattr(store, "BEFORE_S_MAX", 0.3)
    ts = now_us()
    async with pool.connection() as first, pool.connection() as second:
        chunks: store.Chunks = set()
        await commit(first, 0, 0, one_row(ts - 1_000_000, 1), chunks)

        async def in_front() -> None:
            await asyncio.sleep(0.1)  # the other has stored its row by then
            await commit(first, 0, 1, one_row(ts, 2), chunks)

        front = asyncio.create_task(in_front())
        with pytest.raises(TimeoutError, match="in front"):
            await commit(second, 0, 2, one_row(ts, 3), chunks, front)
        await front
    assert await scalar(pool, COUNT) == 2
    assert await scalar(pool, "SELECT position FROM log_positions") == 2


async def test_a_killed_log_is_read_on(pool: Pool, bus: Client, nats: Nats) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus, ack_timeout_s=0.5)
    config = WriterConfig(now_us, fetch=SMALL, backoff_s_min=0.01)
    async with running_writer(pool, bus, config):
        await source.publish(battery_rows(times_from(ts, 3)), device_id=1, received_at_us=ts)
        nats.kill()
        late = asyncio.create_task(
            source.publish(battery_rows(times_from(ts - DAY_US, 3)), device_id=1, received_at_us=ts)
        )
        await asyncio.sleep(0.3)
        assert not late.done()
        await asyncio.to_thread(nats.start)
        await late
        laws = await drained(pool, bus, 6 * SAMPLES_OF_ROW)
    assert laws.hold()
    assert await scalar(pool, COUNT) == 6
    await source.close()


async def test_a_frame_published_twice_counts_once(pool: Pool, bus: Client) -> None:
    """Beyond the log's duplicate window only the number tells: the same frame without a message id."""
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    await source.publish(battery_rows(times_from(ts, 4)), device_id=1, received_at_us=ts)
    js = bus.jetstream()
    message = await js.get_last_msg(STREAM, f"{SUBJECT}.0.p-0")
    await js.purge_stream(STREAM)
    await js.delete_stream(STREAM)
    await open_log(bus)
    config = (await js.stream_info(STREAM)).config
    config.duplicate_window = 0.1
    await js.update_stream(config)
    async with asyncio.timeout(10):
        # the server forgets ids by a timer of its own
        while (await js.stream_info(STREAM)).state.messages < 2:
            await bus.publish(f"{SUBJECT}.0.p-0", message.data or b"", headers=dict(message.headers or {}))
            await asyncio.sleep(0.3)
    async with running_writer(pool, bus):
        laws = await drained(pool, bus, 4 * SAMPLES_OF_ROW)
        async with asyncio.timeout(10):
            while await scalar(pool, "SELECT position FROM log_positions") != 2:
                await asyncio.sleep(0.02)
    assert laws.hold()
    assert (laws.stored, laws.duplicate) == (4 * SAMPLES_OF_ROW, 0)
    await source.close()


async def test_duplicates_within_and_across_batches_are_counted(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    first, second = times_from(ts, 4), times_from(ts - 2_000_000, 4)
    async with running_writer(pool, bus):
        await source.publish(battery_rows(first + first[:1]), device_id=1, received_at_us=ts)
        await drained(pool, bus, 5 * SAMPLES_OF_ROW)
        await source.publish(battery_rows(second, soc=99.0), device_id=1, received_at_us=ts)
        laws = await drained(pool, bus, 9 * SAMPLES_OF_ROW)
    assert laws.hold()
    assert (laws.stored, laws.duplicate) == (6 * SAMPLES_OF_ROW, 3 * SAMPLES_OF_ROW)
    assert await scalar(pool, "SELECT count(*) FROM battery_samples WHERE soc_pct = 99") == 2
    await source.close()


async def test_a_row_that_the_database_refuses_stands_alone(pool: Pool, bus: Client) -> None:
    """Device 0 breaks the table's check; a duplicate in the same batch takes the merge as well."""
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    async with running_writer(pool, bus):
        await source.publish(battery_rows([ts]), device_id=1, received_at_us=ts)
        await drained(pool, bus, SAMPLES_OF_ROW)
    await asyncio.gather(
        source.publish(battery_rows(times_from(ts, 50)), device_id=1, received_at_us=ts),
        source.publish(battery_rows([ts]), device_id=0, received_at_us=ts),
        source.publish(battery_rows(times_from(ts, 50)), device_id=2, received_at_us=ts),
    )
    async with running_writer(pool, bus):
        laws = await drained(pool, bus, 102 * SAMPLES_OF_ROW)
    assert laws.hold()
    assert laws.quarantined == {"refused_by_database": SAMPLES_OF_ROW}
    assert laws.duplicate == SAMPLES_OF_ROW
    assert await scalar(pool, COUNT) == 100
    where = f"WHERE device_id = 0 AND reason = {Reason.REFUSED_BY_DATABASE.value}"
    assert await scalar(pool, f"SELECT count(*) FROM battery_samples_quarantine {where}") == 1
    await source.close()


async def test_json_that_even_quarantine_refuses_is_kept_as_base64(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    huge = b'{"n": 1e999999}'  # JSON, but more than jsonb's numbers hold; no publisher of ours lets it pass
    columns: dict[str, list[object]] = {"ts": [ts], "kind": [b"test"], "digest": [1], "detail": [huge]}
    batcher = Batcher(1, Limits())
    checked = Checked(Rows("device_events", columns, 1, 0), DEVICE_EVENTS, 0)
    batcher.add(checked, device_id=1, received_at_us=ts, reason=Reason.OK, now_us=ts)
    taken = batcher.take(0)
    assert taken is not None
    header = FrameHeader("x-0", 1, "mqtt", "device_events", 1, 0, {})
    data = encode_frame(taken.table, taken.batch)
    await bus.jetstream().publish(f"{SUBJECT}.0.x-0", data, headers=header.to_message())
    async with running_writer(pool, bus):
        await source.publish(battery_rows([ts]), device_id=1, received_at_us=ts)
        await drained(pool, bus, SAMPLES_OF_ROW)
    kept = "SELECT convert_from(decode(detail->>'base64', 'base64'), 'UTF8') FROM device_events_quarantine"
    assert await scalar(pool, kept) == huge.decode()
    await source.close()


async def test_what_cannot_be_true_goes_to_quarantine(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    async with running_writer(pool, bus):
        await source.publish(battery_rows([ts, 0, ts + 2 * DAY_US]), device_id=1, received_at_us=ts)
        await source.publish(battery_rows([ts - 1], soc=140.0), device_id=1, received_at_us=ts)
        await source.publish(battery_rows([ts - 2], soc=float("nan")), device_id=1, received_at_us=ts)
        await source.publish(
            battery_rows([ts - 3]), device_id=7, received_at_us=ts, reason=Reason.UNKNOWN_DEVICE
        )
        laws = await drained(pool, bus, 6 * SAMPLES_OF_ROW)
    assert laws.hold()
    names = ("clock_past", "clock_future", "out_of_range", "not_finite", "unknown_device")
    assert laws.quarantined == dict.fromkeys(names, SAMPLES_OF_ROW)
    assert await scalar(pool, COUNT) == 1
    assert await scalar(pool, "SELECT count(*) FROM battery_samples_quarantine") == 5
    await source.close()


async def test_late_rows_of_many_chunks_are_stored(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    times = [ts - day * DAY_US for day in range(300)]
    async with running_writer(pool, bus):
        await source.publish(battery_rows(times), device_id=1, received_at_us=ts)
        await source.publish(battery_rows(times), device_id=1, received_at_us=ts)
        laws = await drained(pool, bus, 600 * SAMPLES_OF_ROW)
    assert laws.hold()
    assert (laws.stored, laws.duplicate) == (300 * SAMPLES_OF_ROW, 300 * SAMPLES_OF_ROW)
    await source.close()


async def test_refusals_are_counted_and_told(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    error = DecodeError("not_json", "", "it is not")
    async with running_writer(pool, bus):
        for payload in (b"hello", b"\xff\0\x01"):
            await source.refuse(error, payload, received_at_us=ts)
        await source.publish(battery_rows([ts]), device_id=1, received_at_us=ts)
        laws = await drained(pool, bus, SAMPLES_OF_ROW)
    assert laws.hold()
    assert (laws.received, laws.refused) == (SAMPLES_OF_ROW + 2, 2)
    told = "SELECT string_agg(coalesce(detail->>'payload_text', detail->>'payload_base64'), ' '"
    assert await scalar(pool, f"{told} ORDER BY digest) FROM device_events") in {"hello /wAB", "/wAB hello"}
    await source.close()


async def test_a_frame_that_cannot_be_read_is_kept_and_counted(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    header = FrameHeader("x-0", 1, "mqtt", "battery_samples", 1, decoded=11, refused={})
    await bus.jetstream().publish(f"{SUBJECT}.0.x-0", b"nonsense", headers=header.to_message())
    await bus.jetstream().publish(f"{SUBJECT}.0.y", b"foreign")
    source = publisher(bus)
    await source.publish(battery_rows([ts]), device_id=1, received_at_us=ts)
    async with running_writer(pool, bus):
        laws = await drained(pool, bus, 11 + SAMPLES_OF_ROW)
    assert laws.hold()
    assert laws.quarantined == {"frame_unreadable": 11}
    kept = "SELECT decode(detail->>'frame_base64', 'base64') FROM device_events_quarantine"
    assert await scalar(pool, kept) == b"nonsense"
    await source.close()


async def test_a_replaced_log_is_read_from_its_beginning(pool: Pool, bus: Client) -> None:
    """Also when it has grown beyond the old position: the numbers of its producers tell."""
    ts = now_us()
    await open_log(bus)
    async with pool.connection() as connection:
        assert await advance_position(connection, 0, 0, 3)
    for round_, frames in enumerate((2, 6)):
        source = publisher(bus, name=f"round{round_}")
        for i in range(frames):
            rows = battery_rows([ts - round_ * DAY_US - i])
            await source.publish(rows, device_id=1, received_at_us=ts)
        await source.close()
        async with running_writer(pool, bus, WriterConfig(now_us, backoff_s_min=0.01)):
            laws = await drained(pool, bus, SAMPLES_OF_ROW)
            await asyncio.sleep(0.1)
        assert laws.hold()
        await bus.jetstream().delete_stream(STREAM)
        await open_log(bus)
    assert await scalar(pool, COUNT) == 8


async def test_a_second_writer_of_a_partition_stores_nothing_twice(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    config = WriterConfig(now_us, fetch=SMALL, backoff_s_min=0.01)
    async with running_writer(pool, bus, config), running_writer(pool, bus, config):
        for i in range(60):
            await source.publish(battery_rows([ts - i]), device_id=1, received_at_us=ts)
        laws = await drained(pool, bus, 60 * SAMPLES_OF_ROW)
    assert laws.hold()
    assert (laws.stored, laws.duplicate) == (60 * SAMPLES_OF_ROW, 0)
    await source.close()


async def test_what_is_stored_leaves_the_log(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    async with running_writer(pool, bus, WriterConfig(now_us, fetch=SMALL, purge_every_s=0.0)):
        await source.publish(battery_rows([ts]), device_id=1, received_at_us=ts)
        async with asyncio.timeout(10):
            while (await bus.jetstream().stream_info(STREAM)).state.messages:
                await asyncio.sleep(0.02)
    assert await log_heads(bus.jetstream()) == {}
    assert (await read_laws(pool, bus)).hold()
    await source.close()
