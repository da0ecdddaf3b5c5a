"""A day of readings in one datagram, 30 % of them out of order, doubled and late, for a thousand meters.

Electricity and water under flat, block and time-of-use tariffs: consumption, cost and wallets equal a truth
that shares no code (`truth`), whatever the order of arrivals and runs; the same run again changes nothing.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nats.aio.client import Client

from deploy.temporary import TemporaryNats
from storage.database import Pool, open_pool
from storage.queries import metering_due
from stream.bus import connect_bus
from stream.metering import billing, readings
from tests.stream.metering import truth
from tests.stream.metering.estate import (
    INSTALLED,
    NOW,
    Point,
    Sample,
    a_meter,
    a_unit,
    an_estate,
    bill_all,
    bills_of,
    clock,
    counts,
    local,
    store,
    wallet_of,
)

ZONE = ZoneInfo("Africa/Johannesburg")
METERS = 1_000
BALANCE_MINOR = 50_000
QUARTERS = 96  # of a day, and one reading each
# of a unit of the registers: mWh in a Wh, ml in a m3
FINE = {"electricity": 1_000, "water": 1_000_000}
MODULUS = {"electricity": Decimal(10_000), "water": Decimal(10)}

TAX = {"basis_points": 1500, "is_included": False}
TARIFFS: list[dict[str, Any]] = [
    {"energy": {"kind": "flat", "price_minor": "234.567"}, "tax": TAX},
    {
        "energy": {
            "kind": "block",
            "blocks": [
                {"up_to": "1.5", "price_minor": "110.11"},
                {"up_to": "4", "price_minor": "220.2"},
                {"price_minor": "333.333"},
            ],
        },
        "fixed_minor_per_day": "15.5",
        "tax": {**TAX, "is_included": True},
    },
    {
        "energy": {
            "kind": "time_of_use",
            "holidays": ["2026-11-19"],
            "seasons": [
                {
                    "days": {
                        "weekday": [
                            {"from": "00:00", "price_minor": "90.9"},
                            {"from": "06:00", "price_minor": "410.25"},
                            {"from": "09:10", "price_minor": "180"},
                            {"from": "22:00", "price_minor": "90.9"},
                        ],
                        "weekend": [{"from": "00:00", "price_minor": "70"}],
                    }
                }
            ],
        },
        "minimum_minor_per_day": "60",
        "tax": TAX,
    },
]


class Meter:
    """A meter's truth: what flowed until when, and what its register shows of it."""

    def __init__(self, point: Point, tariff: Mapping[str, Any], chance: random.Random, days: int) -> None:
        self.point, self.tariff = point, dict(tariff)
        start = chance.randrange(90_000, 99_999)  # most registers roll over within the days
        self.points: list[truth.Point] = []
        self.samples: list[Sample] = []
        step = 100 if point.utility == "electricity" else 1_000  # mWh and ml that the register shows
        flowed = 0
        for index in range(QUARTERS * days + 1):
            at = local(19) + timedelta(minutes=15 * index, seconds=point.meter_id % 400)
            shown = start * 100 + flowed
            self.points.append((truth.us(at), flowed))
            register = shown / FINE[point.utility] % float(MODULUS[point.utility])
            self.samples.append((point.device_id, at, round(register, 6)))
            flowed += chance.choice([0, 1, 3, 40]) * step * chance.randrange(1, 12)

    def bills(self) -> truth.Bills:
        return truth.bills(self.tariff, self.points, ZONE)


