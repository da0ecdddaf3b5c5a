"""Every endpoint of the EV-CMS contract (EV-001 to EV-136), by the table: who, what, and what comes back."""

import json
from typing import Any

import httpx

from tests.api.evcms.contract_table import (
    ALIASES,
    BODY_IDS,
    CONTRACT,
    FILTERS,
    INVALID_QUERIES,
    OBJECTS,
    ONCE,
    ROW_OBJECTS,
    ROWS_EXPECTED,
    Row,
)
from tests.api.evcms.contract_world import World
from tests.api.helpers import Person, Service, bearer
from tests.stream.test_files import picture

LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
# Files and pages, outside of /api.
NOT_LIMITED = {"135", "136"}
# of a person who is not the same afterwards
OWN_PERSON = {"005", "006", "075", "121"}
# A list in a list is no value of any field.
WRONG: Any = [[]]


class Faults(list[str]):
    """What was found wrong; all of it is told at once."""

    def check(self, right: object, row: Row, *what: object) -> None:
        if not right:
            self.append(f"{row.id} {row.method} {row.path}: {' '.join(map(str, what))}")

    def tell(self) -> None:
        assert not self, "\n".join(self)


def names_of(text: str) -> tuple[set[str], set[str]]:
    """Names that must be there, and all that may."""
    words = text.split()
    return {word for word in words if not word.endswith("?")}, {word.removesuffix("?") for word in words}


def has_fields(found: object, text: str) -> bool:
    required, known = names_of(text)
    return isinstance(found, dict) and required <= set(found) <= known


def shape_fault(row: Row, body: dict[str, Any]) -> str | None:
    """What is not as the table has the answer, or None."""
    kind, _, beside = row.answer.partition("[]")
    if row.answer == "done":
        return None if set(body) == {"success", "message"} else f"keys {set(body)}"
    if row.answer.startswith("{"):
        inner, _, rest = row.answer[1:].partition("}")
        is_right = has_fields(body["data"], inner) and set(body) == {"success", "data", *rest.split()}
        return None if is_right else f"keys {set(body)} with {body['data']}"
    if row.answer.endswith("{}"):
        return object_fault(row.answer[:-2], body)
    name = kind.removeprefix("page ")
    keys = {"success", "data", name, *beside.split()} | ({"pagination"} if name != kind else set())
    if set(body) != keys or body["data"] != body[name]:
        return f"keys {set(body)}"
    of = OBJECTS.get(ROW_OBJECTS.get(name, ""), "")
    return next((f"row {each}" for each in body[name] if of and not has_fields(each, of)), None)


def object_fault(kind: str, body: dict[str, Any]) -> str | None:
    data = dict(body["data"])
    found = data.pop(ALIASES.get(kind, kind), None)
    if set(body) != {"success", "data"} or data != found:
        return f"the object is not in both places: {body}"
    return None if has_fields(found, OBJECTS[kind]) else f"fields {sorted(found)}"


async def request(
    world: World, row: Row, person: Person | None, subject: str = "1", **more: Any
) -> httpx.Response:
    """The row's call; whatever comes back, its status is one that the table has."""
    more.setdefault("params", world.query(row.id))
    answer = await world.call(person, row.method, row.url(subject), **more)
    assert answer.status_code in row.errors | {row.status}, (row, more, answer.text)
    return answer


async def good_request(world: World, row: Row, person: Person | None, subject: str) -> httpx.Response:
    if row.id == "134":
        form = {"files": {"file": ("a.png", picture())}, "data": {"type": "profile"}}
        return await request(world, row, person, subject, **form)
    return await request(
        world, row, person, subject, json=await world.body(row.id, person or world.people["user"])
    )


def test_the_table_has_the_whole_contract(service: Service) -> None:
    assert [row.id for row in CONTRACT] == [f"{number:03d}" for number in range(1, ROWS_EXPECTED + 1)]
    paths = service.app.openapi()["paths"]
    for row in CONTRACT:
        if row.id != "135":  # the page that shows the document is not in it
            assert row.method.lower() in paths[row.path], row
    assert {row for row, *_ in INVALID_QUERIES} | set(FILTERS) <= {row.id for row in CONTRACT}


