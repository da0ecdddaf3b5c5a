"""What price holds at a connector, and that quotes, sessions and running costs are one calculation."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg.errors import ForeignKeyViolation
from psycopg.types.json import Jsonb
from pydantic import ValidationError

from protocols.timestamps import from_datetime
from storage import ledger
from storage.database import Pool, fetch_value
from storage.errors import NotFoundError
from storage.queries import pricing_rules, stations
from storage.queries.pricing_rules import PricedPlace
from stream import records, settlement
from stream.platform_settings import Pricing
from stream.pricing import Price, PriceRules, Quote, keep, price_of_place, quote, quote_of
from stream.pricing.compose import compose, price_of_row
from stream.rating import RatingError
from tests.stream.scene import HOUR, MINUTE, T0, Scene

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday; 17:30 in India
UNTOUCHED = Pricing()
DEFAULT = stations.Tariff(1, "default", "INR", 1500, 0, 0, 1800)
PLACE = PricedPlace(7, "1", "CCS", 50.0, "Asia/Kolkata", None, None, None, None, None, None, None)


def ruled(rules: dict[str, Any], place: PricedPlace = PLACE) -> PricedPlace:
    return replace(place, rule_id=3, rule_name="R", rules=rules)


def priced(
    place: PricedPlace,
    energy_wh: int = 10_000,
    minutes: int = 60,
    *,
    beneath: stations.Tariff = DEFAULT,
    settings: Pricing = UNTOUCHED,
    start: datetime = NOON,
) -> Quote:
    price = price_of_row(compose(place, beneath, settings), place.time_zone)
    return quote_of(price, energy_wh, minutes * 60, start)


def charge_of(cost: Quote) -> tuple[int, int, int, int]:
    return cost.energy_minor, cost.parking_minor, cost.peak_minor, cost.discount_minor


def test_where_nobody_says_anything_the_default_tariff_stands_as_it_is() -> None:
    assert compose(PLACE, DEFAULT, UNTOUCHED) is DEFAULT
    cost = priced(PLACE)
    assert charge_of(cost) == (15_000, 0, 0, 0)
    assert (cost.platform_fee_minor, cost.subtotal_minor, cost.gst_minor) == (0, 15_000, 2_700)
    assert (cost.total_minor, cost.base_minor_per_kwh, cost.currency) == (17_700, 1_500, "INR")
    assert (cost.is_peak_hour, cost.peak_multiplier, cost.discount_percentage) == (False, 1, 0)


def test_settings_take_the_place_of_the_default_tariff_once_they_are_made() -> None:
    price = Pricing(default_price_per_kwh=Decimal(20))
    assert priced(PLACE, settings=price).energy_minor == 20_000
    tax = Pricing(gst_percentage=Decimal("5.5"))
    assert (priced(PLACE, settings=tax).gst_minor, priced(PLACE, settings=tax).gst_percentage) == (825, 5.5)
    own = replace(DEFAULT, id=9, name="city", energy_minor_per_kwh=1_000, gst_basis_points=500)
    at_own = replace(PLACE, tariff_id=9)
    both = Pricing(default_price_per_kwh=Decimal(20), gst_percentage=Decimal(28))
    assert compose(at_own, own, both) is own, "a station's tariff has its own price and tax"


def test_the_platform_fee_is_on_top_of_every_price() -> None:
    fee = Pricing(platform_fee_percentage=Decimal("2.5"))
    cost = priced(PLACE, settings=fee)
    assert (cost.platform_fee_minor, cost.subtotal_minor, cost.gst_minor) == (375, 15_375, 2_768)
    assert cost.total_minor == 18_143
    own = replace(DEFAULT, id=9, time_minor_per_minute=10, gst_basis_points=500)
    cost = priced(replace(PLACE, tariff_id=9), beneath=own, settings=fee)
    assert (cost.time_minor, cost.platform_fee_minor, cost.gst_minor) == (600, 390, 800)
    named = replace(own, definition={"elements": [{"prices": []}], "fees": []})
    assert compose(replace(PLACE, tariff_id=9), named, fee).definition == {
        "elements": [{"prices": []}],
        "fees": [],
    }


def test_a_simple_tariff_that_is_laid_over_still_knows_no_idle_time() -> None:
    own = replace(DEFAULT, time_minor_per_minute=10, parking_minor_per_minute=99)
    price = price_of_row(compose(ruled({"discountPercentage": 10}), own, UNTOUCHED), "Asia/Kolkata")
    assert not price.tariff.has_idle_time
    assert not price.tariff.needs_course


def test_a_connector_has_its_own_price_and_parking_fee() -> None:
    place = replace(PLACE, base_price_minor=1_850, parking_fee_minor=100)
    assert charge_of(priced(place)) == (18_500, 6_000, 0, 0)
    parking_only = replace(PLACE, parking_fee_minor=100)
    cost = priced(parking_only)
    assert charge_of(cost) == (15_000, 6_000, 0, 0)
    assert cost.parking_minor_per_minute == 100
    own = replace(DEFAULT, id=9, energy_minor_per_kwh=700, gst_basis_points=0)
    assert priced(replace(parking_only, tariff_id=9), beneath=own).energy_minor == 7_000
    free = replace(PLACE, base_price_minor=0, parking_fee_minor=0)
    assert priced(free).total_minor == 0


def test_a_rule_comes_first_and_leaves_what_it_does_not_say() -> None:
    place = replace(PLACE, base_price_minor=1_850, parking_fee_minor=100)
    assert charge_of(priced(ruled({"perKwhRate": 10}, place))) == (10_000, 6_000, 0, 0)
    assert charge_of(priced(ruled({"parkingRatePerMinute": 0.5}, place))) == (18_500, 3_000, 0, 0)
    assert charge_of(priced(ruled({"parkingRatePerMinute": 0}, place))) == (18_500, 0, 0, 0)
    by_hour = {
        "elements": [{"prices": [{"dimension": "energy", "price_minor": 500}]}],
        "taxes": [{"name": "VAT", "basis_points": 1000}],
        "max_price_minor": 4_000,
    }
    own = replace(DEFAULT, id=9, currency="EUR", definition=by_hour)
    cost = priced(ruled({"discountPercentage": 10}, replace(PLACE, tariff_id=9)), beneath=own)
    assert (cost.energy_minor, cost.discount_minor, cost.adjustment_minor) == (5_000, 500, -500)
    assert (cost.gst_minor, cost.total_minor, cost.currency) == (400, 4_400, "EUR")
    parked = {"elements": [{"prices": [{"dimension": "parking", "price_minor": 10}]}]}
    own_parking = replace(DEFAULT, id=9, definition=parked)
    for rate, parking_minor in ((None, 600), (2, 12_000), (0, 0)):
        rules = {} if rate is None else {"parkingRatePerMinute": rate}
        cost = priced(ruled(rules, replace(PLACE, tariff_id=9)), beneath=own_parking)
        assert cost.parking_minor == parking_minor, "a tariff's own parking is beneath a rule's"
    bounded = ruled({"minimum": 60}, replace(PLACE, tariff_id=9))
    assert priced(bounded, beneath=own).adjustment_minor == 1_000, "a rule's bounds replace both"


PEAK = {
    "peakHours": [
        {"days": ["monday"], "from": "18:00", "to": "22:00", "multiplier": 1.5},
        {"from": "00:00", "to": "24:00", "multiplier": 1.1},
    ]
}


def test_peak_hours_are_of_the_stations_clock_and_split_exactly() -> None:
    cost = priced(ruled(PEAK))  # 17:30 to 18:30 in India
    assert charge_of(cost) == (15_000, 0, 7_500 * 50 // 100 + 7_500 * 10 // 100, 0)
    assert (cost.is_peak_hour, cost.peak_multiplier) == (True, 1.5)
    late = priced(ruled({"peakHours": PEAK["peakHours"][:1]}), start=NOON + 5 * HOUR)
    assert (late.peak_minor, late.is_peak_hour, late.peak_multiplier) == (0, False, 1)
    at_once = priced(ruled(PEAK), minutes=0, start=NOON + timedelta(minutes=30))
    assert at_once.peak_minor == 7_500


def test_the_order_of_a_price() -> None:
    rules = {
        "perKwhRate": 18.5,
        "parkingRatePerMinute": 1,
        "discountPercentage": 10,
        "peakHours": [{"from": "17:00", "to": "19:00", "multiplier": 1.25}],
    }
    settings = Pricing(platform_fee_percentage=Decimal("2.5"))
    cost = priced(ruled(rules), 12_345, 45, settings=settings)
    assert charge_of(cost) == (22_838, 4_500, 5_710, 3_305)
    assert (cost.platform_fee_minor, cost.subtotal_minor) == (744, 30_487)
    assert (cost.gst_minor, cost.total_minor) == (5_488, 35_975)
    assert cost.discount_percentage == 10


def test_discount_hours_take_the_place_of_the_discount() -> None:
    discounts = [{"from": "18:00", "to": "06:00", "percentage": 30}]
    cost = priced(ruled({"discountPercentage": 10, "discounts": discounts}))
    assert cost.discount_minor == 7_500 * 30 // 100 + 7_500 * 10 // 100


@pytest.mark.parametrize(
    ("rules", "where"),
    [
        ({"perKwhRate": -1}, ("perKwhRate",)),
        ({"perKwhRate": 1.234}, ("perKwhRate",)),
        ({"perKwhRate": 10_001}, ("perKwhRate",)),
        ({"perKwhRate": float("nan")}, ("perKwhRate",)),
        ({"discountPercentage": 100.01}, ("discountPercentage",)),
        ({"peakHours": [{"from": "18:00", "to": "22:00", "multiplier": 1}]}, ("peakHours", 0, "multiplier")),
        ({"peakHours": [{"from": "18:00", "to": "22:00"}]}, ("peakHours", 0, "multiplier")),
        ({"peakHours": [{"from": "8:00", "to": "22:00", "multiplier": 2}]}, ("peakHours", 0, "from")),
        ({"peakHours": [{"from": "24:00", "to": "22:00", "multiplier": 2}]}, ("peakHours", 0, "from")),
        ({"peakHours": [{"from": "18:00", "to": "18:00", "multiplier": 2}]}, ("peakHours", 0)),
        ({"peakHours": [{"from": "18:00", "to": "19:00", "multiplier": 2, "days": ["x"]}]},
         ("peakHours", 0, "days", 0)),
        ({"peakHours": [{"from": "18:00", "to": "19:00", "multiplier": 2}] * 25}, ("peakHours",)),
        ({"discounts": [{"from": "18:00", "to": "19:00", "percentage": 101}]},
         ("discounts", 0, "percentage")),
        ({"minimum": 10, "maximum": 5}, ()),
        ({"perKwh": 10}, ("perKwh",)),
    ],
)  # fmt: skip
def test_bad_rules_are_refused_by_field(rules: dict[str, Any], where: tuple[object, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        PriceRules.model_validate(rules)
    assert caught.value.errors()[0]["loc"] == where


clock_times = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")
hours = st.fixed_dictionaries({"from": clock_times, "to": clock_times}).filter(
    lambda each: each["from"] != each["to"]
)
cents = st.integers(0, 10_000).map(lambda value: value / 100)
all_rules = st.fixed_dictionaries(
    {},
    optional={
        "perKwhRate": cents,
        "parkingRatePerMinute": cents,
        "discountPercentage": cents,
        "peakHours": st.lists(
            st.builds(
                lambda when, by: {**when, "multiplier": by}, hours, st.sampled_from([1.01, 1.5, 2.25, 10])
            ),
            max_size=3,
        ),
        "discounts": st.lists(
            st.builds(lambda when, by: {**when, "percentage": by}, hours, cents), max_size=3
        ),
        "minimum": st.integers(0, 500),
        "maximum": st.integers(500, 5_000),
    },
)


@given(
    all_rules,
    st.integers(0, 100_000),
    st.integers(0, 3_000),
    st.integers(0, 10_000).map(lambda value: Pricing(platform_fee_percentage=Decimal(value) / 100)),
)
@hypothesis_settings(max_examples=60)
def test_every_rule_has_a_price_whose_parts_make_the_total(
    rules: Mapping[str, Any], energy_wh: int, minutes: int, settings: Pricing
) -> None:
    cost = priced(ruled(dict(rules)), energy_wh, minutes, settings=settings)
    charge = cost.energy_minor + cost.parking_minor + cost.peak_minor - cost.discount_minor
    assert 0 <= cost.discount_minor <= cost.energy_minor + cost.parking_minor + cost.peak_minor
    assert charge + cost.adjustment_minor + cost.platform_fee_minor == cost.subtotal_minor
    assert cost.subtotal_minor + cost.gst_minor == cost.total_minor
    assert (cost.time_minor, cost.flat_minor) == (0, 0)
    stored = PriceRules.model_validate(rules).model_dump(mode="json", by_alias=True)
    assert PriceRules.model_validate(stored) == PriceRules.model_validate(rules)
    more = priced(ruled(dict(rules)), 2 * energy_wh, minutes, settings=settings)
    assert more.total_minor >= cost.total_minor


class Shop:
    """A station with one CCS connector of the scene's charger, and rules over it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.station_id = 0
        self.connector_id = 0

    @classmethod
    async def make(cls, pool: Pool) -> "Shop":
        shop = cls(await Scene.make(pool))
        async with pool.connection() as db:
            station = await stations.insert_station(db, "Shop", time_zone="UTC")
            shop.station_id = station.id
            query = """
                INSERT INTO connectors (device_id, connector_id, type) VALUES (%(device)s, 1, 'CCS')
            """
            await db.execute(query, {"device": shop.scene.device_id})
            await db.execute(
                "UPDATE chargers SET station_id = %s WHERE device_id = %s", (station.id, shop.scene.device_id)
            )
            shop.connector_id = int(await fetch_value(db, "SELECT id FROM station_connectors", {}))
        return shop

    async def rule(self, rules: dict[str, Any], *, here: bool = False, kind: str | None = None) -> int:
        async with self.scene.pool.connection() as db:
            made = await pricing_rules.insert_rule(
                db,
                name=f"rule {rules} {here} {kind}",
                station_id=self.station_id if here else None,
                connector_type=kind,
                rules=rules,
                created_by=self.scene.driver,
                now=T0,
            )
        return made.id

    async def run(self, query: str, *values: object) -> None:
        async with self.scene.pool.connection() as db:
            await db.execute(query, values)

    async def fee(self, percent: float) -> None:
        await self.run(
            "UPDATE platform_settings SET settings = %s",
            Jsonb({"pricing": {"platformFeePercentage": percent}}),
        )

    async def quote(self, energy_wh: int, minutes: int, start: datetime = T0) -> Quote:
        async with self.scene.pool.connection() as db:
            return await quote(db, self.connector_id, energy_wh, minutes * 60, start)


