"""Batteries that wait for a payment, and what a lock's next step rests on; used by `stream.lending.locks`.

Whoever takes a step holds the loan's row, as whoever records a payment does. Days are those on which
instalments are due; amounts are minor units of INR.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from storage.database import Connection, fetch_all, fetch_one, fetch_value

State = Literal["noticed", "disabling", "disabled", "enabling", "ended"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A loan today, and its open lock if it has one (`lock_id`, `state`, `noticed_at`).

    `oldest_due`, `overdue_minor`: of the instalments that are overdue, penalties fixed so far included.
    `disable_on`: the day that the notice named. `is_with_consumer`: no other person has the battery now.
    `command_...` is what the lock waits for (to enable: the newest, whoever gave it), `asked_at` when it was
    sent the last time.
    """

    application_id: int
    battery_id: int
    serial_number: str
    battery_status: str
    consumer_id: int
    phone: str | None
    dealer_name: str
    dealer_phone: str | None
    is_with_consumer: bool
    oldest_due: date | None
    overdue_minor: int
    command_state: str | None
    lock_id: int | None
    state: State | None
    noticed_at: datetime | None
    disable_on: date | None
    command_id: UUID | None
    asked_at: datetime | None


_HEARD_OF = """
SELECT devices.last_seen_at IS NOT NULL
       OR EXISTS (SELECT FROM battery_samples WHERE battery_samples.device_id = devices.id)
FROM batteries JOIN devices ON devices.id = batteries.device_id
WHERE batteries.id = %(battery_id)s
"""

# A dealer's order to enable takes the place of the lock's own, and is followed like it: it may be refused.
_STANDING = """
SELECT loans.id AS application_id, loans.battery_id, batteries.serial_number,
       batteries.status AS battery_status, loans.consumer_id, consumer.phone, dealer.name AS dealer_name,
       dealer.phone AS dealer_phone,
       batteries.owner_id IS NULL OR batteries.owner_id = loans.consumer_id AS is_with_consumer,
       overdue.oldest_due, coalesce(overdue.overdue_minor, 0)::bigint AS overdue_minor,
       commands.state AS command_state, locks.id AS lock_id, locks.state, locks.noticed_at,
       locks.disable_on, commands.id AS command_id,
       CASE locks.state WHEN 'disabling' THEN locks.disable_asked_at
                        WHEN 'enabling' THEN locks.enable_asked_at END AS asked_at
FROM finance_applications AS loans
JOIN batteries ON batteries.id = loans.battery_id
JOIN users AS consumer ON consumer.id = loans.consumer_id
JOIN users AS dealer ON dealer.id = loans.dealer_id
LEFT JOIN battery_locks AS locks ON locks.application_id = loans.id AND locks.state <> 'ended'
LEFT JOIN battery_commands AS commands
       ON commands.id = CASE locks.state WHEN 'disabling' THEN locks.disable_command_id
                                         WHEN 'enabling' THEN coalesce((
                                             SELECT CASE newest.action WHEN 'activate' THEN newest.id END
                                             FROM battery_commands AS newest
                                             WHERE newest.battery_id = loans.battery_id
                                             ORDER BY newest.created_at DESC LIMIT 1
                                         ), locks.enable_command_id) END
LEFT JOIN LATERAL (
    SELECT min(due_date) AS oldest_due,
           sum(amount_minor - paid_minor + penalty_minor - penalty_paid_minor) AS overdue_minor
    FROM emi_schedules
    WHERE application_id = loans.id AND status = 'pending' AND due_date < %(today)s
      AND loans.status IN ('approved', 'disbursed')
) AS overdue ON true
"""

_GET = _STANDING + "WHERE loans.id = %(application_id)s"

_LIST_OPEN = _STANDING + "WHERE locks.id > %(after_id)s ORDER BY locks.id LIMIT %(limit)s"

# Without the loans that have a lock, unless it is a notice or a dealer has overruled it, and without those
# whose battery somebody else has by now.
_LIST_OVERDUE = (
    _STANDING
    + """
WHERE loans.id IN (
        SELECT application_id FROM emi_schedules WHERE status = 'pending' AND due_date <= %(due_by)s)
  AND loans.status IN ('approved', 'disbursed')
  AND (locks.id IS NULL
       OR %(with_noticed)s AND (locks.state = 'noticed'
                                OR locks.state = 'disabled' AND batteries.status <> 'inactive'))
  AND (batteries.owner_id IS NULL OR batteries.owner_id = loans.consumer_id)
  AND (%(dealer_id)s::bigint IS NULL OR loans.dealer_id = %(dealer_id)s)
  AND (consumer.phone IS NOT NULL OR NOT %(reachable)s)
ORDER BY loans.id LIMIT %(limit)s
"""
)

_HOLD = "SELECT id FROM finance_applications WHERE id = %(id)s FOR NO KEY UPDATE"

_TRY_HOLD = _HOLD + " SKIP LOCKED"

