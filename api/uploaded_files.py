"""Files that come in a form: checked by their content, made harmless, kept, and given out; used by families.

A family names the formats that it takes, the key in the file store, and the row that says whose a file is.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import structlog
from starlette.datastructures import UploadFile
from starlette.responses import StreamingResponse

from api.errors import Problem, not_found
from stream.files import (
    FileMissingError,
    FileStore,
    FileStoreError,
    Format,
    UnfitFileError,
    check_file,
    format_of,
    reduce_image,
)

log = structlog.get_logger()

T = TypeVar("T")

ORIGINAL_CHARACTERS_MAX = 200
DECODERS_MAX = 2  # files looked at, at a time: a picture may take 200 MB
BINARY: Mapping[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_decoders = ThreadPoolExecutor(DECODERS_MAX, thread_name_prefix="pictures")


@dataclass(frozen=True, slots=True)
class FitFile:
    """A file that is taken: what is to be kept of it, and what its sender called it (never a path)."""

    format: Format
    path: Path
    thumbnail: Path | None
    original: str
    size_bytes: int
    sha256: bytes


async def fit_file(
    file: UploadFile, folder: Path, *, check: Callable[[Format], None], is_document: bool
) -> FitFile:
    """Check a file and write what is to be kept of it into `folder`; raises the 400 `Problem`.

    `check` raises `UnfitFileError` for a format that is not taken here. A picture is encoded again; one that
    `is_document` keeps its detail and has no thumbnail.
    """
    try:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_decoders, _fit, file, folder, check, is_document)
    except UnfitFileError as error:
        raise Problem(400, "File not accepted", str(error)) from error


def _fit(file: UploadFile, folder: Path, check: Callable[[Format], None], is_document: bool) -> FitFile:
    name = file.filename or ""
    claimed = format_of(name)
    check(claimed)
    path = folder / "source"
    with path.open("wb") as target:
        file.file.seek(0)
        shutil.copyfileobj(file.file, target)
    check_file(path, claimed)
    thumbnail = None
    if claimed.kind == "image":
        picture = reduce_image(path, claimed, folder, is_document=is_document)
        path, thumbnail = picture.path, picture.thumbnail
    with path.open("rb") as kept:
        digest = hashlib.file_digest(kept, "sha256").digest()
    return FitFile(claimed, path, thumbnail, _original(name), path.stat().st_size, digest)


def _original(name: str) -> str:
    """What the sender called it, as one printable line without folders."""
    last = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(each if each.isprintable() else "_" for each in last)
    return printable.encode(errors="replace").decode()[-ORIGINAL_CHARACTERS_MAX:]


async def keep_files(
    store: FileStore, files: Mapping[str, Path], mimetype: str, enter: Callable[[], Awaitable[T]]
) -> T:
    """First the bytes by their keys, then the rows by `enter`: a row never names what is not there.

    Where one of it fails nothing stays. Raises `FileStoreError`, and what `enter` raises.
    """
    try:
        for key, path in files.items():
            await store.put(key, path, mimetype)
        return await enter()
    except BaseException:
        await asyncio.shield(_forget(store, files))
        raise


async def _forget(store: FileStore, keys: Iterable[str]) -> None:
    for key in keys:
        try:
            await store.delete(key)
        except FileStoreError as error:
            log.warning("upload_orphaned", key=key, error=str(error))


async def give_file(
    store: FileStore, key: str, mimetype: str, headers: Mapping[str, str]
) -> StreamingResponse:
    """Answer with a stored file; raises the 404 `Problem`, and `FileStoreError`."""
    try:
        stored = await store.open(key)
    except FileMissingError as error:
        raise not_found("File", "No file has this name") from error
    size = {"Content-Length": str(stored.size_bytes)}
    return StreamingResponse(stored.chunks, media_type=mimetype, headers={**headers, **size})


def headers_of(mimetype: str, *, name: str, cache: str, is_private: bool) -> dict[str, str]:
    """What keeps a browser from taking a file for a page of ours; pictures are shown, all else is saved."""
    is_picture = mimetype.startswith("image/")
    return {
        "Cache-Control": cache,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-site" if is_private else "cross-origin",
        "Content-Disposition": "inline" if is_picture else f"attachment; filename*=UTF-8''{quote(name)}",
    }


def away(error: FileStoreError, status: int) -> Problem:
    """The refusal, with the family's status for it, while the file store does not answer."""
    log.error("file_store_failed", error=str(error))
    return Problem(status, "File store not available", "Files cannot be kept or read now: try again later")