async def test_every_endpoint_answers_everybody_who_may_call_it(world: World) -> None:
    faults = Faults()
    for row in CONTRACT:
        for role in row.callers or (None,):
            person = None if role is None else world.people[role]
            if row.id in OWN_PERSON:
                person = await world.someone(role or "user")
            subject = await world.make(row.subject, person or world.people["user"]) if row.subject else ""
            answer = await good_request(world, row, person, subject)
            faults.check(answer.status_code == row.status, row, role, answer.status_code, answer.text[:300])
            limited = row.id in NOT_LIMITED or all(answer.headers.get(name) for name in LIMIT_HEADERS)
            faults.check(limited, row, role, dict(answer.headers))
            if answer.status_code == row.status and row.answer not in {"file", "page of html"}:
                fault = shape_fault(row, answer.json())
                faults.check(answer.json()["success"] is True and fault is None, row, role, fault)
    faults.tell()


async def test_who_has_no_good_token_gets_nothing(world: World, dealer: Person) -> None:
    faults = Faults()
    tokens = [None, bearer("x"), bearer("a.b.c"), {"Authorization": "Basic eDp5"}, dealer.headers]
    for row in CONTRACT:
        if row.is_public:
            continue
        for headers in tokens:
            answer = await request(world, row, None, headers=headers or {}, json={})
            faults.check(answer.status_code == 401, row, headers, answer.status_code, answer.text)
            body = answer.json()
            faults.check(set(body) == {"success", "message", "error", "statusCode"}, row, body)
            faults.check(all(answer.headers.get(name) for name in LIMIT_HEADERS), row, answer.headers)
    faults.tell()


async def test_a_role_that_may_not_is_refused(world: World) -> None:
    faults = Faults()
    for row in CONTRACT:
        for role in {"user", "brand", "admin"} - set(row.callers or ("user", "brand", "admin")):
            subject = await world.make(row.subject, world.people["brand"]) if row.subject else ""
            answer = await good_request(world, row, world.people[role], subject)
            faults.check(answer.status_code == 403, row, role, answer.status_code, answer.text)
            faults.check(answer.json().get("statusCode") == 403, row, role, answer.text)
    faults.tell()


NO_IDS = ("999999999999", "0", "-1", "abc", "1.0", "9" * 30, "1%00", "%27%20OR%201=1--", "%2e%2e")


async def test_an_id_that_is_none_is_not_there(world: World) -> None:
    faults = Faults()
    for row in CONTRACT:
        if row.subject is None:
            continue
        person = world.people[row.callers[-1] if row.callers else "user"]
        body = await world.body(row.id, person)
        for no_id in NO_IDS:
            subject = no_id if row.id != "136" else f"profile/{no_id}"
            answer = await request(world, row, person, subject, json=body)
            faults.check(answer.status_code == 404, row, no_id, answer.status_code, answer.text)
    faults.tell()


async def test_bodies_that_are_none_are_refused_field_by_field(world: World) -> None:
    faults = Faults()
    for row in CONTRACT:
        if not row.body or row.id == "134":
            continue
        person = world.people[row.callers[-1]] if row.callers else None
        subject = await world.make(row.subject, person or world.people["user"]) if row.subject else ""
        good = await world.body(row.id, person or world.people["user"]) or {}
        wrong = [(name, {**good, name: WRONG}) for name in row.fields]
        missing = [(name, {k: v for k, v in good.items() if k != name}) for name in row.required]
        for name, body in wrong + missing:
            answer = await request(world, row, person, subject, json=body)
            faults.check(answer.status_code == 422, row, body, answer.status_code, answer.text[:300])
            told = [each["field"].split(".")[0] for each in answer.json().get("errors", [])]
            faults.check(name in told, row, name, "is not named by", answer.text[:300])
        raw = {"content": b'{"a": ', "headers": {"Content-Type": "application/json"}}
        answer = await request(world, row, person, subject, **raw)
        faults.check(answer.status_code == 400, row, "malformed", answer.status_code, answer.text)
        answer = await request(world, row, person, subject, json=[1])
        faults.check(answer.status_code == 422, row, "an array", answer.status_code, answer.text)
    faults.tell()


