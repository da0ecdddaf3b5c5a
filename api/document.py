"""The OpenAPI document of all families, and each family's own made of it; `api.operations.docs` serves them.

Pure: documents in, documents out.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]

LIMIT_HEADERS = "X-RateLimit-"
_SCHEMAS = "#/components/schemas/"
# Below these keys of a schema stand names of the author's, which may be "title" too.
_NAMES = frozenset({"properties", "patternProperties", "schemas"})
_VALUES = frozenset({"example", "examples", "default", "enum", "const"})


@dataclass(frozen=True, slots=True)
class Part:
    """A family's document: where it is served, whose operations it has (by tag), how they are grouped.

    The group of an operation is the word that follows the prefix of its path; `groups` names some otherwise.
    `examples`: by schema name, for schemas that have none. `logins`: the operations whose answer has the
    token, and where in it, as in "answer.token".
    """

    slug: str
    title: str
    tag: str
    prefix: str
    description: str
    groups: Mapping[str, str] = field(default_factory=dict)
    examples: Mapping[str, Any] = field(default_factory=dict)
    logins: Mapping[str, str] = field(default_factory=dict)


def refine(document: JsonObject) -> JsonObject:
    """Drop the titles that the framework makes of field names, and say which headers every answer carries.

    Examples get their nulls back, which the framework drops. An operation that says where a caller stands in
    its rate limit says so with each of its answers.
    """
    shared: JsonObject = {}
    for operation in _operations(document):
        answers = operation["responses"].values()
        headers = {
            name: header
            for answer in answers
            for name, header in answer.get("headers", {}).items()
            if name.startswith(LIMIT_HEADERS)
        }
        shared.update(headers)
        for answer in answers if headers else ():
            answer["headers"] = {
                **answer.get("headers", {}),
                **{name: {"$ref": f"#/components/headers/{name}"} for name in headers},
            }
    return {
        **document,
        "paths": _without_titles(document["paths"], are_names=True),
        "components": {
            **_with_whole_examples(_without_titles(document["components"])),
            "headers": shared,
        },
    }


def _with_whole_examples(components: JsonObject) -> JsonObject:
    schemas = components.get("schemas", {})
    whole = {
        name: {**schema, "examples": [_with_nulls(each, schema, schemas) for each in schema["examples"]]}
        if "examples" in schema
        else schema
        for name, schema in schemas.items()
    }
    return {**components, "schemas": whole}


def _with_nulls(example: Any, schema: JsonObject, schemas: JsonObject) -> Any:
    """Put null where a property must be there, may be null, and is not in the example."""
    if "$ref" in schema:
        return _with_nulls(example, schemas[schema["$ref"].removeprefix(_SCHEMAS)], schemas)
    if "anyOf" in schema:
        return _with_nulls(example, schema["anyOf"][0], schemas)
    if isinstance(example, list):
        return [_with_nulls(each, schema.get("items", {}), schemas) for each in example]
    if not isinstance(example, dict):
        return example
    properties = schema.get("properties", {})
    nulls = [
        name
        for name in schema.get("required", ())
        if name not in example and {"type": "null"} in properties[name].get("anyOf", ())
    ]
    given = {name: _with_nulls(value, properties.get(name, {}), schemas) for name, value in example.items()}
    return {**given, **dict.fromkeys(nulls)}


def part_of(document: JsonObject, part: Part) -> JsonObject:
    """Return the family's own document: its operations, and what they refer to, by short names."""
    paths: JsonObject = {}
    for path, item in document["paths"].items():
        own = {
            method: {**operation, "tags": [_group(path, part)], "summary": _summary(operation, part)}
            for method, operation in item.items()
            if part.tag in operation.get("tags", ())
        }
        if own:
            paths[path] = own
    every = document["components"].get("schemas", {})
    used = _reachable(paths, every)
    names = _short_names(used)
    schemas = {names[name]: _renamed(every[name], names) for name in used}
    for name, example in part.examples.items():
        if name in schemas:
            schemas[name].setdefault("examples", [example])
    security = document["components"].get("securitySchemes", {})
    named = {scheme for item in paths.values() for each in item.values() for scheme in _schemes(each)}
    return {
        "openapi": document["openapi"],
        "info": {**document["info"], "title": part.title, "description": part.description},
        "servers": [{"url": "/", "description": "This server"}],
        "tags": [{"name": name} for name in _groups(paths)],
        "paths": _renamed(paths, names),
        "components": {
            "schemas": schemas,
            "headers": document["components"].get("headers", {}) if LIMIT_HEADERS in str(paths) else {},
            "securitySchemes": {name: scheme for name, scheme in security.items() if name in named},
        },
    }


def _operations(document: JsonObject) -> Iterator[JsonObject]:
    for item in document["paths"].values():
        yield from item.values()


def _groups(paths: JsonObject) -> list[str]:
    found = (operation["tags"][0] for item in paths.values() for operation in item.values())
    return list(dict.fromkeys(found))


def _group(path: str, part: Part) -> str:
    word = path.removeprefix(part.prefix).strip("/").split("/")[0]
    return part.groups.get(word, word.replace("-", " ").capitalize())


def _summary(operation: JsonObject, part: Part) -> str:
    """What its id says, without the family: "Create booking"."""
    family = _camel(part.slug.replace("-", "_"))
    words = re.findall(r"[A-Z][a-z]*", operation["operationId"][len(family) :])
    return " ".join(words).capitalize()


def _schemes(operation: JsonObject) -> Iterable[str]:
    return [scheme for choice in operation.get("security", ()) for scheme in choice]


def _without_titles(node: Any, *, are_names: bool = False) -> Any:
    if isinstance(node, list):
        return [_without_titles(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value
        if key in _VALUES and not are_names
        else _without_titles(value, are_names=key in _NAMES and not are_names)
        for key, value in node.items()
        if are_names or key != "title"
    }


def _walk(node: Any, change: Callable[[str], str]) -> Any:
    """Copy a tree with its strings changed."""
    if isinstance(node, dict):
        return {key: _walk(value, change) for key, value in node.items()}
    if isinstance(node, list):
        return [_walk(each, change) for each in node]
    return change(node) if isinstance(node, str) else node


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    def change(text: str) -> str:
        return _SCHEMAS + names[text.removeprefix(_SCHEMAS)] if text.startswith(_SCHEMAS) else text

    return _walk(node, change)


def _reachable(paths: JsonObject, schemas: JsonObject) -> list[str]:
    found: dict[str, None] = {}

    def note(text: str) -> str:
        name = text.removeprefix(_SCHEMAS)
        if name != text and name not in found:
            found[name] = None
            _walk(schemas[name], note)
        return text

    _walk(paths, note)
    return sorted(found)


def _short_names(names: list[str]) -> dict[str, str]:
    """Without the modules that the framework writes before a name of two models; but for two of a family."""
    plain = {name: _plain(name.split("__")[-1]) for name in names}
    count = Counter(plain.values())
    return {
        name: short if count[short] == 1 else _camel(name.split("__")[-2]) + short
        for name, short in plain.items()
    }


def _plain(name: str) -> str:
    """As of a generic model, "Answer_list_BookingOut__": its letters and digits."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name))


def _camel(module: str) -> str:
    return "".join(word.capitalize() for word in module.split("_"))
