import asyncio
from dataclasses import dataclass

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.database import Connection, Pool, fetch_all, open_pool
from storage.errors import (
    HoldClosedError,
    IdempotencyConflictError,
    InsufficientFundsError,
    LedgerError,
    NotFoundError,
)
from storage.ledger import (
    Account,
    ensure_wallet,
    hold,
    house_account,
    post_hold,
    transfer,
    trial_balance,
    void_hold,
    wallet,
)
from tests.storage.people import make_user

ACCOUNTS = """
SELECT id, kind, owner_id, currency, may_be_negative, balance_minor, held_minor FROM accounts ORDER BY id
"""


async def funded(connection: Connection, name: str, amount_minor: int) -> Account:
    account = await ensure_wallet(connection, await make_user(connection, name))
    funding = await house_account(connection, "funding")
    await transfer(
        connection,
        key=f"top-up:{name}",
        debit_account_id=funding.id,
        credit_account_id=account.id,
        amount_minor=amount_minor,
        description="top-up",
    )
    return account


async def balances(connection: Connection) -> dict[int, tuple[int, int]]:
    accounts = await fetch_all(connection, Account, ACCOUNTS, {})
    return {account.id: (account.balance_minor, account.held_minor) for account in accounts}


async def test_a_transfer_moves_money_and_tells_both_balances(connection: Connection) -> None:
    payer = await funded(connection, "Asha", 1000)
    revenue = await house_account(connection, "revenue")
    made = await transfer(
        connection,
        key="session:1",
        debit_account_id=payer.id,
        credit_account_id=revenue.id,
        amount_minor=300,
        description="charging",
    )
    assert (made.state, made.debit_balance_minor, made.credit_balance_minor) == ("posted", 700, 300)
    after = await balances(connection)
    assert (after[payer.id], after[revenue.id]) == ((700, 0), (300, 0))
    assert await trial_balance(connection) == {"INR": 0}


async def test_the_same_key_moves_once(connection: Connection) -> None:
    payer = await funded(connection, "Asha", 1000)
    revenue = await house_account(connection, "revenue")
    order = {"key": "k", "debit_account_id": payer.id, "credit_account_id": revenue.id, "amount_minor": 600}
    first = await transfer(connection, **order, description="charging")  # type: ignore[arg-type]
    assert await transfer(connection, **order, description="again") == first  # type: ignore[arg-type]
    assert (await balances(connection))[payer.id] == (400, 0)
    for change in ({"amount_minor": 601}, {"credit_account_id": 0}, {"session_id": 7}):
        with pytest.raises(IdempotencyConflictError, match="'k'"):
            await transfer(connection, **{**order, **change}, description="x")  # type: ignore[arg-type]


async def test_what_the_ledger_refuses_moves_nothing(connection: Connection) -> None:
    payer = await funded(connection, "Asha", 100)
    revenue = await house_account(connection, "revenue")
    dollars = await house_account(connection, "revenue", "USD")
    before = await balances(connection)
    for debit, credit, amount, error in (
        (payer.id, revenue.id, 101, InsufficientFundsError),
        (payer.id, revenue.id, 0, LedgerError),
        (payer.id, revenue.id, -5, LedgerError),
        (payer.id, payer.id, 5, LedgerError),
        (payer.id, dollars.id, 5, LedgerError),
        (payer.id, 999_999, 5, NotFoundError),
    ):
        with pytest.raises(error):
            await transfer(
                connection,
                key="refused",
                debit_account_id=debit,
                credit_account_id=credit,
                amount_minor=amount,
                description="refused",
            )
    assert await balances(connection) == before


