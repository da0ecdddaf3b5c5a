"""Ienerzy finance (IE-015 to IE-018, IE-020, IE-X02, IE-X05): loans, instalments, payments, who is late."""

import asyncio
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from storage.queries import lending
from stream.lending.rules import due_date
from stream.lending.terms import today
from tests.api.helpers import Clock, Person
from tests.api.ienerzy.people import World

URL = "/finance/applications"
KEYS = [
    "id",
    "consumer_id",
    "battery_id",
    "amount",
    "tenure_months",
    "interest_rate",
    "status",
    "created_at",
]
OVERDUE_KEYS = [
    "id",
    "emi_number",
    "due_date",
    "amount",
    "status",
    "loan_amount",
    "tenure_months",
    "consumer_name",
    "consumer_phone",
    "battery_serial",
    "overdue_days",
]


def asked(world: World, **changes: Any) -> dict[str, Any]:
    body = {
        "consumer_id": world.consumer.id,
        "battery_id": world.battery.id,
        "amount": 45000,
        "tenure_months": 24,
        "interest_rate": 12.5,
    }
    return {**body, **changes}


async def lend(world: World, **decision: Any) -> dict[str, Any]:
    """Apply and approve; returns the application's detail."""
    made = await world.call(world.dealer, "POST", URL, 201, json=asked(world))
    body = {"status": "approved", "approved_amount": 45000, "interest_rate": 12.5, **decision}
    await world.call(world.dealer, "PUT", f"{URL}/{made['id']}/approve", json=body)
    found: dict[str, Any] = await world.call(world.dealer, "GET", f"{URL}/{made['id']}")
    return found


@pytest.fixture
def day(clock: Clock) -> date:
    return today(clock.moment())


def months_ago(day: date, months: int, days: int = 0) -> str:
    """A start of which the instalment number `months` was due `days` ago."""
    start = due_date(day - timedelta(days=days), -months)
    return start.isoformat()


async def test_an_application_is_as_documented(world: World, day: date) -> None:
    made = await world.call(world.dealer, "POST", URL, 201, json=asked(world))
    assert list(made) == KEYS
    assert (made["amount"], made["tenure_months"], made["interest_rate"]) == (45000, 24, 12.5)
    assert (made["status"], type(made["amount"])) == ("pending", int)
    assert await world.call(world.dealer, "GET", URL) == [made]
    assert await world.call(world.consumer, "GET", URL) == [made]
    assert await world.call(world.admin, "GET", f"{URL}?status=pending") == [made]
    assert await world.call(world.dealer, "GET", f"{URL}?status=approved") == []
    assert await world.call(world.other_dealer, "GET", URL) == []
    again = await world.call(world.dealer, "POST", URL, 400, json=asked(world))
    assert again["code"] == "DUPLICATE"
    waiting = await world.call(world.consumer, "GET", f"{URL}/{made['id']}")
    assert (waiting["emi_schedule"], waiting["owed"], waiting["battery_serial"]) == ([], None, "BAT001")

    body = {"status": "approved", "approved_amount": 45000, "interest_rate": 12.5, "tenure_months": 24}
    await world.call(world.other_dealer, "PUT", f"{URL}/{made['id']}/approve", 404, json=body)
    await world.call(world.consumer, "PUT", f"{URL}/{made['id']}/approve", 403, json=body)
    more = {**body, "approved_amount": 45000.01}
    refused = await world.call(world.dealer, "PUT", f"{URL}/{made['id']}/approve", 400, json=more)
    assert "More cannot be approved" in refused["details"]
    approved = await world.call(world.dealer, "PUT", f"{URL}/{made['id']}/approve", json=body)
    assert list(approved) == [*KEYS[:-1], "approved_amount", "created_at"]
    assert approved == {**made, "status": "approved", "approved_amount": 45000}
    twice = await world.call(world.dealer, "PUT", f"{URL}/{made['id']}/approve", 400, json=body)
    assert twice["error"] == "Application is decided"

    detail = await world.call(world.consumer, "GET", f"{URL}/{made['id']}")
    first, last = detail["emi_schedule"][0], detail["emi_schedule"][-1]
    assert (first["amount"], last["amount"], first["status"]) == ("2128.83", "2128.81", "pending")
    assert (first["emi_number"], first["due_date"]) == (1, due_date(day, 1).isoformat())
    assert (len(detail["emi_schedule"]), detail["owed"]["total_amount"]) == (24, "0.00")
    running = await world.call(world.dealer, "POST", URL, 400, json=asked(world))
    assert running["error"] == "Battery is not available"


