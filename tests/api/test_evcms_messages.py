"""The OCPP message log over the API."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from storage.database import Pool
from tests.api.helpers import Clock, Person, make_charger

FRAME = '[2,"a","Heartbeat",{}]'
INSERT = """
INSERT INTO ocpp_messages (ts, device_id, received_at, generation, direction, version, type, action,
                           message_id, cut_bytes, frame)
VALUES (%(ts)s, %(device_id)s, %(ts)s, 3, %(direction)s, %(version)s, %(type)s, %(action)s, %(message_id)s, 7,
        %(frame)s)
"""


async def put(pool: Pool, device_id: int, ts: datetime, **changes: object) -> None:
    facts = {
        "direction": 1,
        "version": 16,
        "type": 2,
        "action": "Heartbeat",
        "message_id": "a",
        "frame": FRAME,
    }
    async with pool.connection() as db:
        await db.execute(INSERT, {"ts": ts, "device_id": device_id, **facts, **changes})


async def test_frames_of_a_charger(api: httpx.AsyncClient, pool: Pool, brand: Person, clock: Clock) -> None:
    device_id = await make_charger(pool, owner_id=brand.id)
    noon = datetime.fromtimestamp(clock.now_us // 1_000_000, UTC) - timedelta(minutes=1)
    await put(pool, device_id, noon)
    answer = await api.get("/api/v1/chargers/CP-1/messages", headers=brand.headers)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (
        body["data"]
        == body["messages"]
        == [
            {
                "timestamp": noon.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                "connection": 3,
                "direction": "fromCharger",
                "version": "1.6",
                "type": "Call",
                "action": "Heartbeat",
                "messageId": "a",
                "cutBytes": 7,
                "frame": FRAME,
            }
        ]
    )
    assert body["pagination"]["total"] == 1


async def test_filters_and_pages(api: httpx.AsyncClient, pool: Pool, admin: Person, clock: Clock) -> None:
    device_id = await make_charger(pool)
    now = clock.moment()
    await put(pool, device_id, now - timedelta(hours=30), message_id="old")
    await put(pool, device_id, now - timedelta(minutes=3), message_id="b", action="Authorize", version=201)
    await put(pool, device_id, now - timedelta(minutes=2), message_id="b", type=3, direction=2, version=210)
    await put(pool, device_id, now - timedelta(minutes=1), message_id=None, action=None, type=0)
    url = f"/api/v1/chargers/{device_id}/messages"
    since = (now - timedelta(hours=40)).isoformat()
    soon = (now - timedelta(minutes=2, seconds=30)).isoformat()
    cases: list[tuple[dict[str, object], list[str | None]]] = [
        ({}, [None, "b", "b"]),
        ({"from": since}, [None, "b", "b", "old"]),
        ({"to": soon}, ["b"]),
        ({"from": soon}, [None, "b"]),
        ({"action": "Authorize"}, ["b"]),
        ({"action": ""}, [None, "b", "b"]),
        ({"messageId": "b"}, ["b", "b"]),
        ({"messageId": "b", "direction": "toCharger"}, ["b"]),
        ({"limit": 2, "page": 2}, ["b"]),
        ({"from": since, "limit": 1, "page": 4}, ["old"]),
        ({"page": 1_000_000}, []),
    ]
    for query, expected in cases:
        answer = await api.get(url, params=query, headers=admin.headers)  # type: ignore[arg-type]
        assert [row["messageId"] for row in answer.json()["data"]] == expected, (query, answer.text)
    shown = (await api.get(url, headers=admin.headers)).json()["data"]
    assert [(row["type"], row["version"]) for row in shown] == [
        ("Unreadable", "1.6"),
        ("CallResult", "2.1"),
        ("Call", "2.0.1"),
    ]


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"},
        {"to": "0001-01-01T00:00:00"},
        {"from": "2026-01-02", "to": "2026-01-01"},
        {"from": "2026-01-01", "to": "2026-02-01"},
        {"direction": "sideways"},
        {"action": "A\0"},
        {"page": 0},
    ],
)
async def test_a_search_that_makes_no_sense(
    api: httpx.AsyncClient, pool: Pool, admin: Person, query: dict[str, str]
) -> None:
    await make_charger(pool)
    answer = await api.get("/api/v1/chargers/CP-1/messages", params=query, headers=admin.headers)
    assert answer.status_code == 422, answer.text
    assert answer.json()["success"] is False


async def test_a_whole_month_is_within_bounds(api: httpx.AsyncClient, pool: Pool, admin: Person) -> None:
    await make_charger(pool)
    query = {"from": "2026-01-01", "to": "2026-01-31"}
    answer = await api.get("/api/v1/chargers/CP-1/messages", params=query, headers=admin.headers)
    assert answer.status_code == 200, answer.text


async def test_who_may_read_them(
    api: httpx.AsyncClient, pool: Pool, admin: Person, brand: Person, rival: Person, driver: Person
) -> None:
    await make_charger(pool, owner_id=brand.id)
    url = "/api/v1/chargers/CP-1/messages"
    people = [(admin, 200), (brand, 200), (rival, 403), (driver, 403)]
    assert [(await api.get(url, headers=person.headers)).status_code for person, _ in people] == [
        status for _, status in people
    ]
    assert (await api.get(url)).status_code == 401
    assert (await api.get("/api/v1/chargers/CP-9/messages", headers=admin.headers)).status_code == 404
