"""From everything that has a say in a price to one tariff; pure but for what it reads.

Used by `stream.records` (what a session is rated by) and `stream.pricing.quotes`. Most specific first:

1. the rule that holds at the connector (`storage.queries.pricing_rules`),
2. the connector's own price and parking fee,
3. the tariff of the station,
4. the platform's price: `pricing.defaultPricePerKwh` where it was set, else the tariff named `default`.

What one of them does not say comes from the next. A price per kWh brings the platform's GST with it and
takes the place of the whole tariff beneath; a tariff has its own taxes. The platform's fee is on top of all,
but for a tariff that names fees of its own.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import stations
from storage.queries.pricing_rules import PricedPlace
from stream.platform_settings import Pricing, read_settings
from stream.pricing.rules import PriceRules
from stream.rating import RatingError, Tariff, simple_tariff, tariff_of

CURRENCY = "INR"
_BASIS_POINTS = 10_000
_BASIS_POINTS_PER_PERCENT = 100
_DIGEST_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Price:
    """By what a session is rated. `row`: the tariff as stored; its id is 0 while it is not (`keep`)."""

    row: stations.Tariff
    tariff: Tariff
    zone: tzinfo


async def price_of_place(connection: Connection, place: PricedPlace) -> Price:
    """Return the price that holds at a connector now; raises `RatingError` for one that cannot be read."""
    return (await prices_of_places(connection, [place]))[0]


async def prices_of_places(connection: Connection, places: Sequence[PricedPlace]) -> list[Price]:
    """Return the prices that hold at connectors now, in their order. Raises `RatingError`."""
    tariff_ids = {place.tariff_id for place in places if place.tariff_id is not None}
    own = {row.id: row for row in await stations.list_tariffs(connection, sorted(tariff_ids))}
    default = await stations.default_tariff(connection)
    prices = []
    try:
        pricing = (await read_settings(connection)).pricing
        for place in places:
            beneath = default if place.tariff_id is None else own[place.tariff_id]
            prices.append(price_of_row(compose(place, beneath, pricing), place.time_zone))
    except ValidationError as error:
        raise RatingError(f"a pricing rule or the platform's settings cannot be read: {error}") from error
    return prices


def price_of_row(row: stations.Tariff, time_zone: str) -> Price:
    """Read a tariff; without a definition it needs no wall clock. Raises `RatingError`."""
    if row.definition is None:
        prices = (row.energy_minor_per_kwh, row.time_minor_per_minute, row.parking_minor_per_minute)
        return Price(row, simple_tariff(row.currency, *prices, row.gst_basis_points), UTC)
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise RatingError(f"tariff {row.name!r}: the station's time zone {time_zone!r} is none") from error
    return Price(row, tariff_of(row.currency, row.definition, row.gst_basis_points), zone)


async def keep(connection: Connection, price: Price) -> int:
    """Return the id of the price's row, written unless it was there: a row is never changed."""
    row = price.row
    if row.id:
        return row.id
    known = await stations.tariff_named(connection, row.name)
    if known is not None:
        return known.id
    try:
        made = await stations.insert_tariff(
            connection,
            row.name,
            energy_minor_per_kwh=row.energy_minor_per_kwh,
            gst_basis_points=row.gst_basis_points,
            currency=row.currency,
            definition=row.definition,
        )
    except AlreadyExistsError:  # at the same time
        known = await stations.tariff_named(connection, row.name)
        assert known is not None
        return known.id
    return made.id


def compose(place: PricedPlace, beneath: stations.Tariff, pricing: Pricing) -> stations.Tariff:
    """Lay rule, connector and platform over a tariff; that itself where they change nothing. Pure."""
    rule = PriceRules() if place.rules is None else PriceRules.model_validate(place.rules)
    price_minor = _price_per_kwh(rule, place, pricing)
    gst = [{"name": "GST", "basis_points": pricing.gst_basis_points}]
    below = _definition(beneath)
    if price_minor is not None:
        definition: dict[str, Any] = {"elements": [_element("energy", price_minor)], "taxes": gst}
    elif place.tariff_id is None and "gst_percentage" in pricing.model_fields_set:
        definition = {**below, "taxes": gst}
    else:
        definition = dict(below)
    _add_parking(definition, rule, place)
    _add_rule(definition, rule)
    if pricing.platform_fee_basis_points:
        fee = {"name": "Platform fee", "basis_points": pricing.platform_fee_basis_points}
        definition.setdefault("fees", [fee])
    if definition == below:
        return beneath
    currency = beneath.currency if price_minor is None else CURRENCY
    return stations.Tariff(
        id=0,
        name=f"{_source(place)}:{_digest(currency, definition)}",
        currency=currency,
        energy_minor_per_kwh=beneath.energy_minor_per_kwh if price_minor is None else price_minor,
        time_minor_per_minute=0,
        parking_minor_per_minute=0,
        gst_basis_points=sum(tax["basis_points"] for tax in definition["taxes"]),
        definition=definition,
    )


