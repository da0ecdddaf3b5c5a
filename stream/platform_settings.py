"""What an admin can set of the platform: prices, booking windows, wallet bounds; of the EV-CMS family.

One typed object; the database holds what differs from the defaults here. Used by the API, rating and jobs.
Amounts are in rupees here, as admins write them; the properties give paise and basis points.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from storage.database import Connection
from storage.queries import platform_settings

Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Percentage = Annotated[Decimal, Field(ge=0, le=100, decimal_places=2)]
Rupees = Annotated[Decimal, Field(ge=0, le=100_000_000, decimal_places=2)]


class _Group(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True, extra="forbid", frozen=True
    )


class General(_Group):
    """What people see of the platform."""

    site_name: Text = "Gridwire"
    support_email: Text = "support@example.com"
    support_phone: Text = "+911800000000"


class Pricing(_Group):
    """Percentages with two decimals, prices in rupees."""

    platform_fee_percentage: Percentage = Decimal(0)
    gst_percentage: Percentage = Decimal(18)
    default_price_per_kwh: Rupees = Decimal(15)

    @property
    def platform_fee_basis_points(self) -> int:
        """100 basis points are 1 %."""
        return int(self.platform_fee_percentage * 100)

    @property
    def gst_basis_points(self) -> int:
        """100 basis points are 1 %."""
        return int(self.gst_percentage * 100)

    @property
    def default_price_minor_per_kwh(self) -> int:
        """Paise a kWh."""
        return int(self.default_price_per_kwh * 100)


class Booking(_Group):
    """`cancellation_window` in minutes, `max_advance_booking` in days, the fee in rupees."""

    cancellation_window: Annotated[int, Field(ge=0, le=10_080)] = 60
    max_advance_booking: Annotated[int, Field(ge=1, le=365)] = 7
    reservation_fee: Rupees = Decimal(50)

    @property
    def reservation_fee_minor(self) -> int:
        """Paise."""
        return int(self.reservation_fee * 100)


class Payment(_Group):
    """A wallet's bounds in rupees: below the minimum it is called low, above the maximum nothing goes in."""

    min_wallet_balance: Rupees = Decimal(100)
    max_wallet_balance: Rupees = Decimal(10_000_000)
    razorpay_key_id: Text = ""

    @property
    def min_wallet_balance_minor(self) -> int:
        """Paise."""
        return int(self.min_wallet_balance * 100)

    @property
    def max_wallet_balance_minor(self) -> int:
        """Paise."""
        return int(self.max_wallet_balance * 100)


class PlatformSettings(_Group):
    """All of them; camelCase in JSON."""

    general: General = General()
    pricing: Pricing = Pricing()
    booking: Booking = Booking()
    payment: Payment = Payment()


def settings_of(stored: Mapping[str, Any]) -> PlatformSettings:
    """Read settings from JSON; raises `pydantic.ValidationError` that names each field."""
    return PlatformSettings.model_validate(stored)


async def read_settings(connection: Connection) -> PlatformSettings:
    """Return the settings that are in force."""
    return settings_of(await platform_settings.get_stored(connection))
