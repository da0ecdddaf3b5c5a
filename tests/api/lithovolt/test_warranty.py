"""Warranties (LI-015, LI-016, LI-X06): who begins one, once a serial, who sees it, what anybody is told."""

import asyncio
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from storage.database import Pool, fetch_value
from stream.lending.terms import today
from stream.warranty.reminders import remind
from stream.warranty.terms import last_day
from tests.api.helpers import Clock, Person, Service
from tests.api.lithovolt.warranty_scene import (
    URL,
    activate,
    activated,
    add_model,
    add_serials,
    statuses,
    stock,
)

CUSTOMER = {"customer_name": "Asha Rao", "customer_phone": "9876543219"}


async def events(pool: Pool, serial: str) -> list[str]:
    async with pool.connection() as db:
        rows = await db.execute(
            "SELECT kind FROM serial_events JOIN serial_numbers s ON s.id = serial_id WHERE serial = %s"
            " ORDER BY serial_events.id",
            (serial,),
        )
        return [kind async for (kind,) in rows]


async def test_a_wholesaler_activates_for_a_customer(
    api: httpx.AsyncClient,
    pool: Pool,
    clock: Clock,
    admin: Person,
    wholesaler: Person,
    other_wholesaler: Person,
    consumer: Person,
) -> None:
    await stock(pool, clock, wholesaler, "LV48-A", "LV48-B")
    day = today(clock.moment())
    bought = day - timedelta(days=60)
    made = await activated(api, wholesaler, "lv48-a", **CUSTOMER, purchase_date=bought.isoformat())
    assert made["certificate_number"] == f"LVW-{day.year}-000001"
    assert (made["serial"], made["model"], made["status"]) == ("LV48-A", "LV 48-100", "active")
    assert made["starts_on"] == bought.isoformat()
    assert made["expires_on"] == last_day(bought, 36).isoformat()
    assert made["days_left"] == (last_day(bought, 36) - day).days
    assert (made["customer_phone"], made["consumer_id"]) == ("+919876543219", None)
    assert (made["seller_id"], made["seller"]) == (wholesaler.id, "Wholesaler Traders")
    # the model's limits, and the usual ones where it has none
    assert made["terms"]["limits"] == {
        "max_temperature_c": 55,
        "min_soc_pct": 10,
        "min_cell_voltage_v": 2.5,
        "max_discharge_current_a": 80,
        "max_cycles": 1000,
    }
    assert await events(pool, "LV48-A") == ["sold"]
    async with pool.connection() as db:
        status = await fetch_value(db, "SELECT status FROM serial_numbers WHERE serial = 'LV48-A'", {})
        told = await fetch_value(db, "SELECT body FROM notices WHERE kind = 'warranty_activated'", {})
    assert status == "sold"
    assert "LV48-A" in told
    assert made["certificate_number"] in told
    second = await activated(api, wholesaler, "LV48-B", customer_name="B")
    assert second["certificate_number"] == f"LVW-{day.year}-000002"
    path = f"{URL}{made['id']}/"
    assert await statuses(api, path, wholesaler, admin, other_wholesaler, consumer) == [200, 200, 404, 404]
    assert (await api.get(path, headers=admin.headers)).json() == made
    for path in ("x", "0", "9" * 18, "9" * 30, "-1"):
        assert await statuses(api, f"{URL}{path}/", admin) == [404], path
    assert (await api.get(URL)).status_code == 401


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "customer_name"),
    ({**CUSTOMER, "customer_phone": "12"}, "customer_phone"),
    ({**CUSTOMER, "customer_email": "x"}, "customer_email"),
    ({**CUSTOMER, "purchase_date": "tomorrow"}, "purchase_date"),
    ({**CUSTOMER, "serial": "A\0"}, "serial"),
    ({**CUSTOMER, "serial": "NONE"}, "serial"),
    ({**CUSTOMER, "serial": "IN-STOCK"}, "serial"),
    ({**CUSTOMER, "serial": "RIVALS"}, "serial"),
    ({**CUSTOMER, "serial": "RETURNED"}, "serial"),
]


