"""OCPP 2.0.1 and 2.1 clients that were not written here: a charging visit with all that the operator asks."""

import asyncio
import json
from types import ModuleType
from typing import Any

import pytest
from argon2 import PasswordHasher
from nats.aio.client import Client
from ocpp import v21, v201
from ocpp.routing import after, on
from websockets.asyncio.client import connect

from protocols.timestamps import parse_timestamp, to_datetime
from storage.database import Pool
from tests.foreign.test_foreign_clients import FOLDER, PASSWORD, skip_without_node
from tests.foreign.visit import BEGIN, INTERVAL, check_record, visit
from tests.ingest.ocpp_gateway import add_charger, add_driver, running_gateway

TOKEN = {"id_token": "CARD", "type": "ISO14443"}
EVSE = {"id": 1, "connector_id": 1}
POWER = {"component": {"name": "EVSE", "evse": {"id": 1}}, "variable": {"name": "Power"}}


def at(minute: int) -> str:
    return f"{to_datetime(parse_timestamp(BEGIN) + minute * 60_000_000):%Y-%m-%dT%H:%M:%S.000Z}"


def meter(minute: int, *samples: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"timestamp": at(minute), "sampled_value": list(samples)}]


def register(value: float, context: str = "Sample.Periodic", **more: Any) -> dict[str, Any]:
    return {"value": value, "measurand": "Energy.Active.Import.Register", "context": context, **more}


def reported(name: dict[str, Any], value: str) -> dict[str, Any]:
    return {**name, "variable_attribute": [{"value": value, "mutability": "ReadWrite"}]}


class Charger:
    """The package's own charge point, of the version that its subclass brings along."""

    call: Any  # of the package: sends one request
    requests: ModuleType
    answers: ModuleType
    said: asyncio.Queue[object]  # what we answered to the start and to the end

    async def boot(self) -> None:
        self.said = asyncio.Queue()
        station = {"model": "Model", "vendor_name": "Vendor"}
        boot = await self.call(self.requests.BootNotification(reason="PowerUp", charging_station=station))
        assert boot.status == "Accepted"
        assert (await self.call(self.requests.Heartbeat())).current_time
        await self.status("Available")
        authorized = await self.call(self.requests.Authorize(TOKEN))
        assert authorized.id_token_info["status"] == "Accepted"

    async def status(self, status: str) -> None:
        request = self.requests.StatusNotification
        await self.call(request(evse_id=1, connector_id=1, connector_status=status, timestamp=at(0)))

    async def event(self, kind: str, seq_no: int, trigger: str, **more: Any) -> Any:
        info = {"transaction_id": "foreign-1", **more.pop("info", {})}
        facts = {"event_type": kind, "seq_no": seq_no, "timestamp": at(seq_no), "trigger_reason": trigger}
        return await self.call(self.requests.TransactionEvent(transaction_info=info, **facts, **more))

    @on("GetVariables")  # type: ignore[untyped-decorator]
    async def get_variables(self, **_: Any) -> Any:
        result = {**INTERVAL, "attribute_status": "Accepted", "attribute_value": "300"}
        return self.answers.GetVariables([result])

    @on("SetVariables")  # type: ignore[untyped-decorator]
    async def set_variables(self, **_: Any) -> Any:
        return self.answers.SetVariables([{**INTERVAL, "attribute_status": "Accepted"}])

    @on("GetBaseReport")  # type: ignore[untyped-decorator]
    async def get_base_report(self, **_: Any) -> Any:
        return self.answers.GetBaseReport("Accepted")

    @after("GetBaseReport")  # type: ignore[untyped-decorator]
    async def report(self, request_id: int, **_: Any) -> None:
        facts = {"request_id": request_id, "generated_at": at(0)}
        for seq_no, data in enumerate((reported(POWER, "11000"), reported(INTERVAL, "120"))):
            part = self.requests.NotifyReport(seq_no=seq_no, tbc=seq_no == 0, report_data=[data], **facts)
            await self.call(part)

    @on("TriggerMessage")  # type: ignore[untyped-decorator]
    async def trigger_message(self, **_: Any) -> Any:
        return self.answers.TriggerMessage("Accepted")

    @after("TriggerMessage")  # type: ignore[untyped-decorator]
    async def triggered(self, **_: Any) -> None:
        await self.status("Occupied")

    @on("RequestStartTransaction")  # type: ignore[untyped-decorator]
    async def request_start(self, **_: Any) -> Any:
        return self.answers.RequestStartTransaction("Accepted")

    @after("RequestStartTransaction")  # type: ignore[untyped-decorator]
    async def started(self, remote_start_id: int, **_: Any) -> None:
        begun = await self.event(
            "Started", 0, "RemoteStart", id_token=TOKEN, evse=EVSE,
            info={"charging_state": "Charging", "remote_start_id": remote_start_id},
            meter_value=meter(0, register(1000, "Transaction.Begin")),
        )  # fmt: skip
        self.said.put_nowait(begun.id_token_info["status"])
        power = {"value": 11000, "measurand": "Power.Active.Import"}
        await self.event("Updated", 1, "MeterValuePeriodic", meter_value=meter(1, register(1600), power))
        thousands = {"unit": "Wh", "multiplier": 3}
        counted = register(2.1, unit_of_measure=thousands)
        await self.event("Updated", 2, "MeterValuePeriodic", meter_value=meter(2, counted))

    @on("RequestStopTransaction")  # type: ignore[untyped-decorator]
    async def request_stop(self, **_: Any) -> Any:
        return self.answers.RequestStopTransaction("Accepted")

    @after("RequestStopTransaction")  # type: ignore[untyped-decorator]
    async def ended(self, **_: Any) -> None:
        end = meter(3, register(2250, "Transaction.End"))
        stopped = {"stopped_reason": "Remote"}
        ended = await self.event("Ended", 3, "RemoteStop", info=stopped, evse=EVSE, meter_value=end)
        self.said.put_nowait(ended.total_cost)

    @on("Reset")  # type: ignore[untyped-decorator]
    async def reset(self, **_: Any) -> Any:
        return self.answers.Reset("Accepted")


