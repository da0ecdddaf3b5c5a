"""Requests that `schemathesis` makes of a document, of every role, at a running server; for all families.

They are the same in each run. Ids in paths and bodies are those of real rows most of the time; what takes
away comes last.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from api.postman import example_of

Operation = APIOperation[Any, Any, Any, Any]
AnyCase = Case[Any]
REQUEST_S_MAX = 20
REAL_SHARE = 0.8
METHODS = ("get", "post", "put", "patch", "delete")
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


@dataclass(frozen=True)
class Aim:
    """How requests meet what is there.

    `values`: what belongs into a field of this name and generated value, empty: whatever was generated.
    `refresh`: done before each operation, as letting everybody in again. `positive`, `negative`: requests of
    each role that are as the document says, and that are not.
    """

    values: Callable[[str, Any], Sequence[Any]]
    refresh: Callable[[psycopg.Connection], object]
    positive: int = 2
    negative: int = 1


class Visit:
    """Requests of all roles (`headers` by role); `faults` is what was wrong, by operation."""

    def __init__(self, url: str, headers: Mapping[str, dict[str, str]], database_url: str, aim: Aim) -> None:
        self.faults: dict[str, str] = {}
        self.answers: Counter[int] = Counter()
        self._url, self._headers, self._database_url, self._aim = url, headers, database_url, aim
        self._dice = random.Random(5)

    def run(self, document: dict[str, Any]) -> None:
        """Make all requests."""
        document = _without_security(document)
        with requests.Session() as session, psycopg.connect(self._database_url, autocommit=True) as database:
            for operation in _operations(document):
                self._aim.refresh(database)
                self._visit(operation, _example_of(document, operation), session)

    def _visit(self, operation: Operation, example: Any, session: requests.Session) -> None:
        cases = _cases(operation, GenerationMode.POSITIVE, self._aim.positive)
        for number, case in enumerate(cases):
            case.body = _near(case, example, number, self._dice)
        if operation.body or operation.query:
            cases += _cases(operation, GenerationMode.NEGATIVE, self._aim.negative)
        for case in cases:
            for role in self._headers:
                case.path_parameters = self._aimed(case.path_parameters)
                case.body = self._aimed(case.body)
                self._call(case, role, session)

    def _aimed(self, value: Any, name: str = "") -> Any:
        """Put what is there where it belongs, most of the time."""
        if isinstance(value, dict):
            return {key: self._aimed(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._aimed(each, name) for each in value]
        choices = self._aim.values(name, value)
        return self._dice.choice(choices) if choices and self._dice.random() < REAL_SHARE else value

    def _call(self, case: AnyCase, role: str, session: requests.Session) -> None:
        headers = self._headers[role]
        answer = case.call(base_url=self._url, session=session, headers=headers, timeout=REQUEST_S_MAX)
        self.answers[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=CHECKS, headers=headers)
        except FailureGroup as group:
            self.faults[f"{case.method} {case.path} as {role}"] = "\n".join(map(str, group.exceptions))


def _without_security(document: dict[str, Any]) -> dict[str, Any]:
    """The tokens are ours: made-up ones would have every wrong body end with a 401."""
    paths = {
        path: {method: {**operation, "security": []} for method, operation in item.items()}
        for path, item in document["paths"].items()
    }
    return {**document, "paths": paths}


def _operations(document: dict[str, Any]) -> Iterator[Operation]:
    schema = schemathesis.openapi.from_dict(document)
    found = list(schema.get_all_operations())
    assert all(isinstance(each, Ok) for each in found)
    made = [each.ok() for each in found if isinstance(each, Ok)]
    yield from sorted(made, key=lambda each: (METHODS.index(each.method.lower()), "{" in each.path))


def _near(case: AnyCase, example: Any, number: int, dice: random.Random) -> Any:
    """A body that is right but for one field of what was generated; the first one is right."""
    if not isinstance(example, dict) or not isinstance(case.body, dict):
        return case.body
    names = [dice.choice(sorted(case.body))] if number and case.body else []
    return {**example, **{name: case.body[name] for name in names}}


def _example_of(document: dict[str, Any], operation: Operation) -> Any:
    described = document["paths"][operation.path][operation.method.lower()]
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    return content and example_of(document, content)


def _cases(operation: Operation, mode: GenerationMode, count: int) -> list[AnyCase]:
    """The same ones in each run; none where a request of this mode cannot be made."""
    made: list[AnyCase] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def collect(case: AnyCase) -> None:
        if len(made) < count:
            made.append(case)

    collect()
    return made
