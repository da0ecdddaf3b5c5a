"""Pricing rules, and everything that a price at a connector is made of; used by `stream.pricing` and the API.

Of the active rules at a place the most specific holds: of its station and type, of its station, of its type,
of every connector; of two alike the newer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True)
class PricingRule:
    """`station_id` None: at every station; `connector_type` None: of every type. `rules`: see the stream."""

    id: int
    name: str
    station_id: int | None
    connector_type: str | None
    rules: dict[str, Any]
    is_active: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PricedPlace:
    """One connector with what its price is made of; amounts in minor units, None: it has none of its own.

    `tariff_id`: the station's own, else None. `rule_id`, `rule_name`, `rules`: the rule that holds here.
    """

    station_connector_id: int | None
    label: str | None
    connector_type: str | None
    power_kw: float | None
    time_zone: str
    base_price_minor: int | None
    parking_fee_minor: int | None
    reservation_fee_minor: int | None
    tariff_id: int | None
    rule_id: int | None
    rule_name: str | None
    rules: dict[str, Any] | None


_SELECT = """
SELECT id, name, station_id, connector_type, rules, is_active, created_at, updated_at FROM pricing_rules
"""

_GET = _SELECT + "WHERE id = %(id)s AND deleted_at IS NULL"

_LOCK = _GET + " FOR UPDATE"

_FILTER = """
WHERE deleted_at IS NULL AND (%(is_active)s::boolean IS NULL OR is_active = %(is_active)s)
"""

_LIST = _SELECT + _FILTER + "ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*) FROM pricing_rules" + _FILTER

_INSERT = """
INSERT INTO pricing_rules (name, station_id, connector_type, rules, created_by, created_at, updated_at)
VALUES (%(name)s, %(station_id)s, %(connector_type)s, %(rules)s, %(created_by)s, %(now)s, %(now)s)
ON CONFLICT (lower(name)) WHERE deleted_at IS NULL DO NOTHING
RETURNING id, name, station_id, connector_type, rules, is_active, created_at, updated_at
"""

_UPDATE = """
UPDATE pricing_rules
SET name = %(name)s, rules = %(rules)s, is_active = %(is_active)s, updated_at = %(now)s
WHERE id = %(id)s AND deleted_at IS NULL
RETURNING id, name, station_id, connector_type, rules, is_active, created_at, updated_at
"""

_DELETE = """
UPDATE pricing_rules SET deleted_at = %(now)s, updated_at = %(now)s
WHERE id = %(id)s AND deleted_at IS NULL
RETURNING id
"""

_SET_SESSION_TARIFF = "UPDATE sessions SET tariff_id = %(tariff_id)s WHERE id = %(id)s"

_SESSION_TARIFF = "SELECT tariff_id FROM sessions WHERE id = %(id)s"

_STATION_EXISTS = "SELECT EXISTS (SELECT FROM stations WHERE id = %(id)s AND deleted_at IS NULL)"

_PRICED = """
SELECT place.station_connector_id, place.label, place.connector_type, place.power_kw, place.time_zone,
       place.base_price_minor, place.parking_fee_minor, place.reservation_fee_minor, place.tariff_id,
       rule.rule_id, rule.rule_name, rule.rules
FROM place LEFT JOIN LATERAL (
    SELECT id AS rule_id, name AS rule_name, rules FROM pricing_rules
    WHERE is_active AND deleted_at IS NULL
      AND (station_id = place.station_id OR station_id IS NULL)
      AND (connector_type = place.connector_type OR connector_type IS NULL)
    ORDER BY station_id IS NULL, connector_type IS NULL, id DESC LIMIT 1
) AS rule ON true
ORDER BY place.station_connector_id
"""

_OFFERED = """
SELECT offered.id AS station_connector_id, offered.station_id, offered.label,
       offered.type AS connector_type, offered.power_kw::float8, stations.time_zone,
       offered.base_price_minor, offered.parking_fee_minor, offered.reservation_fee_minor,
       stations.tariff_id
