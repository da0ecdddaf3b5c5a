"""Ienerzy consumers: /api/consumers (IE-009 to IE-012, IE-014)."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Path

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import Problem, not_found
from api.fields import parse_id
from api.ienerzy.accounts import dealer_for, make_account
from api.ienerzy.callers import DealerOrAdmin, DealerOrConsumer, reach
from api.ienerzy.consumer_identity import keep_numbers, shown_numbers
from api.ienerzy.consumer_schemas import (
    ConsumerFinance,
    ConsumerOut,
    ConsumerProfile,
    KycIn,
    KycStatus,
    NewConsumer,
    ProfiledConsumer,
)
from api.ienerzy.phones import phone_of
from api.routing import Router
from storage.database import Connection
from storage.queries import consumers
from storage.queries.admin_actions import record_action
from storage.queries.consumers import Consumer

router = Router(prefix="/consumers")

LIST_MAX = 10_000  # the contract has no pages here
RECENT_TICKETS = 10

ConsumerId = Annotated[str, Path(alias="id")]


@router.get("")
async def list_consumers(
    caller: DealerOrConsumer, context: Ctx, db: Db, kyc_status: KycStatus | None = None
) -> list[ConsumerOut]:
    """List the caller's consumers, the newest first; a consumer finds himself alone."""
    own = reach(caller)
    found = await consumers.list_consumers(
        db, dealer_id=own.dealer_id, consumer_id=own.owner_id, kyc_status=kyc_status, limit=LIST_MAX
    )
    return [ConsumerOut.of(each, *shown_numbers(context, caller, each)) for each in found]


@router.post("", status_code=201)
async def create_consumer(body: NewConsumer, caller: DealerOrAdmin, context: Ctx, db: Db) -> ConsumerOut:
    """Enter a consumer of the calling dealer, who can sign in from now on.

    A phone has one consumer, and a PAN or Aadhaar one consumer of a dealer (400 DUPLICATE). A number that
    cannot be one is refused: an Aadhaar needs its right check digit.
    """
    dealer_id = await dealer_for(db, caller, body.dealer_id)
    phone = phone_of(context, body.phone)
    made = await make_account(db, role="consumer", name=body.name, phone=phone, dealer_id=dealer_id)
    await keep_numbers(context, db, made.id, dealer_id, pan=body.pan, aadhar=body.aadhar)
    if body.credit_score is not None:
        await consumers.set_credit_score(db, made.id, body.credit_score)
    await write_down(context, db, caller, "create", made.id, {})
    return await _shown(context, db, caller, made.id)


@router.put("/{id}/kyc")
async def update_kyc(
    consumer_id: ConsumerId, body: KycIn, caller: DealerOrAdmin, context: Ctx, db: Db
) -> ConsumerOut:
    """Decide on a consumer's identity. `verified` needs a PAN or Aadhaar, brought now or before (400)."""
    found = await consumer_of(db, caller, consumer_id)
    await keep_numbers(context, db, found.id, found.dealer_id, pan=body.pan, aadhar=body.aadhar)
    held = await consumers.get_consumer(db, found.id, is_locked=True)
    assert held is not None
    if body.kyc_status == "verified" and held.pan_end is None and held.aadhar_end is None:
        details = f"Consumer {held.id} has neither a PAN nor an Aadhaar number: send one with it"
        raise Problem(400, "Identity number missing", details, "IDENTITY_MISSING")
    await consumers.set_kyc(
        db,
        held.id,
        body.kyc_status,
        decided_by=caller.id,
        credit_score=body.credit_score,
        now=context.now(),
    )
    numbers = [name for name in ("pan", "aadhar") if getattr(body, name) is not None]
    detail = {"from": held.kyc_status, "to": body.kyc_status, "numbers": numbers}
    await write_down(context, db, caller, "kyc", held.id, detail)
    return await _shown(context, db, caller, held.id)


@router.get("/{id}/finance")
async def finance(consumer_id: ConsumerId, caller: DealerOrConsumer, db: Db) -> ConsumerFinance:
    """Show a consumer's applications and instalments, the newest application first."""
    found = await consumer_of(db, caller, consumer_id)
    applications = await consumers.applications_of(db, found.id)
    return ConsumerFinance.of(applications, await consumers.emis_of(db, found.id))


@router.get("/{id}/profile")
async def profile(consumer_id: ConsumerId, caller: DealerOrConsumer, context: Ctx, db: Db) -> ConsumerProfile:
    """Show a consumer with batteries and tickets."""
    found = await consumer_of(db, caller, consumer_id)
    shown = ProfiledConsumer.of(found, *shown_numbers(context, caller, found))
    batteries = await consumers.batteries_of(db, found.id, limit=LIST_MAX)
    tickets = await consumers.tickets_of(db, found.id, limit=RECENT_TICKETS)
    return ConsumerProfile.of(shown, batteries, tickets)


async def consumer_of(db: Connection, caller: Caller, reference: str) -> Consumer:
    """Return the consumer that a path means; raises 404, also for another dealer's."""
    consumer_id = parse_id(reference)
    found = None if consumer_id is None else await consumers.get_consumer(db, consumer_id)
    if found is None or not reach(caller).covers(found.dealer_id, found.id):
        raise not_found("Consumer", f"No consumer found with id {reference}")
    return found


async def write_down(
    context: Context,
    db: Connection,
    caller: Caller,
    action: str,
    consumer_id: int,
    detail: Mapping[str, object],
) -> None:
    """Note what was done to a consumer; never a number."""
    await record_action(
        db,
        actor_id=caller.id,
        action=f"consumer.{action}",
        subject=f"consumer:{consumer_id}",
        detail=detail,
        now=context.now(),
    )


async def _shown(context: Context, db: Connection, caller: Caller, consumer_id: int) -> ConsumerOut:
    found = await consumers.get_consumer(db, consumer_id)
    assert found is not None
    return ConsumerOut.of(found, *shown_numbers(context, caller, found))
