"""Who may tell an NBFC's word: the NBFC by its signature, or a dealer or admin by a token (conflict C35)."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.security import APIKeyHeader

from api.context import Ctx
from api.errors import forbidden, unauthenticated
from api.fields import TEXT_CHARACTERS_MAX, Storable
from api.ienerzy.callers import MaybeUser
from protocols.nbfc import EVENT_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, TOLERANCE_S, refusal
from storage.queries.lending import Application

_signature = APIKeyHeader(
    name=SIGNATURE_HEADER,
    scheme_name="NBFC",
    auto_error=False,
    description=f"sha256= and the HMAC-SHA256, in hexadecimal, of {TIMESTAMP_HEADER}, {EVENT_HEADER} where it"
    " is sent, and the body, with points between",
)
_WHY = {
    "signature": "The signature of the NBFC is not right",
    "timestamp": f"The signature's timestamp is not within {TOLERANCE_S} seconds of now",
}

EventId = Annotated[
    str | None,
    Header(
        alias=EVENT_HEADER,
        min_length=1,
        max_length=TEXT_CHARACTERS_MAX,
        description="The event's own name; without it the same body is the same event.",
    ),
    Storable,
]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who tells it: the NBFC, of what went to one; a dealer, of his own applications; an admin, of all."""

    dealer_id: int | None
    is_nbfc: bool = False

    def covers(self, application: Application) -> bool:
        """Whether it is his to speak of this application."""
        if self.is_nbfc:
            return application.nbfc is not None
        return self.dealer_id in {None, application.dealer_id}


async def _sender(
    request: Request,
    context: Ctx,
    caller: MaybeUser,
    signed: Annotated[str | None, Depends(_signature)],
    timestamp: Annotated[str, Header(alias=TIMESTAMP_HEADER, description="Seconds since 1970 UTC")] = "",
) -> Sender:
    if caller is not None:
        if caller.role not in {"dealer", "admin"}:
            raise forbidden()
        return Sender(caller.id if caller.role == "dealer" else None)
    if signed is None:
        raise unauthenticated()
    now_s = context.clock() // 1_000_000
    event_id = request.headers.get(EVENT_HEADER, "")
    why = refusal(context.config.nbfc_secret, timestamp, signed, await request.body(), now_s, event_id)
    if why is not None:
        raise unauthenticated(_WHY[why])
    return Sender(None, is_nbfc=True)


NbfcSender = Annotated[Sender, Depends(_sender)]
