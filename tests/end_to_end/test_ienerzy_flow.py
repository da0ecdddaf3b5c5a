"""A battery's life through the whole product: a dealer sells it on credit, a technician serves it, its maker
warrants it. The battery simulates, and the NBFC is a process of its own.

Nothing here knows the product but by its sockets and its log, in which one-time passwords and texts are.
"""

import asyncio
import contextlib
import functools
import io
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from deploy.temporary import free_port
from gridwire import DEALER_PHONE, Role
from simulators import fleet, ledger
from stream.lending.terms import ZONE
from tests.end_to_end.lithovolt_flow import warrant
from tests.end_to_end.people import Person, bodies, logged, until
from tests.end_to_end.product import Product, fleet_of, running_product

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(180)]

ROLES = (Role.WRITER, Role.JOBS, Role.API, Role.MQTT)
REGISTERED = 3  # batteries that the product comes with; the dealer enters the next one
SERIAL = "SIM-BAT-0004"
CONSUMER_PHONE = "+919812345678"
TECHNICIAN_PHONE = "+919876500901"
TECHNICIAN = "Asha"
PAN, AADHAAR = "ABCPK1234F", "234123412346"
AMOUNT, MONTHS, RATE_PCT = 45_000, 24, Decimal("12.5")
TOO_MUCH = 200_001  # for the NBFC
NBFC_SECRET = "what the NBFC signs with in tests"
BATTERY = f"/api/batteries/{SERIAL}"
PENALTY_PCT = 24  # a year
LABOR_HOURS, PARTS_COST = 2, 450


async def sign_in(product: Product, client: httpx.AsyncClient, phone: str, role: str) -> Person:
    """By the one-time password that the log shows."""
    before = len(logged(product, "one_time_password", phone=phone))
    sent = await Person(client).post("/api/auth/login", {"phone": phone, "userType": role}, 200)
    assert (sent["success"], sent["user"]["role"]) == (True, role)

    async def new() -> Any:
        return logged(product, "one_time_password", phone=phone)[before:]

    code = (await until(new))[0]["code"]
    verified = await Person(client).post("/api/auth/verify-otp", {"phone": phone, "otp": code}, 200)
    return Person(client, verified["token"])


