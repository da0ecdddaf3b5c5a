"""Refunds and corrections of one session, in any order: nobody gets back more than was paid, exactly."""

import pytest

from storage import ledger
from storage.database import Pool
from storage.queries import invoices, refunds
from storage.queries.sessions import Session
from stream.invoicing import invoice_session
from stream.refunding import RefundTooLargeError, give_back, is_refundable, left_of
from stream.user_wallets import FUNDING, debit
from tests.stream.scene import HOUR, MINUTE, T0, Scene

START_MINOR = 10_000_000


async def estimated(pool: Pool, energy_wh: int = 3_000) -> tuple[Scene, Session]:
    """A session that a rule ended, and that was paid: 17.70 a kWh, GST in it."""
    scene = await Scene.make(pool)
    session = await scene.start(T0, 0)
    await scene.sample(session, T0 + 30 * MINUTE, energy_wh)
    await scene.status("Available", T0 + HOUR)
    await scene.reconcile(T0 + 2 * HOUR)
    await scene.work()
    return scene, session


async def correct(scene: Scene, session: Session, energy_wh: int) -> None:
    await scene.stop(session, T0 + 40 * MINUTE, energy_wh, received_at=T0 + 3 * HOUR)
    await scene.work()


async def refund(scene: Scene, session: Session, amount_minor: int) -> None:
    async with scene.pool.connection() as db:
        paid = await ledger.find_transfer(db, f"session:{session.id}")
        assert paid is not None
        made = await refunds.insert_refund(
            db,
            user_id=scene.driver,
            transfer_id=paid.id,
            amount_minor=amount_minor,
            reason="-",
            now=T0,
        )
        credit = await give_back(db, made, paid)
        await refunds.decide_refund(
            db,
            made.id,
            status="approved",
            admin_notes=None,
            processed_by=scene.driver,
            refund_transfer_id=credit.id,
            now=T0,
        )


async def left(scene: Scene, session: Session) -> int:
    async with scene.pool.connection() as db:
        paid = await ledger.find_transfer(db, f"session:{session.id}")
        assert paid is not None
        return (await left_of(db, paid)).total_minor


async def test_a_refund_moves_its_part_of_the_tax_back(pool: Pool) -> None:
    scene, session = await estimated(pool)
    assert await scene.house() == (4_500, 810)
    for amount_minor in (1_770, 1, 1, 2_000):
        await refund(scene, session, amount_minor)
    revenue, tax = await scene.house()
    assert revenue + tax == 5_310 - 3_772
    assert abs(tax - 810 * 1_538 / 5_310) < 2
    await refund(scene, session, 1_538)
    assert await scene.house() == (0, 0)
    assert await scene.balance() == START_MINOR
    with pytest.raises(RefundTooLargeError):
        await refund(scene, session, 1)


async def test_a_refund_after_a_correction_gives_back_what_is_left(pool: Pool) -> None:
    scene, session = await estimated(pool)
    await correct(scene, session, 1_000)
    assert await left(scene, session) == 1_770
    with pytest.raises(RefundTooLargeError):
        await refund(scene, session, 1_771)
    await refund(scene, session, 770)
    await refund(scene, session, 1_000)
    assert await scene.balance() == START_MINOR
    assert await scene.house() == (0, 0)


@pytest.mark.parametrize(
    ("refunded_minor", "real_wh", "kept_minor"),
    [
        (5_310, 1_000, 0),
        (4_000, 1_000, 0),
        (1_000, 1_000, 770),
        (5_310, 0, 0),
        (1_770, 1_000, 0),
        (5_310, 4_000, 1_770),
    ],
)
async def test_a_correction_after_a_refund_gives_back_what_is_left(
    pool: Pool, refunded_minor: int, real_wh: int, kept_minor: int
) -> None:
    scene, session = await estimated(pool)
    await refund(scene, session, refunded_minor)
    await correct(scene, session, real_wh)
    assert (await scene.seen(session)).payment_status == "paid"
    revenue, tax = await scene.house()
    assert revenue + tax == kept_minor == START_MINOR - await scene.balance()
    assert abs(tax - kept_minor * 18 / 118) <= 1
    if kept_minor == 0:
        assert await left(scene, session) == 0


@pytest.mark.parametrize("real_wh", [1_000, 4_000, 0])
async def test_a_correction_replaces_the_invoice(pool: Pool, real_wh: int) -> None:
    scene, session = await estimated(pool)
    await scene.work()
    async with pool.connection() as db:
        assert await invoice_session(db, session.id, T0) is not None
    await correct(scene, session, real_wh)
    for _ in range(2):
        async with pool.connection() as db:
            await invoice_session(db, session.id, T0)
    async with pool.connection() as db:
        made = await invoices.list_invoices(db, user_id=scene.driver, status=None, now=T0, limit=9)
    new_minor = real_wh * 177 // 100
    standing = [("paid", new_minor)] if new_minor else []
    assert [(each.status(T0), each.total_minor) for each in made] == [*standing, ("cancelled", 5_310)]


async def test_what_went_back_to_a_payment_provider_is_not_refundable(pool: Pool) -> None:
    scene = await Scene.make(pool)
    async with pool.connection() as db:
        for house, wanted in ((FUNDING, False), ("revenue", True)):
            paid = await debit(
                db, scene.driver, amount_minor=100, key=f"test:{house}", description="-", house=house
            )
            assert await is_refundable(db, paid) is wanted