_INSERT = """
INSERT INTO battery_locks (application_id, battery_id, state, noticed_at, disable_on, created_at)
VALUES (%(application_id)s, %(battery_id)s, 'noticed', %(now)s, %(disable_on)s, %(now)s)
RETURNING id
"""

_DISABLING = """
UPDATE battery_locks
SET state = 'disabling', disable_command_id = %(command_id)s, disable_asked_at = %(now)s
WHERE id = %(id)s
"""

_DISABLED = """
UPDATE battery_locks
SET state = 'disabled', disabled_at = %(now)s, disable_asked_at = coalesce(disable_asked_at, %(now)s)
WHERE id = %(id)s
"""

_ENABLING = """
UPDATE battery_locks
SET state = 'enabling', enable_command_id = %(command_id)s, enable_asked_at = %(now)s
WHERE id = %(id)s
"""

_ENDED = "UPDATE battery_locks SET state = 'ended', ended_at = %(now)s WHERE id = %(id)s"

_ASKED_AGAIN = """
UPDATE battery_locks
SET disable_asked_at = CASE state WHEN 'disabling' THEN %(now)s ELSE disable_asked_at END,
    enable_asked_at = CASE state WHEN 'enabling' THEN %(now)s ELSE enable_asked_at END
WHERE id = %(id)s
"""


async def is_heard_of(connection: Connection, battery_id: int) -> bool:
    """Whether a device of this battery was ever heard of, so that it could answer a command."""
    return bool(await fetch_value(connection, _HEARD_OF, {"battery_id": battery_id}))


async def hold_loan(connection: Connection, application_id: int) -> None:
    """Hold the loan until commit, after whoever holds it now."""
    await connection.execute(_HOLD, {"id": application_id})


async def try_hold_loan(connection: Connection, application_id: int) -> bool:
    """Hold the loan until commit, unless somebody else holds it: then False."""
    return await fetch_value(connection, _TRY_HOLD, {"id": application_id}) is not None


async def get_standing(connection: Connection, application_id: int, today: date) -> Standing | None:
    """Return how the loan stands and its open lock, None for an unknown one."""
    return await fetch_one(connection, Standing, _GET, {"application_id": application_id, "today": today})


async def list_open(connection: Connection, today: date, *, after_id: int, limit: int) -> list[Standing]:
    """Return the next open locks behind the lock `after_id`, in order of the locks' ids."""
    return await fetch_all(
        connection, Standing, _LIST_OPEN, {"today": today, "after_id": after_id, "limit": limit}
    )


async def list_to_notice(connection: Connection, today: date, due_by: date, *, limit: int) -> list[Standing]:
    """Return loans without a lock that have something due by then, of people with a phone."""
    facts = {"today": today, "due_by": due_by, "limit": limit}
    more = {"with_noticed": False, "dealer_id": None, "reachable": True}
    return await fetch_all(connection, Standing, _LIST_OVERDUE, {**facts, **more})


async def list_to_disable(
    connection: Connection,
    today: date,
    due_by: date,
    *,
    dealer_id: int | None,
    limit: int,
) -> list[Standing]:
    """Return loans of a dealer (None: of all) with something due by then whose battery is not disabled."""
    facts = {"today": today, "due_by": due_by, "limit": limit}
    more = {"with_noticed": True, "dealer_id": dealer_id, "reachable": False}
    return await fetch_all(connection, Standing, _LIST_OVERDUE, {**facts, **more})


async def insert_lock(
    connection: Connection, application_id: int, battery_id: int, *, disable_on: date, now: datetime
) -> int:
    """Begin a lock with its notice; returns its id. The caller holds the loan and saw that it has none."""
    facts = {"application_id": application_id, "battery_id": battery_id, "disable_on": disable_on, "now": now}
    return int(await fetch_value(connection, _INSERT, facts))


async def set_disabling(connection: Connection, lock_id: int, command_id: UUID, now: datetime) -> None:
    """Note the command that disables the battery; an earlier one is forgotten."""
    await connection.execute(_DISABLING, {"id": lock_id, "command_id": command_id, "now": now})


async def set_disabled(connection: Connection, lock_id: int, now: datetime) -> None:
    """Note that the battery is disabled."""
    await connection.execute(_DISABLED, {"id": lock_id, "now": now})


async def set_enabling(connection: Connection, lock_id: int, command_id: UUID, now: datetime) -> None:
    """Note the command that enables the battery; an earlier one is forgotten."""
    await connection.execute(_ENABLING, {"id": lock_id, "command_id": command_id, "now": now})


async def set_ended(connection: Connection, lock_id: int, now: datetime) -> None:
    """End the lock."""
    await connection.execute(_ENDED, {"id": lock_id, "now": now})


async def set_asked_again(connection: Connection, lock_id: int, now: datetime) -> None:
    """Note that the command which the lock waits for is sent once more."""
    await connection.execute(_ASKED_AGAIN, {"id": lock_id, "now": now})
