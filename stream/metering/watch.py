"""Opens and closes meter alerts (`stream.metering.alerts`) for all active meters; run by `stream.jobs`.

A page of meters is read and computed at once; each page is a transaction. Harmless in several processes at a
time: an alert of one kind is open once a meter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog
from nats.aio.client import Client

from storage.database import Connection, Pool
from storage.queries import meter_alerts, meter_samples, meters, outbox
from storage.queries.meters import Installation, WatchedMeter
from stream.bus import publish_live
from stream.metering import course
from stream.metering.alerts import KINDS, LOOKED_AT, Finding, findings
from stream.metering.consumption import ConsumptionError, Span
from stream.settlement import LiveEvent

log = structlog.get_logger()

METERS_PAGE = 100
ALERTS_MAX = METERS_PAGE * 20  # open ones of a page


@dataclass(frozen=True, slots=True)
class _Watched:
    meter: WatchedMeter
    installation: Installation
    span: Span


async def watch_meters(pool: Pool, bus: Client, now: datetime) -> None:
    """Look at every active meter once, and tell of the alerts that this opens."""
    after_id = 0
    while True:
        async with pool.connection() as connection:
            page = await meters.list_watched_meters(connection, after_id=after_id, limit=METERS_PAGE)
            events = await _watch(connection, page, now)
        for event in events:
            await publish_live(bus, event.name, event.payload)
        if len(page) < METERS_PAGE:
            return
        after_id = page[-1].id


async def _watch(connection: Connection, page: Sequence[WatchedMeter], now: datetime) -> list[LiveEvent]:
    current = {
        each.meter_id: each
        for each in await meters.installations(connection, *(meter.id for meter in page))
        if each.since <= now and (each.until is None or now < each.until)
    }
    watched = [
        _Watched(meter, current[meter.id], span)
        for meter in page
        if meter.id in current and (span := _span(meter, current[meter.id])) is not None
    ]
    registers = await meter_samples.read_registers(
        connection, [each.installation for each in watched], now - LOOKED_AT, now, before=0, after=0
    )
    readings = course.consumed(registers, [each.span for each in watched])
    known = await meter_alerts.alerts_of(
        connection, [each.meter.id for each in watched], since=now, limit=ALERTS_MAX
    )
    standing = {(alert.meter_id, alert.kind) for alert in known if alert.closed_at is None}
    events: list[LiveEvent] = []
    for index, each in enumerate(watched):
        meter, own = each.meter, readings.where(readings.spans == index)
        zone, interval_s = ZoneInfo(meter.time_zone), each.installation.interval_s
        found = findings(own, meter.utility_type, interval_s, now, zone)
        events += await _open(connection, meter, found, now)
        # one that was not heard in all that time has nothing to say, and is silent still
        lasting = {finding.kind for finding in found} | (set() if len(own.times_us) else {"silent"})
        for kind in KINDS:
            if (meter.id, kind) in standing and kind not in lasting:
                await meter_alerts.close_alert(connection, meter.id, kind, now)
    return events


def _span(meter: WatchedMeter, installation: Installation) -> Span | None:
    try:
        return course.spans_of(meter.utility_type, [installation])[0]
    except ConsumptionError as error:
        log.error("meter_not_watched", meter=meter.id, error=str(error), action="mend its installation")
        return None


async def _open(
    connection: Connection, meter: WatchedMeter, found: Sequence[Finding], now: datetime
) -> list[LiveEvent]:
    events: list[LiveEvent] = []
    for each in found:
        alert_id = await meter_alerts.open_alert(connection, meter.id, each.kind, now, each.detail)
        if alert_id is None:
            continue
        await outbox.enqueue(connection, "notify_meter_alert", {"alert_id": alert_id})
        payload: dict[str, object] = {
            "alert_id": alert_id,
            "meter_id": meter.id,
            "unit_id": meter.unit_id,
            "kind": each.kind,
            "detail": dict(each.detail),
        }
        events.append(LiveEvent("meter-alert", payload))
    return events
