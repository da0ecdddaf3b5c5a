"""EV-CMS maintenance: /api/v1/maintenance (EV-081 to EV-089). A brand's own chargers, all of them for admins.

While work on a charger is in progress the charger is in maintenance: its status says so, and its connectors
are not available. It leaves maintenance when the last work on it is completed, cancelled or deleted.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import Problem, forbidden, not_found
from api.evcms.audit import audit
from api.evcms.callers import Admin, BrandOrAdmin, owner_filter
from api.evcms.envelope import Answer, Done, Id, Paging
from api.evcms.moments import parse_moment
from api.evcms.schemas.maintenance import (
    TRANSITIONS,
    CompleteIn,
    MaintenanceStatus,
    NamedRecord,
    RecordChange,
    RecordIn,
    RecordOut,
    RecordPage,
    RecordRows,
    RecordStats,
    ScheduleIn,
)
from api.fields import OptionalText, minor_units, parse_id
from api.routing import Router
from protocols.timestamps import format_utc_ms
from storage.database import Connection
from storage.queries import maintenance, outbox
from storage.queries.maintenance import Record

router = Router(prefix="/maintenance")

NOWHERE = 0  # no charger has this id
AT_WORK = "in-progress"


@router.get("")
async def list_records(
    caller: BrandOrAdmin,
    db: Db,
    paging: Annotated[Paging, Depends()],
    status: MaintenanceStatus | None = None,
    charger_id: Annotated[
        OptionalText | None,
        Query(alias="chargerId", description="OCPP identity or id; one that does not exist matches nothing"),
    ] = None,
) -> RecordPage:
    """List records, newest first: of a brand's own chargers, for an admin of all."""
    device_id = None
    if charger_id is not None:
        (named,) = await maintenance.find_chargers(db, [charger_id], [parse_id(charger_id)])
        device_id = named.device_id or NOWHERE
    found, total = await maintenance.list_records(
        db,
        owner_id=owner_filter(caller),
        status=status,
        device_id=device_id,
        limit=paging.limit,
        offset=paging.offset,
    )
    rows = [RecordOut.of(record) for record in found]
    return RecordPage(success=True, data=rows, records=rows, pagination=paging.of(total))


@router.get("/stats")
async def stats(caller: BrandOrAdmin, context: Ctx, db: Db) -> Answer[RecordStats]:
    """Count records by status; what is scheduled is overdue when its time is past, else pending."""
    found = await maintenance.record_stats(db, owner_filter(caller), context.now())
    return Answer.of(RecordStats.of(found))


@router.post("/schedule", status_code=201)
async def schedule(body: ScheduleIn, caller: BrandOrAdmin, context: Ctx, db: Db) -> RecordRows:
    """Plan the same work on many chargers: one record each, or none where one of them cannot be.

    A charger that is named twice gets one record. A date without a time means midnight UTC.
    """
    made = await maintenance.insert_records(
        db,
        await _chargers_of(db, caller, body.charger_ids),
        type_=body.type,
        description=body.description or f"{body.type.capitalize()} maintenance",
        priority=body.priority,
        scheduled_at=parse_moment(body.scheduled_date),
        assigned_to=None,
        created_by=caller.id,
        now=context.now(),
    )
    planned = {str(record.id): record.charger_identity for record in made}
    await audit(db, caller, context.now(), "maintenance.schedule", made[0].id, {"chargers": planned})
    rows = [RecordOut.of(record) for record in made]
    return RecordRows(success=True, data=rows, records=rows)


@router.post("", status_code=201)
async def create(body: RecordIn, caller: BrandOrAdmin, context: Ctx, db: Db) -> Answer[NamedRecord]:
    """Plan work on a charger. A date without a time means midnight UTC."""
    (record,) = await maintenance.insert_records(
        db,
        await _chargers_of(db, caller, [body.charger_id]),
        type_=body.type,
        description=body.description,
        priority=body.priority,
        scheduled_at=parse_moment(body.scheduled_date),
        assigned_to=body.assigned_to,
        created_by=caller.id,
        now=context.now(),
    )
    detail = {"charger": record.charger_identity}
    await audit(db, caller, context.now(), "maintenance.create", record.id, detail)
    return Answer.of(NamedRecord.around(RecordOut.of(record)))


@router.get("/{id}")
async def record(record_id: Id, caller: BrandOrAdmin, db: Db) -> Answer[NamedRecord]:
    """Show a record."""
    found = await _record_of(db, caller, record_id, maintenance.get_record)
    return Answer.of(NamedRecord.around(RecordOut.of(found)))


@router.put("/{id}")
async def change(
    record_id: Id, body: RecordChange, caller: BrandOrAdmin, context: Ctx, db: Db
) -> Answer[NamedRecord]:
    """Change a record. Work goes from scheduled to in-progress to completed, and may be cancelled before."""
    found = await _record_of(db, caller, record_id)
    after = found
    if body.status is not None and body.status != found.status:
        after = _moved(found, body.status, context.now())
    if body.completed_date is not None:
        after = replace(after, completed_at=_completed(after, body.completed_date, context.now()))
    after = replace(
        after,
        notes=found.notes if body.notes is None else body.notes,
        assigned_to=found.assigned_to if body.assigned_to is None else body.assigned_to,
    )
    detail = body.model_dump(by_alias=True, exclude_none=True)
    return await _kept(context, db, caller, (found, after), ("change", detail))


