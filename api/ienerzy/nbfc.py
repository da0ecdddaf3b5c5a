"""The NBFC: applications and reports to it, its word back: /api/nbfc (IE-021, IE-022, IE-024)."""

import asyncio
import hashlib
from datetime import timedelta

import structlog

from api.context import Context, Ctx, Db
from api.errors import Problem, not_found
from api.fields import minor_units
from api.ienerzy.callers import Dealer, DealerOrAdmin
from api.ienerzy.finance_access import check_amount, check_parties, dealer_of, refusals
from api.ienerzy.nbfc_schemas import (
    NbfcDecision,
    NbfcResponse,
    Reported,
    ReportIn,
    ReportOut,
    SubmitIn,
    Submitted,
    SubmittedOut,
    WebhookIn,
    WebhookTaken,
)
from api.ienerzy.nbfc_sender import EventId, NbfcSender
from api.routing import Router
from storage.database import Connection
from storage.queries import lending, nbfc, outbox
from storage.queries.nbfc import StoredReport
from stream.nbfc import events, submission
from stream.nbfc.provider import ReportAnswer
from stream.providers import ProviderError

log = structlog.get_logger()

router = Router(prefix="/nbfc")

REPORT_WAIT_S = 10.0
QUEUED_FOR = timedelta(seconds=30)  # until the jobs role sends a report whose request died
QUEUED = ReportAnswer(True, None, "queued", "Collection report queued for the NBFC")


@router.post("/submit-application", status_code=201)
async def submit_application(body: SubmitIn, caller: DealerOrAdmin, context: Ctx, db: Db) -> Submitted:
    """Ask the NBFC for a loan on a battery, with the open application of this consumer where there is one.

    It goes out at once and again until the NBFC has it; its decision comes by the webhook.
    """
    dealer_id = await dealer_of(db, caller, body.dealer_id)
    await check_parties(db, dealer_id, body.consumer_id, body.battery_id)
    check_amount(minor_units(body.amount), body.tenure_months)
    application_id = await nbfc.submit_application(
        db,
        context.config.nbfc.name,
        dealer_id=dealer_id,
        consumer_id=body.consumer_id,
        battery_id=body.battery_id,
        amount_minor=minor_units(body.amount),
        tenure_months=body.tenure_months,
        rate_pct=body.interest_rate,
        created_by=caller.id,
        now=context.now(),
    )
    if application_id is None:
        return await _submitted_already(db, body)
    await outbox.enqueue(db, submission.SUBMIT_KIND, {"application_id": application_id})
    return await _submitted(db, application_id)


@router.post("/webhook-status")
async def webhook_status(
    body: WebhookIn, sender: NbfcSender, context: Ctx, db: Db, event_id: EventId = None
) -> WebhookTaken:
    """Take the NBFC's word on an application; signed by it, or told by the dealer of the application.

    What never went to an NBFC it cannot speak of (404).
    The same event again changes nothing, and neither does the order in which events come.
    """
    if body.status == "approved" and body.sanctionedAmount is None:
        raise Problem(400, "Missing required fields", "sanctionedAmount is required with approved")
    found = await lending.get_application(db, body.applicationId)
    if found is None or not sender.covers(found):
        raise not_found("Application", f"No application has the id {body.applicationId}")
    key = event_id or hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    method = context.config.lending.method
    async with refusals():
        after = await events.take(db, found.id, body.event(key), method, context.now())
    emi_minor = await nbfc.first_emi_minor(db, after.id)
    return WebhookTaken(
        message="Webhook processed successfully", application=NbfcDecision.of(after, emi_minor)
    )


@router.post("/collection-report", status_code=201)
async def collection_report(body: ReportIn, caller: Dealer, context: Ctx) -> Reported:
    """Keep a collection report and send it to the NBFC; one that is away gets it later (status queued)."""
    now = context.now()
    async with context.pool.connection() as db:
        report = await nbfc.insert_report(
            db,
            dealer_id=caller.id,
            report_date=body.report_date,
            collection_data=body.collection_data.stored(),
            now=now,
        )
        await outbox.enqueue(db, submission.REPORT_KIND, {"report_id": report.id}, now + QUEUED_FOR)
    answer = await _send(context, report)
    return Reported(
        message="Collection report submitted successfully",
        report=ReportOut.of(report, body.collection_data, answer),
        nbfc_response=NbfcResponse.of(answer),
    )


async def _submitted(db: Connection, application_id: int) -> Submitted:
    application = await lending.get_application(db, application_id)
    assert application is not None
    return Submitted(
        application=SubmittedOut.of(application), message="Application submitted to NBFC successfully"
    )


async def _submitted_already(db: Connection, body: SubmitIn) -> Submitted:
    """Answer a repetition with what it made; raise 400 for other terms than those."""
    before = await lending.open_application(db, body.consumer_id, body.battery_id)
    asked = (minor_units(body.amount), body.tenure_months, body.interest_rate)
    if before is None or (before.amount_minor, before.tenure_months, before.rate_pct) != asked:
        details = "The NBFC has an application of this consumer for this battery, on other terms"
        raise Problem(400, "Application already submitted", details, "DUPLICATE")
    return await _submitted(db, before.id)


async def _send(context: Context, report: StoredReport) -> ReportAnswer:
    """Send it now, and note the answer; whatever fails is left to the jobs role."""
    try:
        async with asyncio.timeout(REPORT_WAIT_S):
            answer = await context.config.nbfc.submit_report(submission.as_sent(report))
    except (ProviderError, TimeoutError) as error:
        log.warning("nbfc_report_queued", report=report.id, why=repr(error))
        return QUEUED
    async with context.pool.connection() as db:
        await submission.note_answer(db, report.id, answer, context.now())
    return answer