async def test_the_most_specific_rule_holds_and_of_two_alike_the_newer(pool: Pool) -> None:
    shop = await Shop.make(pool)
    rates = []
    for rate, here, kind in (
        (1, False, None), (2, False, "CCS"), (3, True, None), (4, True, "CCS"), (5, True, "CCS"),
    ):  # fmt: skip
        await shop.rule({"perKwhRate": rate}, here=here, kind=kind)
        rates.append((await shop.quote(1_000, 0)).base_minor_per_kwh)
    await shop.rule({"perKwhRate": 6}, here=True, kind="Type2")
    await shop.rule({"perKwhRate": 7})
    await shop.rule({"perKwhRate": 8}, kind="CHAdeMO")
    rates.append((await shop.quote(1_000, 0)).base_minor_per_kwh)
    assert rates == [100, 200, 300, 400, 500, 500]
    await shop.run("UPDATE pricing_rules SET is_active = false WHERE rules->>'perKwhRate' = '5'")
    assert (await shop.quote(1_000, 0)).base_minor_per_kwh == 400
    await shop.run("UPDATE pricing_rules SET deleted_at = now() WHERE station_id IS NOT NULL")
    assert (await shop.quote(1_000, 0)).base_minor_per_kwh == 200
    async with pool.connection() as db:
        with pytest.raises(NotFoundError):
            await quote(db, 4_711, 1_000, 0, T0)


