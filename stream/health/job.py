"""The periodic job: batteries that were heard of get their alarms, cycles, figures and score.

Run by `stream.jobs`. Each battery is a transaction of its own that holds the battery's state, so that
several processes share the work. Every look counts cycles and watches alarms over what is new; once in
`assess_every`, and whenever an alarm opens or closes, the whole window is assessed. A battery without
enough samples keeps its score.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import psycopg
import structlog
from nats.aio.client import Client

from protocols.timestamps import to_datetime
from storage.database import Connection, Pool
from storage.queries import battery_health
from storage.queries.battery_health import BatteryHealth, DueBattery
from stream.bus import publish_live
from stream.health.alarms import DEFAULT_LIMITS, AlarmEvent, Limit
from stream.health.assess import Assessment, State, assess, follow
from stream.health.window import window_of
from stream.service.alarm_tickets import follow_alarm
from stream.settlement import LiveEvent

log = structlog.get_logger()

LIVE_EVENT = "battery-alarm"
STORING = timedelta(minutes=2)  # from a battery being heard to its samples being stored, at most
PEERS_SINCE = timedelta(days=7)
# A sample of a later time waits until then: alarms of the time before would never be seen behind it.
CLOCK_AHEAD = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """Bounds of one run, and of the look at one battery (at most every `look_every`)."""

    batteries_max: int = 200
    look_every: timedelta = timedelta(seconds=30)
    assess_every: timedelta = timedelta(hours=1)
    window: timedelta = timedelta(days=7)
    window_rows_max: int = 20_000
    fresh_rows_max: int = 20_000
    history_days_max: int = 60
    peers_max: int = 200


DEFAULT_HEALTH = HealthConfig()


async def run_due(pool: Pool, bus: Client, now: datetime, config: HealthConfig = DEFAULT_HEALTH) -> int:
    """Look at the batteries that are due, `batteries_max` at most; returns how many."""
    async with pool.connection() as connection:
        await battery_health.add_states(connection, config.batteries_max)
    for done in range(config.batteries_max):
        async with pool.connection() as connection:
            battery = await battery_health.claim_due(
                connection, looked_before=now - config.look_every, storing=STORING
            )
            events = [] if battery is None else await _look_safely(connection, battery, now, config)
        if battery is None:
            return done
        # committed by now: nobody is told of what may still be undone
        for event in events:
            await publish_live(bus, event.name, event.payload)
    return config.batteries_max


async def _look_safely(
    connection: Connection, battery: DueBattery, now: datetime, config: HealthConfig
) -> list[LiveEvent]:
    """Look at one battery; what fails is undone and tried again at its next turn, behind the others."""
    try:
        async with connection.transaction():
            return await _look(connection, battery, now, config)
    except (ValueError, ArithmeticError, psycopg.DataError) as error:
        log.error("battery_health_failed", battery=battery.serial_number, error=repr(error))
        await battery_health.keep_state(
            connection, battery.id, battery.state, looked_at=now, assessed_at=None, is_behind=False
        )
        return []


async def _look(
    connection: Connection, battery: DueBattery, now: datetime, config: HealthConfig
) -> list[LiveEvent]:
    before = _state_of(battery)
    columns = await battery_health.samples_after(
        connection, battery.device_id, before.seen_us, now + CLOCK_AHEAD, config.fresh_rows_max
    )
    # numbers by the hundred thousand: not in the loop that serves everybody else
    state, events = await asyncio.to_thread(lambda: follow(window_of(columns), before))
    told = [live for event in events if (live := await _write_event(connection, battery, event)) is not None]
    assessed_at = None
    if events or now - to_datetime(battery.assessed_at_us) >= config.assess_every:
        state = await _assess(connection, battery, state, now, config)
        assessed_at = now
    await battery_health.keep_state(
        connection,
        battery.id,
        msgspec.to_builtins(state),
        looked_at=now,
        assessed_at=assessed_at,
        is_behind=len(columns["ts"]) == config.fresh_rows_max,
    )
    return told


def _state_of(battery: DueBattery) -> State:
    """What the battery carries, with what was entered of it since."""
    stored = msgspec.convert(battery.state, State)
    limits = msgspec.convert(battery.alarm_limits, dict[str, Limit])
    unknown = set(limits) - set(DEFAULT_LIMITS)
    if unknown:
        raise ValueError(f"alarm_limits has {sorted(unknown)}; kinds are {sorted(DEFAULT_LIMITS)}")
    return replace(stored, limits=limits, capacity_new_ah=battery.rated_capacity_ah or stored.capacity_new_ah)


async def _write_event(connection: Connection, battery: DueBattery, event: AlarmEvent) -> LiveEvent | None:
    """Write an alarm's beginning or end; None where it was written before."""
    at = to_datetime(event.at_us)
    if event.is_open:
        alarm_id = await battery_health.open_alarm(
            connection, battery.id, kind=event.kind, severity=event.severity, at=at, worst=event.worst,
            cell=event.cell,
        )  # fmt: skip
        is_new = alarm_id is not None
        if alarm_id is not None:
            await follow_alarm(connection, alarm_id, severity=event.severity, dealer_id=battery.dealer_id)
    else:
        is_new = await battery_health.close_alarm(
            connection, battery.id, kind=event.kind, at=at, worst=event.worst
        )
    if not is_new:
        return None
    payload: dict[str, object] = {
        "serial_number": battery.serial_number,
        "kind": event.kind,
        "severity": event.severity,
        "state": "opened" if event.is_open else "closed",
        "at": at.isoformat(),
        "worst": event.worst,
        "cell": event.cell,
    }
    return LiveEvent(LIVE_EVENT, payload)


