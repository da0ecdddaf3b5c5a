"""The HTTP API of The Things Stack: downlinks to devices behind webhooks, and uplinks that it has stored.

Used by the roles `callbacks` and `mqtt`. The API key goes to the configured address and to no other, whatever
a webhook's headers say.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx

from ingest.lorawan.addresses import Address, Way
from ingest.lorawan.downlinks import NotSentError, RefusedError, UncertainError
from protocols.lorawan import downlinks
from protocols.lorawan.downlinks import Downlink
from protocols.lorawan.events import EVENT_BYTES_MAX, Server
from protocols.timestamps import format_utc_ms

PAGE = 500  # uplinks asked for at a time
EXCERPT_CHARACTERS_MAX = 200
_BASE_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+", re.ASCII)
_RETRY_STATUSES = (408, 425, 429, 500, 502, 503, 504)
_UNCERTAIN_STATUSES = (500, 502, 504)  # what stood behind the one that answers may have done its work


class StorageError(Exception):
    """The storage integration did not give what was asked for; `is_final`: asking again is no use."""

    def __init__(self, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class ThingsStackConfig:
    """`url`: scheme and host. `api_key`: may write downlinks and read traffic. `webhook`: its default id."""

    url: str
    api_key: str = field(repr=False)
    webhook: str = "gridwire"
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if _BASE_URL.fullmatch(self.url) is None:
            raise ValueError(f"{self.url[:200]!r} must be http(s)://host[:port] of The Things Stack")


class ThingsStackApi:
    """One for each process; close it by `opened`."""

    way: Way = "http"

    def __init__(self, config: ThingsStackConfig, client: httpx.AsyncClient) -> None:
        self._config = config
        self._client = client

    @classmethod
    @asynccontextmanager
    async def opened(cls, config: ThingsStackConfig) -> AsyncIterator["ThingsStackApi"]:
        """Give an API with connections of its own, for as long as the context lasts."""
        headers = {"Authorization": f"Bearer {config.api_key}", "User-Agent": "gridwire"}
        async with httpx.AsyncClient(headers=headers, timeout=config.timeout_s) as client:
            yield cls(config, client)

    async def send(self, server: Server, address: Address, downlink: Downlink) -> None:
        """See `ingest.lorawan.downlinks.Channel`."""
        if server is not Server.THINGS_STACK:
            raise RefusedError(f"{server} takes no downlinks by HTTP")
        webhook = address.webhook or self._config.webhook
        url = downlinks.things_stack_url(self._config.url, address.application, webhook, address.device)
        body = downlinks.things_stack([downlink])
        try:
            answer = await self._client.post(url, content=body, headers={"Content-Type": "application/json"})
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSentError(f"The Things Stack cannot be reached: {error!r}") from error
        except httpx.HTTPError as error:
            raise UncertainError(f"The Things Stack did not answer: {error!r}") from error
        if answer.status_code in _UNCERTAIN_STATUSES:
            raise UncertainError(f"The Things Stack answered {answer.status_code}")
        if answer.status_code in _RETRY_STATUSES:
            raise NotSentError(f"The Things Stack answered {answer.status_code}")
        if not answer.is_success:
            text = answer.text[:EXCERPT_CHARACTERS_MAX]
            raise RefusedError(f"The Things Stack answered {answer.status_code}: {text}")

    async def stored_uplinks(
        self, application: str, device: str, since_us: int, until_us: int
    ) -> AsyncIterator[bytes]:
        """Give the lines (`{"result": ...}`) of a page of stored uplinks, by their arrival, oldest first.

        At most `PAGE` of them: the next page begins behind the arrival of the last. Raises `StorageError`.
        """
        url = (
            f"{self._config.url}/api/v3/as/applications/{quote(application, safe='')}"
            f"/devices/{quote(device, safe='')}/packages/storage/uplink_message"
        )
        params: dict[str, str | int] = {
            "after": format_utc_ms(since_us),
            "before": format_utc_ms(until_us),
            "order": "received_at",
            "limit": PAGE,
        }
        headers = {"Accept": "text/event-stream"}
        try:
            async with self._client.stream("GET", url, params=params, headers=headers) as answer:
                if not answer.is_success:
                    await answer.aread()
                    is_final = answer.status_code not in _RETRY_STATUSES
                    text = answer.text[:EXCERPT_CHARACTERS_MAX]
                    raise StorageError(f"answered {answer.status_code}: {text}", is_final=is_final)
                async for line in _lines(answer.aiter_bytes()):
                    yield line
        except httpx.HTTPError as error:
            raise StorageError(f"did not answer: {error!r}", is_final=False) from error


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Split a stream into its lines without the empty ones; `StorageError` for one without an end."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > EVENT_BYTES_MAX:
            raise StorageError(f"sent a line of more than {EVENT_BYTES_MAX} bytes", is_final=True)
    if rest.strip():
        yield rest