async def test_a_charger_at_no_station_has_the_rules_of_everywhere(pool: Pool) -> None:
    shop = await Shop.make(pool)
    await shop.rule({"perKwhRate": 3}, here=True)
    await shop.rule({"perKwhRate": 2}, kind="CCS")
    await shop.run("UPDATE chargers SET station_id = NULL")
    async with pool.connection() as db:
        place = await pricing_rules.place_at_charger(db, shop.scene.device_id, 1, "UTC")
        assert (place.station_connector_id, place.rules) == (None, {"perKwhRate": 2})
        unknown = await pricing_rules.place_at_charger(db, shop.scene.device_id, 9, "UTC")
        assert (unknown.connector_type, unknown.rules) == (None, None)


async def test_a_session_costs_what_was_quoted(pool: Pool) -> None:
    shop = await Shop.make(pool)
    rule_id = await shop.rule(
        {
            "perKwhRate": 18.5,
            "parkingRatePerMinute": 1,
            "discountPercentage": 5,
            "peakHours": [{"from": f"{T0 + HOUR:%H:%M}", "to": f"{T0 + 3 * HOUR:%H:%M}", "multiplier": 1.5}],
        },
        here=True,
    )
    await shop.fee(2.5)
    start = T0 + 20 * MINUTE
    promised = await shop.quote(9_000, 90, start)
    session = await shop.scene.start(start, 100)
    await shop.scene.stop(session, start + 90 * MINUTE, 9_100)
    await shop.scene.work()
    record = await shop.scene.rated(session)
    # 9 kWh x 18.50 = 166.50; parking 90; 5/9 in the peak: 92.50 x 50 % = 46.25; 5 % of 302.75 = 15.14
    assert charge_of(promised) == (16_650, 9_000, 4_625, 1_514)
    assert promised.platform_fee_minor == 719  # 2.5 % of 28761
    assert (record.energy_minor, record.parking_minor, record.peak_minor) == (16_650, 9_000, 4_625)
    assert (record.discount_minor, record.platform_fee_minor, record.gst_minor) == (1_514, 719, 5_306)
    assert record.total_minor == promised.total_minor == 29_480 + 5_306
    async with pool.connection() as db:
        tariff = await stations.get_tariff(db, record.tariff_id)
        house = {kind: (await ledger.house_account(db, kind)).balance_minor
                 for kind in ("revenue", "tax", "platform_fee")}  # fmt: skip
        assert await ledger.trial_balance(db) == {"INR": 0}
    assert tariff is not None
    assert tariff.name.startswith(f"rule:{rule_id}:")
    assert house == {"revenue": 28_761, "tax": 5_306, "platform_fee": 719}
    assert await shop.scene.balance() == 10_000_000 - promised.total_minor


