"""Uploaded files: what their bytes are, pictures made anew, and the two stores behind one interface."""

import io
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from PIL import Image

from stream.files import (
    DiskStore,
    FileMissingError,
    FileStore,
    FileStoreError,
    UnfitFileError,
    check_file,
    format_of,
    images,
    reduce_image,
)
from stream.files.kinds import DOCUMENT_BYTES_MAX, IMAGE_BYTES_MAX
from stream.files.s3 import S3Settings, S3Store

KEY = "profile/" + "ab" * 16 + ".png"
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\nxref\ntrailer\n<<>>\nstartxref\n9\n%%EOF\n"
DOC = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600) + "WordDocument".encode("utf-16-le") + bytes(600)
BUCKET = "uploads"


def docx(*more: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in ("[Content_Types].xml", "word/document.xml", *more):
            archive.writestr(name, "<x/>")
    return made.getvalue()


def picture(format_: str = "PNG", size: tuple[int, int] = (40, 20), **options: object) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", size, "red").save(made, format_, **options)
    return made.getvalue()


def check(folder: Path, name: str, content: bytes) -> None:
    path = folder / "source"
    path.write_bytes(content)
    claimed = format_of(name)
    check_file(path, claimed)
    if claimed.kind == "image":
        reduce_image(path, claimed, folder, is_document=False)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pdf", PDF), ("a.doc", DOC), ("A.DOCX", docx()), ("a.png", picture()), ("a.JPG", picture("JPEG")),
        ("a.jpeg", picture("JPEG")), ("a.gif", picture("GIF")),
    ],
)  # fmt: skip
def test_what_a_file_is_is_what_its_name_says(tmp_path: Path, name: str, content: bytes) -> None:
    check(tmp_path, name, content)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.exe", b"MZ", "not taken"), ("a", b"x", "not taken"), ("a.svg", b"<svg/>", "not taken"),
        ("a.pdf.html", PDF, "not taken"), ("a.pdf", b"", "empty"), ("a.pdf", b"%PDF-1.7\n", "not PDF"),
        ("a.pdf", b"<html>" + PDF, "not PDF"), ("a.pdf", picture(), "not PDF"), ("a.png", PDF, "not PNG"),
        ("a.png", picture("JPEG"), "not PNG"), ("a.gif", b"GIF89a<script>", "not GIF"),
        ("a.jpg", picture("JPEG")[:100], "not JPEG"), ("a.doc", docx(), "not DOC"),
        ("a.docx", DOC, "not DOCX"),
        ("a.docx", docx("word/vbaProject.bin"), "not DOCX"),
        ("a.docx", b"PK\x03\x04" + bytes(100), "not DOCX"),
        ("a.docx", b"#!/bin/sh\n" + docx(), "not DOCX"), ("a.doc", DOC[:8] + bytes(100), "not DOC"),
        ("a.png", bytes(IMAGE_BYTES_MAX + 1), "at most 5 MB"),
        ("a.pdf", bytes(DOCUMENT_BYTES_MAX + 1), "at most 10 MB"),
    ],
)  # fmt: skip
def test_a_disguised_file_is_refused(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    with pytest.raises(UnfitFileError, match=why):
        check(tmp_path, name, content)


@given(
    content=st.binary(max_size=400),
    start=st.sampled_from([b"", PDF[:9], DOC[:8], docx()[:60], picture()[:50]]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@pytest.mark.parametrize("name", ["a.pdf", "a.doc", "a.docx", "a.png", "a.jpg", "a.gif"])
def test_no_bytes_do_more_than_be_refused(tmp_path: Path, name: str, start: bytes, content: bytes) -> None:
    with pytest.raises(UnfitFileError):
        check(tmp_path, name, start + content)


def test_a_picture_comes_out_upright_small_and_without_what_it_carried(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010E] = "where I live"
    source = tmp_path / "source"
    source.write_bytes(picture("JPEG", (3_000, 1_000), exif=exif) + b"<?php hidden ?>")
    made = reduce_image(source, format_of("a.jpg"), tmp_path, is_document=False)
    with Image.open(made.path) as image:
        assert image.size == (533, 1_600)
        assert not image.getexif()
    assert b"where I live" not in made.path.read_bytes()
    assert b"<?php" not in made.path.read_bytes()
    assert made.thumbnail is not None
    with Image.open(made.thumbnail) as small:
        assert max(small.size) == 320


def test_a_picture_of_a_document_keeps_its_detail(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(picture("PNG", (2_000, 3_000)))
    made = reduce_image(source, format_of("a.png"), tmp_path, is_document=True)
    assert made.thumbnail is None
    with Image.open(made.path) as image:
        assert image.size == (2_000, 3_000)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "PIXELS_MAX", 100)
    with pytest.raises(UnfitFileError, match="at most 100 pixels"):
        check(tmp_path, "a.png", picture(size=(11, 10)))
    monkeypatch.undo()
    with pytest.raises(UnfitFileError):
        check(tmp_path, "a.png", picture(size=(20_000, 20_000)))


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    if request.param == "disk":
        return DiskStore(tmp_path / "files")
    endpoint = request.getfixturevalue("s3_endpoint")
    settings = S3Settings(BUCKET, "key", "secret", endpoint, prefix="gridwire/")
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="key",
        aws_secret_access_key="secret",
    )  # fmt: skip
    client.create_bucket(Bucket=BUCKET)
    return S3Store(settings)


async def test_what_is_put_comes_out_until_it_is_deleted(store: FileStore, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(200_000)
    source = tmp_path / "source"
    source.write_bytes(content)
    await store.put(KEY, source, "image/png")
    found = await store.open(KEY)
    assert found.size_bytes == len(content)
    assert b"".join([chunk async for chunk in found.chunks]) == content
    await store.delete(KEY)
    await store.delete(KEY)
    with pytest.raises(FileMissingError):
        await store.open(KEY)


@pytest.mark.parametrize(
    "key", ["../secret.png", "profile/../../etc/passwd", "/etc/passwd", "profile/a.png", "profile\\x.png", ""]
)
async def test_no_key_leads_out_of_the_store(store: FileStore, tmp_path: Path, key: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    with pytest.raises(FileMissingError):
        await store.open(key)
    with pytest.raises(FileMissingError):
        await store.put(key, source, "image/png")
    with pytest.raises(FileMissingError):
        await store.delete(key)


async def test_a_store_that_is_away_says_so(tmp_path: Path, s3_endpoint: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    blocked = tmp_path / "a file"
    blocked.write_bytes(b"")
    with pytest.raises(FileStoreError, match="does not do its work"):
        await DiskStore(blocked).put(KEY, source, "image/png")
    with pytest.raises(FileStoreError, match="NoSuchBucket"):
        await S3Store(S3Settings("no-such-bucket", "key", "secret", s3_endpoint)).put(
            KEY, source, "image/png"
        )
    with pytest.raises(FileStoreError, match="does not answer"):
        await S3Store(S3Settings(BUCKET, "key", "secret", "http://127.0.0.1:9")).open(KEY)


def test_a_secret_is_not_printed() -> None:
    assert "hush" not in repr(S3Settings(BUCKET, "key", "hush"))
