"""OCPP clients that were not written here complete a session against the gateway, and take calls from it."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from nats.aio.client import Client
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import RegistrationStatus
from websockets.asyncio.client import connect

from storage.database import Pool
from storage.queries.devices import Device
from stream.bus import CallOutcome, call_charger
from tests.ingest.ocpp_gateway import (
    add_charger,
    add_driver,
    log_rows,
    running_gateway,
)

FOLDER = Path(__file__).parent
PASSWORD = "a long enough password"
CALLS: dict[str, dict[str, object]] = {
    "RemoteStartTransaction": {"idTag": "CARD", "connectorId": 1},
    "Reset": {"type": "Soft"},
    "UnlockConnector": {"connectorId": 1},
}
ANSWERS = ["Accepted", "Accepted", "Unlocked"]


async def call_all(bus: Client, device: Device) -> list[CallOutcome]:
    return [await call_charger(bus, device.id, action, payload, 10) for action, payload in CALLS.items()]


async def check_stored(pool: Pool, bus: Client, user_id: int, meter_stop_wh: int) -> None:
    async with pool.connection() as connection:
        query = "SELECT user_id, status, meter_start_wh, meter_stop_wh FROM sessions"
        rows = await (await connection.execute(query)).fetchall()
        tasks = await (await connection.execute("SELECT kind FROM outbox")).fetchall()
    assert rows == [(user_id, "completed", 100, meter_stop_wh)]
    assert sorted(tasks) == [("rate_session",), ("tell_session_started",)]
    assert (await log_rows(bus, "charger_samples"))["value"] == [1250.0]


class Charger(ChargePoint):  # type: ignore[misc]
    """The `ocpp` package's own charge point."""

    @on("RemoteStartTransaction")  # type: ignore[untyped-decorator]
    async def remote_start(self, **_: Any) -> Any:
        return call_result.RemoteStartTransaction("Accepted")

    @on("Reset")  # type: ignore[untyped-decorator]
    async def reset(self, **_: Any) -> Any:
        return call_result.Reset("Accepted")

    @on("UnlockConnector")  # type: ignore[untyped-decorator]
    async def unlock(self, **_: Any) -> Any:
        return call_result.UnlockConnector("Unlocked")


async def test_ocpp_package(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "PY1")
    user_id = await add_driver(pool, "CARD")
    async with (
        running_gateway(pool, bus) as running,
        connect(f"{running.url}/PY1", subprotocols=["ocpp1.6"]) as socket,  # type: ignore[list-item]
    ):
        charger = Charger("PY1", socket)
        reading = asyncio.create_task(charger.start())
        boot = await charger.call(call.BootNotification("Model", "Vendor"))
        assert boot.status == RegistrationStatus.accepted
        assert (await charger.call(call.Authorize("CARD"))).id_tag_info["status"] == "Accepted"
        outcomes = await call_all(bus, device)
        assert [outcome.payload.get("status") for outcome in outcomes] == ANSWERS
        now = "2026-03-04T05:06:07.000Z"
        started = await charger.call(call.StartTransaction(1, "CARD", 100, now))
        values = [{"timestamp": now, "sampled_value": [{"value": "1.25", "unit": "kWh"}]}]
        await charger.call(call.MeterValues(1, values, started.transaction_id))
        await charger.call(call.StopTransaction(1250, now, started.transaction_id))
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    await check_stored(pool, bus, user_id, 1250)


def skip_without_node() -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the foreign client of npm cannot run")
    if not (FOLDER / "node_modules" / "ocpp-rpc").exists():
        pytest.skip("npm's ocpp-rpc is not installed: run `make foreign`")


async def test_npm_ocpp_rpc(pool: Pool, bus: Client) -> None:
    skip_without_node()
    device = await add_charger(pool, "JS1", PasswordHasher().hash(PASSWORD))
    user_id = await add_driver(pool, "CARD")
    async with running_gateway(pool, bus) as running:
        process = await asyncio.create_subprocess_exec(
            "node", "session.js", running.url, "JS1", PASSWORD, "CARD",
            cwd=FOLDER, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        said: dict[str, Any] = {}
        outcomes: list[CallOutcome] = []
        async with asyncio.timeout(60):
            async for line in process.stdout:
                entry = json.loads(line)
                said[entry["what"]] = entry["value"]
                if entry["what"] == "heartbeat":
                    outcomes = await call_all(bus, device)
            await process.wait()
    assert "failed" not in said, said
    assert [outcome.payload.get("status") for outcome in outcomes] == ANSWERS
    assert said["boot"]["status"] == "Accepted"
    assert said["stop"]["idTagInfo"]["status"] == "Accepted"
    await check_stored(pool, bus, user_id, 1250)