async def test_idle_time_costs_the_parking_rate_as_charging_does(pool: Pool) -> None:
    shop = await Shop.make(pool)
    await shop.run("UPDATE station_connectors SET base_price_minor = 1000, parking_fee_minor = 100")
    session = await shop.scene.start(T0, 0)
    for minutes in (10, 20, 30):
        await shop.scene.sample(session, T0 + minutes * MINUTE, 5_000)
    await shop.scene.stop(session, T0 + 40 * MINUTE, 5_000)
    await shop.scene.work()
    record = await shop.scene.rated(session)
    assert (record.energy_minor, record.parking_minor, record.time_minor) == (5_000, 4_000, 0)
    assert record.total_minor == (await shop.quote(5_000, 40)).total_minor


async def test_a_session_keeps_the_price_of_its_start(pool: Pool) -> None:
    shop = await Shop.make(pool)
    await shop.rule({"perKwhRate": 20})
    session = await shop.scene.start(T0, 0)
    async with pool.connection() as db:
        await records.fix_price(db, session)
        kept = await pricing_rules.session_tariff(db, session.id)
        assert kept is not None
    await shop.run("UPDATE pricing_rules SET rules = %s", Jsonb({"perKwhRate": 30}))
    await shop.fee(50)
    async with pool.connection() as db:
        now_us = from_datetime(T0 + HOUR)
        assert await settlement.cost_so_far(db, session.id, now_us, 1_000) == 2_360
    await shop.scene.stop(session, T0 + HOUR, 1_000)
    await shop.scene.work()
    record = await shop.scene.rated(session)
    assert (record.energy_minor, record.platform_fee_minor, record.tariff_id) == (2_000, 0, kept)
    other = await shop.scene.start(T0 + 2 * HOUR, 1_000)
    await shop.scene.stop(other, T0 + 3 * HOUR, 2_000)
    await shop.scene.work()
    assert (await shop.scene.rated(other)).energy_minor == 3_000, "nothing was kept for it: as of its end"
    with pytest.raises(ForeignKeyViolation):
        await shop.run("DELETE FROM tariffs WHERE id = %s", kept)


