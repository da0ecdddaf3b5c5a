"""EV-CMS invoices (EV-059 to EV-062): exact sums, numbers without gaps, paid once, as PDF."""

import asyncio
import io
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from storage import ledger
from storage.database import Pool
from stream.documents.invoice_pdf import render_invoice
from stream.invoicing import Item, invoice_session, tax_minor
from tests.api.evcms.people import START, charge
from tests.api.helpers import Clock, Person, make_charger

URL = "/api/v1/billing/invoices"
ITEMS = [
    {"description": "Rent of a wall box", "quantity": 1.5, "rate": 333.33},
    {"description": "Cable", "quantity": 3, "rate": 0.05},
]


async def create(api: httpx.AsyncClient, admin: Person, user_id: int | str, **changes: Any) -> httpx.Response:
    body = {"userId": str(user_id), "items": ITEMS, "dueDate": "2099-12-31", **changes}
    return await api.post(URL, json=body, headers=admin.headers)


async def made(api: httpx.AsyncClient, admin: Person, user_id: int, **changes: Any) -> dict[str, Any]:
    answer = await create(api, admin, user_id, **changes)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["data"]["invoice"])


async def fund(pool: Pool, user_id: int, amount_minor: int) -> None:
    async with pool.connection() as db:
        wallet = await ledger.ensure_wallet(db, user_id)
        funding = await ledger.house_account(db, "funding")
        await ledger.transfer(
            db, key=f"fund:{user_id}", debit_account_id=funding.id, credit_account_id=wallet.id,
            amount_minor=amount_minor, description="Funds",
        )  # fmt: skip


async def balances(pool: Pool, user_id: int) -> tuple[int, int, int]:
    """Minor units of the wallet, of the revenue and of the tax account; they are whole together."""
    async with pool.connection() as db:
        assert await ledger.trial_balance(db) == {"INR": 0}
        wallet = await ledger.ensure_wallet(db, user_id)
        revenue, tax = await ledger.house_account(db, "revenue"), await ledger.house_account(db, "tax")
    return wallet.balance_minor, revenue.balance_minor, tax.balance_minor


quantities = st.decimals("0.001", 1_000_000, places=3)


@given(quantities, st.integers(0, 10**9), st.integers(0, 10_000))
def test_amounts_are_rounded_half_up_once(quantity: Decimal, rate_minor: int, basis_points: int) -> None:
    item = Item.of("x", quantity, rate_minor)
    assert 0 <= abs(item.amount_minor - quantity * rate_minor) <= Decimal("0.5")
    assert item.amount_minor == int((quantity * rate_minor).to_integral_value(ROUND_HALF_UP))
    tax = tax_minor(item.amount_minor, basis_points)
    assert (2 * item.amount_minor * basis_points + 10_000) // 20_000 == tax


async def test_an_invoice_adds_up_and_is_its_users(
    api: httpx.AsyncClient, admin: Person, driver: Person, stranger: Person, brand: Person
) -> None:
    invoice = await made(api, admin, driver.id, total=1, status="paid")
    assert [item["amount"] for item in invoice["items"]] == [500.0, 0.15]  # 499.995 rounds half up
    assert (invoice["subtotal"], invoice["tax"], invoice["total"]) == (500.15, 90.03, 590.18)
    assert (invoice["status"], invoice["userName"]) == ("pending", "user")
    assert invoice["dueDate"] == "2099-12-31T18:29:59.999Z"  # the end of the day in India
    assert "paidDate" not in invoice
    shown = await api.get(f"{URL}/{invoice['id']}", headers=driver.headers)
    assert shown.json()["data"]["invoice"] == invoice
    for person in (stranger, brand):
        for method, path in (
            ("GET", ""),
            ("GET", "/pdf"),
            ("POST", "/pay"),
            ("POST", "/send"),
            ("POST", "/cancel"),
        ):
            answer = await api.request(method, f"{URL}/{invoice['id']}{path}", headers=person.headers)
            assert answer.status_code == 403, path
        assert (await create(api, person, person.id)).status_code == 403
        assert (await api.get(URL, headers=person.headers)).json()["data"] == []
    assert (await api.post(f"{URL}/{invoice['id']}/pay", headers=admin.headers)).status_code == 403
    for reference in ("x", "0", "9" * 30):
        assert (await api.get(f"{URL}/{reference}", headers=admin.headers)).status_code == 404
    for user_id in ("x", "0"):
        assert (await create(api, admin, user_id)).status_code == 404
    wrong: dict[str, Any]
    for wrong in (
        {"items": []}, {"items": ITEMS * 60}, {"items": [{**ITEMS[0], "rate": 0}]}, {"dueDate": "soon"},
        {"items": [{**ITEMS[0], "quantity": 0.0001}]}, {"dueDate": "0001-01-01"}, {"dueDate": "9999-12-31"},
        {"items": [{"description": "x", "quantity": 0.001, "rate": 0.01}]},
    ):  # fmt: skip
        assert (await create(api, admin, driver.id, **wrong)).status_code == 422, wrong


