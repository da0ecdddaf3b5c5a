"""EV-CMS support tickets (EV-090 to EV-096): owners and support, the state machine, the service level."""

import itertools
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api.config import ApiConfig
from storage.database import Pool
from storage.queries.admin_actions import list_actions
from storage.queries.uploads import insert_upload
from tests.api.helpers import Clock, Person

URL = "/api/v1/support"
TICKET = {"subject": "It does not stop", "description": "Connector 1 hangs", "category": "technical"}
KEYS = {
    "id", "ticketNumber", "userId", "userName", "subject", "description", "category", "priority", "status",
    "comments", "createdAt", "slaStatus",
}  # fmt: skip


@pytest.fixture
def config(config: ApiConfig) -> ApiConfig:
    """Nobody is signed out while hours pass."""
    return replace(config, evcms_access_s=10**6)


async def opened(api: httpx.AsyncClient, person: Person, **changes: Any) -> str:
    answer = await api.post(f"{URL}/tickets", json={**TICKET, **changes}, headers=person.headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["id"])


async def change(api: httpx.AsyncClient, person: Person, ticket: str, **body: Any) -> httpx.Response:
    return await api.put(f"{URL}/tickets/{ticket}", json=body, headers=person.headers)


async def comment(api: httpx.AsyncClient, person: Person, ticket: str, **body: Any) -> httpx.Response:
    body = {"comment": "Please unplug it", **body}
    return await api.post(f"{URL}/tickets/{ticket}/comments", json=body, headers=person.headers)


async def rate(api: httpx.AsyncClient, person: Person, ticket: str, **body: Any) -> httpx.Response:
    return await api.post(f"{URL}/tickets/{ticket}/rate", json=body, headers=person.headers)