async def test_what_has_no_price_now_is_rated_later(pool: Pool) -> None:
    shop = await Shop.make(pool)
    await shop.rule({"perKwhRate": 20, "discounts": [{"from": "01:00", "to": "02:00", "percentage": 1}]})
    await shop.run("UPDATE stations SET time_zone = 'UTC+3'")  # PostgreSQL knows it, and nobody else
    session = await shop.scene.start(T0, 0)
    async with pool.connection() as db:
        await records.fix_price(db, session)
        await records.fix_price(db, replace(session, connector_id=0))
        assert await pricing_rules.session_tariff(db, session.id) is None
        with pytest.raises(RatingError, match=r"UTC\+3"):
            await records.session_terms(db, session)
    await shop.run("UPDATE platform_settings SET settings = %s", Jsonb({"pricing": {"gstPercentage": -1}}))
    async with pool.connection() as db:
        with pytest.raises(RatingError, match="gstPercentage"):
            await records.session_terms(db, session)


async def test_a_price_is_one_row_however_often_it_is_kept(pool: Pool) -> None:
    shop = await Shop.make(pool)
    await shop.run("UPDATE station_connectors SET base_price_minor = 1000")

    async def keep_it() -> tuple[int, Price]:
        async with pool.connection() as db:
            place = await pricing_rules.place_by_id(db, shop.connector_id)
            assert place is not None
            price = await price_of_place(db, place)
            return await keep(db, price), price

    made = await asyncio.gather(*(keep_it() for _ in range(8)))
    ((kept_id, price),) = {(kept_id, price.row.name): (kept_id, price) for kept_id, price in made}.values()
    async with pool.connection() as db:
        kept = await stations.get_tariff(db, kept_id)
    assert replace(price.row, id=kept_id) == kept
    assert await keep_it() == (kept_id, price)


