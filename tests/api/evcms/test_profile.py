"""EV-CMS profiles (EV-007 to EV-009)."""

from typing import Any

import httpx
import pytest

from storage.database import Pool
from tests.api.evcms.people import upload
from tests.api.helpers import Person

URL = "/api/v1/profile"


async def put(api: httpx.AsyncClient, person: Person, path: str = "", **body: Any) -> httpx.Response:
    return await api.put(f"{URL}{path}", json=body, headers=person.headers)


async def test_a_profile_changes_by_what_its_owner_may_change_alone(
    api: httpx.AsyncClient, driver: Person
) -> None:
    before = (await api.get(URL, headers=driver.headers)).json()["data"]
    assert before["user"]["id"] == before["id"] == str(driver.id)
    answer = await put(
        api, driver, name="Asha", phone="+919876543210", role="admin", status="blocked",
        email="x@example.com", isEmailVerified=True, id="1", wallet={"balance": 10_000},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    after = answer.json()["data"]["user"]
    changed = {key for key in after if after[key] != before["user"][key]}
    assert changed == {"name", "phone", "updatedAt"}
    assert (await put(api, driver)).json()["data"]["name"] == "Asha"
    assert (await put(api, driver, phone="")).json()["data"]["phone"] == ""
    for body in ({"name": ""}, {"name": "x" * 201}, {"name": "a\x00"}, {"phone": 5}, {"name": ["x"]}):
        assert (await put(api, driver, **body)).status_code == 422, body


async def test_a_picture_is_an_upload_of_ones_own_or_a_page_elsewhere(
    api: httpx.AsyncClient, driver: Person, stranger: Person, pool: Pool
) -> None:
    own = await upload(pool, driver.id, "profile", "own.png")
    foreign = await upload(pool, stranger.id, "profile", "theirs.png")
    for url in (own, f"http://localhost:5000{own}", "https://example.com/me.jpg", ""):
        answer = await put(api, driver, profilePicture=url)
        assert answer.json()["data"]["profilePicture"] == url, answer.text
    for url in (
        foreign, f"http://localhost:5000{foreign}", "/uploads/profile/none.png", "/uploads/document/own.png",
        "/uploads/profile/../profile/own.png",
        "javascript:alert(1)", "data:text/html,x", "//evil", "x",
    ):  # fmt: skip
        refused = await put(api, driver, profilePicture=url)
        assert refused.status_code == 422, url
        assert refused.json()["errors"][0]["field"] == "profilePicture"


@pytest.mark.parametrize("switches", [False, {"email": True, "push": False}])
async def test_preferences_are_merged_and_shown_in_both_places(
    api: httpx.AsyncClient, driver: Person, switches: Any
) -> None:
    await put(api, driver, "/preferences", language="hi-IN")
    data = (await put(api, driver, "/preferences", notifications=switches, theme="dark")).json()["data"]
    shown = {"notifications": switches, "language": "hi-IN", "theme": "dark"}
    assert data == {**shown, "preferences": shown}
    assert (await api.get(URL, headers=driver.headers)).json()["data"]["preferences"] == shown
    for field, value in (
        ("language", "no such language"), ("theme", "loud"), ("notifications", {"email": "x y"}),
        ("notifications", {"a\x00": True}), ("notifications", {str(each): True for each in range(51)}),
        ("notifications", "yes"), ("notifications", [True]),
    ):  # fmt: skip
        refused = await put(api, driver, "/preferences", **{field: value})
        assert refused.status_code == 422, (field, value)
        assert [each["field"] for each in refused.json()["errors"]] == [field]
