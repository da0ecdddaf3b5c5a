"""Push messages to the app by the configured provider; used by `stream.notices` through the outbox."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import jwt
import structlog

from stream.providers import ProviderAwayError, post_json

log = structlog.get_logger()

FCM_URL = "https://fcm.googleapis.com"
FCM_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"  # RFC 7523 section 2.1
GRANT_LIFE_S = 3_600
TOKEN_SLACK_S = 60


@dataclass(frozen=True, slots=True)
class PushMessage:
    """`token`: what the app registered; `kind`: for the app to open the right screen."""

    reference: int
    token: str = field(repr=False)
    kind: str
    body: str


class PushProvider(Protocol):
    """Brings a message to an installed app."""

    name: str

    async def send(self, message: PushMessage) -> str:
        """Return the provider's name for the message. Raises `ProviderRefusedError`, `ProviderAwayError`."""


class LogPush:
    """For development and demonstrations."""

    name = "log"

    async def send(self, message: PushMessage) -> str:
        """Write the message to the log."""
        log.info("push_message", kind=message.kind, body=message.body)
        return f"log-{message.reference}"


@dataclass(frozen=True, slots=True)
class FcmSettings:
    """Of a Google service account's key file; `url` is for tests."""

    project_id: str
    client_email: str
    private_key: str = field(repr=False)
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 (an address)
    url: str = FCM_URL


class Fcm:
    """Firebase Cloud Messaging, HTTP v1; an access token is fetched when needed and kept while good."""

    name = "fcm"

    def __init__(self, settings: FcmSettings, clock_s: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock_s = clock_s
        self._token, self._good_until_s = "", 0.0

    async def send(self, message: PushMessage) -> str:
        """Send one notification, with `kind` as its data."""
        settings = self._settings
        answer = await post_json(
            self.name,
            f"{settings.url}/v1/projects/{settings.project_id}/messages:send",
            headers={"Authorization": f"Bearer {await self._access_token()}"},
            json={
                "message": {
                    "token": message.token,
                    "notification": {"body": message.body},
                    "data": {"kind": message.kind},
                }
            },
        )
        return str(answer.get("name", ""))

    async def _access_token(self) -> str:
        now_s = self._clock_s()
        if now_s < self._good_until_s:
            return self._token
        settings = self._settings
        claims = {
            "iss": settings.client_email,
            "scope": FCM_SCOPE,
            "aud": settings.token_uri,
            "iat": int(now_s),
            "exp": int(now_s) + GRANT_LIFE_S,
        }
        assertion = jwt.encode(claims, settings.private_key, "RS256")
        answer = await post_json(
            self.name, settings.token_uri, data={"grant_type": GRANT_TYPE, "assertion": assertion}
        )
        if not answer.get("access_token"):
            raise ProviderAwayError(f"{self.name} gave no access token")
        self._token = str(answer["access_token"])
        self._good_until_s = now_s + float(answer.get("expires_in", 0)) - TOKEN_SLACK_S
        return self._token
