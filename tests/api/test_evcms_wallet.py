"""EV-CMS wallets without a payment provider: exact money, paged history, nothing credited twice."""

import asyncio

import httpx
import pytest

from storage import ledger
from storage.database import Pool
from storage.queries import outbox
from tests.api.evcms.money import set_bounds
from tests.api.helpers import Person

TOPUP = "/api/v1/profile/wallet/topup"
WALLET = "/api/v1/profile/wallet"


async def top_up(
    api: httpx.AsyncClient, person: Person, amount: object, key: str | None = None
) -> httpx.Response:
    headers = person.headers | ({"Idempotency-Key": key} if key else {})
    return await api.post(TOPUP, json={"amount": amount, "paymentMethod": "upi"}, headers=headers)


async def test_an_unused_wallet_is_empty(api: httpx.AsyncClient, driver: Person) -> None:
    data = (await api.get(WALLET, headers=driver.headers)).json()["data"]
    assert data["balance"] == 0
    assert data["currency"] == "INR"
    assert data["transactions"] == []


async def test_a_top_up_is_credited_to_the_paisa(api: httpx.AsyncClient, driver: Person, pool: Pool) -> None:
    answer = await top_up(api, driver, 250.1)
    assert answer.status_code == 201
    data = answer.json()["data"]
    assert data["wallet"]["balance"] == 250.1
    transaction = data["transaction"]
    assert {key: transaction[key] for key in ("type", "amount", "balanceAfter", "status")} == {
        "type": "credit",
        "amount": 250.1,
        "balanceAfter": 250.1,
        "status": "completed",
    }
    assert "sessionId" not in transaction
    shown = (await api.get(WALLET, headers=driver.headers)).json()["data"]
    assert shown["transactions"] == [transaction]
    async with pool.connection() as db:
        assert await ledger.trial_balance(db) == {"INR": 0}
        assert await outbox.pending_count(db) > 0


async def test_the_same_key_credits_once(api: httpx.AsyncClient, driver: Person) -> None:
    answers = await asyncio.gather(*(top_up(api, driver, 100, "k1") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["data"]["transaction"]["id"] for answer in answers}) == 1
    assert (await api.get(WALLET, headers=driver.headers)).json()["data"]["balance"] == 100
    assert (await top_up(api, driver, 200, "k1")).status_code == 409


async def test_a_key_belongs_to_its_user(api: httpx.AsyncClient, driver: Person, stranger: Person) -> None:
    for person in (driver, stranger):
        assert (await top_up(api, person, 100, "k1")).json()["data"]["wallet"]["balance"] == 100


async def test_the_wallet_has_a_limit_that_no_race_passes(
    api: httpx.AsyncClient, driver: Person, pool: Pool
) -> None:
    await set_bounds(pool, driver, maximum=250)
    answers = await asyncio.gather(*(top_up(api, driver, 100) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 400, 400, 400]
    assert (await api.get(WALLET, headers=driver.headers)).json()["data"]["balance"] == 200


@pytest.mark.parametrize("amount", [0, -5, 1.001, "x", None, 1e300, "NaN", True])
async def test_what_is_no_amount(api: httpx.AsyncClient, driver: Person, amount: object) -> None:
    assert (await top_up(api, driver, amount)).status_code == 422


async def test_pages_concatenate_to_the_history(api: httpx.AsyncClient, driver: Person) -> None:
    for amount in range(1, 8):
        await top_up(api, driver, amount)
    url = f"{WALLET}/transactions"
    whole = (await api.get(url, params={"limit": 100}, headers=driver.headers)).json()
    pages = []
    for page in (1, 2, 3):
        answer = (await api.get(url, params={"limit": 3, "page": page}, headers=driver.headers)).json()
        assert answer["transactions"] == answer["data"]
        assert answer["pagination"] == {
            "total": 7,
            "page": page,
            "limit": 3,
            "totalPages": 3,
            "hasNext": page < 3,
            "hasPrev": page > 1,
        }
        pages += answer["data"]
    assert pages == whole["data"]
    assert [row["amount"] for row in pages] == [7, 6, 5, 4, 3, 2, 1]


async def test_transactions_by_type(api: httpx.AsyncClient, driver: Person) -> None:
    await top_up(api, driver, 10)
    url = f"{WALLET}/transactions"
    assert len((await api.get(url, params={"type": "credit"}, headers=driver.headers)).json()["data"]) == 1
    assert (await api.get(url, params={"type": "debit"}, headers=driver.headers)).json()["data"] == []
    assert (await api.get(url, params={"type": "gift"}, headers=driver.headers)).status_code == 422


@pytest.mark.parametrize("query", [{"page": 0}, {"page": 10**30}, {"limit": 0}, {"limit": "x"}])
async def test_pages_that_are_none(api: httpx.AsyncClient, driver: Person, query: dict[str, str]) -> None:
    answer = await api.get(f"{WALLET}/transactions", params=query, headers=driver.headers)
    assert answer.status_code == 422


async def test_a_limit_beyond_the_maximum_is_the_maximum(api: httpx.AsyncClient, driver: Person) -> None:
    answer = await api.get(f"{WALLET}/transactions", params={"limit": 5000}, headers=driver.headers)
    assert answer.json()["pagination"]["limit"] == 100
