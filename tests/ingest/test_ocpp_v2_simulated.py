"""Simulated chargers of OCPP 2.0.1 and 2.1 at the gateway: what they delivered is what is billed, once."""

from typing import Any

import pytest
from nats.aio.client import Client

from protocols.ocpp.surface import Version
from simulators.faults import Faults
from simulators.records import SessionStarted, SessionStopped
from storage.database import Pool
from storage.queries.sessions import list_sessions
from stream.settlement import rate_session
from tests.ingest.ocpp_gateway import add_charger, add_driver, eventually, running_gateway
from tests.simulators.test_charger_client import Recorded, running

ROUGH = Faults(disconnect=0.05, duplicate=0.2, repeat_stop=0.5, rubbish=0.1)


@pytest.mark.parametrize("version", [Version.V201, Version.V21])
@pytest.mark.parametrize("faults", [Faults(), ROUGH], ids=["calm", "rough"])
async def test_a_simulated_charger_is_billed_for_what_it_delivered(
    pool: Pool, bus: Client, version: Version, faults: Faults
) -> None:
    await add_charger(pool, "CP-1")
    user_id = await add_driver(pool, "TAG")
    recorded = Recorded()
    options: dict[str, Any] = {"version": version, "faults": faults, "sessions_max": 4, "connectors": 2}
    async with running_gateway(pool, bus) as gateway, running(gateway.url, recorded, **options) as client:

        async def is_done() -> bool:
            return bool(client.model.is_done)

        await eventually(is_done, wait_s=90)
    begun = {each.transaction_id: each.meter_start_wh for each in recorded.of(SessionStarted)}
    ended = {each.transaction_id: each.meter_stop_wh for each in recorded.of(SessionStopped)}
    async with pool.connection() as connection:
        for session in (await list_sessions(connection, limit=20))[0]:
            await rate_session(connection, session.id)
        rated, count = await list_sessions(connection, limit=20)
        rating = "SELECT payload->>'session_id' FROM outbox WHERE kind = 'rate_session'"
        due = await (await connection.execute(rating)).fetchall()
    assert count == len(begun) == len(ended) >= 4
    assert {each.transaction_uid: each.energy_wh for each in rated} == {
        uid: meter_stop_wh - begun[uid] for uid, meter_stop_wh in ended.items()
    }
    assert {each.user_id for each in rated} == {user_id}
    assert len(due) == len(set(due)) == count, "each sent to be rated once"
