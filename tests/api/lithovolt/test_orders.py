"""Lithovolt orders (LI-011 to LI-014, LI-X05, LI-X10): exact sums, stock and invoice in one step, the PDF."""

import asyncio
import io
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pypdfium2
from pypdf import PdfReader

from storage.database import Pool
from stream.stock.gst import Seller
from tests.api.helpers import Clock, Person, Service
from tests.api.lithovolt.stock_scene import ORDERS, get, make, new_model, rows

Json = dict[str, Any]
SELLER = Seller("27AAPFU0939F1ZV", "Plot 4, MIDC, Pune 411018")
TOLD = "SELECT kind, channel, body FROM notices WHERE kind LIKE 'order%%' ORDER BY id"


async def post(
    api: httpx.AsyncClient, buyer: Person, items: list[Json], key: str = "", **more: Any
) -> httpx.Response:
    headers = {**buyer.headers, **({"Idempotency-Key": key} if key else {})}
    return await api.post(ORDERS, json={"items": items, **more}, headers=headers)


async def order(api: httpx.AsyncClient, buyer: Person, items: list[Json], **more: Any) -> Json:
    answer = await post(api, buyer, items, **more)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def decide(
    api: httpx.AsyncClient, person: Person, order_id: int | str, step: str, body: Json | None = None
) -> httpx.Response:
    return await api.patch(f"{ORDERS}{order_id}/{step}/", json=body or {}, headers=person.headers)


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


