"""A tariff's definition: what is taken, and what is refused with the field's name."""

import contextlib
from datetime import date, time
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.metering.tariff import Block, Blocks, Flat, TariffError, Tax, TimeOfUse, tariff_of

DAY = [{"from": "00:00", "price_minor": "1"}]


def block(*blocks: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"energy": {"kind": "block", "blocks": list(blocks), **other}}


def time_of_use(*seasons: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"energy": {"kind": "time_of_use", "seasons": list(seasons), **other}}


def test_a_flat_tariff_with_all_there_is() -> None:
    tariff = tariff_of(
        {
            "energy": {"kind": "flat", "price_minor": "234.5"},
            "fixed_minor_per_day": 150,
            "minimum_minor_per_day": "200.25",
            "tax": {"basis_points": 1500, "is_included": False},
        }
    )
    assert tariff.energy == Flat(Fraction("234.5"))
    assert tariff.fixed_minor_per_day == Fraction(150)
    assert tariff.minimum_minor_per_day == Fraction("200.25")
    assert tariff.tax == Tax("VAT", 1500, is_included=False)
    assert not tariff.is_by_month


def test_blocks_count_by_the_month_unless_by_the_day() -> None:
    steps = ({"up_to": "0.5", "price_minor": 1}, {"price_minor": "2"})
    tariff = tariff_of(block(*steps))
    assert tariff.energy == Blocks((Block(500_000, Fraction(1)), Block(None, Fraction(2))))
    assert tariff.is_by_month
    assert not tariff_of(block(*steps, per="day")).is_by_month


def test_days_fall_back_on_the_nearest_kind() -> None:
    def prices(price: int) -> list[dict[str, Any]]:
        return [{"from": "00:00", "price_minor": price}]

    days = {"weekday": prices(1), "weekend": prices(2), "saturday": prices(3)}
    energy = tariff_of(time_of_use({"days": days}, holidays=["2026-03-04"])).energy
    assert isinstance(energy, TimeOfUse)
    found = {day: int(energy.periods(date(2026, 3, day))[0].price_minor) for day in (2, 4, 7, 8)}
    assert found == {2: 1, 4: 2, 7: 3, 8: 2}
    assert energy.periods(date(2026, 3, 2))[0].starts_at == time(0)


BAD = [
    ({}, "definition"),
    ({"energy": {"kind": "free"}}, "energy.kind"),
    ({"energy": {"kind": "flat"}}, "energy"),
    ({"energy": {"kind": "flat", "price_minor": 1.5}}, "energy.price_minor"),
    ({"energy": {"kind": "flat", "price_minor": "-1"}}, "energy.price_minor"),
    ({"energy": {"kind": "flat", "price_minor": "1e3"}}, "energy.price_minor"),
    ({"energy": {"kind": "flat", "price_minor": 1, "colour": 2}}, "energy"),
    ({"energy": {"kind": "flat", "price_minor": 1}, "fixed_minor_per_day": "x"}, "fixed_minor_per_day"),
    (
        {"energy": {"kind": "flat", "price_minor": 1}, "tax": {"basis_points": 10_001, "is_included": True}},
        "tax.basis_points",
    ),
    (block(), "energy.blocks"),
    (block({"price_minor": 1}, per="week"), "energy.per"),
    (block({"up_to": 5, "price_minor": 1}), "energy.blocks[0].up_to"),
    (block({"price_minor": 1}, {"price_minor": 1}), "energy.blocks[0].up_to"),
    (block({"up_to": "0.0000001", "price_minor": 1}, {"price_minor": 1}), "energy.blocks[0].up_to"),
    (
        block({"up_to": 5, "price_minor": 1}, {"up_to": 5, "price_minor": 1}, {"price_minor": 1}),
        "energy.blocks[1].up_to",
    ),
    (time_of_use(), "energy.seasons"),
    (time_of_use({"days": {"weekend": DAY}}), "energy.seasons[0].days"),
    (time_of_use({"days": {"weekday": DAY, "monday": DAY}}), "energy.seasons[0].days"),
    (time_of_use({"days": {"weekday": []}}), "energy.seasons[0].days.weekday"),
    (
        time_of_use({"days": {"weekday": [{"from": "01:00", "price_minor": 1}]}}),
        "energy.seasons[0].days.weekday[0].from",
    ),
    (time_of_use({"days": {"weekday": [*DAY, *DAY]}}), "energy.seasons[0].days.weekday[1].from"),
    (
        time_of_use({"days": {"weekday": [{"from": "soon", "price_minor": 1}]}}),
        "energy.seasons[0].days.weekday[0].from",
    ),
    (
        time_of_use({"days": {"weekday": [{"from": "00:00+01:00", "price_minor": 1}]}}),
        "energy.seasons[0].days.weekday[0].from",
    ),
    (time_of_use({"from": "02-30", "days": {"weekday": DAY}}), "energy.seasons[0].from"),
    (time_of_use({"from": "02-01", "days": {"weekday": DAY}}), "energy.seasons"),
    (time_of_use({"days": {"weekday": DAY}}, {"days": {"weekday": DAY}}), "energy.seasons"),
    (time_of_use({"days": {"weekday": DAY}}, holidays=["25 December"]), "energy.holidays[0]"),
    (time_of_use({"days": {"weekday": DAY}}, holidays=["1926-12-25"]), "energy.holidays[0]"),
]


@pytest.mark.parametrize(("definition", "field"), BAD)
def test_what_is_no_tariff_is_refused_by_the_fields_name(definition: dict[str, Any], field: str) -> None:
    with pytest.raises(TariffError, match="tariff definition") as caught:
        tariff_of(definition)
    assert caught.value.field == field


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "blocks", "up_to", "price_minor", "seasons", "days", "weekday", "from"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
kinds = st.sampled_from(["flat", "block", "time_of_use"])


@given(st.dictionaries(st.sampled_from(["energy", "tax", "fixed_minor_per_day"]), json_values), kinds)
def test_any_json_is_a_tariff_or_refused(definition: dict[str, Any], kind: str) -> None:
    if isinstance(definition.get("energy"), dict):
        definition["energy"]["kind"] = kind
    with contextlib.suppress(TariffError):
        tariff_of(definition)
