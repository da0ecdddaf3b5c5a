"""What a station offers, by the label that drivers and bookings know, with the charger's connector behind it.

The database joins the two by itself (`link_connector` in the migrations): when a charger reports a connector
or comes to a station, its connector takes the first label that has none behind it, else a new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from storage.database import Connection, fetch_all, fetch_value
from storage.queries.charger_views import LIVE_STATUS


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered at a label. Prices in minor units, None: the platform's; the first is per kWh."""

    label: str
    type: str
    power_kw: Decimal
    base_price_minor: int | None
    parking_fee_minor: int | None
    reservation_fee_minor: int | None


@dataclass(frozen=True, slots=True)
class StationConnector:
    """`device_id` and `connector_id`: of the charger behind it, both None while there is none.

    `status` is an OCPP 1.6 ChargePointStatus; Unavailable without a charger that is ready for use.
    """

    id: int
    station_id: int
    label: str
    type: str
    power_kw: float
    base_price_minor: int | None
    parking_fee_minor: int | None
    reservation_fee_minor: int | None
    device_id: int | None
    connector_id: int | None
    status: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A span in which a booking holds a connector."""

    station_connector_id: int
    from_: datetime
    to: datetime


_LIST = f"""
SELECT station_connectors.id, station_connectors.station_id, label, station_connectors.type,
       station_connectors.power_kw::float8, base_price_minor, parking_fee_minor, reservation_fee_minor,
       station_connectors.device_id, station_connectors.connector_id, {LIVE_STATUS} AS status
FROM station_connectors
LEFT JOIN chargers ON chargers.device_id = station_connectors.device_id
LEFT JOIN devices ON devices.id = station_connectors.device_id
LEFT JOIN connectors ON connectors.device_id = station_connectors.device_id
                    AND connectors.connector_id = station_connectors.connector_id
LEFT JOIN connectors AS whole ON whole.device_id = station_connectors.device_id AND whole.connector_id = 0
WHERE station_connectors.station_id = ANY(%(station_ids)s)
ORDER BY station_connectors.station_id, station_connectors.id
"""

_TAKEN = """
SELECT station_connector_id, lower(during) AS from_, upper(during) AS to FROM bookings
WHERE station_connector_id = ANY(%(ids)s) AND during && tstzrange(%(from)s, %(to)s)
  AND status IN ('pending', 'confirmed', 'active')
ORDER BY station_connector_id, lower(during)
"""

_PUT = """
INSERT INTO station_connectors (station_id, label, type, power_kw, base_price_minor, parking_fee_minor,
                                reservation_fee_minor)
VALUES (%(station_id)s, %(label)s, %(type)s, %(power_kw)s, %(base_price_minor)s, %(parking_fee_minor)s,
        %(reservation_fee_minor)s)
ON CONFLICT (station_id, label) DO UPDATE
SET type = EXCLUDED.type, power_kw = EXCLUDED.power_kw, base_price_minor = EXCLUDED.base_price_minor,
    parking_fee_minor = EXCLUDED.parking_fee_minor, reservation_fee_minor = EXCLUDED.reservation_fee_minor
"""

# A charger's connector is what the station says it is: chargers do not report plugs or power.
_DESCRIBE = """
UPDATE connectors SET type = offered.type, power_kw = offered.power_kw
FROM station_connectors AS offered
WHERE offered.station_id = %(station_id)s
  AND connectors.device_id = offered.device_id AND connectors.connector_id = offered.connector_id
"""

_IN_USE = """
SELECT label FROM station_connectors
WHERE station_id = %(station_id)s AND label = ANY(%(labels)s)
  AND (device_id IS NOT NULL
       OR EXISTS (SELECT FROM bookings  -- by the index `bookings_station`
                  WHERE station_id = %(station_id)s AND station_connector_id = station_connectors.id))
ORDER BY id LIMIT 1
"""

_DELETE = "DELETE FROM station_connectors WHERE station_id = %(station_id)s AND label = ANY(%(labels)s)"

_UNLINK = (
    "UPDATE station_connectors SET device_id = NULL, connector_id = NULL WHERE device_id = %(device_id)s"
)

_LINK = """
SELECT link_connector(device_id, connector_id) FROM connectors
WHERE device_id = %(device_id)s ORDER BY connector_id
"""


async def list_station_connectors(
    connection: Connection, station_ids: Sequence[int]
) -> list[StationConnector]:
    """Return what these stations offer, by station and in the order in which it was entered."""
    return await fetch_all(connection, StationConnector, _LIST, {"station_ids": list(station_ids)})


async def taken_spans(
    connection: Connection, station_connector_ids: Sequence[int], from_: datetime, to: datetime
) -> list[Taken]:
    """Return when bookings hold these connectors, those that touch [from, to), by connector and time."""
    where = {"ids": list(station_connector_ids), "from": from_, "to": to}
    return await fetch_all(connection, Taken, _TAKEN, where)


async def put_offers(connection: Connection, station_id: int, offers: Sequence[Offer]) -> None:
    """Add these offers or change those of the same label, and the charger's connectors behind them."""
    rows = [
        {
            "station_id": station_id,
            "label": offer.label,
            "type": offer.type,
            "power_kw": offer.power_kw,
            "base_price_minor": offer.base_price_minor,
            "parking_fee_minor": offer.parking_fee_minor,
            "reservation_fee_minor": offer.reservation_fee_minor,
        }
        for offer in offers
    ]
    async with connection.cursor() as cursor:
        await cursor.executemany(_PUT, rows)
    await connection.execute(_DESCRIBE, {"station_id": station_id})


async def offer_in_use(connection: Connection, station_id: int, labels: Sequence[str]) -> str | None:
    """Return one of these labels that a booking names, a past one too, or that a charger stands behind."""
    where = {"station_id": station_id, "labels": list(labels)}
    label = await fetch_value(connection, _IN_USE, where)
    return None if label is None else str(label)


async def delete_offers(connection: Connection, station_id: int, labels: Sequence[str]) -> None:
    """Take these labels away; the caller has asked `offer_in_use`, holding the station."""
    await connection.execute(_DELETE, {"station_id": station_id, "labels": list(labels)})


async def unlink_charger(connection: Connection, device_id: int) -> None:
    """Free the labels of a charger that is gone, for the one that comes in its place."""
    await connection.execute(_UNLINK, {"device_id": device_id})


async def link_charger(connection: Connection, device_id: int) -> None:
    """Give the connectors of a charger that is back their labels."""
    await connection.execute(_LINK, {"device_id": device_id})
