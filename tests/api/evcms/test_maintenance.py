"""EV-CMS maintenance (EV-081 to EV-089): who plans what, the state machine, and what the charger shows."""

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.config import ApiConfig
from storage.database import Pool
from storage.queries.admin_actions import list_actions
from tests.api.helpers import Clock, Person, make_charger

URL = "/api/v1/maintenance"
KEYS = {
    "id", "chargerId", "chargerName", "type", "description", "status", "priority", "scheduledDate",
    "createdAt",
}  # fmt: skip
WORK: dict[str, Any] = {
    "chargerId": "CP-1",
    "type": "preventive",
    "description": "Clean the filters",
    "scheduledDate": "2026-03-01T09:00:00Z",
    "priority": "high",
}


@pytest.fixture
def config(config: ApiConfig) -> ApiConfig:
    """Nobody is signed out while hours pass."""
    return replace(config, evcms_access_s=10**6)


async def planned(api: httpx.AsyncClient, person: Person, **changes: Any) -> str:
    answer = await api.post(URL, json={**WORK, **changes}, headers=person.headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["id"])


async def put(api: httpx.AsyncClient, person: Person, path: str, **body: Any) -> httpx.Response:
    return await api.put(f"{URL}/{path}", json=body, headers=person.headers)


async def charger_status(api: httpx.AsyncClient, person: Person, charger: str = "CP-1") -> str:
    answer = await api.get(f"/api/v1/chargers/{charger}/status", headers=person.headers)
    return str(answer.json()["data"]["status"])


async def test_a_record_has_the_documented_shape(api: httpx.AsyncClient, brand: Person, pool: Pool) -> None:
    device_id = await make_charger(pool, "CP-1", brand.id)
    answer = await api.post(URL, json={**WORK, "status": "completed", "cost": 1}, headers=brand.headers)
    assert answer.status_code == 201
    data = answer.json()["data"]
    assert data.pop("record") == data
    assert set(data) == KEYS
    assert (data["chargerId"], data["chargerName"], data["status"]) == ("CP-1", "Gate 1", "scheduled")
    assert (data["scheduledDate"], data["priority"]) == ("2026-03-01T09:00:00.000Z", "high")
    by_id = await planned(api, brand, chargerId=str(device_id), assignedTo="Ravi")
    shown = await api.get(f"{URL}/{by_id}", headers=brand.headers)
    assert shown.json()["data"]["record"]["chargerId"] == "CP-1"
    assert shown.json()["data"]["assignedTo"] == "Ravi"


