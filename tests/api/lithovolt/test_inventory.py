"""Lithovolt inventory (LI-006 to LI-009, LI-X04): models, serial numbers, their lifecycle and history."""

import asyncio
from typing import Any

import httpx
import pytest

from storage.database import Pool
from stream.stock.serials import is_complete, serial_of
from tests.api.helpers import Clock, Person
from tests.api.lithovolt.stock_scene import MODEL, MODELS, SERIALS, allocate, get, make, new_model, rows

LOW = "/api/inventory/low-stock/"
STOCK = "/api/inventory/stock/"


async def test_admins_keep_models_and_everybody_reads_them(
    api: httpx.AsyncClient, admin: Person, wholesaler: Person, consumer: Person
) -> None:
    made = await new_model(api, admin, warranty_terms={"max_temperature_c": 55})
    assert {key: made[key] for key in ("price", "tax_percent", "nominal_voltage_v", "capacity_ah")} == {
        "price": "45000.50",
        "tax_percent": "18.00",
        "nominal_voltage_v": "51.20",
        "capacity_ah": "100.00",
    }
    assert made["hsn_code"] == "850760"
    one = f"{MODELS}{made['id']}/"
    assert await get(api, wholesaler, one) == made
    assert await get(api, consumer, one) == {**made, "price": None}
    page = await get(api, consumer, MODELS)
    assert (page["count"], page["next"], page["previous"]) == (1, None, None)
    taken = await api.post(MODELS, json={**MODEL, "name": "Other"}, headers=admin.headers)
    assert (taken.status_code, list(taken.json())) == (400, ["code"])
    await new_model(api, admin, name="LV 24-50", code="LV24")
    changed = await api.patch(one, json={"name": "lv 24-50"}, headers=admin.headers)
    assert (changed.status_code, list(changed.json())) == (400, ["name"])
    change = {"price": "46000", "code": "XX", "is_active": False, "id": 99, "warranty_terms": None}
    changed = await api.patch(one, json=change, headers=admin.headers)
    assert changed.json() == {
        **made, "price": "46000.00", "is_active": False, "updated_at": changed.json()["updated_at"],
    }  # fmt: skip
    assert (await api.get(one, headers=wholesaler.headers)).status_code == 404
    assert (await get(api, wholesaler, MODELS, is_active=False))["count"] == 1
    assert (await get(api, admin, MODELS, search="48"))["count"] == 1
    assert (await get(api, admin, MODELS, is_active=False))["results"] == [changed.json()]
    for person in (wholesaler, consumer):
        assert (await api.post(MODELS, json=MODEL, headers=person.headers)).status_code == 403
        assert (await api.patch(one, json={}, headers=person.headers)).status_code == 403
    for reference in ("x", "0", "9" * 30, "-1"):
        for method in ("GET", "PATCH"):
            answer = await api.request(method, f"{MODELS}{reference}/", json={}, headers=admin.headers)
            assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})
    wrong: dict[str, Any]
    for wrong in (
        {"code": "lv48"}, {"code": "LV-48"}, {"code": ""}, {"name": ""}, {"name": "a\x00"}, {"price": 0},
        {"price": "1.001"}, {"price": "NaN"}, {"tax_percent": 101}, {"warranty_months": 0}, {"hsn_code": "x"},
        {"capacity_ah": -1}, {"low_stock_threshold": -1}, {"warranty_terms": {"max_speed": 1}},
        {"warranty_terms": {"max_temperature_c": 1e9}}, {"nominal_voltage_v": 1e9}, {"chemistry": "x" * 201},
    ):  # fmt: skip
        answer = await api.post(MODELS, json={**MODEL, **wrong}, headers=admin.headers)
        assert (answer.status_code, list(answer.json())) == (400, list(wrong)), answer.text