FROM station_connectors AS offered JOIN stations ON stations.id = offered.station_id
"""

_BY_ID = f"WITH place AS ({_OFFERED} WHERE offered.id = %(id)s) {_PRICED}"

_AT_STATION = f"""
WITH place AS (
    {_OFFERED}
    WHERE stations.id = %(station_id)s AND stations.deleted_at IS NULL
      AND (%(label)s::text IS NULL OR offered.label = %(label)s)
      AND (%(connector_type)s::text IS NULL OR offered.type = %(connector_type)s))
{_PRICED}
"""

# A charger may be at no station, and say nothing of a connector before a session begins at it.
_AT_CHARGER = f"""
WITH place AS (
    SELECT offered.id AS station_connector_id, stations.id AS station_id, offered.label,
           coalesce(offered.type, connectors.type) AS connector_type, offered.power_kw::float8,
           coalesce(stations.time_zone, %(time_zone)s) AS time_zone,
           offered.base_price_minor, offered.parking_fee_minor, offered.reservation_fee_minor,
           stations.tariff_id
    FROM (VALUES (%(device_id)s::integer, %(connector_id)s::smallint)) AS used (device_id, connector_id)
    LEFT JOIN chargers ON chargers.device_id = used.device_id
    LEFT JOIN stations ON stations.id = chargers.station_id
    LEFT JOIN connectors ON connectors.device_id = used.device_id
        AND connectors.connector_id = used.connector_id
    LEFT JOIN station_connectors AS offered ON offered.device_id = used.device_id
        AND offered.connector_id = used.connector_id)
{_PRICED}
"""


async def insert_rule(
    connection: Connection,
    *,
    name: str,
    station_id: int | None,
    connector_type: str | None,
    rules: Mapping[str, Any],
    created_by: int,
    now: datetime,
) -> PricingRule:
    """Make an active rule; raises `AlreadyExistsError` when the name is taken."""
    scope = {"name": name, "station_id": station_id, "connector_type": connector_type}
    facts = {**scope, "rules": Jsonb(dict(rules)), "created_by": created_by, "now": now}
    made = await fetch_one(connection, PricingRule, _INSERT, facts)
    if made is None:
        raise AlreadyExistsError(f"pricing rule {name!r}: this name is taken")
    return made


async def get_rule(connection: Connection, rule_id: int) -> PricingRule | None:
    """Return the rule, or None where there is none or it was deleted."""
    return await fetch_one(connection, PricingRule, _GET, {"id": rule_id})


async def lock_rule(connection: Connection, rule_id: int) -> PricingRule | None:
    """Return the same, held until commit."""
    return await fetch_one(connection, PricingRule, _LOCK, {"id": rule_id})


async def list_rules(
    connection: Connection, *, is_active: bool | None, limit: int, offset: int
) -> tuple[list[PricingRule], int]:
    """Return one page of the rules, newest first, and how many there are in all."""
    where = {"is_active": is_active}
    page = {**where, "limit": limit, "offset": offset}
    rules = await fetch_all(connection, PricingRule, _LIST, page)
    return rules, int(await fetch_value(connection, _COUNT, where))


async def update_rule(
    connection: Connection,
    rule_id: int,
    *,
    name: str,
    rules: Mapping[str, Any],
    is_active: bool,
    now: datetime,
) -> PricingRule | None:
    """Change a rule, None where it is gone; raises `AlreadyExistsError` when the name is another's."""
    facts = {"id": rule_id, "name": name, "rules": Jsonb(dict(rules)), "is_active": is_active, "now": now}
    try:
        async with connection.transaction():
            return await fetch_one(connection, PricingRule, _UPDATE, facts)
    except UniqueViolation as error:
        raise AlreadyExistsError(f"pricing rule {name!r}: this name is taken") from error


async def delete_rule(connection: Connection, rule_id: int, now: datetime) -> bool:
    """Take a rule out of force and out of sight; False where it is gone already."""
    return await fetch_value(connection, _DELETE, {"id": rule_id, "now": now}) is not None


async def station_exists(connection: Connection, station_id: int) -> bool:
    """Whether there is such a station, and it is not deleted."""
    return bool(await fetch_value(connection, _STATION_EXISTS, {"id": station_id}))


async def place_by_id(connection: Connection, station_connector_id: int) -> PricedPlace | None:
    """Return one connector of a station, or None."""
    return await fetch_one(connection, PricedPlace, _BY_ID, {"id": station_connector_id})


async def places_at_station(
    connection: Connection, station_id: int, *, label: str | None = None, connector_type: str | None = None
) -> list[PricedPlace]:
    """Return the connectors of a station, all or those with this label or type; none of a deleted one."""
    where = {"station_id": station_id, "label": label, "connector_type": connector_type}
    return await fetch_all(connection, PricedPlace, _AT_STATION, where)


async def place_at_charger(
    connection: Connection, device_id: int, connector_id: int | None, time_zone: str
) -> PricedPlace:
    """Return a connector by its charger; `time_zone` is that of one at no station."""
    where = {"device_id": device_id, "connector_id": connector_id, "time_zone": time_zone}
    place = await fetch_one(connection, PricedPlace, _AT_CHARGER, where)
    assert place is not None, "a row of values is always there"
    return place


async def set_session_tariff(connection: Connection, session_id: int, tariff_id: int) -> None:
    """Keep by which tariff a session is rated."""
    await connection.execute(_SET_SESSION_TARIFF, {"id": session_id, "tariff_id": tariff_id})


async def session_tariff(connection: Connection, session_id: int) -> int | None:
    """Return the id of the tariff that was kept for a session, or None."""
    tariff_id: int | None = await fetch_value(connection, _SESSION_TARIFF, {"id": session_id})
    return tariff_id
