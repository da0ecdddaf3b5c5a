"""Spoilt frames over a real gateway socket: it stays open, and every CALL is answered.

`GRIDWIRE_SOCKET_MUTATIONS` is how many (1,000 unless told) of each version; the pure twin with many more is
`tests/protocols/test_ocpp_mutations.py`.
"""

import os

import pytest
from nats.aio.client import Client

from protocols.ocpp.surface import Version
from storage.database import Pool
from tests.ingest.ocpp_gateway import RawCharger, add_charger, raw_charger, running_gateway
from tests.protocols.ocpp_mutations import IS_CALL, mutated, valid_frames

COUNT = int(os.environ.get("GRIDWIRE_SOCKET_MUTATIONS", "1000"))
SEED = int(os.environ.get("GRIDWIRE_MUTATIONS_SEED", "1"))
PROBE = "probe"


async def answers_to(charger: RawCharger, data: bytes, number: int) -> list[object]:
    """What comes back before the answer to the heartbeat behind it."""
    probe = f"{PROBE}-{number}"
    await charger.socket.send(data, text=True)
    await charger.send([2, probe, "Heartbeat", {}])
    answers = []
    while (answer := await charger.receive())[1] != probe:
        answers.append(answer)
    assert "currentTime" in answer[2]
    return answers


@pytest.mark.timeout(0)
@pytest.mark.parametrize("version", list(Version))
async def test_spoilt_frames_leave_the_socket_open(pool: Pool, bus: Client, version: Version) -> None:
    await add_charger(pool, "CP1")
    frames = [(of, data) for of, data in valid_frames() if of is version]
    free = {"messages_per_s": 1e6, "messages_burst": 10**6}  # of limits: those have tests of their own
    async with (
        running_gateway(pool, bus, **free) as running,
        raw_charger(f"{running.url}/CP1", subprotocols=[version.subprotocol]) as charger,
    ):
        for number, (_, data) in enumerate(mutated(frames, SEED, COUNT)):
            answers = await answers_to(charger, data, number)
            where = f"frame {number} of seed {SEED}: {data[:500]!r}"
            assert all(isinstance(each, list) and each[0] in (2, 3, 4) for each in answers), where
            replies = [each for each in answers if isinstance(each, list) and each[0] != 2]
            assert len(replies) == 1 or not IS_CALL.match(data), where