async def _assess(
    connection: Connection, battery: DueBattery, state: State, now: datetime, config: HealthConfig
) -> State:
    since = now - config.window
    columns = await battery_health.newest_samples(
        connection, battery.device_id, since, config.window_rows_max
    )
    if not columns["ts"]:
        return state
    history = await battery_health.own_figures(connection, battery.id, now.date(), config.history_days_max)
    peers = await battery_health.peer_figures(
        connection, battery.id, battery.dealer_id, (now - PEERS_SINCE).date(), config.peers_max
    )
    found = await asyncio.to_thread(lambda: assess(window_of(columns), state, history, peers))
    await battery_health.put_health(connection, battery.id, _row(found, now))
    return found.state


def _row(found: Assessment, now: datetime) -> BatteryHealth:
    parts: list[dict[str, Any]] = [
        {
            "name": part.name,
            "value": round(part.value, 1),
            "confidence": round(part.confidence, 3),
            "weight": round(part.weight, 3),
            "text": part.text,
        }
        for part in found.score.parts
    ]
    cells = found.imbalance
    return BatteryHealth(
        day=now.date(),
        assessed_at=now,
        since=to_datetime(found.since_us),
        until=to_datetime(found.until_us),
        samples=found.samples,
        health_score=None if found.score.value is None else Decimal(str(found.score.value)),
        known=found.score.known,
        penalty=found.score.penalty,
        capacity_ah=None if found.capacity is None else found.capacity.capacity_ah,
        soh_capacity_pct=found.soh_capacity_pct,
        resistance_ohm=None if found.resistance is None else found.resistance.resistance_ohm,
        soh_resistance_pct=found.soh_resistance_pct,
        reported_soh_pct=found.reported_soh_pct,
        imbalance_mv=None if cells is None else cells.imbalance_mv,
        weakest_cell=None if cells is None else cells.weakest_cell,
        full_cycles=found.cycles.full_cycles,
        cycle_depths=list(found.cycles.histogram),
        anomaly_score=None if found.anomaly is None else found.anomaly.score,
        figures=dict(found.figures),
        parts=parts,
    )
