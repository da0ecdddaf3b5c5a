"""Templates of notifications (LI-X08): read, changed, looked at and taken back by admins."""

import asyncio

import httpx

from storage.database import Pool
from stream.lithovolt_kinds import CHANNELS, KINDS
from tests.api.helpers import Person

URL = "/api/notifications/templates/"
EMAIL = f"{URL}order_rejected/email/"
SMS = f"{URL}order_rejected/sms/"


async def test_all_templates_are_listed(api: httpx.AsyncClient, admin: Person, wholesaler: Person) -> None:
    page = (await api.get(URL, params={"page_size": 100}, headers=admin.headers)).json()
    assert [(each["kind"], each["channel"]) for each in page["results"]] == [
        (kind, channel) for kind in KINDS for channel in CHANNELS
    ]
    assert page["count"] == len(page["results"])
    for each in page["results"]:
        assert (each["is_default"], each["is_active"], each["version"]) == (True, True, 0)
        assert (each["subject"] is None) == (each["channel"] == "sms")
        assert "name" in each["variables"]
        shown = await api.get(f"{URL}{each['kind']}/{each['channel']}/", headers=admin.headers)
        assert shown.json() == each
    parts = [(await api.get(URL, params={"page": 1}, headers=admin.headers)).json()]
    while parts[-1]["next"]:
        parts.append((await api.get(parts[-1]["next"], headers=admin.headers)).json())
    assert [each for part in parts for each in part["results"]] == page["results"]
    for method, path in (("GET", URL), ("PUT", EMAIL), ("DELETE", EMAIL), ("POST", f"{EMAIL}preview/")):
        answer = await api.request(
            method, path, json={"subject": "x", "body": "x"}, headers=wholesaler.headers
        )
        assert answer.status_code == 403, (method, path)
    for path in ("order_rejected/push/", "nothing/email/", "order_rejected/"):
        assert (await api.get(f"{URL}{path}", headers=admin.headers)).status_code == 404


async def test_a_template_is_changed_and_taken_back(
    api: httpx.AsyncClient, admin: Person, pool: Pool
) -> None:
    before = (await api.get(EMAIL, headers=admin.headers)).json()
    body = {"subject": "No: {{ order_number }}", "body": "Sorry, {{ name }}.\n{{ reason }}"}
    changed = await api.put(EMAIL, json=body, headers=admin.headers)
    assert changed.status_code == 200, changed.text
    shown = changed.json()
    assert (shown["subject"], shown["body"]) == (body["subject"], body["body"])
    assert (shown["version"], shown["is_default"], shown["updated_by"]) == (1, False, admin.id)
    assert (await api.get(EMAIL.rstrip("/"), headers=admin.headers)).json() == shown
    again = await api.put(EMAIL, json={**body, "version": 1, "is_active": False}, headers=admin.headers)
    assert (again.json()["version"], again.json()["is_active"]) == (2, False)
    for version in (0, 1, 3):
        stale = await api.put(EMAIL, json={**body, "version": version}, headers=admin.headers)
        assert (stale.status_code, list(stale.json())) == (400, ["version"])
    both = await asyncio.gather(
        *(api.put(EMAIL, json={**body, "version": 2}, headers=admin.headers) for _ in range(2))
    )
    assert sorted(answer.status_code for answer in both) == [200, 400]
    back = await api.delete(EMAIL, headers=admin.headers)
    assert (back.status_code, back.json()) == (200, before)
    assert (await api.delete(EMAIL, headers=admin.headers)).json() == before
    gone = await api.put(EMAIL, json={**body, "version": 3}, headers=admin.headers)
    assert gone.status_code == 400
    sms = await api.put(
        SMS, json={"subject": "dropped", "body": "{{ order_number }}: no"}, headers=admin.headers
    )
    assert (sms.json()["subject"], sms.json()["body"]) == (None, "{{ order_number }}: no")


async def test_templates_that_are_refused_say_where_and_why(api: httpx.AsyncClient, admin: Person) -> None:
    cases = [
        ({"subject": "x", "body": "a\nb {{ nothing }}"}, "body", "line 2: there is no 'nothing' here"),
        ({"subject": "{% if %}", "body": "a"}, "subject", "line 1"),
        ({"subject": "x", "body": "{{ name.__class__ }}"}, "body", "not allowed"),
        ({"subject": "x", "body": "{% for i in name %}{% endfor %}"}, "body", "not allowed"),
        ({"body": "a"}, "subject", "has a subject"),
        ({"subject": "x", "body": ""}, "body", ""),
        ({"subject": "x", "body": "x" * 5_001}, "body", ""),
        ({"subject": "x", "body": "\0"}, "body", "NUL"),
    ]
    for body, field, why in cases:
        for method, path in (("PUT", EMAIL), ("POST", f"{EMAIL}preview/")):
            if method == "POST" and "subject" not in body:
                continue  # the subject that holds is taken then
            answer = await api.request(method, path, json=body, headers=admin.headers)
            assert answer.status_code == 400, (method, body)
            assert list(answer.json()) == [field]
            assert why in answer.json()[field][0]
    off = {"subject": "x", "body": "{{ code }}", "is_active": False}
    refused = await api.put(f"{URL}otp/email/", json=off, headers=admin.headers)
    assert (refused.status_code, list(refused.json())) == (400, ["is_active"])
    without = await api.put(f"{URL}otp/sms/", json={"body": "Hello"}, headers=admin.headers)
    assert (without.status_code, list(without.json())) == (400, ["body"])


async def test_a_preview_fills_in_and_sends_nothing(
    api: httpx.AsyncClient, admin: Person, pool: Pool
) -> None:
    held = (await api.post(f"{SMS}preview/", json={}, headers=admin.headers)).json()
    assert held["subject"] is None
    assert held["body"].startswith("Order ORD-2024-000017 was rejected.")
    assert held["characters"] == len(held["body"])
    body = {
        "subject": "{{ order_number }}",
        "body": "{% if reason %}{{ reason }}{% else %}none{% endif %} <b>",
        "values": {"reason": "", "order_number": "{{ 7 * 7 }}"},
    }
    own = (await api.post(f"{EMAIL}preview/", json=body, headers=admin.headers)).json()
    assert (own["subject"], own["body"]) == ("{{ 7 * 7 }}", "none <b>")
    async with pool.connection() as db:
        assert await (await db.execute("SELECT FROM notices")).fetchone() is None
