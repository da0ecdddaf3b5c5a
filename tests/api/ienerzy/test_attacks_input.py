"""Odd files, names, queries and bodies: what an attacker sends to Ienerzy breaks and changes nothing."""

import io
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from tests.api.helpers import Person
from tests.api.ienerzy.contract_table import CONTRACT, SHAPES, Row
from tests.api.ienerzy.contract_world import LOAN, Json, Scene, furnish
from tests.api.odd_values import ODD, SQL, TRAVERSALS, bomb, pixels
from tests.api.shapes import faults
from tests.stream.test_files import PDF, picture

HTML = b"<html><script>alert(1)</script>"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='x'/>"
BODIES = [row for row in CONTRACT if row.body]


async def send_file(scene: Scene, name: str, content: bytes, **fields: str) -> httpx.Response:
    return await scene.call(
        scene.people["dealer"], "POST", f"/api/consumers/{scene.people['consumer'].id}/documents",
        files={"file": (name, content)}, data={"document_type": "photo", **fields},
    )  # fmt: skip


async def test_what_is_not_what_it_says_is_not_taken(scene: Scene) -> None:
    refused = [
        ("a.png", HTML), ("a.jpg", b"GIF89a" + HTML), ("a.png", SVG), ("a.svg", SVG), ("a.html", HTML),
        ("a.png.html", picture()), ("a.php", picture()), ("a.png", pixels()), ("a.pdf", picture()),
        ("a.png", b"\x89PNG\r\n\x1a\n" + HTML), ("a.png", bytes(5 * 2**20 + 1)), ("a.png", b""),
        ("a.pdf", HTML + PDF), ("a.docx", bomb()), ("a.exe", b"MZ"), ("a", picture()), ("", picture()),
        ("a.png\0.exe", b"MZ"), ("a.pdf", PDF + bytes(10 * 2**20)), ("a.pdf", bytes(12 * 2**20)),
    ]  # fmt: skip
    for name, content in refused:
        answer = await send_file(scene, name, content)
        assert answer.status_code == 400, (name, len(content), answer.status_code, answer.text)
        assert set(answer.json()) <= {"error", "details", "code"}
    for fields in (
        {"document_type": "../../etc"}, {"document_type": "a\0b"}, {"document_type": ""},
        {"document_number": "x" * 900}, {"document_number": "\0"}, {f"more{n}": "x" for n in range(20)},
        {"document_number": "x" * 5_000},
    ):  # fmt: skip
        answer = await send_file(scene, "a.png", picture(), **fields)
        assert answer.status_code == 400, (fields, answer.status_code, answer.text)
    assert await scene.count("SELECT count(*) FROM consumer_documents") == 0
    # what follows a picture is not kept with it
    answer = await send_file(scene, "a.png", picture() + HTML)
    if answer.status_code == 201:
        kept = await _kept(scene, answer)
        assert b"<script>" not in kept.content
        assert Image.open(io.BytesIO(kept.content)).format == "PNG"
    else:
        assert answer.status_code == 400


async def _kept(scene: Scene, taken: httpx.Response) -> httpx.Response:
    path = urlsplit(taken.json()["document"]["document_url"]).path
    return await scene.call(scene.people["dealer"], "GET", path, 200)


async def test_names_of_files_lead_nowhere(scene: Scene, tmp_path: Path) -> None:
    """A file's name is no path, no header and no type; what comes out is never shown as a page."""
    names = [*TRAVERSALS, 'a"; filename="evil.html', "a\r\nX-Evil: 1", "a\nSet-Cookie: x=1", "ä€😀", "CON"]
    for name in names:
        answer = await send_file(scene, f"{name}.pdf", PDF, document_type="utility_bill")
        assert answer.status_code in {201, 400}, (name, answer.status_code, answer.text)
        if answer.status_code == 201:
            assert name not in answer.text
            shown = await _kept(scene, answer)
            assert not {"x-evil", "set-cookie"} & set(shown.headers)
            assert shown.headers["content-type"] == "application/pdf"
            assert shown.headers["x-content-type-options"] == "nosniff"
            assert not set("\r\n/\\") & set(shown.headers["content-disposition"])
            assert shown.headers["cache-control"] == "private, no-store"
    folder = tmp_path / "files"
    assert {path.parent.name for path in folder.rglob("*.pdf")} == {"consumer"}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and folder not in path.parents]
    document = await scene.make("document")
    consumer = f"/api/consumers/{scene.people['consumer'].id}"
    for name in TRAVERSALS:
        for path in (f"{consumer}/documents/{name}/file", f"{consumer}/documents/{document}/{name}",
                     f"/api/consumers/{name}/documents", f"/api/batteries/{name}/history",
                     f"/uploads/consumer/{name}"):  # fmt: skip
            for person in (None, scene.people["dealer"]):
                answer = await scene.call(person, "GET", path)
                assert answer.status_code in {400, 401, 403, 404, 405}, (path, answer.status_code)
                assert b"root:" not in answer.content
                assert "x-evil" not in answer.headers


