"""PAN and Aadhaar of consumers: sealed at rest, found again by a keyed mark, shown to whom they concern."""

import hashlib
import hmac
from typing import Literal

import structlog

from api.callers import Caller
from api.context import Context
from api.errors import Problem
from api.identity_numbers import end_of
from api.sealing import UnsealError, seal, unseal
from storage.database import Connection
from storage.queries import consumers, users
from storage.queries.consumers import Consumer, Identity
from stream.derived_keys import derive_key

log = structlog.get_logger()

PURPOSE = "ienerzy-identity"
MARKS = "ienerzy-identity-marks"

Kind = Literal["pan", "aadhar"]
_LENGTHS: dict[Kind, int] = {"pan": 10, "aadhar": 12}


def seal_number(context: Context, consumer_id: int, kind: Kind, number: str | None) -> Identity | None:
    """Return what is kept of a consumer's number; None for none."""
    if number is None:
        return None
    secret_key = context.config.secret_key
    sealed = seal(secret_key, PURPOSE, _binding(consumer_id, kind), number)
    mark = hmac.digest(derive_key(secret_key, MARKS), f"{kind}:{number}".encode(), hashlib.sha256)
    return Identity(sealed, end_of(number), mark)


async def keep_numbers(
    context: Context,
    db: Connection,
    consumer_id: int,
    dealer_id: int | None,
    *,
    pan: str | None,
    aadhar: str | None,
) -> None:
    """Keep a consumer's numbers; raises 400 where another consumer of the dealer has one of them.

    Two dealers may have the same person. The dealer's account is held until commit: what two requests bring
    at the same time is compared too.
    """
    sealed_pan = seal_number(context, consumer_id, "pan", pan)
    sealed_aadhar = seal_number(context, consumer_id, "aadhar", aadhar)
    if sealed_pan is None and sealed_aadhar is None:
        return
    if dealer_id is not None:
        await users.hold_user(db, dealer_id)
        holder = await consumers.holder_of(
            db,
            dealer_id,
            but=consumer_id,
            pan_mark=None if sealed_pan is None else sealed_pan.mark,
            aadhar_mark=None if sealed_aadhar is None else sealed_aadhar.mark,
        )
        if holder is not None:
            details = f"Consumer {holder} has this PAN or Aadhaar number already"
            raise Problem(400, "Consumer already exists", details, "DUPLICATE")
    await consumers.set_identity(db, consumer_id, pan=sealed_pan, aadhar=sealed_aadhar)


def shown_numbers(context: Context, caller: Caller, consumer: Consumer) -> tuple[str | None, str | None]:
    """Return PAN and Aadhaar as the caller may see them: in full for the consumer's own dealer."""
    is_own = is_own_dealer(caller, consumer)
    return (
        _shown(context, consumer.id, "pan", consumer.pan_sealed, consumer.pan_end, is_own=is_own),
        _shown(context, consumer.id, "aadhar", consumer.aadhar_sealed, consumer.aadhar_end, is_own=is_own),
    )


def is_own_dealer(caller: Caller, consumer: Consumer) -> bool:
    """Whether the caller may see the consumer's numbers in full."""
    return caller.role == "dealer" and consumer.dealer_id == caller.id


def opened(context: Context, binding: str, sealed: bytes) -> str | None:
    """Return a sealed number; None, with a line in the log, where it does not open."""
    try:
        return unseal(context.config.secret_key, PURPOSE, binding, sealed)
    except UnsealError as error:
        log.error(
            "identity_number_unreadable", error=str(error), action="shown masked; restore the secret key"
        )
        return None


def masked(end: str, characters: int) -> str:
    """Return a number of which only the end is shown."""
    return end.rjust(characters, "X")


def _shown(
    context: Context, consumer_id: int, kind: Kind, sealed: bytes | None, end: str | None, *, is_own: bool
) -> str | None:
    if sealed is None or end is None:
        return None
    number = opened(context, _binding(consumer_id, kind), sealed) if is_own else None
    return number or masked(end, _LENGTHS[kind])


def _binding(consumer_id: int, kind: Kind) -> str:
    return f"consumer:{consumer_id}:{kind}"
