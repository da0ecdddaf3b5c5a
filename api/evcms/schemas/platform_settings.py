"""EV-CMS settings of the platform, as they are printed: amounts in rupees, percentages, minutes, days."""

from typing import Annotated, Any

from pydantic import Field, JsonValue

from api.evcms.envelope import Named, Out
from stream.platform_settings import PlatformSettings

KEYS_MAX = 100

Changes = Annotated[dict[Annotated[str, Field(max_length=100)], JsonValue], Field(max_length=KEYS_MAX)]
EXAMPLE: dict[str, Any] = {"pricing": {"gstPercentage": 18}, "booking.cancellationWindow": 30}


class GeneralOut(Out):
    """What people see of the platform."""

    site_name: str
    support_email: str
    support_phone: str


class PricingOut(Out):
    """Percentages, and rupees a kWh where no rule and no connector says otherwise."""

    platform_fee_percentage: float
    gst_percentage: float
    default_price_per_kwh: float


class BookingOut(Out):
    """`cancellation_window` in minutes, `max_advance_booking` in days, the fee in rupees."""

    cancellation_window: int
    max_advance_booking: int
    reservation_fee: float


class PaymentOut(Out):
    """A wallet's bounds in rupees, and the public half of the gateway's key."""

    min_wallet_balance: float
    max_wallet_balance: float
    razorpay_key_id: str


class SettingsOut(Out):
    """All settings."""

    general: GeneralOut
    pricing: PricingOut
    booking: BookingOut
    payment: PaymentOut

    @classmethod
    def of(cls, settings: PlatformSettings) -> "SettingsOut":
        """Show `settings`."""
        return cls.model_validate(settings.model_dump())


class NamedSettings(SettingsOut, Named):
    """`data` of an answer about the settings."""

    settings: SettingsOut
