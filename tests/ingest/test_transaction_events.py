"""Transactions of OCPP 2.x as sessions: whole, in pieces, out of order, again, and after the fact."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nats.aio.client import Client

from ingest.ocpp import under_way
from ingest.ocpp.v2 import transaction_event
from ingest.ocpp.v2.transaction_event import GAP_WAIT
from protocols.ocpp.surface import Version
from protocols.ocpp.transactions import Progress
from protocols.timestamps import parse_timestamp, to_datetime
from storage.database import Pool
from storage.queries.cdrs import get_cdr, latest_cdr
from storage.queries.chargers import list_connectors
from storage.queries.devices import set_device_status
from storage.queries.reconciliation import Ending, close_session
from storage.queries.sessions import SessionDetail, get_session, list_sessions
from storage.queries.transactions import STARTS_KEPT, note_start, token_of_start, transaction_state
from stream.bus import call_charger
from stream.settlement import rate_session
from tests.ingest.ocpp_gateway import (
    RawCharger,
    Running,
    add_charger,
    add_driver,
    events,
    eventually,
    log_rows,
    raw_charger,
    running_gateway,
)

TOKEN = {"idToken": "CARD", "type": "ISO14443"}
BASE_US = parse_timestamp("2026-11-20T10:00:00Z")


def dial(running: Running, version: Version = Version.V201, identity: str = "CP1") -> Any:
    return raw_charger(f"{running.url}/{identity}", subprotocols=[version.subprotocol])


def at(minute: int) -> str:
    return f"{to_datetime(BASE_US) + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}"


def parse(text: str) -> datetime:
    return to_datetime(parse_timestamp(text))


def meter(minute: int, wh: float, context: str = "Sample.Periodic") -> list[dict[str, Any]]:
    return [{"timestamp": at(minute), "sampledValue": [{"value": wh, "context": context}]}]


def event(kind: str, seq_no: int, uid: str = "t1", /, **more: Any) -> dict[str, Any]:
    info = {"transactionId": uid, **more.pop("info", {})}
    facts = {"eventType": kind, "timestamp": at(seq_no), "triggerReason": "Trigger", "seqNo": seq_no}
    return {**facts, "transactionInfo": info, **more}


def whole(uid: str = "t1", updates: int = 4, base_wh: int = 1000) -> list[dict[str, Any]]:
    """A transaction of 100 Wh an event, all of it."""
    last = updates + 1
    started = event(
        "Started",
        0,
        uid,
        idToken=TOKEN,
        evse={"id": 1, "connectorId": 1},
        meterValue=meter(0, base_wh, "Transaction.Begin"),
        info={"chargingState": "Charging", "remoteStartId": 42},
    )
    middle = [
        event("Updated", seq, uid, meterValue=meter(seq, base_wh + 100 * seq)) for seq in range(1, last)
    ]
    ended = event(
        "Ended",
        last,
        uid,
        meterValue=meter(last, base_wh + 100 * last, "Transaction.End"),
        info={"stoppedReason": "Local"},
    )
    return [started, *middle, ended]


async def all_sessions(pool: Pool) -> list[SessionDetail]:
    async with pool.connection() as connection:
        return (await list_sessions(connection, limit=100))[0]


async def tasks(pool: Pool) -> list[tuple[int, bool]]:
    """Session and whether its rating is due now, of each task in the outbox."""
    query = "SELECT (payload->>'session_id')::bigint, due_at <= now() FROM outbox WHERE kind = 'rate_session'"
    async with pool.connection() as connection:
        return [tuple(row) for row in await (await connection.execute(query + " ORDER BY id")).fetchall()]


async def test_events_make_a_session(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    user_id = await add_driver(pool, "card")
    live = await bus.subscribe("gridwire.live.session-started")
    started, *middle, ended = whole(updates=6)
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        answer = await charger.call("TransactionEvent", started)
        assert answer == {"totalCost": 0.0, "idTokenInfo": {"status": "Accepted"}}
        (session,) = await all_sessions(pool)
        assert (session.status, session.connector_id, session.id_tag) == ("active", 1, "CARD")
        assert (session.user_id, session.transaction_uid, session.remote_start_id) == (user_id, "t1", 42)
        assert session.charging_state == "Charging"
        costs = [await charger.call("TransactionEvent", each) for each in middle]
        assert costs == [{}, {}, {}, {}, {"totalCost": 8.85}, {}], "now and then"
        (session,) = await all_sessions(pool)
        assert (session.meter_start_wh, session.meter_last_wh, session.meter_stop_wh) == (1000, 1600, None)
        assert await tasks(pool) == []
        final = await charger.call("TransactionEvent", ended)
    (session,) = await all_sessions(pool)
    assert (session.status, session.meter_stop_wh, session.stop_reason) == ("completed", 1700, "Local")
    assert session.ended_at == to_datetime(BASE_US) + timedelta(minutes=7)
    assert await tasks(pool) == [(session.id, True)]
    assert final == {"totalCost": 12.39}, "0.7 kWh at 15.00 and 18 % of tax"
    rows = await log_rows(bus, "charger_samples")
    assert set(rows["transaction_id"]) == {session.transaction_id}
    assert set(rows["connector_id"]) == {1}
    assert b'"t1"' not in (await live.next_msg(2)).data
    assert live.pending_msgs == 0
    async with pool.connection() as connection:
        connectors = await list_connectors(connection, device.id)
        await rate_session(connection, session.id)
        record = await get_cdr(connection, session.id)
    assert [each.status for each in connectors] == ["Finishing"]
    assert record is not None
    assert (record.energy_wh, record.total_minor, record.duration_s) == (700, 1239, 420)


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_and_any_repeats_make_the_same_session(pool: Pool, bus: Client, seed: int) -> None:
    """Each transaction comes shuffled and with repeats, all of them mixed; each is billed once."""
    chance = random.Random(seed)
    await add_charger(pool, "CP1")
    user_id = await add_driver(pool, "card")
    uids = [f"t{number}" for number in range(8)]
    queue = [each for number, uid in enumerate(uids) for each in whole(uid, updates=3, base_wh=1000 * number)]
    queue += chance.sample(queue, len(queue) // 2)
    chance.shuffle(queue)
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        for each in queue:
            answer = await charger.call("TransactionEvent", {**each, "offline": chance.random() < 0.5})
            assert isinstance(answer, dict), answer
    sessions = await all_sessions(pool)
    assert sorted(each.transaction_uid or "" for each in sessions) == uids
    for session in sessions:
        assert (session.status, session.user_id, session.connector_id) == ("completed", user_id, 1)
        assert session.meter_stop_wh is not None
        assert session.meter_stop_wh - session.meter_start_wh == 400
        assert session.ended_at is not None
        assert session.ended_at - session.started_at == timedelta(minutes=4)
    due = [session_id for session_id, is_due in await tasks(pool) if is_due]
    assert sorted(due) == sorted(session.id for session in sessions), "each once"
    async with pool.connection() as connection:
        for session_id, _ in await tasks(pool):
            await rate_session(connection, session_id)
        energies = await (await connection.execute("SELECT energy_wh FROM cdrs")).fetchall()
    assert energies == [(400,)] * len(uids)


async def test_an_end_before_its_start_waits_for_it(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    await add_driver(pool, "card")
    started, *_, ended = whole()
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        await charger.call("TransactionEvent", ended)
        (session,) = await all_sessions(pool)
        assert (session.status, session.user_id) == ("completed", None)
        assert await tasks(pool) == [(session.id, False)]
        async with pool.connection() as connection:
            (due_at,) = await (await connection.execute("SELECT due_at FROM outbox")).fetchone() or (None,)
            state = await transaction_state(connection, device.id, "t1")
        assert due_at is not None
        assert GAP_WAIT - timedelta(minutes=1) < due_at - datetime.now(UTC) <= GAP_WAIT
        assert state is not None
        assert (state.is_open, state.events_missing) == (False, 5)
        await charger.call("TransactionEvent", started)
    assert await tasks(pool) == [(session.id, False), (session.id, True)]
    (session,) = await all_sessions(pool)
    assert (session.meter_start_wh, session.meter_stop_wh, session.id_tag) == (1000, 1500, "CARD")


@pytest.mark.parametrize("has_more", [True, False])
async def test_nothing_is_waited_for_once_the_charger_has_nothing_more(
    pool: Pool, bus: Client, has_more: bool
) -> None:
    device = await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        await charger.call("TransactionEvent", whole()[-1])
        (waiting,) = await tasks(pool)
        asking = asyncio.create_task(
            call_charger(bus, device.id, "GetTransactionStatus", {"transactionId": "t1"}, 5)
        )
        asked = await charger.receive()
        answer = {"ongoingIndicator": False, "messagesInQueue": has_more}
        await charger.send([3, asked[1], answer])
        assert (await asking).payload == answer

        async def is_recorded() -> bool:
            return bool(await events(bus, "call_answered"))

        await eventually(is_recorded)
    expected = [waiting] if has_more else [waiting, (waiting[0], True)]
    assert await tasks(pool) == expected


async def test_a_token_may_come_late_or_never(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    user_id = await add_driver(pool, "card")
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        assert await charger.call("TransactionEvent", event("Started", 0, "late")) == {}
        answer = await charger.call("TransactionEvent", event("Updated", 1, "late", idToken=TOKEN))
        assert answer == {"idTokenInfo": {"status": "Accepted"}}
        other = {"idToken": "other", "type": "ISO14443"}
        answer = await charger.call("TransactionEvent", event("Ended", 2, "late", idToken=other))
        assert answer["idTokenInfo"] == {"status": "Unknown"}
        await charger.call("TransactionEvent", event("Started", 0, "never"))
        free = {"idToken": "", "type": "NoAuthorization"}
        answer = await charger.call("TransactionEvent", event("Started", 0, "free", idToken=free))
        assert answer["idTokenInfo"] == {"status": "Accepted"}
    found = {each.transaction_uid: each for each in await all_sessions(pool)}
    assert (found["late"].user_id, found["late"].id_tag) == (user_id, "CARD"), "who began it pays"
    assert (found["never"].user_id, found["never"].id_tag) == (None, "")
    assert (found["free"].user_id, found["free"].id_tag) == (None, "")


async def test_an_event_after_the_rating_changes_nothing_and_is_kept(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    await add_driver(pool, "card")
    started, *middle, ended = whole()
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        await charger.call("TransactionEvent", ended)
        (before,) = await all_sessions(pool)
        async with pool.connection() as connection:
            await rate_session(connection, before.id)
        (rated,) = await all_sessions(pool)
        for each in (started, middle[0], ended):
            assert isinstance(await charger.call("TransactionEvent", each), dict)
    assert await all_sessions(pool) == [rated]
    late = await events(bus, "transaction_event_after_rating")
    assert [each["eventType"] for each in late] == ["Started"], "the others say nothing new"


async def test_an_end_after_reconciliation_corrects_the_record(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    await add_driver(pool, "card")
    started, first, *_, ended = whole()
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        for each in (started, first):
            await charger.call("TransactionEvent", each)
        (session,) = await all_sessions(pool)
        now = datetime.now(UTC)
        async with pool.connection() as connection:
            ending = Ending(
                session.id,
                rule="silent",
                status="completed",
                ended_at=now,
                received_at=now,
                meter_stop_wh=session.meter_last_wh or 0,
                register_wh=session.meter_last_wh,
                reason="Other",
            )
            assert await close_session(connection, ending, now)
            await rate_session(connection, session.id)
        await charger.call("TransactionEvent", ended)
    assert await tasks(pool) == [(session.id, True)]
    async with pool.connection() as connection:
        corrected = await get_session(connection, session.id)
    assert corrected is not None
    assert (corrected.meter_stop_wh, corrected.stop_reason) == (1500, "Local")
    async with pool.connection() as connection:
        await rate_session(connection, session.id)
        record = await latest_cdr(connection, session.id)
    assert record is not None
    assert (record.energy_wh, record.total_minor) == (500, 885)


async def test_an_id_that_is_used_again_is_another_transaction(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    await add_driver(pool, "card")
    again = [{**each, "timestamp": at(60 + number)} for number, each in enumerate(whole(base_wh=5000))]
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        for each in (*whole(), *again):
            assert isinstance(await charger.call("TransactionEvent", each), dict)
    second, first = await all_sessions(pool)
    assert (first.meter_start_wh, first.meter_stop_wh) == (1000, 1500)
    assert (second.meter_start_wh, second.meter_stop_wh) == (5000, 5500)
    assert second.transaction_uid == "t1"
    assert first.transaction_uid == f"t1#{first.id}"


async def test_what_happened_offline_says_nothing_of_now(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    await add_driver(pool, "card")
    status = {"timestamp": at(0), "evseId": 1, "connectorId": 1, "connectorStatus": "Available"}
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        await charger.call("StatusNotification", status)
        for each in whole():
            await charger.call("TransactionEvent", {**each, "offline": True})
    async with pool.connection() as connection:
        connectors = await list_connectors(connection, device.id)
    assert [each.status for each in connectors] == ["Available"]
    (session,) = await all_sessions(pool)
    assert (session.status, session.meter_stop_wh) == ("completed", 1500)


async def test_a_charger_in_quarantine_gets_no_session(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    await add_driver(pool, "card")
    async with pool.connection() as connection:
        await set_device_status(connection, device.id, "quarantined")
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        answer = await charger.call("TransactionEvent", whole()[0])
    assert answer == {"idTokenInfo": {"status": "Invalid"}}
    assert await all_sessions(pool) == []
    assert (await log_rows(bus, "charger_samples"))["reason"] == [1]


async def test_what_2_1_adds_is_kept(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    await add_driver(pool, "card")
    usage = {"energy": 0.5, "chargingTime": 300, "idleTime": 0}
    details = {
        "totalCost": {
            "currency": "INR",
            "typeOfCost": "NormalCost",
            "total": {"exclTax": 7.5, "inclTax": 8.85},
        },
        "totalUsage": usage,
    }
    ended = whole()[-1]
    ended = {**ended, "costDetails": details, "preconditioningStatus": "Ready"}
    ended["transactionInfo"] |= {"tariffId": "T1", "operationMode": "ChargingOnly"}
    long = {"idToken": "x" * 255, "type": "Vendor"}
    async with running_gateway(pool, bus) as running, dial(running, Version.V21) as charger:
        started = {**whole()[0], "idToken": long}
        answer = await charger.call("TransactionEvent", started)
        assert answer["idTokenInfo"] == {"status": "Unknown"}
        await charger.call("TransactionEvent", ended)
    (session,) = await all_sessions(pool)
    assert session.id_tag == long["idToken"]
    kept = (await events(bus, "transaction_event"))[1]
    assert kept["costDetails"] == details
    assert kept["transactionInfo"]["tariffId"] == "T1"
    assert "meterValue" not in kept


async def test_a_broken_sample_costs_only_itself(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    odd = [{"timestamp": at(0), "sampledValue": [{"value": "a lot"}, {"value": 1000}]}]
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        answer = await charger.call("TransactionEvent", event("Started", 0, meterValue=odd))
        assert "totalCost" in answer
        unknown = {**event("Updated", 1, triggerReason="Whim", meterValue=[]), "seqNo": 2**40}
        assert await charger.call("TransactionEvent", unknown) == {}
    (session,) = await all_sessions(pool)
    assert session.meter_start_wh == 1000
    assert (await log_rows(bus, "charger_samples"))["value"] == [1000.0]


async def test_two_gateways_make_one_session_of_one_transaction(pool: Pool, bus: Client) -> None:
    """The old socket's events may still be in hand when the new one's arrive."""
    device = await add_charger(pool, "CP1")
    await add_driver(pool, "card")

    async def send(charger: RawCharger, payload: dict[str, Any]) -> Any:
        return await charger.call("TransactionEvent", payload)

    async with running_gateway(pool, bus, name="a") as one, running_gateway(pool, bus, name="b") as other:
        for number in range(10):
            async with dial(one) as old:
                await old.call("Heartbeat", {})
                frames = [send(old, whole(f"t{number}")[0])]
                async with dial(other) as new:
                    frames += [send(new, each) for each in whole(f"t{number}")[:1]]
                    await asyncio.gather(*frames, return_exceptions=True)
    sessions = await all_sessions(pool)
    assert len(sessions) == len({each.transaction_uid for each in sessions}) == 10
    assert {each.device_id for each in sessions} == {device.id}


async def test_an_event_that_waited_for_the_rating_finds_it_done(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    await add_driver(pool, "card")
    started, *_, ended = whole()
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        await charger.call("TransactionEvent", ended)
        (session,) = await all_sessions(pool)
        async with pool.connection() as connection:
            await rate_session(connection, session.id)
            late = asyncio.create_task(charger.call("TransactionEvent", started))
            await asyncio.sleep(0.3)
            assert not late.done(), "the rating holds the session until it is committed"
        assert isinstance(await late, dict)
    (after,) = await all_sessions(pool)
    assert (after.meter_start_wh, after.energy_wh) == (1500, 0), "as it was rated"


async def test_a_remote_start_that_names_no_token_is_its_drivers(pool: Pool, bus: Client) -> None:
    """Some chargers say only the number of the start that was asked of them (F01.FR.19)."""
    device = await add_charger(pool, "CP1")
    other = await add_charger(pool, "CP2")
    user_id = await add_driver(pool, "card")
    started, *middle, ended = whole(updates=1)
    del started["idToken"]
    order = {"remoteStartId": 42, "idToken": TOKEN, "evseId": 1}
    async with (
        running_gateway(pool, bus) as running,
        dial(running) as charger,
        dial(running, identity="CP2") as stranger,
    ):
        await stranger.call("Heartbeat", {})
        calling = asyncio.create_task(call_charger(bus, device.id, "RequestStartTransaction", order, 5))
        frame = await charger.receive()
        assert (await charger.call("TransactionEvent", started))["idTokenInfo"] == {"status": "Accepted"}
        await charger.send([3, frame[1], {"status": "Accepted"}])
        assert (await calling).outcome == "result"
        for each in (*middle, ended):
            await charger.call("TransactionEvent", each)
        nobody = await stranger.call("TransactionEvent", started)
    assert nobody == {"totalCost": 0.0}, "it was not asked of this one"
    sessions = {each.device_id: (each.status, each.user_id, each.id_tag) for each in await all_sessions(pool)}
    assert sessions == {device.id: ("completed", user_id, "CARD"), other.id: ("active", None, "")}
    (first, *_) = await events(bus, "transaction_event")
    assert "idToken" not in first, "kept as it came"


@pytest.mark.parametrize("seq_no", [0, 3])
async def test_a_remote_start_is_its_drivers_after_the_gateway_that_asked_is_gone(
    pool: Pool, bus: Client, seq_no: int
) -> None:
    device = await add_charger(pool, "CP1")
    user_id = await add_driver(pool, "card")
    order = {"remoteStartId": 2**31 - 1, "idToken": TOKEN, "evseId": 1}
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        await charger.call("Heartbeat", {})
        calling = asyncio.create_task(call_charger(bus, device.id, "RequestStartTransaction", order, 5))
        frame = await charger.receive()
        await charger.send([3, frame[1], {"status": "Accepted"}])
        assert (await calling).outcome == "result"
    late = event("Updated" if seq_no else "Started", seq_no, info={"remoteStartId": 2**31 - 1})
    async with running_gateway(pool, bus, name="another") as running, dial(running) as charger:
        answer = await charger.call("TransactionEvent", late)
    assert answer["idTokenInfo"] == {"status": "Accepted"}
    (session,) = await all_sessions(pool)
    assert (session.user_id, session.id_tag, session.remote_start_id) == (user_id, "CARD", 2**31 - 1)


async def test_a_start_that_is_asked_for_again_under_its_number_has_the_newer_token(pool: Pool) -> None:
    device = await add_charger(pool, "CP1")
    async with pool.connection() as connection:
        for token, at_minute in (("OLD", 0), ("CARD\0", 1)):
            await note_start(
                connection,
                device.id,
                7,
                token={"idToken": token, "type": "Central"},
                at=to_datetime(BASE_US) + timedelta(minutes=at_minute),
            )
        found = await token_of_start(connection, device.id, 7)
        assert found == {"idToken": "CARD\ufffd", "type": "Central"}
        assert await token_of_start(connection, device.id, 8) is None
        much_later = to_datetime(BASE_US) + STARTS_KEPT + timedelta(minutes=2)
        await note_start(connection, device.id, 9, token=TOKEN, at=much_later)
        assert await token_of_start(connection, device.id, 7) is None, "forgotten with time"


def no_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise AssertionError("a mere reading locks nothing beforehand")

    monkeypatch.setattr(transaction_event, "lock_transaction", refuse)


async def test_a_mere_reading_is_one_statement(
    pool: Pool, bus: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_charger(pool, "CP1")
    await add_driver(pool, "card")
    started, *middle, ended = whole(updates=3)
    news = event("Updated", 4, meterValue=meter(4, 1400), info={"chargingState": "SuspendedEV"})
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        await charger.call("TransactionEvent", started)
        with monkeypatch.context() as patched:
            no_long_way(patched)
            for each in middle:
                assert await charger.call("TransactionEvent", each) == {}
            (session,) = await all_sessions(pool)
            assert (session.meter_last_wh, session.meter_last_at) == (1300, parse(at(3)))
            refused = await charger.call("TransactionEvent", news)
            assert refused[0] == "InternalError", "that one takes the long way"
        assert await charger.call("TransactionEvent", news) == {}
        assert (await all_sessions(pool))[0].charging_state == "SuspendedEV"
        assert await charger.call("TransactionEvent", {**ended, "seqNo": 5}) == {"totalCost": 7.08}
    (session,) = await all_sessions(pool)
    assert (session.status, session.meter_start_wh, session.meter_stop_wh) == ("completed", 1000, 1400)
    rows = await log_rows(bus, "charger_samples")
    assert len(rows["ts"]) == 6, "every reading once it is committed"
    assert set(rows["transaction_id"]) == {session.transaction_id}


async def test_a_reading_of_what_another_gateway_has_taken_further_loses_nothing(
    pool: Pool, bus: Client
) -> None:
    device = await add_charger(pool, "CP1")
    await add_driver(pool, "card")
    started, *middle, ended = whole(updates=5)
    async with running_gateway(pool, bus) as one, running_gateway(pool, bus, name="other") as other:
        async with dial(one) as charger:
            for each in (started, middle[0], middle[1]):
                await charger.call("TransactionEvent", each)
        async with dial(other) as charger:
            await charger.call("TransactionEvent", middle[2])
        async with dial(one) as charger:
            await charger.call("TransactionEvent", middle[3])
            async with pool.connection() as connection:
                state = await transaction_state(connection, device.id, "t1")
            assert state is not None
            assert (state.events_missing, state.is_open) == (0, True)
            await charger.call("TransactionEvent", middle[4])
            await charger.call("TransactionEvent", ended)
    (session,) = await all_sessions(pool)
    assert (session.status, session.meter_stop_wh, await tasks(pool)) == (
        "completed",
        1600,
        [(session.id, True)],
    )


@pytest.mark.parametrize("is_rated", [False, True])
async def test_a_reading_of_a_session_that_a_rule_has_ended_meanwhile_changes_no_session(
    pool: Pool, bus: Client, is_rated: bool
) -> None:
    await add_charger(pool, "CP1")
    await add_driver(pool, "card")
    started, first, second, *_ = whole()
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        await charger.call("TransactionEvent", started)
        await charger.call("TransactionEvent", first)
        (session,) = await all_sessions(pool)
        end = parse(at(1))
        ending = Ending(session.id, "silent", "completed", end, end, 1100, 1100, "Other")
        async with pool.connection() as connection:
            assert await close_session(connection, ending, end)
            if is_rated:
                await rate_session(connection, session.id)
        await charger.call("TransactionEvent", second)
    (after,) = await all_sessions(pool)
    assert (after.status, after.meter_stop_wh, after.ended_at) == ("completed", 1100, end)
    assert after.meter_last_wh == (1100 if is_rated else 1200)
    kinds = {kind.decode() for kind in (await log_rows(bus, "device_events"))["kind"]}
    assert ("transaction_event_after_rating" in kinds) is is_rated


async def test_a_reading_waits_for_whoever_changes_its_session(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    started, first, second, *_ = whole()
    async with running_gateway(pool, bus) as running, dial(running) as charger:
        await charger.call("TransactionEvent", started)
        async with pool.connection() as connection:
            await connection.execute("UPDATE sessions SET vehicle_id = 'V1'")
            waiting = asyncio.create_task(charger.call("TransactionEvent", first))
            await asyncio.sleep(0.3)
            assert not waiting.done()
        assert await waiting == {}
        async with pool.connection() as connection:
            state = await transaction_state(connection, device.id, "t1")
        assert state is not None
        assert state.events_missing == 0
        await charger.call("TransactionEvent", second)
    (session,) = await all_sessions(pool)
    assert (session.vehicle_id, session.meter_last_wh) == ("V1", 1200)


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_way, "TRANSACTIONS_MAX", 2)
    memory = under_way.UnderWay()
    for number in range(3):
        memory.keep(1, str(number), under_way.Known(number, number, 1, Progress()))
    memory.keep(1, "1", under_way.Known(1, 1, 1, Progress()))
    memory.keep(1, "3", under_way.Known(3, 3, 1, Progress()))
    assert [memory.take(1, str(number)) is not None for number in range(4)] == [False, True, False, True]
    assert memory.take(1, "1") is None, "taken once"
