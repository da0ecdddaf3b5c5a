"""EV-CMS chargers (EV-029 to EV-032, EV-038): what each role sees, and commands over the real bus."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from storage.database import Pool
from storage.queries import chargers, stations
from tests.api.helpers import CHARGER, Clock, Person, begin_session, gateway, make_charger, result

URL = "/api/v1/chargers"
KEYS = {
    "id", "chargerId", "chargerName", "stationId", "manufacturer", "model", "firmwareVersion", "status",
    "lastHeartbeat", "connectors", "location", "isArchived",
}  # fmt: skip


async def ids(api: httpx.AsyncClient, person: Person, **query: Any) -> list[str]:
    answer = await api.get(URL, params=query, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return [row["chargerId"] for row in answer.json()["data"]]


async def test_a_charger_has_the_documented_shape(api: httpx.AsyncClient, driver: Person, pool: Pool) -> None:
    device_id = await make_charger(pool)
    session_id = await begin_session(pool, device_id, driver.id, datetime.now(UTC))
    data = (await api.get(f"{URL}/{device_id}", headers=driver.headers)).json()["data"]
    charger = data.pop("charger")
    assert data == charger
    assert set(charger) == KEYS
    assert charger["id"] == str(device_id)
    assert charger["chargerId"] == CHARGER
    assert charger["chargerName"] == "Gate 1"
    assert charger["status"] == "Online"
    assert charger["manufacturer"] == "Acme"
    assert charger["isArchived"] is False
    (connector,) = charger["connectors"]
    assert connector == {
        "connectorId": 1,
        "type": "Type2",
        "power": 22.0,
        "status": "Available",
        "currentSession": str(session_id),
    }


async def test_lists_have_every_readers_key(api: httpx.AsyncClient, driver: Person, pool: Pool) -> None:
    await make_charger(pool)
    body = (await api.get(URL, headers=driver.headers)).json()
    assert body["success"] is True
    assert body["chargers"] == body["data"]
    assert body["pagination"]["total"] == 1
    assert "currentSession" not in body["data"][0]["connectors"][0]


async def test_a_brand_sees_its_own_and_the_others_see_all(
    api: httpx.AsyncClient, driver: Person, brand: Person, rival: Person, admin: Person, pool: Pool
) -> None:
    own = await make_charger(pool, "CP-1", brand.id)
    other = await make_charger(pool, "CP-2", rival.id)
    assert await ids(api, brand) == ["CP-1"]
    assert await ids(api, rival) == ["CP-2"]
    assert await ids(api, driver) == await ids(api, admin) == ["CP-1", "CP-2"]
    assert (await api.get(f"{URL}/{own}", headers=brand.headers)).status_code == 200
    foreign = await api.get(f"{URL}/{other}", headers=brand.headers)
    assert foreign.status_code == 403
    assert foreign.json()["statusCode"] == 403


async def test_archived_chargers_are_not_listed(
    api: httpx.AsyncClient, admin: Person, driver: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool)
    async with pool.connection() as db:
        await db.execute("UPDATE devices SET status = 'archived' WHERE id = %s", (device_id,))
    assert await ids(api, admin) == await ids(api, driver) == []


@pytest.mark.parametrize("id_", ["0", "99999", "x", "-1", "9" * 40, "1.5", "%00", "ａ"])
async def test_no_such_charger(api: httpx.AsyncClient, driver: Person, id_: str) -> None:
    for path in (f"{URL}/{id_}", f"{URL}/{id_}/status"):
        answer = await api.get(path, headers=driver.headers)
        assert answer.status_code == 404
        assert answer.json()["statusCode"] == 404


async def test_filters(api: httpx.AsyncClient, driver: Person, brand: Person, pool: Pool) -> None:
    first = await make_charger(pool, "CP-1")
    await make_charger(pool, "CP-2", online=False)
    async with pool.connection() as db:
        station = await stations.insert_station(db, "Depot", owner_id=brand.id)
        await chargers.set_charger_station(db, first, station.id)
        await chargers.set_connector_status(db, first, 0, "Faulted", "OtherError", datetime.now(UTC))
    assert await ids(api, driver, status="Faulted") == ["CP-1"]
    assert await ids(api, driver, status="Offline") == ["CP-2"]
    assert await ids(api, driver, status="Online") == []
    assert await ids(api, driver, station=str(station.id)) == ["CP-1"]
    assert await ids(api, driver, station="nowhere") == []
    assert await ids(api, driver, manufacturer="acme") == ["CP-1", "CP-2"]
    assert await ids(api, driver, manufacturer="Bolt") == []
    assert (await api.get(URL, params={"status": "online!"}, headers=driver.headers)).status_code == 422
    shown = (await api.get(f"{URL}/{first}", headers=driver.headers)).json()["data"]
    assert shown["stationId"] == str(station.id)


async def test_stats(api: httpx.AsyncClient, driver: Person, pool: Pool, clock: Clock) -> None:
    first = await make_charger(pool, "CP-1")
    await make_charger(pool, "CP-2", online=False)
    await begin_session(pool, first, driver.id, clock.moment() - timedelta(hours=6))
    data = (await api.get(f"{URL}/stats", headers=driver.headers)).json()["data"]
    counts = {"totalChargers": 2, "online": 1, "offline": 1, "faulted": 0}
    assert data == {**counts, "utilization": 12.5}
    elsewhere = await api.get(f"{URL}/stats", params={"stationId": "7"}, headers=driver.headers)
    assert elsewhere.json()["data"]["totalChargers"] == 0


async def test_live_status(api: httpx.AsyncClient, driver: Person, pool: Pool) -> None:
    device_id = await make_charger(pool)
    data = (await api.get(f"{URL}/{device_id}/status", headers=driver.headers)).json()["data"]
    assert set(data) == {"status", "currentPower", "temperature", "lastHeartbeat"}
    assert data["status"] == "Online"
    assert data["currentPower"] == 0


@pytest.mark.parametrize(
    ("body", "call"),
    [
        ({"command": "Reset"}, ("Reset", {"type": "Soft"})),
        ({"command": "Unlock", "connectorId": 1}, ("UnlockConnector", {"connectorId": 1})),
        (
            {"command": "ChangeConfiguration", "params": {"key": "A", "value": "1"}},
            ("ChangeConfiguration", {"key": "A", "value": "1"}),
        ),
    ],
)
async def test_a_command_reaches_the_charger_and_returns_its_answer(
    api: httpx.AsyncClient, admin: Person, pool: Pool, bus: Client, body: Any, call: Any
) -> None:
    device_id = await make_charger(pool)

    async def accept(action: str, payload: Any) -> Any:
        return result(status="Accepted")

    async with gateway(bus, device_id, accept) as calls:
        answer = await api.post(f"{URL}/{device_id}/command", json=body, headers=admin.headers)
    assert answer.status_code == 200, answer.text
    assert calls == [call]
    data = answer.json()["data"]
    assert data["result"]["command"] == body["command"]
    assert data["result"]["status"] == data["status"] == "Accepted"


async def command(api: httpx.AsyncClient, person: Person, device_id: int) -> httpx.Response:
    return await api.post(f"{URL}/{device_id}/command", json={"command": "Reset"}, headers=person.headers)


async def test_an_offline_charger_is_said_to_be_offline(
    api: httpx.AsyncClient, admin: Person, pool: Pool
) -> None:
    answer = await command(api, admin, await make_charger(pool, online=False))
    assert answer.status_code == 400
    assert "offline" in answer.json()["message"].lower()


async def test_a_silent_charger_and_one_that_refuses(
    api: httpx.AsyncClient, admin: Person, pool: Pool, bus: Client
) -> None:
    device_id = await make_charger(pool)
    reactions: list[Any] = [
        {"outcome": "timeout"},
        {"outcome": "error", "code": "NotSupported", "description": "no reset here"},
    ]

    async def react(action: str, payload: Any) -> Any:
        return reactions.pop(0)

    async with gateway(bus, device_id, react):
        silent = await command(api, admin, device_id)
        refusing = await command(api, admin, device_id)
    assert silent.status_code == refusing.status_code == 400
    assert "did not answer" in silent.text
    assert "NotSupported" in refusing.json()["error"]
    assert "no reset here" in refusing.json()["error"]


async def test_who_may_command(
    api: httpx.AsyncClient, driver: Person, brand: Person, rival: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool, owner_id=brand.id, online=False)
    assert (await command(api, driver, device_id)).status_code == 403
    assert (await command(api, rival, device_id)).status_code == 403
    assert (await command(api, brand, device_id)).status_code == 400
    assert (await command(api, brand, 99_999)).status_code == 404


@pytest.mark.parametrize("body", [{}, {"command": "Explode"}, {"command": "Unlock"}])
async def test_what_is_no_command(api: httpx.AsyncClient, admin: Person, pool: Pool, body: Any) -> None:
    device_id = await make_charger(pool)
    answer = await api.post(f"{URL}/{device_id}/command", json=body, headers=admin.headers)
    assert answer.status_code == 422
