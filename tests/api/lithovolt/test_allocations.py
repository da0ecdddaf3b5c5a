"""Lithovolt allocations (LI-010, LI-X11): whole or not at all, no battery twice, whatever comes at once."""

import asyncio
from collections import Counter
from typing import Any

import httpx

from storage.database import Pool
from tests.api.helpers import Clock, Person
from tests.api.lithovolt.people import lithovolt_person
from tests.api.lithovolt.stock_scene import ALLOCATE, SERIALS, allocate, get, make, new_model, rows

ALLOCATIONS = "/api/inventory/allocations/"
OPEN = """
SELECT serial, count(*) FROM stock_allocation_serials JOIN serial_numbers ON id = serial_id
WHERE released_at IS NULL GROUP BY serial HAVING count(*) > 1
"""


async def test_stock_goes_to_wholesalers_who_see_their_own(
    api: httpx.AsyncClient, admin: Person, wholesaler: Person, other_wholesaler: Person, consumer: Person
) -> None:
    model = (await new_model(api, admin))["id"]
    serials = await make(api, admin, model, 6)
    first = await allocate(api, admin, wholesaler=wholesaler.id, model=model, quantity=2, notes="Van 7")
    assert first.status_code == 201
    shown = first.json()
    assert shown == {
        "id": shown["id"], "wholesaler": wholesaler.id, "wholesaler_name": "Wholesaler Traders",
        "model": model, "model_code": "LV48", "model_name": "LV 48-100", "order": None, "quantity": 2,
        "open": 2,
        "notes": "Van 7", "created_at": shown["created_at"], "serials": serials[:2],
    }  # fmt: skip
    named = [serials[4].lower(), serials[3]]
    second = (await allocate(api, admin, wholesaler=other_wholesaler.id, serials=named)).json()
    assert second["serials"] == serials[3:5]
    one = f"{ALLOCATIONS}{shown['id']}/"
    assert await get(api, wholesaler, one) == shown
    assert (await api.get(one, headers=other_wholesaler.headers)).status_code == 404
    (row,) = (await get(api, wholesaler, ALLOCATIONS))["results"]
    assert row == {key: value for key, value in shown.items() if key != "serials"}
    assert [each["id"] for each in (await get(api, admin, ALLOCATIONS))["results"]] == [
        second["id"],
        shown["id"],
    ]
    for params, count in (({"wholesaler": wholesaler.id}, 1), ({"model": 99}, 0), ({"order": 1}, 0)):
        assert (await get(api, admin, ALLOCATIONS, **params))["count"] == count, params
    assert (await get(api, wholesaler, ALLOCATIONS, wholesaler=other_wholesaler.id))["count"] == 0
    for person in (wholesaler, consumer):
        body = {"wholesaler": wholesaler.id, "model": model, "quantity": 1}
        assert (await api.post(ALLOCATE, json=body, headers=person.headers)).status_code == 403
        assert (await api.post(f"{one}release/", headers=person.headers)).status_code == 403
    for path in ("", one.removeprefix(ALLOCATIONS)):
        assert (await api.get(f"{ALLOCATIONS}{path}", headers=consumer.headers)).status_code == 403
    for reference in ("x", "0", "9" * 30):
        assert (await api.get(f"{ALLOCATIONS}{reference}/", headers=admin.headers)).status_code == 404
        assert (
            await api.post(f"{ALLOCATIONS}{reference}/release/", headers=admin.headers)
        ).status_code == 404


