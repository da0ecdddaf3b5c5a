"""Who owns and who rents which unit, and since when; what the Mobile family's access rests on.

"Today" is the date where the estate is. An ownership ends before `until`, a lease after its last day.
Used by the sign-in and the unit paths of the Mobile family, by its portal and by `stream.notices`.
"""

from dataclasses import dataclass
from datetime import date, datetime

import psycopg

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError

UNITS_MAX = 1_000  # of one person
PEOPLE_MAX = 1_000  # of one unit
WHOLE_BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class UnitAccess:
    """A unit that a person reaches, and as what. `role`: owner or tenant, each with its own fields."""

    unit_id: int
    unit_number: str
    estate_id: int
    estate_name: str
    role: str
    is_primary: bool
    ownership_basis_points: int | None
    monthly_rent_minor: int | None
    lease_start_date: date | None
    lease_end_date: date | None


@dataclass(frozen=True, slots=True)
class Owner:
    """An ownership; `until` is the day after its last one, None while it lasts."""

    id: int
    unit_id: int
    person_id: int
    first_name: str
    last_name: str
    ownership_basis_points: int
    is_primary: bool
    since: date
    until: date | None


@dataclass(frozen=True, slots=True)
class Tenancy:
    """A lease; `lease_end_date` is its last day."""

    id: int
    unit_id: int
    person_id: int
    first_name: str
    last_name: str
    monthly_rent_minor: int
    is_primary: bool
    lease_start_date: date
    lease_end_date: date


_TODAY = "(%(now)s::timestamptz AT TIME ZONE estates.time_zone)::date"

_OWNED = f"""
SELECT units.id AS unit_id, units.unit_number, estates.id AS estate_id, estates.name AS estate_name,
       'owner' AS role, is_primary, ownership_basis_points, NULL::bigint AS monthly_rent_minor,
       NULL::date AS lease_start_date, NULL::date AS lease_end_date, person_id
FROM unit_owners JOIN units ON units.id = unit_id JOIN estates ON estates.id = estate_id
WHERE units.archived_at IS NULL AND daterange(since, until) @> {_TODAY}
"""

_RENTED = f"""
SELECT units.id, units.unit_number, estates.id, estates.name,
       'tenant', is_primary, NULL::integer, monthly_rent_minor, lease_start_date, lease_end_date, person_id
FROM tenancies JOIN units ON units.id = unit_id JOIN estates ON estates.id = estate_id
WHERE units.archived_at IS NULL AND daterange(lease_start_date, lease_end_date, '[]') @> {_TODAY}
"""

_UNITS = f"""
SELECT unit_id, unit_number, estate_id, estate_name, role, is_primary, ownership_basis_points,
       monthly_rent_minor, lease_start_date, lease_end_date
FROM ({_OWNED} AND person_id = %(person_id)s UNION ALL {_RENTED} AND person_id = %(person_id)s) AS reached
ORDER BY is_primary DESC, unit_id, role
LIMIT %(limit)s
"""

_HAS_ACCESS = f"""
SELECT EXISTS ({_OWNED} AND person_id = %(person_id)s AND unit_id = %(unit_id)s)
    OR EXISTS ({_RENTED} AND person_id = %(person_id)s AND unit_id = %(unit_id)s)
"""

_USERS = f"""
SELECT DISTINCT users.id
FROM ({_OWNED} AND unit_id = %(unit_id)s UNION ALL {_RENTED} AND unit_id = %(unit_id)s) AS reached
JOIN persons ON persons.id = person_id JOIN users ON users.id = persons.user_id
WHERE users.status = 'active'
ORDER BY users.id LIMIT %(limit)s
"""