async def test_a_rejection_keeps_its_reason_and_instalments_follow_the_method(world: World) -> None:
    made = await world.call(world.dealer, "POST", URL, 201, json=asked(world))
    no = {"status": "rejected", "reason": "No income proof"}
    rejected = await world.call(world.dealer, "PUT", f"{URL}/{made['id']}/approve", json=no)
    assert list(rejected) == KEYS
    assert rejected["status"] == "rejected"
    detail = await world.call(world.dealer, "GET", f"{URL}/{made['id']}")
    assert detail["decision_reason"] == "No income proof"
    flat = await lend(world, method="flat")
    assert flat["emi_schedule"][0]["amount"] == "2343.75"
    other = await world.add_battery("BAT002", consumer=world.consumer)
    plain = asked(world, battery_id=other.id)
    del plain["interest_rate"]
    made = await world.call(world.dealer, "POST", URL, 201, json=plain)
    assert made["interest_rate"] is None
    await world.call(world.dealer, "PUT", f"{URL}/{made['id']}/approve", json={"status": "approved"})
    detail = await world.call(world.dealer, "GET", f"{URL}/{made['id']}")
    assert {each["amount"] for each in detail["emi_schedule"]} == {"1875.00"}


async def test_whose_and_what_is_lent_on(world: World) -> None:
    stranger = await world.person("consumer", "+919876543230", world.other_dealer.id)
    theirs = await world.add_battery("BAT100", world.other_dealer, stranger)
    neighbour = await world.person("consumer", "+919876543231", world.dealer.id)
    taken = await world.add_battery("BAT101", consumer=neighbour)
    for who, status, body in (
        (None, 401, asked(world)),
        (world.consumer, 403, asked(world)),
        (world.technician, 403, asked(world)),
        (world.dealer, 404, asked(world, consumer_id=stranger.id)),
        (world.dealer, 404, asked(world, battery_id=theirs.id)),
        (world.dealer, 404, asked(world, consumer_id=10**15)),
        (world.dealer, 404, asked(world, consumer_id=world.dealer.id)),
        (world.dealer, 400, asked(world, battery_id=taken.id)),
        (world.dealer, 400, asked(world, amount=0)),
        (world.dealer, 400, asked(world, amount=23.99)),
        (world.dealer, 400, asked(world, amount="1.001")),
        (world.dealer, 400, asked(world, tenure_months=121)),
        (world.dealer, 400, asked(world, interest_rate=100.5)),
        (world.dealer, 400, {"consumer_id": world.consumer.id}),
        (world.admin, 400, asked(world)),
        (world.admin, 404, asked(world, dealer_id=world.consumer.id)),
        (world.admin, 404, asked(world, dealer_id=world.other_dealer.id)),
    ):
        answer = await world.call(who, "POST", URL, status, json=body)
        assert set(answer) >= {"error", "details"}
    mine = await world.call(
        world.dealer, "POST", URL, 201, json=asked(world, dealer_id=world.other_dealer.id)
    )
    assert (await world.call(world.other_dealer, "GET", URL)) == []
    for reference in ("nothing", "0", "999999", "-1", "9" * 30):
        await world.call(world.dealer, "GET", f"{URL}/{reference}", 404)
        await world.call(world.dealer, "POST", f"/finance/emi/{reference}/pay", 404, json={})
    await world.call(world.other_dealer, "GET", f"{URL}/{mine['id']}", 404)
    await world.call(neighbour, "GET", f"{URL}/{mine['id']}", 404)
    await world.call(world.technician, "GET", URL, 403)
    for path in ("/finance/overdue", "/finance/payments", "/finance/collection-report"):
        await world.call(None, "GET", path, 401)
        await world.call(world.technician, "GET", path, 403)
    await world.call(world.consumer, "GET", "/finance/collection-report", 403)


