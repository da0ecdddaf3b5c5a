import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import psycopg
import pytest

from storage.database import Connection, Pool, fetch_value
from storage.queries.cdrs import Cdr, get_cdr, insert_cdr
from storage.queries.outbox import claim_due, enqueue, finish, pending_count, postpone
from storage.queries.session_pages import session_sums
from storage.queries.sessions import (
    Session,
    active_session,
    active_sessions,
    count_active,
    get_session,
    list_sessions,
    session_by_transaction,
    set_payment_status,
    start_session,
    stop_session,
)
from tests.storage.people import NOON, make_charger, make_user

HOUR = timedelta(hours=1)


async def start(
    connection: Connection,
    device_id: int,
    *,
    at: datetime = NOON,
    user_id: int | None = None,
    connector_id: int = 1,
) -> tuple[Session, bool]:
    return await start_session(
        connection,
        device_id=device_id,
        connector_id=connector_id,
        id_tag="TAG",
        user_id=user_id,
        vehicle_id=None,
        started_at=at,
        received_at=at,
        meter_start_wh=100,
    )


async def stop(
    connection: Connection, device_id: int, transaction_id: int, meter_stop_wh: int = 5100
) -> tuple[Session | None, bool]:
    return await stop_session(
        connection,
        device_id=device_id,
        transaction_id=transaction_id,
        ended_at=NOON + HOUR,
        received_at=NOON + HOUR,
        meter_stop_wh=meter_stop_wh,
        reason="Local",
    )


def cdr_of(session: Session) -> Cdr:
    return Cdr(session.id, session.user_id, 1, "INR", 5000, 3600, 1500, 7500, 0, 0, 1350, 8850)


async def test_a_repeated_start_is_the_same_transaction(connection: Connection) -> None:
    device = await make_charger(connection)
    first, is_new = await start(connection, device.id)
    again, is_new_again = await start(connection, device.id)
    assert (is_new, is_new_again) == (True, False)
    assert again == first
    assert first.status == "active"
    other, is_new = await start(connection, device.id, at=NOON + HOUR)
    assert is_new
    assert other.transaction_id == first.transaction_id + 1  # the repeat used none up


async def test_starts_at_once_make_one_session(pool: Pool) -> None:
    async with pool.connection() as connection:
        device = await make_charger(connection)

    async def begin() -> tuple[int, bool]:
        async with pool.connection() as connection:
            session, is_new = await start(connection, device.id)
            return session.transaction_id, is_new

    results = await asyncio.gather(*(begin() for _ in range(12)))
    assert len({transaction_id for transaction_id, _ in results}) == 1
    assert sum(is_new for _, is_new in results) == 1


async def test_a_repeated_stop_changes_nothing(connection: Connection) -> None:
    device = await make_charger(connection)
    session, _ = await start(connection, device.id)
    stopped, changed = await stop(connection, device.id, session.transaction_id)
    assert changed
    assert stopped is not None
    assert (stopped.status, stopped.meter_stop_wh, stopped.ended_at) == ("completed", 5100, NOON + HOUR)
    again, changed = await stop(connection, device.id, session.transaction_id, meter_stop_wh=9999)
    assert (again, changed) == (stopped, False)


async def test_stops_at_once_change_once(pool: Pool) -> None:
    async with pool.connection() as connection:
        device = await make_charger(connection)
        session, _ = await start(connection, device.id)

    async def end() -> bool:
        async with pool.connection() as connection:
            stopped, changed = await stop(connection, device.id, session.transaction_id)
            assert stopped is not None
            return changed

    assert sum(await asyncio.gather(*(end() for _ in range(12)))) == 1


async def test_a_charger_cannot_stop_what_is_not_its_own(connection: Connection) -> None:
    mine, other = await make_charger(connection, "CP-1"), await make_charger(connection, "CP-2")
    session, _ = await start(connection, mine.id)
    assert await stop(connection, other.id, session.transaction_id) == (None, False)
    assert await stop(connection, mine.id, 999_999) == (None, False)
    assert await session_by_transaction(connection, other.id, session.transaction_id) is None
    assert await session_by_transaction(connection, mine.id, session.transaction_id) == session


async def test_active_sessions_by_connector(connection: Connection) -> None:
    device = await make_charger(connection)
    old, _ = await start(connection, device.id)
    new, _ = await start(connection, device.id, at=NOON + HOUR)
    side, _ = await start(connection, device.id, connector_id=2)
    assert await active_session(connection, device.id, 1) == new
    assert await active_sessions(connection, device.id) == [side, new, old]
    assert await count_active(connection) == 3
    await stop(connection, device.id, side.transaction_id)
    assert await active_session(connection, device.id, 2) is None