async def test_an_order_is_made_once_at_the_prices_of_then(
    api: httpx.AsyncClient,
    admin: Person,
    wholesaler: Person,
    other_wholesaler: Person,
    consumer: Person,
    clock: Clock,
) -> None:
    clock.now_us = int(datetime(2026, 3, 31, 18, 0, tzinfo=UTC).timestamp()) * 1_000_000
    big = (await new_model(api, admin, price="333.33"))["id"]
    small = (await new_model(api, admin, name="LV 24", code="LV24", price="0.05", tax_percent="12.5"))["id"]
    items = [{"model": small, "quantity": 3}, {"model": big, "quantity": 7}]
    answers = await asyncio.gather(*(post(api, wholesaler, items, "k-1", notes="Soon") for _ in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    made = answers[0].json()
    assert {answer.text for answer in answers} == {answers[0].text}
    assert (made["order_number"], made["status"], made["buyer_name"]) == (
        "LO-2526-000001", "pending", "Wholesaler Traders",
    )  # fmt: skip
    assert [(each["model"], each["price"], each["amount"], each["tax"]) for each in made["items"]] == [
        (small, "0.05", "0.15", "0.02"),  # 1.875 paise
        (big, "333.33", "2333.31", "420.00"),  # 419.9958 rupees
    ]
    assert (made["subtotal"], made["tax"], made["total"]) == ("2333.46", "420.02", "2753.48")
    assert made["history"] == [
        {"status": "pending", "at": "2026-03-31T18:00:00Z", "by": wholesaler.id, "reason": None}
    ]
    assert (await post(api, wholesaler, items[:1], "k-1", notes="Soon")).status_code == 400
    assert (await post(api, other_wholesaler, items, "k-1")).json()["order_number"] == "LO-2526-000002"
    await api.patch(f"/api/inventory/models/{big}/", json={"price": "1"}, headers=admin.headers)
    assert await get(api, wholesaler, f"{ORDERS}{made['id']}/") == made
    clock.advance(3_600)  # 1 April in India
    later = await order(api, wholesaler, [{"model": big, "quantity": 1}])
    assert (later["order_number"], later["subtotal"]) == ("LO-2627-000001", "1.00")
    listed = (await get(api, wholesaler, ORDERS))["results"]
    assert [each["id"] for each in listed] == [later["id"], made["id"]]
    assert listed[1] == {key: value for key, value in made.items() if key != "history"}
    for params, count in (
        ({}, 3), ({"buyer": wholesaler.id}, 2), ({"status": "pending"}, 3), ({"status": "approved"}, 0),
        ({"date_from": "2026-04-01"}, 1), ({"date_to": "2026-03-31"}, 2),
        ({"date_from": "2026-03-31", "date_to": "2026-04-01"}, 3),
    ):  # fmt: skip
        assert (await get(api, admin, ORDERS, **params))["count"] == count, params
    assert (await get(api, wholesaler, ORDERS, buyer=other_wholesaler.id))["count"] == 0
    for wrong in ({"status": "x"}, {"buyer": "x"}, {"date_from": "soon"}, {"date_to": "9999-12-31"}):
        assert (await api.get(ORDERS, params=wrong, headers=admin.headers)).status_code == 400, wrong
    assert (await api.get(ORDERS, headers=consumer.headers)).status_code == 403
    for person in (admin, consumer):
        assert (await post(api, person, items)).status_code == 403
    assert (await api.get(f"{ORDERS}{made['id']}/", headers=other_wholesaler.headers)).status_code == 404
    for reference in ("x", "0", "9" * 30):
        assert (await api.get(f"{ORDERS}{reference}/", headers=admin.headers)).status_code == 404


async def test_what_is_no_order(
    api: httpx.AsyncClient, admin: Person, wholesaler: Person, pool: Pool
) -> None:
    model = (await new_model(api, admin))["id"]
    gone = (await new_model(api, admin, name="LV 24", code="LV24", is_active=False))["id"]
    one = {"model": model, "quantity": 1}
    wrong: list[tuple[Any, str]] = [
        ([], "items"), ([one, one], "non_field_errors"), ([{"model": gone, "quantity": 1}], "items"),
        ([{"model": 2**62, "quantity": 1}], "items"), ([{**one, "quantity": 0}], "items.0.quantity"),
        ([{**one, "quantity": 10_001}], "items.0.quantity"), ([{**one, "model": "x"}], "items.0.model"),
        ([{**one, "quantity": 10_000}, {"model": gone, "quantity": 1}], "non_field_errors"), ("x", "items"),
    ]  # fmt: skip
    for items, field in wrong:
        answer = await post(api, wholesaler, items)
        assert (answer.status_code, list(answer.json())) == (400, [field]), answer.text
    assert list((await post(api, wholesaler, [one], notes="a\x00")).json()) == ["notes"]
    assert await rows(pool, "SELECT count(*) FROM orders") == [(0,)]


async def test_approval_moves_stock_and_makes_the_invoice(
    make_service: Callable[..., Service],
    admin: Person,
    wholesaler: Person,
    other_wholesaler: Person,
    pool: Pool,
) -> None:
    api = make_service(seller=SELLER).client
    async with pool.connection() as db:
        query = "UPDATE lithovolt_profiles SET gstin = %s WHERE user_id = %s"
        await db.execute(query, ("27ABCDE1234F1Z5", wholesaler.id))
        await db.execute(query, ("29ABCDE1234F1Z5", other_wholesaler.id))
    model = (await new_model(api, admin, price="45000.55"))["id"]
    cheap = (await new_model(api, admin, name="Żółty 24", code="LV24", price="0.05", tax_percent="5"))["id"]
    items = [{"model": model, "quantity": 3}, {"model": cheap, "quantity": 2}]
    made = await order(api, wholesaler, items)
    url = f"{ORDERS}{made['id']}/invoice/"
    early = await api.get(url, headers=wholesaler.headers)
    assert (early.status_code, list(early.json())) == (400, ["detail"])
    serials = await make(api, admin, model, 2)
    short = await decide(api, admin, made["id"], "approve")
    assert short.status_code == 400
    assert short.json() == {
        "items": [
            "LV 48-100 (LV48): 3 wanted, 2 in stock, 1 missing",
            "Żółty 24 (LV24): 2 wanted, 0 in stock, 2 missing",
        ]
    }
    assert await rows(pool, "SELECT DISTINCT status FROM serial_numbers") == [("in_stock",)]
    assert await rows(pool, "SELECT count(*) FROM counters WHERE name LIKE 'lithovolt_invoice%%'") == [(0,)]
    serials += await make(api, admin, model, 2)
    others = await make(api, admin, cheap, 2)
    for person, status in ((wholesaler, 403), (other_wholesaler, 403)):
        for step in ("approve", "reject"):
            assert (await decide(api, person, made["id"], step, {"reason": "x"})).status_code == status
    approved = (await decide(api, admin, made["id"], "approve")).json()
    year = approved["invoice_number"][3:7]
    assert (approved["status"], approved["invoice_number"]) == ("approved", f"LV-{year}-000001")
    assert [step["status"] for step in approved["history"]] == ["pending", "approved"]
    for step in ("approve", "reject"):
        again = await decide(api, admin, made["id"], step, {"reason": "x"})
        assert again.json() == {"detail": f"Order {made['order_number']} is approved already"}
        assert again.status_code == 400
    assert (await decide(api, wholesaler, made["id"], "cancel")).status_code == 400
    own = await get(api, wholesaler, "/api/inventory/allocations/", order=made["id"])
    assert {(each["model"], each["quantity"]) for each in own["results"]} == {(model, 3), (cheap, 2)}
    told = await rows(pool, TOLD)
    assert [(kind, channel) for kind, channel, _ in told] == [
        ("order_approved", "email"),
        ("order_approved", "sms"),
    ]
    assert f"LV-{year}-000001" in told[0][2]
    assert approved["total"] in told[0][2]
    answer = await api.get(url, headers=wholesaler.headers)
    assert answer.headers["content-type"] == "application/pdf"
    assert f"LV-{year}-000001.pdf" in answer.headers["content-disposition"]
    text = text_of(answer.content)
    facts = (
        "Gridwire", SELLER.gstin, SELLER.address, "Tax invoice", f"LV-{year}-000001", made["order_number"],
        "Wholesaler Traders", "12 MG Road, Pune", "27ABCDE1234F1Z5", "State 27", "850760", "45000.55",
        "135001.65", "CGST 9 %", "SGST 9 %", "INR 12150.15", "CGST 2.5 %", "SGST 2.5 %", "INR 0.00",
        "INR 0.01", f"INR {approved['total']}", *serials[:3], *others,
    )  # fmt: skip
    for fact in facts:
        assert fact in text, fact
    assert "IGST" not in text
    assert serials[3] not in text
    picture = pypdfium2.PdfDocument(answer.content)[0].render(scale=2).to_pil()
    assert picture.convert("L").getextrema() == (0, 255)
    async with pool.connection() as db:
        await db.execute("UPDATE lithovolt_profiles SET company = 'Moved', address = 'Elsewhere', gstin = ''")
        await db.execute("UPDATE battery_models SET name = id::text, hsn_code = '1234'")
    assert (await api.get(url, headers=admin.headers)).content == answer.content
    assert (await api.get(url, headers=other_wholesaler.headers)).status_code == 404
    between = await order(api, other_wholesaler, [{"model": model, "quantity": 1}])
    assert (await decide(api, admin, between["id"], "approve")).status_code == 200
    text = text_of((await api.get(f"{ORDERS}{between['id']}/invoice/", headers=admin.headers)).content)
    assert "IGST 18 %" in text
    assert "CGST" not in text


async def test_orders_are_rejected_with_a_reason_or_cancelled_by_their_buyer(
    api: httpx.AsyncClient, admin: Person, wholesaler: Person, other_wholesaler: Person, pool: Pool
) -> None:
    model = (await new_model(api, admin))["id"]
    await make(api, admin, model, 5)
    first, second, third = [await order(api, wholesaler, [{"model": model, "quantity": 1}]) for _ in range(3)]
    assert list((await decide(api, admin, first["id"], "reject")).json()) == ["reason"]
    rejected = (await decide(api, admin, first["id"], "reject", {"reason": "Unpaid bills"})).json()
    assert (rejected["status"], rejected["reason"], rejected["invoice_number"]) == (
        "rejected", "Unpaid bills", None,
    )  # fmt: skip
    assert (rejected["history"][1]["by"], rejected["history"][1]["reason"]) == (admin.id, "Unpaid bills")
    told = await rows(pool, TOLD)
    assert [(kind, channel) for kind, channel, _ in told] == [
        ("order_rejected", "email"),
        ("order_rejected", "sms"),
    ]
    assert "Unpaid bills" in told[0][2]
    assert (await decide(api, other_wholesaler, second["id"], "cancel")).status_code == 404
    assert (await decide(api, admin, second["id"], "cancel")).status_code == 403
    cancelled = await api.patch(f"{ORDERS}{second['id']}/cancel/", headers=wholesaler.headers)
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    for order_id in (first["id"], second["id"]):
        for step, person in (("approve", admin), ("reject", admin), ("cancel", wholesaler)):
            assert (await decide(api, person, order_id, step, {"reason": "x"})).status_code == 400
        assert (await api.get(f"{ORDERS}{order_id}/invoice/", headers=wholesaler.headers)).status_code == 400
    for step in ("approve", "reject"):
        assert (await decide(api, admin, "x", step, {"reason": "x"})).status_code == 404
    race = await asyncio.gather(
        *(decide(api, admin, third["id"], "approve") for _ in range(5)),
        *(decide(api, wholesaler, third["id"], "cancel") for _ in range(5)),
    )
    assert Counter(answer.status_code for answer in race) == {200: 1, 400: 9}
    assert len(await rows(pool, "SELECT FROM serial_numbers WHERE status = 'allocated'")) in {0, 1}


async def test_many_approvals_over_too_little_stock(
    api: httpx.AsyncClient, admin: Person, wholesaler: Person, other_wholesaler: Person, pool: Pool
) -> None:
    one = (await new_model(api, admin))["id"]
    two = (await new_model(api, admin, name="LV 24", code="LV24"))["id"]
    await make(api, admin, one, 25)
    await make(api, admin, two, 25)
    orders = []
    for number in range(30):  # the models in either order, so that locks could cross
        items = [{"model": one, "quantity": 1 + number % 3}, {"model": two, "quantity": 1 + number % 2}]
        buyer = (wholesaler, other_wholesaler)[number % 2]
        orders.append(await order(api, buyer, items if number % 2 else items[::-1]))
    answers = await asyncio.gather(*(decide(api, admin, each["id"], "approve") for each in orders * 2))
    approved = [answer.json() for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} == {200, 400}
    assert len({each["id"] for each in approved}) == len(approved)
    numbers = sorted(int(each["invoice_number"][-6:]) for each in approved)
    assert numbers == list(range(1, len(approved) + 1))
    for model in (one, two):
        sold = sum(item["quantity"] for each in approved for item in each["items"] if item["model"] == model)
        query = "SELECT count(*) FROM serial_numbers WHERE model_id = %s AND status = 'allocated'"
        assert await rows(pool, query, model) == [(sold,)]
        assert sold <= 25
    pending = [
        each
        for each in (await get(api, admin, ORDERS, page_size=100))["results"]
        if each["status"] == "pending"
    ]
    left = {
        row["model"]: row["in_stock"] for row in (await get(api, admin, "/api/inventory/stock/"))["results"]
    }
    for each in pending:  # nobody was refused what there was
        assert any(item["quantity"] > left[item["model"]] for item in each["items"])


async def test_nothing_is_sent_to_who_was_blocked_since(
    api: httpx.AsyncClient, admin: Person, wholesaler: Person, pool: Pool
) -> None:
    model = (await new_model(api, admin))["id"]
    await make(api, admin, model, 1)
    number = (await order(api, wholesaler, [{"model": model, "quantity": 1}]))["id"]
    account = f"/api/users/{wholesaler.id}/"
    for change in ({"status": "blocked"}, {"status": "active", "is_approved": False}):
        await api.patch(account, json=change, headers=admin.headers)
        refused = await decide(api, admin, number, "approve")
        assert refused.status_code == 400
        assert refused.json() == {
            "detail": "Wholesaler Traders is no approved wholesaler any more, or is blocked."
        }
    assert await rows(pool, "SELECT FROM stock_allocations") == []
    await api.patch(account, json={"is_approved": True}, headers=admin.headers)
    assert (await decide(api, admin, number, "approve")).status_code == 200
