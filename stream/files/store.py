"""What a store of files does; `stream.files.disk` and `stream.files.s3` do it."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stream.errors import StreamError

CHUNK_BYTES = 65_536
# Names are made by us; whatever else comes is no key of ours.
_KEY = re.compile(r"[a-z]{1,20}/[0-9a-f]{32}(-thumb)?\.[a-z]{2,5}")


class FileStoreError(StreamError):
    """The store did not do what it was asked for; the message says which, and what it said."""


class FileMissingError(FileStoreError):
    """The store has no file with this key."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it comes out: its size in bytes, and its bytes, to be read once."""

    size_bytes: int
    chunks: AsyncIterator[bytes]


class FileStore(Protocol):
    """Keys are `type/name`; a file is there whole or not at all. Raises `FileStoreError`."""

    async def put(self, key: str, source: Path, mimetype: str) -> None:
        """Keep what is in `source`; durable when this returns."""

    async def open(self, key: str) -> StoredFile:
        """Return the file; raises `FileMissingError`."""

    async def delete(self, key: str) -> None:
        """Forget the file; nothing happens where there is none."""


def checked(key: str) -> str:
    """Return the key; raises `FileMissingError` for one that no file of ours can have."""
    if not _KEY.fullmatch(key):
        raise FileMissingError(f"{key!r:.80} is no key of the file store")
    return key
