"""Wallet entries follow transfers and top-ups, count themselves, and are there for what was before them."""

import secrets
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from storage import ledger
from storage.database import Connection, Pool, open_pool
from storage.migrate import migrate, read_migrations
from storage.queries import top_ups
from storage.queries.wallet_entries import (
    WalletEntry,
    entry_of_top_up,
    get_entry,
    list_entries,
    lock_entry,
)
from tests.storage.people import NOON, make_user

FIRST = "0015_wallet_entries"
COUNTED = """
SELECT user_id, direction, status, count(*) FROM wallet_entries GROUP BY 1, 2, 3
EXCEPT SELECT user_id, direction, status, entries FROM wallet_entry_counts
"""


@dataclass
class Money:
    """Two wallets, the house, and a word for each thing that can be done with them."""

    db: Connection
    user_id: int
    wallet_id: int
    other_id: int
    house_id: int
    keys: Iterator[str] = field(default_factory=lambda: (f"k{number}" for number in range(10_000)))

    @classmethod
    async def of(cls, db: Connection) -> "Money":
        user_id, other = await make_user(db, "Asha"), await make_user(db, "Ravi")
        wallet, other_wallet = await ledger.ensure_wallet(db, user_id), await ledger.ensure_wallet(db, other)
        house = await ledger.house_account(db, "revenue")
        return cls(db, user_id, wallet.id, other_wallet.id, house.id)

    async def move(self, debit_id: int, credit_id: int, amount_minor: int, words: str) -> ledger.Transfer:
        return await ledger.transfer(
            self.db,
            key=next(self.keys),
            debit_account_id=debit_id,
            credit_account_id=credit_id,
            amount_minor=amount_minor,
            description=words,
        )

    async def hold(self, amount_minor: int, words: str) -> ledger.Transfer:
        return await ledger.hold(
            self.db,
            key=next(self.keys),
            debit_account_id=self.wallet_id,
            credit_account_id=self.house_id,
            amount_minor=amount_minor,
            description=words,
        )

    async def history(self) -> None:
        """A bit of everything."""
        await self.move(self.house_id, self.wallet_id, 1_000, "top-up")
        await self.move(self.wallet_id, self.house_id, 100, "paid")
        await self.hold(50, "open")
        voided, posted = await self.hold(60, "voided"), await self.hold(70, "posted")
        await ledger.void_hold(self.db, key=next(self.keys), hold_id=voided.id, description="voided")
        await ledger.post_hold(
            self.db, key=next(self.keys), hold_id=posted.id, description="posted", amount_minor=30
        )
        await self.move(self.wallet_id, self.other_id, 5, "given")


def said(entries: list[WalletEntry]) -> list[tuple[str, str, str, int, int]]:
    return [
        (each.description, each.direction, each.status, each.amount_minor, each.balance_minor)
        for each in entries
    ]


HISTORY = [
    ("given", "debit", "completed", 5, 865),
    ("posted", "debit", "completed", 30, 870),
    ("open", "debit", "pending", 50, 900),
    ("paid", "debit", "completed", 100, 900),
    ("top-up", "credit", "completed", 1_000, 1_000),
]


async def check(db: Connection, user_id: int) -> None:
    entries, total = await list_entries(db, user_id=user_id, limit=100)
    assert said(entries) == HISTORY
    assert total == len(HISTORY)
    assert await (await db.execute(COUNTED)).fetchall() == []


async def test_entries_are_what_happened_to_a_wallet(connection: Connection) -> None:
    money = await Money.of(connection)
    await money.history()
    await check(connection, money.user_id)


async def test_pages_concatenate_from_either_end(connection: Connection) -> None:
    money = await Money.of(connection)
    await money.history()
    everything, total = await list_entries(connection, limit=100)
    assert total == len(everything) == len(HISTORY) + 1, "who was given something has an entry too"
    for user_id in (None, money.user_id):
        whole, total = await list_entries(connection, user_id=user_id, limit=100)
        for size in (1, 2, 4):
            pages = [
                (await list_entries(connection, user_id=user_id, limit=size, offset=offset))[0]
                for offset in range(0, total + size, size)
            ]
            assert [entry for page in pages for entry in page] == whole


