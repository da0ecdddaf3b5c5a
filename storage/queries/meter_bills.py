"""What each meter was billed for a local day, and the entries that brought it there; entries never change.

Written by `stream.metering.billing` alone, in the transaction that moves the money.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from storage.database import Connection, fetch_all, fetch_value


@dataclass(frozen=True, slots=True)
class Bill:
    """A meter's local day as billed so far: `consumption` in Wh or m3, `entries` so many."""

    day: date
    consumption: Decimal
    cost_minor: int
    entries: int


@dataclass(frozen=True, slots=True)
class BillEntry:
    """One change of a day's bill: its consumption afterwards, by how much its cost changed, and why."""

    day: date
    number: int
    consumption: Decimal
    change_minor: int
    transfer_id: int | None
    reason: str


_BILLS = """
SELECT day, consumption, cost_minor, entries FROM meter_bills
WHERE meter_id = %(meter_id)s AND day >= %(first)s AND day < %(end)s ORDER BY day
"""

_LAST_DAY = "SELECT max(day) FROM meter_bills WHERE meter_id = %(meter_id)s"

_ENTRIES = """
SELECT day, number, consumption, change_minor, transfer_id, reason FROM meter_bill_entries
WHERE meter_id = %(meter_id)s AND day >= %(first)s AND day < %(end)s ORDER BY day, number LIMIT %(limit)s
"""

_ADD_ENTRIES = """
INSERT INTO meter_bill_entries (meter_id, day, number, consumption, change_minor, transfer_id, reason,
                                created_at)
SELECT %(meter_id)s, day, number, consumption, change_minor, transfer_id, reason, %(now)s
FROM unnest(%(days)s::date[], %(numbers)s::integer[], %(consumption)s::numeric[], %(changes)s::bigint[],
            %(transfers)s::bigint[], %(reasons)s::text[])
    AS entry (day, number, consumption, change_minor, transfer_id, reason)
"""

_ADD_TO_BILLS = """
INSERT INTO meter_bills AS bill (meter_id, day, consumption, cost_minor, entries)
SELECT %(meter_id)s, day, consumption, change_minor, number
FROM unnest(%(days)s::date[], %(numbers)s::integer[], %(consumption)s::numeric[], %(changes)s::bigint[])
    AS entry (day, number, consumption, change_minor)
ON CONFLICT (meter_id, day) DO UPDATE
SET consumption = EXCLUDED.consumption, cost_minor = bill.cost_minor + EXCLUDED.cost_minor,
    entries = EXCLUDED.entries
"""


async def bills(connection: Connection, meter_id: int, first: date, end: date) -> list[Bill]:
    """Return the meter's bills of the days from `first` to before `end`."""
    return await fetch_all(connection, Bill, _BILLS, {"meter_id": meter_id, "first": first, "end": end})


async def last_billed_day(connection: Connection, meter_id: int) -> date | None:
    """Return the newest day that the meter has a bill for."""
    day: date | None = await fetch_value(connection, _LAST_DAY, {"meter_id": meter_id})
    return day


async def bill_entries(
    connection: Connection, meter_id: int, first: date, end: date, *, limit: int
) -> list[BillEntry]:
    """Return how the bills of the days from `first` to before `end` came to what they are."""
    parameters = {"meter_id": meter_id, "first": first, "end": end, "limit": limit}
    return await fetch_all(connection, BillEntry, _ENTRIES, parameters)


async def add_entries(
    connection: Connection, meter_id: int, entries: Sequence[BillEntry], now: datetime
) -> None:
    """Write entries, at most one a day, and bring the days' bills to what they say."""
    parameters = {
        "meter_id": meter_id,
        "now": now,
        "days": [entry.day for entry in entries],
        "numbers": [entry.number for entry in entries],
        "consumption": [entry.consumption for entry in entries],
        "changes": [entry.change_minor for entry in entries],
        "transfers": [entry.transfer_id for entry in entries],
        "reasons": [entry.reason for entry in entries],
    }
    await connection.execute(_ADD_ENTRIES, parameters)
    await connection.execute(_ADD_TO_BILLS, parameters)
