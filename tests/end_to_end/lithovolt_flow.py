"""What the maker and a wholesaler do with one battery: stock, order, invoice, warranty, claim."""

import io
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pypdfium2
import zxingcpp
from PIL import Image
from pypdf import PdfReader

from stream.demo_batteries import CUSTOMER, LITHOVOLT_ADMIN, MODEL_CODE, WHOLESALER
from tests.end_to_end.people import Person, bodies
from tests.end_to_end.product import Product

NEWCOMER, PASSWORD = "ravi@example.org", "correct horse"
CERTIFICATE_SCALE = 150 / 72  # dots of a picture for each of the PDF's points


async def sign_in(client: httpx.AsyncClient, email: str, password: str) -> Person:
    tokens = await Person(client).post("/api/auth/login/", {"email": email, "password": password}, 200)
    return Person(client, tokens["access"])


async def results(person: Person, path: str) -> list[dict[str, Any]]:
    page = await person.get(path)
    assert (page["next"], len(page["results"])) == (None, page["count"])
    listed: list[dict[str, Any]] = page["results"]
    return listed


async def take_in(admin: Person, serial: str, demo_serials: int) -> int:
    """The fleet's batteries stand in stock; enter the new one too. Returns its model's id."""
    (model,) = await results(admin, f"/api/inventory/models/?search={MODEL_CODE}")
    listed = await results(admin, "/api/inventory/serials/")
    assert sorted(each["serial"] for each in listed) == [
        f"SIM-BAT-{number:04}" for number in range(1, demo_serials + 1)
    ]
    made = await admin.post("/api/inventory/serials/", {"model": model["id"], "serials": [serial]})
    assert made["serials"] == [serial]
    return int(model["id"])


async def order(admin: Person, wholesaler: Person, model: int, serial: str) -> None:
    """Two are too many, one is there: approved, allocated, invoiced."""
    path = "/api/orders/"
    asked = await wholesaler.post(path, {"items": [{"model": model, "quantity": 2}]})
    await admin.patch(f"{path}{asked['id']}/approve/", None, 400)
    await admin.patch(f"{path}{asked['id']}/reject/", {"reason": "Only one is made"})
    asked = await wholesaler.post(path, {"items": [{"model": model, "quantity": 1}]})
    assert (asked["subtotal"], asked["tax"], asked["total"]) == ("45000.00", "8100.00", "53100.00")
    await wholesaler.patch(f"{path}{asked['id']}/approve/", None, 403)
    approved = await admin.patch(f"{path}{asked['id']}/approve/")
    assert approved["status"] == "approved"
    (allocated,) = await results(wholesaler, f"/api/inventory/allocations/?order={asked['id']}")
    detail = await wholesaler.get(f"/api/inventory/allocations/{allocated['id']}/")
    assert detail["serials"] == [serial]
    invoice = await wholesaler.answer("GET", f"{path}{asked['id']}/invoice/")
    assert invoice.headers["Content-Type"] == "application/pdf"
    text = PdfReader(io.BytesIO(invoice.content)).pages[0].extract_text()
    assert approved["invoice_number"] in text
    assert "53,100.00" in text or "53100.00" in text


async def activate(client: httpx.AsyncClient, wholesaler: Person, serial: str) -> dict[str, Any]:
    """Activate, and verify as somebody who has only the paper."""
    sale = {"serial": serial, "customer_name": "Ram Kumar", "customer_phone": "+919812345678"}
    warranty: dict[str, Any] = await wholesaler.post("/api/warranty/activate/", sale)
    await wholesaler.post("/api/warranty/activate/", sale, 400)
    pdf = await wholesaler.answer("GET", f"/api/warranty/{warranty['id']}/certificate/")
    page = pypdfium2.PdfDocument(pdf.content)[0].render(scale=CERTIFICATE_SCALE).to_pil()
    png = await wholesaler.answer("GET", f"/api/warranty/{warranty['id']}/qr/")
    (on_paper,), (alone,) = (
        [each.text for each in zxingcpp.read_barcodes(picture)]
        for picture in (page, Image.open(io.BytesIO(png.content)))
    )
    assert on_paper == alone == warranty["verification_url"]
    verified = await Person(client).get(on_paper)
    assert (verified["status"], verified["signature"]) == ("active", "valid")
    assert verified["certificate_number"] == warranty["certificate_number"]
    assert "Ram Kumar" not in str(verified)
    forged = on_paper.replace("signature=", "signature=A")
    await Person(client).answer("GET", forged, 400)
    return warranty


