"""A session's charge detail record: its readings, its usage, its price; used by `stream.settlement`.

How energy is spread over time: along the register's samples (Energy.Active.Import.Register) that the
database has of the session, evenly between two of them. Without samples it is spread evenly from start to
stop; without a duration it counts as delivered at the start. A tariff without a definition knows no idle
time, as nothing tells it: all time is charging.

The price is that of the session's start (`fix_price`, called by the gateway).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

import structlog

from protocols.timestamps import US_PER_SECOND, format_utc_ms, from_datetime, to_datetime
from storage.database import Connection
from storage.queries import pricing_rules, samples, stations
from storage.queries.cdrs import Cdr
from storage.queries.sessions import Session
from stream.checks import ClockLimits
from stream.pricing import keep, price_of_place, price_of_row
from stream.rating import (
    Kind,
    Period,
    RatingError,
    Reading,
    Tariff,
    Usage,
    has_reset,
    periods_of,
    rate,
)

log = structlog.get_logger()

# A day of samples every five seconds; what lies behind is spread evenly.
READINGS_MAX = 20_000
_CLOCK = ClockLimits()
_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Terms:
    """By what a session is rated: the tariff, and the wall clock of its station."""

    tariff_id: int
    tariff: Tariff
    zone: tzinfo


async def fix_price(connection: Connection, session: Session) -> None:
    """Keep by what a session that begins is rated, so that what changes while it lasts does not concern it.

    Where no price can be read now, or the connector is not known yet (2.x), the one at its end counts.
    """
    if session.connector_id == 0:
        return
    try:
        terms = await terms_of(connection, session.device_id, connector_id=session.connector_id)
    except RatingError as error:
        log.warning("session_price_unknown", session=session.id, error=str(error))
    else:
        await pricing_rules.set_session_tariff(connection, session.id, terms.tariff_id)


async def session_terms(connection: Connection, session: Session, tariff_id: int | None = None) -> Terms:
    """Return the terms of a session: by `tariff_id`, else as fixed when it began, else as of now."""
    known_id = tariff_id or await pricing_rules.session_tariff(connection, session.id)
    return await terms_of(connection, session.device_id, known_id, connector_id=session.connector_id)


async def terms_of(
    connection: Connection, device_id: int, tariff_id: int | None = None, *, connector_id: int | None = None
) -> Terms:
    """Return the terms that hold at this charger now, or those of `tariff_id`; writes a tariff that is new.

    Raises `RatingError` for a tariff or a time zone that cannot be read.
    """
    place = await pricing_rules.place_at_charger(
        connection, device_id, connector_id, stations.DEFAULT_TIME_ZONE
    )
    known = None if tariff_id is None else await stations.get_tariff(connection, tariff_id)
    if known is None:
        price = await price_of_place(connection, place)
    else:
        price = price_of_row(known, place.time_zone)
    return Terms(await keep(connection, price), price.tariff, price.zone)


def span(session: Session) -> tuple[datetime, datetime]:
    """From when to when, by the charger's clock; by ours where the charger's cannot be right.

    The charger's comes first: what it kept while offline arrives long after the fact. It cannot be right
    where the end is before the start, or either is further from when it came to us than any sample may be.
    """
    if session.ended_at is None or session.stop_received_at is None:
        raise RatingError(f"session {session.id} cannot be rated: it has no end")
    pairs = ((session.started_at, session.start_received_at), (session.ended_at, session.stop_received_at))
    if session.ended_at >= session.started_at and all(_is_possible(*pair) for pair in pairs):
        return session.started_at, session.ended_at
    return session.start_received_at, max(session.start_received_at, session.stop_received_at)


def _is_possible(at: datetime, received_at: datetime) -> bool:
    age_us = (received_at - at) // _US
    return -_CLOCK.future_us <= age_us <= _CLOCK.past_us


def duration(session: Session) -> int:
    """Whole seconds from start to stop, see `span`."""
    started_at, ended_at = span(session)
    return (ended_at - started_at) // timedelta(seconds=1)


async def read_registers(connection: Connection, session: Session) -> list[Reading]:
    """Return the readings of a stopped session that lie within it, oldest first, without start and stop."""
    started_at, ended_at = span(session)
    return await _readings(connection, session, started_at, ended_at)


async def _readings(connection: Connection, session: Session, from_: datetime, to: datetime) -> list[Reading]:
    found = await samples.session_registers(
        connection,
        device_id=session.device_id,
        connector_id=session.connector_id,
        transaction_id=session.transaction_id,
        from_=from_,
        to=to,
        limit=READINGS_MAX,
    )
    return [Reading(from_datetime(register.ts), register.register_wh) for register in found]


def make_record(session: Session, terms: Terms, found: list[Reading], *, is_estimated: bool = False) -> Cdr:
    """Price a stopped session; raises `RatingError`. Pure."""
    if session.meter_stop_wh is None:
        raise RatingError(f"session {session.id} cannot be rated: it has no meter reading at its end")
    start_us, duration_s = from_datetime(span(session)[0]), duration(session)
    end_us = start_us + duration_s * US_PER_SECOND
    begin, end = Reading(start_us, session.meter_start_wh), Reading(end_us, session.meter_stop_wh)
    readings = [begin, *(each for each in found if start_us < each.at_us < end_us), end]
    usage = Usage(start_us, _kinds(periods_of(readings), terms))
    charges = rate(usage, terms.tariff, terms.zone)
    return Cdr(
        session_id=session.id,
        user_id=session.user_id,
        tariff_id=terms.tariff_id,
        currency=terms.tariff.currency,
        energy_wh=int(usage.energy_wh),
        duration_s=duration_s,
        energy_minor_per_kwh=terms.tariff.energy_minor_per_kwh,
        energy_minor=charges.energy_minor,
        time_minor=charges.time_minor,
        parking_minor=charges.parking_minor,
        gst_minor=charges.gst_minor,
        total_minor=charges.total_minor,
        flat_minor=charges.flat_minor,
        adjustment_minor=charges.adjustment_minor,
        peak_minor=charges.surcharge_minor,
        discount_minor=charges.discount_minor,
        platform_fee_minor=charges.fee_minor,
        lines=[line.as_json() for line in charges.lines],
        periods=[_shown(period) for period in usage.periods],
        is_estimated=is_estimated,
        has_meter_reset=has_reset(readings),
    )


async def usage_so_far(
    connection: Connection, session: Session, terms: Terms, now_us: int, register_wh: int | None
) -> Usage:
    """Return what an open session used as of `now_us`, or a stopped one that is not rated yet."""
    readings = [Reading(from_datetime(session.started_at), session.meter_start_wh)]
    found = await _readings(connection, session, session.started_at, to_datetime(now_us))
    readings += [each for each in found if each.at_us > readings[0].at_us]
    latest_wh = session.meter_stop_wh if register_wh is None else register_wh
    now_us = max(now_us, readings[-1].at_us)
    if latest_wh is not None:
        readings.append(Reading(now_us, latest_wh))
    periods = _kinds(periods_of(readings), terms)
    if readings[-1].at_us < now_us:
        # since the last sample nothing is known: it goes on as it was
        kind = periods[-1].kind if periods else Kind.CHARGING
        periods = (*periods, Period(readings[-1].at_us, now_us, 0, kind))
    return Usage(readings[0].at_us, periods)


def _kinds(periods: tuple[Period, ...], terms: Terms) -> tuple[Period, ...]:
    if terms.tariff.has_idle_time:
        return periods
    return tuple(replace(period, kind=Kind.CHARGING) for period in periods)


def _shown(period: Period) -> dict[str, object]:
    return {
        "start": format_utc_ms(period.start_us),
        "end": format_utc_ms(period.end_us),
        "energy_wh": int(period.energy_wh),
        "kind": str(period.kind),
    }