async def test_lists_by_status_with_a_summary_of_all(
    api: httpx.AsyncClient, admin: Person, driver: Person, stranger: Person, clock: Clock, pool: Pool
) -> None:
    await fund(pool, driver.id, 100_000)
    day = clock.moment().date().isoformat()
    due = [
        await made(api, admin, driver.id, dueDate=each)
        for each in ("2000-01-01", day, "2099-01-01", "2099-01-01")
    ]
    await made(api, admin, stranger.id)
    assert (await api.post(f"{URL}/{due[2]['id']}/pay", headers=driver.headers)).status_code == 200
    assert (await api.post(f"{URL}/{due[3]['id']}/cancel", headers=admin.headers)).status_code == 200
    clock.advance(2 * 86_400)
    expected = {"overdue": [due[1], due[0]], "pending": [], "paid": [due[2]], "cancelled": [due[3]]}
    login = {"email": "user@example.com", "password": "correct horse"}
    token = (await api.post("/api/v1/auth/login", json=login)).json()["data"]["accessToken"]
    headers = {"Authorization": f"Bearer {token}"}
    for status, rows in expected.items():
        page = (await api.get(URL, params={"status": status}, headers=headers)).json()
        assert [row["id"] for row in page["invoices"]] == [row["id"] for row in rows], status
        assert {row["status"] for row in page["data"]} <= {status}
        assert page["pagination"]["total"] == len(rows)
        assert page["summary"] == {
            "total": 4, "pending": 0, "paid": 1, "overdue": 2, "totalAmount": 1770.54,
            "outstandingAmount": 1180.36,
        }  # fmt: skip
    assert (await api.get(URL, params={"status": "x"}, headers=headers)).status_code == 422


async def test_numbers_have_no_gaps_whatever_fails_between(
    api: httpx.AsyncClient, admin: Person, driver: Person
) -> None:
    answers = await asyncio.gather(*(create(api, admin, driver.id if each % 3 else 0) for each in range(12)))
    numbers = [answer.json()["data"]["invoiceNumber"] for answer in answers if answer.status_code == 201]
    assert sorted(int(number[-6:]) for number in numbers) == list(range(1, 9))
    assert {len(number) for number in numbers} == {15}


async def test_an_invoice_is_paid_once_from_the_wallet(
    api: httpx.AsyncClient, admin: Person, driver: Person, pool: Pool
) -> None:
    invoice = await made(api, admin, driver.id)
    url = f"{URL}/{invoice['id']}/pay"
    poor = await api.post(url, headers=driver.headers)
    assert poor.status_code == 400
    await fund(pool, driver.id, 200_000)
    keyed = {**driver.headers, "Idempotency-Key": "k1"}
    answers = await asyncio.gather(
        *(api.post(url, headers=keyed) for _ in range(4)),
        *(api.post(url, headers=driver.headers) for _ in range(4)),
    )
    assert {answer.status_code for answer in answers} == {200, 409}
    assert await balances(pool, driver.id) == (200_000 - 59_018, 50_015, 9_003)
    paid = (await api.get(f"{URL}/{invoice['id']}", headers=driver.headers)).json()["data"]
    assert paid["status"] == "paid"
    assert paid["paidDate"]
    assert (await api.post(f"{URL}/{invoice['id']}/cancel", headers=admin.headers)).status_code == 400


async def test_a_payment_with_a_key_is_answered_the_same_again(
    api: httpx.AsyncClient, admin: Person, driver: Person, pool: Pool
) -> None:
    first, second = [f"{URL}/{(await made(api, admin, driver.id))['id']}" for _ in range(2)]
    keyed = {**driver.headers, "Idempotency-Key": "k2"}
    assert (await api.post(f"{first}/pay", headers=keyed)).status_code == 400  # a refusal leaves the key free
    await fund(pool, driver.id, 200_000)
    answers = [await api.post(f"{first}/pay", headers=keyed) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert (await api.post(f"{first}/pay", headers=driver.headers)).status_code == 409
    assert (await api.post(f"{second}/pay", headers=keyed)).status_code == 409
    assert (await api.post(f"{second}/cancel", headers=admin.headers)).status_code == 200
    assert (await api.post(f"{second}/cancel", headers=admin.headers)).status_code == 409
    assert (await api.post(f"{second}/pay", headers=driver.headers)).status_code == 400
    assert await balances(pool, driver.id) == (200_000 - 59_018, 50_015, 9_003)


async def test_creating_with_a_key_makes_one(api: httpx.AsyncClient, admin: Person, driver: Person) -> None:
    headers = {**admin.headers, "Idempotency-Key": "order-7"}
    body = {"userId": str(driver.id), "items": ITEMS, "dueDate": "2099-12-31"}
    answers = [await api.post(URL, json=body, headers=headers) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["data"]["id"] for answer in answers}) == 1
    assert (await api.post(URL, json={**body, "dueDate": "2098-12-31"}, headers=headers)).status_code == 409


