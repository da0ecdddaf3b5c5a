"""The device model of a charger: its variables as it last told or confirmed them.

Written by the OCPP gateway (`ingest.ocpp.results`, and the reports of OCPP 2.x), read by the API. OCPP
2.0.1 part 2, block B. A configuration key of OCPP 1.6 is a variable of the component ''.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_value

VARIABLES_MAX = 20_000  # of one charger


@dataclass(frozen=True, slots=True)
class VariableName:
    """Which attribute of which variable; no instance is '', no EVSE or connector 0. Compared without case."""

    component: str
    component_instance: str
    evse_id: int
    connector_id: int
    variable: str
    variable_instance: str = ""
    attribute: str = "Actual"

    @property
    def key(self) -> tuple[str | int, ...]:
        """The name without case."""
        texts = (self.component, self.component_instance, self.variable, self.variable_instance)
        return (*(text.lower() for text in texts), self.evse_id, self.connector_id, self.attribute.lower())


@dataclass(frozen=True, slots=True)
class Variable(VariableName):
    """An attribute with its value: None where it is write-only or not set, `***` where it is a secret.

    `mutability`, the two flags and `characteristics` (VariableCharacteristicsType) are None where the
    charger did not say: then those of before are kept.
    """

    value: str | None = None
    mutability: str | None = None
    is_persistent: bool | None = None
    is_constant: bool | None = None
    characteristics: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class StoredVariable(Variable):
    """A variable, and when it came."""

    updated_at: datetime | None = None


# Two batches of one charger that meet must not lock each other's rows.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('charger_variables'), %(device_id)s)"

_KEY = """
device_id, lower(component), lower(component_instance), evse_id, connector_id, lower(variable),
lower(variable_instance), lower(attribute)
"""

_COLUMNS = """
component, component_instance, evse_id, connector_id, variable, variable_instance, attribute, value,
mutability, is_persistent, is_constant, characteristics
"""

_GIVEN = """
SELECT * FROM unnest(
    %(component)s::text[], %(component_instance)s::text[], %(evse_id)s::int[], %(connector_id)s::int[],
    %(variable)s::text[], %(variable_instance)s::text[], %(attribute)s::text[]
"""

# Beyond the bound only what is there already is updated.
_PUT = f"""
INSERT INTO charger_variables (device_id, {_COLUMNS}, updated_at)
SELECT %(device_id)s, given.*, %(at)s
FROM ({_GIVEN}, %(value)s::text[], %(mutability)s::text[], %(is_persistent)s::boolean[],
    %(is_constant)s::boolean[], %(characteristics)s::jsonb[])
) AS given ({_COLUMNS})
WHERE (SELECT count(*) FROM charger_variables WHERE device_id = %(device_id)s) + %(count)s <= %(bound)s
   OR EXISTS (SELECT FROM charger_variables AS known
              WHERE known.device_id = %(device_id)s
                AND lower(known.component) = lower(given.component)
                AND lower(known.component_instance) = lower(given.component_instance)
                AND known.evse_id = given.evse_id AND known.connector_id = given.connector_id
                AND lower(known.variable) = lower(given.variable)
                AND lower(known.variable_instance) = lower(given.variable_instance)
                AND lower(known.attribute) = lower(given.attribute))
ON CONFLICT ({_KEY}) DO UPDATE
SET value = EXCLUDED.value,
    mutability = coalesce(EXCLUDED.mutability, charger_variables.mutability),
    is_persistent = coalesce(EXCLUDED.is_persistent, charger_variables.is_persistent),
    is_constant = coalesce(EXCLUDED.is_constant, charger_variables.is_constant),
    characteristics = coalesce(EXCLUDED.characteristics, charger_variables.characteristics),
    updated_at = EXCLUDED.updated_at
"""

_REMOVE = f"""
DELETE FROM charger_variables AS known USING ({_GIVEN})) AS given (
    component, component_instance, evse_id, connector_id, variable, variable_instance, attribute)
WHERE known.device_id = %(device_id)s
  AND lower(known.component) = lower(given.component)
  AND lower(known.component_instance) = lower(given.component_instance)
  AND known.evse_id = given.evse_id AND known.connector_id = given.connector_id
  AND lower(known.variable) = lower(given.variable)
  AND lower(known.variable_instance) = lower(given.variable_instance)
  AND lower(known.attribute) = lower(given.attribute)
"""

_WHERE = """
FROM charger_variables WHERE device_id = %(device_id)s
  AND (%(component)s::text IS NULL OR lower(component) = lower(%(component)s))
  AND (%(variable)s::text IS NULL OR lower(variable) = lower(%(variable)s))
"""

_LIST = f"""
SELECT {_COLUMNS}, updated_at {_WHERE}
ORDER BY lower(component), lower(component_instance), evse_id, connector_id, lower(variable),
         lower(variable_instance), lower(attribute)
LIMIT %(limit)s OFFSET %(offset)s
"""

_COUNT = "SELECT count(*) " + _WHERE


async def put_variables(
    connection: Connection, device_id: int, variables: Sequence[Variable], at: datetime
) -> int:
    """Keep what the charger told or confirmed; of two with one name the later. Returns how many are kept:

    fewer than given only beyond `VARIABLES_MAX`.
    """
    given = list({variable.key: variable for variable in variables}.values())
    parameters: dict[str, Any] = {**_names(device_id, given), "at": at}
    parameters |= {
        name: [getattr(each, name) for each in given]
        for name in ("value", "mutability", "is_persistent", "is_constant")
    }
    parameters["characteristics"] = [
        None if each.characteristics is None else Jsonb(each.characteristics) for each in given
    ]
    parameters |= {"count": len(given), "bound": VARIABLES_MAX}
    await connection.execute(_LOCK, parameters)
    return (await connection.execute(_PUT, parameters)).rowcount


async def remove_variables(connection: Connection, device_id: int, names: Sequence[VariableName]) -> int:
    """Forget what the charger says it does not have; returns how many there were."""
    parameters = _names(device_id, names)
    await connection.execute(_LOCK, parameters)
    return (await connection.execute(_REMOVE, parameters)).rowcount


async def list_variables(
    connection: Connection,
    device_id: int,
    *,
    component: str | None = None,
    variable: str | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[StoredVariable], int]:
    """Return one page by name, and how many there are in all."""
    where = {"device_id": device_id, "component": component, "variable": variable}
    page = await fetch_all(connection, StoredVariable, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


def _names(device_id: int, names: Sequence[VariableName]) -> dict[str, Any]:
    fields = VariableName.__slots__
    return {"device_id": device_id, **{name: [getattr(each, name) for each in names] for name in fields}}
