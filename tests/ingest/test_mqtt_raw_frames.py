"""Raw frames over a real broker: one sample, the payload as it came, refusals, and the pure reading."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from deploy.temporary import TemporaryNats as Nats
from ingest.mqtt.frames import read_frames
from ingest.mqtt.ingestor import IngestorConfig
from protocols.battery import topics
from protocols.battery.frames import PAYLOAD_BYTES_MAX
from protocols.battery.topics import Channel
from protocols.samples import DecodeError
from storage.database import Pool
from stream.frames import decode_frame
from stream.reader import FetchLimits, LogReader
from tests.ingest.test_mqtt_ingestor import battery, config, logged, running, send, until
from tests.protocols import battery_frames as published

__all__ = ["config"]

RAW = topics.build("BAT-1", Channel.RAW)
NOW_US = 1_767_225_600_000_000
JBD = published.JBD_BASIC + published.JBD_CELLS


async def frames_in(bus: Client) -> dict[str, list[Any]]:
    """Batches of the log by table."""
    found: dict[str, list[Any]] = {}
    for partition in range(2):
        reader = LogReader(bus.jetstream(), partition)
        limits = FetchLimits(wait_s=0.2)
        await reader.open(0, limits)
        while entries := await reader.fetch(limits):
            for entry in entries:
                frame = decode_frame(entry.data)
                found.setdefault(frame.table.name, []).append(frame.batch)
        await reader.close()
    return found


async def test_frames_become_one_sample_and_are_kept_as_they_came(
    nats: Nats, bus: Client, pool: Pool, config: IngestorConfig
) -> None:
    async with running(config, pool, bus), battery(nats) as client:
        await send(client, JBD, RAW)
        await send(client, JBD.hex(" ").encode(), f"{RAW}/jbd")

        async def are_there() -> bool:
            return len((await logged(bus)).rows) == 2

        await until(are_there)
    tables = await frames_in(bus)
    assert sum(batch.rows for batch in tables["battery_samples"]) == 2
    assert sum(batch.rows for batch in tables["raw_payloads"]) == 2
    counts = (await logged(bus)).heads.values()
    assert sum(head.received for head in counts) == sum(head.decoded for head in counts) == 2 * 12


async def test_frames_that_cannot_be_read_are_refused_and_kept(
    nats: Nats, bus: Client, pool: Pool, config: IngestorConfig
) -> None:
    broken = bytearray(published.JBD_CELLS)
    broken[6] ^= 1
    async with running(config, pool, bus), battery(nats) as client:
        await send(client, bytes(broken), RAW)
        await send(client, JBD, f"{RAW}/daly")
        await send(client, JBD, f"{RAW}/nonsense")
        await send(client, b"\xdd" * (PAYLOAD_BYTES_MAX + 1), RAW)
        await send(client, JBD + bytes(broken), RAW)

        async def are_there() -> bool:
            return sum((await logged(bus)).refused.values()) == 5

        await until(are_there)
    assert (await logged(bus)).refused == Counter(checksum=2, junk=1, protocol=1, too_large=1)
    tables = await frames_in(bus)
    assert sum(batch.rows for batch in tables["raw_payloads"]) == 4
    assert sum(batch.rows for batch in tables["battery_samples"]) == 1


def test_the_row_says_who_read_the_frames_and_what_they_said() -> None:
    reading = read_frames(RAW, JBD, NOW_US)
    columns = reading.raw.columns
    assert columns["decoder"] == [b"bms:jbd"]
    assert columns["payload"] == [JBD]
    assert b'"soc_pct":100' in columns["decoded"][0]  # type: ignore[operator]
    assert not isinstance(reading.outcome, DecodeError)
    reading = read_frames(f"{RAW}/daly", JBD, NOW_US)
    assert isinstance(reading.outcome, DecodeError)
    assert reading.raw.columns["decoder"] == [b""]


def test_raw_topics() -> None:
    assert topics.parse(f"{RAW}/jbd") == ("BAT-1", Channel.RAW)
    assert (topics.raw_protocol(RAW), topics.raw_protocol(f"{RAW}/jk")) == (None, "jk")
    assert topics.subscription(Channel.RAW, "g") == "$share/g/gridwire/batteries/+/raw/#"
    for other in (f"{RAW}/", f"{RAW}/a/b", f"{RAW}/A", "gridwire/batteries/B/telemetry/jbd"):
        with pytest.raises(DecodeError):
            topics.parse(other)


@given(st.binary(max_size=200))
def test_any_payload_has_a_row_and_an_outcome(payload: bytes) -> None:
    assert read_frames(RAW, payload, NOW_US).raw.count == 1
