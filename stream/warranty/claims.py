"""Claims on warranties: made with the battery's telemetry, decided step by step, maybe with a replacement.

Used by the API. Whoever decides on a claim holds it first, then the model, the serials and the warranty.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

from storage.database import Connection
from storage.queries import (
    battery_health,
    battery_models,
    counters,
    serial_numbers,
    stock,
    warranties,
    warranty_claims,
)
from storage.queries.battery_health import BatteryAlarm
from storage.queries.serial_numbers import Move
from storage.queries.warranties import Serial, Warranty
from storage.queries.warranty_claims import Claim
from storage.queries.warranty_evidence import find_source, read_stretches
from stream.lending.terms import ZONE, today
from stream.lithovolt_words import tell
from stream.stock import alerts
from stream.warranty import evidence
from stream.warranty.activation import Cover, Customer, RefusedError, issue, sell
from stream.warranty.terms import Terms, status_of

Status = Literal["submitted", "under_review", "approved", "rejected", "resolved", "withdrawn"]
DECISIONS = frozenset({"approved", "rejected", "resolved"})
# From which state to which others, and who may take the step.
TRANSITIONS: Mapping[str, Mapping[str, Literal["admin", "claimant"]]] = {
    "submitted": {"under_review": "admin", "withdrawn": "claimant"},
    "under_review": {"approved": "admin", "rejected": "admin", "withdrawn": "claimant"},
    "approved": {"resolved": "admin", "withdrawn": "claimant"},
    "rejected": {},
    "resolved": {},
    "withdrawn": {},
}
ALARMS_MAX = 50


@dataclass(frozen=True, slots=True)
class Step:
    """What is decided: the new state, in words why, and the serial that takes the battery's place."""

    status: Status
    by: int
    note: str | None = None
    resolution: str | None = None
    replacement_serial: str | None = None


async def submit(
    connection: Connection,
    warranty: Warranty,
    *,
    claimant_id: int,
    issue: str,
    description: str,
    now: datetime,
) -> Claim:
    """Make a claim on a warranty that runs and has none open. Raises `RefusedError`."""
    warranty = await _held(connection, warranty.id)
    if status_of(warranty.expires_on, today(now), is_void=warranty.is_void) != "active":
        raise RefusedError(
            "warranty", f"The warranty {warranty.certificate_number} is not in force any more."
        )
    number = await warranty_claims.open_claim_of(connection, warranty.id)
    if number is not None:
        raise RefusedError("warranty", f"The claim {number} on this warranty is still open.")
    found = await gather(connection, warranty, now)  # takes a while: before the number, which others wait for
    year = today(now).year
    claim = await warranty_claims.insert_claim(
        connection,
        claim_number=f"LVC-{year}-{await counters.next_number(connection, f'warranty-claim:{year}'):06}",
        warranty_id=warranty.id,
        claimant_id=claimant_id,
        issue=issue,
        description=description,
        evidence=found,
        now=now,
    )
    detail = {"verdict": claim.verdict}
    await warranty_claims.add_event(connection, claim.id, "submitted", claimant_id, detail, now)
    await _tell(connection, claim, "submitted", None, now)
    return claim


async def _held(connection: Connection, warranty_id: int) -> Warranty:
    """Return the warranty as it is now, held until commit."""
    await warranty_claims.hold_warranty(connection, warranty_id)
    warranty = await warranties.get_warranty(connection, warranty_id)
    assert warranty is not None, "no warranty is ever deleted"
    return warranty


async def gather(connection: Connection, warranty: Warranty, now: datetime) -> dict[str, Any]:
    """What the telemetry of the warranty's serial says of its use; see `stream.warranty.evidence`."""
    began = datetime.combine(warranty.starts_on, time(), ZONE).astimezone(UTC)
    since, until = evidence.window(now, began)
    limits = Terms.of(warranty.terms).limits
    source = await find_source(connection, warranty.serial)
    if source is None:
        return evidence.document([], limits, since=since, until=until)
    stretches = await read_stretches(
        connection,
        source.device_id,
        limits,
        since=since,
        until=until,
        stretch_s=evidence.stretch_s(since, until),
        held_s_max=evidence.HELD_S_MAX,
        limit=evidence.SAMPLES_MAX,
    )
    found = await _alarms(connection, source.battery_id, since)
    return evidence.document(stretches, limits, since=since, until=until, alarms=found)


async def _alarms(connection: Connection, battery_id: int | None, since: datetime) -> list[dict[str, Any]]:
    if battery_id is None:
        return []
    newest = await battery_health.list_alarms(connection, battery_id, is_open=False, limit=ALARMS_MAX)
    return [_alarm(each) for each in newest if each.closed_at is None or each.closed_at >= since]


