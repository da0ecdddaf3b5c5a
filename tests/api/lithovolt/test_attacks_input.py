"""Odd fields, words, files, queries and values: what an attacker sends to Lithovolt breaks nothing."""

import asyncio
import io
import json
import time
from collections import Counter
from urllib.parse import quote

from pypdf import PdfReader

from tests.api.lithovolt.contract_table import CONTRACT
from tests.api.lithovolt.contract_world import Json, World
from tests.api.odd_values import ODD, SQL, TRAVERSALS, bomb, pixels
from tests.stream.test_files import PDF, picture

MARK = "424242424242"
ASSIGNED: Json = {
    "id": 424242424242, "user_id": 424242424242, "is_approved": True, "is_email_verified": True,
    "is_staff": True, "is_superuser": True, "buyer": 424242424242, "buyer_id": 424242424242,
    "price": "424242424242.00", "total": "424242424242.00", "subtotal": "1.00", "tax": "0.00",
    "price_minor": 424242424242, "total_minor": 424242424242, "order_number": MARK, "invoice_number": MARK,
    "claim_number": MARK, "seller_id": 424242424242, "consumer_id": 424242424242, "expires_on": "2999-01-01",
    "starts_on": "1999-01-01", "terms": {"months": 424242424242}, "is_void": True, "verdict": MARK,
    "evidence": {"text": MARK}, "decided_at": "1999-01-01T00:00:00Z", "decided_by": 424242424242,
    "created_at": "1999-01-01T00:00:00Z", "created_by": 424242424242, "updated_by": 424242424242,
    "claimant_id": 424242424242, "token_version": 99, "password_hash": MARK, "system": "evcms",
    "order": 424242424242, "open": 424242424242, "count": 424242424242, "status_reason": MARK,
    "is_default": True, "deleted_at": "1999-01-01", "__proto__": {"role": "admin"}, "in_stock": 424242424242,
}  # fmt: skip


async def test_no_field_is_taken_that_the_contract_does_not_have(world: World) -> None:
    faults = []
    for row in CONTRACT:
        if not row.body:
            continue
        subject = await world.make(row.subject) if row.subject else ""
        good = await world.body(row, row.caller) or {}
        more = {name: value for name, value in ASSIGNED.items() if name not in row.fields}
        more |= {name: "admin" for name in ("role",) if name not in row.fields}
        answer = await world.call(world.who(row.caller), row.method, row.url(subject), json={**more, **good})
        if answer.status_code != row.success:
            faults.append(f"{row.name}: {answer.status_code} {answer.text[:200]}")
        elif any(text in answer.text for text in (MARK, "1999-01-01", "2999-01-01")):
            faults.append(f"{row.name} took {answer.text[:500]}")
    assert not faults, "\n".join(faults)
    assert await world.value("SELECT count(*) FROM users WHERE role = 'admin'") == 1


INJECTIONS = [
    "{{ ''.__class__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ self }}", "{{ config }}",
    "{{ name.__init__.__globals__ }}", "{{ name|attr('__class__') }}", "{{ ''['__class__'] }}",
    "{{ request }}", "{{ cycler.__init__.__globals__.os.popen('id').read() }}", "{{ lipsum }}",
    "{{ namespace() }}", "{{ range(1000000000)|list }}", "{% for x in range(10**9) %}x{% endfor %}",
    "{% for x in name %}{% for y in name %}x{% endfor %}{% endfor %}", "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}", "{% extends 'x' %}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% set x = name %}", "{% raw %}", "{{ 'x' * 10**9 }}", "{{ 'x'|center(10**9) }}", "{{ name ~ name }}",
    "{{ 9**9**9 }}", "{{ '%1000000000d' % 1 }}", "{{ '{0.__class__}'.format(name) }}", "{{ name|pprint }}",
    "{{ name|map('upper')|list }}", "{% filter upper %}x{% endfilter %}", "{% with x = 1 %}{% endwith %}",
    "{% call name() %}{% endcall %}", "{% autoescape true %}{% endautoescape %}", "{{ total.real }}",
    "{{" * 2_000,
]  # fmt: skip