QUERIES = [
    ("batteries", ("status", "dealer_id")), ("consumers", ("kyc_status",)),
    ("finance/applications", ("status",)), ("finance/overdue", ("dealer_id",)),
    ("finance/collection-report", ("start_date", "end_date", "dealer_id")),
    ("finance/payments", ("application_id", "start_date", "end_date")), ("nbfc/portfolio", ("dealer_id",)),
    ("service/technicians/available", ("location", "skill_required")),
    ("analytics/dealer-dashboard", ("dealer_id",)),
    ("analytics/collection-report", ("start_date", "end_date")),
    ("analytics/battery-health", ("dealer_id",)), ("analytics/service-metrics", ("dealer_id",)),
    ("messaging/messages", ("limit",)), ("batteries/BAT001/history", ("before", "limit")),
    ("batteries/BAT001/alarms", ("open", "limit")),
    ("admin/accounts", ("role", "status", "dealer_id", "search")),
]  # fmt: skip


async def test_no_query_is_a_statement(scene: Scene) -> None:
    await furnish(scene)
    await scene.make("message")
    admin, wrong = scene.people["admin"], []
    for path, names in QUERIES:
        most = len((await scene.call(admin, "GET", f"/api/{path}", 200)).text)
        for name in names:
            for text in SQL:
                answer = await scene.call(admin, "GET", f"/api/{path}", params={name: text})
                where = f"{path}?{name}={text!r:.40}: {answer.status_code} {answer.text[:200]}"
                if answer.status_code not in {200, 400}:
                    wrong.append(where)
                elif answer.status_code == 200 and len(answer.text) > most:
                    wrong.append(f"{where} has more")
    for text in ("%", "_", "' OR '1'='1", "%%%", "\\"):
        found = await scene.call(admin, "GET", "/api/admin/accounts", 200, params={"search": text})
        if found.json():
            wrong.append(f"a search for {text} finds {len(found.json())}")
    assert not wrong, "\n".join(wrong)


MARK = 424242424242
ASSIGNED: Json = {
    "id": MARK, "owner_id": MARK, "consumer_name": str(MARK), "status": "approved", "role": "admin",
    "kyc_status": "verified", "dealer_name": str(MARK), "health_score": 1, "approved_amount": MARK,
    "paid": True, "paid_amount": MARK, "amount_minor": MARK, "disbursed_amount": MARK, "is_late": False,
    "nbfc": str(MARK), "recorded_by": MARK, "decided_by": MARK, "assigned_to": MARK, "opened_by": MARK,
    "resolved_at": "1999-01-01T00:00:00Z", "created_at": "1999-01-01T00:00:00Z", "satisfaction": 5,
    "uploaded_at": "1999-01-01T00:00:00Z", "deleted_at": "1999-01-01", "token_version": 99,
    "verified": True, "message_id": str(MARK), "from": str(MARK), "user_id": MARK, "system": "evcms",
    "__proto__": {"role": "admin"}, "constructor": {"prototype": {"role": "admin"}},
}  # fmt: skip


async def test_no_field_is_taken_that_the_contract_does_not_have(scene: Scene) -> None:
    """What is not a field of the row is ignored, and whose a thing is says the token alone."""
    wrong, rival = [], scene.people["rival"].id
    for row in BODIES:
        person = scene.people[row.callers[0]] if row.callers else None
        subject = await scene.make(row.subject) if row.subject else ""
        good = await scene.body(row, scene.people["dealer"]) or {}
        more = {name: value for name, value in ASSIGNED.items() if name not in row.fields}
        answer = await scene.call(
            person, row.method, row.url(subject), json={**more, "dealer_id": rival, **good}
        )
        if answer.status_code != row.status:
            wrong.append(f"{row.id} {row.path}: {answer.status_code} {answer.text[:200]}")
            continue
        taken = [text for text in (str(MARK), "1999-01-01", '"role":"admin"') if text in answer.text]
        taken += faults(answer.json(), SHAPES[row.id]) if row.id != "031" else []
        if taken:
            wrong.append(f"{row.id} {row.path} took {taken}: {answer.text[:500]}")
    assert not wrong, "\n".join(wrong)
    async with scene.pool.connection() as db:
        for table in ("batteries", "finance_applications", "service_tickets", "nbfc_reports"):
            query = f"SELECT count(*) FROM {table} WHERE dealer_id = %s"
            row_found = await (await db.execute(query.encode(), (rival,))).fetchone()
            assert row_found == (0,), table
    assert await scene.count("SELECT count(*) FROM users WHERE role = 'admin'") == 1
    assert await scene.count("SELECT count(*) FROM users WHERE role = 'consumer' AND name = 'Ram Kumar'") == 1


