"""An uplink's way to its tables: raw payload and samples, whatever could or could not decode it."""

import pytest
from nats.aio.client import Client

from ingest.uplinks import LINK_TTL_US, Uplinks
from protocols.measurements import Decoded, Measurement, Payload
from protocols.quantities import CODES
from storage.database import Pool
from storage.queries import device_links, devices
from stream import decoding
from stream.codecs.pool import CodecPool
from stream.log import Publisher
from tests.ingest.uplink_scene import (
    CAYENNE,
    IDENTITY,
    WRITER,
    all_written,
    codec_pool,
    make_uplinks,
    source,
    stored,
    uplink,
    uplinks,
    with_codec,
    with_profile,
)
from tests.stream.helpers import drained, now_us, running_writer

__all__ = ["codec_pool", "source", "uplinks"]  # fixtures


async def test_a_built_in_decoder(pool: Pool, bus: Client, uplinks: Uplinks) -> None:
    device_id = await with_profile(pool, decoder="cayenne_lpp")
    sent = uplink(CAYENNE, meta={"gateways": 2}, address={"application": "a"})
    device = await uplinks.take(sent)
    assert device is not None
    assert device.id == device_id
    raw, samples = await stored(pool, bus, device_id, 1)
    assert samples == [(CODES["temperature_c"], pytest.approx(27.2))]
    assert [(each.payload, each.port, each.counter, each.decoder) for each in raw] == [
        (CAYENNE, 2, 7, "cayenne_lpp")
    ]
    assert raw[0].meta == {"gateways": 2}
    assert raw[0].decoded is not None
    assert raw[0].decoded["stored"] == [[sent.heard_at_us, CODES["temperature_c"], 3]]
    async with pool.connection() as connection:
        link = await device_links.get_link(connection, device_id)
    assert link is not None
    assert (link.source, link.address) == ("chirpstack", {"application": "a"})


async def test_a_codec_with_a_mapping(pool: Pool, bus: Client, uplinks: Uplinks) -> None:
    device_id = await with_codec(pool)
    await uplinks.take(uplink(b"\x04\xd2"))
    raw, samples = await stored(pool, bus, device_id, 1)
    assert samples == [(CODES["water_m3"], pytest.approx(1.234))]
    assert raw[0].decoder == "js:acme@1"
    assert raw[0].decoded is not None
    assert raw[0].decoded["data"] == {"total": 1234, "port": 2}


async def test_the_same_uplink_delivered_twice_is_stored_once(
    pool: Pool, bus: Client, uplinks: Uplinks
) -> None:
    device_id = await with_codec(pool)
    sent = uplink(b"\x00\x01")
    for _ in range(2):
        await uplinks.take(sent)
    raw, samples = await stored(pool, bus, device_id, 2)
    assert (len(raw), len(samples)) == (1, 1)


@pytest.mark.parametrize(
    ("payload", "reason"), [(b"\xff\x00", "codec_refused"), (b"\x01" * (129 << 10), "too_large")]
)
async def test_what_cannot_be_decoded_is_kept_and_counted(
    pool: Pool, bus: Client, uplinks: Uplinks, payload: bytes, reason: str
) -> None:
    device_id = await with_codec(pool)
    await uplinks.take(uplink(payload))
    await uplinks.take(uplink(b"\x00\x05"))
    raw, samples = await stored(pool, bus, device_id, 1)
    assert len(samples) == 1
    assert [each.payload for each in raw] == [b"\x00\x05", payload]
    assert raw[1].decoded is not None
    assert raw[1].decoded["error"] == reason


async def test_a_device_without_a_profile_keeps_its_payloads(
    pool: Pool, bus: Client, uplinks: Uplinks
) -> None:
    async with pool.connection() as connection:
        device = await devices.register_device(connection, "meter", IDENTITY)
    await uplinks.take(uplink(b"\x01\x02"))
    await uplinks.take(uplink(b"", event="status", measurements=(Measurement("battery_pct", 80.0),)))
    raw, samples = await stored(pool, bus, device.id, 1)
    assert samples == [(CODES["battery_pct"], 80.0)]
    assert [(each.event, each.payload, each.decoder) for each in raw] == [
        ("status", b"", ""),
        ("uplink", b"\x01\x02", ""),
    ]


async def test_an_unknown_device_waits_in_quarantine_with_its_payload(
    pool: Pool, bus: Client, uplinks: Uplinks
) -> None:
    device = await uplinks.take(uplink(b"\x01\x02"))
    assert device is not None
    assert device.status == "quarantined"
    async with running_writer(pool, bus, WRITER):
        await all_written(bus)
    async with pool.connection() as connection:
        rows = await connection.execute("SELECT device_id, payload FROM raw_payloads_quarantine")
        assert await rows.fetchall() == [(device.id, b"\x01\x02")]


@pytest.mark.parametrize("status", ["archived", None])
async def test_who_is_not_welcome_is_refused(
    pool: Pool, bus: Client, source: Publisher, codec_pool: CodecPool, status: str | None
) -> None:
    if status is not None:
        async with pool.connection() as connection:
            device = await devices.register_device(connection, "meter", IDENTITY, status=status)
            assert device.status == status
    assert await make_uplinks(pool, source, codec_pool, "reject").take(uplink(b"\x01")) is None
    async with running_writer(pool, bus, WRITER):
        await all_written(bus)
        laws = await drained(pool, bus, 0)
    assert laws.hold()
    assert laws.refused == 1


async def test_a_decoder_that_fails_in_an_unknown_way_holds_nobody_up(
    pool: Pool, bus: Client, uplinks: Uplinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(payload: Payload) -> Decoded:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(decoding, "DECODERS", {"cayenne_lpp": fail})
    device_id = await with_profile(pool, decoder="cayenne_lpp")
    await uplinks.take(uplink(CAYENNE))
    raw, samples = await stored(pool, bus, device_id, 0)
    assert samples == []
    assert raw[0].decoded is not None
    assert raw[0].decoded["error"] == "decoder_failed"


async def test_the_way_back_is_mended_after_another_process_wrote_its_own(
    pool: Pool, source: Publisher, codec_pool: CodecPool
) -> None:
    device_id = await with_profile(pool, decoder="cayenne_lpp")
    one, other = (make_uplinks(pool, source, codec_pool) for _ in range(2))
    at_us = now_us()

    async def heard(by: Uplinks, address: str) -> object:
        await by.take(uplink(CAYENNE, address={"application": address}))
        async with pool.connection() as connection:
            link = await device_links.get_link(connection, device_id)
        assert link is not None
        return link.address["application"]

    one._clock = lambda: at_us
    assert await heard(one, "one") == "one"
    assert await heard(other, "other") == "other"
    one._clock = lambda: at_us + LINK_TTL_US
    assert await heard(one, "one") == "one"
