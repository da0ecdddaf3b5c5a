"""What the operator asks of a foreign OCPP 2.x charger while a car is there, and what is on record after it.

Used by `test_foreign_clients_2.py` for each client. They all play the same charger: EVSE 1, from 1,000 to
2,250 Wh, a report in two parts.
"""

from typing import Any

from nats.aio.client import Client

from protocols.timestamps import parse_timestamp
from protocols.vocabulary import MEASURAND_CODES
from storage.database import Pool
from storage.queries.charger_jobs import list_jobs
from storage.queries.chargers import list_connectors
from storage.queries.device_model import list_variables
from storage.queries.devices import Device
from storage.queries.sessions import SessionDetail, list_sessions
from stream.bus import call_charger
from stream.jobs import JobsConfig, work_one
from tests.ingest.ocpp_gateway import eventually, log_rows, now_us

BEGIN = "2026-03-04T05:00:00.000Z"
METER_START_WH, METER_LAST_WH, METER_STOP_WH = 1000, 2100, 2250
REPORT_ID, REMOTE_START_ID = 7, 42
INTERVAL = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
STATUS_OF_1 = {"requestedMessage": "StatusNotification", "evse": {"id": 1, "connectorId": 1}}
START = {
    "remoteStartId": REMOTE_START_ID,
    "evseId": 1,
    "idToken": {"idToken": "CARD", "type": "ISO14443"},
}
REGISTER = MEASURAND_CODES["Energy.Active.Import.Register"]
POWER = MEASURAND_CODES["Power.Active.Import"]
RECORDS = "SELECT session_id, user_id, energy_wh, total_minor FROM cdrs"


async def visit(pool: Pool, bus: Client, device: Device) -> None:
    """Ask for everything in turn; a step begins when what the last one caused is on record."""

    async def ask(action: str, payload: dict[str, Any]) -> dict[str, Any]:
        outcome = await call_charger(bus, device.id, action, payload, 10)
        assert outcome.outcome == "result", (action, outcome)
        return outcome.payload

    async def is_reported() -> bool:
        async with pool.connection() as connection:
            jobs, _ = await list_jobs(connection, device.id, limit=10)
        return [(each.kind, each.is_finished, each.parts) for each in jobs] == [("report", True, 2)]

    async def is_occupied() -> bool:
        async with pool.connection() as connection:
            connectors = await list_connectors(connection, device.id)
        return [each.status for each in connectors] == ["Preparing"]

    async def is_charging() -> bool:
        return [each.meter_last_wh for each in await sessions(pool)] == [METER_LAST_WH]

    async def is_completed() -> bool:
        return [each.status for each in await sessions(pool)] == ["completed"]

    (result,) = (await ask("GetVariables", {"getVariableData": [INTERVAL]}))["getVariableResult"]
    assert (result["attributeStatus"], result["attributeValue"]) == ("Accepted", "300")
    change = {**INTERVAL, "attributeValue": "120"}
    (result,) = (await ask("SetVariables", {"setVariableData": [change]}))["setVariableResult"]
    assert result["attributeStatus"] == "Accepted"
    report = {"requestId": REPORT_ID, "reportBase": "FullInventory"}
    assert await ask("GetBaseReport", report) == {"status": "Accepted"}
    await eventually(is_reported)
    assert await ask("TriggerMessage", STATUS_OF_1) == {"status": "Accepted"}
    await eventually(is_occupied)
    assert await ask("RequestStartTransaction", START) == {"status": "Accepted"}
    await eventually(is_charging)
    (session,) = await sessions(pool)
    stop = {"transactionId": session.transaction_uid}
    assert await ask("RequestStopTransaction", stop) == {"status": "Accepted"}
    await eventually(is_completed)
    assert await ask("Reset", {"type": "OnIdle"}) == {"status": "Accepted"}


async def check_record(pool: Pool, bus: Client, device: Device, user_id: int) -> None:
    """One session, one record of it with the meter's energy, the samples, and what the report told."""
    while await work_one(JobsConfig(now_us), pool, bus):
        pass
    (session,) = await sessions(pool)
    assert (session.user_id, session.status, session.remote_start_id) == (
        user_id,
        "completed",
        REMOTE_START_ID,
    )
    assert (session.meter_start_wh, session.meter_stop_wh) == (METER_START_WH, METER_STOP_WH)
    assert (session.id_tag, session.stop_reason, session.connector_id) == ("CARD", "Remote", 1)
    async with pool.connection() as connection:
        records = await (await connection.execute(RECORDS)).fetchall()
        variables, _ = await list_variables(connection, device.id, limit=10)
    assert records == [(session.id, user_id, METER_STOP_WH - METER_START_WH, 2213)], (
        "1.25 kWh at 15.00, 18 % tax"
    )
    assert {each.variable: each.value for each in variables} == {"HeartbeatInterval": "120", "Power": "11000"}
    rows = await log_rows(bus, "charger_samples")
    assert set(rows["transaction_id"]) == {session.transaction_id}
    minutes = [(each - parse_timestamp(BEGIN)) // 60_000_000 for each in rows["ts"]]
    assert sorted(zip(minutes, rows["measurand"], rows["value"], strict=True)) == [
        (0, REGISTER, 1000.0),
        (1, REGISTER, 1600.0),
        (1, POWER, 11000.0),
        (2, REGISTER, 2100.0),
        (3, REGISTER, 2250.0),
    ]


async def sessions(pool: Pool) -> list[SessionDetail]:
    async with pool.connection() as connection:
        return (await list_sessions(connection, limit=10))[0]