def _alarm(alarm: BatteryAlarm) -> dict[str, Any]:
    return {
        "kind": alarm.kind,
        "severity": alarm.severity,
        "opened_at": alarm.opened_at.isoformat(),
        "closed_at": None if alarm.closed_at is None else alarm.closed_at.isoformat(),
        "worst": round(alarm.worst, evidence.DECIMALS),
    }


async def take_step(connection: Connection, secret_key: str, claim: Claim, step: Step, now: datetime) -> None:
    """Bring a claim that is held to its next state. Raises `RefusedError` where there is no such step."""
    if step.status not in TRANSITIONS[claim.status]:
        allowed = " or ".join(TRANSITIONS[claim.status]) or "nothing else"
        raise RefusedError("status", f"A claim that is {claim.status} can become {allowed}.")
    replacement_id = None
    if step.replacement_serial is not None:
        if step.status != "resolved":
            raise RefusedError("replacement_serial", "A battery is replaced when the claim is resolved.")
        replacement_id = await _replace(connection, secret_key, claim, step.replacement_serial, step.by, now)
    await warranty_claims.move_claim(
        connection,
        claim.id,
        step.status,
        actor_id=step.by,
        is_decision=step.status in DECISIONS,
        now=now,
        resolution=step.resolution,
        replacement_serial_id=replacement_id,
    )
    facts = {"from": claim.status, "to": step.status, "note": step.note}
    facts |= {"resolution": step.resolution, "replacement_serial": step.replacement_serial}
    detail = {name: value for name, value in facts.items() if value is not None}
    await warranty_claims.add_event(connection, claim.id, "status", step.by, detail, now)
    if step.status != "withdrawn":
        await _tell(connection, claim, step.status, step.resolution or step.note, now)


async def _tell(
    connection: Connection, claim: Claim, status: Status, note: str | None, now: datetime
) -> None:
    values = {"claim_number": claim.claim_number, "serial": claim.serial, "note": note}
    words = {**values, "status": status.replace("_", " ")}
    await tell(connection, claim.claimant_id, "claim_update", words, now, f"{claim.id}:{status}")


async def _replace(
    connection: Connection, secret_key: str, claim: Claim, serial: str, by: int, now: datetime
) -> int:
    """Give the customer another battery of the model, with the rest of the term; returns its id."""
    models = await battery_models.lock_models(connection, [await _model_of(connection, claim)])
    (model,) = models.values()
    held = await warranties.lock_serials(connection, [claim.serial, serial])
    old, new = held[claim.serial.lower()], held.get(serial.lower())
    warranty = await _held(connection, claim.warranty_id)
    if warranty.is_void:
        raise RefusedError("replacement_serial", f"The warranty {warranty.certificate_number} is void.")
    if new is None or not _is_spare(new, old, warranty):
        message = (
            f"No battery of the same model that is in stock, or with the seller, has the number {serial}."
        )
        raise RefusedError("replacement_serial", message)
    reason = f"Replaced by {new.serial} (claim {claim.claim_number})"
    await warranties.void_warranty(connection, warranty.id, reason)
    detail = {"claim_number": claim.claim_number}
    returned = Move(
        status="returned",
        wholesaler_id=old.wholesaler_id,
        kind="returned",
        actor_id=by,
        detail={**detail, "replaced_by": new.serial},
        now=now,
    )
    await stock.release_serials(connection, [old.id], now)
    if old.status != "scrapped":
        await serial_numbers.move_serials(connection, [old.id], returned)
    await sell(connection, new, warranty.seller_id, by=by, detail={**detail, "replaces": old.serial}, now=now)
    await alerts.watch(connection, model, now)
    # a claim that was made in time may be resolved after the end: a day is left then
    starts_on = min(today(now), warranty.expires_on - timedelta(days=1))
    terms = Terms.of(warranty.terms)
    cover = Cover(new.id, new.serial, warranty.seller_id, terms, starts_on, warranty.expires_on)
    customer = Customer(
        warranty.consumer_id, warranty.customer_name, warranty.customer_phone, warranty.customer_email
    )
    await issue(connection, secret_key, cover, customer, by=by, now=now)
    return new.id


async def _model_of(connection: Connection, claim: Claim) -> int:
    number = await serial_numbers.find_serial(connection, claim.serial)
    assert number is not None, "a warranty has its serial"
    return number.model_id


def _is_spare(new: Serial, old: Serial, warranty: Warranty) -> bool:
    is_sellers = new.status == "allocated" and new.wholesaler_id == warranty.seller_id
    return new.model_id == old.model_id and (new.status == "in_stock" or is_sellers)
