"""Every action of OCPP 2.x with fields that nobody can mean: kept or refused, never an inner error."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from nats.aio.client import Client

from protocols.ocpp.surface import FROM_CHARGER, UNANSWERED, Version
from storage.database import Pool
from tests.ingest.ocpp_examples import full_request
from tests.ingest.ocpp_gateway import add_charger, raw_charger, running_gateway

ODD: list[Any] = [
    None,
    -1,
    0,
    True,
    2**31,
    2**63 - 1,
    -(2**63),
    1e300,
    "",
    "\0",
    "\\u0000",
    "x" * 3000,
    "2026-13-45T99:99:99Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    [],
    {},
    [[]],
    [None],
]
FRAMES = 300


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def mutated(request: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    result = copy.deepcopy(request)
    path = chance.choice(list(places(result)) or [("more",)])
    target: Any = result
    for key in path[:-1]:
        target = target[key]
    if chance.random() < 0.2 and path[-1] != "more":
        del target[path[-1]]
    else:
        target[path[-1]] = chance.choice(ODD)
    return result


@pytest.mark.parametrize("version", [Version.V201, Version.V21])
async def test_odd_fields_are_kept_or_refused(pool: Pool, bus: Client, version: Version) -> None:
    chance = random.Random(201)
    await add_charger(pool, "CP1")
    actions = [action for action in FROM_CHARGER[version] if action not in UNANSWERED]
    failed: list[str] = []
    async with (
        running_gateway(pool, bus) as running,
        raw_charger(f"{running.url}/CP1", subprotocols=[version.subprotocol]) as charger,
    ):
        for number in range(FRAMES):
            action = actions[number % len(actions)]
            request = mutated(full_request(version, action), chance)
            answer = await charger.call(action, request)
            if isinstance(answer, list) and answer[0] in {"InternalError", "GenericError"}:
                failed.append(f"{action} {json.dumps(request)[:300]}: {answer}")
    assert failed == []
