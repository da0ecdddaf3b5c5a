"""A codec run again over the past: a report that changes nothing, then one transaction that does, once."""

from collections import Counter

import pytest
from nats.aio.client import Client

from ingest.uplinks import Uplinks
from protocols.quantities import CODES
from storage.database import Pool
from storage.queries import codecs, metering_due
from storage.queries.raw_payloads import newest_payloads
from stream import reprocess as module
from stream.codecs.pool import CodecPool
from stream.decoding import equipment_of
from stream.reprocess import Range, Report, TooMuchError, UndecidedError, reprocess
from tests.ingest.uplink_scene import (
    codec_pool,
    put_codec,
    source,
    stored,
    uplink,
    uplinks,
    with_codec,
)
from tests.stream.helpers import now_us

__all__ = ["codec_pool", "source", "uplinks"]  # fixtures

WATER = CODES["water_m3"]
HOUR_US = 3_600_000_000
# the second version reads a frame that the first refused, refuses 0x0007, halves 0x0004
MENDED = """
function decodeUplink(input) {
  const total = (input.bytes[0] << 8) | input.bytes[1];
  if (total === 7) { return { errors: ["seven"] }; }
  return { data: { total: total === 0xff02 ? 2 : total === 4 ? 2 : total } };
}
"""
PAYLOADS = (b"\x00\x01", b"\x00\x04", b"\x00\x07", b"\xff\x02", b"\x00\x09")


async def history(pool: Pool, bus: Client, uplinks: Uplinks) -> tuple[int, int]:
    """A device that sent `PAYLOADS`, an hour apart; returns its id and the time of the first."""
    device_id = await with_codec(pool)
    start_us = now_us() - 10 * HOUR_US
    for number, payload in enumerate(PAYLOADS):
        await uplinks.take(uplink(payload, heard_at_us=start_us + number * HOUR_US, counter=number))
    await stored(pool, bus, device_id, 4)
    async with pool.connection() as connection:
        assert len(await metering_due.claim(connection, 10)) == 1
    return device_id, start_us


async def run(
    pool: Pool, codec_pool: CodecPool, device_id: int, span: Range, codec_id: int, *, apply: bool
) -> Report:
    async with pool.connection() as connection:
        equipment = await equipment_of(connection, device_id)
        codec = await codecs.get_codec_text(connection, codec_id)
        assert equipment is not None
        assert codec is not None
        devices = {device_id: equipment.with_codec(codec)}
        return await reprocess(connection, codec_pool, devices, span, now_us=now_us(), apply=apply)


async def samples(pool: Pool) -> list[tuple[int, float]]:
    async with pool.connection() as connection:
        rows = await connection.execute("SELECT quantity, value FROM meter_samples ORDER BY ts, quantity")
        return await rows.fetchall()


async def test_a_report_first_and_then_one_step(
    pool: Pool, bus: Client, uplinks: Uplinks, codec_pool: CodecPool
) -> None:
    device_id, start_us = await history(pool, bus, uplinks)
    before = await samples(pool)
    span = Range(start_us, now_us())
    codec_id = await put_codec(pool, MENDED)
    report = await run(pool, codec_pool, device_id, span, codec_id, apply=False)
    assert (report.payloads, report.devices, report.mended) == (5, 1, 1)
    assert report.refused == Counter(codec_refused=1)
    assert (report.added, report.changed, report.removed, report.same) == (1, 1, 1, 2)
    assert await samples(pool) == before
    assert before == [(WATER, value) for value in (0.001, 0.004, 0.007, 0.009)]

    assert await run(pool, codec_pool, device_id, span, codec_id, apply=True) == report
    assert await samples(pool) == [(WATER, value) for value in (0.001, 0.002, 0.002, 0.009)]
    async with pool.connection() as connection:
        due = await metering_due.claim(connection, 10)
        raw = await newest_payloads(connection, device_id, since_us=0, before_us=now_us(), limit=10)
    assert [(each.device_id, each.reason) for each in due] == [(device_id, "reprocess")]
    assert {each.decoder for each in raw} == {"js:acme@2"}
    assert [each.payload for each in reversed(raw)] == list(PAYLOADS)

    again = await run(pool, codec_pool, device_id, span, codec_id, apply=True)
    assert (again.changes, again.same) == (0, 4)
    async with pool.connection() as connection:
        assert await metering_due.claim(connection, 10) == []


async def test_only_the_range_is_touched(
    pool: Pool, bus: Client, uplinks: Uplinks, codec_pool: CodecPool
) -> None:
    device_id, start_us = await history(pool, bus, uplinks)
    span = Range(start_us + HOUR_US, start_us + 2 * HOUR_US)
    report = await run(pool, codec_pool, device_id, span, await put_codec(pool, MENDED), apply=True)
    assert (report.payloads, report.changed, report.changes) == (1, 1, 1)
    assert [value for _, value in await samples(pool)] == [0.001, 0.002, 0.007, 0.009]


async def test_too_much_for_one_transaction_changes_nothing(
    pool: Pool, bus: Client, uplinks: Uplinks, codec_pool: CodecPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    device_id, start_us = await history(pool, bus, uplinks)
    before = await samples(pool)
    monkeypatch.setattr(module, "PAYLOADS_MAX", 3)
    monkeypatch.setattr(module, "PAGE", 2)
    codec_id = await put_codec(pool, MENDED)
    with pytest.raises(TooMuchError, match="shorter range"):
        await run(pool, codec_pool, device_id, Range(start_us, now_us()), codec_id, apply=True)
    assert await samples(pool) == before


LATE = """
function decodeUplink(input) {
  if (input.bytes[1] === 7) { for (;;); }
  return { data: { total: (input.bytes[0] << 8) | input.bytes[1] } };
}
"""


async def test_what_ran_out_of_time_takes_no_sample_away(
    pool: Pool, bus: Client, uplinks: Uplinks, codec_pool: CodecPool
) -> None:
    device_id, start_us = await history(pool, bus, uplinks)
    before = await samples(pool)
    codec_id, span = await put_codec(pool, LATE), Range(start_us, now_us())
    report = await run(pool, codec_pool, device_id, span, codec_id, apply=False)
    assert report.refused == Counter(codec_timeout=1)
    with pytest.raises(UndecidedError, match="codec_timeout"):
        await run(pool, codec_pool, device_id, span, codec_id, apply=True)
    assert await samples(pool) == before
