"""A thousand debits and top-ups at once: no request lost, balances exact, and repeats change nothing."""

import asyncio
import random
import uuid
from collections import Counter
from typing import Any

import httpx

from storage.database import Pool
from tests.api.evcms.money import WALLET, assert_books_balance, balance, fund, post
from tests.api.helpers import Person

REQUESTS = 1_000
REPEATED = 100
POOL_TIMEOUT_S = 60.0  # a busy machine may take longer than a client would wait
START_MINOR = 30_000

Order = tuple[Person, str, dict[str, Any], str]


def orders(people: list[Person]) -> list[Order]:
    chance = random.Random(5)
    made: list[Order] = []
    for number in range(REQUESTS):
        person, amount = people[number % len(people)], chance.randint(1, 500)
        if number % 2:
            path, body = f"{WALLET}/pay", {"amount": amount / 100, "description": "Parking"}
        else:
            path, body = f"{WALLET}/topup", {"amount": amount / 100, "paymentMethod": "upi"}
        made.append((person, path, body, str(uuid.uuid4())))
    return made


async def send(api: httpx.AsyncClient, order: Order) -> httpx.Response:
    person, path, body, key = order
    return await post(api, person, path, body, key)


async def test_a_thousand_debits_and_top_ups_at_once(
    api: httpx.AsyncClient, driver: Person, stranger: Person, brand: Person, pool: Pool
) -> None:
    pool.timeout = POOL_TIMEOUT_S
    people = [driver, stranger, brand]
    for person in people:
        await fund(pool, person, START_MINOR)
    wanted = {person.id: START_MINOR for person in people}
    made = orders(people)
    answers = await asyncio.gather(*(send(api, order) for order in made))
    outcomes = Counter[str]()
    for (person, path, body, _), answer in zip(made, answers, strict=True):
        minor = round(body["amount"] * 100)
        if path.endswith("topup"):
            assert answer.status_code == 201, answer.text
            wanted[person.id] += minor
        else:
            assert answer.status_code in {200, 400}, answer.text
            wanted[person.id] -= minor if answer.status_code == 200 else 0
        outcomes[path] += answer.is_success
    assert outcomes[f"{WALLET}/topup"] == REQUESTS // 2
    for person in people:
        assert round(await balance(api, person) * 100) == wanted[person.id]
        assert wanted[person.id] >= 0

    # each with its key again: the same answer, and nothing moves
    chosen = random.Random(6).sample(range(REQUESTS), REPEATED)
    again = await asyncio.gather(*(send(api, made[number]) for number in chosen))
    for number, answer in zip(chosen, again, strict=True):
        if answers[number].is_success:
            assert answer.status_code == answers[number].status_code
            assert answer.json() == answers[number].json()
    repaid = sum(
        round(made[number][2]["amount"] * 100)
        for number, answer in zip(chosen, again, strict=True)
        if not answers[number].is_success and answer.is_success
    )
    total = sum([round(await balance(api, person) * 100) for person in people])
    assert total == sum(wanted.values()) - repaid, "only what had been refused may have been paid since"
    await assert_books_balance(pool)
