import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from deploy.temporary import TemporaryNats as Nats
from deploy.temporary import free_port
from protocols.ocpp.surface import Version
from simulators import ledger
from simulators.fleet import (
    FleetConfig,
    battery_serials,
    charger_identities,
    charger_versions,
    run,
    version_weights,
)
from tests.simulators.central import Central, CentralServer, until
from tests.simulators.test_battery_client import platform
from tests.simulators.test_charger_client import clock


def config(path: Path, **more: Any) -> FleetConfig:
    nowhere = f"127.0.0.1:{free_port()}"
    basis = FleetConfig(
        chargers=0, batteries=0, seed=1, ocpp_url=f"ws://{nowhere}", mqtt_url=f"mqtt://{nowhere}",
        ledger_path=path / "fleet.sqlite", clock=clock, charger_interval_s=1, battery_interval_s=0.1,
        first_plug_s=(0.0, 5.0), session_s=(100.0, 200.0), pause_s=(1.0, 2.0), speed=50.0,
        retry_s=0.05, retry_s_max=0.2, finish_s=3.0,
    )  # fmt: skip
    return dataclasses.replace(basis, **more)


def test_identities_are_numbered() -> None:
    assert charger_identities(2) == ["SIM-CP-0001", "SIM-CP-0002"]
    assert battery_serials(1, "B") == ["B-0001"]
    assert charger_identities(0) == []


async def test_a_fleet_of_none_is_ready_and_stops(tmp_path: Path) -> None:
    stop, readies = asyncio.Event(), []
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(run(config(tmp_path), stop=stop, ready=lambda: readies.append(1)))
        await until(lambda: readies == [1])
        stop.set()
    assert ledger.counts(tmp_path / "fleet.sqlite") == {}


async def test_unknown_faults_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await run(config(tmp_path, faults="wild"), stop=asyncio.Event(), ready=lambda: None)
    assert caught.group_contains(ValueError, match="'wild'")


async def test_the_ledger_holds_what_the_platform_heard(tmp_path: Path, nats: Nats) -> None:
    server, stop, ready = CentralServer(Central()), asyncio.Event(), asyncio.Event()
    path = tmp_path / "fleet.sqlite"
    async with asyncio.timeout(60), server.running(), platform(nats) as one:
        fleet = config(
            tmp_path, chargers=3, batteries=5, ocpp_url=server.url, mqtt_url=nats.device_mqtt_url,
            mqtt_connections_max=2, password={"SIM-CP-0001": "a"},
        )  # fmt: skip
        running = asyncio.create_task(run(fleet, stop=stop, ready=ready.set))
        await ready.wait()
        await until(lambda: ledger.counts(path).get("session_stops", 0) >= 4)
        stop.set()
        await running
        batteries = ledger.battery_rows(path)
        await until(lambda: sum(map(len, one.times.values())) >= len(batteries))
    heard = {(serial, ts_us) for serial, times in one.times.items() for ts_us in times}
    assert {(row.serial, row.ts_us) for row in batteries} == heard
    sent = sum(len(call["meterValue"][0]["sampledValue"]) for call in server.central.of("MeterValues"))
    assert len(ledger.charger_rows(path)) == sent
    sessions = ledger.sessions(path)
    assert all(session.stop_acks == 1 for session in sessions), "every session was ended before it left"
    assert sum(s.meter_stop_wh or 0 for s in sessions) == sum(
        stop["meterStop"] for stop in server.central.of("StopTransaction")
    )
    assert {row.serial for row in batteries} == set(battery_serials(5))
    assert sorted(path.rsplit("/", 1)[1] for path in server.paths) == charger_identities(3)
    assert server.authorizations.count(None) == 2


async def test_a_fleet_with_a_number_of_sessions_ends_by_itself_and_its_meters_go_on(tmp_path: Path) -> None:
    server = CentralServer(Central())
    async with asyncio.timeout(60), server.running():
        fleet = config(tmp_path, chargers=2, ocpp_url=server.url, sessions_per_charger=2, connectors=1)
        for _ in range(2):
            await run(fleet, stop=asyncio.Event(), ready=lambda: None)
    sessions = ledger.sessions(tmp_path / "fleet.sqlite")
    assert len(sessions) == 8
    for identity in charger_identities(2):
        registers = [
            register
            for session in sorted(sessions, key=lambda session: session.started_us)
            if session.identity == identity
            for register in (session.meter_start_wh, session.meter_stop_wh or 0)
        ]
        assert registers == sorted(registers)


def test_versions_are_dealt_out_by_their_weights() -> None:
    weights = {Version.V16: 0.5, Version.V201: 0.3, Version.V21: 0.2}
    dealt = charger_versions(100, weights)
    assert [dealt.count(version) for version in weights] == [50, 30, 20]
    assert set(charger_versions(5, weights)) == set(Version)
    assert charger_versions(3, {Version.V16: 1.0}) == [Version.V16] * 3
    dealt = charger_versions(8, version_weights(0.5))
    assert [dealt.count(version) for version in Version] == [4, 2, 2]
    assert charger_versions(4, version_weights(0.0)) == [Version.V16] * 4
    with pytest.raises(ValueError, match="0 to 1"):
        version_weights(1.5)
    for wrong in ({Version.V16: 0.0}, {Version.V16: 1.0, Version.V21: -1.0}):
        with pytest.raises(ValueError, match="weights"):
            charger_versions(3, wrong)


async def test_a_mixed_fleet_speaks_each_its_version_and_has_one_ledger(tmp_path: Path) -> None:
    server, path = CentralServer(Central()), tmp_path / "fleet.sqlite"
    async with asyncio.timeout(60), server.running():
        weights = {Version.V16: 1.0, Version.V201: 1.0, Version.V21: 1.0}
        fleet = config(tmp_path, chargers=6, ocpp_url=server.url, sessions_per_charger=2, versions=weights)
        await run(fleet, stop=asyncio.Event(), ready=lambda: None)
    assert sorted(server.subprotocols) == sorted(version.subprotocol for version in Version for _ in range(2))
    sessions = ledger.sessions(path)
    assert len(sessions) == 12
    assert all(session.stop_acks == 1 for session in sessions)
    energies = [(session.meter_stop_wh or 0) - session.meter_start_wh for session in sessions]
    assert min(energies) > 0
    central = server.central
    begun = [event for event in central.of("TransactionEvent") if event["eventType"] == "Started"]
    own = {event["transactionInfo"]["transactionId"] for event in begun}
    assert {session.transaction_id for session in sessions} == own | set(central.transactions.values())
    values = [call["meterValue"] for call in central.of("MeterValues")]
    values += [event["meterValue"] for event in central.of("TransactionEvent") if "meterValue" in event]
    assert len(ledger.charger_rows(path)) == sum(len(value["sampledValue"]) for (value,) in values)
