"""What the tests of wallets, top-ups and refunds share."""

from typing import Any

import httpx

from storage import ledger
from storage.database import Pool, fetch_value
from storage.queries.platform_settings import put_stored
from stream.user_wallets import credit
from tests.api.helpers import Clock, Person

WALLET = "/api/v1/profile/wallet"
BILLING = "/api/v1/billing"


async def set_bounds(
    pool: Pool, person: Person, *, minimum: float = 100, maximum: float = 10_000_000
) -> None:
    """In rupees, as an admin sets them."""
    bounds = {"payment": {"minWalletBalance": minimum, "maxWalletBalance": maximum}}
    async with pool.connection() as db:
        await put_stored(db, bounds, updated_by=person.id, now=Clock().moment())


async def fund(pool: Pool, person: Person, amount_minor: int, key: str = "first") -> None:
    async with pool.connection() as db:
        await credit(
            db,
            person.id,
            amount_minor=amount_minor,
            key=f"test:{person.id}:{key}",
            description="Wallet top-up (test)",
            now=Clock().moment(),
        )


async def balance(api: httpx.AsyncClient, person: Person) -> float:
    answer = await api.get(WALLET, headers=person.headers)
    return float(answer.json()["data"]["balance"])


async def post(
    api: httpx.AsyncClient, person: Person, path: str, body: dict[str, Any], key: str | None = None
) -> httpx.Response:
    headers = person.headers | ({"Idempotency-Key": key} if key else {})
    return await api.post(path, json=body, headers=headers)


async def transactions(api: httpx.AsyncClient, person: Person, **query: str) -> list[dict[str, Any]]:
    answer = await api.get(f"{WALLET}/transactions", params=query, headers=person.headers)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    assert answer.json()["pagination"]["total"] == len(rows), "so few that one page has them all"
    return rows


async def assert_books_balance(pool: Pool) -> None:
    """The ledger sums to zero, and what is counted beside the entries is what they are."""
    counted = "SELECT coalesce(sum(entries), 0)::bigint FROM wallet_entry_counts"
    async with pool.connection() as db:
        assert set((await ledger.trial_balance(db)).values()) <= {0}
        assert await fetch_value(db, counted, {}) == await fetch_value(
            db, "SELECT count(*) FROM wallet_entries", {}
        )


async def told(pool: Pool, person: Person) -> list[str]:
    """Keys of what the person was told, in order."""
    query = "SELECT key FROM notifications WHERE user_id = %s ORDER BY id"
    async with pool.connection() as db:
        return [key for (key,) in await (await db.execute(query, [person.id])).fetchall()]


async def live_events(pool: Pool, name: str) -> list[dict[str, Any]]:
    """Payloads of the live events of this name that wait for their announcement."""
    query = "SELECT payload->'payload' FROM outbox WHERE kind = 'live_event' AND payload->>'name' = %s"
    async with pool.connection() as db:
        return [payload for (payload,) in await (await db.execute(query, [name])).fetchall()]
