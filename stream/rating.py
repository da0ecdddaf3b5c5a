"""Rating: what a charging session costs, in exact integers.

Used by `stream.settlement`, which writes the result into the charge detail record. Pure: no clock, no
database. Money is integer minor units (paise, cents); see `rate` for where it is rounded.
"""

from dataclasses import dataclass

from stream.errors import StreamError

WH_PER_KWH = 1_000
S_PER_MINUTE = 60
BASIS_POINTS = 10_000


class RatingError(StreamError):
    """A session or a tariff that has no price: the message names the quantity and its value."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices in minor units; `gst_basis_points` of 1800 is a tax of 18 %."""

    energy_minor_per_kwh: int
    time_minor_per_minute: int
    parking_minor_per_minute: int
    gst_basis_points: int


@dataclass(frozen=True, slots=True)
class Charges:
    """A session's price in minor units; the four parts sum to `total_minor`."""

    energy_minor: int
    time_minor: int
    parking_minor: int
    gst_minor: int

    @property
    def net_minor(self) -> int:
        """The price before tax."""
        return self.energy_minor + self.time_minor + self.parking_minor

    @property
    def total_minor(self) -> int:
        """What the driver pays."""
        return self.net_minor + self.gst_minor


def rate(energy_wh: int, duration_s: int, parking_s: int, tariff: Tariff) -> Charges:
    """Price a session; raises `RatingError` for a negative quantity or price.

    Energy, time and parking are each rounded once, half up, to a whole minor unit. Tax is taken of their
    rounded sum, the amount that a receipt shows, and rounded once in the same way.
    """
    _refuse_negative(energy_wh, duration_s, parking_s, tariff)
    energy_minor = _round_half_up(energy_wh * tariff.energy_minor_per_kwh, WH_PER_KWH)
    time_minor = _round_half_up(duration_s * tariff.time_minor_per_minute, S_PER_MINUTE)
    parking_minor = _round_half_up(parking_s * tariff.parking_minor_per_minute, S_PER_MINUTE)
    net_minor = energy_minor + time_minor + parking_minor
    gst_minor = _round_half_up(net_minor * tariff.gst_basis_points, BASIS_POINTS)
    return Charges(energy_minor, time_minor, parking_minor, gst_minor)


def _refuse_negative(energy_wh: int, duration_s: int, parking_s: int, tariff: Tariff) -> None:
    """A meter that was reset, or a clock that was set back, must be looked at, not priced."""
    quantities = {
        "energy_wh": energy_wh,
        "duration_s": duration_s,
        "parking_s": parking_s,
        "energy_minor_per_kwh": tariff.energy_minor_per_kwh,
        "time_minor_per_minute": tariff.time_minor_per_minute,
        "parking_minor_per_minute": tariff.parking_minor_per_minute,
        "gst_basis_points": tariff.gst_basis_points,
    }
    negative = {name: value for name, value in quantities.items() if value < 0}
    if negative:
        raise RatingError(f"cannot rate negative quantities: {negative}")


def _round_half_up(numerator: int, denominator: int) -> int:
    """`numerator / denominator` to the nearest integer, halves away from zero; neither is negative."""
    return (2 * numerator + denominator) // (2 * denominator)
