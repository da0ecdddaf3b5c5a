import asyncio
import contextlib

import nats.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from deploy.temporary import TemporaryNats as Nats
from protocols.samples import DecodeError, Rows
from stream.batcher import Limits, check_rows
from stream.budget import Budget
from stream.errors import FrameError, PublisherClosedError, StreamError
from stream.events import EXCERPT_BYTES_MAX, payload_refused
from stream.frames import decode_frame
from stream.headers import FrameHeader, read_header
from stream.log import STREAM, SUBJECT, LogConfig, ensure_log, log_heads
from stream.reader import Entry, FetchLimits, LogReader
from tests.stream.helpers import SAMPLES_OF_ROW, battery_rows, now_us, open_log, publisher

FETCH = FetchLimits(wait_s=0.1)


async def read_all(bus: Client, partition: int = 0, limits: FetchLimits = FETCH) -> list[Entry]:
    reader = LogReader(bus.jetstream(), partition)
    await reader.open(0, limits)
    entries: list[Entry] = []
    while got := await reader.fetch(limits):
        entries += got
    await reader.close()
    return entries


async def test_one_frame_holds_what_came_while_another_waited(bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    await asyncio.gather(
        *(source.publish(battery_rows([ts - i]), device_id=1, received_at_us=ts) for i in range(500))
    )
    entries = await read_all(bus)
    assert len(entries) < 50
    headers = [entry.header for entry in entries if entry.header is not None]
    assert [header.seq for header in headers] == list(range(1, len(entries) + 1))
    assert sum(header.rows for header in headers) == 500
    assert headers[-1].decoded == headers[-1].received == 500 * SAMPLES_OF_ROW
    assert sum(decode_frame(entry.data).batch.rows for entry in entries) == 500
    assert list(await log_heads(bus.jetstream())) == ["p-0"]
    await source.close()


async def test_rows_of_a_device_go_to_its_partition(bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus, partitions=3)
    for device in range(1, 7):
        await source.publish(battery_rows([ts]), device_id=device, received_at_us=ts)
    for partition in range(3):
        entries = await read_all(bus, partition)
        devices = [int(decode_frame(e.data).batch.integers("device_id")[0]) for e in entries]
        assert devices == [d for d in range(1, 7) if d % 3 == partition]
        assert [entry.header.producer for entry in entries if entry.header] == [f"p-{partition}"] * 2
    await source.close()


async def test_a_cancelled_caller_takes_nobody_along(bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    calls = [
        asyncio.create_task(source.publish(battery_rows([ts]), device_id=device, received_at_us=ts))
        for device in (1, 2)
    ]
    await asyncio.sleep(0)
    calls[0].cancel()
    cancelled, other = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert other is None
    assert [entry.header.rows for entry in await read_all(bus) if entry.header] == [2]
    assert source._budget._rows == 0
    await source.close()


async def test_backpressure_while_the_log_is_away(bus: Client, nats: Nats) -> None:
    """The buffer fills, then `publish` waits; nothing is refused, and all of it arrives once."""
    await open_log(bus)
    ts = now_us()
    source = publisher(bus, buffer_rows=10, ack_timeout_s=0.3, backoff_s_max=0.2)
    nats.kill()
    calls = [
        asyncio.create_task(source.publish(battery_rows([ts - i]), device_id=1, received_at_us=ts))
        for i in range(50)
    ]
    await asyncio.sleep(0.5)
    assert not any(call.done() for call in calls)
    assert source._budget._rows == 10
    await asyncio.to_thread(nats.start)
    await asyncio.gather(*calls)
    entries = await read_all(bus)
    assert sum(entry.header.rows for entry in entries if entry.header) == 50
    assert [entry.header.seq for entry in entries if entry.header] == list(range(1, len(entries) + 1))
    assert source._budget._rows == source._budget._bytes == 0
    await source.close()


async def test_a_full_log_makes_publishers_wait(bus: Client) -> None:
    await open_log(bus, bytes_max=12_000)
    ts = now_us()
    source = publisher(bus, backoff_s_max=0.1)
    await source.publish(battery_rows([ts] * 100), device_id=1, received_at_us=ts)
    stuck = asyncio.create_task(source.publish(battery_rows([ts] * 300), device_id=1, received_at_us=ts))
    await asyncio.sleep(0.4)
    assert not stuck.done()
    await open_log(bus)  # an operator gives it more room
    await stuck
    assert len(await read_all(bus)) == 2
    await source.close()


async def test_a_frame_never_exceeds_what_the_log_takes(bus: Client) -> None:
    """Long rows that stand together beside many short ones: the average says nothing."""
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    long, short = [0.5] * 60_000, [0.5]
    cells: list[object] = [*[long] * 8, *[short] * 1992]
    columns: dict[str, list[object]] = {"ts": [ts - i for i in range(2000)], "cell_voltages_v": cells}
    rows = Rows("battery_samples", columns, 2000, 0)
    await source.publish(rows, device_id=1, received_at_us=ts)
    entries = await read_all(bus)
    assert sum(decode_frame(entry.data).batch.rows for entry in entries) == 2000
    assert entries[-1].header is not None
    assert entries[-1].header.decoded == 8 * 60_000 + 1992
    await source.close()


async def test_a_cancelled_caller_leaves_the_others_alone(bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus, group=Limits(age_us=50_000))
    calls = [
        asyncio.create_task(source.publish(battery_rows([ts - i]), device_id=1, received_at_us=ts))
        for i in range(3)
    ]
    await asyncio.sleep(0.01)
    calls[0].cancel()
    await asyncio.gather(*calls[1:])
    assert calls[0].cancelled()
    await source.close()


async def test_closing_publishes_what_is_buffered(bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus, group=Limits(age_us=10_000_000))
    call = asyncio.create_task(source.publish(battery_rows([ts]), device_id=1, received_at_us=ts))
    await asyncio.sleep(0)
    source._is_closed = True  # before the lane lingers
    await source.close()
    await call
    with pytest.raises(PublisherClosedError):
        await source.publish(battery_rows([ts]), device_id=1, received_at_us=ts)


async def test_closing_without_a_log_tells_the_callers(bus: Client, nats: Nats) -> None:
    await open_log(bus)
    source = publisher(bus, buffer_rows=2, ack_timeout_s=0.2)
    nats.kill()
    calls = [
        asyncio.create_task(source.publish(battery_rows([i]), device_id=1, received_at_us=i))
        for i in range(5)
    ]
    await asyncio.sleep(0.1)
    await source.close(timeout_s=0.3)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, PublisherClosedError) for outcome in outcomes)
    await asyncio.to_thread(nats.start)  # the fixture's connection closes in peace
    async with asyncio.timeout(10):
        while True:
            if bus.is_connected:
                break
            await asyncio.sleep(0.02)