class Charger201(Charger, v201.ChargePoint):  # type: ignore[misc]
    requests, answers = v201.call, v201.call_result


class Charger21(Charger, v21.ChargePoint):  # type: ignore[misc]
    requests, answers = v21.call, v21.call_result


@pytest.mark.parametrize(("kind", "subprotocol"), [(Charger201, "ocpp2.0.1"), (Charger21, "ocpp2.1")])
async def test_ocpp_package(pool: Pool, bus: Client, kind: Any, subprotocol: Any) -> None:
    device = await add_charger(pool, "PY2")
    user_id = await add_driver(pool, "CARD")
    async with (
        running_gateway(pool, bus) as running,
        connect(f"{running.url}/PY2", subprotocols=[subprotocol]) as socket,
    ):
        assert socket.subprotocol == subprotocol
        charger = kind("PY2", socket)
        reading = asyncio.create_task(charger.start())
        await charger.boot()
        await visit(pool, bus, device)
        async with asyncio.timeout(10):
            assert [await charger.said.get(), await charger.said.get()] == ["Accepted", 22.13]
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    await check_record(pool, bus, device, user_id)


@pytest.mark.parametrize("subprotocol", ["ocpp2.0.1", "ocpp2.1"])
async def test_npm_ocpp_rpc(pool: Pool, bus: Client, subprotocol: str) -> None:
    """It holds each frame, both ways, against the schemas of its own."""
    skip_without_node()
    device = await add_charger(pool, "JS2", PasswordHasher().hash(PASSWORD))
    user_id = await add_driver(pool, "CARD")
    async with running_gateway(pool, bus) as running:
        process = await asyncio.create_subprocess_exec(
            "node", "session_2.js", running.url, "JS2", PASSWORD, subprotocol,
            cwd=FOLDER, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        said: dict[str, Any] = {}
        async with asyncio.timeout(60):
            async for line in process.stdout:
                entry = json.loads(line)
                said[entry["what"]] = entry["value"]
                if entry["what"] == "ready":
                    await visit(pool, bus, device)
            await process.wait()
    assert "failed" not in said, said
    assert said["boot"]["status"] == "Accepted"
    assert said["authorize"]["idTokenInfo"]["status"] == "Accepted"
    assert said["started"]["idTokenInfo"]["status"] == "Accepted"
    assert said["ended"] == {"totalCost": 22.13}
    await check_record(pool, bus, device, user_id)
