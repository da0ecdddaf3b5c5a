"""Which open sessions have ended unheard, and how each is ended; pure, used by `stream.reconciliation`.

A charger that lost power, its memory or its network for good never sends the end of a transaction. Three
rules tell that it ended:

* superseded: the same connector has begun another one. A connector has one transaction at a time.
* available: the connector says, for some time, that it is free; mostly after a reboot.
* silent: nothing of it was heard for long. A charger that is online and whose connector says that a
  vehicle is there counts as a word of it.

The end is the last reading of its register. A session without any is billed only where the next session on
its connector shows what went through the meter in between; the time of that is not known and not billed.
Else it has failed, and costs nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.queries.reconciliation import Ending, OpenSession
from storage.queries.samples import Register

# ChargePointStatus of OCPP 1.6 with a vehicle at the connector (2.x is stored in these words).
OCCUPIED = frozenset({"Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing"})
# More than any battery takes: a register that differs by more is another meter's.
ENERGY_WH_MAX = 300_000

REASONS = {
    "superseded": "NextTransactionStarted",
    "available": "ConnectorAvailable",
    "silent": "NoWordOfTransaction",
}


@dataclass(frozen=True, slots=True)
class ReconcileLimits:
    """How long a rule waits for the charger's own word, which may be on its way."""

    superseded_s: int = 300
    available_s: int = 900
    silent_s: int = 24 * 3600


def rule_of(
    session: OpenSession, last: Register | None, now: datetime, limits: ReconcileLimits
) -> str | None:
    """Return the rule by which the session has ended, or None while it may still run."""
    if session.next_received_at is not None and _is_past(session.next_received_at, limits.superseded_s, now):
        return "superseded"
    told = [at for at in (session.start_received_at, session.heard_at, last and last.received_at) if at]
    heard_at = max(told)
    is_free = session.connector_id > 0 and session.status == "Available"
    if is_free and session.status_at is not None and session.status_at > heard_at:
        return "available" if _is_past(session.status_at, limits.available_s, now) else None
    if session.is_connected and session.status in OCCUPIED and session.seen_at is not None:
        heard_at = max(heard_at, session.seen_at)
    return "silent" if _is_past(heard_at, limits.silent_s, now) else None


def last_reading(session: OpenSession, stored: Register | None) -> Register | None:
    """Return the newest reading: of the samples that were stored, or of a 2.x transaction's own events."""
    if session.meter_last_wh is None or session.meter_last_at is None:
        return stored
    if stored is not None and stored.ts >= session.meter_last_at:
        return stored
    received_at = session.heard_at or session.start_received_at
    return Register(session.meter_last_at, received_at, session.meter_last_wh)


def ending_of(session: OpenSession, last: Register | None, rule: str) -> Ending:
    """Return how `rule` ends the session; `last` is the newest reading of its register, None without one."""
    status, ended_at, received_at = "completed", session.started_at, session.start_received_at
    if last is not None:
        ended_at = max(session.started_at, last.ts)
        received_at = max(session.start_received_at, last.received_at)
        register_wh: int | None = last.register_wh
    else:
        register_wh = _by_the_next(session) if rule == "superseded" else None
        if register_wh is None:
            status = "failed"
    return Ending(
        session_id=session.id,
        rule=rule,
        status=status,
        ended_at=ended_at,
        received_at=received_at,
        meter_stop_wh=session.meter_start_wh if register_wh is None else register_wh,
        register_wh=register_wh,
        reason=REASONS[rule],
    )


def _by_the_next(session: OpenSession) -> int | None:
    """The register where the next session began, if that can be this one's end and tells of energy."""
    if session.next_meter_start_wh is None:
        return None
    energy_wh = session.next_meter_start_wh - session.meter_start_wh
    return session.next_meter_start_wh if 0 < energy_wh <= ENERGY_WH_MAX else None


def _is_past(at: datetime, wait_s: int, now: datetime) -> bool:
    return now - at >= timedelta(seconds=wait_s)