async def test_a_correction_moves_the_parts_too(pool: Pool) -> None:
    shop = await Shop.make(pool)
    await shop.rule({"perKwhRate": 10, "discountPercentage": 10})
    await shop.fee(10)
    scene = shop.scene
    session = await scene.start(T0, 0)
    await scene.sample(session, T0 + HOUR, 1_000)
    await scene.start(T0 + 2 * HOUR, 5_000)
    await scene.reconcile(T0 + 3 * HOUR)
    await scene.work()
    first = await scene.rated(session)
    assert (first.discount_minor, first.platform_fee_minor, first.gst_minor) == (100, 90, 178)
    await shop.run("UPDATE pricing_rules SET rules = %s", Jsonb({"perKwhRate": 99}))
    await scene.stop(session, T0 + HOUR, 4_000, received_at=T0 + 4 * HOUR)
    await scene.work()
    record = await scene.rated(session)
    assert (record.energy_minor, record.discount_minor, record.platform_fee_minor) == (4_000, 400, 360)
    async with pool.connection() as db:
        fees = await ledger.house_account(db, "platform_fee")
        tax = await ledger.house_account(db, "tax")
    assert (fees.balance_minor, tax.balance_minor) == (360, record.gst_minor)
    assert await scene.balance() == 10_000_000 - record.total_minor