def _price_per_kwh(rule: PriceRules, place: PricedPlace, pricing: Pricing) -> int | None:
    """The price that takes the place of the tariff beneath, in paise; None where that stays."""
    if rule.per_kwh_rate is not None:
        return paise(rule.per_kwh_rate)
    if place.base_price_minor is not None:
        return place.base_price_minor
    is_set = "default_price_per_kwh" in pricing.model_fields_set
    return pricing.default_price_minor_per_kwh if is_set and place.tariff_id is None else None


def paise(rupees: Decimal) -> int:
    """Rupees with two decimals as paise, exactly."""
    return int(rupees * 100)


def _definition(row: stations.Tariff) -> dict[str, Any]:
    """A tariff as a definition; its simple prices know no idle time."""
    taxes = [{"name": "GST", "basis_points": row.gst_basis_points}]
    if row.definition is not None:
        has_own = row.definition.get("taxes") is not None
        return dict(row.definition) if has_own else {**row.definition, "taxes": taxes}
    prices = {
        "energy": row.energy_minor_per_kwh,
        "time": row.time_minor_per_minute,
        "idle": row.parking_minor_per_minute,
    }
    listed = [{"dimension": name, "price_minor": amount_minor} for name, amount_minor in prices.items()]
    return {"elements": [{"prices": listed}], "taxes": taxes, "has_idle_time": False}


def _element(dimension: str, price_minor: int) -> dict[str, Any]:
    return {"prices": [{"dimension": dimension, "price_minor": price_minor}]}


def _add_parking(definition: dict[str, Any], rule: PriceRules, place: PricedPlace) -> None:
    own = rule.parking_rate_per_minute
    parking_minor = place.parking_fee_minor if own is None else paise(own)
    elements = definition["elements"]
    is_priced = any(price["dimension"] == "parking" for each in elements for price in each["prices"])
    if parking_minor or (parking_minor is not None and is_priced):
        # the first element with a price counts: before that of the tariff, where it has one
        parking = _element("parking", parking_minor)
        definition["elements"] = [parking, *elements] if is_priced else [*elements, parking]


def _add_rule(definition: dict[str, Any], rule: PriceRules) -> None:
    """Peak hours, discounts and bounds; those of the tariff beneath come after them."""
    surcharges = [
        _share("Peak hours", peak.multiplier - 1, _BASIS_POINTS, peak.restrictions())
        for peak in rule.peak_hours
    ]
    discounts = [
        _share("Discount", each.percentage, _BASIS_POINTS_PER_PERCENT, each.restrictions())
        for each in rule.discounts
    ]
    if rule.discount_percentage is not None:
        discounts.append(_share("Discount", rule.discount_percentage, _BASIS_POINTS_PER_PERCENT, {}))
    for name, shares in (("surcharges", surcharges), ("discounts", discounts)):
        if shares:
            definition[name] = [*shares, *definition.get(name, [])]
    if rule.minimum is not None or rule.maximum is not None:
        bounds = {"min_price_minor": rule.minimum, "max_price_minor": rule.maximum}
        definition |= {name: None if bound is None else paise(bound) for name, bound in bounds.items()}


def _share(name: str, part: Decimal, basis_points: int, restrictions: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "basis_points": int(part * basis_points), "restrictions": restrictions}


def _source(place: PricedPlace) -> str:
    """Who made the price, for whoever reads the tariff's name on a record."""
    if place.rule_id is not None:
        return f"rule:{place.rule_id}"
    if place.base_price_minor is not None or place.parking_fee_minor is not None:
        return f"connector:{place.station_connector_id}"
    return "platform" if place.tariff_id is None else f"tariff:{place.tariff_id}"


def _digest(currency: str, definition: dict[str, Any]) -> str:
    text = json.dumps([currency, definition], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]
