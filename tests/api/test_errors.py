"""Refusals: each family's own words, for paths that exist and for those that do not."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from api.config import ApiConfig
from api.errors import family_of
from storage.database import Pool
from tests.api.helpers import Person, Service


@pytest.mark.parametrize(
    ("method", "path", "keys"),
    [
        ("GET", "/api/v1/nothing", {"success", "message", "error", "statusCode"}),
        ("GET", "/api/v1", {"success", "message", "error", "statusCode"}),
        ("GET", "/api/mobile/nothing", {"error", "message"}),
        ("GET", "/api/nothing", {"error", "details"}),
        ("GET", "/nothing", {"error", "details"}),
        ("GET", "/api/batteries/", {"error", "details"}),
    ],
)
async def test_unknown_paths_are_refused_by_the_family_that_owns_them(
    api: httpx.AsyncClient, method: str, path: str, keys: set[str]
) -> None:
    answer = await api.request(method, path)
    assert answer.status_code == 404
    assert set(answer.json()) == keys


@pytest.mark.parametrize(
    "path",
    ["/api/auth/", "/api/auth/verify-otp/", "/api/auth/nothing/", "/api/inventory/x", "/api/orders/x/y/z/"],
)
async def test_lithovolts_paths_never_reach_ienerzy(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.post(path, json={"phone": "+919876543210", "userType": "dealer"})
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not found."}


@pytest.mark.parametrize("path", ["/api/v1/auth/me", "/api/v1/auth/me/"])
async def test_evcms_takes_a_slash_at_the_end_without_a_redirect(
    api: httpx.AsyncClient, driver: Person, path: str
) -> None:
    assert (await api.get(path, headers=driver.headers)).status_code == 200


async def test_ienerzy_takes_no_slash_at_the_end(api: httpx.AsyncClient, dealer: Person) -> None:
    assert (await api.get("/api/batteries/", headers=dealer.headers)).status_code == 404


async def test_a_method_that_is_not_there_names_those_that_are(api: httpx.AsyncClient) -> None:
    evcms = await api.delete("/api/v1/auth/me")
    assert evcms.status_code == 405
    assert evcms.json()["statusCode"] == 405
    assert evcms.headers["Allow"] == "GET"
    ienerzy = await api.delete("/api/batteries/health-report")
    assert ienerzy.status_code == 405
    assert "error" in ienerzy.json()


@pytest.mark.parametrize("body", ["{", "", "[1,", '{"email": NaN'])
async def test_malformed_json(api: httpx.AsyncClient, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    evcms = await api.post("/api/v1/auth/login", content=body, headers=headers)
    assert evcms.status_code == (400 if body else 422)
    assert evcms.json()["success"] is False
    ienerzy = await api.post("/api/auth/login", content=body, headers=headers)
    assert ienerzy.status_code == 400
    assert "error" in ienerzy.json()


async def test_ienerzy_says_which_fields_are_missing(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/auth/login", json={})
    assert answer.status_code == 400
    assert answer.json() == {"error": "Missing required fields", "details": "phone and userType are required"}


async def test_lone_surrogates_are_refused(api: httpx.AsyncClient) -> None:
    content = '{"email": "a@example.com", "password": "secret1", "name": "\\ud800"}'
    answer = await api.post(
        "/api/v1/auth/register", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422


@pytest.mark.parametrize("announced", [True, False])
async def test_bodies_are_bounded(api: httpx.AsyncClient, config: ApiConfig, announced: bool) -> None:
    body = b" " * (config.body_bytes_max + 1)

    async def stream() -> AsyncIterator[bytes]:
        yield body

    content = body if announced else stream()
    answer = await api.post(
        "/api/v1/auth/login", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["success"] is False
    assert "too large" in answer.json()["message"]


async def test_what_nobody_expected_is_a_500_in_the_familys_words(
    make_service: Callable[..., Service], driver: Person, dealer: Person, pool: Pool
) -> None:
    service = make_service()
    await pool.close()
    evcms = await service.client.get("/api/v1/auth/me", headers=driver.headers)
    assert evcms.status_code == 500
    assert evcms.json()["statusCode"] == 500
    assert "X-RateLimit-Limit" in evcms.headers
    ienerzy = await service.client.get("/api/batteries", headers=dealer.headers)
    assert ienerzy.status_code == 500
    assert set(ienerzy.json()) == {"error", "details"}


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("/api/v1/chargers", "evcms"),
        ("/api/v12", "ienerzy"),
        ("/api/mobile/auth/login", "mobile"),
        ("/api/auth/login", "ienerzy"),
        ("/api/auth/login/", "lithovolt"),
        ("/api/auth/nothing", "ienerzy"),
        ("/api/orders", "lithovolt"),
        ("/api/orders-of-mine", "ienerzy"),
        ("/api/warranty/verify/X/", "lithovolt"),
        ("/metrics", "ienerzy"),
    ],
)
def test_who_owns_a_path(path: str, family: str) -> None:
    assert family_of(path).name == family