async def test_what_is_not_activated(
    api: httpx.AsyncClient,
    pool: Pool,
    clock: Clock,
    admin: Person,
    wholesaler: Person,
    other_wholesaler: Person,
    consumer: Person,
) -> None:
    model_id = await stock(pool, clock, wholesaler, "MINE")
    now = clock.moment()
    await add_serials(pool, now, model_id, "IN-STOCK")
    await add_serials(pool, now, model_id, "RIVALS", status="allocated", owner=other_wholesaler.id)
    await add_serials(pool, now, model_id, "RETURNED", status="returned", owner=wholesaler.id)
    day = today(now)
    late = [(day + timedelta(days=1)), day - timedelta(days=61), date(1, 1, 1), date(9999, 12, 31)]
    dated = [({**CUSTOMER, "purchase_date": each.isoformat()}, "purchase_date") for each in late]
    for body, field in REFUSED + dated:
        answer = await activate(api, wholesaler, **{"serial": "MINE", **body})
        assert answer.status_code == 400, (body, answer.text)
        assert list(answer.json()) == [field], body
        assert answer.json()[field][0]
    assert (await activate(api, admin, "MINE", **CUSTOMER)).status_code == 403
    for serial in ("IN-STOCK", "RETURNED", "NONE"):
        assert (await activate(api, consumer, serial)).status_code == 400
    async with pool.connection() as db:
        assert await fetch_value(db, "SELECT count(*) FROM warranties", {}) == 0
        assert await fetch_value(db, "SELECT count(*) FROM counters WHERE name LIKE 'warranty%%'", {}) == 0


async def test_a_serial_has_one_warranty_however_many_ask(
    api: httpx.AsyncClient, pool: Pool, clock: Clock, wholesaler: Person, consumer: Person
) -> None:
    await stock(pool, clock, wholesaler, "ONE")
    bodies = ([(wholesaler, CUSTOMER)] * 4 + [(consumer, {})]) * 10  # a consumer has ten tries
    answers = await asyncio.gather(*(activate(api, who, "ONE", **body) for who, body in bodies))
    assert sorted(each.status_code for each in answers) == [201] + [400] * 49
    refused = next(each for each in answers if each.status_code == 400)
    assert refused.json() == {"serial": ["The battery ONE has a warranty already."]}
    async with pool.connection() as db:
        assert await fetch_value(db, "SELECT count(*) FROM warranties", {}) == 1
        assert await fetch_value(db, "SELECT value FROM counters WHERE name LIKE 'warranty:%%'", {}) == 1
    assert await events(pool, "ONE") == ["sold"]


async def test_anybody_may_verify_and_is_told_of_no_person(
    api: httpx.AsyncClient, pool: Pool, clock: Clock, admin: Person, wholesaler: Person, consumer: Person
) -> None:
    await stock(pool, clock, wholesaler, "LV48-A", "verify")
    verify = f"{URL}verify"
    assert (await api.get(f"{verify}/lv48-a/")).json() == {
        "serial": "LV48-A",
        "model": "LV 48-100",
        "status": "not_activated",
        "starts_on": None,
        "expires_on": None,
        "certificate_number": None,
        "signature": None,
    }
    made = await activated(api, consumer, "LV48-A", customer_name="Asha Rao")
    told = (await api.get(f"{verify}/LV48-A/")).json()
    assert (told["status"], told["certificate_number"]) == ("active", made["certificate_number"])
    assert not any(word in str(told) for word in ("Asha", "consumer", "customer", "Traders"))
    for serial in ("NONE", "certificate", "%00", "a%00b", "x" * 3_000):
        answer = await api.get(f"{verify}/{serial}/")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."}), serial
    # the word verify is no id, and a literal segment wins (conflict C09)
    assert (await api.get(f"{verify}/verify/")).json()["status"] == "not_activated"
    assert await statuses(api, f"{verify}/", admin) == [404]
    clock.advance(3 * 366 * 86_400)
    assert (await api.get(f"{verify}/LV48-A/")).json()["status"] == "expired"
    reason = {"reason": "A mistake"}
    path = f"{URL}{made['id']}/void/"
    assert (await api.post(path, json=reason, headers=admin.headers)).status_code == 401  # an old token


async def test_an_admin_voids_and_the_serial_may_have_another(
    api: httpx.AsyncClient, pool: Pool, clock: Clock, admin: Person, wholesaler: Person, consumer: Person
) -> None:
    await stock(pool, clock, wholesaler, "LV48-A")
    first = await activated(api, wholesaler, "LV48-A", **CUSTOMER)
    path, reason = f"{URL}{first['id']}/void/", {"reason": "A mistake"}
    assert (await api.post(path, json=reason, headers=wholesaler.headers)).status_code == 403
    voided = (await api.post(path, json=reason, headers=admin.headers)).json()
    assert (voided["status"], voided["void_reason"], voided["days_left"]) == ("void", "A mistake", None)
    assert (await api.post(path, json=reason, headers=admin.headers)).status_code == 400
    assert (await api.get(f"{URL}verify/LV48-A/")).json()["status"] == "void"
    second = await activated(api, consumer, "LV48-A")
    assert second["id"] != first["id"]
    assert (second["consumer_id"], second["customer_name"]) == (consumer.id, "Consumer Test")
    told = (await api.get(f"{URL}verify/LV48-A/")).json()
    assert (told["status"], told["certificate_number"]) == ("active", second["certificate_number"])


