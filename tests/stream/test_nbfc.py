"""What an NBFC's events make of an application: in any order, however often, by fold and on the database."""

import itertools
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.nbfc import refusal, signature, signed_headers
from storage.database import Pool
from storage.errors import NotFoundError
from storage.queries import lending, users
from stream.lending import loans
from stream.lending.loans import LoanRefusedError
from stream.nbfc import events
from stream.nbfc.fold import Event, Outcome, Status, fold
from tests.stream.lending.lock_scene import NOON, TERMS, make_scene

APPROVED = Event(
    "e-approved", "approved", sanctioned_minor=4_500_000, rate_pct=Decimal("12.5"), emi_minor=187_500
)
DISBURSED = Event("e-paid", "disbursed", sanctioned_minor=4_400_000, disbursed_on=date(2026, 3, 20))
REJECTED = Event("e-rejected", "rejected", reason="income", credit_score=610)
REVIEWED = Event("e-review", "under_review", credit_score=700)
SUBMITTED = Event("e-submitted", "submitted")

STATUSES: list[Status] = ["submitted", "under_review", "approved", "rejected", "disbursed"]
MOMENTS = st.integers(0, 10_000).map(lambda minutes: NOON + timedelta(minutes=minutes))
EVENTS = st.lists(
    st.builds(
        Event,
        key=st.uuids().map(str),
        status=st.sampled_from(STATUSES),
        occurred_at=st.none() | MOMENTS,
        sanctioned_minor=st.none() | st.integers(1, 10**9),
        rate_pct=st.none() | st.decimals(0, 100, places=3),
        emi_minor=st.none() | st.integers(1, 10**7),
        disbursed_on=st.none() | st.dates(),
        credit_score=st.none() | st.integers(300, 900),
        reason=st.none() | st.text(max_size=5),
    ),
    max_size=8,
    unique_by=lambda event: event.key,
)


@given(said=EVENTS, data=st.data())
def test_any_order_and_any_repetition_have_the_same_outcome(said: list[Event], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(said))
    again = data.draw(st.lists(st.sampled_from(said), max_size=8)) if said else []
    assert fold([*shuffled, *again]) == fold(said)
    # nothing that is said takes the application back
    ranks = [STATUSES.index(fold(said[:number]).status) for number in range(len(said) + 1)]
    order = ["submitted", "under_review", "rejected", "approved", "disbursed"]
    assert [order.index(STATUSES[each]) for each in ranks] == sorted(
        order.index(STATUSES[each]) for each in ranks
    )


def test_terms_are_the_approvals_and_the_latest_word_wins() -> None:
    assert fold([]) == Outcome("submitted")
    assert fold([DISBURSED, REJECTED, APPROVED, REVIEWED]) == Outcome(
        "disbursed",
        sanctioned_minor=4_500_000,
        rate_pct=Decimal("12.5"),
        emi_minor=187_500,
        disbursed_minor=4_400_000,
        disbursed_on=date(2026, 3, 20),
        credit_score=700,
        reason="income",
    )
    early = Event("z", "approved", occurred_at=NOON, sanctioned_minor=1, emi_minor=7)
    late = Event("a", "approved", occurred_at=NOON + timedelta(hours=1), sanctioned_minor=2)
    folded = fold([late, early])
    assert (folded.sanctioned_minor, folded.emi_minor) == (2, 7)


def test_signatures_are_as_documented() -> None:
    # echo -n '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
    known = "sha256=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
    body, now_s = b'{"a":1}', 1_700_000_000
    good = signature("secret", str(now_s), body)
    assert good == known
    assert refusal("secret", str(now_s), good, body, now_s + 300) is None
    assert refusal("secret", str(now_s), good, body, now_s + 301) == "timestamp"
    assert refusal("secret", str(now_s), good, body, now_s - 301) == "timestamp"
    assert refusal("secret", str(now_s), good, body + b" ", now_s) == "signature"
    assert refusal("other", str(now_s), good, body, now_s) == "signature"
    assert refusal("", str(now_s), signature("", str(now_s), body), body, now_s) == "signature"
    for odd in ("", "-1", "1e9", "٣", "9" * 5000):
        assert refusal("secret", odd, signature("secret", odd, body), body, now_s) == "timestamp"
    assert signed_headers("secret", body, now_s)["X-NBFC-Signature"] == good


