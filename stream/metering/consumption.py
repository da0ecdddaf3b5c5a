"""Registers to consumption, for any number of installations at once; pure numpy, no loop over readings.

Used by `stream.metering.course` (bills, readings) and `stream.metering.alerts`. Registers become integers of
a fine unit first (mWh, or ml), so that nothing drifts: without a fault between them, the consumption of two
intervals is that of both together, to the last digit.

What a reading counts for depends on a fixed number of its neighbours (`LOOKBACK`, `LOOKAHEAD`) and on nothing
else: a window with those around it gives what the whole series would.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from stream.errors import StreamError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

US_PER_H = 3_600_000_000
FOREVER_US = np.iinfo(np.int64).max
# Beyond it a double does not hold every integer; the scaled register has room to double.
_RAW_MAX = 2.0**53
_SCALED_MAX = 2.0**61
_RATIO_MAX = 2**62
# A register that shows whole kWh rises in steps: a short interval's rate is taken over this time.
_RATE_OVER_US_MIN = US_PER_H // 4
# A register that falls rolled over if it went on by no more than this part of its modulus.
_ROLLOVER_SHARE = 4
# A longer run of doubtful readings is no glitch, but what the register really shows.
GLITCHES_MAX = 8
LOOKBACK = 2 * GLITCHES_MAX + 4
LOOKAHEAD = GLITCHES_MAX + 2


class ConsumptionError(StreamError):
    """An installation whose registers cannot be computed with: the message names the fact."""


class Tag(IntEnum):
    """What a reading was taken for."""

    FIRST = 0  # of its installation: consumption begins here
    RISE = 1
    ROLLOVER = 2
    RESET = 3  # the register began again at zero: what it shows is counted
    REVERSE = 4  # the register went back a little: nothing is counted
    GLITCH = 5  # one register above or below both its neighbours: left out
    IMPLAUSIBLE = 6  # more than can have flowed since the reading before: not counted, the register goes on


@dataclass(frozen=True, slots=True)
class Span:
    """One installation. The register, times `multiplier`, is in units of `fine_per_unit` fine units.

    Readings outside `since_us` to before `until_us` are not its own. `modulus` is in the register's own unit;
    None: it never rolls over. At most `rate_max_fine_per_h` is taken for plausible.
    """

    since_us: int
    until_us: int
    fine_per_unit: int
    rate_max_fine_per_h: int
    multiplier: Fraction = Fraction(1)
    modulus: Fraction | None = None

    def __post_init__(self) -> None:
        if self.multiplier <= 0 or self.multiplier.numerator * self.multiplier.denominator > _RATIO_MAX:
            raise ConsumptionError(f"multiplier {self.multiplier} is not above 0, or has too many digits")
        if self.modulus is not None and not 0 < self.modulus * self.fine_per_unit < _RAW_MAX:
            raise ConsumptionError(f"register_modulus {self.modulus} is not above 0, or is too large")


@dataclass(frozen=True, slots=True)
class Readings:
    """Columns of equal length, in order of `span` (an index into the spans) and time.

    `amounts` flowed from `starts_us` to `times_us`; a first reading and a glitch begin where they end.
    `registers` and `amounts` are in fine units, with the multiplier applied; `tags` are those of `Tag`.
    """

    spans: Ints
    times_us: Ints
    starts_us: Ints
    registers: Ints
    amounts: Ints
    tags: NDArray[np.uint8]

    def where(self, mask: Mask) -> "Readings":
        """Return the rows that `mask` marks."""
        return Readings(
            self.spans[mask],
            self.times_us[mask],
            self.starts_us[mask],
            self.registers[mask],
            self.amounts[mask],
            self.tags[mask],
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    """The spans as columns."""

    since_us: Ints
    until_us: Ints
    fine: Floats
    numerator: Ints
    denominator: Ints
    modulus: Ints  # in fine units of the register; 0: none
    rate_max: Floats

    def of(self, rows: Ints) -> "_Facts":
        return _Facts(
            self.since_us[rows],
            self.until_us[rows],
            self.fine[rows],
            self.numerator[rows],
            self.denominator[rows],
            self.modulus[rows],
            self.rate_max[rows],
        )

    def scaled(self, raw: Ints) -> Ints:
        """Apply the multiplier, rounded down; whole and remainder apart, so that nothing overflows."""
        whole, rest = np.divmod(raw, self.denominator)
        return whole * self.numerator + rest * self.numerator // self.denominator


def consume(times_us: Ints, values: Floats, bounds: Ints, spans: Sequence[Span]) -> Readings:
    """Return what each reading of each span counts for.

    Rows `bounds[i]` to before `bounds[i + 1]` are of `spans[i]`, in any order and with repeats. Values that
    are no register (negative, not finite, too large) and times outside the span are left out. Of several
    values at one time the least stands.
    """
    facts = _facts(spans)
    span, times, raw = _usable(times_us, values, bounds, facts)
    facts = facts.of(span)
    glitch = _glitches(span, raw, facts.modulus)
    amounts, starts = np.zeros(len(raw), np.int64), times.copy()
    tags = np.where(glitch, Tag.GLITCH, Tag.FIRST).astype(np.uint8)
    kept = np.flatnonzero(~glitch)
    is_step = span[kept[1:]] == span[kept[:-1]]
    low, high = kept[:-1][is_step], kept[1:][is_step]
    starts[high] = times[low]
    amounts[high], tags[high] = _steps(raw[low], raw[high], times[high] - times[low], facts.of(high))
    return Readings(span, times, starts, facts.scaled(raw), amounts, tags)


def _facts(spans: Sequence[Span]) -> _Facts:
    return _Facts(
        np.array([each.since_us for each in spans], np.int64),
        np.array([each.until_us for each in spans], np.int64),
        np.array([each.fine_per_unit for each in spans], np.float64),
        np.array([each.multiplier.numerator for each in spans], np.int64),
        np.array([each.multiplier.denominator for each in spans], np.int64),
        np.array([int((each.modulus or 0) * each.fine_per_unit) for each in spans], np.int64),
        np.array([each.rate_max_fine_per_h for each in spans], np.float64),
    )


def _usable(times_us: Ints, values: Floats, bounds: Ints, facts: _Facts) -> tuple[Ints, Ints, Ints]:
    """Span, time and register (fine units, no multiplier) of the rows that count, in order, once each."""
    span = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    own = facts.of(span)
    fine = np.rint(values * own.fine)
    with np.errstate(invalid="ignore"):
        good = (fine >= 0) & (fine <= _RAW_MAX) & (fine * own.numerator <= _SCALED_MAX * own.denominator)
    good &= (times_us >= own.since_us) & (times_us < own.until_us)
    span, times, raw = span[good], times_us[good], fine[good].astype(np.int64)
    order = np.lexsort((raw, times, span))
    span, times, raw = span[order], times[order], raw[order]
    new = np.ones(len(raw), np.bool_)
    new[1:] = (times[1:] != times[:-1]) | (span[1:] != span[:-1])
    return span[new], times[new], raw[new]


def _rolls_over(low: Ints, high: Ints, modulus: Ints) -> Mask:
    forward = modulus - low + high
    return (high < low) & (low < modulus) & (forward <= modulus // _ROLLOVER_SHARE)


def _glitches(span: Ints, raw: Ints, modulus: Ints) -> Mask:
    """Mark single registers above or below both neighbours, where those two fit each other.

    A fall that can be a rollover, and the rise before or after it, are no glitch unless the rise is of more
    than half the modulus.
    """
    doubtful = np.zeros(len(raw), np.bool_)
    before, here, after, size = raw[:-2], raw[1:-1], raw[2:], modulus[1:-1]
    fits = (span[:-2] == span[2:]) & (after >= before)
    is_far_up = (size > 0) & (here - before > size // 2)
    is_far_back = (size > 0) & (after - here > size // 2)
    peak = (here > before) & (here > after) & (~_rolls_over(here, after, size) | is_far_up)
    dip = (here < before) & (~_rolls_over(before, here, size) | is_far_back)
    doubtful[1:-1] = fits & (peak | dip)
    row = np.arange(len(raw))
    last_good = np.maximum.accumulate(np.where(doubtful, -1, row))
    return doubtful & (row - last_good <= GLITCHES_MAX)


def _steps(low: Ints, high: Ints, took_us: Ints, facts: _Facts) -> tuple[Ints, NDArray[np.uint8]]:
    """Amounts and tags of the readings `high`, each after the register `low` and `took_us`."""
    falls = high < low
    rolls = _rolls_over(low, high, facts.modulus)
    reset = falls & ~rolls & (high < low // 2)
    tags = np.select([rolls, reset, falls], [Tag.ROLLOVER, Tag.RESET, Tag.REVERSE], default=Tag.RISE).astype(
        np.uint8
    )
    end = facts.scaled(high + np.where(rolls, facts.modulus, 0))
    amounts = np.where(reset, end, np.where(falls & ~rolls, 0, end - facts.scaled(low)))
    most = facts.rate_max * np.maximum(took_us, _RATE_OVER_US_MIN) / US_PER_H
    implausible = amounts > most
    tags[implausible] = Tag.IMPLAUSIBLE
    amounts[implausible] = 0
    return amounts, tags