async def test_queries_that_are_none_are_refused_field_by_field(world: World) -> None:
    faults = Faults()
    rows = {row.id: row for row in CONTRACT}
    cases = list(INVALID_QUERIES)
    for row in CONTRACT:
        cases += [
            (row.id, "page", value) for value in ("0", "-1", "x", "1e3", "9" * 40) if "page" in row.query
        ]
        cases += [(row.id, "limit", value) for value in ("0", "-1", "x", "") if "limit" in row.query]
    for row_id, name, value in cases:
        row = rows[row_id]
        person = world.people[row.callers[-1]]
        subject = await world.make(row.subject, person) if row.subject else ""
        answer = await request(world, row, person, subject, params={**world.query(row_id), name: value})
        faults.check(answer.status_code == 422, row, name, value, answer.status_code, answer.text[:200])
        told = [each["field"] for each in answer.json().get("errors", [])]
        faults.check(name in told, row, name, "is not named by", told)
    faults.tell()


async def fill(world: World) -> None:
    """Three of everything that is listed, of more than one kind, for one person who sees it: the admin."""
    admin, brand = world.people["admin"], world.people["brand"]
    made = {
        subject: [await world.make(subject, admin) for _ in range(3)]
        for subject in (
            "booking", "session", "active session", "rule", "invoice", "refund", "notification", "record",
            "begun record", "ticket", "resolved ticket", "identified user", "franchise", "review", "vehicle",
        )
    }  # fmt: skip

    async def put(person: Person, path: str, **body: Any) -> None:
        await world.call(person, "PUT", f"/api/v1/{path}", 200, json=body)

    await put(admin, f"bookings/{made['booking'][0]}/cancel", reason="No")
    await put(admin, f"pricing/rules/{made['rule'][0]}", isActive=False)
    await put(admin, f"billing/refunds/{made['refund'][0]}/process", status="approved")
    await put(admin, f"kyc/users/{made['identified user'][0]}/verify", status="rejected", notes="Blurred")
    await put(admin, f"admin/users/{made['identified user'][1]}/status", status="blocked", reason="No")
    await put(admin, f"support/tickets/{made['ticket'][0]}", priority="high")
    await put(brand, f"franchises/{made['franchise'][0]}", status="suspended", name="Zebra")
    await put(brand, f"stations/{world.station}", status="maintenance", name="Zebra crossing")
    await put(brand, f"chargers/{(await world.charger_at())[0]}", status="Maintenance")
    await world.call(admin, "PATCH", f"/api/v1/notifications/{made['notification'][0]}/read", 200)
    await world.call(admin, "POST", f"/api/v1/billing/invoices/{made['invoice'][0]}/pay", 200)
    await world.place(connectors=[{"connectorId": "1", "type": "Type2", "power": 22}])
    for kind in ("installer", "installer", "supplier"):
        body = (await world.body("115", admin) or {}) | {"type": kind}
        await world.call(admin, "POST", "/api/v1/partners", 201, json=body)
    device_id, _ = await world.charger_at()
    async with world.pool.connection() as db:
        await db.execute("UPDATE devices SET vendor = 'Zeta' WHERE id = %s", (device_id,))


async def test_lists_have_pages_and_filters_that_filter(world: World) -> None:
    await fill(world)
    faults = Faults()
    admin = world.people["admin"]
    for row in CONTRACT:
        if row.answer.startswith("page ") and row.id != "135":
            subject = await world.make(row.subject, admin) if row.subject else ""
            await check_pages(world, row, admin, subject, faults)
    rows = {row.id: row for row in CONTRACT}
    for row_id, filters in FILTERS.items():
        for name, key, values, is_partition in filters:
            await check_filter(world, rows[row_id], (name, key, values, is_partition), faults)
    faults.tell()


async def check_pages(world: World, row: Row, person: Person, subject: str, faults: Faults) -> None:
    async def page(**params: int) -> dict[str, Any]:
        answer = await request(world, row, person, subject, params=params)
        faults.check(answer.status_code == 200, row, params, answer.text[:200])
        return dict(answer.json())

    first, second = await page(limit=1), await page(page=2, limit=1)
    total = first["pagination"]["total"]
    faults.check(total >= 3 or row.id == "016", row, "has only", total)
    wanted = {"total": total, "page": 1, "limit": 1, "totalPages": total, "hasPrev": False}
    faults.check(first["pagination"] == wanted | {"hasNext": total > 1}, row, first["pagination"])
    if total >= 3:
        wanted = {"total": total, "page": 2, "limit": 1, "totalPages": total, "hasPrev": True}
        faults.check(second["pagination"] == wanted | {"hasNext": True}, row, second["pagination"])
        both = await page(limit=2)
        faults.check(both["data"] == first["data"] + second["data"], row, "pages overlap or are in disorder")
    whole = await page(limit=1_000)
    faults.check(whole["pagination"]["limit"] == 100, row, whole["pagination"])
    faults.check(len(whole["data"]) == min(total, 100), row, len(whole["data"]), "of", total)
    beyond = await page(page=1_000_000)
    faults.check(beyond["data"] == [] and not beyond["pagination"]["hasNext"], row, beyond)