# Where the caller does not say, the first one is the unit's primary.
_INSERT_OWNER = """
INSERT INTO unit_owners (unit_id, person_id, ownership_basis_points, is_primary, since)
SELECT %(unit_id)s, %(person_id)s, %(basis_points)s,
       coalesce(%(is_primary)s::boolean, NOT EXISTS (
           SELECT FROM unit_owners WHERE unit_id = %(unit_id)s AND is_primary
             AND daterange(since, until) @> %(since)s::date)),
       %(since)s
RETURNING id
"""

_INSERT_TENANCY = """
INSERT INTO tenancies (unit_id, person_id, monthly_rent_minor, is_primary, lease_start_date, lease_end_date)
SELECT %(unit_id)s, %(person_id)s, %(monthly_rent_minor)s,
       coalesce(%(is_primary)s::boolean, NOT EXISTS (
           SELECT FROM tenancies WHERE unit_id = %(unit_id)s AND is_primary
             AND daterange(lease_start_date, lease_end_date, '[]')
                 && daterange(%(lease_start_date)s, %(lease_end_date)s, '[]'))),
       %(lease_start_date)s, %(lease_end_date)s
RETURNING id
"""

# The sum can only rise on a day on which an ownership begins.
_OWNED_AT_MOST = """
SELECT max((SELECT coalesce(sum(ownership_basis_points), 0) FROM unit_owners
            WHERE unit_id = %(unit_id)s AND daterange(since, until) @> beginning.day))
FROM (SELECT %(since)s::date AS day
      UNION SELECT since FROM unit_owners WHERE unit_id = %(unit_id)s AND since > %(since)s) AS beginning
"""

_OWNERS = """
SELECT unit_owners.id, unit_id, person_id, first_name, last_name, ownership_basis_points, is_primary, since,
       until
FROM unit_owners JOIN persons ON persons.id = person_id
"""

_TENANCIES = """
SELECT tenancies.id, unit_id, person_id, first_name, last_name, monthly_rent_minor, is_primary,
       lease_start_date, lease_end_date
FROM tenancies JOIN persons ON persons.id = person_id
"""

_GET_OWNER = _OWNERS + "WHERE unit_owners.id = %(id)s"
_GET_TENANCY = _TENANCIES + "WHERE tenancies.id = %(id)s"
_LIST_OWNERS = (
    _OWNERS + "WHERE unit_id = %(unit_id)s ORDER BY since DESC, unit_owners.id DESC LIMIT %(limit)s"
)
_LIST_TENANCIES = (
    _TENANCIES
    + "WHERE unit_id = %(unit_id)s ORDER BY lease_start_date DESC, tenancies.id DESC LIMIT %(limit)s"
)

# What ends before it begins never was: it was entered by mistake.
_DELETE_OWNER = "DELETE FROM unit_owners WHERE id = %(id)s AND since > %(last_day)s"
_END_OWNER = "UPDATE unit_owners SET until = %(last_day)s::date + 1 WHERE id = %(id)s"
_DELETE_TENANCY = "DELETE FROM tenancies WHERE id = %(id)s AND lease_start_date > %(last_day)s"
_END_TENANCY = "UPDATE tenancies SET lease_end_date = %(last_day)s WHERE id = %(id)s"


async def units_of(connection: Connection, person_id: int, now: datetime) -> list[UnitAccess]:
    """Return what the person reaches today, its primary units first."""
    parameters = {"person_id": person_id, "now": now, "limit": UNITS_MAX}
    return await fetch_all(connection, UnitAccess, _UNITS, parameters)


async def has_access(connection: Connection, person_id: int, unit_id: int, now: datetime) -> bool:
    """Whether the person owns the unit today, or rents it today."""
    parameters = {"person_id": person_id, "unit_id": unit_id, "now": now}
    return bool(await fetch_value(connection, _HAS_ACCESS, parameters))


async def users_of_unit(connection: Connection, unit_id: int, now: datetime) -> list[int]:
    """Return the ids of the active users who reach the unit today."""
    rows = await connection.execute(_USERS, {"unit_id": unit_id, "now": now, "limit": PEOPLE_MAX})
    return [user_id async for (user_id,) in rows]


