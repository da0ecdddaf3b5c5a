"""Rate limits of each family: who is counted, what a refusal says, which headers there are."""

import time
from collections.abc import Callable

from tests.api.helpers import Person, Service


async def test_every_evcms_answer_carries_the_headers(make_service: Callable[..., Service]) -> None:
    api = make_service(evcms_requests_per_15_minutes=10).client
    first = await api.get("/api/v1/chargers")
    assert first.status_code == 401
    assert first.headers["X-RateLimit-Limit"] == "10"
    assert first.headers["X-RateLimit-Remaining"] == "9"
    assert 0 < int(first.headers["X-RateLimit-Reset"]) - time.time() <= 900
    missing = await api.get("/api/v1/nothing")
    assert missing.headers["X-RateLimit-Remaining"] == "8"


async def test_evcms_refuses_beyond_its_limit(make_service: Callable[..., Service]) -> None:
    api = make_service(evcms_requests_per_15_minutes=2).client
    for _ in range(2):
        await api.get("/api/v1/chargers")
    answer = await api.get("/api/v1/chargers/")
    assert answer.status_code == 429
    body = answer.json()
    assert 0 < body.pop("retryAfter") <= 900
    assert body == {
        "success": False,
        "message": "Too many requests, please try again later",
        "statusCode": 429,
    }
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert (await api.get("/healthz")).status_code == 200
    assert (await api.get("/api/batteries")).status_code == 401


async def test_ienerzy_sign_in_is_limited_by_address(make_service: Callable[..., Service]) -> None:
    api = make_service(ienerzy_auth_per_minute=2).client
    body = {"phone": "+919876543219", "userType": "dealer"}
    assert (await api.post("/api/auth/login", json=body)).status_code == 404
    assert (await api.post("/api/auth/verify-otp", json={})).status_code == 400
    answer = await api.post("/api/auth/login", json=body)
    assert answer.status_code == 429
    refusal = answer.json()
    assert 0 < refusal.pop("retry_after") <= 60
    assert refusal == {
        "error": "Rate limit exceeded",
        "details": "Too many requests. Please try again later.",
    }
    assert int(answer.headers["Retry-After"]) > 0
    assert (await api.post("/api/auth/login/", json=body)).status_code == 400


async def test_ienerzy_limits_each_user(
    make_service: Callable[..., Service], dealer: Person, other_dealer: Person
) -> None:
    api = make_service(ienerzy_requests_per_minute=1).client
    assert (await api.get("/api/batteries", headers=dealer.headers)).status_code == 200
    assert (await api.get("/api/batteries", headers=dealer.headers)).status_code == 429
    assert (await api.get("/api/batteries", headers=other_dealer.headers)).status_code == 200


async def test_nobody_escapes_by_claiming_another_address(make_service: Callable[..., Service]) -> None:
    api = make_service(evcms_requests_per_15_minutes=1).client
    await api.get("/api/v1/chargers", headers={"X-Forwarded-For": "10.0.0.1"})
    answer = await api.get("/api/v1/chargers", headers={"X-Forwarded-For": "10.0.0.2"})
    assert answer.status_code == 429