async def test_numbers_are_made_in_ranges_and_none_twice(
    api: httpx.AsyncClient, admin: Person, wholesaler: Person, pool: Pool
) -> None:
    model = (await new_model(api, admin))["id"]
    foreign = [serial_of("LV48", 3), "ACME-1", "acme_2"]
    taken = await api.post(SERIALS, json={"model": model, "serials": foreign}, headers=admin.headers)
    assert taken.json() == {"count": 3, "model": model, "batch": "", "serials": foreign}
    first = await make(api, admin, model, 4, batch="B-1")
    assert first == [serial_of("LV48", number) for number in (1, 2, 4, 5)]  # 3 was there
    ranges = await asyncio.gather(*(make(api, admin, model, 50) for _ in range(10)))
    every = [serial for each in ranges for serial in each]
    assert len(set(every)) == 500
    assert all(is_complete(serial) for serial in every)
    assert set(every) == {serial_of("LV48", number) for number in range(6, 506)}
    for quantity, serials in ((0, None), (10_001, None), (None, []), (1, ["A"]), (None, None)):
        body = {"model": model, "quantity": quantity, "serials": serials}
        assert (await api.post(SERIALS, json=body, headers=admin.headers)).status_code == 400, body
    for body in ({"model": 999, "quantity": 1}, {"model": model, "quantity": 1, "batch": "a\x00"}):
        assert (await api.post(SERIALS, json=body, headers=admin.headers)).status_code == 400
    body = {"model": model, "quantity": 1}
    assert (await api.post(SERIALS, json=body, headers=wholesaler.headers)).status_code == 403
    async with pool.connection() as db:
        await db.execute("UPDATE serial_counters SET value = 99999998")
    spent = await api.post(SERIALS, json={"model": model, "quantity": 2}, headers=admin.headers)
    assert spent.json() == {"quantity": ["LV48 has no more serial numbers of 8 digits"]}
    assert await make(api, admin, model, 1) == [serial_of("LV48", 99_999_999)]
    kinds = "SELECT kind, count(*) FROM serial_events GROUP BY kind ORDER BY kind"
    assert await rows(pool, kinds) == [("generated", 505), ("imported", 3)]


async def test_foreign_serials_come_all_or_none_and_each_fault_is_named(
    api: httpx.AsyncClient, admin: Person, pool: Pool
) -> None:
    model = (await new_model(api, admin))["id"]
    (own,) = await make(api, admin, model, 1)
    wrong = f"{own[:-1]}{'0' if own[-1] != '0' else '1'}"
    given = ["NEW-1", "new-1", own.lower()]
    answer = await api.post(SERIALS, json={"model": model, "serials": given}, headers=admin.headers)
    assert answer.json() == {"serials": ["new-1 stands here more than once"]}
    given = ["NEW-1", own.lower(), wrong, "Health-Report", "test"]
    answer = await api.post(SERIALS, json={"model": model, "serials": given}, headers=admin.headers)
    assert answer.status_code == 400
    assert [text.split("'")[1] for text in answer.json()["serials"]] == [wrong, "Health-Report", "test"]
    answer = await api.post(SERIALS, json={"model": model, "serials": given[:2]}, headers=admin.headers)
    assert answer.json() == {"serials": [f"{own.lower()} exists already"]}
    answer = await api.post(
        SERIALS, json={"model": model, "serials": ["a/b", "a\x00"]}, headers=admin.headers
    )
    assert list(answer.json()) == ["serials.0", "serials.1"]
    assert await rows(pool, "SELECT serial FROM serial_numbers") == [(own,)]
    sets = [[f"X-{number}" for number in order] for order in (range(30), reversed(range(30)))]
    bodies = [{"model": model, "serials": sets[number % 2]} for number in range(6)]
    answers = await asyncio.gather(*(api.post(SERIALS, json=body, headers=admin.headers) for body in bodies))
    assert sorted(each.status_code for each in answers) == [201] + [400] * 5
    headers = {**admin.headers, "Content-Type": "text/csv"}
    url = f"{SERIALS}import/"
    params: dict[str, Any] = {"model": model, "batch": "C"}
    answer = await api.post(url, params=params, content="serial\nCSV-1\nCSV-2\n", headers=headers)
    assert answer.json() == {"count": 2, "model": model, "batch": "C", "serials": ["CSV-1", "CSV-2"]}
    for text in ("serial\nCSV-3\nCSV-2\n", "number\n1\n", "", "serial\na b\n"):
        answer = await api.post(url, params=params, content=text, headers=headers)
        assert answer.status_code == 400, text
        assert list(answer.json()) == ["serials" if text else "non_field_errors"]
    assert await rows(pool, "SELECT count(*) FROM serial_numbers") == [(33,)]


