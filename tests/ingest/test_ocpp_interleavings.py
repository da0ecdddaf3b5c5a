"""Both directions at once, in any order: nobody waits for ever and nothing is refused.

A charger asks and is asked, answers ours late and out of step with its own calls, on real sockets.
"""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nats.aio.client import Client

from storage.database import Pool
from stream.bus import CallOutcome, call_charger
from tests.ingest.ocpp_gateway import add_charger, add_driver, eventually, running_gateway
from tests.ingest.ocpp_peer import Peer, peer
from tests.ingest.secure_gateway import is_reachable

TAG = "TAG-1"
OWN_16: dict[str, dict[str, Any]] = {
    "Authorize": {"idTag": TAG},
    "DataTransfer": {"vendorId": "v"},
    "Heartbeat": {},
    "StatusNotification": {"connectorId": 1, "errorCode": "NoError", "status": "Available"},
}
OWN_201: dict[str, dict[str, Any]] = {
    "Authorize": {"idToken": {"idToken": TAG, "type": "Central"}},
    "DataTransfer": {"vendorId": "v"},
    "Heartbeat": {},
    "SecurityEventNotification": {"type": "SettingSystemTime", "timestamp": "2026-01-01T00:00:00Z"},
}
OURS_16 = {
    "ClearCache": {},
    "RemoteStartTransaction": {"idTag": TAG, "connectorId": 1},
    "UnlockConnector": {"connectorId": 1},
}
OURS_201 = {
    "ClearCache": {},
    "RequestStartTransaction": {"remoteStartId": 1, "idToken": {"idToken": TAG, "type": "Central"}},
    "UnlockConnector": {"evseId": 1, "connectorId": 1},
}
CASES = {"ocpp1.6": (OWN_16, OURS_16), "ocpp2.0.1": (OWN_201, OURS_201)}
# own: the charger asks; ask: we ask; answer: the charger answers our oldest call; pause: the others have time
STEPS = st.lists(st.sampled_from(["own", "own", "ask", "answer", "pause"]), min_size=1, max_size=40)
ASKED_MAX = 12  # of ours at a time: beyond 16 the queue of a charger is full, which is another test


async def play(
    bus: Client, device_id: int, charger: Peer, steps: list[str], own: dict[str, Any], ours: dict[str, Any]
) -> tuple[list[list[Any]], list[CallOutcome]]:
    """Do the steps; the answers that the charger got, and what became of our calls."""
    answers: list[asyncio.Task[list[Any]]] = []
    outcomes: list[asyncio.Task[CallOutcome]] = []
    answered = len(charger.frames)
    for number, step in enumerate(steps):
        if step == "own":
            action = sorted(own)[number % len(own)]
            answers.append(asyncio.create_task(charger.call(action, own[action])))
        elif step == "ask" and len(outcomes) < ASKED_MAX:
            action = sorted(ours)[number % len(ours)]
            outcomes.append(asyncio.create_task(call_charger(bus, device_id, action, ours[action], 10)))
        elif step == "answer" and answered < len(charger.frames):
            await charger.answer(charger.frames[answered], good(charger.frames[answered][2]))
            answered += 1
        await asyncio.sleep(0.005 if step == "pause" else 0)
    got = await asyncio.gather(*answers)  # before ours are answered: neither waits for the other
    while not all(task.done() for task in outcomes):
        if answered < len(charger.frames):
            await charger.answer(charger.frames[answered], good(charger.frames[answered][2]))
            answered += 1
        await asyncio.sleep(0)
    return got, [task.result() for task in outcomes]


def good(action: str) -> dict[str, Any]:
    return {"status": "Unlocked" if action == "UnlockConnector" else "Accepted"}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("subprotocol", CASES)
async def test_no_interleaving_stops_or_refuses_anything(pool: Pool, bus: Client, subprotocol: str) -> None:
    own, ours = CASES[subprotocol]
    device = await add_charger(pool, "CP1")
    await add_driver(pool, TAG)
    examples: list[list[str]] = []

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def collect(steps: list[str]) -> None:
        examples.append(steps)

    await asyncio.to_thread(collect)
    async with (
        running_gateway(pool, bus, messages_burst=100_000) as running,
        peer(f"{running.url}/CP1", lambda *_: None, subprotocols=[subprotocol]) as charger,
    ):
        await eventually(lambda: is_reachable(bus, device.id))
        for steps in examples:
            async with asyncio.timeout(20):
                answers, outcomes = await play(bus, device.id, charger, steps, own, ours)
            assert all(answer[0] == 3 for answer in answers), (steps, answers)
            assert all(outcome.outcome == "result" for outcome in outcomes), (steps, outcomes)
    assert len(examples) >= 50