async def test_lists_are_by_scope_expiry_and_state(
    api: httpx.AsyncClient,
    pool: Pool,
    clock: Clock,
    admin: Person,
    wholesaler: Person,
    other_wholesaler: Person,
    consumer: Person,
    other_consumer: Person,
) -> None:
    now = clock.moment()
    short = await add_model(pool, now, name="Short", code="S", months=1)
    await add_serials(pool, now, short, "S1", "S2", status="allocated", owner=other_wholesaler.id)
    await stock(pool, clock, wholesaler, "L1", "L2", "L3")
    for who, serial in ((wholesaler, "L1"), (consumer, "L2"), (wholesaler, "L3"), (consumer, "S1")):
        await activated(api, who, serial, customer_name="C")
    old = (today(now) - timedelta(days=60)).isoformat()
    await activated(api, other_wholesaler, "S2", customer_name="C", purchase_date=old)

    async def listed(who: Person, **query: Any) -> list[str]:
        answer = await api.get(URL, params=query, headers=who.headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["count"] >= len(answer.json()["results"])
        return [each["serial"] for each in answer.json()["results"]]

    assert await listed(admin) == ["S2", "S1", "L3", "L2", "L1"]
    assert await listed(wholesaler) == ["L3", "L2", "L1"]
    assert await listed(other_wholesaler) == ["S2", "S1"]
    assert await listed(consumer) == ["S1", "L2"]
    assert await listed(other_consumer) == []
    assert await listed(admin, status="expired") == ["S2"]
    assert await listed(admin, expires_within_days=31) == ["S1"]
    assert await listed(admin, expires_within_days=31, status="expired") == ["S2"]
    assert await listed(admin, expires_from=today(now).isoformat(), status="active") == [
        "S1",
        "L3",
        "L2",
        "L1",
    ]
    assert await listed(admin, expires_until=today(now).isoformat()) == ["S2"]
    assert await listed(admin, serial="l1") == ["L1"]
    assert await listed(admin, page_size=2, page=2) == ["L3", "L2"]
    for query in ("status=new", "expires_within_days=-1", "expires_from=x", "serial=%00", "page=0"):
        assert (await api.get(f"{URL}?{query}", headers=admin.headers)).status_code == 400, query
    assert (await api.get(f"{URL}?page=99", headers=admin.headers)).status_code == 404


async def test_reminders_are_told_once_for_each_of_their_days(
    api: httpx.AsyncClient, pool: Pool, clock: Clock, wholesaler: Person, consumer: Person
) -> None:
    model_id = await add_model(pool, clock.moment(), months=2)
    await add_serials(pool, clock.moment(), model_id, "A", "B", status="allocated", owner=wholesaler.id)
    made = await activated(api, consumer, "A")
    await activated(api, wholesaler, "B", customer_name="No address")
    assert await remind(pool, clock.moment()) == 0
    days = made["days_left"]
    clock.advance((days - 30) * 86_400)
    told = await asyncio.gather(*(remind(pool, clock.moment()) for _ in range(4)))
    assert sum(told) == 2
    clock.advance(20 * 86_400)
    assert await remind(pool, clock.moment()) == 0
    clock.advance(5 * 86_400)
    assert await remind(pool, clock.moment()) == 2
    assert await remind(pool, clock.moment()) == 0
    async with pool.connection() as db:
        rows = await db.execute(
            "SELECT body FROM notices WHERE kind = 'warranty_expiring' AND channel = 'sms'"
        )
        bodies = sorted([body async for (body,) in rows])
    assert [body[body.index("in ") :] for body in bodies] == ["in 30 days.", "in 5 days."]


async def test_the_public_path_is_limited_by_address(make_service: Callable[..., Service]) -> None:
    client = make_service(lithovolt_verifications_per_minute=3).client
    answers = [await client.get(f"{URL}verify/NONE/") for _ in range(5)]
    assert [each.status_code for each in answers] == [404, 404, 404, 429, 429]
    assert "detail" in answers[-1].json()
    assert int(answers[-1].headers["Retry-After"]) > 0


@pytest.mark.parametrize("method", ["put", "delete"])
async def test_warranties_are_not_changed_by_other_ways(
    api: httpx.AsyncClient, admin: Person, method: str
) -> None:
    answer = await api.request(method, f"{URL}1/", headers=admin.headers)
    assert answer.status_code == 405
