"""EV-CMS pricing: what a session would cost, what a station charges, and the rules behind it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from api.evcms.envelope import Maybe, Named, Out, Page, Rows, Time
from api.fields import Text, money
from storage.queries.pricing_rules import PricedPlace, PricingRule
from stream.pricing import Price, PriceRules, Quote
from stream.pricing.rules import DiscountHours, PeakHours

WH_PER_KWH = 1_000
S_PER_MINUTE = 60
BASIS_POINTS_PER_PERCENT = 100
LABEL_NUMBER_MAX = 999_999_999
MINUTES_MAX = 44_640  # 31 days
# The time zone database and a session's length are safe between these.
START_MIN = datetime(2000, 1, 1, tzinfo=UTC)
START_MAX = datetime(2100, 1, 1, tzinfo=UTC)

ConnectorType = Literal["Type2", "CCS", "CHAdeMO"]


class CalculateIn(BaseModel):
    """A session to be. `duration` in minutes, each costs the parking rate; `startTime` is now unless said."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        json_schema_extra={
            "examples": [
                {
                    "stationId": "1",
                    "connectorId": "1",
                    "energyKwh": 12.5,
                    "duration": 45,
                    "startTime": "2026-03-02T18:30:00Z",
                }
            ]
        },
    )

    station_id: Text
    connector_id: Text | Annotated[int, Field(ge=0, le=LABEL_NUMBER_MAX)]
    energy_kwh: Annotated[Decimal, Field(gt=0, le=10_000, decimal_places=6)]
    duration: Annotated[Decimal, Field(ge=0, le=MINUTES_MAX, decimal_places=6)] = Decimal(0)
    start_time: Annotated[AwareDatetime, Field(ge=START_MIN, lt=START_MAX)] | None = None

    @property
    def energy_wh(self) -> int:
        """Rounded half up."""
        return _whole(self.energy_kwh * WH_PER_KWH)

    @property
    def duration_s(self) -> int:
        """Rounded half up."""
        return _whole(self.duration * S_PER_MINUTE)


def _whole(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_HALF_UP))


class BreakdownOut(Out):
    """By what was calculated: rupees per kWh and per minute, percentages.

    `isPeakHour`: part of the session lies in peak hours; `peakMultiplier` is theirs, else 1.
    """

    per_kwh_rate: float
    parking_rate_per_minute: float
    is_peak_hour: bool
    peak_multiplier: float
    discount_percentage: float
    gst_percentage: float


class CostOut(Out):
    """What a session would cost, in rupees. `basePrice` is per kWh.

    `subtotal` is energyCost + parkingFee + peakHourCharge - discount + platformFee, and the extensions
    `timeFee`, `flatFee` and `adjustment` (by a minimum or maximum); `total` is that and `gst`.
    """

    base_price: float
    energy_cost: float
    parking_fee: float
    peak_hour_charge: float
    discount: float
    platform_fee: float
    subtotal: float
    gst: float
    total: float
    time_fee: float
    flat_fee: float
    adjustment: float
    currency: str
    breakdown: BreakdownOut

    @classmethod
    def of(cls, quote: Quote) -> "CostOut":
        """Show `quote`."""
        return cls(
            base_price=money(quote.base_minor_per_kwh),
            energy_cost=money(quote.energy_minor),
            parking_fee=money(quote.parking_minor),
            peak_hour_charge=money(quote.peak_minor),
            discount=money(quote.discount_minor),
            platform_fee=money(quote.platform_fee_minor),
            subtotal=money(quote.subtotal_minor),
            gst=money(quote.gst_minor),
            total=money(quote.total_minor),
            time_fee=money(quote.time_minor),
            flat_fee=money(quote.flat_minor),
            adjustment=money(quote.adjustment_minor),
            currency=quote.currency,
            breakdown=BreakdownOut(
                per_kwh_rate=money(quote.base_minor_per_kwh),
                parking_rate_per_minute=money(quote.parking_minor_per_minute),
                is_peak_hour=quote.is_peak_hour,
                peak_multiplier=quote.peak_multiplier,
                discount_percentage=quote.discount_percentage,
                gst_percentage=quote.gst_percentage,
            ),
        )


