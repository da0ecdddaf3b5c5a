"""Warranty certificates (LI-017, LI-X09): the PDF as a picture, its QR code read back, forgeries refused."""

import base64
import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pypdfium2
import zxingcpp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from PIL import Image
from pypdf import PdfReader

from storage.database import Pool, fetch_value
from tests.api.helpers import Clock, Person, Service
from tests.api.lithovolt.warranty_scene import URL, activated, statuses, stock


async def download(api: httpx.AsyncClient, who: Person, path: str, mimetype: str) -> bytes:
    answer = await api.get(path, headers=who.headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, mimetype), answer.text
    assert answer.headers["Cache-Control"] == "private, no-store"
    return answer.content


def picture_of(pdf: bytes) -> Image.Image:
    document = pypdfium2.PdfDocument(pdf)
    assert len(document) == 1
    picture: Image.Image = document[0].render(scale=150 / 72).to_pil()
    return picture


def read_codes(picture: Image.Image) -> list[str]:
    return [each.text for each in zxingcpp.read_barcodes(picture)]


async def verify(api: httpx.AsyncClient, url: str) -> httpx.Response:
    parts = urlsplit(url)
    return await api.get(f"{parts.path}?{parts.query}")


async def test_the_code_on_the_certificate_leads_to_its_verification(
    api: httpx.AsyncClient,
    pool: Pool,
    clock: Clock,
    admin: Person,
    wholesaler: Person,
    other_wholesaler: Person,
    consumer: Person,
    other_consumer: Person,
) -> None:
    await stock(pool, clock, wholesaler, "LV48-A")
    made = await activated(api, consumer, "LV48-A")
    path = f"{URL}{made['id']}/certificate/"
    pdf = await download(api, consumer, path, "application/pdf")
    assert pdf == await download(api, admin, path, "application/pdf")
    text = PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
    for word in (made["certificate_number"], "LV48-A", "LV 48-100", "no warmer than 55", "36 months"):
        assert word in text, text
    assert "Consumer Test" not in text
    (url,) = read_codes(picture_of(pdf))
    assert url == made["verification_url"]
    assert url.startswith("http://localhost:5000/api/warranty/verify/LV48-A/?certificate=LVW-")
    answer = await verify(api, url)
    assert (answer.status_code, answer.json()["signature"]) == (200, "valid")
    assert answer.json()["certificate_number"] == made["certificate_number"]

    qr = f"{URL}{made['id']}/qr/"
    assert read_codes(Image.open(io.BytesIO(await download(api, consumer, qr, "image/png")))) == [url]
    assert b"<svg" in await download(api, consumer, f"{qr}?format=svg", "image/svg+xml")
    assert (await api.get(f"{qr}?format=gif", headers=consumer.headers)).status_code == 400
    for each in (path, qr):
        assert await statuses(api, each, wholesaler, other_wholesaler, other_consumer) == [200, 404, 404]
        assert (await api.get(each)).status_code == 401


def forgeries(url: str) -> dict[str, str]:
    """Addresses that are not what we signed."""
    parts = urlsplit(url)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}

    def address(**changes: str | None) -> str:
        query = {name: value for name, value in {**asked, **changes}.items() if value is not None}
        return parts.path + "?" + "&".join(f"{name}={quote(value)}" for name, value in query.items())

    signature = asked["signature"]
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    # the last character has bits to spare: another spelling of the same bytes is not what we wrote
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]
    return {
        "one character altered": address(signature=flipped),
        "another spelling": address(signature=spare),
        "cut": address(signature=signature[:-1]),
        "longer": address(signature=signature + "A"),
        "padded": address(signature=signature + "=="),
        "no base64": address(signature="é!*" * 20),
        "empty": address(signature=""),
        "no signature": address(signature=None),
        "no certificate": address(certificate=None),
        "another number": address(certificate="LVW-2020-999999"),
    }