@router.delete("/{id}")
async def delete(record_id: Id, caller: Admin, context: Ctx, db: Db) -> Done:
    """Delete a record; nobody sees it any more."""
    found = await _record_of(db, caller, record_id)
    await maintenance.delete_record(db, found.id, context.now())
    if found.status == AT_WORK:
        await _settle_charger(context, db, found)
    await audit(db, caller, context.now(), "maintenance.delete", found.id, {"status": found.status})
    return Done.of("Maintenance record deleted")


@router.put("/{id}/start")
async def start(record_id: Id, caller: BrandOrAdmin, context: Ctx, db: Db) -> Answer[NamedRecord]:
    """Begin scheduled work; the charger is in maintenance until the last work on it has ended."""
    found = await _record_of(db, caller, record_id)
    after = _moved(found, AT_WORK, context.now())
    return await _kept(context, db, caller, (found, after), ("start", {}))


@router.put("/{id}/complete")
async def complete(
    record_id: Id, body: CompleteIn, caller: BrandOrAdmin, context: Ctx, db: Db
) -> Answer[NamedRecord]:
    """End work that is in progress, and keep what was done, replaced and spent."""
    found = await _record_of(db, caller, record_id)
    after = replace(
        _moved(found, "completed", context.now()),
        notes=body.notes,
        parts_replaced=body.parts_replaced,
        cost_minor=None if body.cost is None else minor_units(body.cost),
    )
    detail = {"partsReplaced": len(body.parts_replaced), "costMinor": after.cost_minor}
    return await _kept(context, db, caller, (found, after), ("complete", detail))


async def _chargers_of(db: Connection, caller: Caller, references: Sequence[str]) -> list[int]:
    """Return the device ids of these chargers, each once; raises 404, 403, or 400 for an archived one."""
    ids = [parse_id(reference) for reference in references]
    found: dict[int, None] = {}
    for named in await maintenance.find_chargers(db, references, ids):
        if named.device_id is None:
            raise not_found("Charger", f"No charger has the id {named.reference}")
        if owner_filter(caller) not in (None, named.owner_id):
            raise forbidden(f"Charger {named.reference} belongs to another owner")
        if named.registry == "archived":
            details = f"Charger {named.reference} is archived: no work can be planned on it"
            raise Problem(400, "Charger is archived", details)
        found[named.device_id] = None
    return list(found)


async def _record_of(
    db: Connection,
    caller: Caller,
    reference: str,
    get: Callable[[Connection, int], Awaitable[Record | None]] = maintenance.lock_record,
) -> Record:
    """Return the record with this id, held until commit; raises 404, or 403 for another's charger."""
    record_id = parse_id(reference)
    found = None if record_id is None else await get(db, record_id)
    if found is None:
        raise not_found("Maintenance record", f"No maintenance record has the id {reference}")
    if owner_filter(caller) not in (None, found.owner_id):
        raise forbidden("This maintenance record is of another owner's charger")
    return found


def _moved(found: Record, status: str, now: datetime) -> Record:
    """Return the record as it is in the next status; raises 400 where that is not the next."""
    if status not in TRANSITIONS[found.status]:
        details = f"Work that is {found.status} cannot become {status}"
        raise Problem(400, "Maintenance cannot change so", details)
    return replace(
        found,
        status=status,
        started_at=now if status == AT_WORK else found.started_at,
        completed_at=now if status == "completed" else found.completed_at,
    )


def _completed(after: Record, date: str, now: datetime) -> datetime:
    completed_at = parse_moment(date)
    if after.status != "completed":
        raise Problem(400, "Work is not completed", f"completedDate is of work that is {after.status}")
    if completed_at > now or (after.started_at is not None and completed_at < after.started_at):
        details = "completedDate must be after the start of the work, and not in the future"
        raise Problem(400, "Work was not completed then", details)
    return completed_at


async def _kept(
    context: Context,
    db: Connection,
    caller: Caller,
    versions: tuple[Record, Record],
    done: tuple[str, Mapping[str, Any]],
) -> Answer[NamedRecord]:
    """Keep a record as it is after a change, and what follows for its charger; `done`: what was asked."""
    (before, after), (action, detail) = versions, done
    await maintenance.update_record(db, after)
    if before.status != after.status and AT_WORK in (before.status, after.status):
        await _settle_charger(context, db, after)
    await audit(db, caller, context.now(), f"maintenance.{action}", after.id, detail)
    return Answer.of(NamedRecord.around(RecordOut.of(after)))


async def _settle_charger(context: Context, db: Connection, record: Record) -> None:
    """Put the charger into maintenance or out of it, and say so where that is news."""
    changed = await maintenance.set_maintenance(db, record.device_id)
    if changed is None:
        return
    facts = {"device_id": record.device_id, "charger": record.charger_identity, "is_in_maintenance": changed}
    payload = {**facts, "at": format_utc_ms(context.clock())}
    await outbox.enqueue(db, "live_event", {"name": "charger-status", "payload": payload})
