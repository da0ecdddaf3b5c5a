"""What a charger is made of, holds and does, over REST: each role's view, pages and filters."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from storage.database import Connection, Pool
from storage.queries.charger_jobs import JobState, add_job_part, begin_job
from storage.queries.charging_profiles import ChargingProfile, put_profile
from storage.queries.device_model import Variable, put_variables
from storage.queries.display_messages import DisplayMessage, put_message
from storage.queries.local_lists import Entry, update_local_list
from storage.queries.reservations import Reservation, put_reservation
from storage.queries.variable_monitors import Monitor, put_monitor
from tests.api.helpers import Clock, Person, make_charger

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT_TEXT = "2026-03-01T12:00:00.000Z"
LISTS = {
    "variables": "variables",
    "charging-profiles": "chargingProfiles",
    "reservations": "reservations",
    "local-list": "entries",
    "jobs": "jobs",
    "display-messages": "displayMessages",
    "monitors": "monitors",
}
NONE = {"componentInstance": "", "connectorId": 0, "variableInstance": ""}


async def fill(db: Connection, device_id: int, now: datetime) -> None:
    """One or more of everything."""
    key = Variable("", "", 0, 0, "HeartbeatInterval", value="300", mutability="ReadWrite")
    power = Variable("EVSE", "", 1, 0, "Power", attribute="MaxSet", value="22")
    await put_variables(db, device_id, [key, power], AT)
    profile = {"id": 3, "stackLevel": 1}
    await put_profile(db, device_id, ChargingProfile(3, 1, "TxProfile", 1, "tx", "CSO", profile), AT)
    reservation = Reservation(7, 1, "cType2", "CARD", "ISO14443", None, now + timedelta(hours=1))
    await put_reservation(db, device_id, reservation, AT)
    late = replace(reservation, reservation_id=6, expires_at=now - timedelta(hours=1))
    await put_reservation(db, device_id, late, AT)
    entries = [Entry("CARD", "", {"status": "Accepted"})]
    await update_local_list(db, device_id, version=4, is_full=True, entries=entries, at=AT)
    about: Any = {"request": {"requestId": 5}, "answer": {"status": "Accepted"}, "at": AT}
    await begin_job(db, device_id, "log", 5, JobState("Accepted"), **about)
    await begin_job(db, device_id, "customer_information", 5, JobState("Accepted"), **about)
    part: Any = {"seq_no": 0, "is_last": True, "data": "all we know", "at": AT}
    await add_job_part(db, device_id, "customer_information", 5, **part)
    await put_message(db, device_id, DisplayMessage(9, "InFront", "Idle", None, {"id": 9}), AT)
    monitor = Monitor(2, "EVSE", "", 1, 0, "Power", "", "Delta", 0.5, 5, False, "CustomMonitor")
    await put_monitor(db, device_id, monitor, AT)


@pytest.fixture
async def charger(pool: Pool, brand: Person, clock: Clock) -> int:
    device_id = await make_charger(pool, owner_id=brand.id)
    async with pool.connection() as db:
        await fill(db, device_id, clock.moment())
    return device_id


async def rows(api: httpx.AsyncClient, person: Person, charger: int, path: str, **query: Any) -> Any:
    answer = await api.get(f"/api/v1/chargers/{charger}/{path}", params=query, headers=person.headers)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["success"] is True
    assert body["data"] == body[LISTS[path]]
    assert body["pagination"]["total"] >= len(body["data"])
    return body["data"]


async def test_variables(api: httpx.AsyncClient, brand: Person, charger: int) -> None:
    key, power = await rows(api, brand, charger, "variables")
    facts = {"mutability": None, "isPersistent": None, "isConstant": None, "characteristics": None}
    assert power == {
        **NONE,
        **facts,
        "component": "EVSE",
        "evseId": 1,
        "variable": "Power",
        "attribute": "MaxSet",
        "value": "22",
        "updatedAt": AT_TEXT,
    }
    assert await rows(api, brand, charger, "variables", component="") == [key]
    assert await rows(api, brand, charger, "variables", component="evse", variable="POWER") == [power]
    assert await rows(api, brand, charger, "variables", variable="Other") == []
    assert await rows(api, brand, charger, "variables", page=2, limit=1) == [power]


async def test_profiles_and_reservations(api: httpx.AsyncClient, brand: Person, charger: int) -> None:
    (profile,) = await rows(api, brand, charger, "charging-profiles")
    assert (profile["profileId"], profile["transactionId"], profile["profile"]) == (
        3,
        "tx",
        {"id": 3, "stackLevel": 1},
    )
    reservations = await rows(api, brand, charger, "reservations")
    assert [(each["reservationId"], each["status"]) for each in reservations] == [
        (7, "active"),
        (6, "expired"),
    ]
    assert reservations[0]["connectorType"] == "cType2"


async def test_a_local_list_with_its_versions(
    api: httpx.AsyncClient, admin: Person, charger: int, pool: Pool
) -> None:
    entry = {"idToken": "CARD", "tokenType": "", "info": {"status": "Accepted"}}
    assert await rows(api, admin, charger, "local-list") == [entry]
    url = "/api/v1/chargers/{}/local-list"
    body = (await api.get(url.format(charger), headers=admin.headers)).json()
    assert body["localList"] == {
        "version": 4,
        "isInDoubt": False,
        "sentAt": AT_TEXT,
        "reportedVersion": None,
        "reportedAt": None,
    }
    other = await make_charger(pool, "CP-2")
    body = (await api.get(url.format(other), headers=admin.headers)).json()
    assert (body["localList"], body["data"]) == (None, [])


async def test_jobs(api: httpx.AsyncClient, brand: Person, charger: int) -> None:
    report, log = await rows(api, brand, charger, "jobs")
    assert (report["status"], report["isFinished"], report["text"]) == ("Complete", True, "all we know")
    assert (log["kind"], log["requestId"], log["status"], log["parts"]) == ("log", 5, "Accepted", 0)
    assert "text" not in log
    assert await rows(api, brand, charger, "jobs", kind="log") == [log]
    url = f"/api/v1/chargers/{charger}/jobs"
    assert (await api.get(url, params={"kind": "x"}, headers=brand.headers)).status_code == 422


async def test_messages_and_monitors(api: httpx.AsyncClient, brand: Person, charger: int) -> None:
    (message,) = await rows(api, brand, charger, "display-messages")
    assert (message["messageId"], message["state"], message["message"]) == (9, "Idle", {"id": 9})
    (monitor,) = await rows(api, brand, charger, "monitors")
    assert monitor == {
        **NONE,
        "monitorId": 2,
        "component": "EVSE",
        "evseId": 1,
        "variable": "Power",
        "type": "Delta",
        "value": 0.5,
        "severity": 5,
        "isTransaction": False,
        "kind": "CustomMonitor",
        "updatedAt": AT_TEXT,
    }


@pytest.mark.parametrize("path", LISTS)
async def test_who_may_look(
    api: httpx.AsyncClient, driver: Person, rival: Person, admin: Person, charger: int, path: str
) -> None:
    async def status(person: Person, charger: int) -> int:
        return (await api.get(f"/api/v1/chargers/{charger}/{path}", headers=person.headers)).status_code

    assert (await api.get(f"/api/v1/chargers/{charger}/{path}")).status_code == 401
    assert await status(driver, charger) == await status(rival, charger) == 403
    assert await status(admin, charger) == 200
    assert await status(admin, 99_999) == 404