async def test_each_sees_its_own_serials(
    api: httpx.AsyncClient,
    admin: Person,
    wholesaler: Person,
    other_wholesaler: Person,
    consumer: Person,
) -> None:
    model = (await new_model(api, admin))["id"]
    other = (await new_model(api, admin, name="LV 24", code="LV24"))["id"]
    serials = await make(api, admin, model, 5, batch="B-1")
    await make(api, admin, other, 2)
    answer = await allocate(api, admin, wholesaler=wholesaler.id, serials=serials[:2])
    assert answer.status_code == 201, answer.text
    page = await get(api, admin, SERIALS, page_size=3)
    assert (page["count"], len(page["results"])) == (7, 3)
    following = await api.get(page["next"], headers=admin.headers)
    seen = [row["serial"] for row in page["results"] + following.json()["results"]]
    assert seen[2:] == [*reversed(serials)][:4]
    shown = (await get(api, wholesaler, SERIALS))["results"]
    assert [row["serial"] for row in shown] == [serials[1], serials[0]]
    assert (shown[0]["status"], shown[0]["wholesaler_name"]) == ("allocated", "Wholesaler Traders")
    filters: list[tuple[dict[str, Any], int]] = [
        ({"model": other}, 2), ({"status": "in_stock"}, 5), ({"wholesaler": wholesaler.id}, 2),
        ({"batch": "B-1"}, 5), ({"search": serials[0].lower()}, 1), ({"search": "%"}, 0), ({"batch": ""}, 2),
        ({"model": model, "status": "in_stock", "batch": "B-1", "search": "lv48"}, 3),
    ]  # fmt: skip
    for params, count in filters:
        assert (await get(api, admin, SERIALS, **params))["count"] == count, params
    assert (await get(api, wholesaler, SERIALS, wholesaler=other_wholesaler.id))["count"] == 0
    for person in (other_wholesaler, consumer):
        assert (await get(api, person, SERIALS))["count"] == 0
        for path in ("", "history/"):
            assert (await api.get(f"{SERIALS}{serials[0]}/{path}", headers=person.headers)).status_code == 404
    assert (await api.get(f"{SERIALS}{serials[2]}/", headers=wholesaler.headers)).status_code == 404
    assert (await get(api, wholesaler, f"{SERIALS}{serials[0].lower()}/"))["serial"] == serials[0]
    for serial in ("x", "a%00b", "import", "9" * 99):
        assert (await api.get(f"{SERIALS}{serial}/", headers=admin.headers)).status_code == 404, serial
    for wrong in ({"status": "x"}, {"model": "x"}, {"model": 0}, {"wholesaler": 2**63}, {"page": 0},
                  {"search": "a\x00"}):  # fmt: skip
        assert (await api.get(SERIALS, params=wrong, headers=admin.headers)).status_code == 400, wrong
    assert (await api.get(SERIALS, params={"page": 9}, headers=admin.headers)).status_code == 404
    stock = (await get(api, admin, STOCK))["results"]
    assert [(row["model_code"], row["in_stock"], row["allocated"]) for row in stock] == [
        ("LV48", 3, 2),
        ("LV24", 2, 0),
    ]
    own = await get(api, wholesaler, STOCK)
    assert own["count"] == 1
    assert (own["results"][0]["in_stock"], own["results"][0]["allocated"]) == (0, 2)
    assert (await get(api, other_wholesaler, STOCK))["results"] == []
    assert (await api.get(STOCK, headers=consumer.headers)).status_code == 403


