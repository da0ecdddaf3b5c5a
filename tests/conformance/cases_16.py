"""The reusable states of the OCPP 1.6 cases, and what they look at afterwards; used by `test_oca_16_*`."""

from typing import Any

from protocols.timestamps import parse_timestamp
from tests.conformance.station import Station, at, sessions
from tests.ingest.ocpp_gateway import now_us

TAG = "TAG-1"


async def boot(cp: Station) -> None:
    """Reusable state Booted."""
    answer = await cp.call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
    assert answer["status"] == "Accepted"
    assert abs(parse_timestamp(answer["currentTime"]) - now_us()) < 5_000_000
    assert answer["interval"] > 0
    for connector in (0, 1):
        await status(cp, "Available", connector)


async def status(cp: Station, name: str, connector: int = 1, error: str = "NoError") -> None:
    payload = {"connectorId": connector, "errorCode": error, "status": name, "timestamp": at()}
    assert await cp.call("StatusNotification", payload) == {}


async def authorize(cp: Station, tag: str = TAG) -> str:
    """Reusable state Authorized."""
    answer = await cp.call("Authorize", {"idTag": tag})
    return str(answer["idTagInfo"]["status"])


async def start(cp: Station, tag: str = TAG, *, meter_wh: int = 0, seconds: float = 0.0) -> Any:
    payload = {"connectorId": 1, "idTag": tag, "meterStart": meter_wh, "timestamp": at(seconds)}
    return await cp.call("StartTransaction", payload)


async def stop(cp: Station, transaction: int, meter_wh: int, reason: str, seconds: float = 1.0) -> Any:
    payload = {"transactionId": transaction, "meterStop": meter_wh, "timestamp": at(seconds)}
    return await cp.call("StopTransaction", {**payload, "idTag": TAG, "reason": reason})


async def charge(cp: Station) -> int:
    """Reusable state Charging."""
    assert await authorize(cp) == "Accepted"
    await status(cp, "Preparing")
    answer = await start(cp)
    assert answer["idTagInfo"]["status"] == "Accepted"
    await status(cp, "Charging")
    return int(answer["transactionId"])


async def only_session(cp: Station) -> dict[str, Any]:
    (session,) = await sessions(cp.running, cp.device)
    return session


async def connector_status(cp: Station) -> str:
    query = "SELECT status FROM connectors WHERE device_id = %s AND connector_id = 1"
    async with cp.running.pool.connection() as connection:
        row = await (await connection.execute(query, [cp.device.id])).fetchone()
    return "" if row is None else str(row[0])
