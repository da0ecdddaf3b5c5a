"""Who may call Ienerzy endpoints, as types: a signature reads as the contract.

The contract states no roles (conflict C43): dealers read and write what is theirs, consumers read their own.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.callers import Caller, authenticate
from api.context import Ctx
from api.errors import forbidden
from api.limits import too_many_requests

FAMILY = "ienerzy"

_bearer = HTTPBearer(
    scheme_name="Ienerzy", auto_error=False, bearerFormat="JWT", description="The token of verify-otp"
)


async def _authenticated(
    context: Ctx, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    caller = await authenticate(context, FAMILY, credentials)
    window = await context.limiter.ienerzy_user(caller.id)
    if not window.is_within:
        raise too_many_requests(window)
    return caller


async def _dealer(caller: Annotated[Caller, Depends(_authenticated)]) -> Caller:
    if caller.role != "dealer":
        raise forbidden()
    return caller


async def _dealer_or_consumer(caller: Annotated[Caller, Depends(_authenticated)]) -> Caller:
    if caller.role not in {"dealer", "consumer"}:
        raise forbidden()
    return caller


Dealer = Annotated[Caller, Depends(_dealer)]
DealerOrConsumer = Annotated[Caller, Depends(_dealer_or_consumer)]


@dataclass(frozen=True, slots=True)
class Reach:
    """Whose batteries a caller sees: those of one dealer, or of one consumer."""

    dealer_id: int | None
    owner_id: int | None


def reach(caller: Caller) -> Reach:
    """Return a dealer's own batteries, a consumer's own."""
    return Reach(caller.id, None) if caller.role == "dealer" else Reach(None, caller.id)
