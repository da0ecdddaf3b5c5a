"""Answers of idempotency keys are forgotten after a week, and not before."""

from datetime import timedelta

import pytest

from storage.database import Connection, Pool
from storage.queries.idempotent_requests import claim_key, forget_answers, keep_answer, stored_answer
from stream.money_upkeep import ANSWERS_KEPT, run
from tests.storage.people import NOON, make_user


async def answered(connection: Connection, user_id: int, key: str, age: timedelta) -> None:
    assert await claim_key(connection, user_id, key, route="POST /pay", digest=b"digest", now=NOON - age)
    await keep_answer(connection, user_id, key, 200, {"key": key})


@pytest.mark.parametrize("age", [timedelta(0), ANSWERS_KEPT])
async def test_answers_are_kept_for_a_week(pool: Pool, age: timedelta) -> None:
    async with pool.connection() as connection:
        user_id = await make_user(connection, "Asha")
        await answered(connection, user_id, "k", age)
        await answered(connection, user_id, "old", ANSWERS_KEPT + timedelta(seconds=1))
    await run(pool, NOON)
    async with pool.connection() as connection:
        kept = await stored_answer(connection, user_id, "k")
        assert kept is not None
        assert (kept.route, kept.digest, kept.status, kept.answer) == (
            "POST /pay", b"digest", 200, {"key": "k"},
        )  # fmt: skip
        assert await stored_answer(connection, user_id, "old") is None


async def test_a_claimed_key_is_not_claimed_again(connection: Connection) -> None:
    user_id = await make_user(connection, "Asha")
    await answered(connection, user_id, "k", timedelta(0))
    assert not await claim_key(connection, user_id, "k", route="POST /x", digest=b"", now=NOON)


async def test_forgetting_is_bounded(connection: Connection) -> None:
    user_id = await make_user(connection, "Asha")
    for number in range(5):
        await answered(connection, user_id, f"k{number}", timedelta(days=30 - number))
    assert await forget_answers(connection, NOON, 3) == 3
    assert await stored_answer(connection, user_id, "k2") is None
    assert await stored_answer(connection, user_id, "k3") is not None
