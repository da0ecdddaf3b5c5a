import asyncio
import base64
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from deploy.temporary import free_port
from simulators.charger import ChargePoint
from simulators.charger_client import ChargerClient, LinkConfig
from simulators.charger_settings import ChargerSettings
from simulators.faults import Faults
from simulators.records import ChargerRow, Counted, Record, SessionStarted, SessionStopped
from tests.simulators.central import Central, CentralServer, until

QUICK: dict[str, Any] = {
    "connectors": 1, "sample_interval_s": 1, "first_plug_s": (0.0, 5.0), "session_s": (100.0, 200.0),
    "pause_s": (1.0, 2.0), "speed": 50.0, "sessions_max": 2, "call_timeout_s": 3.0,
}  # fmt: skip


def clock() -> int:
    return time.time_ns() // 1000


class Recorded(list[Record]):
    async def record(self, records: Sequence[Record]) -> None:
        self.extend(records)

    def of(self, kind: type) -> list[Any]:
        return [record for record in self if isinstance(record, kind)]

    def total(self, name: str) -> int:
        return sum(record.times for record in self.of(Counted) if record.name == name)


@asynccontextmanager
async def running(
    url: str, recorded: Recorded, password: str | None = None, **settings: Any
) -> AsyncIterator[ChargerClient]:
    chosen = ChargerSettings(**{"identity": "CP-1", "id_tags": ("TAG",), **QUICK, **settings})
    model = ChargePoint(chosen, random.Random(1), clock())
    link = LinkConfig(url, password, retry_s=0.05, retry_s_max=0.2, finish_s=3.0)
    client = ChargerClient(model, link, recorded.record, clock, random.Random(2))
    task = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        client.finish()
        await asyncio.wait_for(task, 10)


async def test_sessions_over_a_real_socket_with_basic_authentication() -> None:
    server, recorded = CentralServer(Central()), Recorded()
    async with server.running(), running(server.url, recorded, "secret") as client:
        await until(lambda: client.model.is_done)
    assert server.paths == ["/some/where/CP-1"]
    assert server.authorizations == [f"Basic {base64.b64encode(b'CP-1:secret').decode()}"]
    assert [record.transaction_id for record in recorded.of(SessionStarted)] == [1, 2]
    assert [record.transaction_id for record in recorded.of(SessionStopped)] == [1, 2]
    sent = sum(len(call["meterValue"][0]["sampledValue"]) for call in server.central.of("MeterValues"))
    assert len(recorded.of(ChargerRow)) == sent > 20


async def test_a_lost_answer_makes_a_duplicate_and_one_record() -> None:
    server, recorded = CentralServer(Central()), Recorded()
    server.dropped_actions = ["StartTransaction", "MeterValues", "StopTransaction"]
    async with server.running(), running(server.url, recorded) as client:
        await until(lambda: client.model.is_done)
    central = server.central
    assert len(server.paths) == 4
    assert len(central.of("BootNotification")) == 1
    assert (len(central.of("StartTransaction")), len(recorded.of(SessionStarted))) == (3, 2)
    assert (len(central.of("StopTransaction")), len(recorded.of(SessionStopped))) == (3, 2)
    assert len(set(central.message_ids)) == len(central.message_ids)
    sent = [
        (call["meterValue"][0]["timestamp"], value["measurand"], value.get("phase"), value["context"])
        for call in central.of("MeterValues")
        for value in call["meterValue"][0]["sampledValue"]
    ]
    assert len(sent) > len(set(sent)) == len(recorded.of(ChargerRow))


async def test_a_gateway_that_comes_late_gets_everything() -> None:
    server, recorded = CentralServer(Central()), Recorded()
    port = free_port()
    async with running(f"ws://127.0.0.1:{port}/some/where", recorded, sessions_max=1) as client:
        await until(lambda: client.model.connectors[1].transaction is not None)
        async with server.running(port):
            await until(lambda: client.model.is_done)
    assert len(recorded.of(SessionStopped)) == 1


async def test_commands_are_answered_while_a_call_is_outstanding() -> None:
    server, recorded = CentralServer(Central()), Recorded()
    async with server.running(), running(server.url, recorded, first_plug_s=(1e6, 2e6)) as client:
        await until(lambda: client.model.is_accepted)
        server.central.hear = lambda text: server.central.answers.update({text: {}})  # type: ignore[method-assign]
        await server.sockets[0].send('[2,"a","TriggerMessage",{"requestedMessage":"Heartbeat"}]')
        await until(lambda: any("Heartbeat" in text for text in server.central.answers))
        await server.sockets[0].send('[2,"b","ClearCache",{}]')
        await until(lambda: any('"b"' in text for text in server.central.answers), timeout_s=2)


async def test_a_soft_reset_reconnects_and_boots_again() -> None:
    server, recorded = CentralServer(Central()), Recorded()
    async with server.running(), running(server.url, recorded, first_plug_s=(1e6, 2e6)) as client:
        await until(lambda: client.model.is_accepted)
        await server.sockets[0].send('[2,"r","Reset",{"type":"Soft"}]')
        await until(lambda: len(server.central.of("BootNotification")) == 2)
    assert server.central.answers["r"] == {"status": "Accepted"}
    assert len(server.paths) == 2


async def test_finishing_ends_sessions_and_waits_for_their_acknowledgement() -> None:
    server, recorded = CentralServer(Central()), Recorded()
    async with server.running():
        async with running(server.url, recorded, session_s=(1e6, 2e6)) as client:
            await until(lambda: bool(recorded.of(SessionStarted)))
        assert client.model.is_settled
    assert len(recorded.of(SessionStopped)) == 1


async def test_finishing_without_a_gateway_is_bounded() -> None:
    recorded = Recorded()
    started_s = time.monotonic()
    async with running(f"ws://127.0.0.1:{free_port()}", recorded, session_s=(1e6, 2e6)) as client:
        await until(lambda: client.model.connectors[1].transaction is not None)
    assert time.monotonic() - started_s < 9
    assert not recorded.of(SessionStopped)


async def test_rough_links_lose_and_invent_nothing() -> None:
    server, recorded = CentralServer(Central()), Recorded()
    faults = Faults(
        disconnect=0.1, duplicate=0.2, rubbish=0.2, truncated=0.1, out_of_range=0.1, clock_1970=0.1
    )
    async with server.running(), running(server.url, recorded, faults=faults, sessions_max=4) as client:
        await until(lambda: client.model.is_done, timeout_s=60)
    central = server.central
    assert central.bad_frames > 0
    assert recorded.total("charger_links_dropped") > 0
    assert len(central.transactions) == 4
    assert len(recorded.of(SessionStopped)) == 4
    sent = {
        (call["meterValue"][0]["timestamp"], value["measurand"], value.get("phase", ""), value["context"])
        for call in central.of("MeterValues")
        for value in call["meterValue"][0]["sampledValue"]
        if value["value"] != "1e300" and not call["meterValue"][0]["timestamp"].startswith("1970")
    }
    assert len(recorded.of(ChargerRow)) == len(sent)
