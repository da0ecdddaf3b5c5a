"""What a client of one person calls, of any family; used by the flows of Ienerzy and Lithovolt."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx

from tests.end_to_end.product import Product

WAIT_S = 20.0
POLL_S = 0.1


class Person:
    """Calls with its own token, and says what was answered where that was not expected."""

    def __init__(self, client: httpx.AsyncClient, token: str = "") -> None:
        self._client = client
        self.token = token

    async def answer(self, method: str, path: str, status: int = 200, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        answer = await self._client.request(method, path, headers=headers, **more)
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        return answer

    async def get(self, path: str, status: int = 200) -> Any:
        return (await self.answer("GET", path, status)).json()

    async def post(self, path: str, body: object = None, status: int = 201) -> Any:
        return (await self.answer("POST", path, status, json=body)).json()

    async def put(self, path: str, body: object, status: int = 200) -> Any:
        return (await self.answer("PUT", path, status, json=body)).json()

    async def patch(self, path: str, body: object = None, status: int = 200) -> Any:
        return (await self.answer("PATCH", path, status, json=body)).json()


async def until(look: Callable[[], Awaitable[Any]], seconds: float = WAIT_S) -> Any:
    """Wait until there is something to see, and return it."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(POLL_S)
        return found


def logged(product: Product, event: str, **facts: str) -> list[Mapping[str, object]]:
    """What the product's services logged, the oldest first."""
    return [
        each
        for _, each in product.events
        if each.get("event") == event and all(each.get(name) == value for name, value in facts.items())
    ]


async def bodies(product: Product, event: str, count: int = 1, **facts: str) -> list[str]:
    """The texts or mails (`event`) that went to somebody, once there are so many."""

    async def enough() -> Any:
        found = logged(product, event, **facts)
        return found if len(found) >= count else None

    return [str(each["body"]) for each in await until(enough)]
