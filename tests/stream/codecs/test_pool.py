"""Many uplinks in one call, worker processes that die or hang, a full pool, and the end of it."""

import asyncio
import os
import signal
import time

import psutil
import pytest
import uvloop

from protocols.measurements import Decoded, Measurement
from protocols.samples import DecodeError
from stream.codecs.pool import CodecPool, PoolLimits
from tests.stream.codecs.helpers import GOOD, LOOP, body, codec, decode_one, decoded, payload, refused

# some milliseconds each
SLOW = body("let n = 0; for (let i = 0; i < 50000; i++) n += i; return {data: {n}}")
VALUE = body("return {data: {n: input.bytes[0] * 256 + input.bytes[1]}}")


def clock() -> int:
    return time.time_ns() // 1000


async def test_a_batch_keeps_its_order(codecs: CodecPool) -> None:
    found = await codecs.decode(codec(VALUE), [payload(n.to_bytes(2, "big")) for n in range(3000)], [])
    assert [each.data["n"] for each in found if isinstance(each, Decoded)] == list(range(3000))


async def test_calls_at_one_time_each_get_their_own(codecs: CodecPool) -> None:
    async def ask(n: int) -> int:
        found = await decoded(codecs, VALUE, n.to_bytes(2, "big"))
        value: int = found.data["n"]
        return value

    assert await asyncio.gather(*(ask(n) for n in range(2000))) == list(range(2000))


async def test_a_slow_codec_is_cut_into_turns(codecs: CodecPool) -> None:
    found = await codecs.decode(codec(SLOW), [payload()] * 40, [])
    assert all(isinstance(each, Decoded) for each in found)


async def test_mappings_of_profiles_do_not_mix(codecs: CodecPool) -> None:
    source = codec(body("return {data: {total: input.bytes[0]}}"))
    litres = [{"path": "total", "quantity": "water_m3", "scale": 0.001}]
    pulses = [{"path": "total", "quantity": "pulses", "channel": 2}]
    one, other, none = await asyncio.gather(
        codecs.decode(source, [payload(b"\x05")], litres),
        codecs.decode(source, [payload(b"\x05")], pulses),
        codecs.decode(source, [payload(b"\x05")], []),
    )
    measured = [each.measurements for (each,) in (one, other, none) if isinstance(each, Decoded)]
    assert measured == [(Measurement("water_m3", 0.005),), (Measurement("pulses", 5.0, None, 2),), ()]


async def test_a_wrong_mapping_is_an_error_of_the_uplink(codecs: CodecPool) -> None:
    (found,) = await codecs.decode(codec(GOOD), [payload()], [{"path": "a", "quantity": "furlongs"}])
    assert isinstance(found, DecodeError)
    assert (found.reason, "mapping[0].quantity" in str(found)) == ("mapping", True)


async def test_variables_and_warnings_go_through(codecs: CodecPool) -> None:
    source = body("return {data: {k: input.variables.factor}, warnings: ['low battery']}")
    (found,) = await codecs.decode(codec(source), [payload(variables={"factor": "10"})], [])
    assert isinstance(found, Decoded)
    assert (found.data, found.warnings) == ({"k": "10"}, ("low battery",))


async def test_a_normalised_payload_is_measured(codecs: CodecPool) -> None:
    source = body("return {data: {v: 1234}}") + (
        "function normalizeUplink(i) { return {data: {metering: {water: {total: i.data.v}}, battery: 3.6}}; }"
    )
    found = await decoded(codecs, source)
    assert found.measurements == (Measurement("water_m3", 1.234), Measurement("battery_v", 3.6))


async def test_what_cannot_be_asked_is_refused(codecs: CodecPool) -> None:
    (found,) = await codecs.decode(codec(GOOD), [payload(variables={"k": "\ud800"})], [])
    assert isinstance(found, DecodeError)
    assert found.reason == "codec_worker"
    await decoded(codecs, GOOD)


async def test_no_uplinks_no_call(codecs: CodecPool) -> None:
    assert await codecs.decode(codec(LOOP), [], []) == []


async def test_a_long_payload_is_refused(codecs: CodecPool) -> None:
    assert (await refused(codecs, GOOD, bytes(codecs.limits.payload_bytes_max + 1))).reason == "too_large"
    assert isinstance(await decode_one(codecs, GOOD, bytes(codecs.limits.payload_bytes_max)), Decoded)


async def test_a_killed_worker_is_replaced_between_calls(codecs: CodecPool) -> None:
    await decoded(codecs, GOOD)
    (pid,) = codecs.worker_pids
    os.kill(pid, signal.SIGKILL)
    for _ in range(50):
        await decoded(codecs, GOOD)
    assert pid not in codecs.worker_pids


async def test_workers_killed_in_the_middle_cost_no_uplink(codecs: CodecPool) -> None:
    """What a dead worker had in hand is decoded again: only what kills it alone is refused."""
    uplinks = [payload(n.to_bytes(2, "big")) for n in range(2000)]
    calls = asyncio.gather(*(codecs.decode(codec(VALUE), uplinks, []) for _ in range(5)))
    for _ in range(3):
        await asyncio.sleep(0.03)
        for pid in codecs.worker_pids:
            os.kill(pid, signal.SIGKILL)
    for found in await calls:
        reasons = {each.reason for each in found if isinstance(each, DecodeError)}
        assert reasons <= {"codec_worker"}
        values = [each.data["n"] for each in found if isinstance(each, Decoded)]
        assert len(values) >= len(found) - 3