async def test_a_forged_certificate_is_refused(
    api: httpx.AsyncClient,
    make_service: Callable[..., Service],
    pool: Pool,
    clock: Clock,
    wholesaler: Person,
    consumer: Person,
) -> None:
    await stock(pool, clock, wholesaler, "LV48-A", "LV48-B")
    one, two = [await activated(api, consumer, serial) for serial in ("LV48-A", "LV48-B")]
    url, foreign = one["verification_url"], two["verification_url"]
    assert (await verify(api, url)).status_code == 200
    forged = forgeries(url)
    forged["another battery"] = foreign.replace("LV48-B", "LV48-A")
    forged["another's signature"] = url.partition("&")[0] + "&" + foreign.partition("&")[2]
    for why, address in forged.items():
        answer = await verify(api, address)
        assert answer.status_code == 400, (why, answer.text)
        assert list(answer.json()) == ["detail"], why
        assert "forged or altered" in answer.json()["detail"]
    stranger = make_service(secret_key="another key of at least thirty-two bytes").client
    assert (await verify(stranger, url)).status_code == 400
    # whoever changes the row does not change what was signed
    async with pool.connection() as db:
        await db.execute("UPDATE warranties SET expires_on = expires_on + 1 WHERE id = %s", (one["id"],))
    assert (await verify(api, url)).status_code == 400
    assert (await verify(api, foreign)).status_code == 200


async def test_anybody_can_check_a_certificate_without_us(
    api: httpx.AsyncClient, pool: Pool, clock: Clock, wholesaler: Person
) -> None:
    await stock(pool, clock, wholesaler, "LV48-A")
    made = await activated(api, wholesaler, "LV48-A", customer_name="C")
    told = (await api.get(f"{URL}public-key/")).json()
    assert told["algorithm"] == "Ed25519"
    facts: dict[str, Any] = {name: made[name] for name in told["fields"]}
    message = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    key = load_pem_public_key(told["pem"].encode())
    assert isinstance(key, Ed25519PublicKey)
    assert base64.urlsafe_b64encode(key.public_bytes_raw()).decode().rstrip("=") == told["public_key"]
    signature = parse_qs(urlsplit(made["verification_url"]).query)["signature"][0]
    key.verify(base64.urlsafe_b64decode(signature + "=="), message)


async def test_who_holds_the_certificate_takes_the_warranty_into_an_account(
    api: httpx.AsyncClient,
    pool: Pool,
    clock: Clock,
    wholesaler: Person,
    consumer: Person,
    other_consumer: Person,
) -> None:
    await stock(pool, clock, wholesaler, "LV48-A")
    made = await activated(api, wholesaler, "LV48-A", customer_name="Asha Rao")
    signature = parse_qs(urlsplit(made["verification_url"]).query)["signature"][0]
    body = {"serial": "LV48-A", "certificate_number": made["certificate_number"], "signature": signature}
    path = f"{URL}link/"
    for changes in ({"signature": signature[::-1]}, {"serial": "NONE"}, {"certificate_number": "LVW-1"}):
        answer = await api.post(path, json={**body, **changes}, headers=consumer.headers)
        assert answer.status_code == 400, changes
    assert (await api.post(path, json=body, headers=wholesaler.headers)).status_code == 403
    assert await statuses(api, f"{URL}{made['id']}/", consumer) == [404]
    for _ in range(2):
        answer = await api.post(path, json=body, headers=consumer.headers)
        assert (answer.status_code, answer.json()["consumer_id"]) == (200, consumer.id)
    assert await statuses(api, f"{URL}{made['id']}/", consumer) == [200]
    answer = await api.post(path, json=body, headers=other_consumer.headers)
    assert (answer.status_code, list(answer.json())) == (400, ["certificate_number"])
    async with pool.connection() as db:
        assert await fetch_value(db, "SELECT consumer_id FROM warranties", {}) == consumer.id
