"""Uploads (EV-134, EV-136): what is taken, who may read it, and links that expire."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from structlog.testing import capture_logs

from storage.database import Pool, fetch_value
from storage.queries.uploads import find_upload
from stream.files import DiskStore, FileStoreError
from tests.api.helpers import Clock, Person, Service
from tests.stream.test_files import PDF, docx, picture

URL = "/api/v1/upload"
BASE = "https://charge.example"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def client(make_service: Callable[..., Service], folder: Path) -> httpx.AsyncClient:
    return make_service(files=DiskStore(folder), public_url=BASE).client


async def send(
    client: httpx.AsyncClient, person: Person, name: str, content: bytes, type_: str | None = "profile"
) -> httpx.Response:
    form = {} if type_ is None else {"type": type_}
    return await client.post(URL, files={"file": (name, content)}, data=form, headers=person.headers)


async def sent(client: httpx.AsyncClient, person: Person, *arguments: Any) -> dict[str, Any]:
    answer = await send(client, person, *arguments)
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def path_of(url: str) -> str:
    return url.removeprefix(BASE)


async def test_a_picture_is_kept_and_anybody_may_see_it(
    client: httpx.AsyncClient, pool: Pool, driver: Person
) -> None:
    data = await sent(client, driver, "me.JPEG", picture("JPEG", (2_000, 1_000)))
    assert re.fullmatch(r"[0-9a-f]{32}\.jpg", data["filename"])
    assert data["url"] == f"{BASE}/uploads/profile/{data['filename']}"
    assert data["mimetype"] == "image/jpeg"
    answer = await client.get(path_of(data["url"]))
    assert answer.status_code == 200
    assert len(answer.content) == data["size"]
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "immutable" in answer.headers["Cache-Control"]
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (1_600, 800)
    thumbnail = await client.get(path_of(data["thumbnailUrl"]))
    with Image.open(io.BytesIO(thumbnail.content)) as image:
        assert image.size == (320, 160)
    async with pool.connection() as db:
        row = await find_upload(db, "profile", data["filename"])
    assert row is not None
    assert (row.user_id, row.original, row.size_bytes) == (driver.id, "me.JPEG", data["size"])


async def test_a_document_is_for_its_sender_and_admins_alone(
    client: httpx.AsyncClient, driver: Person, stranger: Person, brand: Person, admin: Person
) -> None:
    data = await sent(client, driver, "my pass.pdf", PDF, "document")
    path = path_of(data["url"])
    for person, status in ((driver, 200), (admin, 200), (stranger, 403), (brand, 403)):
        answer = await client.get(path, headers=person.headers)
        assert answer.status_code == status
        if status == 200:
            assert answer.content == PDF
            assert answer.headers["Cache-Control"] == "private, no-store"
            assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''my%20pass.pdf"
    anonymous = await client.get(path)
    assert (anonymous.status_code, anonymous.json()["success"]) == (401, False)
    assert (await client.get(path, headers={"Authorization": "Bearer x"})).status_code == 401


async def test_a_link_lets_anybody_in_until_it_expires(
    client: httpx.AsyncClient, clock: Clock, driver: Person, stranger: Person, admin: Person
) -> None:
    content = docx()
    data = await sent(client, driver, "a.docx", content, "document")
    other = await sent(client, driver, "b.pdf", PDF, "document")
    link = f"/api/v1/uploads/{data['filename']}/link"
    assert (await client.get(link, headers=stranger.headers)).status_code == 403
    assert (await client.get(link, headers=admin.headers)).status_code == 200
    answer = await client.get(link, headers=driver.headers)
    url = path_of(answer.json()["data"]["url"])
    assert (await client.get(url)).content == content
    assert (await client.get(url.replace(data["filename"], other["filename"]))).status_code == 403
    assert (await client.get(re.sub(r"expires=\d+", "expires=99999999999", url))).status_code == 403
    assert (await client.get(url[:-1] + ("A" if url[-1] != "A" else "B"))).status_code == 403
    clock.advance(16 * 60)
    assert (await client.get(url)).status_code == 401


REFUSED = [
    ("a.png", b"MZ", "profile", 400), ("a.exe", b"MZ", "document", 400), ("a.pdf", PDF, "profile", 400),
    ("a.html", b"<script>", "document", 400), ("a.svg", b"<svg/>", "profile", 400),
    ("a.png", picture("JPEG"), "profile", 400), ("a.pdf", b"<html>" + PDF, "document", 400),
    ("a.png", bytes(5 * 2**20 + 1), "profile", 400), ("a.pdf", bytes(10 * 2**20 + 1), "document", 400),
    ("a.pdf", bytes(12 * 2**20), "document", 400), ("a.png", b"", "profile", 400),
    ("a.png", picture(), "avatar", 422), ("a.png", picture(), None, 422),
    ("a.png", picture(), "../etc", 422),
]  # fmt: skip


async def test_what_is_not_taken_leaves_nothing_behind(
    client: httpx.AsyncClient, folder: Path, pool: Pool, driver: Person
) -> None:
    for name, content, type_, status in REFUSED:
        answer = await send(client, driver, name, content, type_)
        assert answer.status_code == status, (name, type_, answer.text)
        body = answer.json()
        assert (body["success"], body["statusCode"]) == (False, status)
        assert body["message"]
    assert not list(folder.rglob("*.*"))
    async with pool.connection() as db:
        assert await fetch_value(db, "SELECT count(*) FROM uploads", {}) == 0


async def test_the_form_must_be_one(client: httpx.AsyncClient, driver: Person) -> None:
    answer = await client.post(URL, json={"type": "profile"}, headers=driver.headers)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == ["file", "type"]
    broken = {"Content-Type": "multipart/form-data; boundary=x", **driver.headers}
    answer = await client.post(URL, content=b"--y\r\nnonsense", headers=broken)
    assert answer.status_code in {400, 422}
    two = [("file", ("a.png", picture())), ("file", ("b.png", picture()))]
    answer = await client.post(URL, files=two, data={"type": "profile"}, headers=driver.headers)
    assert answer.status_code == 400
    answer = await client.post(URL, files={"file": ("a.png", picture())}, data={"type": "profile"})
    assert answer.status_code == 401


async def test_no_name_escapes(client: httpx.AsyncClient, folder: Path, driver: Person) -> None:
    for name in (
        "../../../etc/passwd.png",
        "..\\..\\a.png",
        "a\r\nX: y.png",
        "/root/a.png",
        "\u202egnp.png",
        ".png",
    ):
        answer = await send(client, driver, name, picture())
        if name == ".png":
            assert answer.status_code == 400  # a name without an extension
            continue
        data = answer.json()["data"]
        assert (folder / "profile" / data["filename"]).exists()
    assert {path.parent.name for path in folder.rglob("*.png")} == {"profile"}


NOWHERE = [
    "/uploads/profile/none.png", "/uploads/none/x.png", "/uploads/profile/..%2f..%2fetc%2fpasswd",
    "/uploads/profile/%2e%2e/x.png", "/uploads/profile/%00.png", "/uploads/..%2fuploads/x.png",
    "/uploads/profile", "/uploads/profile/a'--.png", "/uploads/profile/%ff.png", "/uploads/profile%00/x.png",
]  # fmt: skip


async def test_a_path_to_nothing_is_nothing(client: httpx.AsyncClient) -> None:
    for path in NOWHERE:
        answer = await client.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["success"] is False


async def test_a_store_that_fails_keeps_no_row(
    make_service: Callable[..., Service], folder: Path, pool: Pool, driver: Person
) -> None:
    class Failing(DiskStore):
        async def put(self, key: str, source: Path, mimetype: str) -> None:
            if "-thumb" in key:
                raise FileStoreError("the disk is full")
            await super().put(key, source, mimetype)

    client = make_service(files=Failing(folder)).client
    answer = await send(client, driver, "a.png", picture())
    assert (answer.status_code, answer.json()["success"]) == (503, False)
    assert not list(folder.rglob("*.png"))
    async with pool.connection() as db:
        assert await fetch_value(db, "SELECT count(*) FROM uploads", {}) == 0


async def test_a_row_that_fails_keeps_no_file(
    client: httpx.AsyncClient, folder: Path, pool: Pool, driver: Person
) -> None:
    async with pool.connection() as db:
        await db.execute("ALTER TABLE uploads ADD CHECK (size_bytes < 0)")
    with capture_logs() as logs:
        answer = await send(client, driver, "a.png", picture())
    assert answer.status_code == 500
    assert [each["event"] for each in logs] == ["request_failed"]
    assert not list(folder.rglob("*.png"))


async def test_a_file_that_the_store_lost_is_not_there(
    client: httpx.AsyncClient, folder: Path, driver: Person
) -> None:
    data = await sent(client, driver, "a.png", picture())
    (folder / "profile" / data["filename"]).unlink()
    assert (await client.get(path_of(data["url"]))).status_code == 404
