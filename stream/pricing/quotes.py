"""What a charging session would cost: the same calculation as that of a session, before there is one.

Used by the API (calculate, preview) and by bookings. A quote is rated as a session of this energy and this
length would be that starts at this moment and draws the same power all the time.
"""

from dataclasses import dataclass
from datetime import datetime

from protocols.timestamps import US_PER_SECOND, from_datetime
from storage.database import Connection
from storage.errors import NotFoundError
from storage.queries.pricing_rules import place_by_id
from stream.pricing.compose import Price, price_of_place
from stream.rating import Charges, Period, Usage, rate
from stream.rating.tariff import round_half_up

BASIS_POINTS_PER_PERCENT = 100
BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Quote:
    """A price in minor units of `currency`, and what it rests on.

    `subtotal_minor` is energy + time + parking + peak + flat + adjustment - discount + platform fee;
    `total_minor` is that and GST. `parking_minor_per_minute` counts for every minute of the session.
    `is_peak_hour`: part of the session lies in peak hours; `peak_multiplier` is theirs, else 1.
    `time_minor`, `flat_minor` and `adjustment_minor` come from a station's own tariff or a rule's minimum.
    """

    base_minor_per_kwh: int
    energy_minor: int
    parking_minor: int
    peak_minor: int
    discount_minor: int
    platform_fee_minor: int
    subtotal_minor: int
    gst_minor: int
    total_minor: int
    parking_minor_per_minute: int
    is_peak_hour: bool
    peak_multiplier: float
    discount_percentage: float
    gst_percentage: float
    currency: str
    time_minor: int = 0
    flat_minor: int = 0
    adjustment_minor: int = 0


async def quote(
    connection: Connection, station_connector_id: int, energy_wh: int, duration_s: int, start: datetime
) -> Quote:
    """Price a session at this connector of a station by the prices that hold now.

    Raises `storage.errors.NotFoundError` for an unknown connector, `RatingError` for what has no price.
    """
    place = await place_by_id(connection, station_connector_id)
    if place is None:
        raise NotFoundError(f"there is no connector {station_connector_id} at any station")
    price = await price_of_place(connection, place)
    return quote_of(price, energy_wh, duration_s, start)


def quote_of(price: Price, energy_wh: int, duration_s: int, start: datetime) -> Quote:
    """Price a session by `price`; pure. Raises `RatingError`."""
    start_us = from_datetime(start)
    period = Period(start_us, start_us + duration_s * US_PER_SECOND, energy_wh)
    charges = rate(Usage(start_us, (period,)), price.tariff, price.zone)
    return Quote(
        base_minor_per_kwh=_base(charges, price),
        energy_minor=charges.energy_minor,
        parking_minor=charges.parking_minor,
        peak_minor=charges.surcharge_minor,
        discount_minor=charges.discount_minor,
        platform_fee_minor=charges.fee_minor,
        subtotal_minor=charges.net_minor,
        gst_minor=charges.gst_minor,
        total_minor=charges.total_minor,
        parking_minor_per_minute=price.tariff.parking_minor_per_minute,
        is_peak_hour=bool(charges.basis_points("surcharge")),
        peak_multiplier=1 + charges.basis_points("surcharge") / BASIS_POINTS,
        discount_percentage=charges.basis_points("discount") / BASIS_POINTS_PER_PERCENT,
        gst_percentage=sum(tax.basis_points for tax in price.tariff.taxes) / BASIS_POINTS_PER_PERCENT,
        currency=price.tariff.currency,
        time_minor=charges.time_minor,
        flat_minor=charges.flat_minor,
        adjustment_minor=charges.adjustment_minor,
    )


def _base(charges: Charges, price: Price) -> int:
    """The price of a kWh at the start, where any energy is priced at all."""
    lines = [line for line in charges.lines if line.component == "energy"]
    return round_half_up(lines[0].price) if lines else price.tariff.energy_minor_per_kwh
