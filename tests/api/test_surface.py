"""What the document of all endpoints says: who may call what, and that it is one and whole."""

import re

import pytest

from tests.api.helpers import Service

# Endpoints that anybody may call. Every other one must declare its caller.
PUBLIC = {
    ("post", "/api/v1/auth/register"),
    ("post", "/api/v1/auth/login"),
    ("post", "/api/v1/auth/refresh-token"),
    ("post", "/api/auth/login"),
    ("post", "/api/auth/verify-otp"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}
METHODS = {"get", "post", "put", "patch", "delete", "head", "options"}
CONTRACT = """
post /api/v1/auth/register | post /api/v1/auth/login | post /api/v1/auth/refresh-token
get /api/v1/auth/me | put /api/v1/auth/change-password | post /api/v1/auth/logout
get /api/v1/profile/wallet | post /api/v1/profile/wallet/topup | get /api/v1/profile/wallet/transactions
get /api/v1/chargers | get /api/v1/chargers/stats | get /api/v1/chargers/{id}
get /api/v1/chargers/{id}/status | post /api/v1/chargers/{id}/command
get /api/v1/sessions | post /api/v1/sessions | get /api/v1/sessions/active | get /api/v1/sessions/history
get /api/v1/sessions/{id} | post /api/v1/sessions/{id}/stop | get /api/v1/sessions/{id}/cdr
post /api/auth/login | post /api/auth/verify-otp
get /api/batteries | post /api/batteries | get /api/batteries/health-report | get /api/batteries/{serial}
post /api/batteries/{serial}/control | put /api/batteries/{serial}/assign
get /healthz | get /readyz | get /metrics
post /api/v1/chargers/{id}/password | put /api/v1/chargers/{id}/security-profile
get /api/v1/chargers/{id}/certificates
get /api/v1/chargers/{id}/messages
get /api/v1/chargers/{id}/variables | get /api/v1/chargers/{id}/charging-profiles
get /api/v1/chargers/{id}/reservations | get /api/v1/chargers/{id}/local-list | get /api/v1/chargers/{id}/jobs
get /api/v1/chargers/{id}/display-messages | get /api/v1/chargers/{id}/monitors
post /api/v1/chargers/{id}/commands | get /api/v1/chargers/{id}/commands | get /api/v1/chargers/{id}/actions
get /api/v1/commands/{id} | delete /api/v1/commands/{id}
"""


def endpoints(service: Service) -> dict[tuple[str, str], dict[str, object]]:
    paths = service.app.openapi()["paths"]
    return {
        (method, path): operation
        for path, item in paths.items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_every_endpoint_declares_its_caller(service: Service) -> None:
    open_to_all = {key for key, operation in endpoints(service).items() if not operation.get("security")}
    assert open_to_all == PUBLIC


def test_the_document_has_the_contract_and_nothing_else(service: Service) -> None:
    listed = {tuple(line.split()) for line in re.split(r"[|\n]", CONTRACT) if line.strip()}
    assert set(endpoints(service)) == listed


@pytest.mark.parametrize("family", ["EV-CMS", "Ienerzy"])
async def test_anonymous_calls_are_refused_in_the_familys_own_words(service: Service, family: str) -> None:
    for (method, path), operation in endpoints(service).items():
        if operation.get("security") != [{family: []}]:
            continue
        answer = await service.client.request(method, path.replace("{id}", "1").replace("{serial}", "B1"))
        assert answer.status_code == 401, (method, path, answer.text)
        body = answer.json()
        if family == "EV-CMS":
            assert body["success"] is False
            assert set(body) == {"success", "message", "error", "statusCode"}
            assert body["statusCode"] == 401
        else:
            assert body == {"error": "Authentication required", "details": "Valid JWT token is required"}


async def test_the_document_and_its_page_are_served_without_any_other_host(service: Service) -> None:
    document = (await service.client.get("/openapi.json")).json()
    assert {"/api/v1/chargers", "/api/batteries"} <= set(document["paths"])
    page = await service.client.get("/api-docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 3
    for file in files:
        assert (await service.client.get(file)).status_code == 200
