"""Every Lithovolt endpoint by the table (LI-001 to LI-019, LI-X01 to LI-X12): who, what, what comes back."""

import re
from typing import Any

import httpx

from tests.api.helpers import Person, bearer
from tests.api.lithovolt.contract_table import (
    CALLERS,
    CONTRACT,
    INVALID_QUERIES,
    ROWS_EXPECTED,
    UNPATHED_EXPECTED,
    Row,
    page_of,
    shape_of,
)
from tests.api.lithovolt.contract_world import Json, World
from tests.api.shapes import faults
from tests.stream.test_files import picture

WRONG: Any = [[]]  # a list in a list is no value of any field
# What takes long to make, and has the slash of all others.
DRAWN = {"application/pdf", "image/png", "application/json"}


class Faults(list[str]):
    """What was found wrong; all of it is told at once."""

    def check(self, right: object, row: Row, *what: object) -> None:
        if not right:
            self.append(f"{row.name}: {' '.join(map(str, what))}")

    def tell(self) -> None:
        assert not self, "\n".join(self)


def shape_fault(row: Row, answer: httpx.Response) -> str | None:
    """What is not as the table has the answer of what was done, or None."""
    mimetype = answer.headers["Content-Type"].partition(";")[0]
    if "/" in row.answer:
        return None if mimetype == row.answer else mimetype
    if mimetype != "application/json":
        return str(mimetype)
    of_page = row.answer.removeprefix("page ")
    shape = shape_of(of_page) if of_page == row.answer else page_of(of_page)
    return next(faults(answer.json(), shape), None)


def refusal_fault(answer: httpx.Response) -> str | None:
    """What is not as a client of the framework expects a refusal, or None."""
    body = answer.json()
    if answer.status_code != 400 or set(body) == {"detail"}:
        is_right = set(body) == {"detail"} and isinstance(body["detail"], str)
        if answer.status_code == 401 and "WWW-Authenticate" not in answer.headers:
            return "no WWW-Authenticate"
    else:
        is_right = bool(body) and all(
            isinstance(told, list) and told and all(isinstance(each, str) for each in told)
            for told in body.values()
        )
    return None if is_right else str(body)


async def request(
    world: World, row: Row, caller: str | None, subject: str = "1", url: str | None = None, **more: Any
) -> httpx.Response:
    return await world.call(world.who(caller), row.method, url or row.url(subject), **more)


async def good_request(world: World, row: Row, caller: str | None, subject: str) -> httpx.Response:
    if row.path.endswith("/files/"):
        return await request(world, row, caller, subject, files={"file": ("a.png", picture())})
    if row.path.endswith("/import/"):
        content = f"serial\nACME-{next(world.numbers)}\n"
        csv: Json = {"content": content, "headers": {"Content-Type": "text/csv"}}
        return await request(world, row, caller, subject, params={"model": world.model}, **csv)
    return await request(world, row, caller, subject, json=await world.body(row, caller))


def test_the_table_has_the_whole_contract() -> None:
    """Each row once, each described thing at least once."""
    ids = [row.id for row in CONTRACT if re.fullmatch(r"LI-\d{3}", row.id)]
    assert ids == [f"LI-{number:03}" for number in range(1, ROWS_EXPECTED + 1)]
    described = sorted({row.id for row in CONTRACT if row.id.startswith("LI-X")})
    assert described == [f"LI-X{number:02}" for number in range(1, UNPATHED_EXPECTED + 1)]
    assert len({(row.method, row.path) for row in CONTRACT}) == len(CONTRACT)


async def test_every_endpoint_answers_everybody_as_the_table_says(world: World) -> None:
    found = Faults()
    for row in CONTRACT:
        subject = ""
        for caller, status in zip(CALLERS, row.statuses, strict=True):
            if row.is_public and caller not in {None, "consumer"}:
                continue  # who it is does not matter
            if row.subject and (row.is_changing or not subject):
                subject = await world.make(row.subject)
            answer = await good_request(world, row, caller, subject)
            found.check(answer.status_code == status, row, caller, answer.status_code, answer.text[:300])
            fault = shape_fault(row, answer) if answer.is_success else refusal_fault(answer)
            found.check(fault is None, row, caller, fault)
    found.tell()
    await check_documents(world)