async def shown(api: httpx.AsyncClient, person: Person, ticket: str) -> Any:
    answer = await api.get(f"{URL}/tickets/{ticket}", headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["ticket"]


async def upload(pool: Pool, clock: Clock, person: Person, name: str, type_: str = "document") -> str:
    async with pool.connection() as db:
        await insert_upload(
            db, user_id=person.id, type_=type_, filename=name, original=name, mimetype="application/pdf",
            size_bytes=1, sha256=b"", now=clock.moment(),
        )  # fmt: skip
    return f"/uploads/{type_}/{name}"


async def test_a_new_ticket_has_a_number_and_the_documented_shape(
    api: httpx.AsyncClient, driver: Person
) -> None:
    answer = await api.post(
        f"{URL}/tickets", json={**TICKET, "status": "closed", "userId": "1"}, headers=driver.headers
    )
    assert answer.status_code == 201
    data = answer.json()["data"]
    assert data.pop("ticket") == data
    assert set(data) == KEYS
    assert (data["ticketNumber"], data["priority"], data["status"]) == ("TKT-000001", "medium", "open")
    assert (data["userId"], data["userName"], data["comments"]) == (str(driver.id), "user", [])
    second = await opened(api, driver)
    assert (await shown(api, driver, second))["ticketNumber"] == "TKT-000002"


async def test_lists_count_by_status(
    api: httpx.AsyncClient, driver: Person, brand: Person, admin: Person
) -> None:
    first = await opened(api, driver)
    second = await opened(api, driver, priority="high")
    third = await opened(api, brand)
    assert (await change(api, admin, second, status="in-progress")).status_code == 200
    await comment(api, driver, first)

    async def listed(person: Person, **query: Any) -> Any:
        answer = await api.get(f"{URL}/tickets", params=query, headers=person.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    body = await listed(driver)
    assert [row["id"] for row in body["data"]] == [second, first]
    assert body["tickets"] == body["data"]
    assert [len(row["comments"]) for row in body["data"]] == [0, 1]
    counts = {"total": 2, "open": 1, "inProgress": 1, "resolved": 0, "closed": 0}
    assert body["statusCounts"] == counts
    assert body["pagination"]["total"] == 2
    assert [row["id"] for row in (await listed(brand))["data"]] == [third]
    every = await listed(admin)
    assert [row["id"] for row in every["data"]] == [third, second, first]
    assert every["statusCounts"]["total"] == 3
    filtered = await listed(driver, status="in-progress", priority="high")
    assert [row["id"] for row in filtered["data"]] == [second]
    assert filtered["statusCounts"] == counts
    assert (await listed(driver, priority="low"))["data"] == []
    for query in ({"status": "in_progress"}, {"priority": "critical"}):
        assert (await api.get(f"{URL}/tickets", params=query, headers=driver.headers)).status_code == 422


async def test_a_ticket_is_its_owner_s_and_support_s(
    api: httpx.AsyncClient, driver: Person, stranger: Person, brand: Person, admin: Person
) -> None:
    ticket = await opened(api, driver)
    for person in (stranger, brand):
        refused = [
            await api.get(f"{URL}/tickets/{ticket}", headers=person.headers),
            await change(api, person, ticket, status="closed"),
            await comment(api, person, ticket),
            await rate(api, person, ticket, rating=5),
        ]
        assert [answer.status_code for answer in refused] == [403] * 4
        assert (await api.get(f"{URL}/stats", headers=person.headers)).status_code == 403
    assert (await shown(api, admin, ticket))["id"] == ticket
    for reference in ("0", "x", "9" * 40):
        assert (await api.get(f"{URL}/tickets/{reference}", headers=admin.headers)).status_code == 404


async def test_the_owner_closes_and_opens_again_and_support_does_the_rest(
    api: httpx.AsyncClient, driver: Person, admin: Person, brand: Person, clock: Clock, pool: Pool
) -> None:
    ticket = await opened(api, driver)
    for status in ("in-progress", "resolved"):
        assert (await change(api, driver, ticket, status=status)).status_code == 403
    assert (await change(api, driver, ticket, assignedTo=str(admin.id))).status_code == 403
    closed = (await change(api, driver, ticket, status="closed")).json()["data"]
    assert closed["status"] == "closed"
    assert "resolvedAt" in closed
    again = (await change(api, driver, ticket, status="open", priority="low")).json()["data"]
    assert (again["status"], again["priority"]) == ("open", "low")
    assert "resolvedAt" not in again
    for wrong in (str(brand.id), "x", "0"):
        assert (await change(api, admin, ticket, assignedTo=wrong)).status_code == 400
    done = await change(api, admin, ticket, status="in-progress", assignedTo=str(admin.id))
    assert done.json()["data"]["assignedTo"] == str(admin.id)
    assert (await change(api, admin, ticket, status="open")).status_code == 400
    assert (await change(api, admin, ticket, status="in-progress")).status_code == 200
    clock.advance(60)
    resolved = (await change(api, admin, ticket, status="resolved")).json()["data"]
    clock.advance(60)
    closed = (await change(api, admin, ticket, status="closed")).json()["data"]
    assert closed["resolvedAt"] == resolved["resolvedAt"]
    async with pool.connection() as db:
        actions = await list_actions(db, subject=f"ticket:{ticket}", limit=10)
    assert [action.detail.get("status") for action in actions] == [
        "closed", "resolved", "in-progress", "in-progress",
    ]  # fmt: skip


async def test_every_step_is_as_the_table_says(
    api: httpx.AsyncClient, driver: Person, admin: Person, pool: Pool
) -> None:
    """From each status to each; staying is no step. A step back is only to open."""
    expected = {
        "open": {"in-progress", "resolved", "closed"},
        "in-progress": {"resolved", "closed"},
        "resolved": {"open", "closed"},
        "closed": {"open"},
    }
    ticket = await opened(api, driver)
    for before, after in itertools.product(expected, repeat=2):
        for person in (admin, driver):
            async with pool.connection() as db:
                await db.execute("UPDATE support_tickets SET status = %s", (before,))
            answer = await change(api, person, ticket, status=after)
            is_step = after == before or after in expected[before]
            is_owner_s = person is admin or after == before or after in {"open", "closed"}
            assert answer.status_code == (403 if not is_owner_s else 200 if is_step else 400), (before, after)


async def test_the_service_level_counts_from_creation_to_resolution(
    api: httpx.AsyncClient, driver: Person, admin: Person, clock: Clock
) -> None:
    for priority, hours in [("high", 4), ("medium", 24), ("low", 72)]:
        late = await opened(api, driver, priority=priority)
        met = await opened(api, driver, priority=priority)
        clock.advance(hours * 3_600)
        assert (await shown(api, driver, late))["slaStatus"] == "within"
        await change(api, admin, met, status="resolved")
        clock.advance(1)
        assert (await shown(api, driver, late))["slaStatus"] == "breached"
        assert (await shown(api, driver, met))["slaStatus"] == "within"
    assert (await change(api, driver, met, priority="medium")).json()["data"]["slaStatus"] == "breached"
    assert (await change(api, driver, met, priority="low")).json()["data"]["slaStatus"] == "within"


async def test_support_s_answer_is_told_to_the_owner(
    api: httpx.AsyncClient, driver: Person, admin: Person, clock: Clock, pool: Pool
) -> None:
    ticket = await opened(api, driver)
    clock.advance(600)
    answer = await comment(api, driver, ticket, comment="Hello?")
    assert answer.status_code == 201
    stats = (await api.get(f"{URL}/stats", headers=admin.headers)).json()["data"]
    assert stats["avgResponseTime"] == 0
    clock.advance(300)
    for _ in range(2):
        answered = (await comment(api, admin, ticket)).json()["data"]
        clock.advance(300)
    assert [(each["author"], each["authorType"]) for each in answered["comments"]] == [
        ("user", "user"), ("admin", "support"), ("admin", "support"),
    ]  # fmt: skip
    assert set(answered["comments"][0]) == {"author", "authorType", "comment", "attachments", "createdAt"}
    stats = (await api.get(f"{URL}/stats", headers=admin.headers)).json()["data"]
    assert stats == {
        "total": 1, "open": 1, "inProgress": 0, "resolved": 0, "closed": 0, "avgResponseTime": 15.0,
    }  # fmt: skip
    told = (await api.get("/api/v1/notifications", headers=driver.headers)).json()["data"]
    assert [(each["title"], each["data"]) for each in told] == [
        ("Ticket TKT-000001", {"ticketId": ticket})
    ] * 2
    assert (await api.get("/api/v1/notifications", headers=admin.headers)).json()["data"] == []


async def test_attachments_are_the_author_s_own_uploads(
    api: httpx.AsyncClient, driver: Person, stranger: Person, clock: Clock, pool: Pool
) -> None:
    ticket = await opened(api, driver)
    own = await upload(pool, clock, driver, "a1.pdf")
    photo = await upload(pool, clock, driver, "a2.jpg", "vehicle")
    foreign = await upload(pool, clock, stranger, "b1.pdf")
    urls = [own, f"https://api.example.com{photo}?expires=1&signature=x"]
    answer = await comment(api, driver, ticket, attachments=urls)
    assert answer.json()["data"]["comments"][0]["attachments"] == [own, photo]
    for wrong in (
        foreign, "/uploads/document/none.pdf", "/etc/passwd", "/uploads/document/../../etc/passwd",
        "http://[", "/uploads/document/a%00.pdf", "javascript:alert(1)", "",
    ):  # fmt: skip
        refused = await comment(api, driver, ticket, attachments=[own, wrong])
        assert refused.status_code == 422, wrong
        assert refused.json()["errors"][0]["field"] == "attachments.1"
    many = await comment(api, driver, ticket, attachments=[own] * 11)
    assert many.status_code == 422


async def test_a_closed_ticket_takes_no_comment_and_a_full_one_neither(
    api: httpx.AsyncClient, driver: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await opened(api, driver)
    monkeypatch.setattr("api.evcms.support.COMMENTS_MAX", 1)
    assert (await comment(api, driver, ticket)).status_code == 201
    assert (await comment(api, driver, ticket)).status_code == 400
    await change(api, driver, ticket, status="closed")
    closed = await comment(api, driver, ticket)
    assert (closed.status_code, closed.json()["message"]) == (400, "Ticket is closed")


async def test_a_resolution_is_rated_once_by_the_owner(
    api: httpx.AsyncClient, driver: Person, admin: Person, clock: Clock
) -> None:
    ticket = await opened(api, driver)
    assert (await rate(api, driver, ticket, rating=5)).status_code == 400
    await change(api, admin, ticket, status="resolved")
    for wrong in (0, 6, "good", None):
        refused = await rate(api, driver, ticket, rating=wrong)
        assert refused.status_code == 422
    assert (await rate(api, admin, ticket, rating=5)).status_code == 403
    rated = await rate(api, driver, ticket, rating=4, feedback="Fast")
    assert rated.status_code == 200
    rating = rated.json()["data"]["rating"]
    assert (rating["score"], rating["feedback"]) == (4, "Fast")
    assert set(rating) == {"score", "feedback", "ratedAt"}
    assert (await rate(api, driver, ticket, rating=1)).status_code == 409
    assert (await shown(api, admin, ticket))["rating"]["score"] == 4


async def test_a_ticket_says_field_by_field_what_is_wrong(api: httpx.AsyncClient, driver: Person) -> None:
    answer = await api.post(
        f"{URL}/tickets", json={"subject": "", "category": "other", "priority": "critical"},
        headers=driver.headers,
    )  # fmt: skip
    assert answer.status_code == 422
    fields = {each["field"] for each in answer.json()["errors"]}
    assert fields == {"subject", "description", "category", "priority"}
