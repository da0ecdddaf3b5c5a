"""An NBFC's events: each is stored once, and the application follows from all of them (`stream.nbfc.fold`).

Used by the webhook of the Ienerzy API and by `stream.nbfc.submission`. What a dealer decided himself stands;
so does a loan that something was paid of.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import structlog

from storage.database import Connection
from storage.errors import AlreadyExistsError, NotFoundError
from storage.queries import consumers, lending, nbfc
from storage.queries.lending import Application
from stream.lending import loans
from stream.lending.loans import LoanRefusedError
from stream.lending.terms import Method, today
from stream.nbfc.fold import Event, Outcome, fold

log = structlog.get_logger()

EVENTS_MAX = 1_000  # of one application


async def take(
    connection: Connection, application_id: int, event: Event, method: Method, now: datetime
) -> Application:
    """Store an event and do what follows; one that is there already changes nothing.

    `method`: how instalments are made where the NBFC names none. Raises `NotFoundError`, `TooLittleError` and
    `LoanRefusedError`: what it says cannot be, and is not stored.
    """
    application = await lending.get_application(connection, application_id, is_locked=True)
    if application is None:
        raise NotFoundError(f"there is no finance application {application_id}")
    stored = await nbfc.list_events(connection, application_id, EVENTS_MAX)
    if event.key in {each.key for each in stored}:
        return application
    if len(stored) >= EVENTS_MAX:
        raise LoanRefusedError(f"the application has {EVENTS_MAX} events, more are not taken")
    await nbfc.insert_event(
        connection,
        application_id,
        event.key,
        status=event.status,
        body=msgspec.to_builtins(event),
        occurred_at=event.occurred_at or now,
        now=now,
    )
    outcome = fold([*(_read(each.body) for each in stored), event])
    if outcome.credit_score is not None:
        await consumers.set_credit_score(connection, application.consumer_id, outcome.credit_score)
    log.info("nbfc_event", application=application_id, status=event.status, outcome=outcome.status)
    return await _apply(connection, application, outcome, method, now)


def _read(body: Mapping[str, Any]) -> Event:
    return msgspec.convert(body, Event)


async def _apply(
    connection: Connection, application: Application, outcome: Outcome, method: Method, now: datetime
) -> Application:
    _refuse_another_payout(application, outcome)
    if outcome.status == "rejected" and application.status in loans.UNDECIDED:
        return await loans.reject(connection, application.id, reason=outcome.reason, decided_by=None, now=now)
    if outcome.status not in {"approved", "disbursed"} or outcome.sanctioned_minor is None:
        is_paid_out = outcome.status == "disbursed" and application.status == "approved"
        return await _disburse(connection, application, outcome, now) if is_paid_out else application
    if _needs_approval(application, outcome) and not await nbfc.has_payment(connection, application.id):
        application = await _approve(connection, application, outcome, method, now)
    if outcome.status == "disbursed" and application.status == "approved":
        application = await _disburse(connection, application, outcome, now)
    return application


def _refuse_another_payout(application: Application, outcome: Outcome) -> None:
    """The ledger has what was paid out, and it is paid out once."""
    is_theirs = application.status == "disbursed" and application.decided_by is None
    if is_theirs and outcome.disbursed_minor not in {None, application.disbursed_minor}:
        raise LoanRefusedError("another amount was paid out already")


def _needs_approval(application: Application, outcome: Outcome) -> bool:
    """Whether nobody approved it on these terms, and the NBFC may decide."""
    if application.status in loans.UNDECIDED:
        return True
    if application.decided_by is not None or application.status == "closed":
        return False
    return application.status == "rejected" or _terms(application, outcome) != (
        application.approved_minor,
        application.rate_pct,
        application.emi_minor,
        application.starts_on,
    )


def _terms(
    application: Application, outcome: Outcome
) -> tuple[int | None, Decimal | None, int | None, date | None]:
    rate_pct, starts_on = outcome.rate_pct, outcome.disbursed_on
    return (
        outcome.sanctioned_minor,
        application.rate_pct if rate_pct is None else rate_pct,
        outcome.emi_minor,
        application.starts_on if starts_on is None else starts_on,
    )


async def _approve(
    connection: Connection, application: Application, outcome: Outcome, method: Method, now: datetime
) -> Application:
    if application.status not in loans.UNDECIDED:
        try:
            await nbfc.reopen(connection, application.id, now)
        except AlreadyExistsError as error:
            raise LoanRefusedError(str(error)) from error
    assert outcome.sanctioned_minor is not None
    return await loans.approve(
        connection,
        application.id,
        approved_minor=outcome.sanctioned_minor,
        rate_pct=outcome.rate_pct,
        tenure_months=None,
        emi_minor=outcome.emi_minor,
        starts_on=outcome.disbursed_on or application.starts_on or today(now),
        method=method,
        decided_by=None,
        now=now,
    )


async def _disburse(
    connection: Connection, application: Application, outcome: Outcome, now: datetime
) -> Application:
    return await loans.disburse(
        connection,
        application.id,
        amount_minor=outcome.disbursed_minor,
        disbursed_on=outcome.disbursed_on or application.disbursed_on or today(now),
        now=now,
    )