async def test_a_hold_sets_money_aside_until_it_is_posted_for_less(connection: Connection) -> None:
    payer = await funded(connection, "Asha", 1000)
    revenue = await house_account(connection, "revenue")
    sides = {"debit_account_id": payer.id, "credit_account_id": revenue.id}
    held = await hold(connection, key="h", **sides, amount_minor=800, description="hold")
    assert (await balances(connection))[payer.id] == (1000, 800)
    with pytest.raises(InsufficientFundsError, match="200"):
        await transfer(connection, key="t", **sides, amount_minor=201, description="other")
    with pytest.raises(LedgerError, match="800"):
        await post_hold(connection, key="p", hold_id=held.id, amount_minor=801, description="more")
    posted = await post_hold(connection, key="p", hold_id=held.id, amount_minor=500, description="less")
    assert (posted.state, posted.pending_id) == ("post_pending", held.id)
    after = await balances(connection)
    assert (after[payer.id], after[revenue.id]) == ((500, 0), (500, 0))
    assert (
        await post_hold(connection, key="p", hold_id=held.id, amount_minor=500, description="again") == posted
    )
    with pytest.raises(HoldClosedError, match="'p'"):
        await void_hold(connection, key="v", hold_id=held.id, description="late")


async def test_a_voided_hold_frees_the_money(connection: Connection) -> None:
    payer = await funded(connection, "Asha", 1000)
    revenue = await house_account(connection, "revenue")
    sides = {"debit_account_id": payer.id, "credit_account_id": revenue.id}
    held = await hold(connection, key="h", **sides, amount_minor=1000, description="hold")
    await void_hold(connection, key="v", hold_id=held.id, description="void")
    assert (await balances(connection))[payer.id] == (1000, 0)
    with pytest.raises(HoldClosedError):
        await post_hold(connection, key="p", hold_id=held.id, description="late")
    with pytest.raises(NotFoundError, match="no hold"):
        await post_hold(connection, key="p", hold_id=999_999, description="none")


async def test_transfers_are_immutable(connection: Connection) -> None:
    await funded(connection, "Asha", 1000)
    for change in ("UPDATE transfers SET amount_minor = 1", "DELETE FROM transfers"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="immutable"):
            async with connection.transaction():
                await connection.execute(change)


async def test_the_database_itself_refuses_a_negative_wallet(connection: Connection) -> None:
    account = await funded(connection, "Asha", 10)
    with pytest.raises(psycopg.errors.CheckViolation):
        await connection.execute(
            "UPDATE accounts SET balance_minor = -1 WHERE id = %(id)s", {"id": account.id}
        )


async def test_wallets_are_made_once(pool: Pool) -> None:
    async with pool.connection() as connection:
        user_id = await make_user(connection, "Asha")
        assert await wallet(connection, user_id) is None

    async def ensure() -> int:
        async with pool.connection() as connection:
            return (await ensure_wallet(connection, user_id)).id

    assert len(set(await asyncio.gather(*(ensure() for _ in range(10))))) == 1


async def test_fifty_debits_at_once_are_exact(pool: Pool) -> None:
    async with pool.connection() as connection:
        payer = await funded(connection, "Asha", 40)
        revenue = await house_account(connection, "revenue")

    async def debit(number: int) -> bool:
        try:
            async with pool.connection() as connection:
                await transfer(
                    connection,
                    key=f"debit:{number}",
                    debit_account_id=payer.id,
                    credit_account_id=revenue.id,
                    amount_minor=1,
                    description="debit",
                )
        except InsufficientFundsError:
            return False
        return True

    done = await asyncio.gather(*(debit(number) for number in range(50)))
    async with pool.connection() as connection:
        after = await balances(connection)
    assert sum(done) == 40
    assert (after[payer.id], after[revenue.id]) == ((0, 0), (40, 0))


async def test_one_key_at_once_from_many_moves_once(pool: Pool) -> None:
    async with pool.connection() as connection:
        payer = await funded(connection, "Asha", 100)
        revenue = await house_account(connection, "revenue")

    async def debit() -> int:
        async with pool.connection() as connection:
            made = await transfer(
                connection,
                key="session:1",
                debit_account_id=payer.id,
                credit_account_id=revenue.id,
                amount_minor=30,
                description="debit",
            )
            return made.id

    assert len(set(await asyncio.gather(*(debit() for _ in range(20))))) == 1
    async with pool.connection() as connection:
        assert (await balances(connection))[payer.id] == (70, 0)


