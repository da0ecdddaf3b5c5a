"""The NBFC (IE-021, IE-022, IE-024) and disabling for overdue loans (IE-019): shapes, roles, signatures."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx

from protocols.nbfc import signed_headers
from protocols.timestamps import to_datetime
from storage.database import Pool
from storage.queries import outbox
from stream.jobs import JobsConfig, work_one
from stream.nbfc.provider import CollectionReport, HouseNbfc, ReportAnswer, Submission
from stream.providers import ProviderAwayError, ProviderRefusedError
from tests.api.helpers import Clock, Service
from tests.api.ienerzy.people import World

NBFC_SECRET = "what both sides know"
TERMS = {"amount": 45000, "tenure_months": 24, "interest_rate": 12.5}
APPROVAL = {"status": "approved", "sanctionedAmount": 45000, "interestRate": 12.5, "emiAmount": 1875}


class AwayNbfc:
    """Cannot be reached, or refuses."""

    name = "away"

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def submit(self, application: Submission) -> str:
        raise self.error

    async def submit_report(self, report: CollectionReport) -> ReportAnswer:
        raise self.error


class DullNbfc(HouseNbfc):
    """Has one name for all reports."""

    async def submit_report(self, report: CollectionReport) -> ReportAnswer:
        return ReportAnswer(True, "RPT1", "submitted", "Taken")


async def submit(world: World, status: int = 201, **changes: Any) -> Any:
    body = {"consumer_id": world.consumer.id, "battery_id": world.battery.id, **TERMS, **changes}
    return await world.call(world.dealer, "POST", "/nbfc/submit-application", status, json=body)


async def webhook(
    service: Service,
    clock: Clock,
    body: dict[str, Any],
    *,
    secret: str = NBFC_SECRET,
    age_s: int = 0,
    key: str | None = None,
) -> httpx.Response:
    sent = json.dumps(body).encode()
    headers = signed_headers(secret, sent, clock() // 1_000_000 - age_s, key or "")
    return await service.client.post("/api/nbfc/webhook-status", content=sent, headers=headers)


async def work(pool: Pool, nats_bus: Any, nbfc: Any, clock: Clock) -> None:
    config = JobsConfig(lambda: clock() + 60_000_000, nbfc=nbfc)
    while await work_one(config, pool, nats_bus):
        pass


async def count(pool: Pool, query: str) -> Any:
    async with pool.connection() as db:
        row = await (await db.execute(query)).fetchone()
    assert row is not None
    return row[0]


async def test_an_application_goes_to_the_nbfc_once_and_its_word_comes_back(
    world: World, make_service: Callable[..., Service], pool: Pool, bus: Any, clock: Clock
) -> None:
    service = make_service(nbfc_secret=NBFC_SECRET)
    made = await submit(world)
    application = made["application"]
    assert made == {
        "success": True,
        "application": {
            "id": application["id"],
            "consumer_id": world.consumer.id,
            "battery_id": world.battery.id,
            **TERMS,
            "dealer_id": world.dealer.id,
            "status": "submitted",
            "submitted_at": f"{to_datetime(clock()):%Y-%m-%dT%H:%M:%SZ}",
        },
        "message": "Application submitted to NBFC successfully",
    }
    assert await submit(world) == made
    assert (await submit(world, 400, amount=50000))["code"] == "DUPLICATE"
    assert await count(pool, "SELECT count(*) FROM outbox WHERE kind = 'nbfc_submit'") == 1
    await work(pool, bus, HouseNbfc(), clock)
    reference = f"APP{application['id']:010}"
    assert await count(pool, "SELECT nbfc_reference FROM finance_applications") == reference
    for who in (world.consumer, world.technician):
        body = {"consumer_id": world.consumer.id, "battery_id": world.battery.id, **TERMS}
        await world.call(who, "POST", "/nbfc/submit-application", 403, json=body)
    other = {"consumer_id": world.consumer.id, "battery_id": world.battery.id, **TERMS}
    await world.call(world.other_dealer, "POST", "/nbfc/submit-application", 404, json=other)
    path = "/nbfc/submit-application"
    assert (
        await world.call(world.admin, "POST", path, 201, json={**other, "dealer_id": world.dealer.id}) == made
    )
    await world.call(world.admin, "POST", path, 400, json=other)
    await submit(world, 404, battery_id=999_999)
    await submit(world, 400, tenure_months=0)

    said = {"applicationId": application["id"], **APPROVAL, "creditScore": 720}
    assert (await webhook(service, clock, said, secret="another")).status_code == 401
    assert (await webhook(service, clock, said, age_s=301)).status_code == 401
    assert (await webhook(service, clock, {**said, "applicationId": 999_999})).status_code == 404
    assert (await webhook(service, clock, {**said, "sanctionedAmount": None})).status_code == 400
    odd: dict[str, Any]
    for odd in (
        {"reason": "\ud800"},
        {"reason": "\0"},
        {"disbursementDate": "9999-12-31"},
        {"occurredAt": "0001-01-01T00:00:00+14:00"},
        {"occurredAt": "2026-01-01T00:00:00"},
        {"applicationId": 2**64},
        {"emiAmount": 0},
        {"creditScore": 901},
        {"status": "paid"},
    ):
        assert (await webhook(service, clock, {**said, **odd})).status_code == 400, odd
    taken = {
        "success": True,
        "message": "Webhook processed successfully",
        "application": {
            "id": application["id"],
            "status": "approved",
            "sanctioned_amount": 45000,
            "interest_rate": 12.5,
            "emi_amount": 1875,
        },
    }
    for age_s in (0, 60, 0):
        answer = await webhook(service, clock, said, age_s=age_s)
        assert (answer.status_code, answer.json()) == (200, taken), answer.text
    assert await count(pool, "SELECT count(*) FROM nbfc_events") == 1
    assert await count(pool, "SELECT count(*) FROM emi_schedules") == 24
    assert await count(pool, "SELECT sum(amount_minor) FROM emi_schedules") == 4_500_000
    score = f"SELECT credit_score FROM consumers WHERE user_id = {world.consumer.id}"
    assert await count(pool, score) == 720
    assert (await submit(world, 400))["code"] == "DUPLICATE"
    paid = {"applicationId": application["id"], "status": "disbursed", "disbursementDate": "2024-01-20"}
    # a dealer may tell it too, of his own; nobody else
    path = "/nbfc/webhook-status"
    await world.call(world.other_dealer, "POST", path, 404, json=paid)
    for who in (world.consumer, world.technician):
        await world.call(who, "POST", path, 403, json=paid)
    await world.call(None, "POST", path, 401, json=paid)
    for who in (world.dealer, world.admin):
        after = await world.call(who, "POST", path, 200, json=paid)
        assert after["application"]["status"] == "disbursed"
    assert await count(pool, "SELECT min(due_date)::text FROM emi_schedules") == "2024-02-20"
    assert await count(pool, "SELECT count(*) FROM nbfc_events") == 2
    # its own name makes an event, the same one with other words is the same
    late = await webhook(service, clock, {**said, "status": "under_review"}, key="e-1")
    again = await webhook(service, clock, {**said, "status": "rejected"}, key="e-1")
    assert (late.status_code, again.json()["application"]["status"]) == (200, "disbursed")
    assert await count(pool, "SELECT count(*) FROM nbfc_events") == 3


async def test_without_a_secret_no_signature_is_good(world: World, service: Service, clock: Clock) -> None:
    made = await submit(world)
    said = {"applicationId": made["application"]["id"], **APPROVAL}
    assert (await webhook(service, clock, said, secret="")).status_code == 401
    assert (await webhook(service, clock, {**said, "sanctionedAmount": 46000})).status_code == 401
    refused = await world.call(
        world.dealer, "POST", "/nbfc/webhook-status", 400, json={**said, "sanctionedAmount": 46000}
    )
    assert refused["code"] == "NOT_POSSIBLE"


async def test_a_pending_application_becomes_the_submitted_one_and_a_refused_one_is_rejected(
    world: World, pool: Pool, bus: Any, clock: Clock
) -> None:
    async with pool.connection() as db:
        await db.execute(
            "INSERT INTO finance_applications (dealer_id, consumer_id, battery_id, amount_minor,"
            " tenure_months, created_at, updated_at) VALUES (%s, %s, %s, 1, 1, now(), now())",
            (world.dealer.id, world.consumer.id, world.battery.id),
        )
    made = await submit(world)
    assert await count(pool, "SELECT count(*) FROM finance_applications") == 1
    assert made["application"]["amount"] == 45000
    await work(pool, bus, AwayNbfc(ProviderAwayError("no answer")), clock)
    assert await count(pool, "SELECT status FROM finance_applications") == "submitted"
    clock.advance(60)
    await work(pool, bus, AwayNbfc(ProviderRefusedError("not this one")), clock)
    assert await count(pool, "SELECT status FROM finance_applications") == "rejected"
    assert await count(pool, "SELECT decision_reason FROM finance_applications") == "not this one"


async def test_collection_reports(
    world: World, make_service: Callable[..., Service], pool: Pool, bus: Any, clock: Clock
) -> None:
    data = {"total_collections": 25, "amount_collected": 46875.00, "overdue_count": 3}
    body = {"report_date": "2024-01-15", "collection_data": data}
    made = await world.call(world.dealer, "POST", "/nbfc/collection-report", 201, json=body)
    number = made["report"]["id"]
    said = {
        "success": True,
        "report_id": f"RPT{number:010}",
        "status": "submitted",
        "message": "Collection report submitted successfully to NBFC",
    }
    assert made == {
        "success": True,
        "message": "Collection report submitted successfully",
        "report": {
            "id": number,
            "dealer_id": world.dealer.id,
            "report_date": "2024-01-15",
            "collection_data": '{"total_collections":25,"amount_collected":46875.00,"overdue_count":3}',
            "nbfc_response": f'{{"success":true,"report_id":"RPT{number:010}"}}',
            "created_at": f"{to_datetime(clock()):%Y-%m-%dT%H:%M:%SZ}",
        },
        "nbfc_response": said,
    }
    for who in (world.consumer, world.technician):
        await world.call(who, "POST", "/nbfc/collection-report", 403, json=body)
    wrong = {"report_date": "15-01-2024", "collection_data": data}
    await world.call(world.dealer, "POST", "/nbfc/collection-report", 400, json=wrong)
    # an NBFC that is away gets it later
    away = make_service(nbfc=AwayNbfc(ProviderAwayError("no answer")))
    queued = await away.client.post("/api/nbfc/collection-report", json=body, headers=world.dealer.headers)
    assert queued.status_code == 201
    assert (queued.json()["nbfc_response"]["status"], queued.json()["nbfc_response"]["report_id"]) == (
        "queued",
        None,
    )
    assert await count(pool, "SELECT count(*) FROM nbfc_reports WHERE sent_at IS NULL") == 1
    await work(pool, bus, HouseNbfc(), clock)
    assert await count(pool, "SELECT count(*) FROM nbfc_reports WHERE sent_at IS NULL") == 0
    assert await count(pool, "SELECT count(DISTINCT report_id) FROM nbfc_reports") == 2
    # one that calls two reports the same has got both
    dull = make_service(nbfc=DullNbfc())
    for _ in range(2):
        taken = await dull.client.post("/api/nbfc/collection-report", json=body, headers=world.dealer.headers)
        assert (taken.status_code, taken.json()["nbfc_response"]["report_id"]) == (201, "RPT1")
    await work(pool, bus, HouseNbfc(), clock)
    assert await count(pool, "SELECT count(*) FROM nbfc_reports WHERE report_id = 'RPT1'") == 1
    assert (
        await count(pool, "SELECT count(*) FROM nbfc_reports WHERE nbfc_response ->> 'report_id' = 'RPT1'")
        == 2
    )
    async with pool.connection() as db:
        assert await outbox.pending_count(db) == 0


async def test_overdue_accounts_are_disabled_at_once_and_once(world: World, pool: Pool, clock: Clock) -> None:
    today = to_datetime(clock()) + timedelta(hours=5.5)  # in India
    made = await submit(world)
    start = (today - timedelta(days=38)).date()  # the first instalment was due 7 to 10 days ago
    paid = {
        "applicationId": made["application"]["id"],
        "status": "disbursed",
        "sanctionedAmount": 45000,
        "disbursementDate": start.isoformat(),
    }
    await world.call(world.dealer, "POST", "/nbfc/webhook-status", 200, json=paid)
    path, body = "/finance/auto-disable", {"overdue_days_threshold": 7}
    for who in (world.consumer, world.technician):
        await world.call(who, "POST", path, 403, json=body)
    await world.call(world.dealer, "POST", path, 400, json={})
    await world.call(world.dealer, "POST", path, 400, json={"overdue_days_threshold": 0})
    none = {"message": "Batteries disabled successfully", "disabled_count": 0, "disabled_batteries": []}
    assert await world.call(world.other_dealer, "POST", path, json=body) == none
    assert await world.call(world.dealer, "POST", path, json={"overdue_days_threshold": 30}) == none
    done = {**none, "disabled_count": 1, "disabled_batteries": ["BAT001"]}
    assert await world.call(world.admin, "POST", path, json=body) == done
    assert await world.call(world.dealer, "POST", path, json=body) == none
    assert await count(pool, "SELECT state FROM battery_locks") == "disabled"
    assert await count(pool, "SELECT count(*) FROM notices WHERE kind = 'lock_notice'") == 1
    detail = await world.call(world.dealer, "GET", "/batteries/BAT001")
    assert detail["battery"]["status"] == "inactive"