def datagrams(meter: Meter, chance: random.Random) -> list[list[Sample]]:
    """A day a datagram; 30 % of the samples are late, in a datagram of their own, or doubled."""
    sent: list[list[Sample]] = []
    late: list[Sample] = []
    for low in range(0, len(meter.samples), QUARTERS):
        day = meter.samples[low : low + QUARTERS]
        odd = set(chance.sample(range(len(day)), len(day) * 3 // 10))
        doubled = {index for index in odd if chance.random() < 0.3}
        late += [day[index] for index in sorted(odd - doubled)]
        prompt = [sample for index, sample in enumerate(day) if index not in odd - doubled]
        prompt += [day[index] for index in doubled]
        chance.shuffle(prompt)
        sent.append(prompt)
    chance.shuffle(late)
    return [*sent, late]


async def make(pool: Pool, number: int, chance: random.Random, days: int) -> list[Meter]:
    """Half the meters electricity, half water, two to a unit."""
    made: list[Meter] = []
    async with pool.connection() as connection:
        estate_id = await an_estate(connection)
        for index in range(number):
            utility = ("electricity", "water")[index % 2]
            if index % 2 == 0:
                unit_id = await a_unit(connection, estate_id, balance_minor=BALANCE_MINOR)
            tariff = TARIFFS[index // 2 % len(TARIFFS)]
            point = await a_meter(connection, unit_id, utility, definition=tariff, modulus=MODULUS[utility])
            made.append(Meter(point, tariff, chance, days))
    return made


async def arrive(pool: Pool, meters: Sequence[Meter], batch: Sequence[Sample]) -> None:
    await store(pool, {meter.point.device_id: meter.point.utility for meter in meters}, batch)


async def is_the_truth(pool: Pool, meters: Sequence[Meter]) -> None:
    spent: dict[int, int] = defaultdict(int)
    for meter in meters:
        expected = meter.bills()
        found = await bills_of(pool, meter.point.meter_id)
        fine = FINE[meter.point.utility]
        assert {day: (int(amount * fine), cost) for day, (amount, cost) in found.items()} == expected
        spent[meter.point.unit_id] += sum(cost for _, cost in expected.values())
    assert sum(spent.values()) > 0
    for unit_id, cost in spent.items():
        assert (await wallet_of(pool, unit_id)).balance_minor == BALANCE_MINOR - cost


@pytest.mark.timeout(540)
async def test_a_thousand_meters_late_doubled_and_out_of_order(pool: Pool, bus: Client) -> None:
    chance = random.Random(1_000)
    meters = await make(pool, METERS, chance, days=1)
    rounds = [datagrams(meter, chance) for meter in meters]
    for number in range(len(rounds[0])):
        batch = [sample for each in rounds for sample in each[number]]
        for low in range(0, len(batch), 20_000):
            await arrive(pool, meters, batch[low : low + 20_000])
        await asyncio.gather(bill_all(pool, bus), bill_all(pool, bus))
    await is_the_truth(pool, meters)
    before = await counts(pool)
    everything = [sample for meter in meters for sample in meter.samples]
    for low in range(0, len(everything), 20_000):
        await arrive(pool, meters, everything[low : low + 20_000])
    async with pool.connection() as connection:
        device_ids = [meter.point.device_id for meter in meters]
        await metering_due.add(connection, device_ids, [INSTALLED] * len(meters))
    await asyncio.gather(bill_all(pool, bus), bill_all(pool, bus))
    assert await counts(pool) == before
    await is_the_truth(pool, meters)
    async with pool.connection() as connection:
        for meter in chance.sample(meters, 20):
            shown = await readings.rated_readings(
                connection, meter.point.meter_id, since=local(1), until=NOW, limit=1_000
            )
            assert len(shown) == QUARTERS + 1
            assert sum(each.cost_minor for each in shown) == sum(cost for _, cost in meter.bills().values())


@settings(
    max_examples=20, phases=(Phase.generate,), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(0, 2**32),
    st.permutations(range(16)),
    st.sets(st.integers(0, 15), max_size=6),
    st.integers(1, 3),
)
def test_any_order_of_arrivals_and_runs_ends_in_the_same_bills(
    database_url: str,
    nats: TemporaryNats,
    seed: int,
    order: list[int],
    runs_after: set[int],
    workers: int,
) -> None:
    """Sixteen datagrams, every sample in one to three of them, and runs of the job beside their arrival."""

    async def run() -> None:
        bus = await connect_bus(nats.url, "test")
        try:
            async with open_pool(database_url, size_max=10) as pool:
                await in_this_order(pool, bus)
        finally:
            await bus.close()

    async def in_this_order(pool: Pool, bus: Client) -> None:
        chance = random.Random(seed)
        meters = await make(pool, 6, chance, days=1)
        sent: list[list[Sample]] = [[] for _ in order]
        for meter in meters:
            for sample in meter.samples:
                for number in chance.sample(range(len(sent)), chance.choice([1, 1, 1, 2, 3])):
                    sent[number].append(sample)
        for number in order:
            chance.shuffle(sent[number])
            await asyncio.gather(
                arrive(pool, meters, sent[number]),
                *(billing.bill_due(pool, bus, clock) for _ in range(workers if number in runs_after else 0)),
            )
        await bill_all(pool, bus)
        await is_the_truth(pool, meters)
        assert (await counts(pool))[0] > 0

    asyncio.run(run())
