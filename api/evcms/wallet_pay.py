"""What a wallet pays: an amount with a description, or what a session of the caller's costs."""

import uuid

from api.callers import Caller
from api.context import Context
from api.errors import Problem, forbidden, not_found
from api.evcms.envelope import Answer
from api.evcms.idempotency import RequestKey, key_conflict
from api.evcms.schemas.users import WalletOut
from api.evcms.schemas.wallet import Paid, Pay, TransactionOut
from api.fields import money, parse_id
from storage import ledger
from storage.database import Connection
from storage.errors import IdempotencyConflictError, InsufficientFundsError
from storage.ledger import Transfer
from storage.queries import cdrs, reconciliation, sessions, wallet_entries
from storage.queries.cdrs import Cdr
from storage.queries.sessions import SessionDetail
from stream import user_wallets
from stream.platform_settings import read_settings
from stream.settlement import owed_minor, pay_session


async def pay_from_wallet(
    context: Context, db: Connection, caller: Caller, body: Pay, keyed: RequestKey
) -> Answer[Paid]:
    """Debit the caller's wallet. Raises 400 without funds or for a wrong amount, 403, 404, 409 if paid."""
    if body.session_id is None:
        paid = await _pay(db, caller.id, body, keyed)
    else:
        paid = await _pay_session(db, caller, body, body.session_id)
    minimum_minor = (await read_settings(db)).payment.min_wallet_balance_minor
    await user_wallets.follow_debit(db, caller.id, paid, minimum_minor, context.now())
    entry = await wallet_entries.get_entry(db, paid.id, caller.id)
    assert entry is not None, "a transfer from a wallet is entered with it"
    wallet = WalletOut.of(await ledger.ensure_wallet(db, caller.id), minimum_minor)
    return Answer.of(Paid(wallet=wallet, transaction=TransactionOut.of(entry)))


async def _pay(db: Connection, user_id: int, body: Pay, keyed: RequestKey) -> Transfer:
    try:
        return await user_wallets.debit(
            db,
            user_id,
            amount_minor=body.amount_minor,
            key=f"pay:{user_id}:{keyed.key or uuid.uuid4()}",
            description=body.description,
        )
    except InsufficientFundsError as error:
        raise await _no_funds(db, user_id, body) from error
    except IdempotencyConflictError as error:
        raise key_conflict("This Idempotency-Key was used for another payment: send a new key") from error


async def _pay_session(db: Connection, caller: Caller, body: Pay, reference: str) -> Transfer:
    session, record = await _rated(db, caller, reference)
    if session.payment_status == "paid":
        raise Problem(409, "Session already paid", f"Session {session.id} was paid before")
    owed = await owed_minor(db, record)
    if body.amount_minor != owed:
        details = f"Session {session.id} costs {money(owed):.2f}, not {money(body.amount_minor):.2f}"
        raise Problem(400, "Wrong amount", details)
    paid = await pay_session(db, record)
    if paid is None:
        raise await _no_funds(db, caller.id, body)
    return paid


async def _rated(db: Connection, caller: Caller, reference: str) -> tuple[SessionDetail, Cdr]:
    """Return the caller's own session, held until commit, and what it came to."""
    session_id = parse_id(reference)
    is_there = session_id is not None and await reconciliation.lock_session(db, session_id)
    session = await sessions.get_session(db, session_id) if is_there and session_id is not None else None
    if session is None:
        raise not_found("Session", f"No session has the id {reference}")
    if session.user_id != caller.id:
        raise forbidden("This session belongs to another user")
    record = await cdrs.latest_cdr(db, session.id)
    if record is None:
        details = {
            "active": f"Session {session.id} is still active: it is paid when it has stopped",
            "failed": f"Session {session.id} failed: there is nothing to pay",
        }.get(session.status, f"Session {session.id} is not rated yet: try again in a moment")
        raise Problem(400, "Session not payable", details)
    return session, record


async def _no_funds(db: Connection, user_id: int, body: Pay) -> Problem:
    wallet = await ledger.ensure_wallet(db, user_id)
    available, wanted = money(wallet.available_minor), money(body.amount_minor)
    details = f"{wanted:.2f} {wallet.currency} are to be paid, {available:.2f} are available"
    return Problem(400, "Insufficient wallet balance", details)