async def check_documents(world: World) -> None:
    """LI-018, LI-019, LI-X12: the document is of the table, and the pages need no other host for it."""
    document = (await world.call(None, "GET", "/api/schema/", 200)).json()
    assert document["openapi"].startswith("3.")
    there = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    fixed = {"soc.png": "{file}", "files/1/": "files/{file_id}/", "order_approved/email": "{kind}/{channel}"}
    known = set()
    for row in CONTRACT:
        path = row.path
        for value, name in fixed.items():
            path = path.replace(value, name)
        known.add((row.method, path))
    pages = {("GET", path) for path in ("/api/docs/", "/api/redoc/", "/api/schema/")}
    assert known - pages == there
    for _, path in sorted(pages)[:2]:
        page = await world.call(None, "GET", path, 200)
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert "http" not in page.headers["Content-Security-Policy"]
        assert not re.search(r"""["'(](https?:)?//""", page.text), path
        for file in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            await world.call(None, "HEAD", file, 200)


async def test_who_has_no_good_token_gets_nothing(world: World, dealer: Person) -> None:
    found = Faults()
    for row in CONTRACT:
        if row.is_public:
            continue
        for headers in (bearer("x"), bearer("a.b.c"), {"Authorization": "Basic eDp5"}, dealer.headers):
            answer = await request(world, row, None, headers=headers, json={})
            found.check(answer.status_code == 401, row, headers, answer.status_code, answer.text)
            fault = refusal_fault(answer)
            found.check(fault is None, row, headers, fault)
    found.tell()


async def test_what_is_not_there_is_a_404(world: World) -> None:
    found = Faults()
    for row in CONTRACT:
        if row.subject is None:
            continue
        body = await world.body(row, row.caller)
        for no_id in ("999999999", "0", "-1", "abc", "9" * 30, "%00", "1%20OR%201=1", "é"):
            answer = await request(world, row, row.caller, no_id, json=body)
            found.check(answer.status_code == 404, row, no_id, answer.status_code, answer.text)
            found.check(answer.json() == {"detail": "Not found."}, row, no_id, answer.text)
    found.tell()


async def test_bodies_that_are_none_are_refused_field_by_field(world: World) -> None:
    found = Faults()
    for row in CONTRACT:
        if not row.body:
            continue
        subject = await world.make(row.subject) if row.subject else ""
        good = await world.body(row, row.caller) or {}
        cases = [(name, {**good, name: WRONG}) for name in row.fields]
        cases += [(name, {key: good[key] for key in good if key != name}) for name in row.required]
        for name, body in cases:
            answer = await request(world, row, row.caller, subject, json=body)
            found.check(answer.status_code == 400, row, body, answer.status_code, answer.text[:300])
            told = {field.split(".")[0] for field in answer.json()}
            found.check(name in told, row, name, "is not named by", answer.text[:300])
        raw: Json = {"content": b'{"a": ', "headers": {"Content-Type": "application/json"}}
        answer = await request(world, row, row.caller, subject, **raw)
        found.check(answer.status_code == 400, row, "malformed", answer.status_code, answer.text)
        found.check(set(answer.json()) == {"detail"}, row, "malformed", answer.text)
        answer = await request(world, row, row.caller, subject, json=[1])
        found.check(answer.status_code == 400, row, "an array", answer.status_code, answer.text)
        found.check(set(answer.json()) == {"non_field_errors"}, row, "an array", answer.text)
    found.tell()


async def test_queries_that_are_none_are_refused_field_by_field(world: World) -> None:
    await world.make("warranty")
    cases = list(INVALID_QUERIES)
    for row in CONTRACT:
        if row.answer.startswith("page "):
            cases += [(row.path, "page", value) for value in ("0", "-1", "x", "1e3", "9" * 40, "")]
            cases += [(row.path, "page_size", value) for value in ("0", "101", "x")]
    for path, name, value in cases:
        answer = await world.call(world.people["admin"], "GET", path, params={name: value})
        assert (answer.status_code, list(answer.json())) == (400, [name]), (path, name, value, answer.text)


