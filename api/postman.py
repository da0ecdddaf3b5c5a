"""A Postman collection (format 2.1) of a family's OpenAPI document.

`api.operations.client_files` writes it to a file, `api.operations.docs` serves it. Folders are the document's
tags. Requests send `accessToken` to `baseUrl`, both variables of the collection; a login keeps the token of
its answer.
"""

import json
from collections.abc import Mapping
from typing import Any

JsonObject = dict[str, Any]

FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
BASE_URL = "http://localhost:5000"


def collection_of(document: JsonObject, logins: Mapping[str, str]) -> JsonObject:
    """Return the collection; `logins` as of `api.document.Part`."""
    folders: dict[str, list[JsonObject]] = {each["name"]: [] for each in document["tags"]}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            shown = _item(document, path, method, operation)
            if operation["operationId"] in logins:
                shown["event"] = [_keep_token(logins[operation["operationId"]])]
            folders[operation["tags"][0]].append(shown)
    return {
        "info": {
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "schema": FORMAT,
        },
        "auth": {"type": "bearer", "bearer": [_pair("token", "{{accessToken}}", type="string")]},
        "variable": [_pair("baseUrl", BASE_URL), _pair("accessToken", "")],
        "item": [{"name": name, "item": items} for name, items in folders.items()],
    }


def _pair(key: str, value: str, **more: Any) -> JsonObject:
    return {"key": key, "value": value, **more}


def _keep_token(where: str) -> JsonObject:
    lines = [
        "const answer = pm.response.json();",
        f"if ({where}) pm.collectionVariables.set('accessToken', {where});",
    ]
    return {"listen": "test", "script": {"type": "text/javascript", "exec": lines}}


def _item(document: JsonObject, path: str, method: str, operation: JsonObject) -> JsonObject:
    request: JsonObject = {
        "method": method.upper(),
        "header": [],
        "url": _url(path, operation.get("parameters", [])),
        "description": operation.get("description", ""),
    }
    if not operation.get("security"):
        request["auth"] = {"type": "noauth"}
    content = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        fields = _resolved(document, content["multipart/form-data"]["schema"])["properties"]
        request["body"] = {"mode": "formdata", "formdata": [_form_field(*each) for each in fields.items()]}
    elif "application/json" in content:
        request["header"] = [_pair("Content-Type", "application/json")]
        request["body"] = {
            "mode": "raw",
            "raw": json.dumps(
                example_of(document, content["application/json"]), indent=2, ensure_ascii=False
            ),
            "options": {"raw": {"language": "json"}},
        }
    return {"name": operation["summary"], "request": request}


def _url(path: str, parameters: list[JsonObject]) -> JsonObject:
    # a slash at the end is an empty part
    parts = [f":{part[1:-1]}" if part.startswith("{") else part for part in path[1:].split("/")]
    query = [
        _pair(each["name"], "", description=each.get("description", ""), disabled=not each.get("required"))
        for each in parameters
        if each["in"] == "query"
    ]
    return {
        "raw": "{{baseUrl}}/" + "/".join(parts),
        "host": ["{{baseUrl}}"],
        "path": parts,
        "query": query,
        "variable": [_pair(part[1:], "") for part in parts if part.startswith(":")],
    }


def _form_field(name: str, schema: JsonObject) -> JsonObject:
    if schema.get("format") == "binary":
        return {"key": name, "type": "file", "src": []}
    return _pair(name, str(next(iter(schema.get("enum", [""])))), type="text")


def _resolved(document: JsonObject, schema: JsonObject) -> JsonObject:
    """The schema that a reference names, or the first of several."""
    if "anyOf" in schema:
        return _resolved(document, schema["anyOf"][0])
    if "$ref" in schema:
        found: JsonObject = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


def example_of(document: JsonObject, content: Mapping[str, Any]) -> Any:
    """Return the example of a body of this content, {} where there is none."""
    shown = _resolved(document, content["schema"]).get("examples", [{}])
    return content.get("example", shown[0])
