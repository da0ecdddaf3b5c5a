"""Pricing: calculate, preview and the rules (EV-052 to EV-058), and the same prices in a real record."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb

from storage import ledger
from storage.database import Pool, fetch_value
from storage.queries import admin_actions, sessions, stations
from stream.records import fix_price
from stream.settlement import rate_session
from tests.api.helpers import Clock, Person, begin_session, make_charger

URL = "/api/v1/pricing"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVENING = "2026-03-02T19:00:00Z"
RULES: dict[str, Any] = {
    "perKwhRate": 18.5,
    "parkingRatePerMinute": 1,
    "peakHours": [{"days": [], "from": "18:00", "to": "22:00", "multiplier": 1.25}],
    "discountPercentage": 10,
    "discounts": [],
}

_OFFER = """
INSERT INTO station_connectors (station_id, label, type, power_kw, reservation_fee_minor)
VALUES (%(station)s, %(label)s, %(type)s, 60, %(fee)s)
"""


@pytest.fixture
async def station(pool: Pool) -> str:
    """A station in UTC with a Type2 connector "1" and a CCS connector "B2"."""
    async with pool.connection() as db:
        made = await stations.insert_station(db, "Plaza", time_zone="UTC")
        await db.execute(_OFFER, {"station": made.id, "label": "1", "type": "Type2", "fee": None})
        await db.execute(_OFFER, {"station": made.id, "label": "B2", "type": "CCS", "fee": 2_500})
    return str(made.id)


def wanted(station: str, connector: str | int = "1", **more: Any) -> dict[str, Any]:
    return {"stationId": station, "connectorId": connector, "energyKwh": 12.345, **more}


async def make_rule(api: httpx.AsyncClient, admin: Person, **body: Any) -> dict[str, Any]:
    asked = {"name": "Evenings", "rules": RULES, **body}
    answer = await api.post(f"{URL}/rules", json=asked, headers=admin.headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["data"]["rule"]
    return made


async def set_fee(pool: Pool, percent: float) -> None:
    async with pool.connection() as db:
        settings = Jsonb({"pricing": {"platformFeePercentage": percent}})
        await db.execute("UPDATE platform_settings SET settings = %s", [settings])


async def test_a_cost_is_broken_down(
    api: httpx.AsyncClient, driver: Person, admin: Person, station: str, pool: Pool
) -> None:
    plain = await api.post(f"{URL}/calculate", json=wanted(station), headers=driver.headers)
    assert plain.status_code == 200
    data = plain.json()["data"]
    assert (data["basePrice"], data["energyCost"], data["gst"], data["total"]) == (15, 185.18, 33.33, 218.51)
    await make_rule(api, admin, stationId=station)
    await set_fee(pool, 2.5)
    body = wanted(station, duration=45, startTime=EVENING)
    answer = await api.post(f"{URL}/calculate", json=body, headers=driver.headers)
    assert answer.json()["data"] == {
        "basePrice": 18.5,
        "energyCost": 228.38,
        "parkingFee": 45,
        "peakHourCharge": 57.1,
        "discount": 33.05,
        "platformFee": 7.44,
        "subtotal": 304.87,
        "gst": 54.88,
        "total": 359.75,
        "timeFee": 0,
        "flatFee": 0,
        "adjustment": 0,
        "currency": "INR",
        "breakdown": {
            "perKwhRate": 18.5,
            "parkingRatePerMinute": 1,
            "isPeakHour": True,
            "peakMultiplier": 1.25,
            "discountPercentage": 10,
            "gstPercentage": 18,
        },
    }


async def test_a_connector_is_named_by_text_or_number_and_a_start_is_now_unless_said(
    api: httpx.AsyncClient, driver: Person, admin: Person, station: str, clock: Clock
) -> None:
    now = clock.moment()
    hours = {"from": f"{now:%H}:00", "to": f"{now + timedelta(hours=1):%H}:00", "multiplier": 2}
    await make_rule(api, admin, rules={"peakHours": [hours]})
    by_text = await api.post(f"{URL}/calculate", json=wanted(station), headers=driver.headers)
    by_number = await api.post(f"{URL}/calculate", json=wanted(station, 1), headers=driver.headers)
    assert by_text.json() == by_number.json()
    assert by_text.json()["data"]["peakHourCharge"] == by_text.json()["data"]["energyCost"] == 185.18


BAD = (
    ({"energyKwh": 0}, "energyKwh"),
    ({"energyKwh": 10_000.1}, "energyKwh"),
    ({"energyKwh": "much"}, "energyKwh"),
    ({"duration": -1}, "duration"),
    ({"duration": 44_641}, "duration"),
    ({"startTime": "soon"}, "startTime"),
    ({"startTime": "9999-12-31T23:59:59Z"}, "startTime"),
    ({"startTime": "2026-03-02T19:00:00"}, "startTime"),
    ({"stationId": None}, "stationId"),
    ({"connectorId": "\0"}, "connectorId"),
)


async def test_a_bad_request_is_refused_by_field(
    api: httpx.AsyncClient, driver: Person, station: str
) -> None:
    for change, field in BAD:
        body = {**wanted(station), **change}
        answer = await api.post(f"{URL}/calculate", json=body, headers=driver.headers)
        assert answer.status_code == 422, change
        assert answer.json()["errors"][0]["field"].startswith(field)


async def test_what_is_not_there_is_404(
    api: httpx.AsyncClient, driver: Person, station: str, pool: Pool
) -> None:
    async def status(station_id: str, connector: str = "1") -> tuple[int, int]:
        body = wanted(station_id, connector)
        asked = await api.post(f"{URL}/calculate", json=body, headers=driver.headers)
        shown = await api.get(f"{URL}/preview/{station_id}", headers=driver.headers)
        return asked.status_code, shown.status_code

    assert await status(station) == (200, 200)
    assert await status(station, "9") == (404, 200)
    assert await status("4711") == (404, 404)
    assert await status("nowhere") == (404, 404)
    async with pool.connection() as db:
        await db.execute("UPDATE stations SET deleted_at = now()")
    assert await status(station) == (404, 404)
    assert (await api.post(f"{URL}/calculate", json=wanted(station))).status_code == 401


async def test_a_preview_shows_each_connector(
    api: httpx.AsyncClient, driver: Person, admin: Person, station: str, pool: Pool
) -> None:
    await make_rule(api, admin, stationId=station, connectorType="CCS", rules={**RULES, "minimum": 20})
    await set_fee(pool, 2)
    answer = (await api.get(f"{URL}/preview/{station}", headers=driver.headers)).json()
    plain, ruled = answer["pricing"]
    assert answer["data"] == answer["pricing"]
    assert plain == {
        "connectorId": "1",
        "type": "Type2",
        "power": 60,
        "pricePerKwh": 15,
        "parkingFee": 0,
        "reservationFee": 50,
        "currency": "INR",
        "peakHours": [],
        "discountPercentage": 0,
        "discounts": [],
        "platformFeePercentage": 2,
        "gstPercentage": 18,
    }
    assert ruled == {
        **plain,
        "connectorId": "B2",
        "type": "CCS",
        "pricePerKwh": 18.5,
        "parkingFee": 1,
        "reservationFee": 25,
        "peakHours": RULES["peakHours"],
        "discountPercentage": 10,
        "minimum": 20,
        "ruleName": "Evenings",
    }
    only = await api.get(f"{URL}/preview/{station}?connectorType=CCS", headers=driver.headers)
    assert only.json()["pricing"] == [ruled]
    none = await api.get(f"{URL}/preview/{station}?connectorType=CHAdeMO", headers=driver.headers)
    assert none.json()["pricing"] == []
    bad = await api.get(f"{URL}/preview/{station}?connectorType=ccs", headers=driver.headers)
    assert bad.status_code == 422


async def test_a_tariff_that_cannot_be_read_is_no_price(
    api: httpx.AsyncClient, driver: Person, station: str, pool: Pool
) -> None:
    async with pool.connection() as db:
        await db.execute("UPDATE tariffs SET definition = '{\"elements\": []}'")
    answer = await api.post(f"{URL}/calculate", json=wanted(station), headers=driver.headers)
    assert (answer.status_code, answer.json()["message"]) == (400, "This station has no price")
    assert (await api.get(f"{URL}/preview/{station}", headers=driver.headers)).status_code == 400


async def test_a_rule_lives(
    api: httpx.AsyncClient, driver: Person, brand: Person, admin: Person, station: str, pool: Pool
) -> None:
    made = await make_rule(api, admin, stationId=station, connectorType="CCS", isActive=False, id="9")
    assert {key: made[key] for key in ("name", "stationId", "connectorType", "rules", "isActive")} == {
        "name": "Evenings", "stationId": station, "connectorType": "CCS", "rules": RULES, "isActive": True,
    }  # fmt: skip
    url = f"{URL}/rules/{made['id']}"
    for reader in (driver, brand, admin):
        shown = (await api.get(url, headers=reader.headers)).json()["data"]
        assert shown["rule"] == made == {key: shown[key] for key in made}
    cheaper = {"perKwhRate": 9}
    changed = await api.put(url, json={"rules": cheaper, "stationId": None}, headers=admin.headers)
    assert changed.status_code == 200
    rule = changed.json()["data"]["rule"]
    assert (rule["rules"], rule["stationId"]) == (
        {"perKwhRate": 9, "peakHours": [], "discounts": []},
        station,
    )
    off = await api.put(url, json={"isActive": False, "name": "Off"}, headers=admin.headers)
    assert (off.json()["data"]["isActive"], off.json()["data"]["name"]) == (False, "Off")
    gone = await api.delete(url, headers=admin.headers)
    assert (gone.status_code, gone.json()["success"]) == (200, True)
    assert (await api.get(url, headers=admin.headers)).status_code == 404
    assert (await api.put(url, json={}, headers=admin.headers)).status_code == 404
    assert (await api.delete(url, headers=admin.headers)).status_code == 404
    assert (await make_rule(api, admin, name="off"))["id"] != made["id"], "the name is free again"
    async with pool.connection() as db:
        done = await admin_actions.list_actions(db, subject=f"pricing_rule:{made['id']}", limit=9)
    assert [each.action for each in done] == [
        "pricing_rule.delete", "pricing_rule.update", "pricing_rule.update", "pricing_rule.create",
    ]  # fmt: skip
    assert {each.actor_id for each in done} == {admin.id}


async def test_only_an_admin_writes_rules(
    api: httpx.AsyncClient, driver: Person, brand: Person, admin: Person
) -> None:
    made = await make_rule(api, admin)
    url = f"{URL}/rules/{made['id']}"
    for other in (driver, brand):
        statuses = [
            (
                await api.post(f"{URL}/rules", json={"name": "x", "rules": {}}, headers=other.headers)
            ).status_code,
            (await api.put(url, json={"isActive": False}, headers=other.headers)).status_code,
            (await api.delete(url, headers=other.headers)).status_code,
        ]
        assert statuses == [403, 403, 403]
    assert (await api.get(url)).status_code == 401
    assert (await api.get(url, headers=admin.headers)).json()["data"]["isActive"] is True


async def test_names_are_unique_and_stations_must_be_there(
    api: httpx.AsyncClient, admin: Person, station: str
) -> None:
    await make_rule(api, admin)
    other = await make_rule(api, admin, name="Nights")

    async def post(**body: Any) -> int:
        asked = {"name": "New", "rules": {}, **body}
        return (await api.post(f"{URL}/rules", json=asked, headers=admin.headers)).status_code

    assert await post(name="evenings") == 409
    assert await post(stationId="4711") == 404
    assert await post(stationId="x") == 404
    assert await post(connectorType="Schuko") == 422
    url = f"{URL}/rules/{other['id']}"
    taken = await api.put(url, json={"name": "EVENINGS"}, headers=admin.headers)
    assert taken.status_code == 409
    same = await api.put(url, json={"name": "nights"}, headers=admin.headers)
    assert same.status_code == 200
    for bad in ("0", "x", "99999999999999999999"):
        assert (await api.get(f"{URL}/rules/{bad}", headers=admin.headers)).status_code == 404


BAD_RULES: tuple[tuple[object, str], ...] = (
    ({"perKwhRate": -1}, "rules.perKwhRate"),
    ({"perKwhRate": 1, "surprise": 1}, "rules.surprise"),
    ({"discountPercentage": 101}, "rules.discountPercentage"),
    ({"peakHours": [{"from": "18:00", "to": "25:00", "multiplier": 2}]}, "rules.peakHours.0.to"),
    ({"minimum": 2, "maximum": 1}, "rules"),
    (None, "rules"),
    ([], "rules"),
)


async def test_bad_rules_are_refused_by_field(api: httpx.AsyncClient, admin: Person) -> None:
    made = await make_rule(api, admin)
    for rules, field in BAD_RULES:
        body = {"name": "Bad", "rules": rules}
        answer = await api.post(f"{URL}/rules", json=body, headers=admin.headers)
        assert answer.status_code == 422, rules
        assert [each["field"] for each in answer.json()["errors"]] == [field]
    url = f"{URL}/rules/{made['id']}"
    changed = await api.put(url, json={"rules": {"minimum": -1}}, headers=admin.headers)
    assert [each["field"] for each in changed.json()["errors"]] == ["rules.minimum"]


async def test_rules_are_listed_by_pages(api: httpx.AsyncClient, driver: Person, admin: Person) -> None:
    names = [f"R{number}" for number in range(3)]
    made = [await make_rule(api, admin, name=name, rules={}) for name in names]
    await api.put(f"{URL}/rules/{made[1]['id']}", json={"isActive": False}, headers=admin.headers)

    async def listed(query: str) -> tuple[list[str], int]:
        answer = (await api.get(f"{URL}/rules?{query}", headers=driver.headers)).json()
        assert answer["data"] == answer["rules"]
        return [each["name"] for each in answer["rules"]], answer["pagination"]["total"]

    assert await listed("") == (["R2", "R1", "R0"], 3)
    assert await listed("isActive=true") == (["R2", "R0"], 2)
    assert await listed("isActive=false") == (["R1"], 1)
    assert await listed("page=2&limit=2") == (["R0"], 3)
    bad = await api.get(f"{URL}/rules?isActive=maybe", headers=driver.headers)
    assert bad.status_code == 422


async def test_a_record_costs_what_was_calculated_and_shows_its_parts(
    api: httpx.AsyncClient, driver: Person, admin: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool)
    async with pool.connection() as db:
        made = await stations.insert_station(db, "Plaza", time_zone="UTC")
        await db.execute("UPDATE chargers SET station_id = %s", [made.id])
        wallet = await ledger.ensure_wallet(db, driver.id)
        funding = await ledger.house_account(db, "funding")
        await ledger.transfer(
            db, key="t", debit_account_id=funding.id, credit_account_id=wallet.id, amount_minor=100_000,
            description="t",
        )  # fmt: skip
        label = await fetch_value(db, "SELECT label FROM station_connectors", {})
    await set_fee(pool, 2.5)
    rule = await make_rule(api, admin, stationId=str(made.id))
    start, end = NOON + timedelta(hours=5), NOON + timedelta(hours=7)
    body = {"stationId": str(made.id), "connectorId": label, "energyKwh": 10, "duration": 120,
            "startTime": start.isoformat()}  # fmt: skip
    cost = (await api.post(f"{URL}/calculate", json=body, headers=driver.headers)).json()["data"]
    session_id = await begin_session(pool, device_id, driver.id, start)
    async with pool.connection() as db:
        session = await sessions.get_session(db, session_id)
        assert session is not None
        await fix_price(db, session)
    await api.delete(f"{URL}/rules/{rule['id']}", headers=admin.headers)
    async with pool.connection() as db:
        await sessions.stop_session(
            db, device_id=device_id, transaction_id=session.transaction_id, ended_at=end, received_at=end,
            meter_stop_wh=11_000, reason="Local",
        )  # fmt: skip
        await rate_session(db, session_id)
    shown = (await api.get(f"/api/v1/sessions/{session_id}/cdr", headers=driver.headers)).json()["data"][
        "cdr"
    ]
    pricing = shown["pricing"]
    assert shown["totalCost"] == cost["total"]
    assert pricing == {
        "energyRate": cost["basePrice"],
        "totalEnergyCost": cost["energyCost"],
        "parkingFee": cost["parkingFee"],
        "timeFee": 0,
        "flatFee": 0,
        "adjustment": 0,
        "peakHourCharge": cost["peakHourCharge"],
        "discount": cost["discount"],
        "platformFee": cost["platformFee"],
        "gst": cost["gst"],
    }
    assert cost["peakHourCharge"] == 23.13, "one of two hours: 92.50 x 25 %"
    assert [(line["component"], line["per"], line["price"]) for line in shown["lines"]] == [
        ("energy", "kwh", 18.5),
        ("parking", "minute", 1),
        ("surcharge", "percent", 25),
        ("discount", "percent", 10),
        ("fee", "percent", 2.5),
        ("tax", "percent", 18),
    ]
    assert round(sum(line["amount"] for line in shown["lines"]), 2) == shown["totalCost"]