async def test_lists_have_pages(world: World) -> None:
    for subject in ("claim", "approved order", "claim", "order", "model", "order", "model", "claim"):
        await world.make(subject)
    admin = world.people["admin"]
    for row in CONTRACT:
        if not row.answer.startswith("page ") or row.path.endswith("/low-stock/"):
            continue

        async def page(path: str = row.path, **params: int) -> Any:
            return (await world.call(admin, "GET", path, 200, params=params)).json()

        first, second = await page(page_size=1), await page(page=2, page_size=1)
        both, total = await page(page_size=2), first["count"]
        assert total >= 3, row.name
        assert first["results"] + second["results"] == both["results"], row.name
        for shown, number in ((first["next"], 2), (second["next"], 3), (second["previous"], 1)):
            asked = httpx.URL(shown)
            assert (asked.path, asked.params["page"], asked.params["page_size"]) == (
                row.path,
                str(number),
                "1",
            )
        assert (await world.call(admin, "GET", first["next"], 200)).json() == second, row.name
        last = await page(page=total, page_size=1)
        assert (last["next"], len(last["results"])) == (None, 1), row.name
        beyond = await world.call(admin, "GET", row.path, 404, params={"page": total + 1, "page_size": 1})
        assert beyond.json() == {"detail": "Not found."}
    low = (await world.call(admin, "GET", "/api/inventory/low-stock/", 200, params={"page_size": 1})).json()
    assert (low["count"], len(low["results"])) == (2, 1), "the two models of which nothing was made"


async def test_lists_are_of_ones_own(world: World) -> None:
    """What the wholesaler and the consumer have, the other ones do not find, whatever they ask for."""
    await world.make("claim")
    await world.make("approved order")
    await world.allocated("rival")
    seller, buyer = world.people["wholesaler"].id, world.people["consumer"].id
    asked = {
        "/api/inventory/serials/": {"wholesaler": seller},
        "/api/inventory/allocations/": {"wholesaler": seller},
        "/api/orders/": {"buyer": seller},
        "/api/warranty/": {"consumer": buyer},
        "/api/warranty/claims/": {"claimant": buyer},
    }
    for path, query in asked.items():
        for name, other in (("wholesaler", "rival"), ("consumer", "stranger")):
            own = await world.call(world.people[name], "GET", path)
            if own.status_code == 403:
                continue
            assert own.json()["count"] > 0, (path, name)
            found = (await world.call(world.people[other], "GET", path, 200, params=query)).json()
            assert found == {"count": 0, "next": None, "previous": None, "results": []}, (path, other)
    stock = (await world.call(world.people["rival"], "GET", "/api/inventory/stock/", 200)).json()
    assert [(each["allocated"], each["sold"], each["in_stock"]) for each in stock["results"]] == [(1, 0, 0)]
    prices = (await world.call(world.people["consumer"], "GET", "/api/inventory/models/", 200)).json()
    assert {each["price"] for each in prices["results"]} == {None}, "what a wholesaler pays is not theirs"


async def test_slashes(world: World) -> None:
    """Strict below /api/auth (conflict C01); elsewhere without the slash too (conflict C08)."""
    found = Faults()
    for row in CONTRACT:
        if row.answer in DRAWN:
            continue
        subject = await world.make(row.subject) if row.subject else ""
        url = row.url(subject).removesuffix("/")
        body = await world.body(row, row.caller)
        if row.is_auth:
            answer = await request(world, row, row.caller, url=url, json=body)
            found.check(answer.status_code in {400, 404}, row, answer.status_code, answer.text)
            found.check(set(answer.json()) <= {"error", "details", "code"}, row, answer.text)
        elif row.method == "GET":
            with_slash = await request(world, row, row.caller, subject)
            answer = await request(world, row, row.caller, url=url)
            found.check(answer.status_code == 200, row, answer.status_code, answer.text)
            same = answer.text.replace(f"{url}?", f"{url}/?") == with_slash.text
            found.check(same, row, "is not the same without its slash")
        elif body is not None or row.path.endswith("/approve/"):
            answer = await request(world, row, row.caller, url=url, json=body)
            found.check(answer.status_code == row.success, row, answer.status_code, answer.text)
        doubled = await request(world, row, row.caller, url=f"{url}//", json=body)
        found.check(doubled.status_code == 404, row, "//", doubled.status_code, doubled.text[:200])
    found.tell()
