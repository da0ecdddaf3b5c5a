"""What providers outside have in common: how they refuse, how they are away, one bounded HTTP request.

Used by `stream.sms`, `stream.push` and `stream.payments`.
"""

import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx

from stream.errors import StreamError

TIMEOUT_S = 10.0
REFUSAL_CHARACTERS_MAX = 300
# What no repetition mends: the request itself is at fault. All else may be mended by time or by an operator.
REFUSED_STATUSES = frozenset({400, 422})


class ProviderError(StreamError):
    """A provider did not do what it was asked for; the message says which, and what it said."""


class ProviderRefusedError(ProviderError):
    """It never will: the number, the token or the text is not good."""


class ProviderAwayError(ProviderError):
    """It may do it later: no answer, no funds, too many requests, credentials that an operator must mend."""


@cache
def _trust() -> ssl.SSLContext:
    """The system's authorities, read once: that takes longer than a request."""
    return ssl.create_default_context()


async def post_json(name: str, url: str, **request: Any) -> Any:
    """POST and return the JSON of the answer; `request` as of `httpx.AsyncClient.post`.

    Raises `ProviderRefusedError` or `ProviderAwayError` for whatever is not a success.
    """
    return await _ask(name, "POST", url, request)


async def get_json(name: str, url: str, **request: Any) -> Any:
    """GET and return the JSON of the answer; errors as of `post_json`."""
    return await _ask(name, "GET", url, request)


async def _ask(name: str, method: str, url: str, request: Mapping[str, Any]) -> Any:
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, verify=_trust()) as client:
            answer = await client.request(method, url, **request)
    except httpx.HTTPError as error:
        raise ProviderAwayError(f"{name} does not answer: {error!r}") from error
    if not answer.is_success:
        text = answer.text.replace("\0", "")[:REFUSAL_CHARACTERS_MAX]  # it is stored with what was refused
        said = f"{name} answered {answer.status_code}: {text}"
        raise (ProviderRefusedError if answer.status_code in REFUSED_STATUSES else ProviderAwayError)(said)
    try:
        return answer.json()
    except ValueError as error:
        raise ProviderAwayError(
            f"{name} answered {answer.status_code} with something else than JSON"
        ) from error