async def sign_in_by_mail(product: Product, client: httpx.AsyncClient) -> Person:
    """A consumer, by the one-time password that the mail brings."""
    await Person(client).post("/api/auth/otp/send/", {"email": CUSTOMER}, 200)
    (body,) = await bodies(product, "mail_message", address=CUSTOMER)
    code = re.search(r"\b\d{6}\b", body)
    assert code is not None, body
    tokens = await Person(client).post("/api/auth/otp/verify/", {"email": CUSTOMER, "otp": code[0]}, 200)
    fresh = await Person(client).post("/api/auth/token/refresh/", {"refresh": tokens["refresh"]}, 200)
    return Person(client, fresh["access"])


async def claim(product: Product, client: httpx.AsyncClient, admin: Person, warranty: dict[str, Any]) -> None:
    """The customer takes the warranty over and claims; what the battery measured is the evidence."""
    customer = await sign_in_by_mail(product, client)
    asked = dict(parse_qsl(urlsplit(warranty["verification_url"]).query))
    link = {
        "serial": warranty["serial"],
        "certificate_number": asked["certificate"],
        "signature": asked["signature"],
    }
    await customer.post("/api/warranty/link/", link, 200)
    problem = {"warranty": warranty["id"], "issue": "Does not charge", "description": "It stops."}
    made = await customer.post("/api/warranty/claims/", problem)
    evidence = made["evidence"]
    assert evidence["samples"] > 0
    assert evidence["verdict"] == "within terms"
    plot = await customer.answer("GET", made["plots"]["voltage"])
    assert Image.open(io.BytesIO(plot.content)).format == "PNG"
    path = f"/api/warranty/claims/{made['id']}/"
    for step in ({"status": "under_review"}, {"status": "approved", "resolution": "A cell is defective."}):
        changed = await admin.patch(path, step)
    assert changed["status"] == "approved"
    history = (await admin.get(f"/api/inventory/serials/{warranty['serial']}/history/"))["history"]
    assert {"stock", "warranty", "claim"} <= {each["source"] for each in history}
    assert "Ram Kumar" not in str(history)


async def join(product: Product, client: httpx.AsyncClient, admin: Person) -> Person:
    """A wholesaler registers and is let in."""
    person = {"email": NEWCOMER, "password": PASSWORD, "first_name": "Ravi", "company": "Rao Traders"}
    made = await Person(client).post("/api/auth/register/", person | {"role": "wholesaler"})
    await Person(client).post("/api/auth/login/", {"email": NEWCOMER, "password": PASSWORD}, 403)
    await admin.patch(f"/api/users/{made['id']}/", {"is_approved": True})
    await bodies(product, "mail_message", address=NEWCOMER)
    return await sign_in(client, NEWCOMER, PASSWORD)


async def warrant(product: Product, client: httpx.AsyncClient, serial: str, demo_serials: int) -> None:
    """All of it, with a battery that a fleet of `demo_serials` others has been joined by."""
    admin = await sign_in(client, LITHOVOLT_ADMIN, product.accounts["admin"])
    demo = await sign_in(client, WHOLESALER, product.accounts["admin"])
    wholesaler = await join(product, client, admin)
    model = await take_in(admin, serial, demo_serials)
    await order(admin, wholesaler, model, serial)
    warranty = await activate(client, wholesaler, serial)
    await claim(product, client, admin, warranty)
    (stock,) = await results(admin, "/api/inventory/stock/")
    assert (stock["in_stock"], stock["allocated"], stock["sold"]) == (0, demo_serials, 1)
    others = await results(demo, "/api/inventory/serials/")
    assert (len(others), serial in {each["serial"] for each in others}) == (demo_serials, False)
    assert (await demo.get("/api/warranty/"))["count"] == 0
