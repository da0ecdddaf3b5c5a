"""Signs of life, limits and violations: what ends a socket, what only slows it, and what does neither."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Opcode
from websockets.protocol import OPEN

from ingest.ocpp.limits import WAIT_S_MAX, AddressLimit, TokenBucket
from ingest.ocpp.liveness import Liveness
from storage.database import Pool
from stream.bus import call_charger
from tests.ingest.ocpp_gateway import (
    RawCharger,
    Running,
    add_charger,
    eventually,
    log_rows,
    raw_charger,
    running_gateway,
)

S = 1_000_000


def liveness(**changes: float) -> Liveness:
    return Liveness(**{"ping_s": 60, "idle_s": 900, "idle_s_min": 120, "heard_us": 0, **changes})  # type: ignore[arg-type]


# --- the rules, without a socket ------------------------------------------------------------------


def test_a_charger_of_unknown_rhythm_has_the_configured_time() -> None:
    life = liveness()
    life.beat(0)
    life.beat(30 * S)
    life.heard_us = 30 * S
    assert life.interval_s is None
    assert not life.is_dead(929 * S)
    assert life.is_dead(930 * S)


@pytest.mark.parametrize(("interval_s", "silence_s"), [(10, 120), (60, 180), (1200, 3600)])
def test_the_time_follows_the_chargers_own_interval(interval_s: int, silence_s: int) -> None:
    life = liveness()
    for beat in range(4):
        life.beat(beat * interval_s * S)
    life.heard_us = 3 * interval_s * S
    assert life.interval_s == interval_s
    assert not life.is_dead(life.heard_us + silence_s * S - 1)
    assert life.is_dead(life.heard_us + silence_s * S)


def test_one_late_heartbeat_makes_it_patient_and_an_order_starts_anew() -> None:
    life = liveness()
    for moment_s in (0, 60, 120, 180, 480):
        life.beat(moment_s * S)
    assert life.interval_s == 300
    life.forget()
    life.beat(540 * S)
    assert life.interval_s is None


def test_a_day_without_a_heartbeat_is_no_rhythm() -> None:
    life = liveness()
    for day in range(5):
        life.beat(day * 86_401 * S)
    assert life.interval_s is None


def test_pings_grow_rare_where_no_pong_comes_and_return_with_the_first() -> None:
    life = liveness()
    pings = []
    for second in range(2000):
        if life.is_ping_due(second * S):
            life.pinged(second * S)
            pings.append(second)
    assert pings == [60, 120, 240, 480, 960, 1920]
    life.ponged()
    assert life.is_ping_due(1980 * S)


def test_who_talks_is_not_pinged() -> None:
    life = liveness()
    for second in range(0, 1000, 59):
        life.heard_us = second * S
        assert not life.is_ping_due((second + 58) * S)


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(0, 5))
def test_a_missing_pong_alone_never_ends_a_connection(gaps_s: list[float], beats: int) -> None:
    """Frames that come within three intervals of the charger keep it, whatever it does with pings."""
    life = liveness()
    for beat in range(beats):
        life.beat(beat * 40 * S)
    now_us = beats * 40 * S
    for gap_s in gaps_s:
        life.heard_us = now_us
        now_us += int(gap_s * S)
        if life.is_ping_due(now_us):
            life.pinged(now_us)
        assert not life.is_dead(now_us)


def test_a_bucket_lets_the_burst_through_and_then_the_rate() -> None:
    bucket = TokenBucket(10, 3, 0)
    assert [bucket.take(0) for _ in range(5)] == pytest.approx([0, 0, 0, 0.1, 0.2])
    assert bucket.take(300_000) == 0  # the debt of two is paid, and one has come
    assert bucket.take(300_000) == pytest.approx(0.1)
    assert [bucket.take(100 * S) for _ in range(4)] == pytest.approx([0, 0, 0, 0.1])


def test_the_wait_is_bounded_however_much_came_at_once() -> None:
    bucket = TokenBucket(1, 1, 0)
    assert max(bucket.take(0) for _ in range(1000)) == WAIT_S_MAX


@given(st.lists(st.integers(0, 10 * S), max_size=200))
def test_a_bucket_never_lets_more_through_than_it_may(moments: list[int]) -> None:
    """Whoever waits as told stays below burst and rate, however the messages come."""
    bucket, now_us = TokenBucket(5, 10, 0), 0
    for taken, moment_us in enumerate(sorted(moments), 1):
        now_us = max(now_us, moment_us)
        now_us += int(bucket.take(now_us) * S) + 1
        assert taken <= 10 + 1 + 5 * now_us / S


def test_addresses_are_limited_each_by_itself_and_only_so_many_are_known() -> None:
    now_us = 0
    limit = AddressLimit(1, 2, lambda: now_us, addresses_max=2)
    assert [limit.admits("a") for _ in range(3)] == [True, True, False]
    assert limit.admits("b")
    now_us = 1 * S
    assert [limit.admits("a") for _ in range(2)] == [True, False]
    assert limit.admits("c")
    assert len(limit._buckets) == 2


# --- on real sockets ------------------------------------------------------------------------------


@asynccontextmanager
async def mute_charger(url: str) -> AsyncIterator[RawCharger]:
    """A charger that never answers a ping."""

    async with raw_charger(url) as charger:
        protocol = charger.socket.protocol
        send_frame = protocol.send_frame
        protocol.send_frame = lambda frame: None if frame.opcode is Opcode.PONG else send_frame(frame)  # type: ignore[method-assign]
        yield charger


async def test_without_pongs_any_frame_keeps_the_socket(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    options = {"ping_s": 0.1, "idle_s": 0.8, "sweep_s": 0.05}
    async with (
        running_gateway(pool, bus, **options) as running,
        mute_charger(f"{running.url}/CP1") as charger,
    ):
        for _ in range(4):
            await asyncio.sleep(0.4)
            await charger.send("")  # the keepalive of some chargers: an empty text
        assert "currentTime" in await charger.call("Heartbeat", {})
        (link,) = running.gateway.links.values()
        assert link.life.unanswered > 1


async def test_a_rhythm_that_is_known_shortens_the_wait(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    options = {"ping_s": 900, "idle_s": 900, "idle_s_min": 0.3, "sweep_s": 0.05}
    async with running_gateway(pool, bus, **options) as running, raw_charger(f"{running.url}/CP1") as charger:
        for _ in range(4):
            await charger.call("Heartbeat", {})
            await asyncio.sleep(0.1)
        with pytest.raises(ConnectionClosed) as caught:
            await charger.receive()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
        assert "silent" in caught.value.rcvd.reason


async def test_calls_that_nobody_answers_close_the_socket(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    options = {"sweep_s": 0.05, "timeouts_max": 2}
    async with running_gateway(pool, bus, **options) as running, raw_charger(f"{running.url}/CP1") as charger:
        await charger.call("Heartbeat", {})
        for _ in range(2):
            outcome = await call_charger(bus, device.id, "ClearCache", {}, timeout_s=0.2)
            assert outcome.outcome == "timeout"
        await charger.receive()
        await charger.receive()
        with pytest.raises(ConnectionClosed) as caught:
            await charger.receive()
        assert caught.value.rcvd is not None
        assert "2 calls" in caught.value.rcvd.reason


async def send_bytes(charger: RawCharger, data: bytes) -> None:
    """Write to the socket as it is, past the WebSocket protocol."""
    charger.socket.transport.write(data)


def masked(first: int, text: bytes) -> bytes:
    """One short client frame with `first` as its first byte, masked with zeros."""
    assert len(text) < 126
    return bytes([first, 0x80 | len(text)]) + bytes(4) + text


VIOLATIONS = {
    "RSV1 without compression": masked(0xC1, b'[2,"1","Heartbeat",{}]'),
    "RSV2": masked(0xA1, b"x"),
    "reserved opcode": masked(0x83, b"x"),
    "no mask": b"\x81\x01x",
    "fragmented ping": masked(0x09, b""),
    "continuation of nothing": masked(0x80, b"x"),
    "too large": b"\x81\xff" + (1 << 40).to_bytes(8, "big") + bytes(4),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
async def test_a_violation_of_the_protocol_closes_that_socket_only(
    pool: Pool, bus: Client, violation: str
) -> None:
    await add_charger(pool, "CP1")
    await add_charger(pool, "CP2")
    async with (
        running_gateway(pool, bus) as running,
        raw_charger(f"{running.url}/CP1") as wrong,
        raw_charger(f"{running.url}/CP2") as right,
    ):
        await right.call("Heartbeat", {})
        await wrong.call("Heartbeat", {})
        await send_bytes(wrong, VIOLATIONS[violation])
        with pytest.raises(ConnectionClosed) as caught:
            await wrong.receive()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == (1009 if violation == "too large" else 1002)
        assert "currentTime" in await right.call("Heartbeat", {})
        async with raw_charger(f"{running.url}/CP1") as again:
            assert "currentTime" in await again.call("Heartbeat", {})


async def test_frames_behind_our_close_are_kept_and_not_answered(pool: Pool, bus: Client) -> None:
    """A charger may have sent them before it saw the close frame."""
    await add_charger(pool, "CP1")
    meters = {
        "connectorId": 1,
        "meterValue": [{"timestamp": "2026-01-02T03:05:05Z", "sampledValue": [{"value": "1.5"}]}],
    }
    late = json.dumps([2, "late", "MeterValues", meters], separators=(",", ":")).encode()
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        await charger.call("Heartbeat", {})
        (link,) = running.gateway.links.values()
        charger.socket.transport.pause_reading()  # it does not see the close frame yet
        closing = asyncio.create_task(link.close(1001, "test"))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        header = b"\x81\xfe" + len(late).to_bytes(2, "big") + bytes(4)
        await send_bytes(charger, header + late)

        async def is_stored() -> bool:
            return bool(await log_rows(bus, "charger_samples"))

        await eventually(is_stored)
        charger.socket.transport.resume_reading()
        await closing
        with pytest.raises(ConnectionClosed):
            await charger.receive()


# --- rates ----------------------------------------------------------------------------------------


async def test_a_charger_that_talks_too_much_is_slowed_and_loses_nothing(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    await add_charger(pool, "CP2")
    options = {"messages_per_s": 50.0, "messages_burst": 10}
    async with (
        running_gateway(pool, bus, **options) as running,
        raw_charger(f"{running.url}/CP1") as loud,
        raw_charger(f"{running.url}/CP2") as calm,
    ):
        begun_s = time.monotonic()
        for number in range(60):
            assert "currentTime" in await loud.call("Heartbeat", {})
            if number == 30:
                before_s = time.monotonic()
                await calm.call("Heartbeat", {})
                assert time.monotonic() - before_s < 0.5
        took_s = time.monotonic() - begun_s
    assert took_s > 0.9  # 50 beyond the burst, 50 a second


async def test_an_address_may_open_only_so_many_connections(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    options = {"connects_per_s": 0.01, "connects_burst": 2}
    async with running_gateway(pool, bus, **options) as running:
        for _ in range(2):
            async with raw_charger(f"{running.url}/CP1") as charger:
                await charger.call("Heartbeat", {})
        with pytest.raises(InvalidStatus) as caught:
            async with raw_charger(f"{running.url}/CP1"):
                pass
        assert caught.value.response.status_code == 429


# --- compression ----------------------------------------------------------------------------------


async def extensions(running: Running, protocol: str, **offer: Any) -> str | None:
    options = {"subprotocols": [protocol], **offer}
    async with raw_charger(f"{running.url}/CP1", **options) as charger:
        assert "currentTime" in await charger.call("Heartbeat", {})
        assert charger.socket.response is not None
        return charger.socket.response.headers.get("Sec-WebSocket-Extensions")


async def test_compression_is_for_2_x_that_asks_and_small(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running:
        for protocol in ("ocpp2.0.1", "ocpp2.1"):
            agreed = await extensions(running, protocol, compression="deflate") or ""
            assert agreed.startswith("permessage-deflate")
            assert "server_no_context_takeover" in agreed
            assert "client_no_context_takeover" in agreed
            assert "server_max_window_bits=10" in agreed
        assert await extensions(running, "ocpp1.6", compression="deflate") is None
        assert await extensions(running, "ocpp2.0.1", compression=None) is None


async def test_compressed_frames_arrive_whole(pool: Pool, bus: Client) -> None:
    """Compressed, fragmented, incompressible, and larger than the window."""
    await add_charger(pool, "CP1")
    options: dict[str, Any] = {"subprotocols": ["ocpp2.0.1"], "compression": "deflate"}
    data = ["x" * 60_000, os.urandom(20_000).hex(), ""]
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1", **options) as charger:
        for each in data:
            answer = await charger.call("DataTransfer", {"vendorId": "v", "data": each})
            assert answer["status"] == "UnknownVendorId"
        frame = json.dumps([2, "f", "Heartbeat", {}])
        await charger.socket.send([frame[:5], frame[5:9], frame[9:]])
        assert (await charger.receive())[:2] == [3, "f"]
    logged = [json.loads(frame) for frame in (await log_rows(bus, "ocpp_messages"))["frame"][-2:]]
    assert logged[0] == [2, "f", "Heartbeat", {}]


async def test_a_bomb_is_not_unpacked(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    options: dict[str, Any] = {
        "subprotocols": ["ocpp2.0.1"],
        "extensions": [ClientPerMessageDeflateFactory()],
    }
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1", **options) as charger:
        assert charger.socket.protocol.state is OPEN
        await charger.send("[" + " " * (50 << 20))  # a few KiB on the wire
        with pytest.raises(ConnectionClosed) as caught:
            await charger.receive()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009
