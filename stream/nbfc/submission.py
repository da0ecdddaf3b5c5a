"""What goes to the NBFC: applications and collection reports, at least once, under our id.

Used by the Ienerzy API and by the jobs role (outbox kinds `nbfc_submit` and `nbfc_report`).
"""

from datetime import datetime
from decimal import Decimal

import structlog

from storage.database import Connection
from storage.queries import nbfc
from storage.queries.nbfc import StoredReport
from stream.lending.terms import Method
from stream.nbfc import events
from stream.nbfc.fold import Event
from stream.nbfc.provider import CollectionReport, NbfcProvider, ReportAnswer, Submission
from stream.providers import ProviderRefusedError

log = structlog.get_logger()

SUBMIT_KIND = "nbfc_submit"
REPORT_KIND = "nbfc_report"
REFUSED_KEY = "refused-at-submission"
REASON_CHARACTERS_MAX = 200
REFUSED = ReportAnswer(False, None, "refused", "The NBFC refused the report")


async def submit(
    connection: Connection,
    application_id: int,
    provider: NbfcProvider,
    method: Method,
    now: datetime,
) -> None:
    """Send an application that the NBFC does not have yet; one that it refuses is rejected by that.

    Raises `ProviderAwayError`: the outbox tries again.
    """
    found = await nbfc.submitted_application(connection, application_id)
    if found is None or found.status != "submitted" or found.nbfc_reference is not None:
        return
    submission = Submission(
        application_id=found.application_id,
        amount=Decimal(found.amount_minor) / 100,
        tenure_months=found.tenure_months,
        interest_rate=found.rate_pct,
        battery_serial=found.battery_serial,
        consumer_id=found.consumer_id,
        consumer_name=found.consumer_name,
        consumer_phone=found.consumer_phone,
        dealer_id=found.dealer_id,
        dealer_name=found.dealer_name,
    )
    try:
        reference = await provider.submit(submission)
    except ProviderRefusedError as error:
        log.warning("nbfc_refused_application", application=application_id, error=str(error))
        event = Event(REFUSED_KEY, "rejected", reason=str(error)[:REASON_CHARACTERS_MAX])
        await events.take(connection, application_id, event, method, now)
        return
    await nbfc.set_reference(connection, application_id, reference, now)


async def submit_report(
    connection: Connection, report_id: int, provider: NbfcProvider, now: datetime
) -> None:
    """Send a collection report that the NBFC does not have yet. Raises `ProviderAwayError`."""
    report = await nbfc.lock_report(connection, report_id)
    if report is None or report.sent_at is not None:
        return
    try:
        answer = await provider.submit_report(as_sent(report))
    except ProviderRefusedError as error:
        log.error("nbfc_refused_report", report=report_id, error=str(error))
        answer = REFUSED
    await note_answer(connection, report_id, answer, now)


def as_sent(report: StoredReport) -> CollectionReport:
    """Return the report as the NBFC hears of it."""
    return CollectionReport(report.id, report.dealer_id, report.report_date, report.collection_data)


async def note_answer(connection: Connection, report_id: int, answer: ReportAnswer, now: datetime) -> None:
    """Store what the NBFC said of a report."""
    said = {
        "success": answer.success,
        "report_id": answer.report_id,
        "status": answer.status,
        "message": answer.message,
    }
    await nbfc.set_report_answered(connection, report_id, nbfc_id=answer.report_id, response=said, now=now)
