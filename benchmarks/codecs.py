"""Payload codecs: warm contexts in batches and one by one, beside a fresh context for each decode.

Run by `make bench`, alone by `python -m benchmarks.codecs`. The peer is what a network server does that makes
a JavaScript context for each uplink, in its barest form: QuickJS, the codec, one call, nothing of ours around
it. Each round runs all of them in turn; figures are medians of the rounds, and count by the processor's time,
the pool's by that of all its processes: what one core does, whatever else runs on the machine.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Callable

import psutil
import quickjs  # type: ignore[import-untyped]
from rich.console import Console

from benchmarks.report import Measurement, print_table
from protocols.measurements import Payload
from storage.queries.codecs import CodecText
from stream.codecs.pool import CodecPool
from stream.codecs.sandbox import Limits, Sandbox, Uplink

ROUNDS = 5
ROUND_S = 0.5
BATCH = 256
CALLS_AT_ONCE = 8
PEER = "fresh context each"
HEARD_AT_US = 1_700_000_000_000_000

# Type, length, value, as most meters send; with what real codecs have besides: names, scales, an error.
CODEC = """
var NAMES = {1: 'water_l', 2: 'flow_lph', 3: 'battery_mv', 4: 'temperature_c', 5: 'pulses', 6: 'leak'};
var SCALES = {1: 1, 2: 0.1, 3: 1, 4: 0.1, 5: 1, 6: 1};
function readUInt(bytes, from, size) {
  var value = 0;
  for (var i = 0; i < size; i++) value = value * 256 + bytes[from + i];
  return value;
}
function readInt(bytes, from, size) {
  var value = readUInt(bytes, from, size), top = Math.pow(2, 8 * size);
  return value >= top / 2 ? value - top : value;
}
function decodeUplink(input) {
  var data = {}, warnings = [], bytes = input.bytes;
  if (input.fPort !== 2) return {errors: ['unknown port ' + input.fPort]};
  for (var at = 0; at + 1 < bytes.length; at += 2 + bytes[at + 1]) {
    var type = bytes[at], size = bytes[at + 1], name = NAMES[type];
    if (!name) { warnings.push('unknown type ' + type); continue; }
    var raw = type === 4 ? readInt(bytes, at + 2, size) : readUInt(bytes, at + 2, size);
    data[name] = Math.round(raw * SCALES[type] * 1000) / 1000;
  }
  return {data: data, warnings: warnings};
}
"""
DATA = bytes.fromhex("010400012345020200fa03020e1004020105050400012345060100")
PORT = 2
CALL = "(text) => JSON.stringify(decodeUplink(JSON.parse(text)))"


def measure() -> list[Measurement]:
    """Return decodes a second: in batches, one by one, and through the pool of processes."""
    return asyncio.run(_measure())


async def _measure() -> list[Measurement]:
    uplink = Uplink(DATA, PORT, HEARD_AT_US)
    warm = Sandbox(CODEC, Limits())
    batched: list[float] = []
    single: list[float] = []
    fresh: list[float] = []
    pooled: list[float] = []
    async with CodecPool(lambda: HEARD_AT_US) as pool:
        await _pooled(pool)  # the codec is probed and warm from here on
        for _ in range(ROUNDS):
            batched.append(_rate(lambda: len(warm.decode([uplink] * BATCH))))
            single.append(_rate(lambda: len(warm.decode([uplink]))))
            fresh.append(_rate(_decode_fresh))
            pooled.append(await _pooled(pool))
    peer = statistics.median(fresh)
    notes = {
        "codec decodes, warm, batches": (batched, f"one core, {BATCH} uplinks in a call, to Python values"),
        "codec decodes, warm, single": (single, "one core, a call for each uplink"),
        "codec decodes, whole pool": (pooled, "as ingest calls it: both processes, the pipe, the mapping"),
    }
    return [
        Measurement(name, "decodes/s", statistics.median(rates), peer, PEER, note)
        for name, (rates, note) in notes.items()
    ]


def _decode_fresh() -> int:
    """Decode once as the peer does."""
    context = quickjs.Context()
    context.set_memory_limit(Limits().memory_bytes)
    context.set_time_limit(Limits().time_ms / 1000)
    context.eval(CODEC)
    found = json.loads(context.eval(CALL)(json.dumps({"bytes": list(DATA), "fPort": PORT})))
    return len(found["data"]) // 6


def _rate(work: Callable[[], int]) -> float:
    """Repeat `work` for a round; returns how many decodes it did in a second of the processor."""
    begun = time.process_time()
    done = 0
    while (elapsed := time.process_time() - begun) < ROUND_S:
        done += work()
    return done / elapsed


async def _pooled(pool: CodecPool) -> float:
    codec = CodecText.unstored(CODEC)
    uplinks = [Payload(DATA, HEARD_AT_US, PORT)] * BATCH
    begun, begun_s = time.perf_counter(), _processor_s(pool)
    done = 0
    while time.perf_counter() - begun < ROUND_S * 2:
        found = await asyncio.gather(*(pool.decode(codec, uplinks, []) for _ in range(CALLS_AT_ONCE)))
        done += sum(len(each) for each in found)
    return done / (_processor_s(pool) - begun_s)


def _processor_s(pool: CodecPool) -> float:
    """Processor time of this process and of the pool's."""
    workers = (psutil.Process(pid).cpu_times() for pid in pool.worker_pids)
    return time.process_time() + sum(each.user + each.system for each in workers)


if __name__ == "__main__":
    print_table(measure(), Console())