async def test_the_pdf_says_what_the_invoice_says_and_goes_by_mail(
    api: httpx.AsyncClient, admin: Person, driver: Person, pool: Pool
) -> None:
    items = [*ITEMS, {"description": "Żółć ₹ " + "long " * 30, "quantity": 2, "rate": 10}]
    invoice = await made(api, admin, driver.id, items=items)
    answer = await api.get(f"{URL}/{invoice['id']}/pdf", headers=driver.headers)
    assert answer.headers["content-type"] == "application/pdf"
    assert f"{invoice['invoiceNumber']}.pdf" in answer.headers["content-disposition"]
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(answer.content)).pages)
    for fact in (
        "Gridwire", invoice["invoiceNumber"], "2099-12-31", "user@example.com", "Rent of a wall box", "1.5",
        "INR 333.33", "INR 500.00", f"INR {invoice['subtotal']:.2f}", f"INR {invoice['tax']:.2f}",
        f"INR {invoice['total']:.2f}", "To be paid",
    ):  # fmt: skip
        assert fact in text, fact
    sent = await api.post(f"{URL}/{invoice['id']}/send", headers=admin.headers)
    assert sent.json()["success"] is True
    async with pool.connection() as db:
        query = "SELECT address, attachment FROM notices WHERE kind = 'invoice_sent' AND channel = 'email'"
        rows = await (await db.execute(query)).fetchall()
        assert rows == [("user@example.com", {"kind": "invoice", "id": int(invoice["id"])})]
        assert (await render_invoice(db, int(invoice["id"])))[1] == answer.content
    assert (await api.get(f"{URL}/{invoice['id']}", headers=driver.headers)).json()["data"]["sentAt"]
    await api.post(f"{URL}/{invoice['id']}/cancel", headers=admin.headers)
    assert (await api.post(f"{URL}/{invoice['id']}/send", headers=admin.headers)).status_code == 400


async def test_a_paid_session_has_one_invoice_with_the_lines_of_its_record(
    api: httpx.AsyncClient, driver: Person, pool: Pool, clock: Clock
) -> None:
    device_id = await make_charger(pool)
    owed = await charge(pool, device_id, driver.id)
    await fund(pool, driver.id, 100_000)
    async with pool.connection() as db:
        assert await invoice_session(db, owed, clock.moment()) is None  # nothing was paid
    paid = await charge(pool, device_id, driver.id, energy_wh=12_345, at=START + timedelta(days=1))
    async with pool.connection() as db:
        tasks = await db.execute("SELECT payload FROM outbox WHERE kind = 'invoice_session'")
        assert await tasks.fetchall() == [({"session_id": paid},)]

    async def work() -> int | None:
        async with pool.connection() as db:
            return await invoice_session(db, paid, clock.moment())

    assert len([each for each in await asyncio.gather(work(), work(), work()) if each is not None]) == 1
    (invoice,) = (await api.get(URL, headers=driver.headers)).json()["invoices"]
    record = (await api.get(f"/api/v1/sessions/{paid}/cdr", headers=driver.headers)).json()["data"]["cdr"]
    assert (invoice["status"], invoice["sessionId"]) == ("paid", str(paid))
    assert invoice["invoiceNumber"].endswith("000001")
    assert (invoice["total"], invoice["tax"]) == (record["totalCost"], record["pricing"]["gst"])
    assert round(sum(item["amount"] for item in invoice["items"]), 2) == invoice["subtotal"]
    assert invoice["items"][0]["quantity"] == 12.345
    assert invoice["items"][0]["description"] == f"Charging session {paid} at CP-1: Energy (kWh)"
    pdf = await api.get(f"{URL}/{invoice['id']}/pdf", headers=driver.headers)
    assert "Paid on" in PdfReader(io.BytesIO(pdf.content)).pages[0].extract_text()
