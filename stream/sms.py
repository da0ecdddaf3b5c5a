"""Text messages by whichever provider is configured; used by `stream.notices` through the outbox.

To add a provider: a class with `name` and `send`, and its line in `PROVIDERS`. Each speaks its provider's own
documented HTTP API: Twilio's Messages resource (2010-04-01), Clickatell's One API (`/v1/message`), the JSON
REST API of BulkSMS (`/v1/messages`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from stream.providers import ProviderAwayError, ProviderRefusedError, post_json

log = structlog.get_logger()

TWILIO_URL = "https://api.twilio.com"
CLICKATELL_URL = "https://platform.clickatell.com"
BULKSMS_URL = "https://api.bulksms.com"
TWILIO_SERVICE_PREFIX = "MG"  # of a messaging service, which picks the number itself


@dataclass(frozen=True, slots=True)
class TextMessage:
    """`reference`: ours, the same when a message is sent again; `phone`: E.164."""

    reference: int
    phone: str
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SmsSettings:
    """`account` and `secret` are what the provider calls them: see `docs/mobile.md`; `url` is for tests.

    `callback_url`: where Twilio tells what became of a message (`stream.sms_status`); "": it need not.
    """

    provider: str = "log"
    account: str = ""
    secret: str = field(default="", repr=False)
    sender: str = ""
    url: str = ""
    callback_url: str = ""


class SmsProvider(Protocol):
    """Brings a text to a phone."""

    name: str

    async def send(self, message: TextMessage) -> str:
        """Return the provider's name for the message. Raises `ProviderRefusedError`, `ProviderAwayError`."""


class LogSms:
    """For development and demonstrations: whoever reads the log reads the messages."""

    name = "log"

    async def send(self, message: TextMessage) -> str:
        """Write the message to the log."""
        log.warning(
            "text_message", phone=message.phone, body=message.body, action="no SMS provider: read it here"
        )
        return f"log-{message.reference}"


class Twilio:
    """`account`: the account SID, `secret`: its auth token, `sender`: a number or a service's SID."""

    name = "twilio"

    def __init__(self, settings: SmsSettings) -> None:
        self._settings = settings

    async def send(self, message: TextMessage) -> str:
        """Create a Message resource."""
        settings = self._settings
        sender = "MessagingServiceSid" if settings.sender.startswith(TWILIO_SERVICE_PREFIX) else "From"
        answer = await post_json(
            self.name,
            f"{settings.url or TWILIO_URL}/2010-04-01/Accounts/{settings.account}/Messages.json",
            data={
                "To": message.phone,
                sender: settings.sender,
                "Body": message.body,
                **_callback(settings, message),
            },
            auth=(settings.account, settings.secret),
        )
        return _text(self.name, answer, "sid")


def _callback(settings: SmsSettings, message: TextMessage) -> dict[str, str]:
    """The parameter that asks for status callbacks; ours in its query, which is signed with it."""
    if not settings.callback_url:
        return {}
    return {"StatusCallback": f"{settings.callback_url}?reference={message.reference}"}


class Clickatell:
    """`secret` is the API key of an integration; `sender` a two-way number, or nothing."""

    name = "clickatell"

    def __init__(self, settings: SmsSettings) -> None:
        self._settings = settings

    async def send(self, message: TextMessage) -> str:
        """Send one message on the channel `sms`; numbers go without their +."""
        settings = self._settings
        one = {
            "channel": "sms",
            "to": message.phone.removeprefix("+"),
            "content": message.body,
            "clientMessageId": str(message.reference),
            **({"from": settings.sender} if settings.sender else {}),
        }
        answer = await post_json(
            self.name,
            f"{settings.url or CLICKATELL_URL}/v1/message",
            json={"messages": [one]},
            headers={"Authorization": settings.secret},
        )
        result = _first(self.name, answer.get("messages") if isinstance(answer, dict) else None)
        if not result.get("accepted"):
            raise ProviderRefusedError(f"{self.name} did not accept the message: {result.get('error')}")
        return _text(self.name, result, "apiMessageId")


class BulkSms:
    """`account` is the token's id, `secret` its secret; `sender` a sender id, or nothing."""

    name = "bulksms"

    def __init__(self, settings: SmsSettings) -> None:
        self._settings = settings

    async def send(self, message: TextMessage) -> str:
        """Submit one message; the provider drops a repetition by its `deduplication-id`."""
        settings = self._settings
        answer = await post_json(
            self.name,
            f"{settings.url or BULKSMS_URL}/v1/messages",
            params={"deduplication-id": message.reference, "auto-unicode": "true"},
            json={
                "to": message.phone,
                "body": message.body,
                **({"from": settings.sender} if settings.sender else {}),
            },
            auth=(settings.account, settings.secret),
        )
        return _text(self.name, _first(self.name, answer), "id")


# Each with the settings that it cannot do without.
PROVIDERS: Mapping[str, tuple[Callable[[SmsSettings], SmsProvider], tuple[str, ...]]] = {
    "log": (lambda _: LogSms(), ()),
    "twilio": (Twilio, ("account", "secret", "sender")),
    "clickatell": (Clickatell, ("secret",)),
    "bulksms": (BulkSms, ("account", "secret")),
}


def sms_provider(settings: SmsSettings) -> SmsProvider:
    """Return the configured provider; raises ValueError that names the setting which is wrong."""
    if settings.provider not in PROVIDERS:
        raise ValueError(
            f"there is no SMS provider {settings.provider!r}: choose one of {', '.join(PROVIDERS)}"
        )
    make, needed = PROVIDERS[settings.provider]
    missing = [name for name in needed if not getattr(settings, name)]
    if missing:
        raise ValueError(f"the SMS provider {settings.provider} needs {' and '.join(missing)}")
    return make(settings)


def _first(name: str, listed: Any) -> Mapping[str, Any]:
    if not isinstance(listed, list) or not listed or not isinstance(listed[0], dict):
        raise ProviderAwayError(f"{name} answered without any message")
    return listed[0]


def _text(name: str, answer: Any, key: str) -> str:
    if not isinstance(answer, dict) or not isinstance(answer.get(key), str):
        raise ProviderAwayError(f"{name} answered without {key}")
    return str(answer[key])