# Bodies beyond the contract: path with what its ids are of, and a good body.
MORE_BODIES: list[tuple[str, str, str, str, Json]] = [
    ("POST", "finance/emi/{}/pay", "emi", "dealer",
     {"amount": 1, "paid_on": "2026-01-01", "payment_method": "upi", "reference": "R"}),
    ("POST", "finance/applications/{}/disburse", "loan", "dealer",
     {"amount": 1, "disbursed_on": "2026-01-01"}),
    ("PUT", "finance/applications/{}/approve", "application", "dealer",
     {"status": "rejected", "reason": "x", "method": "flat", "starts_on": "2026-01-01"}),
    ("POST", "service/tickets/{}/rate", "resolved ticket", "consumer", {"rating": 5}),
    ("PATCH", "admin/accounts/{}", "account", "admin",
     {"name": "x", "phone": "+919811111119", "status": "active", "reason": "x", "technician": {
         "dealer_id": None, "location": "x", "latitude": 1, "longitude": 1, "skills": ["x"], "rating": 1,
         "experience_years": 1, "status": "available", "load_max": 9}}),
    ("POST", "admin/accounts", "account", "admin",
     {"role": "technician", "name": "x", "phone": "+919811111118", "dealer_id": 1, "technician": {}}),
]  # fmt: skip


@pytest.mark.parametrize("half", [0, 1])
async def test_no_odd_value_breaks_anything(scene: Scene, half: int) -> None:
    wrong: list[str] = []
    for row in BODIES[half::2]:
        person = scene.people[row.callers[0]] if row.callers else None
        subject = await scene.make(row.subject) if row.subject else ""
        good = await scene.body(row, scene.people["dealer"]) or {}
        fields = {**dict.fromkeys(row.fields), **good}
        await _try_all(scene, person, row, row.url(subject), fields, wrong)
    for method, path, subject, role, good in MORE_BODIES[half::2]:
        url = f"/api/{path.format(await scene.make(subject))}"
        row = Row("X", method, url, (role,), None, (), (), 200, frozenset({400, 201, 404}))
        await _try_all(scene, scene.people[role], row, url, good, wrong)
        inner = good.get("technician") or {}
        for name in inner:
            for text in ODD:
                raw = f'{{"technician": {{{json.dumps(name)}: {text}}}}}'
                await _try(scene, scene.people[role], row, url, raw, wrong)
    assert not wrong, "\n".join(wrong)


async def _try_all(
    scene: Scene, person: Person | None, row: Row, url: str, good: Json, wrong: list[str]
) -> None:
    for name in good:
        rest = {key: value for key, value in good.items() if key != name and value is not None}
        for text in ODD:
            raw = json.dumps(rest)[:-1] + (", " if rest else "") + f"{json.dumps(name)}: {text}}}"
            await _try(scene, person, row, url, raw, wrong)


async def _try(scene: Scene, person: Person | None, row: Row, url: str, raw: str, wrong: list[str]) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await scene.call(person, row.method, url, content=raw.encode(), headers=headers)
    if answer.status_code not in row.errors | {row.status} or answer.status_code == 500:
        wrong.append(f"{row.id} {url} {raw[-60:]}: {answer.status_code} {answer.text[:200]}")
    elif answer.is_success and re.search(r"[:,\[](NaN|-?Infinity)", answer.text):
        wrong.append(f"{row.id} {url} {raw[-60:]} gave {answer.text[:200]}")


async def test_deep_long_and_many(scene: Scene) -> None:
    """Bodies, queries and headers that are large, and ids of every size, are refused in the family's form."""
    dealer = scene.people["dealer"]
    headers = {"Content-Type": "application/json"}
    contents: list[tuple[bytes, int]] = [
        (b'{"a":' * 100_000, 400), (b"[" * 500_000, 400),
        (b'{"serial_number": "X"' + b" " * 2_000_000 + b"}", 400),
        (b"\xff\xfe{}", 400), (b"", 400), (b'{"serial_number": "' + b"x" * 900_000 + b'"}', 400),
        (json.dumps({f"k{n}": n for n in range(50_000)} | {"serial_number": "MANY"}).encode(), 201),
    ]  # fmt: skip
    for content, status in contents:
        answer = await scene.call(dealer, "POST", "/api/batteries", content=content, headers=headers)
        assert answer.status_code == status, (content[:40], answer.status_code, answer.text[:200])
    for odd in ({"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        answer = await scene.call(
            dealer, "POST", "/api/batteries", content=b'{"serial_number":"T"}', headers=odd
        )
        assert answer.status_code in {201, 400}, answer.text
    long = {"dealer_id": "9" * 60_000}
    assert (await scene.call(dealer, "GET", "/api/batteries", params=long)).status_code == 400
    huge: dict[str, Any] = {**LOAN, "consumer_id": 10**400, "battery_id": -(10**400)}
    await scene.call(dealer, "POST", "/api/finance/applications", 400, json=huge)