@contextlib.asynccontextmanager
async def sandbox_nbfc(product: Product, port: int) -> AsyncIterator[None]:
    """An NBFC that tells everything twice and in any order."""
    words = {
        "--webhook-url": f"{product.url}/api/nbfc/webhook-status",
        "--secret": NBFC_SECRET,
        "--port": str(port),
        "--delay-s": "0.2",
        "--spread-s": "0.5",
        "--repeats": "2",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators.nbfc", "--shuffle",
        *(word for pair in words.items() for word in pair),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def instalment() -> Decimal:
    """Of a reducing balance, in rupees."""
    rate = RATE_PCT / 1_200
    growth = (1 + rate) ** MONTHS
    return (AMOUNT * rate * growth / (growth - 1)).quantize(Decimal("0.01"), ROUND_HALF_UP)


async def sell(dealer: Person) -> tuple[int, int]:
    """Enter a battery and a consumer with all papers, and give him the battery; returns both ids."""
    listed = await dealer.get("/api/batteries")
    assert sorted(each["serial_number"] for each in listed) == [
        f"SIM-BAT-{number:04}" for number in range(1, REGISTERED + 1)
    ]
    entered = await dealer.post("/api/batteries", {"serial_number": SERIAL, "health_score": 100})
    assert (entered["status"], entered["owner_id"]) == ("active", None)
    again = await dealer.post("/api/batteries", {"serial_number": SERIAL}, 400)
    assert again["code"] == "DUPLICATE"

    person = {"name": "Ram Kumar", "phone": CONSUMER_PHONE}
    refused = await dealer.post("/api/consumers", {"name": "Ram Kumar"}, 400)
    assert refused["details"] == "Phone number and name are required"
    consumer = await dealer.post("/api/consumers", person)
    assert consumer["kyc_status"] == "pending"
    kyc = f"/api/consumers/{consumer['id']}/kyc"
    papers = {"kyc_status": "verified", "pan": PAN, "aadhar": AADHAAR}
    await dealer.put(kyc, papers | {"aadhar": AADHAAR[:-1] + "7"}, 400)
    verified = await dealer.put(kyc, papers)
    assert (verified["kyc_status"], verified["pan"]) == ("verified", PAN)
    await hand_in(dealer, f"/api/consumers/{consumer['id']}/documents")
    assigned = await dealer.put(f"{BATTERY}/assign", {"consumer_id": consumer["id"]})
    assert assigned["owner_id"] == consumer["id"]
    return int(consumer["id"]), int(entered["id"])


async def hand_in(dealer: Person, path: str) -> None:
    """One document as a link, another as a picture, which is reviewed."""
    link = {"document_type": "aadhar_card", "document_url": "https://storage.example.com/aadhar.jpg"}
    linked = await dealer.post(path, link | {"document_number": AADHAAR})
    assert linked["document"]["status"] == "pending_verification"
    with io.BytesIO() as file:
        Image.new("RGB", (64, 40), "white").save(file, "PNG")
        picture = {"file": ("pan.png", file.getvalue(), "image/png")}
    form = {"document_type": "pan_card", "document_number": PAN}
    taken = (await dealer.answer("POST", path, 201, files=picture, data=form)).json()["document"]
    file_of = await dealer.answer("GET", taken["document_url"])
    assert Image.open(io.BytesIO(file_of.content)).size == (64, 40)
    reviewed = await dealer.put(f"{path}/{taken['id']}", {"status": "verified"})
    assert reviewed["status"] == "verified"
    assert len(await dealer.get(path)) == 2


async def check_telemetry(dealer: Person) -> None:
    """What the simulated batteries measure comes to be seen, also of the one that was entered just now."""

    async def reported() -> Any:
        return (await dealer.get(BATTERY))["telemetry"]

    telemetry = await until(reported)
    assert 40 < float(telemetry["voltage"]) < 60
    assert 0 < telemetry["soc"] <= 100
    assert 12 < float(telemetry["location"]["lat"]) < 14


async def decided(dealer: Person, terms: Mapping[str, object], status: str) -> Any:
    """Apply, have it submitted and wait for what the NBFC makes of it; returns the application."""
    applied = await dealer.post("/api/finance/applications", terms)
    assert applied["status"] == "pending"
    submitted = (await dealer.post("/api/nbfc/submit-application", terms))["application"]
    assert submitted["id"] == applied["id"]

    async def so_far() -> Any:
        found = await dealer.get(f"/api/finance/applications/{applied['id']}")
        return found if found["status"] == status else None

    return await until(so_far)


async def borrow(dealer: Person, consumer_id: int, battery_id: int) -> int:
    """Ask for too much, then for what is lent; returns the application's id."""
    terms = {
        "consumer_id": consumer_id,
        "battery_id": battery_id,
        "amount": TOO_MUCH,
        "tenure_months": MONTHS,
        "interest_rate": float(RATE_PCT),
    }
    refused = await decided(dealer, terms, "rejected")
    assert (refused["emi_schedule"], refused["owed"]) == ([], None)
    assert "200000" in refused["decision_reason"]
    loan = await decided(dealer, terms | {"amount": AMOUNT}, "disbursed")
    assert (loan["approved_amount"], loan["disbursed_amount"]) == (AMOUNT, AMOUNT)
    schedule = loan["emi_schedule"]
    assert [each["emi_number"] for each in schedule] == list(range(1, MONTHS + 1))
    assert {each["amount"] for each in schedule[:-1]} == {f"{instalment():.2f}"}
    assert sum(Decimal(each["principal_amount"]) for each in schedule) == AMOUNT
    return int(loan["id"])


async def pay(dealer: Person, consumer_id: int, application_id: int) -> None:
    loan = await dealer.get(f"/api/finance/applications/{application_id}")
    first = loan["emi_schedule"][0]
    payment = {"payment_method": "upi", "reference": "UTR4012"}
    paid = await dealer.post(f"/api/finance/emi/{first['id']}/pay", payment)
    assert (paid["payment"]["amount"], paid["emi"]["status"]) == (first["amount"], "paid")
    finance = await dealer.get(f"/api/consumers/{consumer_id}/finance")
    assert (finance["total_applications"], finance["total_emi_due"]) == (2, MONTHS - 1)
    assert [each["status"] for each in finance["emi_schedules"]] == ["paid"] + ["pending"] * (MONTHS - 1)


async def control(dealer: Person, ledger_path: Path) -> None:
    """Out of use and back: each time the battery itself has done it."""
    for action, status in (("deactivate", "inactive"), ("activate", "active")):
        await dealer.post(f"{BATTERY}/control", {"action": action}, 200)

        async def confirmed(status: str = status) -> Any:
            return (await dealer.get(BATTERY))["battery"]["status"] == status

        await until(confirmed)

    async def counted() -> Any:
        counts = await asyncio.to_thread(ledger.counts, ledger_path)
        return counts.get("command_deactivate") and counts.get("command_activate")

    await until(counted)


async def lock(dealer: Person) -> Decimal:
    """The accounts that are overdue from the start: disabled, and back once nothing is overdue.

    Returns what one of them paid, with the penalty for its lateness.
    """
    overdue = await dealer.get("/api/finance/overdue")
    late = overdue["overdue_accounts"]
    serials = sorted(each["battery_serial"] for each in late)
    disabled = await dealer.post("/api/finance/auto-disable", {"overdue_days_threshold": 1}, 200)
    assert (disabled["disabled_count"], sorted(disabled["disabled_batteries"])) == (len(serials), serials)
    assert len(serials) == 2

    async def status_is(serial: str, status: str) -> bool:
        return bool((await dealer.get(f"/api/batteries/{serial}"))["battery"]["status"] == status)

    for serial in serials:
        await until(functools.partial(status_is, serial, "inactive"))
    paid = await dealer.post(f"/api/finance/emi/{late[0]['id']}/pay", {})
    assert paid["emi"]["penalty_paid_amount"] == f"{penalty(late[0]):.2f}"
    await until(functools.partial(status_is, late[0]["battery_serial"], "active"))
    assert await status_is(late[1]["battery_serial"], "inactive")
    assert (await dealer.get("/api/finance/overdue"))["total_overdue"] == 1
    return Decimal(paid["payment"]["amount"])


def penalty(overdue: Mapping[str, Any]) -> Decimal:
    """Of an instalment for the days that it is late, at the platform's own rate."""
    days = Decimal(overdue["overdue_days"])
    amount = Decimal(overdue["amount"]) * PENALTY_PCT / 100 * days / 365
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


async def serve(product: Product, client: httpx.AsyncClient, dealer: Person, battery_id: int) -> None:
    """A ticket finds its technician, who works on it; the consumer says how it was."""
    problem = {
        "battery_id": battery_id,
        "issue_category": "performance",
        "description": "Battery not holding charge properly",
        "location": "Bengaluru Central",
    }
    opened = await dealer.post("/api/service/tickets", problem)
    assert opened["assigned_technician"]["name"] == TECHNICIAN
    ticket = f"/api/service/tickets/{opened['ticket']['id']}"
    told = await bodies(product, "text_message", phone=TECHNICIAN_PHONE)
    assert any(SERIAL in body and CONSUMER_PHONE in body for body in told), told
    technician = await sign_in(product, client, TECHNICIAN_PHONE, "technician")
    assert [each["id"] for each in await technician.get("/api/service/tickets")] == [opened["ticket"]["id"]]
    await technician.post(f"{ticket}/update", {"status": "in_progress"}, 200)
    work = {
        "status": "resolved",
        "resolution_notes": "Found loose connection",
        "parts_used": "Connector kit",
        "labor_hours": LABOR_HOURS,
        "parts_cost": PARTS_COST,
    }
    assert (await technician.post(f"{ticket}/update", work, 200))["ticket"]["status"] == "resolved"
    consumer = await sign_in(product, client, CONSUMER_PHONE, "consumer")
    assert [each["serial_number"] for each in await consumer.get("/api/batteries")] == [SERIAL]
    await consumer.answer("POST", f"{BATTERY}/control", 403, json={"action": "deactivate"})
    await consumer.post(f"{ticket}/rate", {"rating": 5}, 200)
    found = await dealer.get(ticket)
    assert (found["status"], found["satisfaction"], found["parts_cost"]) == ("resolved", 5, PARTS_COST)
    assert found["sla_breached"] is False


async def write(product: Product, dealer: Person) -> None:
    """Text the consumer; the message is on the way, then it is sent."""
    text = f"Your battery {SERIAL} is ready."
    sent = await dealer.post("/api/messaging/send-sms", {"to": CONSUMER_PHONE, "message": text}, 200)

    async def gone() -> Any:
        found = await dealer.get(f"/api/messaging/messages/{sent['message_id']}")
        return found["status"] == "sent"

    await until(gone)
    assert text in await bodies(product, "text_message", phone=CONSUMER_PHONE)


async def figures(dealer: Person) -> dict[str, Decimal]:
    """What the reports say, of that which the day's work changes."""
    dashboard = await dealer.get("/api/analytics/dealer-dashboard")
    portfolio = await dealer.get("/api/nbfc/portfolio")
    collected = await dealer.get("/api/finance/collection-report")
    service = await dealer.get("/api/analytics/service-metrics")
    health = await dealer.get("/api/batteries/health-report")
    found = {
        "consumers": dashboard["consumer_metrics"]["total_consumers"],
        "verified": dashboard["consumer_metrics"]["verified_consumers"],
        "batteries": dashboard["battery_metrics"]["total_batteries"],
        "reported": health["total_batteries"],
        "disbursed": dashboard["finance_metrics"]["total_disbursed"],
        "lent": portfolio["portfolio_summary"]["total_disbursed"],
        "payments": collected["summary"]["total_collections"],
        "collected": collected["summary"]["total_amount_collected"],
        "resolved": dashboard["service_metrics"]["resolved_tickets"],
        "tickets": service["ticket_metrics"]["total_tickets"],
    }
    return {name: Decimal(str(number)) for name, number in found.items()}


async def report(dealer: Person, payments: int, collected: float) -> None:
    """Tell the NBFC what was collected; it says at once that it has the report."""
    data = {"total_collections": payments, "amount_collected": collected, "overdue_count": 1}
    body = {"report_date": datetime.now(ZONE).date().isoformat(), "collection_data": data}
    reported = (await dealer.post("/api/nbfc/collection-report", body))["nbfc_response"]
    assert reported["status"] == "submitted"
    assert reported["report_id"].startswith("RPT")


async def check_figures(dealer: Person, before: Mapping[str, Decimal], late: Decimal) -> None:
    """Everything went up by what was done: one loan, two payments, one ticket."""
    after = await figures(dealer)
    changed = {name: after[name] - number for name, number in before.items()}
    assert changed == {
        "consumers": 1,
        "verified": 1,
        "batteries": 1,
        "reported": 1,
        "disbursed": AMOUNT,
        "lent": AMOUNT,
        "payments": 2,
        "collected": instalment() + late,
        "resolved": 1,
        "tickets": 1,
    }
    await report(dealer, int(after["payments"]), float(after["collected"]))
    history = await dealer.get(f"{BATTERY}/history")
    assert {"assignment", "command", "loan", "ticket"} <= {each["source"] for each in history}


async def dealers_day(product: Product, client: httpx.AsyncClient, ledger_path: Path) -> None:
    dealer = await sign_in(product, client, DEALER_PHONE, "dealer")
    before = await figures(dealer)
    consumer_id, battery_id = await sell(dealer)
    await check_telemetry(dealer)
    application_id = await borrow(dealer, consumer_id, battery_id)
    await pay(dealer, consumer_id, application_id)
    await control(dealer, ledger_path)
    late = await lock(dealer)
    await serve(product, client, dealer, battery_id)
    await write(product, dealer)
    await check_figures(dealer, before, late)


async def test_a_battery_is_sold_on_credit_served_and_warranted(server_folder: Path) -> None:
    nbfc_port = free_port()
    settings: dict[str, Any] = {
        "nbfc_url": f"http://127.0.0.1:{nbfc_port}",
        "nbfc_secret": NBFC_SECRET,
        "ienerzy_auth_per_minute": 1_000,
        "ienerzy_requests_per_minute": 100_000,
    }
    folder = server_folder / "ienerzy"
    async with running_product(folder, (), 0, REGISTERED, roles=ROLES, **settings) as product:
        config = fleet_of(product, chargers=0, batteries=REGISTERED + 1, battery_interval_s=0.5, report_s=60)
        stop = asyncio.Event()
        running = asyncio.create_task(fleet.run(config, stop=stop, ready=lambda: None))
        async with (
            sandbox_nbfc(product, nbfc_port),
            httpx.AsyncClient(base_url=product.url, timeout=30) as client,
        ):
            await dealers_day(product, client, config.ledger_path)
            await warrant(product, client, SERIAL, REGISTERED)
        stop.set()
        await asyncio.wait_for(running, 30)
