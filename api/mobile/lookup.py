"""From an id in a path to the thing, or the family's 404; and whether the caller reaches it.

Used by the app's endpoints and the portal's. A malformed id is an id of nothing (conflict C50). A unit that
is there and not the caller's is a 403 (conflict C88).
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Path

from api.context import Context
from api.errors import Problem, forbidden, not_found
from api.fields import parse_id
from api.mobile.callers import ResidentCaller
from storage.database import Connection
from storage.queries import estates, meters, occupancy, persons, residents, unit_wallets, units
from storage.queries.estates import Estate
from storage.queries.meters import Meter
from storage.queries.persons import Person
from storage.queries.residents import Account
from storage.queries.unit_wallets import UnitWallet
from storage.queries.units import Unit

_Row = TypeVar("_Row")
_INTEGER = {"type": "integer", "examples": [10]}
UnitId = Annotated[str, Path(alias="unit_id", json_schema_extra=_INTEGER)]
MeterId = Annotated[str, Path(alias="meter_id", json_schema_extra=_INTEGER)]
EstateId = Annotated[str, Path(alias="estate_id", json_schema_extra=_INTEGER)]
PersonId = Annotated[str, Path(alias="person_id", json_schema_extra=_INTEGER)]
UserId = Annotated[str, Path(alias="user_id", json_schema_extra=_INTEGER)]


def missing(what: str, given: str | int) -> Problem:
    """404 as rule R633 words it: "Unit not found", "Unit with ID 10 not found"."""
    return not_found(what, f"{what} with ID {given} not found")


async def _find(
    db: Connection, what: str, given: str | int, get: Callable[[Connection, int], Awaitable[_Row | None]]
) -> _Row:
    number = parse_id(str(given))
    found = None if number is None else await get(db, number)
    if found is None:
        raise missing(what, given)
    return found


async def find_unit(db: Connection, given: str | int) -> Unit:
    """Return the unit; raises 404."""
    return await _find(db, "Unit", given, units.get_unit)


async def find_meter(db: Connection, given: str | int) -> Meter:
    """Return the meter; raises 404."""
    return await _find(db, "Meter", given, meters.get_meter)


async def find_estate(db: Connection, given: str | int) -> Estate:
    """Return the estate; raises 404."""
    return await _find(db, "Estate", given, estates.get_estate)


async def find_person(db: Connection, given: str | int) -> Person:
    """Return the person; raises 404."""
    return await _find(db, "Person", given, persons.get_person)


async def hold_person(db: Connection, person_id: int) -> Person:
    """Return the person, held until commit; raises 404."""
    found = await persons.lock_person(db, person_id)
    if found is None:
        raise missing("Person", person_id)
    return found


async def find_account(db: Connection, given: str | int) -> Account:
    """Return the user of the app; raises 404."""
    return await _find(db, "Mobile user", given, residents.get_account)


async def find_wallet(db: Connection, unit: Unit) -> UnitWallet:
    """Return the unit's wallet; raises 404."""
    found = await unit_wallets.wallet_of_unit(db, unit.id)
    if found is None:
        raise not_found("Wallet", f"Unit with ID {unit.id} has no wallet")
    return found


async def reach_unit(context: Context, db: Connection, caller: ResidentCaller, given: str) -> Unit:
    """Return the unit if the caller owns it, or rents it today; raises 404 and 403."""
    unit = await find_unit(db, given)
    if not await occupancy.has_access(db, caller.account.person_id, unit.id, context.now()):
        raise forbidden("You do not have access to this unit")
    return unit


async def reach_meter(
    context: Context, db: Connection, caller: ResidentCaller, given: str
) -> tuple[Meter, Unit]:
    """Return the meter and its unit if the caller reaches the unit; raises 404 and 403."""
    meter = await find_meter(db, given)
    return meter, await reach_unit(context, db, caller, str(meter.unit_id))
