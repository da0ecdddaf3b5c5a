"""Every endpoint of the Ienerzy contract (IE-001 to IE-043), by the table: who, what, and what comes back."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx

from api.config import ApiConfig
from tests.api.helpers import SECRET, Person, Service, bearer
from tests.api.ienerzy.contract_table import (
    BODY_IDS,
    CONTRACT,
    INVALID_QUERIES,
    ONCE,
    ROLES,
    ROWS_EXPECTED,
    SHAPES,
    Row,
)
from tests.api.ienerzy.contract_world import LOAN, Scene, furnish
from tests.api.shapes import choices, faults, is_number, seen

ROW = {row.id: row for row in CONTRACT}
# A list in a list is no value of any field.
WRONG: Any = [[]]
NO_IDS = ("999999999999", "0", "-1", "abc", "9" * 30, "1e3", "%20", "' OR '1'='1", "%00", "..", "x" * 2_000)


class Faults(list[str]):
    """What was found wrong; all of it is told at once."""

    def check(self, right: object, row: Row, *what: object) -> None:
        if not right:
            self.append(f"{row.id} {row.method} {row.path}: {' '.join(map(str, what))}")

    def refused(self, answer: httpx.Response, status: int, row: Row, *what: object) -> None:
        """Check that it is a refusal with this status, in the family's form."""
        self.check(answer.status_code == status, row, *what, answer.status_code, answer.text[:300])
        if answer.status_code >= 400:
            self.check(is_refusal(answer), row, *what, answer.text[:300])

    def tell(self) -> None:
        assert not self, "\n".join(self)


def is_refusal(answer: httpx.Response) -> bool:
    body = answer.json()
    known = {"error", "details", "code"} | ({"retry_after"} if answer.status_code == 429 else set())
    return bool(body.get("error")) and set(body) <= known and isinstance(body["error"], str)


async def request(
    scene: Scene, row: Row, person: Person | None, subject: str = "1", **more: Any
) -> httpx.Response:
    """The row's call; whatever comes back, its status is one that the table has."""
    answer = await scene.call(person, row.method, row.url(subject), **more)
    assert answer.status_code in row.errors | {row.status}, (row, more, answer.text)
    return answer


async def good_request(scene: Scene, row: Row, person: Person | None) -> httpx.Response:
    subject = await scene.make(row.subject) if row.subject else ""
    body = await scene.body(row, person or scene.people["dealer"])
    return await request(scene, row, person, subject, json=body)


def test_the_table_has_the_whole_contract(service: Service) -> None:
    assert len(CONTRACT) == ROWS_EXPECTED
    assert [row.id for row in CONTRACT] == [f"{number:03d}" for number in range(1, ROWS_EXPECTED + 1)]
    assert set(SHAPES) == set(ROW) - {"043"}
    paths = service.app.openapi()["paths"]
    for row in CONTRACT:
        if row.id != "043":  # the page that shows the document is not in it
            assert row.method.lower() in paths[row.path], row
            assert ("requestBody" in paths[row.path][row.method.lower()]) == bool(row.body), row


async def test_every_endpoint_answers_everybody_who_may_call_it(scene: Scene) -> None:
    await furnish(scene)
    wrong = Faults()
    for row in CONTRACT:
        shown: set[str] = set()
        for role in row.callers or (None,):
            person = None if role is None else scene.people[role]
            answer = await good_request(scene, row, person)
            wrong.check(answer.status_code == row.status, row, role, answer.status_code, answer.text[:300])
            if row.id == "043":
                wrong.check(answer.headers["content-type"].startswith("text/html"), row, answer.headers)
            elif answer.status_code == row.status:
                found = list(faults(answer.json(), SHAPES[row.id]))
                wrong.check(not found, row, role, found)
                shown |= set(seen(answer.json()))
        missing = set(choices(SHAPES.get(row.id))) - shown
        wrong.check(not missing, row, "never showed", missing)
    wrong.tell()


async def test_who_has_no_good_token_gets_nothing(scene: Scene, driver: Person) -> None:
    wrong = Faults()
    tokens = [None, bearer("x"), bearer("a.b.c"), {"Authorization": "Basic eDp5"}, driver.headers]
    for row in CONTRACT:
        for headers in () if row.is_public else tokens:
            body = {} if row.body and row.id != "022" else await scene.body(row, scene.people["dealer"])
            answer = await request(scene, row, None, headers=headers or {}, json=body)
            wrong.refused(answer, 401, row, headers)
            wrong.check(answer.headers.get("WWW-Authenticate") == "Bearer", row, answer.headers)
    wrong.tell()


