"""Technicians as those who give out work see them: who is free, with what in hand; used by `stream.service`.

A technician without a dealer works for every dealer.
"""

from dataclasses import dataclass
from decimal import Decimal

from storage.database import Connection, fetch_all, fetch_one

CANDIDATES_MAX = 1_000  # of one dealer, with those who work for all


@dataclass(frozen=True, slots=True)
class Technician:
    """`status`: available, busy or off_duty. `load`: tickets in hand; `rating`: 0 to 5."""

    id: int
    name: str
    phone: str | None
    dealer_id: int | None
    location: str
    latitude: float | None
    longitude: float | None
    skills: list[str]
    rating: Decimal
    experience_years: Decimal
    status: str
    load_max: int
    load: int


@dataclass(frozen=True, slots=True)
class _Id:
    id: int


_LOAD = """
(SELECT count(*) FROM service_tickets
 WHERE assigned_to = user_id AND service_tickets.status IN ('assigned', 'in_progress')
   AND service_tickets.id IS DISTINCT FROM %(ticket_id)s)
"""

_SELECT = f"""
SELECT user_id AS id, users.name, users.phone, technicians.dealer_id, location, latitude, longitude, skills,
       rating, experience_years, technicians.status, load_max, {_LOAD} AS load
FROM technicians JOIN users ON users.id = user_id
"""

_IS_FREE = """
technicians.status = 'available' AND users.status = 'active' AND users.deleted_at IS NULL
AND (%(dealer_id)s::bigint IS NULL OR technicians.dealer_id IS NULL OR technicians.dealer_id = %(dealer_id)s)
"""

_FREE = f"{_SELECT} WHERE {_IS_FREE} AND load_max > {_LOAD} ORDER BY user_id LIMIT %(limit)s"

# In order of id, so that two of these wait for each other and never both. What only refers to a technician,
# as a ticket does, need not wait.
_HOLD_FREE = f"""
SELECT user_id AS id FROM technicians JOIN users ON users.id = user_id
WHERE {_IS_FREE} ORDER BY user_id LIMIT %(limit)s
FOR NO KEY UPDATE OF technicians
"""

_HOLD = """
SELECT user_id AS id FROM technicians JOIN users ON users.id = user_id
WHERE user_id = %(id)s AND users.status = 'active' AND users.deleted_at IS NULL
  AND (technicians.dealer_id IS NULL OR technicians.dealer_id = %(dealer_id)s)
FOR NO KEY UPDATE OF technicians
"""

_WITH_ROOM = f"{_SELECT} WHERE user_id = ANY(%(ids)s) AND load_max > {_LOAD} ORDER BY user_id"

_GET = f"{_SELECT} WHERE user_id = %(id)s"

# The rating that was entered, unless it was 0, is the first of those that the mean is of.
_RATE = """
UPDATE technicians
SET rating = (coalesce(rating_sum, rating) + %(rating)s) / (greatest(ratings, (rating > 0)::int) + 1),
    ratings = greatest(ratings, (rating > 0)::int) + 1,
    rating_sum = coalesce(rating_sum, rating) + %(rating)s
WHERE user_id = %(id)s
"""


async def list_free(connection: Connection, dealer_id: int | None) -> list[Technician]:
    """Return those who are available and have room, of one dealer and of all, in order of id.

    `dealer_id` None: everybody's. `CANDIDATES_MAX` at most.
    """
    where = {"dealer_id": dealer_id, "ticket_id": None, "limit": CANDIDATES_MAX}
    return await fetch_all(connection, Technician, _FREE, where)


async def hold_free(connection: Connection, dealer_id: int, ticket_id: int) -> list[Technician]:
    """Return those who could take this ticket of a dealer, and hold them until commit.

    Loads are counted once all are held, without this ticket: nobody else gives them work meanwhile.
    """
    where = {"dealer_id": dealer_id, "limit": CANDIDATES_MAX}
    ids = [each.id for each in await fetch_all(connection, _Id, _HOLD_FREE, where)]
    return await fetch_all(connection, Technician, _WITH_ROOM, {"ids": ids, "ticket_id": ticket_id})


async def hold_technician(
    connection: Connection, technician_id: int, dealer_id: int, ticket_id: int
) -> Technician | None:
    """Return this technician of a dealer, or of all, held until commit; `load` is without this ticket."""
    if await fetch_one(connection, _Id, _HOLD, {"id": technician_id, "dealer_id": dealer_id}) is None:
        return None
    return await fetch_one(connection, Technician, _GET, {"id": technician_id, "ticket_id": ticket_id})


async def rate(connection: Connection, technician_id: int, rating: int) -> None:
    """Count a rating (1 to 5) into the technician's mean."""
    await connection.execute(_RATE, {"id": technician_id, "rating": rating})