async def test_who_is_late_and_what_a_payment_changes(world: World, day: date) -> None:
    loan = await lend(world, starts_on=months_ago(day, 2, 5), interest_rate=0)
    url = f"{URL}/{loan['id']}"
    first, second, third = loan["emi_schedule"][:3]
    late = await world.call(world.dealer, "GET", "/finance/overdue")
    assert [each["id"] for each in late["overdue_accounts"]] == [first["id"], second["id"]]
    assert list(late["overdue_accounts"][0]) == OVERDUE_KEYS
    due = date.fromisoformat(first["due_date"])
    assert late["overdue_accounts"][0] == {
        "id": first["id"],
        "emi_number": 1,
        "due_date": first["due_date"],
        "amount": "1875.00",
        "status": "pending",
        "loan_amount": 45000,
        "tenure_months": 24,
        "consumer_name": "Consumer",
        "consumer_phone": "+919876543212",
        "battery_serial": "BAT001",
        "overdue_days": (day - due).days,
    }
    assert (late["total_overdue"], late["total_overdue_amount"]) == (2, 3750)
    assert (await world.call(world.consumer, "GET", "/finance/overdue")) == late
    assert (await world.call(world.admin, "GET", "/finance/overdue")) == late
    nobody = {"overdue_accounts": [], "total_overdue": 0, "total_overdue_amount": 0}
    assert await world.call(world.other_dealer, "GET", "/finance/overdue") == nobody

    pay = f"/finance/emi/{first['id']}/pay"
    await world.call(world.other_dealer, "POST", pay, 404, json={})
    await world.call(world.consumer, "POST", pay, 403, json={})
    tomorrow = (day + timedelta(days=1)).isoformat()
    await world.call(world.dealer, "POST", pay, 400, json={"paid_on": tomorrow})
    part = await world.call(world.dealer, "POST", pay, 201, json={"amount": 875, "payment_method": "upi"})
    assert (part["payment"]["amount"], part["payment"]["is_late"]) == ("875.00", True)
    assert (part["emi"]["status"], part["emi"]["open_amount"]) == ("pending", "1000.00")
    late = await world.call(world.dealer, "GET", "/finance/overdue")
    assert (late["overdue_accounts"][0]["amount"], late["total_overdue_amount"]) == ("1000.00", 2875)

    key = {**world.dealer.headers, "Idempotency-Key": "k1"}
    body = {"amount": 1000}
    answers = [await world.api.post(f"/api{pay}", json=body, headers=key) for _ in range(3)]
    assert {each.status_code for each in answers} == {201}
    assert len({each.json()["payment"]["id"] for each in answers}) == 1
    assert answers[0].json() == answers[2].json()
    assert answers[0].json()["emi"]["status"] == "paid"
    other = await world.api.post(f"/api{pay}", json={"amount": 5}, headers=key)
    assert (other.status_code, other.json()["code"]) == (400, "IDEMPOTENCY_KEY_REUSED")

    owed = (await world.call(world.consumer, "GET", url))["owed"]
    late_days = [(day - date.fromisoformat(each["due_date"])).days for each in (first, second)]
    penalty = sum(int(187_500 * days * 24 / 36_500 + 0.5) for days in late_days)
    assert owed == {
        "as_of": day.isoformat(),
        "overdue_count": 1,
        "overdue_amount": "1875.00",
        "due_amount": "1875.00",
        "penalty_amount": f"{penalty / 100:.2f}",
        "total_amount": f"{1875 + penalty / 100:.2f}",
        "principal_outstanding": "43125.00",
        "excess_amount": "0.00",
    }
    all_of_it = await world.call(world.dealer, "POST", f"/finance/emi/{second['id']}/pay", 201, json={})
    assert all_of_it["payment"]["amount"] == owed["total_amount"]
    assert (all_of_it["owed"]["total_amount"], all_of_it["application_status"]) == ("0.00", "approved")
    assert await world.call(world.dealer, "GET", "/finance/overdue") == nobody
    paid = await world.call(world.dealer, "POST", f"/finance/emi/{second['id']}/pay", 400, json={})
    assert paid["details"] == "Instalment 2 is paid already"
    ahead = await world.call(world.dealer, "POST", f"/finance/emi/{third['id']}/pay", 201, json={})
    assert (ahead["payment"]["amount"], ahead["emi"]["status"]) == ("1875.00", "paid")
    too_much = {"amount": 39_375.01}  # of the 21 that are left
    refused = await world.call(
        world.dealer, "POST", f"/finance/emi/{second['id'] + 2}/pay", 400, json=too_much
    )
    assert "39375.00 pay all instalments" in refused["details"]

    listed = await world.call(world.consumer, "GET", "/finance/payments")
    assert [each["amount"] for each in listed] == ["1875.00", owed["total_amount"], "1000.00", "875.00"]
    assert listed == (await world.call(world.consumer, "GET", url))["payments"][::-1]
    assert await world.call(world.other_dealer, "GET", "/finance/payments") == []
    one = await world.call(world.dealer, "GET", f"/finance/payments?application_id={loan['id']}")
    assert one == listed
    assert await world.call(world.dealer, "GET", f"/finance/payments?end_date={due}") == []


