"""Who may call Ienerzy endpoints, as types: a signature reads as the contract.

The contract states no roles (conflict C43): dealers read and write what is theirs, consumers read their own,
technicians read and update the tickets assigned to them, admins run the platform and see what all have.
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


async def _if_any(
    context: Ctx, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller | None:
    return None if credentials is None else await _authenticated(context, credentials)


class _Role:
    """A dependency: the caller, if it has one of these roles."""

    def __init__(self, *roles: str) -> None:
        self._roles = frozenset(roles)

    async def __call__(self, caller: Annotated[Caller, Depends(_authenticated)]) -> Caller:
        if caller.role not in self._roles:
            raise forbidden()
        return caller


MaybeUser = Annotated[Caller | None, Depends(_if_any)]  # for what others prove in another way
AnyUser = Annotated[Caller, Depends(_authenticated)]
Dealer = Annotated[Caller, Depends(_Role("dealer"))]
Consumer = Annotated[Caller, Depends(_Role("consumer"))]
DealerOrConsumer = Annotated[Caller, Depends(_Role("dealer", "consumer", "admin"))]
DealerOrAdmin = Annotated[Caller, Depends(_Role("dealer", "admin"))]
DealerOrTechnician = Annotated[Caller, Depends(_Role("dealer", "technician", "admin"))]
Admin = Annotated[Caller, Depends(_Role("admin"))]


@dataclass(frozen=True, slots=True)
class Reach:
    """Whose things a caller sees: those of one dealer, or of one consumer; both None: everybody's."""

    dealer_id: int | None
    owner_id: int | None

    def covers(self, dealer_id: int | None, owner_id: int | None) -> bool:
        """Whether something of this dealer and consumer is among them."""
        return (self.dealer_id is None or self.dealer_id == dealer_id) and (
            self.owner_id is None or self.owner_id == owner_id
        )


def reach(caller: Caller) -> Reach:
    """Return a dealer's own things, a consumer's own, an admin's all. Nobody else may ask."""
    match caller.role:
        case "dealer":
            return Reach(caller.id, None)
        case "admin":
            return Reach(None, None)
        case _:
            return Reach(None, caller.id)
