"""EV-CMS sessions (EV-045 to EV-051): lists, ownership, and a session started and stopped from afar."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from nats.aio.client import Client
from psycopg.types.json import Jsonb

from storage.database import Pool
from storage.queries import sessions
from storage.queries.cdrs import insert_cdr
from storage.queries.reconciliation import Ending, close_session
from stream.reconciliation import Stop, late_stop
from stream.records import make_record, terms_of
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
            await rate_session(db, session_id)


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
    assert set(cdr) == CDR | {"isEstimated", "lines", "corrections"}
    assert cdr["lines"] == [
        {
            "component": "energy",
            "name": "elements[0]",
            "quantity": 10_000,
            "unit": "Wh",
            "price": 15,
            "per": "kwh",
            "amount": 150,
        },
        {
            "component": "time",
            "name": "elements[0]",
            "quantity": 3_600,
            "unit": "s",
            "price": 0,
            "per": "minute",
            "amount": 0,
        },
        {
            "component": "tax",
            "name": "GST",
            "quantity": 150,
            "unit": "INR",
            "price": 18,
            "per": "percent",
            "amount": 27,
        },
    ]
    assert (cdr["corrections"], cdr["isEstimated"]) == ([], False)
    assert cdr["totalCost"] == 177
    assert cdr["currency"] == "INR"
    assert cdr["userName"] == "user"
    pricing = cdr["pricing"]
    assert {"energyRate", "totalEnergyCost", "parkingFee", "gst"} <= set(pricing)
    assert (pricing["energyRate"], pricing["totalEnergyCost"], pricing["gst"]) == (15, 150, 27)


DEFINITION = {
    "elements": [
        {
            "prices": [
                {"dimension": "flat", "price_minor": 2_000, "per": "session"},
                {"dimension": "energy", "price_minor": "1234.5", "per": "kwh", "step": 4_000},
                {"dimension": "time", "price_minor": 150, "per": "minute"},
            ]
        }
    ],
    "taxes": [{"name": "GST", "basis_points": 1_850}],
    "max_price_minor": 9_000,
}


async def test_a_record_shows_its_lines_as_they_were_billed(
    api: httpx.AsyncClient, driver: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool)
    async with pool.connection() as db:
        await db.execute("UPDATE tariffs SET definition = %s", [Jsonb(DEFINITION)])
    session_id = await charged(pool, device_id, driver.id)
    shown = (await api.get(f"{URL}/{session_id}/cdr", headers=driver.headers)).json()["data"]["cdr"]
    keys = ("component", "quantity", "unit", "price", "per", "amount")
    assert [tuple(line[key] for key in keys) for line in shown["lines"]] == [
        ("flat", 1, "session", 20, "session", 20),
        ("energy", 12_000, "Wh", 12.345, "kwh", 148.14),
        ("time", 3_600, "s", 1.5, "minute", 90),
        ("maximum", 1, "session", 90, "session", -168.14),
        ("tax", 90, "INR", 18.5, "percent", 16.65),
    ]
    assert round(sum(line["amount"] for line in shown["lines"]), 2) == shown["totalCost"] == 106.65
    pricing = shown["pricing"]
    parts = ("totalEnergyCost", "parkingFee", "timeFee", "flatFee", "adjustment", "gst")
    assert round(sum(pricing[part] for part in parts), 2) == shown["totalCost"]
    async with pool.connection() as db:
        await db.execute("UPDATE tariffs SET definition = NULL, energy_minor_per_kwh = 1")
    again = (await api.get(f"{URL}/{session_id}/cdr", headers=driver.headers)).json()["data"]["cdr"]
    assert again == shown, "whatever the tariff says today"


async def test_a_record_from_before_lines_were_kept_shows_its_parts(
    api: httpx.AsyncClient, driver: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool)
    session_id = await begin_session(pool, device_id, driver.id, NOON)
    await end_session(pool, device_id, session_id, NOON + timedelta(hours=1), rated=False)
    async with pool.connection() as db:
        terms = await terms_of(db, device_id)
        session = await sessions.get_session(db, session_id)
        assert session is not None
        record = make_record(session, terms, [])
        old = replace(record, lines=[], time_minor=500, total_minor=record.total_minor + 500)
        assert await insert_cdr(db, old)
        await db.execute("UPDATE tariffs SET energy_minor_per_kwh = 1")
    shown = (await api.get(f"{URL}/{session_id}/cdr", headers=driver.headers)).json()["data"]["cdr"]
    energy, *others = shown["lines"]
    assert (energy["quantity"], energy["price"], energy["amount"]) == (10_000, 15, 150)
    assert others == [
        {"component": "time", "name": "", "amount": 5},
        {"component": "tax", "name": "", "amount": 27},
    ]
    assert sum(line["amount"] for line in shown["lines"]) == shown["totalCost"]


async def test_a_corrected_record_shows_what_it_said_before(
    api: httpx.AsyncClient, driver: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool)
    session_id = await begin_session(pool, device_id, driver.id, NOON)
    end = NOON + timedelta(hours=1)
    ending = Ending(session_id, "silent", "completed", end, end, 11_000, 11_000, "Other")
    async with pool.connection() as db:
        assert await close_session(db, ending, end)
        await rate_session(db, session_id)
        await late_stop(db, session_id, Stop(end + timedelta(hours=1), end, 21_000, "Local"))
        await rate_session(db, session_id)
    shown = (await api.get(f"{URL}/{session_id}/cdr", headers=driver.headers)).json()["data"]["cdr"]
    assert (shown["energyConsumed"], shown["totalCost"], shown["isEstimated"]) == (20, 354, False)
    assert [line["amount"] for line in shown["lines"]] == [300, 0, 54]
    (correction,) = shown["corrections"]
    before = correction["before"]
    assert (correction["difference"], before["totalCost"], before["energyConsumed"]) == (177, 177, 10)
    assert (before["isEstimated"], before["duration"], shown["duration"]) == (True, 60, 120)
    assert [line["amount"] for line in before["lines"]] == [150, 0, 27]
    assert correction["correctedAt"].endswith("Z")


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


async def test_a_history_from_the_first_day_to_the_last(
    api: httpx.AsyncClient, driver: Person, admin: Person
) -> None:
    spans = (("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"), ("9999-12-31", "0001-01-01"))
    for start, end in spans:
        query = {"startDate": start, "endDate": end}
        for person in (driver, admin):
            answer = await api.get(f"{URL}/history", params=query, headers=person.headers)
            assert answer.status_code == 200, answer.text
            assert answer.json()["data"] == []
