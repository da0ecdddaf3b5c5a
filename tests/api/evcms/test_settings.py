"""EV-CMS settings of the platform (EV-125, EV-126)."""

from typing import Any

import httpx

from storage.database import Pool
from tests.api.helpers import Person

URL = "/api/v1/settings"


async def put(api: httpx.AsyncClient, person: Person, body: Any) -> httpx.Response:
    return await api.put(URL, json=body, headers=person.headers)


async def test_settings_are_read_and_changed_by_groups_and_by_dotted_keys(
    api: httpx.AsyncClient, admin: Person, pool: Pool
) -> None:
    before = (await api.get(URL, headers=admin.headers)).json()["data"]
    assert before.pop("settings") == before
    assert {group: set(values) for group, values in before.items()} == {
        "general": {"siteName", "supportEmail", "supportPhone"},
        "pricing": {"platformFeePercentage", "gstPercentage", "defaultPricePerKwh"},
        "booking": {"cancellationWindow", "maxAdvanceBooking", "reservationFee"},
        "payment": {"minWalletBalance", "maxWalletBalance", "razorpayKeyId"},
    }
    body = {
        "pricing": {"gstPercentage": 12.5},
        "pricing.defaultPricePerKwh": 19.99,
        "booking.cancellationWindow": 30,
        "general": {"siteName": "Volt"},
        "general.supportEmail": "help@volt.example",
    }
    answer = await put(api, admin, body)
    assert answer.status_code == 200, answer.text
    after = answer.json()["data"]["settings"]
    assert after["pricing"] == {**before["pricing"], "gstPercentage": 12.5, "defaultPricePerKwh": 19.99}
    assert after["booking"] == {**before["booking"], "cancellationWindow": 30}
    assert after["general"]["siteName"] == "Volt"
    assert after["general"]["supportEmail"] == "help@volt.example"
    assert (await put(api, admin, {"pricing": {"gstPercentage": 18}})).status_code == 200
    shown = (await api.get(URL, headers=admin.headers)).json()["data"]["settings"]
    assert shown == {**after, "pricing": {**after["pricing"], "gstPercentage": 18.0}}
    async with pool.connection() as db:
        rows = await (await db.execute("SELECT detail FROM admin_actions ORDER BY id")).fetchall()
    assert rows[1] == ({"pricing.gstPercentage": {"from": "12.5", "to": "18"}},)
    assert set(rows[0][0]) == {
        "pricing.gstPercentage", "pricing.defaultPricePerKwh", "booking.cancellationWindow",
        "general.siteName", "general.supportEmail",
    }  # fmt: skip


async def test_a_wrong_or_unknown_key_is_named_and_nothing_changes(
    api: httpx.AsyncClient, admin: Person
) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"pricing": {"gstPercentage": 101}}, "pricing.gstPercentage"),
        ({"pricing.gst": 5}, "pricing.gst"),
        ({"pricing": {"gst": 5}}, "pricing.gst"),
        ({"colour": "red"}, "colour"),
        ({"colour.of.it": "red"}, "colour"),
        ({"pricing": 5}, "pricing"),
        ({"pricing": None}, "pricing"),
        ({"booking.cancellationWindow": "soon"}, "booking.cancellationWindow"),
        ({"booking": {"maxAdvanceBooking": 0}}, "booking.maxAdvanceBooking"),
        ({"payment.minWalletBalance": 500, "payment": {"maxWalletBalance": 100}}, "payment.minWalletBalance"),
        ({"general": {"siteName": "a\x00"}}, "general.siteName"),
    ]
    before = (await api.get(URL, headers=admin.headers)).json()
    for body, field in wrong:
        answer = await put(api, admin, {"booking.reservationFee": 1, **body})
        assert answer.status_code == 422, body
        assert [each["field"] for each in answer.json()["errors"]] == [field]
    malformed: Any
    for malformed in ([], "x", None):
        assert (await put(api, admin, malformed)).status_code == 422
    assert (await api.get(URL, headers=admin.headers)).json() == before


async def test_settings_are_the_admins(api: httpx.AsyncClient, driver: Person, brand: Person) -> None:
    for person in (driver, brand):
        assert (await api.get(URL, headers=person.headers)).status_code == 403
        assert (await put(api, person, {"pricing.gstPercentage": 1})).status_code == 403
