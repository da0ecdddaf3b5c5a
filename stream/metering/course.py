"""A meter's registers from the database as consumption, and the tariff of each of its days.

Used by `stream.metering.billing` and `stream.metering.readings`: both see the same.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from protocols.timestamps import from_datetime, to_datetime
from storage.database import Connection
from storage.hypertables import METER_SAMPLES
from storage.queries import meter_samples
from storage.queries.meter_samples import Registers
from storage.queries.meter_tariffs import Assignment
from storage.queries.meters import Installation
from stream.metering.consumption import FOREVER_US, LOOKAHEAD, LOOKBACK, Readings, Span, consume
from stream.metering.days import local_day, month_start, next_month
from stream.metering.rating import Run
from stream.metering.tariff import FINE_PER_UNIT, Tariff, tariff_of

_TARIFFS_KEPT = 1_000
_FINE_PER_M3 = FINE_PER_UNIT
_FINE_PER_WH = FINE_PER_UNIT // 1_000
_FINE: Mapping[str, int] = {
    "electricity": _FINE_PER_WH,
    "heat": _FINE_PER_WH,
    "cooling": _FINE_PER_WH,
    "water": _FINE_PER_M3,
    "gas": _FINE_PER_M3,
}
# What no unit's supply carries, in kWh or m3 an hour; a profile's `consumption_max_per_h` says otherwise.
_RATE_MAX: Mapping[str, int] = {
    "electricity": 250,
    "heat": 500,
    "cooling": 500,
    "water": 100,
    "gas": 250,
}


def spans_of(utility: str, installations: Sequence[Installation]) -> list[Span]:
    """Return the installations as `consume` takes them. Raises `ConsumptionError`."""
    return [_span(utility, each) for each in installations]


def _span(utility: str, installation: Installation) -> Span:
    fine, rate_max, modulus = (
        _FINE[utility],
        installation.consumption_max_per_h,
        installation.register_modulus,
    )
    return Span(
        from_datetime(installation.since),
        FOREVER_US if installation.until is None else from_datetime(installation.until),
        fine,
        _RATE_MAX[utility] * FINE_PER_UNIT if rate_max is None else int(rate_max * fine),
        Fraction(installation.multiplier),
        None if modulus is None else Fraction(modulus),
    )


def in_base_unit(utility: str, fine: int) -> Decimal:
    """Return fine units as Wh or m3, exactly."""
    return Decimal(fine) / _FINE[utility]


def in_display_unit(fine: int) -> Decimal:
    """Return fine units as kWh or m3, exactly."""
    return Decimal(fine) / FINE_PER_UNIT


async def measured(
    connection: Connection,
    utility: str,
    installations: Sequence[Installation],
    from_us: int,
    to_us: int,
) -> Readings:
    """Return one meter's readings from `from_us` to before `to_us`, and some on both sides for context."""
    registers = await meter_samples.read_registers(
        connection,
        installations,
        to_datetime(from_us),
        to_datetime(to_us),
        before=LOOKBACK,
        after=LOOKAHEAD,
    )
    return consumed(registers, spans_of(utility, installations))


def consumed(registers: Registers, spans: Sequence[Span]) -> Readings:
    """Return what the registers count for."""
    return consume(registers.times_us, registers.values, registers.bounds, spans)


def runs_of(assignments: Sequence[Assignment], first: date, end: date, zone: ZoneInfo) -> list[Run]:
    """Return the tariff of each day from `first` to before `end`: that of the last assignment up to that day.

    An assignment holds from the local day of its time on. Raises `TariffError`.
    """
    begins = [(_day_of(each.since, zone), _tariff(each)) for each in assignments]
    # of two on one day the later one holds
    starts: dict[date, Tariff | None] = {first: None}
    for day, tariff in begins:
        if day < end:
            starts[max(day, first)] = tariff
    days = sorted(starts)
    return [
        Run(starts[day], day, until) for day, until in zip(days, [*days[1:], end], strict=True) if day < until
    ]


def window_start(assignments: Sequence[Assignment], day: date, zone: ZoneInfo) -> date:
    """Return the day from which on all must be known to price `day`: its month's first where blocks count."""
    month = month_start(day)
    is_by_month = any(
        run.tariff is not None and run.tariff.is_by_month
        for run in runs_of(assignments, month, next_month(day), zone)
    )
    return month if is_by_month else day


def first_priced_day(assignments: Sequence[Assignment], zone: ZoneInfo) -> date:
    """Return the first day that has a tariff."""
    return _day_of(assignments[0].since, zone)


def oldest_day(now: datetime, zone: ZoneInfo) -> date:
    """Return the first day of a month that has all its samples still: older ones are not looked at again."""
    return next_month(_day_of(now - METER_SAMPLES.retention + timedelta(days=1), zone))


def _day_of(at: datetime, zone: ZoneInfo) -> date:
    return local_day(from_datetime(at.astimezone(UTC)), zone)


def _tariff(assignment: Assignment) -> Tariff:
    return _read_tariff(msgspec.json.encode(assignment.definition))


@lru_cache(maxsize=_TARIFFS_KEPT)
def _read_tariff(definition: bytes) -> Tariff:
    return tariff_of(msgspec.json.decode(definition))
