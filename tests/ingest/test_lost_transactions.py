"""Stops that fit no open transaction, through the gateway (OCPP 1.6, section 4.10)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from nats.aio.client import Client

from protocols.timestamps import parse_timestamp, to_datetime
from storage.database import Pool
from storage.queries import outbox
from storage.queries.sessions import SessionDetail, list_sessions
from stream.reconciliation import close_stale
from tests.ingest.ocpp_gateway import add_charger, add_driver, events, raw_charger, running_gateway

BEGAN, ENDED = "2026-01-02T03:04:05Z", "2026-01-02T04:04:05Z"
START = {"connectorId": 1, "idTag": "CARD", "meterStart": 1000, "timestamp": BEGAN}
STATUS = {"connectorId": 1, "status": "Available", "errorCode": "NoError"}


def stop(transaction_id: int, **more: Any) -> dict[str, Any]:
    facts = {"meterStop": 5000, "timestamp": ENDED, "idTag": "CARD"}
    return {"transactionId": transaction_id, **facts, **more}


def sample(at: str, value: str, **more: Any) -> dict[str, Any]:
    return {
        "timestamp": at,
        "sampledValue": [{"value": "230", "measurand": "Voltage"}, {"value": value, **more}],
    }


DATA = [
    sample("2026-01-02T03:34:05Z", "3", unit="kWh"),
    sample(BEGAN, "1000", context="Transaction.Begin"),
    sample(ENDED, "5000", context="Transaction.End"),
]


async def all_sessions(pool: Pool) -> list[SessionDetail]:
    async with pool.connection() as connection:
        found, _ = await list_sessions(connection, limit=10)
    return found


async def tasks(pool: Pool) -> int:
    async with pool.connection() as connection:
        return await outbox.pending_count(connection)


async def test_a_stop_whose_start_is_lost_is_a_session_once(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    driver = await add_driver(pool, "card")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        await charger.call("StatusNotification", STATUS)
        for unknown in (-1, -1, 4711):
            answer = await charger.call("StopTransaction", stop(unknown, transactionData=DATA))
            assert answer == {"idTagInfo": {"status": "Accepted"}}
        # what it began with comes last
        started = await charger.call("StartTransaction", START)
    (session,) = await all_sessions(pool)
    assert (session.status, session.user_id, session.connector_id) == ("completed", driver, 1)
    assert (session.meter_start_wh, session.meter_stop_wh) == (1000, 5000)
    assert session.started_at == to_datetime(parse_timestamp(BEGAN))
    assert started["transactionId"] == session.transaction_id
    assert await tasks(pool) == 1


async def test_a_repeat_without_an_id_makes_no_second_session(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        await charger.call("StartTransaction", START)
        for _ in range(2):
            await charger.call("StopTransaction", stop(-1, transactionData=DATA))
    assert len(await all_sessions(pool)) == 1
    assert await tasks(pool) == 1


async def test_a_stop_that_tells_no_start_is_kept_as_an_event(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        for data in ([], [sample(BEGAN, "1", measurand="Power.Offered")]):
            await charger.call("StopTransaction", stop(-1, transactionData=data))
        await charger.call("StopTransaction", stop(-1, transactionData=[sample(BEGAN, "9999999")]))
        assert len(await events(bus, "stop_of_unknown_transaction")) == 3
    assert await all_sessions(pool) == []
    assert await tasks(pool) == 0


async def test_an_id_that_the_charger_made_up_ends_the_one_that_fits(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        await charger.call("StartTransaction", START)
        early = "2026-01-01T00:00:00Z"
        await charger.call("StopTransaction", stop(987654, timestamp=early))  # of another one, long ago
        assert (await all_sessions(pool))[0].status == "active"
        await charger.call("StopTransaction", stop(987654))
    (session,) = await all_sessions(pool)
    assert (session.status, session.meter_stop_wh) == ("completed", 5000)
    assert await tasks(pool) == 1


async def test_an_end_that_comes_after_a_rules_end_takes_its_place(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        ids = [
            (await charger.call("StartTransaction", {**START, "connectorId": connector_id}))["transactionId"]
            for connector_id in (1, 2)
        ]
        later = datetime.now(UTC) + timedelta(days=2)
        assert await close_stale(pool, later) == 2
        assert {session.status for session in await all_sessions(pool)} == {"failed"}
        await charger.call("StopTransaction", stop(ids[0]))
        await charger.call("StopTransaction", stop(-1))  # by its token: one is left
        for again in (ids[0], ids[1], -1):
            await charger.call("StopTransaction", stop(again, meterStop=9000))
    sessions = await all_sessions(pool)
    assert [(session.status, session.meter_stop_wh) for session in sessions] == [("completed", 5000)] * 2
    assert await tasks(pool) == 2
