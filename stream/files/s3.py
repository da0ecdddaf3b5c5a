"""Files in an S3-compatible store, by boto3 in threads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stream.files.store import CHUNK_BYTES, FileMissingError, FileStoreError, StoredFile, checked

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20
ATTEMPTS_MAX = 3
CONNECTIONS_MAX = 16
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})


@dataclass(frozen=True, slots=True)
class S3Settings:
    """`endpoint` None: Amazon's own. `prefix` comes before each key, as in "uploads/"."""

    bucket: str
    key_id: str
    secret: str = field(repr=False)
    endpoint: str | None = None
    region: str = "us-east-1"
    prefix: str = ""


class S3Store:
    """Keeps files in one bucket, which must be there."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=settings.key_id,
            aws_secret_access_key=settings.secret,
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"total_max_attempts": ATTEMPTS_MAX, "mode": "standard"},
                max_pool_connections=CONNECTIONS_MAX,
                # what many compatible stores do not know
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    async def put(self, key: str, source: Path, mimetype: str) -> None:
        """Keep what is in `source`: one request, so that it is there whole or not at all."""

        def put() -> None:
            with source.open("rb") as body:
                self._client.put_object(**self._place(key), Body=body, ContentType=mimetype)

        await self._in_thread(key, put)

    async def open(self, key: str) -> StoredFile:
        """Return the file; raises `FileMissingError`."""
        answer = await self._in_thread(key, lambda: self._client.get_object(**self._place(key)))
        return StoredFile(int(answer["ContentLength"]), self._chunks(key, answer["Body"]))

    async def delete(self, key: str) -> None:
        """Forget the file; nothing happens where there is none."""
        await self._in_thread(key, lambda: self._client.delete_object(**self._place(key)))

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self._settings.bucket, "Key": f"{self._settings.prefix}{checked(key)}"}

    async def _chunks(self, key: str, body: Any) -> AsyncIterator[bytes]:
        try:
            while chunk := await self._in_thread(key, lambda: body.read(CHUNK_BYTES)):
                yield chunk
        finally:
            body.close()

    async def _in_thread(self, key: str, work: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(work)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _MISSING:
                raise FileMissingError(f"{key} is not in {self._settings.bucket}") from error
            raise FileStoreError(f"{self._settings.bucket} refused {key}: {code}") from error
        except BotoCoreError as error:
            raise FileStoreError(f"{self._settings.bucket} does not answer: {error}") from error
