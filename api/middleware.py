"""What happens to a request before it meets a route: unexpected errors, large bodies, trailing slashes."""

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Problem, answer
from api.limits import EVCMS_PREFIX

log = structlog.get_logger()


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
    """Refuses bodies of more than `bytes_max` bytes, whether they announce their length or not."""

    def __init__(self, app: ASGIApp, bytes_max: int) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read_bytes = 0

        async def counted() -> Message:
            nonlocal read_bytes
            message = await receive()
            read_bytes += len(message.get("body", b""))
            if read_bytes > self._bytes_max:
                raise self._refusal()
            return message

        await self._app(scope, counted, send)

    def _refusal(self) -> Problem:
        return Problem(400, "Request body too large", f"At most {self._bytes_max} bytes are read")


class SlashMiddleware:
    """Lets EV-CMS paths end with a slash or not (conflict C07); no other family's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        path = scope.get("path", "")
        if scope["type"] == "http" and path.startswith(f"{EVCMS_PREFIX}/") and path.endswith("/"):
            scope = {**scope, "path": path[:-1]}
        await self._app(scope, receive, send)