async def insert_owner(
    connection: Connection,
    *,
    unit_id: int,
    person_id: int,
    basis_points: int,
    is_primary: bool | None,
    since: date,
) -> Owner:
    """Make the person an owner; the caller holds the unit (`meters.lock_unit`).

    Raises `AlreadyExistsError` where the person owns it then already, or the shares exceed the whole.
    """
    facts = {"unit_id": unit_id, "person_id": person_id, "since": since}
    try:
        made = await fetch_value(
            connection, _INSERT_OWNER, {**facts, "basis_points": basis_points, "is_primary": is_primary}
        )
    except psycopg.errors.ExclusionViolation as error:
        raise AlreadyExistsError("this person owns a share of this unit then already") from error
    total = await fetch_value(connection, _OWNED_AT_MOST, facts)
    if total > WHOLE_BASIS_POINTS:
        raise AlreadyExistsError(
            f"the shares of its owners would be {total / 100:g} %, 100 % is all there is"
        )
    owner = await get_owner(connection, int(made))
    assert owner is not None
    return owner


async def insert_tenancy(
    connection: Connection,
    *,
    unit_id: int,
    person_id: int,
    monthly_rent_minor: int,
    is_primary: bool | None,
    lease_start_date: date,
    lease_end_date: date,
) -> Tenancy:
    """Make the person a tenant. Raises `AlreadyExistsError` where one of its leases overlaps."""
    facts = {
        "unit_id": unit_id,
        "person_id": person_id,
        "monthly_rent_minor": monthly_rent_minor,
        "is_primary": is_primary,
        "lease_start_date": lease_start_date,
        "lease_end_date": lease_end_date,
    }
    try:
        made = await fetch_value(connection, _INSERT_TENANCY, facts)
    except psycopg.errors.ExclusionViolation as error:
        raise AlreadyExistsError("this person has a lease of this unit that overlaps") from error
    tenancy = await get_tenancy(connection, int(made))
    assert tenancy is not None
    return tenancy


async def get_owner(connection: Connection, owner_id: int) -> Owner | None:
    """Return the ownership, or None."""
    return await fetch_one(connection, Owner, _GET_OWNER, {"id": owner_id})


async def get_tenancy(connection: Connection, tenancy_id: int) -> Tenancy | None:
    """Return the lease, or None."""
    return await fetch_one(connection, Tenancy, _GET_TENANCY, {"id": tenancy_id})


async def list_owners(connection: Connection, unit_id: int) -> list[Owner]:
    """Return the unit's ownerships, former ones too, newest first."""
    return await fetch_all(connection, Owner, _LIST_OWNERS, {"unit_id": unit_id, "limit": PEOPLE_MAX})


async def list_tenancies(connection: Connection, unit_id: int) -> list[Tenancy]:
    """Return the unit's leases, former ones too, newest first."""
    return await fetch_all(connection, Tenancy, _LIST_TENANCIES, {"unit_id": unit_id, "limit": PEOPLE_MAX})


async def end_owner(connection: Connection, owner_id: int, last_day: date) -> Owner | None:
    """End an ownership with this day; None where it had not begun by then, and so is gone."""
    parameters = {"id": owner_id, "last_day": last_day}
    deleted = await connection.execute(_DELETE_OWNER, parameters)
    if not deleted.rowcount:
        await connection.execute(_END_OWNER, parameters)
    return await get_owner(connection, owner_id)


async def end_tenancy(connection: Connection, tenancy_id: int, last_day: date) -> Tenancy | None:
    """End a lease with this day; None where it had not begun by then, and so is gone."""
    parameters = {"id": tenancy_id, "last_day": last_day}
    deleted = await connection.execute(_DELETE_TENANCY, parameters)
    if not deleted.rowcount:
        await connection.execute(_END_TENANCY, parameters)
    return await get_tenancy(connection, tenancy_id)
