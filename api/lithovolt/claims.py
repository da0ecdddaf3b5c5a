"""Lithovolt warranty claims: /api/warranty/claims (LI-X07), with evidence from the battery's telemetry."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Path, Query
from starlette.responses import Response

from api.callers import Caller
from api.context import Ctx, Db
from api.errors import forbidden, not_found
from api.lithovolt.callers import AnyUser, WholesalerOrConsumer
from api.lithovolt.claims_schemas import ClaimChange, ClaimDetail, ClaimIn, ClaimOut
from api.lithovolt.paging import Page, Pages
from api.lithovolt.schemas import BIGINT_MAX, Id, refused
from api.lithovolt.warranty_access import claim_of, refusals, scope_of
from api.routing import Router
from api.uploaded_files import BINARY
from storage.database import Connection
from storage.queries import warranties, warranty_claims
from storage.queries.warranty_claims import Claim
from stream.warranty.claims import TRANSITIONS, Status, Step, submit, take_step
from stream.warranty.plots import PLOTS, Format, draw_plot, is_format

router = Router(prefix="/warranty/claims")

EVENTS_MAX = 500
NOTES_MAX = 400  # the rest is for files and steps, which nobody hides behind notes
FILES_MAX = 20
TYPES: Mapping[Format, str] = {"png": "image/png", "svg": "image/svg+xml"}


@router.get("/")
async def list_claims(
    caller: AnyUser,
    db: Db,
    paging: Pages,
    status: Status | None = None,
    warranty: Annotated[int | None, Query(ge=1, le=BIGINT_MAX, description="The id of a warranty")] = None,
) -> Page[ClaimOut]:
    """List claims, newest first: on one's own warranties, on those one sold, for an admin all."""
    found, count = await warranty_claims.list_claims(
        db,
        scope_of(caller),
        status=status,
        warranty_id=warranty,
        limit=paging.page_size,
        offset=paging.offset,
    )
    return Page[ClaimOut].of([ClaimOut.of(claim) for claim in found], count, paging)


@router.post("/", status_code=201)
async def submit_claim(body: ClaimIn, caller: WholesalerOrConsumer, context: Ctx, db: Db) -> ClaimDetail:
    """Claim on a warranty that runs, as its owner or seller; one claim at a time.

    What the battery's telemetry of the last 90 days says of its use is kept with the claim.
    """
    warranty = await warranties.get_warranty(db, body.warranty)
    if warranty is None or not scope_of(caller).covers(warranty.consumer_id, warranty.seller_id):
        raise refused("warranty", f'Invalid pk "{body.warranty}" - object does not exist.')
    with refusals():
        claim = await submit(
            db,
            warranty,
            claimant_id=caller.id,
            issue=body.issue,
            description=body.description,
            now=context.now(),
        )
    return await _detail(db, claim)


@router.get("/{id}/")
async def get_claim(claim_id: Id, caller: AnyUser, db: Db) -> ClaimDetail:
    """Show a claim with its evidence, history and files."""
    return await _detail(db, await claim_of(db, caller, claim_id))


@router.patch("/{id}/")
async def change_claim(claim_id: Id, body: ClaimChange, caller: AnyUser, context: Ctx, db: Db) -> ClaimDetail:
    """Take a step of the workflow, or note something.

    An admin reviews, approves, rejects and resolves; the claimant withdraws. With `replacement_serial` the
    battery is replaced: its warranty is void, and the other one's has the rest of the term.
    """
    claim = await claim_of(db, caller, claim_id, is_locked=True)
    now = context.now()
    if body.status is None:
        if len(await warranty_claims.events_of(db, claim.id, NOTES_MAX)) == NOTES_MAX:
            raise refused("note", f"The history of a claim has at most {NOTES_MAX} entries.")
        await warranty_claims.add_event(db, claim.id, "noted", caller.id, {"note": body.note}, now)
    else:
        _refuse_stranger(caller, claim, body.status)
        step = Step(body.status, caller.id, body.note, body.resolution, body.replacement_serial)
        with refusals():
            await take_step(db, context.config.secret_key, claim, step, now)
    return await _detail(db, await claim_of(db, caller, claim_id))


@router.get(
    "/{id}/plots/{file}/",
    response_class=Response,
    responses={200: {"description": "The picture", "content": dict.fromkeys(TYPES.values(), BINARY)}},
)
async def plot(
    claim_id: Id,
    file: Annotated[str, Path(description=f"One of {', '.join(PLOTS)}, with .png or .svg")],
    caller: AnyUser,
    context: Ctx,
) -> Response:
    """Draw what the battery measured before the claim, with the limits of the warranty's terms."""
    async with context.pool.connection() as db:  # given back before it is drawn
        claim = await claim_of(db, caller, claim_id)
        evidence = await warranty_claims.get_evidence(db, claim.id)
    name, _, kind = file.rpartition(".")
    if name not in PLOTS or not evidence["samples"] or not is_format(kind):
        raise not_found("Plot", f"Claim {claim.claim_number} has no plot {file}")
    headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
    return Response(await draw_plot(evidence, name, kind), media_type=TYPES[kind], headers=headers)


def _refuse_stranger(caller: Caller, claim: Claim, status: Status) -> None:
    """Raise 403 for a step that is somebody else's to take; one that is nobody's is refused later."""
    whose = TRANSITIONS[claim.status].get(status)
    is_admins = caller.role == "admin" if whose != "claimant" else caller.id == claim.claimant_id
    if not is_admins:
        who = "the claimant" if whose == "claimant" else "an admin"
        raise forbidden(f"Only {who} can make this claim {status.replace('_', ' ')}.")


async def _detail(db: Connection, claim: Claim) -> ClaimDetail:
    evidence = await warranty_claims.get_evidence(db, claim.id)
    events = await warranty_claims.events_of(db, claim.id, EVENTS_MAX)
    return ClaimDetail.build(claim, evidence, events, await warranty_claims.files_of(db, claim.id, FILES_MAX))
