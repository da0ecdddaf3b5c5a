"""A fleet of meters against the real roles: broker, CoAP and UDP sockets, codecs, log, writer, database."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client

from deploy.temporary import TemporaryNats as Nats
from ingest.lorawan.app import LorawanConfig
from ingest.mqtt.connection import BrokerConfig
from ingest.mqtt.ingestor import IngestorConfig
from protocols.battery import frames
from protocols.quantities import CODES
from simulators import ledger
from simulators.battery import Battery, BatterySettings
from simulators.battery_fleet import raw_frames
from simulators.faults import NO_FAULTS, Faults
from simulators.fleet import FleetConfig, run
from simulators.meter_fleet import meter_identities
from simulators.meter_makes import CLOSE, COMMAND_PORT, read_codec
from storage.database import Pool
from storage.queries import device_commands
from stream.codecs.examples import read_examples, try_examples
from stream.codecs.sandbox import Limits
from stream.demo_meters import register_meters
from stream.metering.readings import rated_readings
from tests.ingest.lorawan_roles import PARTITIONS, clock, get_command, lorawan_role, rows, until
from tests.ingest.nbiot_role import nbiot_config, served
from tests.simulators.test_fleet import config
from tests.stream.test_demo_meters import demo_meter

TOKEN = "a-long-token"
LORAWAN, NBIOT = 12, 6
READINGS_MAX = 1_000
BAD = Faults(
    disconnect=0.03, duplicate=0.2, rubbish=0.1, truncated=0.1, clock_1970=0.1, batch_missing=0.05,
    batch_out_of_order=0.1, entry_missing=0.1, entry_out_of_order=0.3, register_reset=0.02,
    meter_replaced=0.02, session_lost=0.1, near_rollover=0.2,
)  # fmt: skip


async def register(pool: Pool) -> None:
    demo = [demo_meter(each) for each in meter_identities(LORAWAN, NBIOT)]
    async with pool.connection() as connection:
        await register_meters(
            connection, demo, resident_phone="+27820000001", password_hash="-", now=datetime.now(UTC)
        )


async def device_ids(pool: Pool) -> dict[str, int]:
    return dict(await rows(pool, "SELECT identity, id FROM devices WHERE kind = 'meter'"))


async def stored(pool: Pool) -> dict[tuple[str, int, str], float]:
    found = await rows(
        pool,
        "SELECT identity, ts, quantity, value FROM meter_samples JOIN devices ON devices.id = device_id",
    )
    names = {code: name for name, code in CODES.items()}
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return {
        (identity, (ts - epoch) // timedelta(microseconds=1), names[quantity]): value
        for identity, ts, quantity, value in found
    }


async def close(pool: Pool, device_id: int, port: int) -> UUID:
    command_id, now = uuid4(), datetime.now(UTC)
    async with pool.connection() as connection:
        await device_commands.insert_command(
            connection, command_id=command_id, device_id=device_id, action="close", port=port, payload=CLOSE,
            is_confirmed=bool(port), reason="operator", created_at=now, expires_at=now + timedelta(hours=1),
        )  # fmt: skip
    return command_id


@pytest.mark.parametrize("faults", [NO_FAULTS, BAD], ids=["well", "badly"])
async def test_what_the_fleet_knows_acknowledged_is_stored_and_its_valves_obey(
    tmp_path: Path, nats: Nats, bus: Client, pool: Pool, faults: Faults
) -> None:
    nbiot = nbiot_config()
    broker = BrokerConfig(nats.mqtt_url, "lorawan-test", reconnect_s_max=0.5)
    lorawan = LorawanConfig(IngestorConfig(broker, clock, PARTITIONS, "quarantine", drain_s=5.0))
    fleet: FleetConfig = config(
        tmp_path, lorawan_meters=LORAWAN, nbiot_meters=NBIOT, lorawan_mqtt_url=nats.network_mqtt_url,
        coap_url=f"coap://127.0.0.1:{nbiot.coap_port}", udp_address=f"127.0.0.1:{nbiot.udp_port}",
        meter_token=TOKEN, meter_interval_s=2, nbiot_readings=1, speed=1.0, faults=faults,
    )  # fmt: skip
    path = fleet.ledger_path
    await register(pool)
    stop, ready = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(120), served(nbiot, pool, bus), lorawan_role(lorawan, pool, bus):
        running = asyncio.create_task(run(fleet, stop=stop, ready=ready.set))
        await ready.wait()
        await until(lambda: _heard(path, LORAWAN + NBIOT), 60)
        if faults is NO_FAULTS:
            await close_all(pool, bus, path)
        else:
            acknowledged = len(ledger.meter_rows(path))
            await until(lambda: _has_rows(path, acknowledged + 100), 60)
        stop.set()
        await running
        known = {(row.identity, row.ts_us, row.quantity): row.value for row in ledger.meter_rows(path)}
        await until(lambda: _holds(pool, known), 30)
    found = await stored(pool)
    assert {key: found[key] for key in known} == {key: pytest.approx(value) for key, value in known.items()}
    closed = ledger.counts(path).get("meter_command_close", 0)
    if faults is NO_FAULTS:
        assert closed >= LORAWAN + NBIOT, "a command may come twice, as its message may"
        await assert_consumption(pool, path)


async def assert_consumption(pool: Pool, path: Path) -> None:
    """What the platform makes of the registers is what flowed, to the Wh and the litre."""
    truth: dict[str, list[int]] = {}
    for row in ledger.meter_rows(path):
        truth.setdefault(row.identity, []).append(row.register_milli // 1000)
    for serial_number, meter_id in await rows(pool, "SELECT serial_number, id FROM meters"):
        now = datetime.now(UTC)
        async with pool.connection() as connection:
            rated = await rated_readings(
                connection, meter_id, since=now - timedelta(days=2), until=now, limit=READINGS_MAX
            )
        known = truth[serial_number]
        assert len(rated) == len(known)
        consumed = sum(each.consumption for each in rated)
        assert consumed == Decimal(known[-1] - known[0]) / 1000


async def close_all(pool: Pool, bus: Client, path: Path) -> None:
    """Command every meter to close, and see that it said so and measured no more."""
    ids, wanted = await device_ids(pool), []
    for each in meter_identities(LORAWAN, NBIOT):
        device_id = ids[each.identity]
        wanted.append(await close(pool, device_id, COMMAND_PORT if each.way == "lorawan" else 0))
        await bus.publish(f"gridwire.device.{device_id}.commands")
    await until(lambda: _acknowledged(pool, wanted), 60)
    await until(lambda: _all_closed(path), 30)


async def _has_rows(path: Path, count: int) -> bool:
    return len(ledger.meter_rows(path)) >= count


async def _heard(path: Path, meters: int) -> bool:
    return path.exists() and len(ledger.last_meter_rows(path)) == meters


async def _all_closed(path: Path) -> bool:
    return not any(row.is_open for row in ledger.last_meter_rows(path).values())


async def _acknowledged(pool: Pool, command_ids: list[UUID]) -> bool:
    states = {(await get_command(pool, command_id)).state for command_id in command_ids}
    return states == {"acknowledged"}


async def _holds(pool: Pool, known: dict[tuple[str, int, str], float]) -> bool:
    return known.keys() <= (await stored(pool)).keys()


def test_the_codec_is_exact_on_its_examples() -> None:
    codec = read_codec("sim_water")
    examples = read_examples(list(codec.examples), 0)
    tried = try_examples(codec.source, examples, Limits())
    assert len(tried) == 3
    assert [each.difference for each in tried] == [None] * 3


def test_a_share_of_the_batteries_sends_frames_of_every_protocol() -> None:
    found = [raw_frames(number, 0.25) for number in range(1, 201)]
    raw = [each for each in found if each is not None]
    assert len(raw) == 50
    assert {(each.protocol, each.is_hex) for each in raw} == {
        (protocol, is_hex) for protocol in frames.ENCODERS for is_hex in (False, True)
    }
    assert {each.names_protocol for each in raw} == {True, False}
    assert not any(raw_frames(number, 0.0) for number in range(1, 50))
    assert all(raw_frames(number, 1.0) for number in range(1, 50))
    with pytest.raises(ValueError, match="0 to 1"):
        raw_frames(1, 1.5)


@pytest.mark.parametrize("number", range(1, 17))
def test_frames_of_a_battery_are_read_by_the_platform(number: int) -> None:
    raw = raw_frames(number, 1.0)
    assert raw is not None
    one = Battery(BatterySettings("B-1", 1.0, raw=raw), random.Random(number), 0)
    one.tick(5_000_000)
    batch = one.outgoing()
    assert batch is not None
    assert batch.topic.startswith("gridwire/batteries/B-1/raw")
    answer = frames.decode(batch.frames, raw.protocol if raw.names_protocol else None, received_at_us=1)
    assert answer.protocols == (raw.protocol,)
    assert not answer.refused
    assert answer.rows is not None
    (voltage,) = answer.rows.columns["voltage_v"]
    assert voltage == pytest.approx(sum(one.pack.cell_voltages_v), abs=0.1)
    one.acknowledge()
    assert one.is_settled