async def test_transfers_in_both_directions_at_once_do_not_deadlock(pool: Pool) -> None:
    async with pool.connection() as connection:
        one = await funded(connection, "Asha", 1000)
        two = await funded(connection, "Bala", 1000)

    async def pay(number: int) -> None:
        sides = (one.id, two.id) if number % 2 else (two.id, one.id)
        async with pool.connection() as connection:
            await transfer(
                connection,
                key=f"pay:{number}",
                debit_account_id=sides[0],
                credit_account_id=sides[1],
                amount_minor=number + 1,
                description="pay",
            )

    await asyncio.gather(*(pay(number) for number in range(40)))
    async with pool.connection() as connection:
        after = await balances(connection)
        assert (after[one.id], after[two.id]) == ((980, 0), (1020, 0))
        assert await trial_balance(connection) == {"INR": 0}


@dataclass(frozen=True, slots=True)
class Act:
    """What one step of a sequence does; `closing` says how its hold ends, None for a plain transfer."""

    key: str
    debit: int
    credit: int
    amount_minor: int
    closing: str | None


ACCOUNT = st.integers(0, 3)
CLOSING = st.sampled_from([None, "post", "less", "void", "leave"])
ACTS = st.lists(st.tuples(ACCOUNT, ACCOUNT, st.integers(1, 400), CLOSING), max_size=12).map(
    lambda steps: [Act(str(number), *step) for number, step in enumerate(steps)]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_any_sequence_sums_to_zero_and_replay_is_a_no_op(database_url: str, acts: list[Act]) -> None:
    async def run() -> None:
        async with open_pool(database_url, size_max=1) as pool, pool.connection() as connection:
            accounts = [await house_account(connection, "funding")]
            accounts += [await funded(connection, name, 500) for name in ("A", "B", "C")]
            done = [act for act in acts if await is_done(connection, accounts, act)]
            after = await balances(connection)
            assert await trial_balance(connection) == {"INR": 0}
            assert after == await recomputed(connection)
            assert all(after[account.id][0] >= after[account.id][1] >= 0 for account in accounts[1:])
            assert [act for act in done if await is_done(connection, accounts, act)] == done
            assert await balances(connection) == after
            await connection.rollback()

    asyncio.run(run())


async def is_done(connection: Connection, accounts: list[Account], act: Act) -> bool:
    """Carry out one step; False when the ledger refuses it."""
    sides = {"debit_account_id": accounts[act.debit].id, "credit_account_id": accounts[act.credit].id}
    begin = transfer if act.closing is None else hold
    try:
        made = await begin(
            connection, key=act.key, **sides, amount_minor=act.amount_minor, description="step"
        )
    except LedgerError:
        return False
    end = {"key": f"close:{act.key}", "hold_id": made.id, "description": "close"}
    if act.closing == "void":
        await void_hold(connection, **end)  # type: ignore[arg-type]
    elif act.closing in {"post", "less"}:
        part = act.amount_minor if act.closing == "post" else max(1, act.amount_minor // 2)
        await post_hold(connection, **end, amount_minor=part)  # type: ignore[arg-type]
    return True


RECOMPUTED = """
SELECT accounts.id,
       coalesce(sum(CASE WHEN state IN ('posted', 'post_pending')
                         THEN CASE WHEN credit_account_id = accounts.id THEN amount_minor
                                   ELSE -amount_minor END END), 0),
       coalesce(sum(amount_minor) FILTER (WHERE state = 'pending' AND debit_account_id = accounts.id
                    AND NOT EXISTS (SELECT FROM transfers AS c WHERE c.pending_id = transfers.id)), 0)
FROM accounts LEFT JOIN transfers ON accounts.id IN (debit_account_id, credit_account_id)
GROUP BY accounts.id
"""


async def recomputed(connection: Connection) -> dict[int, tuple[int, int]]:
    """Balances from the transfers alone."""
    rows = await (await connection.execute(RECOMPUTED)).fetchall()
    return {account_id: (int(balance), int(held)) for account_id, balance, held in rows}