async def test_a_battery_comes_back_and_is_sold_again_or_scrapped(
    api: httpx.AsyncClient,
    admin: Person,
    wholesaler: Person,
    other_wholesaler: Person,
    clock: Clock,
    pool: Pool,
) -> None:
    model = (await new_model(api, admin))["id"]
    (serial,) = await make(api, admin, model, 1)
    url = f"{SERIALS}{serial}/"

    async def change(status: str, person: Person = admin) -> httpx.Response:
        body = {"status": status, "reason": "Dented"}
        return await api.patch(url, json=body, headers=person.headers)

    assert (await change("scrapped", wholesaler)).status_code == 403
    assert (await change("sold")).status_code == 400
    refused = await change("returned")
    assert refused.json() == {"status": [f"{serial} is in_stock: from in_stock it can become scrapped"]}
    clock.advance(60)
    assert (await allocate(api, admin, wholesaler=wholesaler.id, serials=[serial])).status_code == 201
    assert (await change("scrapped")).status_code == 400
    clock.advance(60)
    assert (await change("returned")).json()["status"] == "returned"
    clock.advance(60)
    again = await change("in_stock")
    assert (again.json()["status"], again.json()["wholesaler"]) == ("in_stock", None)
    clock.advance(60)
    answer = await allocate(api, admin, wholesaler=other_wholesaler.id, model=model, quantity=1)
    assert answer.json()["serials"] == [serial]
    history = (await get(api, admin, f"{url}history/"))["history"]
    kinds = [event["kind"] for event in history if event["source"] == "stock"]
    assert kinds == ["allocated", "restocked", "returned", "allocated", "generated"]
    assert (history[2]["detail"], history[2]["by"]) == ({"reason": "Dented"}, admin.id)
    own = (await get(api, other_wholesaler, f"{url}history/"))["history"]
    assert [event["kind"] for event in own] == ["allocated"]  # what was before is nobody else's business
    assert (await get(api, admin, f"{url}history/", limit=1))["history"] == history[:1]
    before = (await get(api, admin, f"{url}history/", before=history[1]["at"]))["history"]
    assert before == history[2:]
    await change("returned")
    assert (await change("scrapped")).json()["status"] == "scrapped"
    for status in ("returned", "in_stock", "scrapped"):
        assert "nothing else" in (await change(status)).text
    (stock,) = (await get(api, admin, STOCK))["results"]
    assert {key: stock[key] for key in ("in_stock", "allocated", "sold", "returned", "scrapped")} == {
        "in_stock": 0, "allocated": 0, "sold": 0, "returned": 0, "scrapped": 1,
    }  # fmt: skip


async def test_low_stock_is_told_once_and_closed_when_there_is_more(
    api: httpx.AsyncClient, admin: Person, wholesaler: Person, pool: Pool
) -> None:
    model = (await new_model(api, admin, low_stock_threshold=3))["id"]
    assert (await get(api, admin, LOW))["results"][0]["alerted_at"] is None
    await make(api, admin, model, 6)
    assert (await get(api, admin, LOW))["results"] == []
    alerts = "SELECT in_stock, threshold, closed_at IS NULL FROM low_stock_alerts ORDER BY id"
    told = "SELECT address, body FROM notices WHERE kind = 'low_stock' AND channel = 'email'"

    async def take(quantity: int) -> int:
        answer = await allocate(api, admin, wholesaler=wholesaler.id, model=model, quantity=quantity)
        assert answer.status_code == 201
        return int(answer.json()["id"])

    await asyncio.gather(*(take(1) for _ in range(3)))  # whichever is last opens it
    assert await rows(pool, alerts) == [(3, 3, True)]
    last = await take(1)
    (low,) = (await get(api, admin, LOW))["results"]
    assert (low["model_code"], low["in_stock"], low["threshold"]) == ("LV48", 2, 3)
    assert low["alerted_at"]
    notices = await rows(pool, told)
    assert [address for address, _ in notices] == ["admin@example.com"]
    assert "LV 48-100 (LV48) has 3 in stock" in notices[0][1]
    await make(api, admin, model, 2)
    assert (await get(api, admin, LOW))["results"] == []
    await take(1)
    assert await rows(pool, alerts) == [(3, 3, False), (3, 3, True)]
    assert len(await rows(pool, told)) == 2
    released = await api.post(f"/api/inventory/allocations/{last}/release/", headers=admin.headers)
    assert (released.status_code, released.json()["open"]) == (200, 0)
    assert (await get(api, admin, LOW))["results"] == []
    for change, low_now in (({"low_stock_threshold": 9}, 1), ({"is_active": False}, 0)):
        await api.patch(f"{MODELS}{model}/", json=change, headers=admin.headers)
        assert (await get(api, admin, LOW))["count"] == low_now
    assert [row[2] for row in await rows(pool, alerts)] == [False, False, False]
    assert (await api.get(LOW, headers=wholesaler.headers)).status_code == 403


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_strangers_are_refused(api: httpx.AsyncClient, method: str) -> None:
    for path in (MODELS, SERIALS):
        answer = await api.request(method, path, json={})
        assert (answer.status_code, list(answer.json())) == (401, ["detail"])