@pytest.mark.parametrize("direction", [None, "credit", "debit"])
@pytest.mark.parametrize("status", [None, "completed", "pending", "failed"])
async def test_filters(connection: Connection, direction: str | None, status: str | None) -> None:
    money = await Money.of(connection)
    await money.history()
    found, total = await list_entries(
        connection, user_id=money.user_id, direction=direction, status=status, limit=100
    )
    wanted = [row for row in HISTORY if direction in {None, row[1]} and status in {None, row[2]}]
    assert (said(found), total) == (wanted, len(wanted))


async def test_both_transfers_of_a_posted_hold_name_it(connection: Connection) -> None:
    money = await Money.of(connection)
    await money.move(money.house_id, money.wallet_id, 100, "top-up")
    held = await money.hold(40, "held")
    posted = await ledger.post_hold(connection, key="post", hold_id=held.id, description="held")
    by_hold, by_post = await lock_entry(connection, held.id), await lock_entry(connection, posted.id)
    assert by_hold == by_post == await get_entry(connection, held.id, money.user_id)
    assert by_hold is not None
    assert by_hold.transfer_id == posted.id
    assert await lock_entry(connection, 999_999) is None


async def test_a_top_up_keeps_its_entry(connection: Connection) -> None:
    money = await Money.of(connection)
    made = await top_ups.ensure_top_up(
        connection,
        uuid.uuid4(),
        user_id=money.user_id,
        provider="sandbox",
        request_key="r1",
        amount_minor=500,
        currency="INR",
        payment_method="upi",
        now=NOON,
    )
    seen: list[tuple[str, int]] = []

    async def look() -> WalletEntry:
        entry = await entry_of_top_up(connection, made.id)
        assert entry is not None
        assert (await list_entries(connection, user_id=money.user_id, limit=10)) == ([entry], 1)
        seen.append((entry.status, entry.balance_minor))
        return entry

    first = await look()
    await top_ups.set_failed(connection, made.id, "away", NOON)
    await look()
    await top_ups.set_checkout(connection, made.id, "order", {})
    await top_ups.set_not_placed(connection, made.id, "the same request failed elsewhere", NOON)
    await look()
    paid = await ledger.transfer(
        connection,
        key=f"top-up:{made.id}",
        debit_account_id=money.house_id,
        credit_account_id=money.wallet_id,
        amount_minor=500,
        description="Wallet top-up",
    )
    await top_ups.set_paid(connection, made.id, paid.id, NOON)
    last = await look()
    assert seen == [("pending", 0), ("failed", 0), ("pending", 0), ("completed", 500)]
    assert (last.id, last.transfer_id, last.created_at) == (first.id, paid.id, NOON)
    assert await (await connection.execute(COUNTED)).fetchall() == []


@pytest.fixture
async def older(server_url: str) -> AsyncIterator[tuple[Pool, str]]:
    """A database as it was before there were wallet entries, and its URL."""
    name = f"older_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        migrations = read_migrations()
        before = next(each.version for each in migrations if each.name == FIRST) - 1
        migrate(url, migrations[:before])
        pool = open_pool(url, size_max=1)
        await pool.open()
        yield pool, url
        await pool.close()
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


async def test_what_was_before_is_entered_by_the_migration(older: tuple[Pool, str]) -> None:
    pool, url = older
    async with pool.connection() as db:
        money = await Money.of(db)
        await money.history()
    migrate(url)
    async with pool.connection() as db:
        await check(db, money.user_id)
        await money.move(money.wallet_id, money.house_id, 1, "after")
        entries, total = await list_entries(db, user_id=money.user_id, limit=1)
        assert (entries[0].description, total) == ("after", len(HISTORY) + 1)