async def test_wrong_rows_take_nothing(bus: Client) -> None:
    await open_log(bus)
    source = publisher(bus)
    with pytest.raises(DecodeError):
        await source.publish(battery_rows([1], soc="x"), device_id=1, received_at_us=1)  # type: ignore[arg-type]
    with pytest.raises(DecodeError):
        await source.publish(battery_rows([1]), device_id=2**40, received_at_us=1)
    await source.publish(Rows("battery_samples", {"ts": []}, 0, 0), device_id=1, received_at_us=1)
    assert source._budget._rows == 0
    assert await read_all(bus) == []
    await source.close()


def test_a_producer_id_is_one_token() -> None:
    client = Client()
    for name in ("", "a.b", "a b", "x" * 65):
        with pytest.raises(ValueError, match="producer id"):
            publisher(client, name)


async def test_the_reader_keeps_its_bounds_and_begins_behind_a_position(bus: Client) -> None:
    await open_log(bus)
    js = bus.jetstream()
    for seq in range(1, 11):
        header = FrameHeader("p-0", seq, "mqtt", "battery_samples", 7, 0, {})
        await js.publish(f"{SUBJECT}.0.p-0", b"x" * 1000, headers=header.to_message())
    reader = LogReader(js, 0)
    for limits, expected in (
        (FetchLimits(frames=3, wait_s=0.1), 3),
        (FetchLimits(rows=14, wait_s=0.1), 10),
        (FetchLimits(bytes=1, wait_s=0.1), 10),
        (FetchLimits(wait_s=0.1), 10),
    ):
        await reader.open(0, limits)
        entries = await reader.fetch(limits)
        assert [entry.seq for entry in entries][:expected] == list(range(1, expected + 1))
    await reader.open(7, FETCH)
    entries = await reader.fetch(FETCH)
    assert [entry.seq for entry in entries] == [8, 9, 10]
    assert [entry.pending for entry in entries] == [2, 1, 0]
    assert await reader.fetch(FETCH) == []
    assert await reader.pending() == 0
    await reader.purge(9)
    assert (await js.stream_info(STREAM)).state.messages == 1
    await reader.close()


