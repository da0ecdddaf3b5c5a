"""What a pricing rule says: prices, peak hours, discounts and bounds; of the EV-CMS family.

    {"perKwhRate": 18.5, "parkingRatePerMinute": 1,
     "peakHours": [{"days": ["monday", "friday"], "from": "18:00", "to": "22:00", "multiplier": 1.5}],
     "discountPercentage": 5, "discounts": [{"from": "23:00", "to": "06:00", "percentage": 20}],
     "minimum": 20, "maximum": 900}

Everything may be left out; what a rule does not say comes from beneath it (`stream.pricing.compose`).
Amounts are in rupees with two decimals, as admins write them. Hours and days are of the station's wall clock.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator
from pydantic.alias_generators import to_camel

WINDOWS_MAX = 24
MIDNIGHT = "24:00"

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_AsNumber = PlainSerializer(float, return_type=float)
Rate = Annotated[Decimal, Field(ge=0, le=10_000, decimal_places=2), _AsNumber]
Bound = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=2), _AsNumber]
Percentage = Annotated[Decimal, Field(ge=0, le=100, decimal_places=2), _AsNumber]
Multiplier = Annotated[Decimal, Field(gt=1, le=10, decimal_places=2), _AsNumber]
_HOURS = r"([01][0-9]|2[0-3]):[0-5][0-9]"


def _is_none(value: object) -> bool:
    return value is None


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True, extra="forbid", frozen=True
    )


class _Hours(_Part):
    """`from` is included, `to` not. One that is earlier than `from` is on the next day; days: empty is all.

    A day is that of the moment itself: of 22:00 to 06:00, Friday has the hours from 00:00 and from 22:00.
    """

    days: Annotated[list[Day], Field(max_length=7)] = []
    from_: Annotated[str, Field(alias="from", pattern=f"^{_HOURS}$", description="HH:MM")]
    to: Annotated[str, Field(pattern=f"^({_HOURS}|{MIDNIGHT})$", description="HH:MM, up to 24:00")]

    @model_validator(mode="after")
    def _is_some_time(self) -> Self:
        if self.from_ == self.to:
            raise ValueError("from and to are the same time; a whole day is from 00:00 to 24:00")
        return self

    def restrictions(self) -> dict[str, Any]:
        """Return these hours as a tariff's definition has them."""
        times = {"time_from": self.from_, **({} if self.to == MIDNIGHT else {"time_to": self.to})}
        return {**times, "days": sorted(set(self.days))} if self.days else times


class PeakHours(_Hours):
    """Hours in which the price of energy is multiplied; of two at once the first counts."""

    multiplier: Multiplier


class DiscountHours(_Hours):
    """Hours with a discount in place of `discountPercentage`; of two at once the first counts."""

    percentage: Percentage


class PriceRules(_Part):
    """Rupees per kWh and per minute of the session; percent of the session's charge.

    `minimum` (where energy flowed) and `maximum` bound the charge before platform fee and GST.
    """

    per_kwh_rate: Annotated[Rate | None, Field(exclude_if=_is_none)] = None
    parking_rate_per_minute: Annotated[Rate | None, Field(exclude_if=_is_none)] = None
    peak_hours: Annotated[list[PeakHours], Field(max_length=WINDOWS_MAX)] = []
    discount_percentage: Annotated[Percentage | None, Field(exclude_if=_is_none)] = None
    discounts: Annotated[list[DiscountHours], Field(max_length=WINDOWS_MAX)] = []
    minimum: Annotated[Bound | None, Field(exclude_if=_is_none)] = None
    maximum: Annotated[Bound | None, Field(exclude_if=_is_none)] = None

    @model_validator(mode="after")
    def _has_a_price_between(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is above maximum")
        return self