# What is allowed, and much of it: taken or refused, but never a burden.
HEAVY = ["{{ " + "not " * 1_200 + "name }}", "{{ name" + "|upper" * 700 + " }}", "{{ name }}" * 499]


async def test_no_template_does_more_than_fill_in(world: World) -> None:
    path = "/api/notifications/templates/order_approved/email/"
    before = await world.done("admin", "GET", path)
    began = time.process_time()
    for text in INJECTIONS:
        for where in ("body", "subject"):
            words = {"subject": "S", "body": "B", where: text}
            for method, to in (("PUT", path), ("POST", f"{path}preview/")):
                answer = await world.call(world.people["admin"], method, to, json=words)
                assert (answer.status_code, list(answer.json())) == (400, [where]), (text[:80], answer.text)
    for text in HEAVY:
        answer = await world.call(world.people["admin"], "POST", f"{path}preview/", json={"body": text})
        assert answer.status_code in {200, 400}, answer.text
    assert time.process_time() - began < 10
    await world.done("admin", "DELETE", path)
    assert await world.done("admin", "GET", path) == before
    values = {"order_number": "{{ ''.__class__ }}", "total": "{% for x in y %}", "name": "<b>" * 300}
    body = {"body": "{{ order_number }}|{{ total }}|{{ name }}", "values": values}
    shown = await world.done("admin", "POST", f"{path}preview/", body)
    assert shown["body"] == "|".join((values["order_number"], values["total"], values["name"]))
    big = {"body": "{{ name }}" * 500, "values": {"name": "x" * 1_000}}
    assert (await world.done("admin", "POST", f"{path}preview/", big))["characters"] == 20_000


async def test_values_of_people_are_no_words_of_ours(world: World) -> None:
    """Names and reasons are data: in templates, in subjects, in pages of the mail, in pictures and PDFs."""
    evil = "{{ 7*7 }} <script>alert(1)</script> एशा 😀 \u202e\u0000".replace("\0", "")
    names = {"first_name": evil, "company": evil, "address": "Line 1\r\nBcc: evil@example.com"}
    await world.done("wholesaler", "PATCH", "/api/users/me/", names)
    order = await world.make("order")
    await world.done("admin", "PATCH", f"/api/orders/{order}/approve/")
    invoice = await world.call(world.people["wholesaler"], "GET", f"/api/orders/{order}/invoice/", 200)
    assert "<script>alert(1)</script>" in PdfReader(io.BytesIO(invoice.content)).pages[0].extract_text()
    model = {"name": f"मॉडल {evil}", "code": "EVIL", "nominal_voltage_v": "48", "capacity_ah": "1",
             "price": "1", "warranty_months": 1}  # fmt: skip
    number = (await world.done("admin", "POST", "/api/inventory/models/", model))["id"]
    serials = await world.add_serials(1, number)
    allocation = {"wholesaler": world.people["wholesaler"].id, "serials": serials}
    await world.done("admin", "POST", "/api/inventory/allocate/", allocation)
    body = {"serial": serials[0], "customer_name": evil, "customer_email": "c@example.com"}
    made = await world.done("wholesaler", "POST", "/api/warranty/activate/", body)
    assert made["customer_name"] == evil
    await world.call(world.people["wholesaler"], "GET", f"/api/warranty/{made['id']}/certificate/", 200)
    assert evil in await world.last_words("c@example.com")
    second = await world.make("order")
    reason = {"reason": "No\r\nBcc: evil@example.com {{ 7*7 }}"}
    await world.done("admin", "PATCH", f"/api/orders/{second}/reject/", reason)
    assert "{{ 7*7 }}" in await world.last_words("wholesaler@example.com")
    assert await world.value("SELECT count(*) FROM notices WHERE subject ~ '[\\r\\n]'") == 0


