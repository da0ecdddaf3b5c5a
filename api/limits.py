"""Rate limits: fixed windows, counted in this process's memory by the `limits` library.

`RateLimitMiddleware` counts by address before anything else looks at a request; limits by user are counted
where the user is known, in the family's caller.
"""

import re
import time
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.config import ApiConfig
from api.errors import Problem, answer

EVCMS_WINDOW_MINUTES = 15
EVCMS_PREFIX = "/api/v1"
# A payment provider calls from few addresses, for everybody; what it sends is signed.
EVCMS_WEBHOOKS = "/api/v1/payments/"
# Only these two: the paths with a slash at their end belong to another family.
IENERZY_AUTH = frozenset({"/api/auth/login", "/api/auth/verify-otp"})
MOBILE_LOGINS = frozenset({"/api/mobile/auth/login", "/api/mobile/admin/login"})
MOBILE_TRIES_MINUTES = 15
# With the slash that tells Lithovolt's paths from Ienerzy's (conflict C01).
LITHOVOLT_AUTH = re.compile(r"/api/auth/.*/")
LITHOVOLT_TRIES_MINUTES = 15
# Anybody may ask; nobody is to go through all serial numbers.
LITHOVOLT_PUBLIC = "/api/warranty/verify/"


@dataclass(frozen=True, slots=True)
class Window:
    """Where a client stands in its window; `reset_s` is Unix time."""

    is_within: bool
    limit: int
    remaining: int
    reset_s: int

    @property
    def retry_after_s(self) -> int:
        """Seconds until the window ends, one at least."""
        return max(1, self.reset_s - int(time.time()))


class RateLimiter:
    """All limits; the library keeps its own (system) clock."""

    def __init__(self, config: ApiConfig) -> None:
        self._windows = FixedWindowRateLimiter(MemoryStorage())
        self._evcms = RateLimitItemPerMinute(
            config.evcms_requests_per_15_minutes, EVCMS_WINDOW_MINUTES, namespace="evcms"
        )
        self._ienerzy_auth = RateLimitItemPerMinute(config.ienerzy_auth_per_minute, namespace="ienerzy-auth")
        self._ienerzy_user = RateLimitItemPerMinute(
            config.ienerzy_requests_per_minute, namespace="ienerzy-user"
        )
        self._ienerzy_upload = RateLimitItemPerMinute(
            config.ienerzy_uploads_per_minute, namespace="ienerzy-upload"
        )
        self._ienerzy_message = RateLimitItemPerMinute(
            config.ienerzy_messages_per_minute, namespace="ienerzy-message"
        )
        self._mobile_login = RateLimitItemPerMinute(config.mobile_logins_per_minute, namespace="mobile-login")
        self._mobile_tries = RateLimitItemPerMinute(
            config.mobile_login_tries, MOBILE_TRIES_MINUTES, namespace="mobile-tries"
        )
        self._lithovolt_auth = RateLimitItemPerMinute(
            config.lithovolt_auth_per_minute, namespace="lithovolt-auth"
        )
        self._lithovolt_public = RateLimitItemPerMinute(
            config.lithovolt_verifications_per_minute, namespace="lithovolt-public"
        )
        self._lithovolt_tries = RateLimitItemPerMinute(
            config.lithovolt_login_tries, LITHOVOLT_TRIES_MINUTES, namespace="lithovolt-tries"
        )

    async def evcms(self, address: str) -> Window:
        """Count a request to /api/v1 by its address."""
        return await self._hit(self._evcms, address)

    async def ienerzy_auth(self, whom: str) -> Window:
        """Count a sign-in request by its address, or a one-time password by its phone."""
        return await self._hit(self._ienerzy_auth, whom)

    async def ienerzy_user(self, user_id: int) -> Window:
        """Count a request by its user."""
        return await self._hit(self._ienerzy_user, str(user_id))

    async def ienerzy_upload(self, user_id: int) -> Window:
        """Count a document that a user sends."""
        return await self._hit(self._ienerzy_upload, str(user_id))

    async def ienerzy_message(self, user_id: int) -> Window:
        """Count a text message that a user sends to whatever phone."""
        return await self._hit(self._ienerzy_message, str(user_id))

    async def mobile_login(self, address: str) -> Window:
        """Count a sign-in request of the Mobile family by its address."""
        return await self._hit(self._mobile_login, address)

    async def mobile_try(self, account: str) -> Window:
        """Count a password tried for an account, by its login, from wherever it comes."""
        return await self._hit(self._mobile_tries, account)

    async def forget_mobile_tries(self, account: str) -> None:
        """Begin again at zero: the password was right."""
        await self._windows.clear(self._mobile_tries, account)

    async def lithovolt_auth(self, address: str) -> Window:
        """Count a sign-in request of the Lithovolt family by its address."""
        return await self._hit(self._lithovolt_auth, address)

    async def lithovolt_public(self, address: str) -> Window:
        """Count what anybody asks of a warranty by its address."""
        return await self._hit(self._lithovolt_public, address)

    async def lithovolt_try(self, what: str, account: str) -> Window:
        """Count what is tried for an account, by its login, from wherever it comes, as in "password"."""
        return await self._hit(self._lithovolt_tries, f"{what}:{account}")

    async def forget_lithovolt_tries(self, what: str, account: str) -> None:
        """Begin again at zero: it was right."""
        await self._windows.clear(self._lithovolt_tries, f"{what}:{account}")

    async def _hit(self, item: RateLimitItem, key: str) -> Window:
        is_within = await self._windows.hit(item, key)
        stats = await self._windows.get_window_stats(item, key)
        return Window(is_within, item.amount, stats.remaining, int(stats.reset_time))


def too_many_requests(window: Window) -> Problem:
    """The refusal of a request beyond its limit."""
    return Problem(
        429,
        "Rate limit exceeded",
        "Too many requests. Please try again later.",
        retry_after_s=window.retry_after_s,
    )


class RateLimitMiddleware:
    """Counts by address; every answer of /api/v1 carries its X-RateLimit headers, refusals and 500 too.

    But for the webhooks of payment providers, which nobody counts.
    """

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path.startswith(EVCMS_WEBHOOKS):
            await self._app(scope, receive, send)
        elif path == EVCMS_PREFIX or path.startswith(f"{EVCMS_PREFIX}/"):
            window = await self._limiter.evcms(_address(scope))
            await self._pass(window, scope, receive, _with_headers(send, window))
        elif path in IENERZY_AUTH:
            await self._pass(await self._limiter.ienerzy_auth(_address(scope)), scope, receive, send)
        elif path in MOBILE_LOGINS:
            await self._pass(await self._limiter.mobile_login(_address(scope)), scope, receive, send)
        elif LITHOVOLT_AUTH.fullmatch(path):
            await self._pass(await self._limiter.lithovolt_auth(_address(scope)), scope, receive, send)
        elif path.startswith(LITHOVOLT_PUBLIC):
            await self._pass(await self._limiter.lithovolt_public(_address(scope)), scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _pass(self, window: Window, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if window.is_within else answer(scope["path"], too_many_requests(window))
        await app(scope, receive, send)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _with_headers(send: Send, window: Window) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-RateLimit-Limit"] = str(window.limit)
            headers["X-RateLimit-Remaining"] = str(window.remaining)
            headers["X-RateLimit-Reset"] = str(window.reset_s)
        await send(message)

    return send_with_headers
