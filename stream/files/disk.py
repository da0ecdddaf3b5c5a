"""Files in a folder of this machine: for one machine, or a volume that all API processes share."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO

from stream.files.store import CHUNK_BYTES, FileMissingError, FileStoreError, StoredFile, checked

FOLDER_MODE = 0o700


class DiskStore:
    """Keeps files below `root`, which is made when the first one comes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, key: str, source: Path, mimetype: str) -> None:
        """Copy beside the target, sync, rename: nobody ever sees half a file."""
        await self._in_thread(self._put, self._root / checked(key), source)

    async def open(self, key: str) -> StoredFile:
        """Return the file; raises `FileMissingError`."""
        path = self._root / checked(key)
        try:
            stream = await self._in_thread(path.open, "rb")
        except FileNotFoundError as error:
            raise FileMissingError(f"{key} is not in {self._root}") from error
        return StoredFile(os.fstat(stream.fileno()).st_size, _chunks(stream))

    async def delete(self, key: str) -> None:
        """Forget the file; nothing happens where there is none."""
        await self._in_thread((self._root / checked(key)).unlink, True)

    @staticmethod
    def _put(target: Path, source: Path) -> None:
        target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            with source.open("rb") as read, part.open("xb") as write:
                shutil.copyfileobj(read, write)
                write.flush()
                os.fsync(write.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await asyncio.to_thread(work, *arguments)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise FileStoreError(f"the folder {self._root} does not do its work: {error}") from error


async def _chunks(stream: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while chunk := await asyncio.to_thread(stream.read, CHUNK_BYTES):
            yield chunk
    finally:
        stream.close()