async def test_a_role_that_may_not_is_refused_and_changes_nothing(scene: Scene) -> None:
    wrong = Faults()
    for row in CONTRACT:
        for role in set(ROLES.values()) - set(row.callers or ROLES.values()):
            person = scene.people[role]
            subject = await scene.make(row.subject) if row.subject else ""
            body = await scene.body(row, scene.people["dealer"])
            before = await scene.rows()
            answer = await request(scene, row, person, subject, json=body)
            wrong.refused(answer, 403, row, role)
            wrong.check(await scene.rows() == before, row, role, "changed something")
    wrong.tell()


async def test_what_is_not_there_or_anothers_is_a_404(scene: Scene) -> None:
    """Another dealer's, consumer's or technician's thing answers as one that does not exist."""
    wrong, people = Faults(), scene.people
    others = {"dealer": ["rival"], "consumer": ["stranger", "outsider"], "technician": ["colleague"]}
    for row in CONTRACT:
        if not row.subject:
            continue
        subject = await scene.make(row.subject)
        body = await scene.body(row, people["dealer"])
        before = await scene.rows()
        for role in row.callers:
            for thief in others.get(role, []):
                answer = await request(scene, row, people[thief], subject, json=body)
                wrong.refused(answer, 404, row, thief)
                missing = await request(scene, row, people[thief], "999999999999", json=body)
                told = missing.text.replace("999999999999", subject)
                wrong.check(answer.text == told, row, thief, answer.text, "is not", told)
        for no_id in NO_IDS:
            answer = await request(scene, row, people[row.callers[-1]], no_id, json=body)
            # two points are no part of a path: the client resolves them
            is_there = no_id == ".." or answer.status_code == 404
            wrong.check(is_there and is_refusal(answer), row, no_id, answer.status_code, answer.text[:200])
        wrong.check(await scene.rows() == before, row, "changed something")
    wrong.tell()


async def test_a_body_that_names_what_is_not_there_or_anothers_is_a_404(scene: Scene) -> None:
    wrong = Faults()
    for row_id, name in BODY_IDS:
        row, dealer = ROW[row_id], scene.people["dealer"]
        foreign = await _foreign(scene, name)
        subject = await scene.make(row.subject) if row.subject else ""
        body = await scene.body(row, dealer) or {}
        before = await scene.rows()
        for other in (foreign, 999_999_999_999, 2**63 - 1):
            answer = await request(scene, row, dealer, subject, json={**body, name: other})
            wrong.refused(answer, 404, row, name, other)
        for no_id in (0, -1, 2**63, 10**30, "abc", 1.5, None):
            answer = await request(scene, row, dealer, subject, json={**body, name: no_id})
            wrong.refused(answer, 400, row, name, no_id)
        wrong.check(await scene.rows() == before, row, name, "changed something")
    wrong.tell()


async def _foreign(scene: Scene, name: str) -> int:
    """The id of a thing of the rival's."""
    if name == "consumer_id":
        return scene.people["outsider"].id
    if name == "technician_id":
        async with scene.pool.connection() as db:
            rival, technician = (
                scene.people["rival"].id,
                await scene.world.person("technician", scene.phone()),
            )
            await db.execute("INSERT INTO technicians (user_id, dealer_id) VALUES (%s, %s)"
                             " ON CONFLICT (user_id) DO UPDATE SET dealer_id = EXCLUDED.dealer_id",
                             (technician.id, rival))  # fmt: skip
        return technician.id
    people = scene.people
    battery = await scene.world.add_battery(
        f"RIVAL-{next(scene.numbers)}", people["rival"], people["outsider"]
    )
    loan = {"consumer_id": people["outsider"].id, "battery_id": battery.id, **LOAN}
    if name == "battery_id":
        return battery.id
    if name == "applicationId":
        return int((await scene.made("rival", "/finance/applications", loan))["id"])
    issue = {"battery_id": battery.id, "issue_category": "other", "description": "x"}
    return int((await scene.made("rival", "/service/tickets", issue))["ticket"]["id"])


async def test_nothing_of_one_dealer_is_in_lists_and_figures_of_another(scene: Scene) -> None:
    await furnish(scene)
    wrong = Faults()
    for thief in ("rival", "outsider", "stranger", "colleague"):
        role = {"rival": "dealer", "colleague": "technician"}.get(thief, "consumer")
        for row in CONTRACT:
            if row.subject or row.method != "GET" or role not in row.callers:
                continue
            for params in ({}, {"dealer_id": scene.people["dealer"].id}):
                answer = await request(scene, row, scene.people[thief], params=params)
                body = answer.json()
                if row.id == "009":
                    own = {"rival": {scene.people["outsider"].id}}.get(thief, {scene.people[thief].id})
                    wrong.check({each["id"] for each in body} == own, row, thief, body)
                    continue
                if row.id == "040":
                    body["user_id"] = 0
                if row.id == "032":  # the rival has one consumer, who waits for his KYC
                    wrong.check(body["consumer_metrics"].pop("total_consumers") == 1, row, body)
                    body["consumer_metrics"].pop("pending_consumers")
                wrong.check(not list(_numbers(body)), row, thief, params, body)
    wrong.tell()


