"""Lithovolt's pages and documents (LI-018, LI-019, LI-X12), and paths without their slash (conflict C08)."""

import json
import re

import httpx
import pytest

from api.document import part_of
from api.documents import PARTS
from api.postman import example_of
from tests.api.helpers import Person, Service
from tests.api.test_documents import operations

LITHOVOLT = next(part for part in PARTS if part.slug == "lithovolt")


@pytest.mark.parametrize(
    ("path", "script"), [("/api/docs/", "swagger-ui"), ("/api/redoc/", "redoc.standalone")]
)
async def test_the_pages_begin_with_lithovolt_and_load_nothing_from_elsewhere(
    api: httpx.AsyncClient, path: str, script: str
) -> None:
    page = await api.get(path)
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "https://" not in page.text
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert '?? "lithovolt"' in page.text
    for part in PARTS:
        assert f'<option value="{part.slug}">' in page.text
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert any(script in file for file in files)
    for file in files:
        assert (await api.get(file)).status_code == 200, file
    assert (await api.get(path.rstrip("/"))).text == page.text
    assert '?? "evcms"' in (await api.get("/api-docs")).text


async def test_a_postman_collection_of_each_family(api: httpx.AsyncClient) -> None:
    for part in PARTS:
        answer = await api.get(f"/api-docs/{part.slug}.postman_collection.json")
        name = f"gridwire-{part.slug}.postman_collection.json"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        collection = answer.json()
        assert collection["info"]["name"] == part.title
        requests = [request for folder in collection["item"] for request in folder["item"]]
        assert len([each for each in requests if "event" in each]) == len(part.logins)
        if part is LITHOVOLT:
            (login,) = [each for each in requests if each["name"] == "Login"]
            assert login["request"]["url"]["raw"] == "{{baseUrl}}/api/auth/login/"
            assert login["request"]["url"]["path"][-1] == ""
            assert set(json.loads(login["request"]["body"]["raw"])) == {"email", "password"}


async def test_the_schema_is_lithovolts_document(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/schema/")
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json()
    assert document == (await api.get("/api-docs/lithovolt.json")).json()
    assert document["info"]["title"] == "Gridwire Lithovolt"
    assert all(path.endswith("/") for path in document["paths"])
    for query, accept in (
        ("?format=yaml", "*/*"),
        ("", "application/vnd.oai.openapi, application/yaml;q=0.9"),
    ):
        text = await api.get(f"/api/schema/{query}", headers={"Accept": accept})
        assert text.headers["Content-Type"] == "application/yaml"
        assert text.json() == document, "JSON is YAML"
    asked = await api.get("/api/schema/?format=json", headers={"Accept": "application/yaml"})
    assert asked.headers["Content-Type"] == "application/json"


def test_operations_are_described_and_bodies_have_examples(service: Service) -> None:
    document = part_of(service.app.openapi(), LITHOVOLT)
    for path, method, operation in operations(document):
        assert operation["description"], (method, path)
        assert operation["operationId"].startswith("lithovolt")
        assert "4XX" in operation["responses"], (method, path)
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is not None:
            assert example_of(document, content) is not None, (method, path)
    assert "Sign-in" in {tag["name"] for tag in document["tags"]}


async def test_all_but_the_sign_in_is_there_without_its_slash_too(
    api: httpx.AsyncClient, service: Service, admin: Person
) -> None:
    for path, item in service.app.openapi()["paths"].items():
        if not re.match(r"/api/(inventory|orders|warranty|users|notifications)/", path):
            continue
        method = next(iter(item)).upper()
        address = re.sub(r"{[^}]*}", "0", path)
        answers = [await api.request(method, each, json={}) for each in (address, address.rstrip("/"))]
        assert answers[0].status_code == answers[1].status_code, path
        assert answers[0].content == answers[1].content, path
    preview, headers = (
        "/api/notifications/templates/otp/sms/preview?x=1",
        {"Content-Type": "application/json"},
    )
    refused = await api.post(preview, content="{", headers={**admin.headers, **headers})
    assert (refused.status_code, set(refused.json())) == (400, {"detail"})
    for path in ("/api/orders//", "/api/users/me//", "/api/usersme"):
        assert (await api.get(path, headers=admin.headers)).status_code == 404, path
