"""Codecs in the portal: uploaded with examples, tried, versioned, assigned; by administrators only."""

from typing import Any

import httpx
import pytest

from storage.database import Pool
from storage.queries import profiles
from tests.api.helpers import Person
from tests.api.mobile.world import PORTAL, Portal

CODECS = f"{PORTAL}/codecs"
SOURCE = "function decodeUplink(input) { return {data: {water_l: input.bytes[0]}}; }"
EXAMPLE = {"description": "five", "input": {"bytes": "05", "fPort": 1}, "output": {"data": {"water_l": 5}}}


async def post(portal: Portal, path: str, body: dict[str, Any]) -> httpx.Response:
    return await portal.api.post(f"{CODECS}{path}", json=body, headers=portal.headers)


async def get(portal: Portal, path: str = "") -> httpx.Response:
    return await portal.api.get(f"{CODECS}{path}", headers=portal.headers)


async def upload(portal: Portal, **changes: Any) -> httpx.Response:
    return await post(portal, "", {"name": "acme", "source": SOURCE, "examples": [EXAMPLE], **changes})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", ""),
        ("GET", ""),
        ("POST", "/test"),
        ("GET", "/acme"),
        ("GET", "/acme/versions/1"),
        ("POST", "/acme/versions/1/assign"),
    ],
)
async def test_only_administrators(api: httpx.AsyncClient, admin: Person, method: str, path: str) -> None:
    body = {"name": "a", "source": "a", "profile_id": 1} if method == "POST" else None
    assert (await api.request(method, f"{CODECS}{path}", json=body)).status_code == 401
    foreign = await api.request(method, f"{CODECS}{path}", json=body, headers=admin.headers)
    assert foreign.status_code == 401  # an EV-CMS administrator is nobody here


async def test_a_codec_is_uploaded_versioned_and_shown(portal: Portal) -> None:
    first = await upload(portal)
    assert first.status_code == 201, first.text
    shown = first.json()
    assert (shown["version"], shown["is_stateful"], shown["examples"]) == (1, False, [EXAMPLE])
    again = await upload(portal)
    assert (again.status_code, again.json()["error"]) == (409, "Codec already exists")
    assert (await upload(portal, source=SOURCE + "\n")).json()["version"] == 2
    listed = (await get(portal)).json()["codecs"]
    assert [(each["name"], each["version"], each["examples"]) for each in listed] == [("acme", 2, 1)]
    versions = (await get(portal, "/acme")).json()["versions"]
    assert [each["version"] for each in versions] == [2, 1]
    assert (await get(portal, "/acme/versions/1")).json() == shown
    for path in ("/nothing", "/acme/versions/3"):
        missing = await get(portal, path)
        assert (missing.status_code, missing.json()["error"]) == (404, "Codec not found")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"source": "function ("}, "SyntaxError"),
        ({"source": "var a = 1"}, "has no function"),
        ({"source": "for (;;);"}, "stopped after 100 ms"),
        ({"examples": [{**EXAMPLE, "output": {"data": {}}}]}, "example 1 (five): output.data.water_l: 5"),
        ({"source": "function decodeUplink() { for (;;); }"}, "codec_timeout"),
        ({"examples": [EXAMPLE, {"input": {"bytes": "xx"}}]}, "examples[1].input.bytes"),
    ],
)  # fmt: skip
async def test_a_codec_that_fails_is_refused_with_what_failed(
    portal: Portal, changes: dict[str, Any], text: str
) -> None:
    answer = await upload(portal, **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, "Codec refused")
    assert text in answer.json()["message"]
    assert (await get(portal)).json()["codecs"] == []


@pytest.mark.parametrize("changes", [{"name": "Ac me"}, {"source": ""}, {"examples": [1]}, {"extra": 1}])
async def test_fields_are_checked(portal: Portal, changes: dict[str, Any]) -> None:
    assert (await upload(portal, **changes)).status_code in {400, 422}


async def test_a_codec_that_leaks_state_is_marked(portal: Portal) -> None:
    source = "var n = 0; function decodeUplink(i) { n += i.bytes[0]; return {data: {n}}; }"
    examples = [{"input": {"bytes": [n]}} for n in (1, 2)]
    stored = await upload(portal, source=source, examples=examples)
    assert (stored.status_code, stored.json()["is_stateful"]) == (201, True)


async def test_a_trial_stores_nothing_and_shows_measurements(portal: Portal) -> None:
    mapping = [{"path": "water_l", "quantity": "water_m3", "scale": 0.001, "channel": 1}]
    body = {"source": SOURCE, "examples": [{"input": {"bytes": [9]}}], "mapping": mapping}
    answer = await post(portal, "/test", body)
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    assert result["output"] == {"data": {"water_l": 9}}
    assert result["measurements"] == [{"quantity": "water_m3", "value": 0.009, "channel": 1, "ts_us": None}]
    assert (await get(portal)).json()["codecs"] == []
    broken = (await post(portal, "/test", {"source": "("})).json()
    assert ("SyntaxError" in broken["error"], broken["results"]) == (True, [])
    wrong = await post(portal, "/test", {**body, "mapping": [{"path": "a", "quantity": "b"}]})
    assert (wrong.status_code, "mapping[0].quantity" in wrong.json()["message"]) == (400, True)


async def test_a_stored_codec_is_tried_on_its_examples_or_on_others(portal: Portal) -> None:
    await upload(portal)
    own = (await post(portal, "/test", {"name": "acme"})).json()
    assert [each["difference"] for each in own["results"]] == [None]
    given = (await post(portal, "/test", {"name": "acme", "version": 1, "examples": []})).json()
    assert given["results"] == []
    assert (await post(portal, "/test", {"name": "other"})).status_code == 404
    assert (await post(portal, "/test", {})).status_code == 400


async def test_a_version_is_assigned_to_a_profile(portal: Portal, pool: Pool) -> None:
    await upload(portal)
    async with pool.connection() as db:
        profile = await profiles.put_profile(db, name="Acme meter", decoder="cayenne")
    answer = await post(portal, "/acme/versions/1/assign", {"profile_id": profile.id})
    assert answer.status_code == 200, answer.text
    shown = {"profile_id": profile.id, "profile_name": "Acme meter", "codec": "acme", "version": 1}
    assert answer.json() == shown
    async with pool.connection() as db:
        changed = await profiles.get_profile(db, profile.id)
    assert changed is not None
    assert (changed.decoder, changed.codec_id is not None) == ("js", True)
    for path, body in (
        ("/acme/versions/1/assign", {"profile_id": 999}),
        ("/acme/versions/9/assign", {"profile_id": 1}),
    ):
        assert (await post(portal, path, body)).status_code == 404
