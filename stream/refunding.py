"""Refunds of what wallets paid: how much of a payment is left to give back, and what an approved one moves.

Used by the API's refunds. A refund never gives back what a correction of the session gave back before, and
moves the tax and the platform's fee in it back too: `refund:<id>`, `refund:<id>:gst` and
`refund:<id>:platform_fee`. Each part is that of what is left, rounded half up: whoever gets all back, in
whatever steps, leaves nothing behind on any account.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from storage import ledger
from storage.database import Connection
from storage.ledger import Transfer
from storage.queries import refunds
from storage.queries.refunds import Refund
from stream.errors import StreamError
from stream.rating.tariff import round_half_up
from stream.user_wallets import REVENUE

PARTS = ("gst", "platform_fee")
# Only these have parts; keys of other payments are in part their clients' words.
_WITH_PARTS = ("session:", "invoice:")


class RefundTooLargeError(StreamError):
    """Less is left of the payment: its session was corrected since the refund was asked for."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What is left of a part, and between which accounts it moves back."""

    left_minor: int
    debit_account_id: int
    credit_account_id: int
    description: str


@dataclass(frozen=True, slots=True)
class Left:
    """What of a payment was not given back yet, in minor units, and the parts in it by name."""

    total_minor: int
    parts: Mapping[str, _Part]


async def is_refundable(connection: Connection, paid: Transfer) -> bool:
    """Whether it is the house's to give back: what went back to a payment provider is not."""
    taker = await ledger.get_account(connection, paid.credit_account_id)
    return taker is not None and taker.kind == REVENUE


async def left_of(connection: Connection, paid: Transfer) -> Left:
    """Return what of a payment is left; whoever gives it back holds the refund and the session."""
    correction = await ledger.find_transfer(connection, f"{paid.key}:correction")
    if correction is not None and correction.credit_account_id != paid.debit_account_id:
        correction = None  # more was paid by it, as a payment of its own
    total_minor = paid.amount_minor - (0 if correction is None else correction.amount_minor)
    refunded = await refunds.refunded(connection, paid.id)
    names = PARTS if paid.key.startswith(_WITH_PARTS) else ()
    parts = {name: await _part(connection, paid, correction, name) for name in names}
    found = {name: part for name, part in parts.items() if part is not None}
    return Left(max(0, total_minor - refunded.amount_minor), found)


async def _part(
    connection: Connection, paid: Transfer, correction: Transfer | None, name: str
) -> _Part | None:
    part = await ledger.find_transfer(connection, f"{paid.key}:{name}")
    if part is None:
        return None
    left_minor = part.amount_minor - await refunds.part_refunded(connection, paid.id, name)
    if correction is not None:
        corrected = await ledger.find_transfer(connection, f"{correction.key}:{name}")
        if corrected is not None:
            is_back = corrected.credit_account_id == part.debit_account_id
            left_minor += -corrected.amount_minor if is_back else corrected.amount_minor
    return _Part(max(0, left_minor), part.credit_account_id, part.debit_account_id, part.description)


async def give_back(connection: Connection, refund: Refund, paid: Transfer) -> Transfer:
    """Credit the wallet with an approved refund. Raises `RefundTooLargeError`."""
    left = await left_of(connection, paid)
    if refund.amount_minor > left.total_minor:
        raise RefundTooLargeError(f"only {left.total_minor} minor units of transfer {paid.id} are left")
    key = f"refund:{refund.id}"
    credit = await ledger.transfer(
        connection,
        key=key,
        debit_account_id=paid.credit_account_id,
        credit_account_id=paid.debit_account_id,
        amount_minor=refund.amount_minor,
        description=f"Refund: {paid.description}",
        session_id=paid.session_id,
    )
    for name, part in left.parts.items():
        amount_minor = round_half_up(Fraction(part.left_minor * refund.amount_minor, left.total_minor))
        if amount_minor:
            await ledger.transfer(
                connection,
                key=f"{key}:{name}",
                debit_account_id=part.debit_account_id,
                credit_account_id=part.credit_account_id,
                amount_minor=amount_minor,
                description=f"Refund: {part.description}",
                session_id=paid.session_id,
            )
    return credit