async def test_a_brand_has_its_own_chargers_and_an_admin_all(
    api: httpx.AsyncClient, brand: Person, rival: Person, admin: Person, driver: Person, pool: Pool
) -> None:
    first = await make_charger(pool, "CP-1", brand.id)
    await make_charger(pool, "CP-2", rival.id)
    own = await planned(api, brand)
    other = await planned(api, rival, chargerId="cp-2")

    async def listed(person: Person, **query: Any) -> list[str]:
        answer = await api.get(URL, params=query, headers=person.headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["records"] == answer.json()["data"]
        assert answer.json()["pagination"]["total"] == len(answer.json()["data"])
        return [row["id"] for row in answer.json()["data"]]

    assert await listed(brand) == [own]
    assert await listed(admin) == [other, own]
    assert await listed(admin, chargerId="cp-1") == await listed(admin, chargerId=str(first)) == [own]
    assert await listed(brand, chargerId="CP-2") == await listed(brand, chargerId="none") == []
    assert await listed(admin, status="in-progress") == []
    assert await listed(admin, status="scheduled", chargerId="CP-2") == [other]
    for query in ({"status": "in_progress"}, {"chargerId": "a\0"}):
        assert (await api.get(URL, params=query, headers=admin.headers)).status_code == 422
    refused = [
        await api.get(f"{URL}/{other}", headers=brand.headers),
        await put(api, brand, other, notes="x"),
        await put(api, brand, f"{other}/start"),
        await put(api, brand, f"{other}/complete", notes="x"),
        await api.post(URL, json={**WORK, "chargerId": "CP-2"}, headers=brand.headers),
        await api.delete(f"{URL}/{own}", headers=brand.headers),
    ]
    assert [answer.status_code for answer in refused] == [403] * 6
    for method, path in [("GET", ""), ("POST", ""), ("GET", "/stats"), ("GET", f"/{own}")]:
        answer = await api.request(method, URL + path, json=WORK, headers=driver.headers)
        assert answer.status_code == 403
    for reference in ("0", "x", "9" * 40):
        assert (await api.get(f"{URL}/{reference}", headers=admin.headers)).status_code == 404
        missing = await api.post(URL, json={**WORK, "chargerId": reference}, headers=admin.headers)
        assert missing.status_code == 404


async def test_a_schedule_is_made_whole_or_not_at_all(
    api: httpx.AsyncClient, brand: Person, rival: Person, pool: Pool
) -> None:
    ids = [str(await make_charger(pool, f"CP-{number}", brand.id)) for number in range(1, 4)]
    await make_charger(pool, "CP-9", rival.id)
    body = {"scheduledDate": "2026-03-01", "type": "corrective"}

    async def schedule(*chargers: str) -> httpx.Response:
        return await api.post(f"{URL}/schedule", json={**body, "chargerIds": chargers}, headers=brand.headers)

    assert (await schedule("CP-1", "none")).status_code == 404
    assert (await schedule("CP-1", "CP-9")).status_code == 403
    assert (await schedule()).status_code == 422
    assert (await schedule(*map(str, range(101)))).status_code == 422
    assert (await api.get(URL, headers=brand.headers)).json()["data"] == []
    made = await schedule("cp-3", ids[0], "CP-1", "CP-2")
    assert made.status_code == 201
    rows = made.json()["records"]
    assert made.json()["data"] == rows
    assert [row["chargerId"] for row in rows] == ["CP-3", "CP-1", "CP-2"]
    assert {(row["type"], row["status"], row["priority"], row["description"]) for row in rows} == {
        ("corrective", "scheduled", "medium", "Corrective maintenance")
    }
    async with pool.connection() as db:
        (action,) = await list_actions(db, limit=10)
        await db.execute("UPDATE devices SET status = 'archived' WHERE identity = 'CP-2'")
    assert list(action.detail["chargers"].values()) == ["CP-3", "CP-1", "CP-2"]
    assert (await schedule("CP-1", "CP-2")).status_code == 400


async def test_work_begins_and_ends_and_the_charger_shows_it(
    api: httpx.AsyncClient, brand: Person, admin: Person, pool: Pool, clock: Clock
) -> None:
    await make_charger(pool, "CP-1", brand.id)
    first, second = await planned(api, brand), await planned(api, admin)
    assert await charger_status(api, brand) == "Online"
    started = await put(api, brand, f"{first}/start")
    assert started.status_code == 200
    assert started.json()["data"]["status"] == "in-progress"
    assert "completedDate" not in started.json()["data"]
    assert (await put(api, brand, f"{first}/start")).status_code == 400
    assert (await put(api, brand, f"{second}/complete", notes="x")).status_code == 400
    assert (await put(api, brand, second, status="in-progress")).status_code == 200
    assert await charger_status(api, brand) == "Maintenance"
    clock.advance(3_600)
    done = await put(
        api, brand, f"{first}/complete", notes="New fuse", partsReplaced=["Fuse 16 A"], cost=1234.5
    )
    record = done.json()["data"]["record"]
    assert (record["status"], record["notes"], record["cost"]) == ("completed", "New fuse", 1234.5)
    assert record["partsReplaced"] == ["Fuse 16 A"]
    assert record["startedDate"] < record["completedDate"]
    assert await charger_status(api, brand) == "Maintenance"
    assert (await put(api, brand, f"{first}/complete", notes="x")).status_code == 400
    assert (await put(api, admin, second, status="cancelled", notes="No parts")).status_code == 200
    assert await charger_status(api, brand) == "Online"
    async with pool.connection() as db:
        actions = await list_actions(db, subject=f"maintenance:{first}", limit=10)
        events = await (await db.execute("SELECT payload FROM outbox WHERE kind = 'live_event'")).fetchall()
    assert [action.action for action in actions] == [
        "maintenance.complete", "maintenance.start", "maintenance.create",
    ]  # fmt: skip
    assert actions[0].detail == {"partsReplaced": 1, "costMinor": 123_450}
    assert [
        (event["name"], event["payload"]["charger"], event["payload"]["is_in_maintenance"])
        for (event,) in events
    ] == [("charger-status", "CP-1", True), ("charger-status", "CP-1", False)]


async def test_every_step_is_as_the_table_says(api: httpx.AsyncClient, brand: Person, pool: Pool) -> None:
    """From each status to each; staying is no step."""
    expected = {
        "scheduled": {"in-progress", "cancelled"},
        "in-progress": {"completed", "cancelled"},
        "completed": set(),
        "cancelled": set(),
    }
    await make_charger(pool, "CP-1", brand.id)
    record = await planned(api, brand)
    for before, after in itertools.product(expected, repeat=2):
        async with pool.connection() as db:
            await db.execute("UPDATE maintenance_records SET status = %s", (before,))
        answer = await put(api, brand, record, status=after)
        is_allowed = after == before or after in expected[before]
        assert answer.status_code == (200 if is_allowed else 400), (before, after)
        assert await charger_status(api, brand) == (
            "Maintenance" if is_allowed and after == "in-progress" and before != after else "Online"
        )
        async with pool.connection() as db:
            await db.execute("UPDATE chargers SET maintenance = false")


async def test_the_last_of_two_that_end_at_once_frees_the_charger(
    api: httpx.AsyncClient, brand: Person, pool: Pool
) -> None:
    await make_charger(pool, "CP-1", brand.id)
    records = [await planned(api, brand) for _ in range(6)]
    for answers in (
        await asyncio.gather(*(put(api, brand, f"{record}/start") for record in records)),
        await asyncio.gather(*(put(api, brand, f"{record}/complete", notes="x") for record in records)),
    ):
        assert {answer.status_code for answer in answers} == {200}
    assert await charger_status(api, brand) == "Online"


async def test_a_date_of_completion_is_one_that_can_be(
    api: httpx.AsyncClient, brand: Person, pool: Pool, clock: Clock
) -> None:
    await make_charger(pool, "CP-1", brand.id)
    record = await planned(api, brand)
    started_at = clock.moment()
    await put(api, brand, f"{record}/start")
    clock.advance(7_200)

    def moment(hours: float) -> str:
        return (started_at + timedelta(hours=hours)).isoformat()

    assert (await put(api, brand, record, completedDate=moment(1))).status_code == 400
    for hours in (-1, 3):
        wrong = await put(api, brand, record, status="completed", completedDate=moment(hours))
        assert wrong.status_code == 400
    assert (await put(api, brand, record, completedDate="soon")).status_code == 422
    done = await put(api, brand, record, status="completed", completedDate=moment(1), notes="Done")
    assert done.json()["data"]["status"] == "completed"
    assert done.json()["data"]["completedDate"][:16] == moment(1)[:16]
    kept = await put(api, brand, record, assignedTo="Ravi")
    assert (kept.json()["data"]["notes"], kept.json()["data"]["assignedTo"]) == ("Done", "Ravi")


async def test_what_is_scheduled_is_pending_until_it_is_overdue(
    api: httpx.AsyncClient, brand: Person, rival: Person, pool: Pool, clock: Clock
) -> None:
    await make_charger(pool, "CP-1", brand.id)
    soon = (clock.moment() + timedelta(hours=1)).isoformat()
    await planned(api, brand, scheduledDate=soon)
    record = await planned(api, brand, scheduledDate=soon)
    await planned(api, brand, scheduledDate="2020-01-01")
    await put(api, brand, f"{record}/start")

    async def stats(person: Person) -> Any:
        return (await api.get(f"{URL}/stats", headers=person.headers)).json()["data"]

    assert await stats(brand) == {
        "total": 3, "pending": 1, "inProgress": 1, "completed": 0, "overdue": 1, "cancelled": 0,
    }  # fmt: skip
    assert (await stats(rival))["total"] == 0
    clock.advance(7_200)
    assert (await stats(brand))["overdue"] == 2


async def test_a_deleted_record_is_not_there_and_frees_its_charger(
    api: httpx.AsyncClient, brand: Person, admin: Person, pool: Pool
) -> None:
    await make_charger(pool, "CP-1", brand.id)
    record = await planned(api, brand)
    await put(api, brand, f"{record}/start")
    assert (await api.delete(f"{URL}/{record}", headers=admin.headers)).json()["success"] is True
    assert (await api.delete(f"{URL}/{record}", headers=admin.headers)).status_code == 404
    assert (await put(api, brand, f"{record}/complete", notes="x")).status_code == 404
    assert (await api.get(URL, headers=brand.headers)).json()["data"] == []
    assert await charger_status(api, brand) == "Online"


async def test_a_flag_that_an_operator_set_is_left_alone_by_other_changes(
    api: httpx.AsyncClient, brand: Person, admin: Person, pool: Pool
) -> None:
    await make_charger(pool, "CP-1", brand.id)
    record = await planned(api, brand)
    async with pool.connection() as db:
        await db.execute("UPDATE chargers SET maintenance = true")
    await put(api, brand, record, notes="x")
    await put(api, brand, record, status="cancelled")
    await api.delete(f"{URL}/{record}", headers=admin.headers)
    assert await charger_status(api, brand) == "Maintenance"


async def test_work_says_field_by_field_what_is_wrong(api: httpx.AsyncClient, brand: Person) -> None:
    refused: list[tuple[str, Any, set[str]]] = [
        ("", {}, {"chargerId", "type", "description", "scheduledDate", "priority"}),
        ("", {**WORK, "type": "other", "priority": "urgent"}, {"type", "priority"}),
        ("", {**WORK, "scheduledDate": "tomorrow", "description": ""}, {"scheduledDate", "description"}),
        ("", {**WORK, "scheduledDate": "0001-01-01T00:00:00+05:00"}, {"scheduledDate"}),
        ("/schedule", {"chargerIds": ["a"]}, {"scheduledDate", "type"}),
    ]
    for path, body, fields in refused:
        answer = await api.post(URL + path, json=body, headers=brand.headers)
        assert answer.status_code == 422
        assert {each["field"] for each in answer.json()["errors"]} == fields


async def test_a_cost_is_an_amount(api: httpx.AsyncClient, brand: Person, pool: Pool) -> None:
    await make_charger(pool, "CP-1", brand.id)
    record = await planned(api, brand)
    await put(api, brand, f"{record}/start")
    for cost in (-1, 1.234, 1e12, "much"):
        answer = await put(api, brand, f"{record}/complete", notes="x", cost=cost)
        assert answer.status_code == 422
        assert {each["field"] for each in answer.json()["errors"]} == {"cost"}
    free = await put(api, brand, f"{record}/complete", notes="x", cost=0)
    assert free.json()["data"]["cost"] == 0