async def check_filter(
    world: World, row: Row, of: tuple[str, str, tuple[str, ...], bool], faults: Faults
) -> None:
    name, key, values, is_partition = of
    admin = world.people["admin"]

    async def found(**params: str) -> tuple[int, list[Any]]:
        answer = await request(world, row, admin, params={**params, "limit": "100"})
        faults.check(answer.status_code == 200, row, params, answer.text[:200])
        body = answer.json()
        return body["pagination"]["total"], body["data"]

    everything, _ = await found()
    totals = []
    for value in values:
        total, rows = await found(**{name: value.replace("{station}", world.station)})
        totals.append(total)
        if key:
            words = [json.dumps(each[key]).lower() for each in rows]
            wanted = value.replace("{station}", world.station).lower()
            faults.check(all(wanted in word for word in words), row, name, value, words)
    faults.check(max(totals) > 0, row, name, "finds nothing")
    faults.check(min(totals) < everything, row, name, "leaves nothing out", totals, everything)
    if is_partition:
        faults.check(sum(totals) == everything, row, name, values, totals, "of", everything)


async def test_what_is_deleted_is_gone_until_it_is_restored(world: World) -> None:
    admin = world.people["admin"]
    for delete, kind in (("stations", "station"), ("admin/stations", "station"), ("admin/users", "user")):
        subject_id = await world.make(kind, admin)
        show = f"/api/v1/{'admin/users' if kind == 'user' else 'stations'}/{subject_id}"
        before = (await world.call(admin, "GET", show, 200)).json()["data"][kind]
        await world.call(admin, "DELETE", f"/api/v1/{delete}/{subject_id}", 200)
        await world.call(admin, "GET", show, 404)
        await world.call(admin, "DELETE", f"/api/v1/{delete}/{subject_id}", 404)
        await world.call(admin, "PATCH", f"/api/v1/admin/{kind}s/{subject_id}/restore", 200)
        after = (await world.call(admin, "GET", show, 200)).json()["data"][kind]
        assert after | {"updatedAt": 0} == before | {"updatedAt": 0}
    for kind, path in (
        ("vehicle", "profile/vehicles"),
        ("rule", "pricing/rules"),
        ("record", "maintenance"),
        ("franchise", "franchises"),
        ("notification", "notifications"),
    ):
        subject_id = await world.make(kind, admin)
        await world.call(admin, "DELETE", f"/api/v1/{path}/{subject_id}", 200)
        await world.call(admin, "GET", f"/api/v1/{path}/{subject_id}", 404)
        await world.call(admin, "DELETE", f"/api/v1/{path}/{subject_id}", 404)


async def test_an_archived_charger_is_in_no_list_until_it_is_restored(world: World) -> None:
    admin, driver = world.people["admin"], world.people["user"]
    device_id = await world.make("archived charger", admin)

    async def listed(person: Person) -> bool:
        answer = await world.call(person, "GET", "/api/v1/chargers?limit=100", 200)
        return device_id in {row["id"] for row in answer.json()["data"]}

    for person in (admin, driver, world.people["brand"]):
        assert not await listed(person)
    await world.call(driver, "GET", f"/api/v1/chargers/{device_id}", 404)
    shown = await world.call(admin, "GET", f"/api/v1/chargers/{device_id}", 200)
    assert shown.json()["data"]["isArchived"] is True
    await world.call(admin, "PATCH", f"/api/v1/chargers/{device_id}/restore", 200)
    assert await listed(admin)
    assert await listed(driver)