def _numbers(found: Any) -> Iterator[float]:
    """All numbers of an answer but zeros."""
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        for each in found:
            yield from _numbers(each)
    elif is_number(found, float) and found:
        yield found


async def test_bodies_that_are_none_are_refused_field_by_field(scene: Scene) -> None:
    wrong = Faults()
    for row in CONTRACT:
        if not row.body:
            continue
        person = scene.people["dealer"] if row.callers else None
        subject = await scene.make(row.subject) if row.subject else ""
        good = await scene.body(row, scene.people["dealer"]) or {}
        for name in row.fields:
            answer = await request(scene, row, person, subject, json={**good, name: WRONG})
            wrong.refused(answer, 400, row, name)
            told = answer.json()
            wrong.check(name in told.get("details", ""), row, name, told)
            wrong.check(told.get("code") == "VALIDATION_FAILED", row, name, told)
        for name in row.required:
            without = {key: value for key, value in good.items() if key != name}
            answer = await request(scene, row, person, subject, json=without)
            wrong.refused(answer, 400, row, "without", name)
            is_told = answer.json()["error"] == "Missing required fields" or row.id == "029"
            wrong.check(is_told, row, name, answer.text)
            # the contract has one sentence for both fields of a new consumer
            named = "Phone number and name" if row.id == "010" else name
            wrong.check(named in answer.json()["details"], row, name, answer.text)
        raw = {"content": b'{"a": ', "headers": {"Content-Type": "application/json"}}
        answer = await request(scene, row, person, subject, **raw)
        wrong.refused(answer, 400, row, "malformed")
        wrong.check(answer.json().get("code") == "MALFORMED_JSON", row, answer.text)
        for other in ([1], "x", None):
            wrong.refused(await request(scene, row, person, subject, json=other), 400, row, other)
    wrong.tell()


async def test_queries_that_are_none_are_refused_and_filters_filter(scene: Scene) -> None:
    wrong = Faults()
    for row_id, name, value in INVALID_QUERIES:
        row = ROW[row_id]
        answer = await request(scene, row, scene.people["admin"], params={name: value})
        wrong.refused(answer, 400, row, name, value)
        wrong.check(name in answer.json().get("details", ""), row, name, answer.text)
    await furnish(scene)
    admin, dealer = scene.people["admin"], scene.people["dealer"]
    everything = len((await request(scene, ROW["003"], admin)).json())
    serial = scene.world.battery.serial_number
    await scene.made("dealer", f"/batteries/{serial}/control", {"action": "maintenance"}, 200)
    found = {}
    for status in ("active", "inactive", "maintenance"):
        rows = (await request(scene, ROW["003"], admin, params={"status": status})).json()
        wrong.check({row["status"] for row in rows} <= {status}, ROW["003"], status, rows)
        found[status] = len(rows)
    assert sum(found.values()) == everything
    assert found["maintenance"] == 1
    own = (await request(scene, ROW["003"], admin, params={"dealer_id": dealer.id})).json()
    none = (await request(scene, ROW["003"], admin, params={"dealer_id": admin.id})).json()
    assert (len(own), none) == (everything, [])
    for row_id, rows_of in (("020", "collection_report"), ("034", "daily_collections")):
        for params, is_in in (
            ({"start_date": "2020-01-01", "end_date": "2099-12-31"}, True),
            ({"start_date": "2099-01-01"}, False),
            ({"end_date": "2020-01-01"}, False),
        ):
            answer = await request(scene, ROW[row_id], dealer, params=params)
            wrong.check(bool(answer.json()[rows_of]) == is_in, ROW[row_id], params, answer.text)
        turned = {"start_date": "2026-02-01", "end_date": "2026-01-01"}
        wrong.refused(await request(scene, ROW[row_id], dealer, params=turned), 400, ROW[row_id], turned)
    for params, count in (
        ({"location": "Bangalore", "skill_required": "electrical"}, 2),
        ({"location": "Bangalore", "skill_required": "plumbing"}, 0),
        ({"location": "Delhi"}, 0),
    ):
        answer = await request(scene, ROW["030"], dealer, params=params)
        wrong.check(answer.json()["count"] == count, ROW["030"], params, answer.text)
    wrong.tell()


