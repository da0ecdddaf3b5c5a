"""What SMS providers say of messages that they took: delivered or not. For the API and `stream.notices`.

To add a provider: a class with `name` and `read`, given to the API by the composition root.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import parse_qs, parse_qsl

TWILIO_PATH = "/api/messaging/status/twilio"
FIELDS_MAX = 100
REFERENCE_DIGITS_MAX = 18
TEXT_CHARACTERS_MAX = 200


class ForgedStatusError(Exception):
    """The message is not signed by the provider."""


class StatusFormError(Exception):
    """Signed, but not in the provider's documented form: the message names what is missing."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """`reference` is ours (the notice's id); `state` None: on its way still."""

    reference: int
    provider_id: str
    state: Literal["delivered", "failed"] | None
    detail: str | None = None


class SmsStatuses(Protocol):
    """Reads a provider's callbacks."""

    name: str

    def read(self, query: str, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Return what a callback says; header names in lower case.

        Raises `ForgedStatusError` and `StatusFormError`.
        """


_TWILIO_STATES: Mapping[str, Literal["delivered", "failed"]] = {
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
}


def callback_url(public_url: str) -> str:
    """Return where Twilio is to call: below an address that it can reach, "" where ours is none."""
    return f"{public_url}{TWILIO_PATH}" if public_url.startswith("https://") else ""


def status_readers(provider: str, secret: str, public_url: str) -> Mapping[str, SmsStatuses]:
    """Return who reads the callbacks of the configured provider, by its name: nobody where it makes none."""
    url = callback_url(public_url)
    return (
        {TwilioStatuses.name: TwilioStatuses(secret, url)} if provider == TwilioStatuses.name and url else {}
    )


class TwilioStatuses:
    """Twilio's StatusCallback. `callback_url` as `stream.sms` gave it with the message, without its query."""

    name = "twilio"

    def __init__(self, auth_token: str, callback_url: str) -> None:
        self._auth_token = auth_token
        self._callback_url = callback_url

    def read(self, query: str, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Check X-Twilio-Signature, then read MessageSid, MessageStatus and ErrorCode."""
        try:
            form = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX))
        except ValueError as error:
            raise StatusFormError(f"The body is not a form: {error}") from error
        expected = twilio_signature(self._auth_token, f"{self._callback_url}?{query}", form)
        if not hmac.compare_digest(expected.encode(), headers.get("x-twilio-signature", "").encode()):
            raise ForgedStatusError("X-Twilio-Signature does not match")
        reference = parse_qs(query).get("reference", [""])[0]
        if not (reference.isascii() and reference.isdigit() and len(reference) <= REFERENCE_DIGITS_MAX):
            raise StatusFormError("The URL has no reference")
        sid, status = form.get("MessageSid", ""), form.get("MessageStatus", "")
        if not sid or not status or "\0" in sid:
            raise StatusFormError("MessageSid and MessageStatus are needed")
        state = _TWILIO_STATES.get(status)
        detail = _reason(status, form.get("ErrorCode", "")) if state == "failed" else None
        return Delivery(int(reference), sid[:TEXT_CHARACTERS_MAX], state, detail)


def twilio_signature(auth_token: str, url: str, form: Mapping[str, str]) -> str:
    """Return what Twilio signs a request with: HMAC-SHA1 over URL and fields in order of name."""
    signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    digest = hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def _reason(status: str, code: str) -> str:
    return f"twilio: {status}" + (f", error {code}" if code.isascii() and code.isdigit() else "")
