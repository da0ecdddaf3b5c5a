"""The price of a booking in the parts that the API shows; minor units of INR.

Energy (with time and flat prices), parking and the platform's fee less the discount are the subtotal; with
GST and the reservation fee they are the total. The fee is held when the booking is made and kept when it is
started or not used: it comes on top of the session's price. It carries no tax of its own.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import structlog

from storage.database import Connection
from storage.queries.bookings import Booking, Place
from storage.queries.vehicles import Vehicle
from stream.pricing.quotes import quote
from stream.rating import RatingError

log = structlog.get_logger()

# Lines of a record that are parts of their own here.
_PLATFORM_FEE, _DISCOUNT = "fee", "discount"
S_PER_HOUR = 3_600
WH_PER_KWH = 1_000


@dataclass(frozen=True, slots=True)
class Cost:
    """`total_minor` is the sum of the others, the discount taken off."""

    energy_minor: int = 0
    parking_minor: int = 0
    platform_fee_minor: int = 0
    discount_minor: int = 0
    gst_minor: int = 0
    reservation_fee_minor: int = 0

    @property
    def subtotal_minor(self) -> int:
        """Before GST, without the reservation fee."""
        return self.energy_minor + self.parking_minor + self.platform_fee_minor - self.discount_minor

    @property
    def total_minor(self) -> int:
        """All that the driver pays."""
        return self.subtotal_minor + self.gst_minor + self.reservation_fee_minor

    def as_json(self) -> dict[str, int]:
        """As `bookings.cost` keeps it."""
        return asdict(self)


async def estimate(
    connection: Connection,
    place: Place,
    vehicle: Vehicle,
    start: datetime,
    span: timedelta,
    fee_minor: int,
) -> Cost:
    """What a booking will cost if the connector gives its full power until the vehicle is full."""
    given_wh = place.power_kw * WH_PER_KWH * span.total_seconds() / S_PER_HOUR
    energy_wh = round(min(given_wh, float(vehicle.battery_capacity_kwh) * WH_PER_KWH))
    return await quoted(connection, place.station_connector_id, energy_wh, start, span, fee_minor)


async def quoted(
    connection: Connection,
    connector_id: int,
    energy_wh: int,
    start: datetime,
    span: timedelta,
    fee_minor: int,
) -> Cost:
    """What this energy in this time costs at a station's connector by the prices that hold now.

    Only the fee where these prices cannot be read.
    """
    try:
        price = await quote(connection, connector_id, energy_wh, int(span.total_seconds()), start)
    except RatingError as error:  # nothing of it is charged: the booking can do without
        log.warning("booking_not_priced", connector=connector_id, error=str(error))
        return Cost(reservation_fee_minor=fee_minor)
    return Cost(
        energy_minor=price.energy_minor
        + price.time_minor
        + price.peak_minor
        + price.flat_minor
        + price.adjustment_minor,
        parking_minor=price.parking_minor,
        platform_fee_minor=price.platform_fee_minor,
        discount_minor=price.discount_minor,
        gst_minor=price.gst_minor,
        reservation_fee_minor=fee_minor,
    )


def cost_of(booking: Booking) -> Cost:
    """What a booking costs: by its session's record, or else as it was estimated."""
    kept = Cost(**{name: int(booking.cost[name]) for name in Cost.__slots__ if name in booking.cost})
    if booking.cdr_total_minor is None:
        return kept
    platform_fee_minor = _sum_of(booking, _PLATFORM_FEE)
    discount_minor = -_sum_of(booking, _DISCOUNT)
    parking_minor, gst_minor = booking.cdr_parking_minor or 0, booking.cdr_gst_minor or 0
    return Cost(
        energy_minor=booking.cdr_total_minor
        - (parking_minor + gst_minor + platform_fee_minor - discount_minor),
        parking_minor=parking_minor,
        platform_fee_minor=platform_fee_minor,
        discount_minor=discount_minor,
        gst_minor=gst_minor,
        reservation_fee_minor=kept.reservation_fee_minor,
    )


def _sum_of(booking: Booking, component: str) -> int:
    lines = booking.cdr_lines or []
    return sum(int(line["amount_minor"]) for line in lines if line.get("component") == component)
