"""Whose warranties a caller of Lithovolt reaches, and how refusals of `stream.warranty` are worded."""

from collections.abc import Iterator
from contextlib import contextmanager

from api.callers import Caller
from api.errors import Problem, not_found
from api.fields import parse_id
from api.lithovolt.schemas import refused
from storage.database import Connection
from storage.queries import warranties, warranty_claims
from storage.queries.warranties import Scope, Warranty
from storage.queries.warranty_claims import Claim
from stream.warranty.activation import RefusedError


def scope_of(caller: Caller) -> Scope:
    """A consumer's own, a wholesaler's customers', an admin's all (conflict C92)."""
    if caller.role == "admin":
        return Scope()
    return Scope(seller_id=caller.id) if caller.role == "wholesaler" else Scope(consumer_id=caller.id)


async def warranty_of(db: Connection, caller: Caller, reference: str) -> Warranty:
    """Return the warranty with this id; raises 404, also for one that the caller does not reach."""
    warranty_id = parse_id(reference)
    found = None if warranty_id is None else await warranties.get_warranty(db, warranty_id)
    if found is None or not scope_of(caller).covers(found.consumer_id, found.seller_id):
        raise not_found("Warranty", f"No warranty has the id {reference}")
    return found


async def claim_of(db: Connection, caller: Caller, reference: str, *, is_locked: bool = False) -> Claim:
    """Return the claim with this id; raises 404, also for one that the caller does not reach."""
    claim_id = parse_id(reference)
    found = None if claim_id is None else await warranty_claims.get_claim(db, claim_id, is_locked=is_locked)
    if found is None or not scope_of(caller).covers(found.consumer_id, found.seller_id):
        raise not_found("Claim", f"No claim has the id {reference}")
    return found


@contextmanager
def refusals() -> Iterator[None]:
    """Make a `RefusedError` the 400 `Problem` of its field."""
    try:
        yield
    except RefusedError as error:
        raise refused(error.field, str(error)) from error


def forged() -> Problem:
    """400: what is presented as ours was not signed by us, or says something else than what was."""
    details = "This certificate is forged or altered: its signature is not that of what it says."
    return Problem(400, "Certificate refused", details)
