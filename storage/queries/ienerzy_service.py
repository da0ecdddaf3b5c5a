"""How service went at Ienerzy, as figures: tickets, times, technicians, costs; used by the Ienerzy API.

`dealer_id` None: of all dealers. A time is from a ticket's creation to its resolution.
"""

from dataclasses import dataclass
from decimal import Decimal

from storage.database import Connection, fetch_all, fetch_one


@dataclass(frozen=True, slots=True)
class TicketSums:
    """Tickets by status and by category, and how long the resolved ones took; None where none is resolved."""

    total: int
    open: int
    assigned: int
    in_progress: int
    resolved: int
    within_sla: int
    mean_s: Decimal | None
    fastest_s: Decimal | None
    slowest_s: Decimal | None
    performance: int
    charging: int
    mechanical: int
    electrical: int
    other: int


@dataclass(frozen=True, slots=True)
class TechnicianSums:
    """What one technician resolved; `satisfaction` is the mean of 1 to 5, None where nobody rated."""

    technician_id: int
    name: str
    resolved: int
    mean_s: Decimal
    satisfaction: Decimal | None


@dataclass(frozen=True, slots=True)
class ServiceCosts:
    """Resolved tickets with parts or labour entered, and what these cost together."""

    tickets: int
    cost_minor: Decimal


_TICKETS = """
SELECT count(*) AS total,
       count(*) FILTER (WHERE status = 'open') AS open,
       count(*) FILTER (WHERE status = 'assigned') AS assigned,
       count(*) FILTER (WHERE status = 'in_progress') AS in_progress,
       count(resolved_at) AS resolved,
       count(*) FILTER (WHERE resolved_at <= sla_due_at) AS within_sla,
       avg(extract(epoch FROM resolved_at - created_at)) AS mean_s,
       extract(epoch FROM min(resolved_at - created_at)) AS fastest_s,
       extract(epoch FROM max(resolved_at - created_at)) AS slowest_s,
       count(*) FILTER (WHERE issue_category = 'performance') AS performance,
       count(*) FILTER (WHERE issue_category = 'charging') AS charging,
       count(*) FILTER (WHERE issue_category = 'mechanical') AS mechanical,
       count(*) FILTER (WHERE issue_category = 'electrical') AS electrical,
       count(*) FILTER (WHERE issue_category = 'other') AS other
FROM service_tickets WHERE (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s)
"""

_TECHNICIANS = """
SELECT technician_id, name, resolved, mean_s, satisfaction
FROM (SELECT assigned_to AS technician_id, count(*) AS resolved,
             avg(extract(epoch FROM resolved_at - created_at)) AS mean_s, avg(satisfaction) AS satisfaction
      FROM service_tickets
      WHERE status = 'resolved' AND assigned_to IS NOT NULL
        AND (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s)
      GROUP BY assigned_to ORDER BY resolved DESC, assigned_to LIMIT %(limit)s) AS worked
JOIN users ON users.id = technician_id
ORDER BY resolved DESC, technician_id
"""

_COSTS = """
SELECT count(*) AS tickets,
       coalesce(sum(coalesce(parts_cost_minor, 0) + coalesce(labor_hours, 0) * %(labor_minor_per_hour)s), 0)
           AS cost_minor
FROM service_tickets
WHERE status = 'resolved' AND (parts_cost_minor IS NOT NULL OR labor_hours IS NOT NULL)
  AND (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s)
"""


async def ticket_sums(connection: Connection, dealer_id: int | None) -> TicketSums:
    """Sum up all tickets."""
    found = await fetch_one(connection, TicketSums, _TICKETS, {"dealer_id": dealer_id})
    assert found is not None
    return found


async def technician_sums(connection: Connection, dealer_id: int | None, limit: int) -> list[TechnicianSums]:
    """Return the `limit` technicians who resolved most of the dealer's tickets."""
    where = {"dealer_id": dealer_id, "limit": limit}
    return await fetch_all(connection, TechnicianSums, _TECHNICIANS, where)


async def service_costs(
    connection: Connection, dealer_id: int | None, labor_minor_per_hour: int
) -> ServiceCosts:
    """Sum up parts and labour of resolved tickets; exact, so parts of a paisa may be in it."""
    where = {"dealer_id": dealer_id, "labor_minor_per_hour": labor_minor_per_hour}
    found = await fetch_one(connection, ServiceCosts, _COSTS, where)
    assert found is not None
    return found
