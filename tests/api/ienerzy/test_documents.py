"""Documents of consumers: by address and as files, readers, review, limits (IE-013, IE-X04, IE-X06)."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from api.config import ApiConfig
from stream.files import DiskStore, FileStoreError, StoredFile
from tests.api.helpers import Service
from tests.api.ienerzy.people import PAN, World

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\nstartxref\n0\n%%EOF\n"
LINK = {
    "document_type": "pan_card",
    "document_url": "https://storage.example.com/pan_card.jpg",
    "document_number": PAN,
}


@pytest.fixture
def config(config: ApiConfig, tmp_path: Path) -> ApiConfig:
    return replace(config, files=DiskStore(tmp_path), ienerzy_uploads_per_minute=1_000)


def jpeg() -> bytes:
    picture, exif = Image.new("RGB", (40, 30), "navy"), Image.Exif()
    exif[0x010E] = "where I live"
    target = io.BytesIO()
    picture.save(target, "JPEG", exif=exif)
    return target.getvalue()


async def send_file(
    world: World, name: str, content: bytes, status: int = 201, type_: str = "pan_card", **fields: str
) -> Any:
    return await world.call(
        world.dealer,
        "POST",
        f"/consumers/{world.consumer.id}/documents",
        status,
        files={"file": (name, content)},
        data={"document_type": type_, **fields},
    )


async def test_a_document_by_its_address(world: World) -> None:
    url = f"/consumers/{world.consumer.id}/documents"
    answer = await world.call(world.dealer, "POST", url, 201, json={**LINK, "status": "verified", "id": 7})
    assert set(answer) == {"message", "document", "note"}
    assert answer["message"] == "Document uploaded successfully"
    document = answer["document"]
    assert document.pop("uploaded_at").endswith("Z")
    assert document == {
        "id": document["id"],
        "consumer_id": world.consumer.id,
        **LINK,
        "status": "pending_verification",
        "notes": None,
        "reviewed_at": None,
    }
    by_admin = await world.call(world.admin, "POST", url, 201, json={**LINK, "document_type": "other"})
    assert by_admin["document"]["document_number"] == "XXXX234F"
    without = {"document_type": "photo", "document_url": "http://example.com/x"}
    bare = await world.call(world.dealer, "POST", url, 201, json=without)
    assert bare["document"]["document_number"] is None
    short = await world.call(world.admin, "POST", url, 201, json={**without, "document_number": "1234"})
    nothing = {**without, "document_number": None}
    assert (await world.call(world.dealer, "POST", url, 201, json=nothing))["document"]["id"]
    assert short["document"]["document_number"] == "XXXXXXXX"
    listed = await world.call(world.consumer, "GET", url)
    assert [row["document_number"] for row in listed] == [None, "XXXXXXXX", None, "XXXX234F", "XXXX234F"]
    async with world.pool.connection() as db:
        rows = await (await db.execute("SELECT consumer_documents::text FROM consumer_documents")).fetchall()
    assert not any(PAN in text or PAN.encode().hex() in text for (text,) in rows)


async def test_what_is_no_document(world: World) -> None:
    url = f"/consumers/{world.consumer.id}/documents"
    for wrong in (
        {"document_type": "PAN card"},
        {"document_number": "ABC"},
        {"document_url": "javascript:alert(1)"},
        {"document_url": "https://"},
        {"document_url": "http://["},
        {"document_url": "https://example.com/\0"},
        {"document_url": "https://example.com/" + "x" * 2_000},
        {"document_type": "aadhar_card", "document_number": "123456789012"},
    ):
        await world.call(world.dealer, "POST", url, 400, json={**LINK, **wrong})
    missing = await world.call(world.dealer, "POST", url, 400, json={"document_type": "pan_card"})
    assert missing == {"error": "Missing required fields", "details": "document_url is required"}
    for junk in (b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'"x"'):
        await world.call(world.dealer, "POST", url, 400, content=junk)
    await world.call(world.dealer, "POST", url, 400, content=b'{"a":"' + b"x" * 1_048_577 + b'"}')
    form = {"Content-Type": "multipart/form-data", **world.dealer.headers}
    assert (await world.api.post(f"/api{url}", content=b"x", headers=form)).status_code == 400
    assert await world.call(world.dealer, "GET", url) == []


async def test_a_file_is_what_its_content_says_and_is_read_by_whom_it_concerns(
    world: World, tmp_path: Path
) -> None:
    stranger = await world.person("consumer", "+919855555555", world.dealer.id)
    picture = (await send_file(world, "../../pan.JPG", jpeg(), document_number=PAN))["document"]
    paper = (await send_file(world, "bill.pdf", PDF, type_="utility_bill"))["document"]
    assert picture["document_number"] == PAN
    path = picture["document_url"].removeprefix("http://localhost:5000/api")
    assert path == f"/consumers/{world.consumer.id}/documents/{picture['id']}/file"
    for who in (world.dealer, world.admin, world.consumer):
        kept = await world.call(who, "GET", path)
        assert b"where I live" not in kept
        assert Image.open(io.BytesIO(kept)).size == (40, 30)
    await world.call(None, "GET", path, 401)
    for person, status in ((world.technician, 403), (world.other_dealer, 404), (stranger, 404)):
        await world.call(person, "GET", path, status)
    crossed = path.replace(f"/consumers/{world.consumer.id}/", f"/consumers/{stranger.id}/")
    await world.call(world.dealer, "GET", crossed, 404)
    headers = (await world.api.get(f"/api{path}", headers=world.dealer.headers)).headers
    assert headers["content-type"] == "image/jpeg"
    assert headers["cache-control"] == "private, no-store"
    assert headers["x-content-type-options"] == "nosniff"
    answer = await world.api.get(
        f"/api/consumers/{world.consumer.id}/documents/{paper['id']}/file", headers=world.dealer.headers
    )
    assert answer.content == PDF
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert len(list((tmp_path / "consumer").iterdir())) == 2

    docx = b"PK\x03\x04"
    for name, content in (
        ("a.jpg", PDF),
        ("a.pdf", jpeg()),
        ("a.png", jpeg()),
        ("a.jpg", b""),
        ("a.docx", docx),
        ("a.exe", b"MZ"),
        ("a.html", b"<script>"),
        ("a.pdf", b"%PDF-1.4" + b"x" * 10_485_761),
    ):
        await send_file(world, name, content, 400)
    await send_file(world, "a.pdf", PDF, 400, type_="Not A Type")
    await send_file(world, "a.pdf", PDF, 400, document_number="123")
    only = {"document_type": "pan_card", "file": "no file"}
    url = f"/consumers/{world.consumer.id}/documents"
    await world.call(world.dealer, "POST", url, 400, data=only, files={"other": ("a.pdf", PDF)})
    assert len(list((tmp_path / "consumer").iterdir())) == 2
    link = (await world.call(world.dealer, "POST", url, 201, json=LINK))["document"]
    await world.call(world.dealer, "GET", f"{url}/{link['id']}/file", 404)
    for lost in (tmp_path / "consumer").iterdir():
        lost.unlink()
    await world.call(world.dealer, "GET", path, 404)


async def test_review(world: World) -> None:
    url = f"/consumers/{world.consumer.id}/documents"
    made = (await world.call(world.dealer, "POST", url, 201, json=LINK))["document"]
    rejected = {"status": "rejected", "notes": "not readable"}
    after = await world.call(world.dealer, "PUT", f"{url}/{made['id']}", json=rejected)
    assert (after["status"], after["notes"]) == ("rejected", "not readable")
    verified = await world.call(
        world.admin, "PUT", f"{url}/{made['id']}", json={"status": "verified", "notes": None}
    )
    assert (verified["status"], verified["notes"]) == ("verified", None)
    assert verified["document_number"] == "XXXX234F"
    (listed,) = await world.call(world.dealer, "GET", url)
    assert listed == {**verified, "document_number": PAN}
    for reference in ("0", "x", "9" * 25, str(made["id"] + 1)):
        await world.call(world.dealer, "PUT", f"{url}/{reference}", 404, json=rejected)
        await world.call(world.dealer, "GET", f"{url}/{reference}/file", 404)
    await world.call(world.dealer, "PUT", f"{url}/{made['id']}", 400, json={"status": "pending_verification"})


async def test_ten_a_minute_from_one_user(world: World, make_service: Callable[..., Service]) -> None:
    strict = replace(world, api=make_service(ienerzy_uploads_per_minute=10).client)
    url = f"/consumers/{world.consumer.id}/documents"
    for _ in range(10):
        await strict.call(world.dealer, "POST", url, 201, json=LINK)
    refusal = await strict.call(world.dealer, "POST", url, 429, json=LINK)
    assert refusal["retry_after"] > 0
    await strict.call(world.admin, "POST", url, 201, json=LINK)


class _Away:
    async def put(self, key: str, source: Path, mimetype: str) -> None:
        raise FileStoreError("away")

    async def open(self, key: str) -> StoredFile:
        raise FileStoreError("away")

    async def delete(self, key: str) -> None:
        raise FileStoreError("away")


async def test_while_the_store_is_away_nothing_is_entered(
    world: World, make_service: Callable[..., Service]
) -> None:
    kept = (await send_file(world, "bill.pdf", PDF))["document"]
    without = replace(world, api=make_service(files=_Away()).client)
    refusal = await send_file(without, "bill.pdf", PDF, 500)
    assert refusal["error"] == "File store not available"
    url = f"/consumers/{world.consumer.id}/documents"
    await without.call(world.dealer, "GET", f"{url}/{kept['id']}/file", 500)
    assert [row["id"] for row in await world.call(world.dealer, "GET", url)] == [kept["id"]]
