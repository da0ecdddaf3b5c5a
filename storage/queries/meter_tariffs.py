"""Tariffs of utilities, and which one a meter has from which day on.

A definition never changes (`stream.metering.tariff` reads it): a new price is a new tariff. Used by
`stream.metering`, the portal and the command line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.errors import ForeignKeyViolation, UniqueViolation
from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one
from storage.errors import AlreadyExistsError, NotFoundError

ASSIGNMENTS_MAX = 1_000  # of one meter


@dataclass(frozen=True, slots=True)
class MeterTariff:
    """`definition`: JSON in the form of `stream.metering.tariff`."""

    id: int
    name: str
    utility: str
    currency: str
    definition: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Assignment:
    """A tariff as a meter has it from the local day of `since` on."""

    tariff_id: int
    name: str
    currency: str
    definition: dict[str, Any]
    since: datetime


_COLUMNS = "id, name, utility, currency, definition, created_at"

_GET = f"SELECT {_COLUMNS} FROM meter_tariffs WHERE id = %(id)s"

_LIST = f"SELECT {_COLUMNS} FROM meter_tariffs WHERE id > %(after_id)s ORDER BY id LIMIT %(limit)s"

_INSERT = f"""
INSERT INTO meter_tariffs (name, utility, currency, definition)
VALUES (%(name)s, %(utility)s, %(currency)s, %(definition)s) RETURNING {_COLUMNS}
"""

_ASSIGN = """
INSERT INTO meter_tariff_assignments (meter_id, tariff_id, since)
VALUES (%(meter_id)s, %(tariff_id)s, %(since)s)
ON CONFLICT (meter_id, since) DO UPDATE SET tariff_id = EXCLUDED.tariff_id
"""

_ASSIGNMENTS = """
SELECT tariff_id, name, currency, definition, meter_tariff_assignments.since
FROM meter_tariff_assignments JOIN meter_tariffs ON meter_tariffs.id = tariff_id
WHERE meter_id = %(meter_id)s ORDER BY meter_tariff_assignments.since LIMIT %(limit)s
"""

# What was measured since the tariff's first day, a day's length before and after it at most, is billed anew.
_DUE = """
INSERT INTO metering_due (device_id, since, reason)
SELECT DISTINCT device_id, greatest(meter_installations.since, %(since)s - interval '1 day'), 'replacement'
FROM meter_installations
WHERE meter_id = %(meter_id)s AND (until IS NULL OR until > %(since)s - interval '1 day')
"""


async def insert_tariff(
    connection: Connection, name: str, utility: str, currency: str, definition: Mapping[str, Any]
) -> MeterTariff:
    """Write a tariff that `stream.metering.tariff` has read. Raises `AlreadyExistsError` (the name)."""
    parameters = {
        "name": name,
        "utility": utility,
        "currency": currency,
        "definition": Jsonb(definition),
    }
    try:
        async with connection.transaction():
            made = await fetch_one(connection, MeterTariff, _INSERT, parameters)
    except UniqueViolation as error:
        raise AlreadyExistsError(f"there is a meter tariff {name!r}: a new price is a new tariff") from error
    assert made is not None
    return made


async def get_tariff(connection: Connection, tariff_id: int) -> MeterTariff | None:
    """Return the tariff with this id, or None."""
    return await fetch_one(connection, MeterTariff, _GET, {"id": tariff_id})


async def list_tariffs(connection: Connection, *, after_id: int = 0, limit: int) -> list[MeterTariff]:
    """Return a page of tariffs in order of id, those behind `after_id`."""
    return await fetch_all(connection, MeterTariff, _LIST, {"after_id": after_id, "limit": limit})


async def assign_tariff(connection: Connection, meter_id: int, tariff_id: int, since: datetime) -> None:
    """Give a meter its tariff from the local day of `since` on, and have its bills made again from there.

    Raises `NotFoundError` (meter or tariff).
    """
    key = {"meter_id": meter_id, "since": since}
    try:
        async with connection.transaction():
            await connection.execute(_ASSIGN, {**key, "tariff_id": tariff_id})
    except ForeignKeyViolation as error:
        raise NotFoundError(f"there is no meter {meter_id} or no meter tariff {tariff_id}") from error
    await connection.execute(_DUE, key)


async def assignments(connection: Connection, meter_id: int) -> list[Assignment]:
    """Return a meter's tariffs, oldest first."""
    parameters = {"meter_id": meter_id, "limit": ASSIGNMENTS_MAX}
    return await fetch_all(connection, Assignment, _ASSIGNMENTS, parameters)