async def test_a_body_that_names_what_is_not_there_is_a_404(world: World) -> None:
    faults = Faults()
    rows = {row.id: row for row in CONTRACT}
    for row_id, name in BODY_IDS:
        row = rows[row_id]
        person = world.people[row.callers[-1]]
        body = await world.body(row_id, person) or {}
        for no_id in ("999999999999", "abc", "9" * 30, "' OR '1'='1"):
            answer = await request(world, row, person, json={**body, name: no_id})
            faults.check(answer.status_code == 404, row, name, no_id, answer.status_code, answer.text)
    faults.tell()


async def test_what_can_be_only_once_is_a_409_the_second_time(world: World) -> None:
    faults = Faults()
    rows = {row.id: row for row in CONTRACT}
    for row_id in ONCE:
        row = rows[row_id]
        person = world.people[row.callers[-1] if row.callers else "user"]
        body = await world.body(row_id, person)
        for status in (row.status, 409):
            answer = await request(world, row, person, json=body)
            faults.check(answer.status_code == status, row, answer.status_code, answer.text)
    faults.tell()


async def test_what_cannot_be_now_is_refused_with_its_reason(world: World) -> None:
    person = world.people["user"]
    future, begun = await world.make("booking", person), await world.make("active booking", person)
    session, ticket = await world.make("session", person), await world.make("ticket", person)
    refund, record = await world.make("refund", person), await world.make("record", person)
    paid = await world.payment(person)
    await world.call(
        world.people["admin"], "PUT", f"/api/v1/billing/refunds/{refund}/process", 200,
        json={"status": "rejected", "adminNotes": "No"},
    )  # fmt: skip
    admin, brand = world.people["admin"], world.people["brand"]
    rated, cancelled = await world.make("resolved ticket", person), await world.make("record", person)
    await world.call(person, "POST", f"/api/v1/support/tickets/{rated}/rate", 200, json={"rating": 5})
    await world.call(brand, "PUT", f"/api/v1/maintenance/{cancelled}", 200, json={"status": "cancelled"})
    invoice, franchise = await world.make("invoice", person), await world.make("franchise", brand)
    await world.call(admin, "POST", f"/api/v1/billing/invoices/{invoice}/cancel", 200)
    station, archived = await world.place(franchiseId=franchise), await world.make("archived charger", brand)
    busy = (await world.call(person, "GET", f"/api/v1/bookings/{begun}", 200)).json()["data"]["stationId"]
    cases: list[tuple[str, str, dict[str, Any] | None, set[int]]] = [
        ("028", busy, None, {409}),
        ("036", archived, None, {409}),
        ("037", await world.make("charger", brand), None, {409}),
        ("062", invoice, None, {400}),
        ("088", cancelled, None, {400}),
        ("096", rated, {"rating": 5}, {409}),
        ("103", str(person.id), None, {409}),
        ("106", busy, None, {409}),
        ("107", station, None, {409}),
        ("132", franchise, None, {409}),
        ("002", "", {"email": "user@example.com", "password": "wrong horse"}, {401}),
        ("002", "", {"email": "nobody@example.com", "password": "wrong horse"}, {401}),
        ("003", "", {"refreshToken": "x"}, {401}),
        ("005", "", {"currentPassword": "wrong horse", "newPassword": "another horse"}, {400, 401}),
        ("019", "", {"amount": 9_999_999_999, "paymentMethod": "upi"}, {400}),
        ("020", "", {"amount": 99_999_999, "description": "All"}, {400}),
        ("042", future, None, {400}),
        ("043", future, {"energyConsumed": 1, "finalSoC": 80}, {400}),
        ("044", begun, {"reason": "No"}, {400}),
        ("050", session, None, {400}),
        ("065", "", {"transactionId": paid, "amount": 101, "reason": "More than it was"}, {400}),
        ("067", refund, {"status": "approved"}, {409}),
        ("089", record, {"notes": "Done"}, {400}),
        ("096", ticket, {"rating": 5}, {400}),
    ]
    faults = Faults()
    rows = {row.id: row for row in CONTRACT}
    for row_id, subject, body, statuses in cases:
        row = rows[row_id]
        who = person if "user" in row.callers or row.is_public else world.people["admin"]
        answer = await request(world, row, who, subject, json=body)
        faults.check(answer.status_code in statuses, row, body, answer.status_code, answer.text)
        told = answer.json()
        faults.check(told["message"] and told["error"] and told["success"] is False, row, told)
    faults.tell()