async def test_a_consumer_that_is_gone_is_an_error(bus: Client) -> None:
    await open_log(bus)
    reader = LogReader(bus.jetstream(), 0)
    await reader.open(0, FETCH)
    await bus.jetstream().delete_consumer(STREAM, reader._consumer)
    with pytest.raises((StreamError, nats.errors.Error)):
        await reader.fetch(FETCH)
    await reader.close()


async def test_the_log_is_brought_to_its_configuration(bus: Client) -> None:
    js = bus.jetstream()
    for bytes_max in (1 << 20, 2 << 20, 2 << 20):
        await ensure_log(js, LogConfig(bytes_max=bytes_max))
        config = (await js.stream_info(STREAM)).config
        assert config.max_bytes == bytes_max
        assert config.discard == "new"
        assert config.duplicate_window == 120


@given(
    st.builds(
        FrameHeader,
        producer=st.from_regex(r"[A-Za-z0-9_-]{1,9}", fullmatch=True),
        seq=st.integers(1, 2**40),
        source=st.sampled_from(["mqtt", "ocpp16"]),
        table=st.just("battery_samples"),
        rows=st.integers(0, 2**20),
        decoded=st.integers(0, 2**40),
        refused=st.dictionaries(st.text(max_size=5), st.integers(0, 2**30), max_size=3),
    )
)
def test_headers_come_back(header: FrameHeader) -> None:
    message = header.to_message()
    assert all(value.isascii() and "\n" not in value for value in message.values())
    assert read_header(message) == header


HEADER_NAMES = list(FrameHeader("p", 1, "s", "t", 1, 1, {}).to_message())


@given(st.none() | st.dictionaries(st.sampled_from(HEADER_NAMES), st.text(max_size=8)))
def test_other_headers_are_a_frame_error(headers: dict[str, str] | None) -> None:
    with contextlib.suppress(FrameError):
        assert read_header(headers).producer


@given(st.binary(max_size=2 * EXCERPT_BYTES_MAX), st.text(max_size=20), st.text(max_size=400))
def test_any_payload_can_be_told_of(payload: bytes, reason: str, message: str) -> None:
    checked = check_rows(payload_refused(DecodeError(reason, "", message), payload, "mqtt", 5))
    assert checked.bytes < 4096


async def test_a_budget_admits_in_order_and_what_is_too_large_alone() -> None:
    budget = Budget(10, 100)
    assert await budget.acquire(8, 10) == (8, 10)
    order: list[str] = []

    async def enter(name: str, rows: int) -> None:
        taken = await budget.acquire(rows, 1)
        order.append(name)
        await asyncio.sleep(0)
        budget.release(*taken)

    tasks = [
        asyncio.create_task(enter(name, rows)) for name, rows in (("huge", 99), ("gone", 3), ("small", 1))
    ]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    assert order == []
    budget.release(8, 10)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["huge", "small"]
    assert (budget._rows, budget._bytes) == (0, 0)
