"""The metering job: what changed samples mean for bills and wallets.

Run by `stream.jobs`. Whoever stores or changes samples, installations or tariffs writes `metering_due`; here
the bill of every local day that this can touch is computed again from the samples as they are, and the
difference to what was billed is moved: one immutable entry and one transfer a day, under the key
`meter:<meter>:<day>:<number>`. So late, out-of-order, doubled and reprocessed readings end in the same money,
and a run that finds nothing new changes nothing.

A meter is billed a month at a time, each in a transaction of its own under its unit's lock.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import psycopg
import structlog
from nats.aio.client import Client
from psycopg_pool import PoolTimeout

from protocols.timestamps import from_datetime, to_datetime
from storage import ledger
from storage.database import Connection, Pool
from storage.ledger import Transfer
from storage.queries import (
    meter_bills,
    meter_samples,
    meter_tariffs,
    metering_due,
    meters,
    outbox,
    unit_wallets,
)
from storage.queries.meter_bills import Bill, BillEntry
from storage.queries.meter_tariffs import Assignment
from storage.queries.metering_due import Due, Reason
from storage.queries.meters import BilledMeter, Installation
from storage.queries.unit_wallets import UnitWallet
from stream.errors import StreamError
from stream.metering import course
from stream.metering.consumption import GLITCHES_MAX
from stream.metering.days import day_start_us, local_day, next_month
from stream.metering.rating import DayCost, day_costs, rate
from stream.metering.supply import follow_balance, follow_debit, tell
from stream.settlement import LiveEvent

log = structlog.get_logger()

DEVICES_MAX = 100  # of one claim
RETRY_AFTER = timedelta(minutes=1)
# A new sample can change what this many readings before it count for.
_TOUCHED_BEFORE = GLITCHES_MAX + 2
_REVENUE = "revenue"


class BillingError(StreamError):
    """A meter that cannot be billed as it is set up: the message names it and says what to mend."""


@dataclass(frozen=True, slots=True)
class Billed:
    """What became of one month: the day to go on from (None: it is done), and what is told after commit."""

    next_day: date | None = None
    events: list[LiveEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Account:
    """All that a meter's bills are made by, as it stands under the unit's lock."""

    meter: BilledMeter
    zone: ZoneInfo
    wallet: UnitWallet
    installations: list[Installation]
    assignments: list[Assignment]


@dataclass(frozen=True, slots=True)
class _Window:
    """The local days from `first` to before `end` that are billed in one go.

    `last` is the newest day that has samples or a bill, `billed` the newest that has a bill.
    """

    first: date
    end: date
    last: date
    billed: date | None


async def bill_due(pool: Pool, bus: Client, clock: Callable[[], int]) -> bool:
    """Bill the meters of devices that are due; False where none is.

    What is due stays claimed, in a transaction of its own, until its meters are done: a worker that dies
    gives it back, and what it had billed is found billed. A meter that fails is tried again by the outbox.
    """
    async with pool.connection() as claims:
        due = await metering_due.claim(claims, DEVICES_MAX)
        for each in due:
            for meter_id in await meters.meters_of_device(claims, each.device_id):
                await _bill_or_postpone(pool, bus, claims, meter_id, each, clock)
    return bool(due)


async def _bill_or_postpone(
    pool: Pool, bus: Client, claims: Connection, meter_id: int, due: Due, clock: Callable[[], int]
) -> None:
    day, is_done = None, False
    try:
        while not is_done:
            async with pool.connection() as connection:
                now = to_datetime(clock())
                billed = await bill_month(connection, meter_id, due.since, due.reason, now, day)
            await tell(bus, billed.events)
            day, is_done = billed.next_day, billed.next_day is None
    except (psycopg.OperationalError, PoolTimeout):
        raise  # the database is away, or refused for now: nothing is wrong with this meter
    except Exception as error:  # whatever it was, it is this meter's failure and not its neighbours'
        log.error("meter_not_billed", meter=meter_id, error=f"{type(error).__name__}: {error}")
        payload = {"meter_id": meter_id, "since": due.since.isoformat(), "reason": due.reason}
        await outbox.enqueue(claims, "bill_meter", payload, to_datetime(clock()) + RETRY_AFTER)


async def bill_again(connection: Connection, payload: Mapping[str, str], now: datetime) -> list[LiveEvent]:
    """Carry out the outbox's `bill_meter`: {"meter_id", "since", "reason"}."""
    if payload["reason"] not in get_args(Reason):
        raise BillingError(f"meter {payload['meter_id']}: {payload['reason']!r} is no reason to bill")
    reason: Reason = payload["reason"]  # type: ignore[assignment]  # looked at above
    since, meter_id = datetime.fromisoformat(payload["since"]), int(payload["meter_id"])
    billed = await bill_month(connection, meter_id, since, reason, now)
    events = billed.events
    while billed.next_day is not None:
        billed = await bill_month(connection, meter_id, since, reason, now, billed.next_day)
        events += billed.events
    return events


async def bill_month(
    connection: Connection,
    meter_id: int,
    since: datetime,
    reason: Reason,
    now: datetime,
    from_day: date | None = None,
) -> Billed:
    """Bring a meter's bills to what its samples say, from what changed at `since` to that month's end.

    `from_day`: the months before it are done.
    A meter without wallet, tariff or installation is left as it is. Raises `BillingError`, `TariffError`,
    `ConsumptionError`.
    """
    account = await _account(connection, meter_id)
    if account is None:
        return Billed()
    window = await _window(connection, account, since, now, from_day)
    if window is None:
        return Billed()
    costs = await _costs(connection, account, window)
    events = await _settle(connection, account, window, costs, reason, now)
    return Billed(window.end if window.end <= window.last else None, events)