async def test_collections_add_up_by_day(world: World, day: date) -> None:
    assert await world.call(world.dealer, "GET", "/finance/collection-report") == {
        "collection_report": [],
        "summary": {"total_collections": 0, "total_amount_collected": 0, "avg_daily_collection": 0},
    }
    loan = await lend(world, starts_on=months_ago(day, 3), interest_rate=0)
    pay = f"/finance/emi/{loan['emi_schedule'][5]['id']}/pay"
    earlier = (day - timedelta(days=10)).isoformat()
    for amount, paid_on in ((1875, earlier), (1875, earlier), (1000.01, day.isoformat())):
        await world.call(world.dealer, "POST", pay, 201, json={"amount": amount, "paid_on": paid_on})
    report = await world.call(world.dealer, "GET", "/finance/collection-report")
    assert report == {
        "collection_report": [
            {
                "collection_date": day.isoformat(),
                "collections_count": 1,
                "total_collected": 1000.01,
                "avg_collection": 1000.01,
            },
            {
                "collection_date": earlier,
                "collections_count": 2,
                "total_collected": 3750,
                "avg_collection": 1875,
            },
        ],
        "summary": {
            "total_collections": 3,
            "total_amount_collected": 4750.01,
            "avg_daily_collection": 1583.34,
        },
    }
    one_day = f"/finance/collection-report?start_date={earlier}&end_date={earlier}"
    assert (await world.call(world.admin, "GET", one_day))["summary"]["total_collections"] == 2
    assert (await world.call(world.other_dealer, "GET", one_day))["collection_report"] == []
    await world.call(
        world.dealer, "GET", f"/finance/collection-report?start_date={day}&end_date={earlier}", 400
    )
    await world.call(world.dealer, "GET", "/finance/collection-report?start_date=yesterday", 400)