async def a_submission(pool: Pool) -> int:
    """An application that nobody has decided, of a battery of its own."""
    scene = await make_scene(pool)
    async with pool.connection() as db:
        await db.execute("DELETE FROM emi_schedules WHERE application_id = %s", (scene.application_id,))
        await db.execute(
            "UPDATE finance_applications SET status = 'submitted', approved_minor = NULL, decided_by = NULL,"
            " starts_on = NULL, rate_pct = 11, method = 'reducing' WHERE id = %s",
            (scene.application_id,),
        )
    return scene.application_id


async def standing(pool: Pool, application_id: int) -> tuple[Any, ...]:
    """Everything that must not depend on the order of events."""
    async with pool.connection() as db:
        found = await lending.get_application(db, application_id)
        assert found is not None
        emis = await (
            await db.execute(
                "SELECT emi_number, due_date, principal_minor, interest_minor FROM emi_schedules"
                " WHERE application_id = %s ORDER BY emi_number",
                (application_id,),
            )
        ).fetchall()
        owed = await (
            await db.execute(
                "SELECT balance_minor FROM accounts WHERE kind = 'loan' AND owner_id = %s",
                (found.consumer_id,),
            )
        ).fetchone()
        score = await (
            await db.execute("SELECT credit_score FROM consumers WHERE user_id = %s", (found.consumer_id,))
        ).fetchone()
    terms = (found.approved_minor, found.rate_pct, found.emi_minor, found.method, found.starts_on)
    return found.status, terms, found.disbursed_on, found.disbursed_minor, emis, owed, score


async def take(pool: Pool, application_id: int, event: Event) -> str:
    async with pool.connection() as db:
        return (await events.take(db, application_id, event, TERMS.method, NOON)).status


async def test_any_order_of_events_makes_the_same_loan(pool: Pool) -> None:
    found = set()
    said = [APPROVED, DISBURSED, REJECTED, REVIEWED]
    for order in list(itertools.permutations(said))[::2]:
        application_id = await a_submission(pool)
        for event in (*order, *order[:2]):
            last = await take(pool, application_id, event)
        assert last == "disbursed"
        found.add(repr(await standing(pool, application_id)))
    assert len(found) == 1, found
    (one,) = found
    assert "4400000" in one
    assert "(-4400000,)" in one


async def test_what_a_dealer_decided_and_what_is_paid_stand(pool: Pool) -> None:
    scene = await make_scene(pool)
    assert await take(pool, scene.application_id, REJECTED) == "approved"
    await take(pool, scene.application_id, APPROVED)
    assert (await standing(pool, scene.application_id))[1][2] is None  # not the NBFC's instalment
    assert await take(pool, scene.application_id, Event("d", "disbursed")) == "disbursed"
    refused = await a_submission(pool)
    async with pool.connection() as db:
        dealer = await users.insert_user(db, system="ienerzy", role="dealer", name="D", phone="+919840000001")
        await loans.reject(db, refused, reason="no", decided_by=dealer.id, now=NOON)
    assert await take(pool, refused, APPROVED) == "rejected"
    greedy = await a_submission(pool)
    with pytest.raises(LoanRefusedError):
        await take(pool, greedy, Event("x", "approved", sanctioned_minor=9_999_999))
    assert await take(pool, greedy, Event("x", "approved", sanctioned_minor=4_000_000)) == "approved"
    # a disbursement without an amount waits for the approval
    waiting = await a_submission(pool)
    assert await take(pool, waiting, Event("d", "disbursed")) == "submitted"
    assert await take(pool, waiting, APPROVED) == "disbursed"
    with pytest.raises(LoanRefusedError, match="paid out"):
        await take(pool, waiting, Event("e", "disbursed", sanctioned_minor=1_000_000))
    with pytest.raises(NotFoundError):
        await take(pool, 999_999, APPROVED)
