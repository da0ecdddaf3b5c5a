"""Values at the edges of what JSON, dates and numbers can say: refused in the family's words, never a 500."""

from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.api.helpers import Clock, Service
from tests.api.mobile.world import APP, PORTAL, World

LONE = '"\\ud800"'  # half a character: JSON can say it, nothing can store it


async def _send(world: World, method: str, path: str, raw: str) -> httpx.Response:
    headers = world.portal.headers if path.startswith(PORTAL) else world.owner.headers
    answer = await world.portal.api.request(
        method, path, content=raw, headers={**headers, "Content-Type": "application/json"}
    )
    assert set(answer.json()) == {"error", "message"} or answer.is_success, answer.text
    return answer


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{APP}/auth/login", f'{{"phone_number": {LONE}, "password": "x"}}'),
        ("POST", f"{APP}/auth/login", f'{{"phone_number": "+27821234567", "password": {LONE}}}'),
        ("POST", f"{APP}/auth/change-password", f'{{"new_password": "Abcdefg1{LONE[1:]}}}'),
        ("POST", f"{APP}/notifications/push-tokens", f'{{"token": {LONE}, "platform": "ios"}}'),
        ("POST", f"{PORTAL}/estates", f'{{"name": {LONE}}}'),
        ("POST", f"{PORTAL}/estates", '{"name": "A", "time_zone": "../etc/passwd"}'),
    ],
)
async def test_half_characters_are_a_400(world: World, method: str, path: str, body: str) -> None:
    assert (await _send(world, method, path, body)).status_code == 400


@pytest.mark.parametrize("name", ['"\\u0000"', LONE])
async def test_a_tariff_that_cannot_be_stored_is_a_400(world: World, name: str) -> None:
    tax = f'{{"name": {name}, "basis_points": 1, "is_included": true}}'
    definition = f'{{"energy": {{"kind": "flat", "price_minor": 1}}, "tax": {tax}}}'
    body = f'{{"name": "N", "utility_type": "water", "definition": {definition}}}'
    assert (await _send(world, "POST", f"{PORTAL}/meter-tariffs", body)).status_code == 400


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"\\u0000"', LONE, "[" * 400 + "]" * 400])
async def test_a_profile_that_cannot_be_stored_is_a_400(world: World, value: str) -> None:
    body = f'{{"decoder": "json", "options": {{"a": [{value}]}}}}'
    assert (await _send(world, "PUT", f"{PORTAL}/profiles/p", body)).status_code == 400


@pytest.mark.parametrize("last_day", ["9999-12-31", "0001-01-01"])
async def test_any_last_day_is_taken_or_refused(world: World, last_day: str) -> None:
    shown = await world.portal.get(f"/units/{world.unit_id}")
    for kind in ("owners", "tenants"):
        path = f"{PORTAL}/{kind}/{shown[kind][0]['id']}/end"
        answer = await _send(world, "POST", path, f'{{"last_day": "{last_day}"}}')
        assert answer.status_code in {200, 400, 409}, answer.text


@pytest.mark.parametrize(
    "at",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "1900-01-01T00:00:00Z",
        "2200-01-01T00:00:00Z",
    ],
)
async def test_moments_that_no_meter_knows_are_a_400(world: World, at: str) -> None:
    portal, meter = world.portal, f"{PORTAL}/meters/{world.meter_id}"
    device = await portal.post("/devices", kind="meter", identity="0102030405060708")
    definition = {"energy": {"kind": "flat", "price_minor": 1}}
    tariff = await portal.post("/meter-tariffs", name="F", utility_type="electricity", definition=definition)
    bodies: dict[str, dict[str, Any]] = {
        "installations": {"device_id": device["id"], "quantity": "energy_import_wh", "since": at},
        "installations/end": {"until": at},
        "tariffs": {"tariff_id": tariff["id"], "since": at},
    }
    for path, body in bodies.items():
        answer = await portal.api.post(f"{meter}/{path}", json=body, headers=portal.headers)
        assert answer.status_code == 400, (path, answer.text)


async def test_a_multiplier_that_cannot_be_computed_with_is_refused(world: World) -> None:
    portal = world.portal
    device = await portal.post("/devices", kind="meter", identity="0102030405060708")
    body = {
        "device_id": device["id"],
        "quantity": "energy_import_wh",
        "since": "2026-11-01T00:00:00Z",
        "multiplier": "123456789.123456789",
    }
    path = f"{PORTAL}/meters/{world.meter_id}/installations"
    answer = await portal.api.post(path, json=body, headers=portal.headers)
    assert (answer.status_code, "multiplier" in answer.json()["message"]) == (400, True)
    assert (await world.portal.get(f"/meters/{world.meter_id}/installations"))["installations"] == []


async def test_the_longest_usage_is_shown_whatever_the_clocks_do(world: World, clock: Clock) -> None:
    portal = world.portal
    estate = await portal.post("/estates", name="North", time_zone="Europe/Berlin")
    shown = await portal.get(f"/units/{world.unit_id}")
    unit_id = await portal.unit(estate["id"], "1")
    await portal.post(f"/units/{unit_id}/owners", person_id=shown["owners"][0]["person_id"])
    meter_id = await portal.meter(unit_id, "MTR-N")
    # half an hour into a day of summer time; so many days ago it was winter, and a day earlier on the wall
    clock.now_us = int(datetime.fromisoformat("2027-05-01T00:30:00+02:00").timestamp() * 1e6)
    app = world.owner
    login = {"phone_number": app.phone, "password": app.password}
    token = (await app.api.post(f"{APP}/auth/login", json=login)).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    for days in (798, 799):
        answer = await app.api.get(f"{APP}/meters/{meter_id}/usage?days={days}", headers=headers)
        assert answer.status_code in {200, 400}, (days, answer.text)


async def test_the_document_names_no_status_that_is_never_answered(service: Service) -> None:
    for path, item in service.app.openapi()["paths"].items():
        if path.startswith(APP):
            for operation in item.values():
                assert "422" not in operation["responses"], path
                assert {"400", "401", "403", "404", "4XX", "5XX"} <= set(operation["responses"])