class PriceOut(Out):
    """What a connector charges now: `pricePerKwh` and `parkingFee` (a minute) in rupees, `power` in kW.

    `ruleName`: the rule that holds here, with its peak hours and discounts. The price of a kWh outside of
    peak hours; of a tariff by the hour its first one.
    """

    connector_id: str
    type: ConnectorType
    power: float
    price_per_kwh: float
    parking_fee: float
    reservation_fee: float
    currency: str
    peak_hours: list[PeakHours]
    discount_percentage: float
    discounts: list[DiscountHours]
    minimum: Maybe[float]
    maximum: Maybe[float]
    platform_fee_percentage: float
    gst_percentage: float
    rule_name: Maybe[str]

    @classmethod
    def of(cls, place: PricedPlace, price: Price, reservation_fee_minor: int) -> "PriceOut":
        """Show the price at a connector; the platform's reservation fee where it has none of its own."""
        tariff, rules = price.tariff, PriceRules.model_validate(place.rules or {})
        own_minor = place.reservation_fee_minor
        return cls.model_validate(
            {
                "connector_id": place.label,
                "type": place.connector_type,
                "power": place.power_kw,
                "price_per_kwh": money(tariff.energy_minor_per_kwh),
                "parking_fee": money(tariff.parking_minor_per_minute),
                "reservation_fee": money(reservation_fee_minor if own_minor is None else own_minor),
                "currency": tariff.currency,
                "peak_hours": rules.peak_hours,
                "discount_percentage": float(rules.discount_percentage or 0),
                "discounts": rules.discounts,
                "minimum": _rupees(tariff.min_price_minor),
                "maximum": _rupees(tariff.max_price_minor),
                "platform_fee_percentage": _percent(fee.basis_points for fee in tariff.fees),
                "gst_percentage": _percent(tax.basis_points for tax in tariff.taxes),
                "rule_name": place.rule_name,
            }
        )


class Preview(Rows[PriceOut]):
    """The connectors of a station with their prices."""

    pricing: list[PriceOut]


def _rupees(minor: int | None) -> float | None:
    return None if minor is None else money(minor)


def _percent(basis_points: Iterable[int]) -> float:
    return sum(basis_points) / BASIS_POINTS_PER_PERCENT


class RuleIn(BaseModel):
    """A rule: at one station or (without `stationId`) all, for one type of connector or (without it) all."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        json_schema_extra={
            "examples": [
                {
                    "name": "Evenings",
                    "stationId": "1",
                    "connectorType": "CCS",
                    "rules": {
                        "perKwhRate": 18.5,
                        "peakHours": [{"from": "18:00", "to": "22:00", "multiplier": 1.25}],
                        "discountPercentage": 5,
                    },
                }
            ]
        },
    )

    name: Text
    station_id: Text | None = None
    connector_type: ConnectorType | None = None
    rules: PriceRules


class RuleChange(BaseModel):
    """What changes of a rule; `rules` replaces all that it said. Sessions that run keep their price."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    name: Text | None = None
    rules: PriceRules | None = None
    is_active: bool | None = None


class RuleOut(Out):
    """A rule; `stationId` None: every station, `connectorType` None: every type."""

    id: str
    name: str
    station_id: str | None
    connector_type: ConnectorType | None
    rules: PriceRules
    is_active: bool
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, rule: PricingRule) -> "RuleOut":
        """Show `rule`."""
        return cls.model_validate(
            {
                "id": str(rule.id),
                "name": rule.name,
                "station_id": None if rule.station_id is None else str(rule.station_id),
                "connector_type": rule.connector_type,
                "rules": rule.rules,
                "is_active": rule.is_active,
                "created_at": rule.created_at,
                "updated_at": rule.updated_at,
            }
        )


class NamedRule(RuleOut, Named):
    """`data` of an answer about one rule."""

    rule: RuleOut


class RulePage(Page[RuleOut]):
    """One page of rules, newest first."""

    rules: list[RuleOut]
