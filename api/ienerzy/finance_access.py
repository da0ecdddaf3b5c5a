"""Which application a request means, whether it is the caller's, and how a refused change is answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

from api.callers import Caller
from api.errors import Problem, not_found
from api.fields import parse_id
from api.ienerzy.callers import reach
from storage.database import Connection
from storage.errors import AlreadyExistsError, IdempotencyConflictError
from storage.queries import batteries, emis, lending, users
from storage.queries.emis import Emi
from storage.queries.lending import Application
from stream.lending.loans import LoanRefusedError
from stream.lending.rules import INSTALMENT_MINOR_MIN, TooLittleError


async def application_of(
    db: Connection, caller: Caller, reference: str, *, is_locked: bool = False
) -> Application:
    """Return the application, held until commit where asked for; raises 404, also for another's."""
    application_id = parse_id(reference)
    found = (
        None
        if application_id is None
        else await lending.get_application(db, application_id, is_locked=is_locked)
    )
    if found is None or not reach(caller).covers(found.dealer_id, found.consumer_id):
        raise not_found("Application", f"No finance application found with id {reference}")
    return found


async def emi_of(db: Connection, caller: Caller, reference: str) -> Emi:
    """Return the instalment; raises 404, also for another dealer's."""
    emi_id = parse_id(reference)
    found = None if emi_id is None else await emis.get_emi(db, emi_id)
    application = None if found is None else await lending.get_application(db, found.application_id)
    if (
        found is None
        or application is None
        or not reach(caller).covers(application.dealer_id, application.consumer_id)
    ):
        raise not_found("EMI", f"No instalment found with id {reference}")
    return found


async def check_parties(db: Connection, dealer_id: int, consumer_id: int, battery_id: int) -> None:
    """Raise 404 unless consumer and battery are the dealer's, 400 where the battery is not free."""
    consumer = await users.get_user(db, consumer_id)
    if consumer is None or consumer.role != "consumer" or consumer.dealer_id != dealer_id:
        raise not_found("Consumer", f"No consumer of the dealer has the id {consumer_id}")
    battery = await batteries.get_battery(db, battery_id)
    if battery is None or battery.dealer_id != dealer_id:
        raise not_found("Battery", f"No battery of the dealer has the id {battery_id}")
    if battery.owner_id not in {None, consumer_id}:
        details = f"Battery {battery.serial_number} is assigned to another consumer"
        raise Problem(400, "Battery is not available", details)
    if await lending.running_loan(db, battery_id) is not None:
        details = f"Battery {battery.serial_number} has a running loan"
        raise Problem(400, "Battery is not available", details, "DUPLICATE")


async def dealer_of(db: Connection, caller: Caller, dealer_id: int | None) -> int:
    """Return a dealer's own id, whatever the body says, an admin's as named. Raises 400, or 404."""
    if caller.role == "dealer":
        return caller.id
    if dealer_id is None:
        raise Problem(400, "Missing required fields", "dealer_id is required of an admin")
    dealer = await users.get_user(db, dealer_id)
    if dealer is None or (dealer.system, dealer.role) != ("ienerzy", "dealer"):
        raise not_found("Dealer", f"No dealer has the id {dealer_id}")
    return dealer.id


def check_amount(amount_minor: int, tenure_months: int) -> None:
    """Raise 400 for an amount that is too little for so many instalments."""
    if amount_minor < INSTALMENT_MINOR_MIN * tenure_months:
        details = f"amount: at least {tenure_months} are needed for {tenure_months} months"
        raise Problem(400, "Validation failed", details, "VALIDATION_FAILED")


def payment_key(caller: Caller, idempotency_key: str | None, now: datetime) -> str:
    """Return what a payment is known by: the caller's key, or one that nobody else has.

    Payments of one day count in the order of their keys: so this one's begins with the time.
    """
    if idempotency_key is None:
        return f"api:{now.astimezone(UTC).isoformat()}:{uuid4()}"
    return f"api:{caller.id}:{idempotency_key}"


@asynccontextmanager
async def refusals() -> AsyncIterator[None]:
    """Turn the refusals of `stream.lending` into answers."""
    try:
        yield
    except (LoanRefusedError, TooLittleError) as error:
        raise Problem(400, "Not possible", _sentence(error), "NOT_POSSIBLE") from error
    except IdempotencyConflictError as error:
        details = "This Idempotency-Key was used for another payment: use a new one"
        raise Problem(400, "Idempotency-Key was used", details, "IDEMPOTENCY_KEY_REUSED") from error
    except AlreadyExistsError as error:
        details = "This consumer has an open application for this battery already"
        raise Problem(400, "Application already exists", details, "DUPLICATE") from error


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