async def test_lists_are_scoped_and_paged_and_summed(connection: Connection) -> None:
    owner, driver = await make_user(connection, "Owner", role="brand"), await make_user(connection, "Driver")
    mine = await make_charger(connection, "CP-1", owner_id=owner)
    other = await make_charger(connection, "CP-2")
    for number in range(5):
        session, _ = await start(connection, mine.id, at=NOON + number * HOUR, user_id=driver)
        await stop(connection, mine.id, session.transaction_id)
        assert await insert_cdr(connection, cdr_of(session))
    foreign, _ = await start(connection, other.id)

    whole, count = await list_sessions(connection, limit=100)
    assert (len(whole), count) == (6, 6)
    assert (whole[0].id, whole[0].charger_identity, whole[0].total_minor) == (foreign.id, "CP-2", None)
    pages = [(await list_sessions(connection, limit=4, offset=offset))[0] for offset in (0, 4)]
    assert [session for page in pages for session in page] == whole
    assert (await list_sessions(connection, owner_id=owner, limit=2))[1] == 5
    assert (await list_sessions(connection, user_id=driver, limit=2))[1] == 5
    assert (await list_sessions(connection, status="active", limit=2))[1] == 1
    _, count = await list_sessions(connection, user_id=driver, from_=NOON + HOUR, to=NOON + 3 * HOUR, limit=9)
    assert count == 2
    totals = await session_sums(connection, user_id=driver)
    assert (totals.sessions, totals.energy_wh, totals.total_minor) == (5, 25_000, 44_250)
    assert (await session_sums(connection, user_id=owner)).energy_wh == 0


async def test_a_cdr_is_written_once_and_never_changed(connection: Connection) -> None:
    device = await make_charger(connection)
    session, _ = await start(connection, device.id)
    assert await get_cdr(connection, session.id) is None
    cdr = cdr_of(session)
    assert await insert_cdr(connection, cdr)
    assert not await insert_cdr(connection, replace(cdr, energy_wh=1))
    assert await get_cdr(connection, session.id) == cdr
    detail = await get_session(connection, session.id)
    assert detail is not None
    assert (detail.currency, detail.total_minor) == ("INR", 8850)
    with pytest.raises(psycopg.errors.RestrictViolation, match="immutable"):
        await connection.execute("UPDATE cdrs SET total_minor = 0")


async def test_payment_status(connection: Connection) -> None:
    device = await make_charger(connection)
    session, _ = await start(connection, device.id)
    assert await set_payment_status(connection, session.id, "paid")
    assert not await set_payment_status(connection, 999_999, "paid")
    detail = await get_session(connection, session.id)
    assert detail is not None
    assert detail.payment_status == "paid"


async def due_now(connection: Connection) -> datetime:
    now = await fetch_value(connection, "SELECT now() + interval '1 second'", {})
    assert isinstance(now, datetime)
    return now


async def test_two_workers_never_claim_the_same_task(pool: Pool) -> None:
    async with pool.connection() as connection:
        for number in range(60):
            await enqueue(connection, "count", {"number": number})
        now = await due_now(connection)
    done: list[int] = []

    async def work() -> None:
        while True:
            async with pool.connection() as connection:
                tasks = await claim_due(connection, now, 7)
                for task in tasks:
                    await asyncio.sleep(0)
                    done.append(task.payload["number"])
                    await finish(connection, task.id, now)
            if not tasks:
                return

    await asyncio.gather(*(work() for _ in range(4)))
    assert sorted(done) == list(range(60))
    async with pool.connection() as connection:
        assert await pending_count(connection) == 0


async def test_a_worker_that_dies_gives_its_tasks_back(pool: Pool) -> None:
    async with pool.connection() as connection:
        await enqueue(connection, "rate_session", {"session_id": 1})
        now = await due_now(connection)
    async with pool.connection() as dying, pool.connection() as other:
        (task,) = await claim_due(dying, now, 10)
        await finish(dying, task.id, now)
        assert await claim_due(other, now, 10) == []
        await dying.rollback()
        assert await claim_due(other, now, 10) == [task]


async def test_a_postponed_task_waits(connection: Connection) -> None:
    await enqueue(connection, "rate_session", {"session_id": 1})
    now = await due_now(connection)
    (task,) = await claim_due(connection, now, 10)
    await postpone(connection, task.id, now + HOUR, "no tariff")
    assert await claim_due(connection, now, 10) == []
    assert await pending_count(connection) == 1
    (again,) = await claim_due(connection, now + HOUR, 10)
    assert (again.id, again.attempts) == (task.id, 1)