async def test_a_loan_is_disbursed_and_foreclosed(world: World, day: date) -> None:
    loan = await lend(world)
    url = f"{URL}/{loan['id']}"
    earlier = (day - timedelta(days=10)).isoformat()
    tomorrow = (day + timedelta(days=1)).isoformat()
    await world.call(world.consumer, "POST", f"{url}/disburse", 403, json={})
    await world.call(world.other_dealer, "POST", f"{url}/disburse", 404, json={})
    await world.call(world.dealer, "POST", f"{url}/disburse", 400, json={"disbursed_on": tomorrow})
    await world.call(world.dealer, "POST", f"{url}/disburse", 400, json={"amount": 45001})
    await _decided_by(world, None)
    nbfc = await world.call(world.dealer, "POST", f"{url}/disburse", 400, json={})
    assert nbfc["error"] == "Not a loan of the house"
    await _decided_by(world, world.dealer.id)
    out = await world.call(world.dealer, "POST", f"{url}/disburse", json={"disbursed_on": earlier})
    assert (out["status"], out["disbursed_on"], out["disbursed_amount"]) == ("disbursed", earlier, 45000)
    assert out["starts_on"] == earlier
    again = await world.call(world.dealer, "POST", f"{url}/disburse", 400, json={})
    assert "only an approved one" in again["details"]

    quote = await world.call(world.consumer, "GET", f"{url}/foreclosure-quote")
    period = (date.fromisoformat(out["emi_schedule"][0]["due_date"]) - date.fromisoformat(earlier)).days
    interest = int(46_875 * 10 / period + 0.5)
    assert quote == {
        "application_id": loan["id"],
        "as_of": day.isoformat(),
        "due_amount": "0.00",
        "penalty_amount": "0.00",
        "principal_amount": "45000.00",
        "interest_amount": f"{interest / 100:.2f}",
        "fee_amount": "0.00",
        "total_amount": f"{45_000 + interest / 100:.2f}",
    }
    later = await world.call(world.dealer, "GET", f"{url}/foreclosure-quote?date={tomorrow}")
    assert float(later["total_amount"]) > float(quote["total_amount"])
    await world.call(world.other_dealer, "GET", f"{url}/foreclosure-quote", 404)
    end = f"{url}/foreclose"
    little = await world.call(world.dealer, "POST", end, 400, json={"amount": 45000})
    assert quote["total_amount"] in little["details"]
    await world.call(world.consumer, "POST", end, 403, json={})
    closed = await world.call(world.dealer, "POST", end, 201, json={"reference": "UTR1"})
    assert (closed["payment"]["kind"], closed["payment"]["amount"]) == ("foreclosure", quote["total_amount"])
    after = closed["application"]
    assert (after["status"], after["is_foreclosed"]) == ("closed", True)
    assert {each["status"] for each in after["emi_schedule"]} == {"cancelled"}
    assert after["owed"]["principal_outstanding"] == "0.00"
    await world.call(world.dealer, "POST", end, 400, json={})
    await world.call(world.dealer, "GET", f"{url}/foreclosure-quote", 400)
    emi = f"/finance/emi/{loan['emi_schedule'][0]['id']}/pay"
    await world.call(world.dealer, "POST", emi, 400, json={"amount": 5})
    new_loan = await world.call(world.dealer, "POST", URL, 201, json=asked(world))
    assert new_loan["status"] == "pending"


async def test_an_instalment_paid_fifty_times_at_once_is_paid_once(world: World, day: date) -> None:
    loan = await lend(world, starts_on=months_ago(day, 1, 1), interest_rate=0)
    pay = f"/api/finance/emi/{loan['emi_schedule'][0]['id']}/pay"
    sent = [world.api.post(pay, json={}, headers=world.dealer.headers) for _ in range(50)]
    statuses = sorted(answer.status_code for answer in await asyncio.gather(*sent))
    assert statuses == [201] + [400] * 49
    async with world.pool.connection() as db:
        found = await lending.get_application(db, loan["id"])
    assert found is not None
    assert (found.excess_minor, found.status) == (0, "approved")


async def _decided_by(world: World, user_id: int | None) -> None:
    """As if the application had gone to an NBFC, and this person had decided, or the NBFC."""
    async with world.pool.connection() as db:
        await db.execute("UPDATE finance_applications SET nbfc = 'sandbox', decided_by = %s", (user_id,))


async def _approve(world: World, who: Person) -> int:
    (found,) = await world.call(who, "GET", URL)
    path = f"/api{URL}/{found['id']}/approve"
    answer = await world.api.put(path, json={"status": "approved"}, headers=who.headers)
    return answer.status_code


async def test_one_of_many_decisions_counts(world: World) -> None:
    await world.call(world.dealer, "POST", URL, 201, json=asked(world))
    statuses = await asyncio.gather(*(_approve(world, world.dealer) for _ in range(10)))
    assert sorted(statuses) == [200] + [400] * 9
    (found,) = await world.call(world.dealer, "GET", URL)
    detail = await world.call(world.dealer, "GET", f"{URL}/{found['id']}")
    assert len(detail["emi_schedule"]) == 24


def test_days_begin_in_india() -> None:
    assert today(datetime.fromisoformat("2024-01-14T18:29:59+00:00")) == date(2024, 1, 14)
    assert today(datetime.fromisoformat("2024-01-14T18:30:00+00:00")) == date(2024, 1, 15)
