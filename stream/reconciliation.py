"""Ends sessions that ended unheard, and puts a charger's own late word in the place of such an end.

`close_stale` is run by `stream.jobs`; the gateway calls `late_stop` for an end that comes after all, and
`session_of_stop` for an end whose start never came. The rules are in `stream.reconcile`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from storage.database import Connection, Pool
from storage.queries import outbox, reconciliation, samples
from storage.queries.reconciliation import OpenSession
from storage.queries.sessions import Session, start_session, stop_session
from stream.reconcile import ENERGY_WH_MAX, ReconcileLimits, ending_of, last_reading, rule_of

log = structlog.get_logger()

SUSPECTS_PAGE = 100


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of a transaction as its charger tells it; `ended_at` by its clock."""

    ended_at: datetime
    received_at: datetime
    meter_stop_wh: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class LostStart:
    """What a stop itself says of its start: when it was, and the register then."""

    device_id: int
    connector_id: int
    id_tag: str
    user_id: int | None
    started_at: datetime
    meter_start_wh: int


async def close_stale(pool: Pool, now: datetime, limits: ReconcileLimits | None = None) -> int:
    """End every open session that one of the rules ends; returns how many. One transaction a page.

    Harmless in several processes at a time, and beside a charger that ends the same session meanwhile.
    """
    limits = limits or ReconcileLimits()
    closed, after_id = 0, 0
    while True:
        async with pool.connection() as connection:
            suspects = await reconciliation.list_suspects(
                connection,
                superseded_before=now - timedelta(seconds=limits.superseded_s),
                available_before=now - timedelta(seconds=limits.available_s),
                silent_before=now - timedelta(seconds=limits.silent_s),
                after_id=after_id,
                limit=SUSPECTS_PAGE,
            )
            for session in suspects:
                closed += await _close(connection, session, now, limits)
        if len(suspects) < SUSPECTS_PAGE:
            return closed
        after_id = suspects[-1].id


async def late_stop(connection: Connection, session_id: int, stop: Stop) -> bool:
    """Put the charger's own end in the place of a rule's and have it rated; False where there is none.

    Call it for every end of a session that is not open any more: once only does it change anything.
    """
    is_replaced = await reconciliation.replace_end(
        connection,
        session_id,
        ended_at=stop.ended_at,
        received_at=stop.received_at,
        meter_stop_wh=stop.meter_stop_wh,
        reason=stop.reason,
    )
    if is_replaced:
        await outbox.enqueue(connection, "rate_session", {"session_id": session_id})
    return is_replaced


async def session_of_stop(connection: Connection, start: LostStart, stop: Stop) -> Session | None:
    """Make the session of a stop whose start never came, and have it rated.

    A repeat returns the session of the first. None where it could be billed twice, because the same token
    has a session here at that time, or where start and stop do not fit together.
    """
    energy_wh = stop.meter_stop_wh - start.meter_start_wh
    if not 0 <= energy_wh <= ENERGY_WH_MAX or start.started_at > stop.ended_at:
        return None
    if await reconciliation.overlaps(
        connection,
        start.device_id,
        connector_id=start.connector_id,
        id_tag=start.id_tag,
        from_=start.started_at,
        to=stop.ended_at,
        meter_start_wh=start.meter_start_wh,
    ):
        return None
    session, _ = await start_session(
        connection,
        device_id=start.device_id,
        connector_id=start.connector_id,
        id_tag=start.id_tag,
        user_id=start.user_id,
        vehicle_id=None,
        started_at=start.started_at,
        received_at=stop.received_at,
        meter_start_wh=start.meter_start_wh,
    )
    stopped, is_new = await stop_session(
        connection,
        device_id=start.device_id,
        transaction_id=session.transaction_id,
        ended_at=stop.ended_at,
        received_at=stop.received_at,
        meter_stop_wh=stop.meter_stop_wh,
        reason=stop.reason,
    )
    if is_new:
        await outbox.enqueue(connection, "rate_session", {"session_id": session.id})
        log.warning("session_made_of_its_stop", session=session.id, device=start.device_id)
    return stopped


async def _close(connection: Connection, session: OpenSession, now: datetime, limits: ReconcileLimits) -> int:
    stored = await samples.last_register(
        connection,
        device_id=session.device_id,
        connector_id=session.connector_id,
        transaction_id=session.transaction_id,
        from_=session.started_at,
        to=session.next_started_at or now,
    )
    last = last_reading(session, stored)
    rule = rule_of(session, last, now, limits)
    if rule is None:
        return 0
    ending = ending_of(session, last, rule)
    if not await reconciliation.close_session(connection, ending, now):
        return 0
    if ending.status == "completed":
        await outbox.enqueue(connection, "rate_session", {"session_id": session.id})
    log.warning("session_ended_by_rule", session=session.id, rule=rule, status=ending.status)
    return 1
