"""Rating: what a charging session costs, exactly; pure, with no clock and no database.

Used by `stream.records`, which makes the charge detail record of the result. A tariff has elements
after OCPI 2.2.1 (`stream.rating.tariff`), a session is a list of periods (`stream.rating.usage`), made of
the register's samples (`stream.rating.registers`); `rate` brings them together.
"""

from stream.rating.charges import Charges, Line
from stream.rating.definition import tariff_of
from stream.rating.price import rate
from stream.rating.registers import Reading, has_reset, periods_of, register_energy
from stream.rating.tariff import (
    Dimension,
    Element,
    Fee,
    Price,
    RatingError,
    Restrictions,
    Share,
    Tariff,
    Tax,
    simple_tariff,
)
from stream.rating.usage import Kind, Period, Usage

__all__ = [
    "Charges",
    "Dimension",
    "Element",
    "Fee",
    "Kind",
    "Line",
    "Period",
    "Price",
    "RatingError",
    "Reading",
    "Restrictions",
    "Share",
    "Tariff",
    "Tax",
    "Usage",
    "has_reset",
    "periods_of",
    "rate",
    "register_energy",
    "simple_tariff",
    "tariff_of",
]