async def test_what_is_refused_changes_nothing(
    api: httpx.AsyncClient,
    admin: Person,
    wholesaler: Person,
    consumer: Person,
    pool: Pool,
    clock: Clock,
    password_hash: str,
) -> None:
    waiting = await lithovolt_person(
        pool, clock, "wholesaler", "waiting", password_hash=password_hash, is_approved=False
    )
    model = (await new_model(api, admin))["id"]
    other = (await new_model(api, admin, name="LV 24", code="LV24"))["id"]
    serials, others = await make(api, admin, model, 3), await make(api, admin, other, 1)
    quantity = {"model": model, "quantity": 1}
    wrong: list[tuple[dict[str, Any], dict[str, Any] | str]] = [
        (
            {"wholesaler": wholesaler.id, "model": model, "quantity": 5},
            {"quantity": ["LV 48-100 (LV48): 5 wanted, 3 in stock, 2 missing"]},
        ),
        ({"wholesaler": consumer.id, **quantity}, {"wholesaler": [f"There is no wholesaler {consumer.id}."]}),
        ({"wholesaler": 2**62, **quantity}, "wholesaler"),
        ({"wholesaler": waiting.id, **quantity}, "wholesaler"),
        ({"wholesaler": wholesaler.id, "model": 99, "quantity": 1}, "model"),
        (
            {"wholesaler": wholesaler.id, "serials": [serials[0], "NO-1", "NO-2"]},
            {"serials": ["NO-1 does not exist", "NO-2 does not exist"]},
        ),
        ({"wholesaler": wholesaler.id, "serials": [serials[0], serials[0].lower()]}, "serials"),
        (
            {"wholesaler": wholesaler.id, "serials": [serials[0], *others]},
            {"serials": ["one allocation is of one model, these are of LV24, LV48"]},
        ),
        ({"wholesaler": wholesaler.id}, "non_field_errors"),
        ({"wholesaler": wholesaler.id, "quantity": 1}, "non_field_errors"),
        ({"wholesaler": wholesaler.id, "serials": serials, **quantity}, "non_field_errors"),
        ({"wholesaler": wholesaler.id, "serials": []}, "serials"),
        (quantity, "wholesaler"),
        ({"wholesaler": wholesaler.id, **quantity, "notes": "a\x00"}, "notes"),
    ]
    for body, expected in wrong:
        answer = await allocate(api, admin, **body)
        assert answer.status_code == 400, body
        if isinstance(expected, str):
            assert list(answer.json()) == [expected], answer.text
        else:
            assert answer.json() == expected
    assert await rows(pool, "SELECT DISTINCT status FROM serial_numbers") == [("in_stock",)]
    assert await rows(pool, "SELECT count(*) FROM stock_allocations") == [(0,)]
    taken = await allocate(api, admin, wholesaler=wholesaler.id, serials=serials[:2])
    again = await allocate(api, admin, wholesaler=wholesaler.id, serials=serials)
    assert again.json() == {"serials": [f"{each} is not in stock: it is allocated" for each in serials[:2]]}
    async with pool.connection() as db:
        await db.execute("UPDATE serial_numbers SET status = 'sold' WHERE serial = %s", (serials[0],))
    url = f"{ALLOCATIONS}{taken.json()['id']}/release/"
    assert (await api.post(url, headers=admin.headers)).json()["open"] == 1  # the sold one stays
    assert (await api.post(url, headers=admin.headers)).status_code == 400
    states = dict(await rows(pool, "SELECT serial, status FROM serial_numbers"))
    assert [states[each] for each in serials] == ["sold", "in_stock", "in_stock"]
    number = (await get(api, admin, f"{SERIALS}{serials[1]}/"))["wholesaler"]
    assert number is None
    assert (await allocate(api, admin, wholesaler=wholesaler.id, serials=[serials[1]])).status_code == 201


async def test_a_hundred_allocations_of_the_same_serials(
    api: httpx.AsyncClient, admin: Person, wholesaler: Person, other_wholesaler: Person, pool: Pool
) -> None:
    model = (await new_model(api, admin))["id"]
    serials = await make(api, admin, model, 10)
    people = (wholesaler.id, other_wholesaler.id)
    answers = await asyncio.gather(
        *(
            allocate(api, admin, wholesaler=people[n % 2], serials=serials if n % 3 else serials[::-1])
            for n in range(100)
        )
    )
    assert Counter(answer.status_code for answer in answers) == {201: 1, 400: 99}
    (winner,) = [answer.json() for answer in answers if answer.status_code == 201]
    assert all(len(answer.json()["serials"]) == 10 for answer in answers if answer.status_code == 400)
    held = await rows(pool, "SELECT DISTINCT status, wholesaler_id FROM serial_numbers")
    assert held == [("allocated", winner["wholesaler"])]
    assert await rows(pool, OPEN) == []
    assert await rows(pool, "SELECT count(*) FROM serial_events WHERE kind = 'allocated'") == [(10,)]


async def test_a_hundred_allocations_over_too_little_stock(
    api: httpx.AsyncClient, admin: Person, wholesaler: Person, other_wholesaler: Person, pool: Pool
) -> None:
    """By number, by name and back again at once: what is given out is never more than there is."""
    model = (await new_model(api, admin, low_stock_threshold=20))["id"]
    serials = await make(api, admin, model, 50)
    people = (wholesaler.id, other_wholesaler.id)

    async def one(number: int) -> httpx.Response:
        if number % 4 == 3:
            return await allocate(
                api, admin, wholesaler=people[number % 2], serials=serials[number % 48 :][:2]
            )
        return await allocate(api, admin, wholesaler=people[number % 2], model=model, quantity=1 + number % 3)

    answers = await asyncio.gather(*(one(number) for number in range(100)))
    assert {answer.status_code for answer in answers} == {201, 400}
    given = [serial for answer in answers if answer.status_code == 201 for serial in answer.json()["serials"]]
    assert len(given) == len(set(given)) == 50
    assert await rows(pool, OPEN) == []
    assert await rows(pool, "SELECT sum(quantity)::int FROM stock_allocations") == [(50,)]
    assert await rows(pool, "SELECT DISTINCT status FROM serial_numbers") == [("allocated",)]
    alerts = await rows(pool, "SELECT count(*), count(closed_at) FROM low_stock_alerts")
    assert alerts == [(1, 0)]
    urls = [f"{ALLOCATIONS}{answer.json()['id']}/release/" for answer in answers if answer.status_code == 201]
    released = await asyncio.gather(*(api.post(url, headers=admin.headers) for url in [*urls, *urls]))
    assert Counter(answer.status_code for answer in released) == {200: len(urls), 400: len(urls)}
    assert await rows(pool, "SELECT status, count(*) FROM serial_numbers GROUP BY status") == [
        ("in_stock", 50)
    ]
    assert await rows(pool, "SELECT count(*), count(closed_at) FROM low_stock_alerts") == [(1, 1)]