async def test_a_hung_worker_is_ended_and_replaced() -> None:
    limits = PoolLimits(hung_s=0.4, workers_max=1)
    async with CodecPool(clock, limits) as pool:
        await decoded(pool, GOOD)
        (pid,) = pool.worker_pids
        os.kill(pid, signal.SIGSTOP)
        begun = time.perf_counter()
        error = await refused(pool, GOOD)
        assert error.reason == "codec_timeout"
        assert time.perf_counter() - begun < 2
        await decoded(pool, GOOD)
        assert not psutil.pid_exists(pid)


async def test_a_full_pool_makes_callers_wait() -> None:
    async with CodecPool(clock, PoolLimits(waiting_max=10)) as pool:
        found = await pool.decode(codec(VALUE), [payload(n.to_bytes(2, "big")) for n in range(500)], [])
        assert len([each for each in found if isinstance(each, Decoded)]) == 500


async def test_a_worker_forgets_old_codecs() -> None:
    async with CodecPool(clock, PoolLimits(codecs_max=3, workers_max=1)) as pool:
        for _ in range(3):
            for n in range(8):
                found = await decoded(pool, body(f"return {{data: {n}}}"))
                assert found.data == n


async def test_a_cancelled_call_leaves_the_pool_in_order(codecs: CodecPool) -> None:
    call = asyncio.create_task(codecs.decode(codec(VALUE), [payload(b"\x00\x01")] * 5000, []))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await decoded(codecs, VALUE, b"\x00\x09")).data == {"n": 9}


async def test_downlinks(codecs: CodecPool) -> None:
    source = codec(
        "function encodeDownlink(i) { if (i.data.bad) return {errors: ['no such valve']};"
        " if (i.data.odd) return {bytes: [300]}; return {bytes: [1, i.data.n], fPort: 7}; }"
    )
    assert await codecs.encode(source, {"n": 5}) == (7, b"\x01\x05")
    for data, reason in (({"bad": 1}, "codec_refused"), ({"odd": 1}, "codec_output"), (None, "codec_error")):
        with pytest.raises(DecodeError) as refusal:
            await codecs.encode(source, data)
        assert refusal.value.reason == reason
    with pytest.raises(DecodeError, match="no encoder"):
        await codecs.encode(codec(GOOD), {})
    with pytest.raises(DecodeError, match="stopped"):
        await codecs.encode(codec("function encodeDownlink(i) { for (;;); }"), {})


async def test_closing_refuses_what_waits_and_ends_the_processes() -> None:
    pool = CodecPool(clock)
    await pool.open()
    pids = pool.worker_pids
    call = asyncio.create_task(pool.decode(codec(SLOW), [payload()] * 1000, []))
    await asyncio.sleep(0.05)
    await pool.close()
    reasons = {each.reason for each in await call if isinstance(each, DecodeError)}
    assert reasons == {"codec_closed"}
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert (await refused(pool, GOOD)).reason == "codec_closed"
    with pytest.raises(DecodeError, match="closed"):
        await pool.encode(codec(GOOD), {})


def test_a_pool_works_under_uvloop() -> None:
    async def work() -> list[object]:
        async with CodecPool(clock) as pool:
            await decoded(pool, GOOD)
            first = await refused(pool, LOOP)
            for pid in pool.worker_pids:
                os.kill(pid, signal.SIGKILL)
            second = await decoded(pool, GOOD)
            return [first.reason, second.data]

    assert uvloop.run(work()) == ["codec_timeout", {"water_l": 1}]


async def test_output_that_is_nested_too_deep_costs_no_worker_and_no_neighbour(codecs: CodecPool) -> None:
    nested = body(
        "let v = 1; for (let i = 0; i < (input.bytes[0] ? 2000 : 5); i++) v = [v]; return {data: {v}}"
    )
    payloads = [payload(bytes([n % 5 == 3])) for n in range(40)]
    for _ in range(3):  # in fresh contexts, then in a warm one
        found = await codecs.decode(codec(nested), payloads, [])
        reasons = [each.reason if isinstance(each, DecodeError) else "" for each in found]
        assert reasons == ["codec_output" if n % 5 == 3 else "" for n in range(40)]
    pids = codecs.worker_pids
    await codecs.decode(codec(nested), payloads, [])
    assert codecs.worker_pids == pids


async def test_variables_that_are_no_object_cost_no_worker(codecs: CodecPool) -> None:
    await decoded(codecs, GOOD)
    pids = codecs.worker_pids
    uplinks = [payload(variables=wrong) for wrong in ([1], "x", 5)]
    found = await codecs.decode(codec(GOOD), [*uplinks, payload()], [])
    reasons = [each.reason if isinstance(each, DecodeError) else "" for each in found]
    assert reasons == ["options", "options", "options", ""]
    assert codecs.worker_pids == pids
