"""Battery models: what is built and sold in the Lithovolt family; used by its API and by `stream.stock`.

Whoever changes a model's stock holds the model first (`lock_models`), so that counts of what is in stock are
taken one after the other.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict

from psycopg import errors
from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError
from storage.patterns import containing


@dataclass(frozen=True, slots=True)
class BatteryModel:
    """`code` begins its serial numbers. Price in minor units, to a wholesaler, without tax."""

    id: int
    name: str
    code: str
    chemistry: str
    nominal_voltage_v: Decimal
    capacity_ah: Decimal
    description: str
    price_minor: int
    tax_basis_points: int
    hsn_code: str
    warranty_months: int
    warranty_terms: dict[str, Any]
    low_stock_threshold: int
    is_active: bool
    created_at: datetime
    updated_at: datetime


class ModelFacts(TypedDict):
    """What can be changed of a model: all but its code."""

    name: str
    chemistry: str
    nominal_voltage_v: Decimal
    capacity_ah: Decimal
    description: str
    price_minor: int
    tax_basis_points: int
    hsn_code: str
    warranty_months: int
    warranty_terms: Mapping[str, Any]
    low_stock_threshold: int
    is_active: bool


_COLUMNS = """
id, name, code, chemistry, nominal_voltage_v, capacity_ah, description, price_minor, tax_basis_points,
hsn_code, warranty_months, warranty_terms, low_stock_threshold, is_active, created_at, updated_at
"""

_SELECT = "SELECT" + _COLUMNS + "FROM battery_models "

_GET = _SELECT + "WHERE id = %(id)s"

_SOME = _SELECT + "WHERE id = ANY(%(ids)s)"

_LOCK = _SOME + " ORDER BY id FOR NO KEY UPDATE"

_FILTER = """
FROM battery_models
WHERE (%(is_active)s::boolean IS NULL OR is_active = %(is_active)s)
  AND (%(pattern)s::text IS NULL OR name || ' ' || code ILIKE %(pattern)s)
"""

_LIST = "SELECT" + _COLUMNS + _FILTER + "ORDER BY id LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*)" + _FILTER

_INSERT = (
    """
INSERT INTO battery_models (name, code, chemistry, nominal_voltage_v, capacity_ah, description, price_minor,
                            tax_basis_points, hsn_code, warranty_months, warranty_terms, low_stock_threshold,
                            is_active, created_by, created_at, updated_at)
VALUES (%(name)s, %(code)s, %(chemistry)s, %(nominal_voltage_v)s, %(capacity_ah)s, %(description)s,
        %(price_minor)s, %(tax_basis_points)s, %(hsn_code)s, %(warranty_months)s, %(warranty_terms)s,
        %(low_stock_threshold)s, %(is_active)s, %(created_by)s, %(now)s, %(now)s)
RETURNING"""
    + _COLUMNS
)

_UPDATE = (
    """
UPDATE battery_models
SET name = %(name)s, chemistry = %(chemistry)s, nominal_voltage_v = %(nominal_voltage_v)s,
    capacity_ah = %(capacity_ah)s, description = %(description)s, price_minor = %(price_minor)s,
    tax_basis_points = %(tax_basis_points)s, hsn_code = %(hsn_code)s, warranty_months = %(warranty_months)s,
    warranty_terms = %(warranty_terms)s, low_stock_threshold = %(low_stock_threshold)s,
    is_active = %(is_active)s, updated_at = %(now)s
WHERE id = %(id)s
RETURNING"""
    + _COLUMNS
)

# The columns that the unique indexes are of.
_FIELDS = {"battery_models_code": "code", "battery_models_name": "name"}


async def get_model(connection: Connection, model_id: int) -> BatteryModel | None:
    """Return the model, or None."""
    return await fetch_one(connection, BatteryModel, _GET, {"id": model_id})


async def get_models(connection: Connection, model_ids: Collection[int]) -> dict[int, BatteryModel]:
    """Return those of these models that there are, by id."""
    found = await fetch_all(connection, BatteryModel, _SOME, {"ids": list(model_ids)})
    return {model.id: model for model in found}


async def lock_models(connection: Connection, model_ids: Collection[int]) -> dict[int, BatteryModel]:
    """Return the same, held until commit: in the order of ids, so that nobody waits in a circle."""
    found = await fetch_all(connection, BatteryModel, _LOCK, {"ids": list(model_ids)})
    return {model.id: model for model in found}


async def list_models(
    connection: Connection, *, is_active: bool | None, search: str | None, limit: int, offset: int
) -> tuple[list[BatteryModel], int]:
    """Return one page by id, and how many there are in all; `search` is part of a name or code."""
    where = {"is_active": is_active, "pattern": None if search is None else containing(search)}
    page = await fetch_all(connection, BatteryModel, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def insert_model(
    connection: Connection, code: str, facts: ModelFacts, *, created_by: int, now: datetime
) -> BatteryModel:
    """Write a model; raises `AlreadyExistsError` with the field's name where another has its code or name."""
    return await _written(connection, _INSERT, {"code": code, "created_by": created_by, **_row(facts, now)})


async def update_model(
    connection: Connection, model_id: int, facts: ModelFacts, now: datetime
) -> BatteryModel:
    """Write what is to hold from now on; raises `AlreadyExistsError` with the field's name."""
    return await _written(connection, _UPDATE, {"id": model_id, **_row(facts, now)})


def _row(facts: ModelFacts, now: datetime) -> dict[str, Any]:
    return {**facts, "warranty_terms": Jsonb(dict(facts["warranty_terms"])), "now": now}


async def _written(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> BatteryModel:
    try:
        model = await fetch_one(connection, BatteryModel, statement, parameters)
    except errors.UniqueViolation as error:
        raise AlreadyExistsError(_FIELDS[error.diag.constraint_name or ""]) from error
    assert model is not None, "whoever changes a model holds it"
    return model
