"""Settlement on a real database: samples split energy, clocks that cannot be right, what it costs so far."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from protocols.timestamps import from_datetime, to_datetime
from storage.database import Connection, Pool, fetch_value
from storage.queries import cdrs, pricing_rules, stations
from stream import records, settlement
from stream.rating import RatingError
from tests.stream.scene import HOUR, MINUTE, T0, Scene

BY_HOUR = {
    "elements": [
        {
            "prices": [{"dimension": "energy", "price_minor": 20}],
            "restrictions": {
                "time_from": (T0 + HOUR).strftime("%H:%M"),
                "time_to": (T0 + 3 * HOUR).strftime("%H:%M"),
            },
        },
        {
            "prices": [
                {"dimension": "energy", "price_minor": 40},
                {"dimension": "idle", "price_minor": 1},
                {"dimension": "flat", "price_minor": 7},
            ]
        },
    ],
    "taxes": [{"name": "VAT", "basis_points": 1000}, {"name": "levy", "basis_points": 100}],
}


async def test_samples_split_the_energy_at_the_hour(pool: Pool) -> None:
    scene = await Scene.make(pool)
    await scene.tariff(BY_HOUR)
    session = await scene.start(T0 + 30 * MINUTE, 100)
    for minutes, register_wh in ((45, 4_100.4), (60, 8_100), (90, 9_100)):
        await scene.sample(session, T0 + minutes * MINUTE, register_wh)
    await scene.stop(session, T0 + 90 * MINUTE, 10_100)
    await scene.work()
    record = await scene.rated(session)
    # 8 kWh before the hour x 40 = 320; 2 kWh after it x 20 = 40; fee 7; 10 % and 1 % of 367
    assert (record.energy_wh, record.energy_minor, record.flat_minor) == (10_000, 360, 7)
    assert (record.gst_minor, record.total_minor) == (37 + 4, 408)
    assert [(line["component"], line["quantity"], line["amount_minor"]) for line in record.lines] == [
        ("flat", 1, 7), ("energy", 2_000, 40), ("energy", 8_000, 320), ("tax", 367, 37), ("tax", 367, 4),
    ]  # fmt: skip
    assert [period["energy_wh"] for period in record.periods] == [4_000, 4_000, 2_000]
    assert await scene.house() == (367, 41)
    assert await scene.balance() == 10_000_000 - 408


async def test_without_samples_the_energy_is_spread_evenly(pool: Pool) -> None:
    scene = await Scene.make(pool)
    await scene.tariff(BY_HOUR)
    session = await scene.start(T0 + 30 * MINUTE, 0)
    await scene.stop(session, T0 + 90 * MINUTE, 10_000)
    await scene.work()
    assert (await scene.rated(session)).energy_minor == 5 * 40 + 5 * 20


async def test_samples_of_others_are_not_counted(pool: Pool) -> None:
    scene = await Scene.make(pool)
    session = await scene.start(T0, 1_000)
    other = await scene.start(T0 + MINUTE, 50_000, connector_id=2)
    await scene.sample(session, T0 + 10 * MINUTE, 2_000)
    await scene.sample(other, T0 + 11 * MINUTE, 51_000)
    await scene.sample(session, T0 + 12 * MINUTE, 2_500, transaction_id=None)  # it is this connector's
    await scene.stop(session, T0 + 20 * MINUTE, 3_000)
    await scene.work()
    record = await scene.rated(session)
    assert [period["energy_wh"] for period in record.periods] == [1_000, 500, 500]


async def test_a_simple_tariff_takes_all_time_as_charging(pool: Pool) -> None:
    scene = await Scene.make(pool)
    await scene.tariff(energy_minor_per_kwh=100, time_minor_per_minute=2, parking_minor_per_minute=50)
    session = await scene.start(T0, 0)
    for minutes in (10, 20, 30, 40):
        await scene.sample(session, T0 + minutes * MINUTE, 1_000)
    await scene.stop(session, T0 + 50 * MINUTE, 1_000)
    await scene.work()
    record = await scene.rated(session)
    assert (record.energy_minor, record.time_minor, record.parking_minor) == (100, 100, 0)


async def test_idle_time_is_what_follows_the_last_rise(pool: Pool) -> None:
    scene = await Scene.make(pool)
    await scene.tariff({"elements": [{"prices": [{"dimension": "idle", "price_minor": 50}]}], "taxes": []})
    session = await scene.start(T0, 0)
    for minutes in (10, 20, 30, 40):
        await scene.sample(session, T0 + minutes * MINUTE, 1_000)
    await scene.stop(session, T0 + 50 * MINUTE, 1_000)
    await scene.work()
    assert (await scene.rated(session)).parking_minor == 40 * 50


@pytest.mark.parametrize(
    ("samples", "stop_wh", "energy_wh", "has_reset"),
    [
        ((), 400, 0, True),
        ((51_000, 52_000), 700, 2_000, True),
        ((51_000, 100, 600), 700, 1_600, True),
        ((51_000, 0, 52_000), 53_000, 3_000, False),
    ],
)
async def test_a_meter_that_was_reset_is_billed_by_its_rises(
    pool: Pool, samples: tuple[int, ...], stop_wh: int, energy_wh: int, has_reset: bool
) -> None:
    scene = await Scene.make(pool)
    session = await scene.start(T0, 50_000)
    for index, register_wh in enumerate(samples, 1):
        await scene.sample(session, T0 + index * 10 * MINUTE, register_wh)
    await scene.stop(session, T0 + HOUR, stop_wh)
    await scene.work()
    record = await scene.rated(session)
    assert (record.energy_wh, record.has_meter_reset) == (energy_wh, has_reset)
    assert (await scene.seen(session)).payment_status == "paid"


async def test_clocks_that_cannot_be_right_are_replaced_by_ours(pool: Pool) -> None:
    scene = await Scene.make(pool)
    long_ago = datetime(1970, 1, 1, 0, 35, tzinfo=UTC)
    unset = await scene.start(long_ago, 0, received_at=T0)
    await scene.stop(unset, T0 + 40 * MINUTE, 1_000)  # the clock was set in between
    backwards = await scene.start(T0, 0, connector_id=2)
    await scene.stop(backwards, T0 - HOUR, 1_000, received_at=T0 + 20 * MINUTE)
    ahead = await scene.start(T0 + timedelta(days=400), 0, connector_id=3, received_at=T0)
    await scene.stop(ahead, T0 + timedelta(days=400, hours=1), 1_000, received_at=T0 + 30 * MINUTE)
    offline = await scene.start(T0 - 10 * HOUR, 0, connector_id=4, received_at=T0)
    await scene.stop(offline, T0 - 9 * HOUR, 1_000, received_at=T0)
    await scene.work()
    durations = [(await scene.rated(each)).duration_s for each in (unset, backwards, ahead, offline)]
    assert durations == [2_400, 1_200, 1_800, 3_600]


async def test_what_a_session_costs_so_far(pool: Pool) -> None:
    scene = await Scene.make(pool)
    await scene.tariff(energy_minor_per_kwh=1_000, time_minor_per_minute=10, gst_basis_points=1_000)

    async def cost(session_id: int, minutes: int, register_wh: int | None = None) -> int | None:
        async with pool.connection() as connection:
            now_us = from_datetime(T0 + minutes * MINUTE)
            return await settlement.cost_so_far(connection, session_id, now_us, register_wh)

    assert await cost(4_711, 10) is None
    session = await scene.start(T0, 500)
    assert await cost(session.id, 0) == 0
    assert await cost(session.id, 10) == 110  # time only
    await scene.sample(session, T0 + 10 * MINUTE, 1_500)
    assert await cost(session.id, 9) == 99  # not there yet
    assert await cost(session.id, 10) == 1_210
    assert await cost(session.id, 20) == 1_320
    assert await cost(session.id, 20, 2_500) == 2_420
    await scene.stop(session, T0 + 20 * MINUTE, 3_500)
    assert await cost(session.id, 20) == 3_520  # stopped, not rated
    await scene.work()
    assert await cost(session.id, 999) == 3_520
    assert (await scene.rated(session)).total_minor == 3_520


async def test_idle_time_does_not_begin_because_no_sample_came_yet(pool: Pool) -> None:
    scene = await Scene.make(pool)
    await scene.tariff({"elements": [{"prices": [{"dimension": "idle", "price_minor": 1}]}], "taxes": []})
    session = await scene.start(T0, 0)
    async with pool.connection() as connection:
        await scene.sample(session, T0 + 10 * MINUTE, 900)
        await scene.sample(session, T0 + 20 * MINUTE, 1_000)
        now_us = from_datetime(T0 + 30 * MINUTE)
        assert await settlement.cost_so_far(connection, session.id, now_us) == 0
        await scene.sample(session, T0 + 30 * MINUTE, 1_000)
        assert await settlement.cost_so_far(connection, session.id, now_us + 60_000_000) == 11


async def _ratings(connection: Connection) -> int:
    """How many tasks of rating are still to be done."""
    query = "SELECT count(*) FROM outbox WHERE kind = 'rate_session' AND done_at IS NULL"
    return int(await fetch_value(connection, query, {}))


@pytest.mark.parametrize(("is_simple", "stop_wh"), [(False, 1_000), (True, -1_000), (True, 1_000)])
async def test_what_rests_on_samples_waits_for_the_last_of_them(
    pool: Pool, is_simple: bool, stop_wh: int
) -> None:
    scene = await Scene.make(pool)
    await scene.tariff(None if is_simple else BY_HOUR, energy_minor_per_kwh=10)
    session = await scene.start(T0, 0)
    await scene.stop(session, T0 + HOUR, stop_wh)
    async with pool.connection() as connection:
        before = await _ratings(connection)
        await settlement.rate_session(connection, session.id, T0 + HOUR + timedelta(seconds=4))
        has_record = await cdrs.get_cdr(connection, session.id) is not None
        assert has_record is (is_simple and stop_wh > 0)
        assert await _ratings(connection) == before + (not has_record)
        await settlement.rate_session(connection, session.id, T0 + HOUR + timedelta(seconds=5))
        assert await cdrs.get_cdr(connection, session.id) is not None
        assert await _ratings(connection) == before + (not has_record)


async def test_a_tariff_that_cannot_be_read_says_so(pool: Pool) -> None:
    scene = await Scene.make(pool)
    await scene.tariff({"elements": [{"prices": [{"dimension": "warmth", "price_minor": 1}]}]})
    async with pool.connection() as connection:
        with pytest.raises(RatingError, match="warmth"):
            await records.terms_of(connection, scene.device_id)


async def test_a_definition_and_a_time_zone_are_kept(pool: Pool) -> None:
    scene = await Scene.make(pool)
    await scene.tariff(BY_HOUR)
    async with pool.connection() as connection:
        terms = await records.terms_of(connection, scene.device_id)
        row = await stations.get_tariff(connection, terms.tariff_id)
        assert row is not None
        assert row.definition == BY_HOUR
        assert str(terms.zone) == "UTC"
        place = await pricing_rules.place_at_charger(connection, 4_711, 1, stations.DEFAULT_TIME_ZONE)
        assert (place.time_zone, place.tariff_id) == ("Asia/Kolkata", None)


async def test_a_correction_is_immutable_too(pool: Pool) -> None:
    scene = await Scene.make(pool)
    session = await scene.start(T0, 0)
    await scene.sample(session, T0 + HOUR, 1_000)
    await scene.start(T0 + 2 * HOUR, 5_000)
    assert await scene.reconcile(to_datetime(from_datetime(T0 + 3 * HOUR))) == 1
    await scene.work()
    await scene.stop(session, T0 + HOUR, 1_100)
    await scene.work()
    async with pool.connection() as connection:
        record = await cdrs.get_cdr(connection, session.id)
        correction = await cdrs.get_correction(connection, session.id)
        assert record is not None
        assert correction is not None
        assert (record.energy_wh, correction.energy_wh) == (1_000, 1_100)
        assert not await cdrs.insert_correction(connection, correction)
        with pytest.raises(psycopg.errors.RestrictViolation):
            await connection.execute("UPDATE cdr_corrections SET energy_wh = 0")
        await connection.rollback()