async def test_files_of_claims_are_what_they_say_and_stay_where_they_are(world: World) -> None:
    claim, other = await world.make("claim"), await world.make("claim")
    path, consumer = f"/api/warranty/claims/{claim}/files/", world.people["consumer"]
    html = b"<html><script>alert(1)</script>"
    refused = [
        ("a.png", html), ("a.jpg", b"GIF89a" + html), ("a.svg", b"<svg onload='x'/>"), ("a.html", html),
        ("a.png.html", picture()), ("a.php", picture()), ("a.png", pixels()), ("a.png", b""),
        ("a.png", bytes(11 << 20)), ("a.pdf", html + PDF), ("a.docx", bomb()), ("a", picture()),
        ("a.png\0.exe", b"MZ"), ("..", picture()), ("", picture()),
    ]  # fmt: skip
    for name, content in refused:
        answer = await world.call(consumer, "POST", path, files={"file": (name, content)})
        assert answer.status_code == 400, (name, answer.text)
    for name in (
        "../../../tmp/evil.png",
        "C:\\x\\evil.png",
        'a"; filename="evil.html.png',
        "a\r\nX-Evil: 1.png",
    ):
        answer = await world.call(consumer, "POST", path, files={"file": (name, picture() + html)})
        assert answer.status_code in {201, 400}, answer.text
        if answer.status_code == 201:
            assert not set("/\\\r\n") & set(answer.json()["name"])
            kept = await world.call(consumer, "GET", answer.json()["url"], 200)
            assert b"<script>" not in kept.content
            assert (kept.headers["Content-Type"], kept.headers["X-Content-Type-Options"]) == (
                "image/png",
                "nosniff",
            )
            assert "x-evil" not in kept.headers
    for name in (*TRAVERSALS, "1%2f..%2f1", "1%2f..%2f..%2f1"):
        answer = await world.call(consumer, "GET", f"{path}{name}/")
        assert answer.status_code == 404, (name, answer.status_code)
        plot = await world.call(consumer, "GET", f"/api/warranty/claims/{claim}/plots/{name}/")
        assert plot.status_code == 404, name
    own = (await world.done("consumer", "GET", f"/api/warranty/claims/{other}/"))["files"][0]["id"]
    await world.call(consumer, "GET", f"{path}{own}/", 404)
    for _ in range(21):
        answer = await world.call(consumer, "POST", path, files={"file": ("a.pdf", PDF)})
    assert (answer.status_code, list(answer.json())) == (400, ["file"]), "a claim has so many files at most"
    many = await world.call(consumer, "POST", path, files=[("file", ("a.pdf", PDF))] * 3)
    assert many.status_code == 400


FILTERS = {
    "/api/inventory/models/": "is_active search",
    "/api/inventory/serials/": "model status wholesaler batch search",
    "/api/inventory/allocations/": "wholesaler model order",
    "/api/inventory/stock/": "page",
    "/api/inventory/low-stock/": "page_size",
    "/api/orders/": "status buyer date_from date_to",
    "/api/users/": "role status is_approved search",
    "/api/warranty/": "status serial expires_within_days expires_from expires_until",
    "/api/warranty/claims/": "status warranty",
    "/api/notifications/templates/": "page",
}