async def test_what_can_be_only_once_is_a_400_the_second_time(scene: Scene) -> None:
    wrong = Faults()
    for row_id in ONCE:
        row, dealer = ROW[row_id], scene.people["dealer"]
        body = await scene.body(row, dealer)
        assert (await request(scene, row, dealer, json=body)).status_code == 201
        answer = await request(scene, row, dealer, json=body)
        wrong.refused(answer, 400, row)
        wrong.check(answer.json().get("code") == "DUPLICATE", row, answer.text)
    wrong.tell()


async def test_literal_paths_win_over_ids(scene: Scene) -> None:
    """Serials and ids never take what is a path of its own (conflict C09)."""
    dealer, battery = scene.people["dealer"], scene.world.battery.serial_number
    for path, key in (
        ("/api/batteries/test", "role"),
        ("/api/batteries/health-report", "fleet_health"),
        (f"/api/batteries/{battery}", "telemetry"),
        ("/api/service/tickets/active", "summary"),
    ):
        assert key in (await scene.call(dealer, "GET", path, 200)).json(), path
    for serial in ("test", "TEST", "health-report", "Health-Report"):
        answer = await scene.call(dealer, "POST", "/api/batteries", 400, json={"serial_number": serial})
        assert "reserved" in answer.json()["details"]
    for method, path in (
        ("GET", "/api/batteries/test/health"),
        ("POST", "/api/batteries/test/control"),
        ("POST", "/api/batteries/health-report/test"),
    ):
        answer = await scene.call(dealer, method, path, 404, json={"action": "active"})
        assert answer.json()["error"] == "Battery not found"


async def test_a_slash_at_the_end_is_anothers_path(scene: Scene) -> None:
    """Below /api/auth it is Lithovolt's, elsewhere nobody's; nothing is redirected (conflict C01)."""
    dealer = scene.people["dealer"]
    sign_in = {"phone": "+919876543210", "userType": "dealer"}
    assert (await scene.call(None, "POST", "/api/auth/login", 200, json=sign_in)).json()["success"] is True
    other = await scene.call(None, "POST", "/api/auth/login/", 400, json=sign_in)
    assert "error" not in other.json()
    assert isinstance(next(iter(other.json().values())), list)
    for row in CONTRACT:
        if row.id in {"001", "043"}:
            continue
        answer = await scene.call(dealer, row.method, row.url("1") + "/", json={})
        assert answer.status_code == 404, (row, answer.status_code, answer.text)
        assert "location" not in answer.headers
        assert "detail" in answer.json() if row.id == "002" else is_refusal(answer)
    for path in ("/api//batteries", "/API/batteries", "/api/Batteries"):
        assert (await scene.call(dealer, "GET", path)).status_code == 404, path


async def test_who_asks_too_often_is_told_when_to_ask_again(
    make_service: Callable[..., Service], scene: Scene
) -> None:
    """Sign-in 5 a minute from an address, 100 requests and 10 documents a minute of a user."""
    usual = ApiConfig(secret_key=SECRET)
    names = ("ienerzy_auth_per_minute", "ienerzy_requests_per_minute", "ienerzy_uploads_per_minute")
    api = make_service(**{name: getattr(usual, name) for name in names}).client
    people = scene.people

    async def refused(answer: httpx.Response) -> None:
        assert answer.status_code == 429, answer.text
        assert is_refusal(answer)
        body = answer.json()
        assert isinstance(body["retry_after"], int)
        assert 0 < body["retry_after"] <= 60
        assert answer.headers["Retry-After"] == str(body["retry_after"])
        assert (body["error"], body["details"]) == (
            "Rate limit exceeded", "Too many requests. Please try again later.",
        )  # fmt: skip

    for number in range(5):  # both paths count together, whatever the phone and the body
        body = {"phone": f"+91987654320{number}", "userType": "dealer", "otp": "1"}
        path = ("login", "verify-otp")[number % 2]
        assert (await api.post(f"/api/auth/{path}", json=body)).status_code in {400, 401, 404}
    for path in ("login", "verify-otp"):
        await refused(await api.post(f"/api/auth/{path}", json={}))
    url = f"/api/consumers/{people['consumer'].id}/documents"
    link = {"document_type": "photo", "document_url": "https://example.com/x.jpg"}
    for _ in range(10):
        assert (await api.post(url, json=link, headers=people["dealer"].headers)).status_code == 201
    await refused(await api.post(url, json=link, headers=people["dealer"].headers))
    for _ in range(89):
        answer = await api.get("/api/batteries/test", headers=people["dealer"].headers)
        assert answer.status_code == 200, answer.text
    await refused(await api.get("/api/batteries/test", headers=people["dealer"].headers))
    assert (await api.get("/api/batteries/test", headers=people["rival"].headers)).status_code == 200
