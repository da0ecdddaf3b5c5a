"""What happens to a request before it meets a route: unexpected errors, large bodies, trailing slashes."""

import re
from collections.abc import Mapping, Sequence

import structlog
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Problem, answer
from api.limits import EVCMS_PREFIX

log = structlog.get_logger()

LITHOVOLT_SLASHLESS = re.compile(
    r"/api/(inventory|orders|warranty|users|notifications|schema|docs|redoc)(/.*[^/])?", re.DOTALL
)


class GuardMiddleware:
    """Answers what nobody expected as a 500 in the family's own words, and logs it.

    The framework's own handler for this stands outside of all middleware, where the answer would go
    without the family's headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def watch(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            log.exception("request_failed", method=scope["method"], path=scope["path"])
            if has_begun:
                raise
            problem = Problem(500, "Internal server error", "The server failed to answer; it is in its log")
            await answer(scope["path"], problem)(scope, receive, send)


class BodyLimitMiddleware:
    """Refuses bodies of more than `bytes_max` bytes, whether they announce their length or not.

    `larger`: patterns of whole paths that have a bound of their own.
    """

    def __init__(self, app: ASGIApp, bytes_max: int, larger: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._larger = [(re.compile(path), bound) for path, bound in (larger or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].rstrip("/")
        bounds = (bound for pattern, bound in self._larger if pattern.fullmatch(path))
        bytes_max = next(bounds, self._bytes_max)
        read_bytes = 0

        async def counted() -> Message:
            nonlocal read_bytes
            message = await receive()
            read_bytes += len(message.get("body", b""))
            if read_bytes > bytes_max:
                raise Problem(400, "Request body too large", f"At most {bytes_max} bytes are read")
            return message

        await self._app(scope, counted, send)


class PagesMiddleware:
    """Lets pages of other hosts call the API (CORS), but for `elsewhere`, which looks after itself."""

    def __init__(self, app: ASGIApp, origins: Sequence[str], elsewhere: str) -> None:
        self._app = app
        self._elsewhere = elsewhere
        self._with_headers = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        is_elsewhere = scope.get("path", "").startswith(self._elsewhere)
        await (self._app if is_elsewhere else self._with_headers)(scope, receive, send)


class SlashMiddleware:
    """Lets EV-CMS paths end with a slash (conflict C07), and Lithovolt's without theirs (conflict C08).

    But for /api/auth, where the slash tells Lithovolt from Ienerzy (conflict C01), and whatever is Ienerzy's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        path = scope.get("path", "")
        if scope["type"] == "http" and path.startswith(f"{EVCMS_PREFIX}/") and path.endswith("/"):
            scope = {**scope, "path": path[:-1]}
        elif scope["type"] == "http" and LITHOVOLT_SLASHLESS.fullmatch(path):
            scope = {**scope, "path": f"{path}/"}
        await self._app(scope, receive, send)