async def test_no_query_is_a_statement(world: World) -> None:
    for subject in ("approved order", "claim"):
        await world.make(subject)
    admin = world.people["admin"]
    serial = (await world.activated())["serial"]
    filters = {**FILTERS, f"/api/inventory/serials/{serial}/history/": "limit before",
               f"/api/warranty/verify/{serial}/": "certificate signature"}  # fmt: skip
    lists = {row.path for row in CONTRACT if row.answer.startswith("page ")}
    assert lists <= set(filters)
    for path, names in filters.items():
        most = (await world.call(admin, "GET", path, 200)).json().get("count", 0)
        for name in names.split():
            for text in SQL:
                answer = await world.call(admin, "GET", path, params={name: text})
                assert answer.status_code in {200, 400, 404}, (path, name, text[:60], answer.text)
                if path in lists and answer.status_code == 200:
                    assert answer.json()["count"] <= most, (path, name, text)
    for path in ("/api/users/", "/api/inventory/models/", "/api/inventory/serials/"):
        for text in ("%", "_", "' OR '1'='1", "\\"):
            found = (await world.call(admin, "GET", path, 200, params={"search": text})).json()
            assert found["results"] == [], (path, text)
    for text in (*SQL, "٣"):
        for path in ("/api/warranty/verify/{}/", "/api/inventory/serials/{}/"):
            address = path.format(quote(text, safe=""))
            assert (await world.call(admin, "GET", address)).status_code == 404, address


async def test_no_odd_value_breaks_anything(world: World) -> None:
    """Odd values in turn in each field: no 500, and no odd price is taken."""
    faults = []
    headers = {"Content-Type": "application/json"}
    for row in CONTRACT:
        if not row.body or row.path in {"/api/auth/password/change/", "/api/auth/password/reset/confirm/"}:
            continue
        subject = await world.make(row.subject) if row.subject else ""
        good = await world.body(row, row.caller) or {}
        step = 6 if "password" in row.fields else 2  # to hash one takes long
        for place, name in enumerate(row.fields):
            rest = json.dumps({key: value for key, value in good.items() if key != name})[:-1]
            for text in ODD[place % step :: step]:
                raw = rest + (", " if len(rest) > 1 else "") + f'"{name}": {text}}}'
                answer = await world.call(
                    world.who(row.caller), row.method, row.url(subject), content=raw, headers=headers
                )
                where = f"{row.name} {name}={text[:40]}: {answer.status_code} {answer.text[:200]}"
                if answer.status_code >= 500:
                    faults.append(where)
                elif answer.is_success and name == "price" and text != "null":
                    faults.append(f"{where} was taken")
    assert not faults, "\n".join(faults)
    large = b'{"email": "a@example.com"' + b" " * 2_000_000 + b"}"
    for path in ("/api/auth/login/", "/api/auth/register/"):
        for content in (large, b"\xff\xfe{}", b"", b'{"a":' * 100_000):
            answer = await world.call(None, "POST", path, content=content, headers=headers)
            assert answer.status_code == 400, (path, content[:20], answer.text)


async def test_an_order_is_of_what_there_is_at_our_price(world: World) -> None:
    for item in (
        {"quantity": 0}, {"quantity": -1}, {"quantity": 1.5}, {"quantity": "1e9"}, {"quantity": 10**12},
        {"model": 0}, {"model": 10**15}, {"model": "x"}, {"model": 2**70},
    ):  # fmt: skip
        items = [{"model": world.model, "quantity": 1, **item}]
        await world.call(world.people["wholesaler"], "POST", "/api/orders/", 400, json={"items": items})
    twice = [{"model": world.model, "quantity": 1}] * 2
    await world.call(world.people["wholesaler"], "POST", "/api/orders/", 400, json={"items": twice})
    cheap = {"model": world.model, "quantity": 2, "price": "0.01", "amount": "0.01", "tax_percent": "0"}
    made = await world.done("wholesaler", "POST", "/api/orders/", {"items": [cheap], "total": "0.01"})
    assert (made["subtotal"], made["tax"], made["total"]) == ("90000.00", "16200.00", "106200.00")
    assert made["status"] == "pending"
    # one approval of many at once moves the stock and counts the invoices
    path = f"/api/orders/{made['id']}/approve/"
    tries = await asyncio.gather(*(world.call(world.people["admin"], "PATCH", path) for _ in range(6)))
    assert Counter(each.status_code for each in tries) == {200: 1, 400: 5}
    assert await world.value("SELECT count(*) FROM serial_numbers WHERE status = 'allocated'") == 2