async def _account(connection: Connection, meter_id: int) -> _Account | None:
    meter = await meters.billed_meter(connection, meter_id)
    if meter is None:
        return None
    await meters.lock_unit(connection, meter.unit_id)
    wallet = await unit_wallets.wallet_of_unit(connection, meter.unit_id)
    assignments = await meter_tariffs.assignments(connection, meter_id)
    installations = await meters.installations(connection, meter_id)
    if wallet is None or not assignments or not installations:
        return None
    other = sorted({each.currency for each in assignments} - {wallet.currency})
    if other:
        raise BillingError(
            f"meter {meter_id} has a tariff in {other}, the wallet of unit {meter.unit_id} is in"
            f" {wallet.currency}: assign a tariff in that currency"
        )
    return _Account(meter, ZoneInfo(meter.time_zone), wallet, installations, assignments)


async def _window(
    connection: Connection, account: _Account, since: datetime, now: datetime, from_day: date | None
) -> _Window | None:
    """The days to be billed again; None where the meter has neither samples nor bills."""
    reach = await meter_samples.reach(connection, account.installations, since, _TOUCHED_BEFORE)
    billed = await meter_bills.last_billed_day(connection, account.meter.id)
    sampled = None if reach.last is None else local_day(from_datetime(reach.last), account.zone)
    days = [day for day in (billed, sampled) if day is not None]
    if not days:
        return None
    touched = from_day or local_day(from_datetime(reach.first or since), account.zone)
    oldest = course.oldest_day(now, account.zone)
    first = max(touched, course.first_priced_day(account.assignments, account.zone), oldest)
    first = course.window_start(account.assignments, first, account.zone)
    return _Window(first, next_month(first), max(days), billed)


async def _costs(connection: Connection, account: _Account, window: _Window) -> dict[date, DayCost]:
    zone = account.zone
    readings = await course.measured(
        connection,
        account.meter.utility_type,
        account.installations,
        day_start_us(window.first, zone),
        day_start_us(window.end, zone),
    )
    runs = course.runs_of(account.assignments, window.first, window.end, zone)
    found = day_costs(rate(readings, runs, zone))
    priced = course.first_priced_day(account.assignments, zone)
    return {day: cost for day, cost in found.items() if day >= priced}


async def _settle(
    connection: Connection,
    account: _Account,
    window: _Window,
    costs: Mapping[date, DayCost],
    reason: Reason,
    now: datetime,
) -> list[LiveEvent]:
    """Write an entry for every day that differs from its bill, and move the differences."""
    meter_id = account.meter.id
    bills = {
        bill.day: bill for bill in await meter_bills.bills(connection, meter_id, window.first, window.end)
    }
    entries: list[BillEntry] = []
    moved: list[Transfer] = []
    for day in sorted(costs.keys() | bills.keys()):
        is_late = reason == "reading" and window.billed is not None and day < window.billed
        entry = _entry(account, day, costs.get(day), bills.get(day), "late" if is_late else reason)
        if entry is None:
            continue
        if entry.change_minor:
            moved.append(await _move(connection, account, entry))
            entry = replace(entry, transfer_id=moved[-1].id)
        entries.append(entry)
    if entries:
        await meter_bills.add_entries(connection, meter_id, entries, now)
    return await _follow(connection, account, moved, now) if moved else []


def _entry(
    account: _Account, day: date, cost: DayCost | None, bill: Bill | None, reason: str
) -> BillEntry | None:
    """What brings a day's bill to its cost; None where it is. A day that lost its samples costs nothing."""
    cost = cost or DayCost(0, 0)
    consumption = course.in_base_unit(account.meter.utility_type, cost.amount)
    if bill is None:  # there is nothing as yet that a replacement could have changed
        why = "reading" if reason == "replacement" else reason
        return BillEntry(day, 1, consumption, cost.cost_minor, None, why)
    if bill.consumption == consumption and bill.cost_minor == cost.cost_minor:
        return None
    return BillEntry(day, bill.entries + 1, consumption, cost.cost_minor - bill.cost_minor, None, reason)


async def _move(connection: Connection, account: _Account, entry: BillEntry) -> Transfer:
    """Debit the wallet, or give back what was debited too much."""
    meter, wallet = account.meter, account.wallet
    revenue = await ledger.house_account(connection, _REVENUE, wallet.currency)
    is_debit = entry.change_minor > 0
    is_correction = entry.number > 1 and (entry.reason != "reading" or not is_debit)
    label = f"{meter.utility_type} usage {entry.day.isoformat()}"
    return await ledger.transfer(
        connection,
        key=f"meter:{meter.id}:{entry.day.isoformat()}:{entry.number}",
        debit_account_id=wallet.account_id if is_debit else revenue.id,
        credit_account_id=revenue.id if is_debit else wallet.account_id,
        amount_minor=abs(entry.change_minor),
        description=f"Correction of {label}" if is_correction else label.capitalize(),
    )


async def _follow(
    connection: Connection, account: _Account, moved: Sequence[Transfer], now: datetime
) -> list[LiveEvent]:
    """Do what the new balance asks for; the balance in between two days of one run is nobody's business."""
    wallet_id, first, last = account.wallet.account_id, moved[0], moved[-1]
    if first.debit_account_id == wallet_id:
        before_minor = first.debit_balance_minor + first.amount_minor
    else:
        before_minor = first.credit_balance_minor - first.amount_minor
    is_debit = last.debit_account_id == wallet_id
    after_minor = last.debit_balance_minor if is_debit else last.credit_balance_minor
    events = await follow_debit(connection, account.wallet, before_minor, after_minor, last.id)
    return events + await follow_balance(connection, account.wallet.unit_id, after_minor, last.id, now)
