"""The families' own documents at /api-docs: whole, with names that generators can use, and true examples."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from api.document import LIMIT_HEADERS, part_of, refine
from api.documents import PARTS
from api.evcms.examples import EXAMPLES
from api.operation_ids import name_of
from api.postman import example_of
from tests.api.helpers import Service

ERRORS = {"400", "401", "403", "404", "409", "422", "500"}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


@pytest.fixture
def evcms(service: Service) -> dict[str, Any]:
    return part_of(service.app.openapi(), PARTS[0])


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/api/v1/auth/login", "evcmsLogin"),
        ("POST", "/api/v1/bookings", "evcmsCreateBooking"),
        ("GET", "/api/v1/bookings", "evcmsListBookings"),
        ("GET", "/api/v1/bookings/{id}", "evcmsGetBooking"),
        ("PUT", "/api/v1/bookings/{id}/start", "evcmsStartBooking"),
        ("GET", "/api/v1/stations/nearby", "evcmsListNearbyStations"),
        ("PATCH", "/api/v1/profile/vehicles/{vehicleId}/set-default", "evcmsSetDefaultProfileVehicle"),
        ("PUT", "/api/v1/notifications/read-all", "evcmsReadNotifications"),
        ("PATCH", "/api/v1/notifications/{id}/read", "evcmsReadNotification"),
        ("GET", "/uploads/{type}/{filename}", "evcmsGetUpload"),
        ("POST", "/api/mobile/admin/units", "mobilePortalCreateUnit"),
        ("GET", "/api/batteries/{serial}", "ienerzyGetBattery"),
        ("POST", "/api/auth/login", "ienerzyLogin"),
        ("POST", "/api/auth/login/", "lithovoltLogin"),
        ("GET", "/api/inventory/models/", "lithovoltListInventoryModels"),
        ("PATCH", "/api/orders/{id}/approve/", "lithovoltApproveOrder"),
        ("POST", "/api/auth/password/reset/confirm/", "lithovoltConfirmPasswordReset"),
        ("GET", "/api/users/me/", "lithovoltGetMe"),
    ],
)
def test_names_of_operations(method: str, path: str, name: str) -> None:
    assert name_of(method, path) == name


def test_no_two_operations_have_one_name(service: Service) -> None:
    names = Counter(each["operationId"] for _, _, each in operations(service.app.openapi()))
    assert [name for name, count in names.items() if count > 1] == []
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9]+", name) for name in names)


def test_the_parts_are_the_whole(service: Service) -> None:
    whole = service.app.openapi()
    found = Counter((path, method) for part in PARTS for path, method, _ in operations(part_of(whole, part)))
    assert found == Counter((path, method) for path, method, _ in operations(whole))


def test_a_part_has_all_that_it_refers_to_and_nothing_else(service: Service) -> None:
    for part in PARTS:
        document = part_of(service.app.openapi(), part)
        named = {each for each in references(document) if each.startswith("#/components/schemas/")}
        assert named == {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
        used = {
            name for _, _, each in operations(document) for way in each.get("security", []) for name in way
        }
        assert set(document["components"]["securitySchemes"]) == used
        schemas = document["components"]["schemas"]
        assert all("__" not in name and "-" not in name for name in schemas)
        assert [name for name in schemas if "Schemas" in name] == [], "two of one name, told by their modules"
        assert len({each["name"] for each in document["tags"]}) == len(document["tags"])


def test_what_is_refused_is_documented_as_it_is_sent(evcms: dict[str, Any]) -> None:
    schemas = evcms["components"]["schemas"]
    for path, method, operation in operations(evcms):
        answers = operation["responses"]
        assert set(answers) >= ERRORS, (method, path)
        for status in ERRORS:
            content = answers[status]["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/EvcmsError"}
            jsonschema_rs.validate(
                {**schemas["EvcmsError"], "components": evcms["components"]}, content["example"]
            )
            assert content["example"]["statusCode"] == int(status)
        if path.startswith("/api/v1/"):
            good = min(status for status in answers if status.startswith("2"))
            limits = set(answers[good].get("headers", {}))
            assert {f"{LIMIT_HEADERS}{name}" for name in ("Limit", "Remaining", "Reset")} <= limits, path
        assert operation["description"], (method, path)


def test_every_body_has_an_example(evcms: dict[str, Any]) -> None:
    assert set(EXAMPLES) <= set(evcms["components"]["schemas"])
    for path, method, operation in operations(evcms):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is not None:
            assert example_of(evcms, content), (method, path)


def test_all_examples_fit(service: Service) -> None:
    wrong = []
    for part in PARTS:
        document = part_of(service.app.openapi(), part)
        for name, schema in document["components"]["schemas"].items():
            if schema.get("examples"):
                validator = jsonschema_rs.validator_for({**schema, "components": document["components"]})
                found = [
                    error.message for each in schema["examples"] for error in validator.iter_errors(each)
                ]
                wrong += [(part.slug, name, found)] if found else []
    assert wrong == []


def test_files_are_bytes(evcms: dict[str, Any]) -> None:
    binary = {"type": "string", "format": "binary"}
    for path in ("/api/v1/billing/export", "/api/v1/billing/invoices/{id}/pdf", "/uploads/{type}/{filename}"):
        content = evcms["paths"][path]["get"]["responses"]["200"]["content"]
        assert {json.dumps(each["schema"], sort_keys=True) for each in content.values()} == {
            json.dumps(binary, sort_keys=True)
        }, path
        assert "application/json" not in content
    form = evcms["paths"]["/api/v1/upload"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["properties"]["file"]["format"] == "binary"


def test_titles_of_fields_go_and_fields_named_title_stay() -> None:
    schema = {
        "title": "AlertIn",
        "properties": {"title": {"title": "Title", "type": "string", "default": {"title": "kept"}}},
    }
    refined = refine({"paths": {}, "components": {"schemas": {"AlertIn": schema}}})
    assert refined["components"]["schemas"] == {
        "AlertIn": {"properties": {"title": {"type": "string", "default": {"title": "kept"}}}}
    }


async def test_the_page_offers_every_document(api: httpx.AsyncClient) -> None:
    page = (await api.get("/api-docs")).text
    for part in PARTS:
        assert f'<option value="{part.slug}">{part.title}</option>' in page
        answer = await api.get(f"/api-docs/{part.slug}.json")
        assert answer.headers["Content-Type"] == "application/json"
        document = answer.json()
        assert document["info"]["title"] == part.title
        assert document["paths"]
    assert "session-update" in (await api.get("/api-docs/evcms.json")).json()["info"]["description"]
    assert (await api.get("/api-docs/nothing.json")).status_code == 404
