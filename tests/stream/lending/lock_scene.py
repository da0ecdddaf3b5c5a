"""A loan on a battery for tests of locks: people, a battery with or without a device, its commands."""

import itertools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from storage.database import Pool
from storage.queries import batteries, devices, lending, users
from storage.queries.batteries import Battery
from storage.queries.battery_assignments import assign_battery
from stream.lending import loans
from stream.lending.terms import LendingTerms

NOON = datetime(2026, 3, 10, 6, 30, tzinfo=UTC)  # in India
TERMS = LendingTerms()  # 7 days, notice 3 days before
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Scene:
    """A dealer's loan to a consumer: 24 instalments of 1875 rupees, the first due on `due_on`."""

    pool: Pool
    dealer_id: int
    consumer_id: int
    battery: Battery
    application_id: int
    due_on: date

    def day(self, number: int) -> datetime:
        """Noon of so many days after the first instalment was due."""
        return NOON + timedelta(days=number)

    async def pay(self, key: str, amount: int, now: datetime) -> None:
        async with self.pool.connection() as db:
            await loans.record_payment(
                db,
                self.application_id,
                key=key,
                amount_minor=amount * 100,
                paid_on=now.date(),
                method="cash",
                reference=None,
                recorded_by=self.dealer_id,
                terms=TERMS,
                now=now,
            )

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.pool.connection() as db:
            return await (await db.execute(query)).fetchall()

    async def locks(self) -> list[str]:
        """States of the loan's locks, oldest first."""
        query = f"SELECT state FROM battery_locks WHERE application_id = {self.application_id} ORDER BY id"
        return [state for (state,) in await self.rows(query)]

    async def commands(self) -> list[tuple[str, str]]:
        """What the battery was told, and what became of it, oldest first."""
        query = f"""SELECT action, state FROM battery_commands WHERE battery_id = {self.battery.id}
                    ORDER BY created_at, id"""
        return [(action, state) for action, state in await self.rows(query)]

    async def texts(self) -> list[str]:
        """Text messages to the consumer about locks, oldest first."""
        query = f"""SELECT body FROM notices WHERE user_id = {self.consumer_id} AND kind LIKE 'lock%'
                    ORDER BY id"""
        return [body for (body,) in await self.rows(query)]

    async def status(self) -> str:
        async with self.pool.connection() as db:
            found = await batteries.find_battery(db, self.battery.serial_number)
        assert found is not None
        return found.status

    async def answer(self, state: str, at: datetime) -> None:
        """Have the battery answer the command that it was told last."""
        query = "SELECT id FROM battery_commands WHERE battery_id = %s AND state = 'pending'"
        async with self.pool.connection() as db:
            found = await (await db.execute(query, (self.battery.id,))).fetchone()
            assert found is not None, "nothing is pending"
            await batteries.answer_command(db, found[0], state, {"outcome": state}, at)


async def make_scene(pool: Pool, *, with_device: bool = True, dealer_id: int | None = None) -> Scene:
    number = next(_numbers)
    async with pool.connection() as db:
        if dealer_id is None:
            dealer = await users.insert_user(
                db, system="ienerzy", role="dealer", name="Dealer", phone=f"+9198100{number:05}"
            )
            dealer_id = dealer.id
        consumer = await users.insert_user(
            db,
            system="ienerzy",
            role="consumer",
            name="Asha",
            phone=f"+9198200{number:05}",
            dealer_id=dealer_id,
        )
        serial = f"BAT{number:03}"
        made = await batteries.insert_battery(db, serial, health_score=Decimal(90), dealer_id=dealer_id)
        device = await devices.register_device(db, "battery", serial)
        if with_device:
            await devices.touch_devices(db, [device.id], NOON)
        await assign_battery(db, made.id, consumer.id, assigned_by=None, now=NOON)
        application_id = await make_loan(db, dealer_id, consumer.id, made.id)
    return Scene(pool, dealer_id, consumer.id, made, application_id, NOON.date())


async def make_loan(db: Any, dealer_id: int, consumer_id: int, battery_id: int) -> int:
    application = await lending.insert_application(
        db,
        dealer_id=dealer_id,
        consumer_id=consumer_id,
        battery_id=battery_id,
        amount_minor=4_500_000,
        tenure_months=24,
        rate_pct=None,
        created_by=dealer_id,
        now=NOON,
    )
    await loans.approve(
        db,
        application.id,
        approved_minor=4_500_000,
        rate_pct=None,
        tenure_months=24,
        emi_minor=None,
        starts_on=date(2026, 2, 10),
        method="interest_free",
        decided_by=dealer_id,
        now=NOON,
    )
    return application.id
