"""EV-CMS sessions (EV-045 to EV-051): lists, ownership, and a session started and stopped from afar."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from storage.database import Pool
from storage.queries import sessions
from stream.settlement import rate_session
from tests.api.helpers import CHARGER, Person, begin_session, gateway, make_charger, result

URL = "/api/v1/sessions"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REQUIRED = {
    "id", "sessionId", "userId", "chargerId", "connectorId", "vehicleId", "status", "startTime", "meterStart",
    "paymentStatus",
}  # fmt: skip
CDR = {
    "sessionId", "userId", "userName", "chargerId", "connectorId", "vehicleInfo", "startTime", "endTime",
    "duration", "energyConsumed", "meterStart", "meterStop", "totalCost", "currency", "pricing",
}  # fmt: skip


async def end_session(
    pool: Pool, device_id: int, session_id: int, at: datetime, *, meter: int = 11_000, rated: bool = True
) -> None:
    async with pool.connection() as db:
        session = await sessions.get_session(db, session_id)
        assert session is not None
        await sessions.stop_session(
            db,
            device_id=device_id,
            transaction_id=session.transaction_id,
            ended_at=at,
            received_at=at,
            meter_stop_wh=meter,
            reason="Remote",
        )
        if rated:
            await rate_session(db, session_id, 0)


async def charged(pool: Pool, device_id: int, user_id: int, at: datetime = NOON) -> int:
    session_id = await begin_session(pool, device_id, user_id, at)
    await end_session(pool, device_id, session_id, at + timedelta(hours=1))
    return session_id


async def ids(api: httpx.AsyncClient, person: Person, path: str = "", **query: Any) -> list[str]:
    answer = await api.get(f"{URL}{path}", params=query, headers=person.headers)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["sessions"] == body["data"]
    return [row["id"] for row in body["data"]]


async def test_a_rated_session_and_its_record(api: httpx.AsyncClient, driver: Person, pool: Pool) -> None:
    device_id = await make_charger(pool)
    session_id = await charged(pool, device_id, driver.id)
    data = (await api.get(f"{URL}/{session_id}", headers=driver.headers)).json()["data"]
    session = data.pop("session")
    assert data == session
    assert set(session) >= REQUIRED
    assert session["id"] == session["sessionId"] == str(session_id)
    assert session["userId"] == str(driver.id)
    assert session["chargerId"] == CHARGER
    assert (session["meterStart"], session["meterStop"]) == (1_000, 11_000)
    assert session["energyConsumed"] == 10
    assert session["duration"] == 60
    assert session["cost"] == 177  # 10 kWh at 15.00, and 18 % of it
    assert session["startTime"] == "2026-03-01T12:00:00.000Z"
    assert session["status"] == "completed"
    record = (await api.get(f"{URL}/{session_id}/cdr", headers=driver.headers)).json()["data"]
    cdr = record.pop("cdr")
    assert record == cdr
    assert set(cdr) == CDR
    assert cdr["totalCost"] == 177
    assert cdr["currency"] == "INR"
    assert cdr["userName"] == "user"
    pricing = cdr["pricing"]
    assert {"energyRate", "totalEnergyCost", "parkingFee", "gst"} <= set(pricing)
    assert (pricing["energyRate"], pricing["totalEnergyCost"], pricing["gst"]) == (15, 150, 27)


async def test_an_active_session_has_no_end_and_no_record(
    api: httpx.AsyncClient, driver: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool)
    session_id = await begin_session(pool, device_id, driver.id, NOON)
    session = (await api.get(f"{URL}/{session_id}", headers=driver.headers)).json()["data"]["session"]
    assert session["status"] == "active"
    assert session["paymentStatus"] == "pending"
    assert not {"endTime", "meterStop", "cost", "stopReason"} & set(session)
    assert await ids(api, driver, "/active") == [str(session_id)]
    missing = await api.get(f"{URL}/{session_id}/cdr", headers=driver.headers)
    assert missing.status_code == 404


async def test_each_role_sees_its_own(
    api: httpx.AsyncClient,
    driver: Person,
    stranger: Person,
    brand: Person,
    rival: Person,
    admin: Person,
    pool: Pool,
) -> None:
    own = await make_charger(pool, "CP-1", brand.id)
    session_id = await charged(pool, own, driver.id)
    for person in (driver, brand, admin):
        assert await ids(api, person) == [str(session_id)]
        assert (await api.get(f"{URL}/{session_id}", headers=person.headers)).status_code == 200
    for person in (stranger, rival):
        assert await ids(api, person) == []
        for path in (f"{URL}/{session_id}", f"{URL}/{session_id}/cdr"):
            answer = await api.get(path, headers=person.headers)
            assert answer.status_code == 403
            assert answer.json()["statusCode"] == 403
        stop = await api.post(f"{URL}/{session_id}/stop", json={}, headers=person.headers)
        assert stop.status_code == 403


@pytest.mark.parametrize("id_", ["0", "77", "x", "9" * 40])
async def test_no_such_session(api: httpx.AsyncClient, admin: Person, id_: str) -> None:
    for method, path in (("GET", ""), ("GET", "/cdr"), ("POST", "/stop")):
        answer = await api.request(method, f"{URL}/{id_}{path}", headers=admin.headers)
        assert answer.status_code == 404


async def test_pages_concatenate_to_the_list(api: httpx.AsyncClient, driver: Person, pool: Pool) -> None:
    device_id = await make_charger(pool)
    made = [await charged(pool, device_id, driver.id, NOON + timedelta(hours=n)) for n in range(5)]
    pages = [await ids(api, driver, page=page, limit=2) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert [id_ for page in pages for id_ in page] == [str(id_) for id_ in reversed(made)]
    assert await ids(api, driver, status="active") == []
    assert len(await ids(api, driver, status="completed")) == 5


async def test_history_by_days_with_sums(api: httpx.AsyncClient, driver: Person, pool: Pool) -> None:
    device_id = await make_charger(pool)
    made = [await charged(pool, device_id, driver.id, NOON + timedelta(days=n)) for n in range(3)]
    query = {"startDate": "2026-03-02", "endDate": "2026-03-03"}
    assert await ids(api, driver, "/history", **query) == [str(made[2]), str(made[1])]
    assert await ids(api, driver, "/history", endDate="2026-03-02T12:00:00Z", limit=1) == [str(made[1])]
    body = (await api.get(f"{URL}/history", params={"limit": 1}, headers=driver.headers)).json()
    assert len(body["data"]) == 1
    assert body["pagination"]["total"] == 3
    assert 531 in body["totals"].values()
    assert (await api.get(f"{URL}/history?startDate=tomorrow", headers=driver.headers)).status_code == 422


def order(driver: Person, **changes: Any) -> dict[str, Any]:
    return {"chargerId": CHARGER, "connectorId": 1, "userId": str(driver.id), "vehicleId": "V1", **changes}


async def test_a_session_is_started_and_stopped_from_afar(
    api: httpx.AsyncClient, driver: Person, brand: Person, pool: Pool, bus: Client
) -> None:
    device_id = await make_charger(pool, owner_id=brand.id)
    begun: list[int] = []

    async def react(action: str, payload: Any) -> Any:
        if action == "RemoteStartTransaction":
            tag = payload["idTag"].upper()
            assert len(tag) <= 20
            begun.append(await begin_session(pool, device_id, driver.id, NOON, id_tag=tag))
        else:
            await end_session(pool, device_id, begun[0], NOON + timedelta(hours=1))
        return result(status="Accepted")

    async with gateway(bus, device_id, react) as calls:
        started = await api.post(URL, json=order(driver), headers=brand.headers)
        assert started.status_code == 201, started.text
        session = started.json()["data"]["session"]
        assert session["id"] == str(begun[0])
        assert session["vehicleId"] == "V1"
        busy = await api.post(URL, json=order(driver), headers=brand.headers)
        stopped = await api.post(f"{URL}/{begun[0]}/stop", json={"reason": "done"}, headers=driver.headers)
    assert busy.status_code == 409
    assert stopped.status_code == 200, stopped.text
    data = stopped.json()["data"]
    assert data["session"]["status"] == "completed"
    assert data["session"]["cost"] == data["cdr"]["totalCost"] == 177
    assert [action for action, _ in calls] == ["RemoteStartTransaction", "RemoteStopTransaction"]
    assert calls[1][1] == {"transactionId": session["ocppTransactionId"]}
    again = await api.post(f"{URL}/{begun[0]}/stop", headers=driver.headers)
    assert again.status_code == 400


async def test_the_tag_is_the_drivers_before_the_charger_hears_of_it(
    api: httpx.AsyncClient, driver: Person, admin: Person, pool: Pool, bus: Client
) -> None:
    device_id = await make_charger(pool)
    owners: list[int] = []

    async def react(action: str, payload: Any) -> Any:
        async with pool.connection() as db:
            found = await db.execute(
                "SELECT user_id FROM id_tokens WHERE id_tag_key = lower(%s)", (payload["idTag"],)
            )
            owners.extend(owner for (owner,) in await found.fetchall())
        return result(status="Rejected")

    async with gateway(bus, device_id, react):
        answer = await api.post(URL, json=order(driver), headers=admin.headers)
    assert owners == [driver.id]
    assert answer.status_code in {400, 409}
    assert "Rejected" in answer.json()["error"]


async def test_a_charger_that_accepts_and_does_nothing(
    api: httpx.AsyncClient, driver: Person, admin: Person, pool: Pool, bus: Client
) -> None:
    device_id = await make_charger(pool)

    async def accept(action: str, payload: Any) -> Any:
        return result(status="Accepted")

    async with gateway(bus, device_id, accept):
        answer = await api.post(URL, json=order(driver), headers=admin.headers)
        running = await begin_session(pool, device_id, driver.id, NOON)
        stop = await api.post(f"{URL}/{running}/stop", headers=admin.headers)
    assert answer.status_code == stop.status_code == 400


async def test_who_may_start(
    api: httpx.AsyncClient, driver: Person, brand: Person, rival: Person, dealer: Person, pool: Pool
) -> None:
    await make_charger(pool, owner_id=brand.id, online=False)
    assert (await api.post(URL, json=order(driver), headers=driver.headers)).status_code == 403
    assert (await api.post(URL, json=order(driver), headers=rival.headers)).status_code == 403
    offline = await api.post(URL, json=order(driver), headers=brand.headers)
    assert offline.status_code == 400
    assert "offline" in offline.json()["message"].lower()
    for changes in ({"chargerId": "CP-9"}, {"userId": "9999"}, {"userId": str(dealer.id)}):
        answer = await api.post(URL, json=order(driver, **changes), headers=brand.headers)
        assert answer.status_code == 404
    wrong: tuple[dict[str, object], ...] = ({"connectorId": 0}, {"connectorId": 10**9}, {"chargerId": ""})
    for fields in wrong:
        answer = await api.post(URL, json=order(driver, **fields), headers=brand.headers)
        assert answer.status_code == 422
