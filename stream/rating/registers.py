"""A session's energy from the readings of its register; used by `stream.records`.

Energy is the sum of the register's rises, from the start's reading over the samples to the stop's:

* A fall that one later reading makes good, or that takes back one earlier jump, is a glitch: the readings in
  between are left out. Where both views are possible, the one that costs the driver less is taken.
* A fall from just below 10^n Wh or 2^32 Wh is the register's own rollover, if the energy that it stands for
  is possible: at most a twentieth of the register, and what 1 MW delivers in that time.
* Any other fall is a meter that was reset. What it counted between the two readings is not known and not
  billed; counting goes on from the lower reading.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stream.rating.usage import US_PER_S, Kind, Period

ROLLOVERS_WH = (10**5, 10**6, 10**7, 10**8, 10**9, 2**32, 10**10)
GLITCH_READINGS_MAX = 10
PERIOD_S_MIN = 60  # finer samples are put together: a receipt needs no more
_ROLLOVER_SHARE = 20
_POWER_W_MAX = 1_000_000
_ROLLOVER_WH_MIN = 1_000  # possible in any time: readings of one moment may have times that differ
_US_PER_H = 3_600 * US_PER_S


@dataclass(frozen=True, slots=True)
class Reading:
    """What the register showed (Wh) at `at_us` (microseconds since 1970 UTC)."""

    at_us: int
    register_wh: int


@dataclass(frozen=True, slots=True)
class _Rise:
    begin_us: int
    end_us: int
    energy_wh: int
    is_reset: bool


def register_energy(readings: Sequence[Reading]) -> int:
    """Return the energy (Wh) between the first and the last of `readings`, which are in order of time."""
    return sum(rise.energy_wh for rise in _rises(readings))


def has_reset(readings: Sequence[Reading]) -> bool:
    """Whether the register was reset between two readings, so that its energy is a lower bound."""
    return any(rise.is_reset for rise in _rises(readings))


def periods_of(readings: Sequence[Reading]) -> tuple[Period, ...]:
    """Return the periods between `readings`, charging until the register stands still for good, then idle.

    Two readings alone, the start and the stop, say nothing of when energy flowed: one period of charging.
    """
    rises = list(_together(_rises(readings)))
    end = len(rises)
    if len(readings) > 2:
        while end > 0 and rises[end - 1].energy_wh == 0:
            end -= 1
    kinds = [Kind.CHARGING] * end + [Kind.IDLE] * (len(rises) - end)
    return tuple(
        Period(rise.begin_us, rise.end_us, rise.energy_wh, kind)
        for rise, kind in zip(rises, kinds, strict=True)
    )


def _together(rises: Iterator[_Rise]) -> Iterator[_Rise]:
    """Rises of less than `PERIOD_S_MIN` as one, unless one delivers and the other does not."""
    pending: _Rise | None = None
    for rise in rises:
        if pending is None:
            pending = rise
        elif pending.end_us - pending.begin_us < PERIOD_S_MIN * US_PER_S and (pending.energy_wh == 0) == (
            rise.energy_wh == 0
        ):
            energy_wh = pending.energy_wh + rise.energy_wh
            pending = _Rise(pending.begin_us, rise.end_us, energy_wh, pending.is_reset or rise.is_reset)
        else:
            yield pending
            pending = rise
    if pending is not None:
        yield pending


def _rises(readings: Sequence[Reading]) -> Iterator[_Rise]:
    for low, high in pairwise(_without_glitches(readings)):
        energy_wh = high.register_wh - low.register_wh
        is_reset = False
        if energy_wh < 0:
            rollover_wh = _rollover(low, high)
            energy_wh, is_reset = rollover_wh or 0, rollover_wh is None
        yield _Rise(low.at_us, high.at_us, energy_wh, is_reset)


def _rollover(low: Reading, high: Reading) -> int | None:
    """The energy of a rollover between the two, or None where it was none."""
    if high.register_wh < 0:  # no register shows that: there is a fault, and no count to go on from
        return None
    possible_wh = max(_ROLLOVER_WH_MIN, _POWER_W_MAX * (high.at_us - low.at_us) // _US_PER_H)
    for size_wh in ROLLOVERS_WH:
        energy_wh = size_wh - low.register_wh + high.register_wh
        if low.register_wh < size_wh and energy_wh <= min(possible_wh, size_wh // _ROLLOVER_SHARE):
            return energy_wh
    return None


def _without_glitches(readings: Sequence[Reading]) -> list[Reading]:
    """The first and the last reading always stay."""
    kept = list(readings[:1])
    index = 1
    while index < len(readings):
        reading = readings[index]
        if reading.register_wh < kept[-1].register_wh:
            back = _made_good(readings, index, kept[-1].register_wh)
            if back is not None:
                index = back
                continue
            _take_back(kept, reading.register_wh)
        kept.append(reading)
        index += 1
    return kept


def _made_good(readings: Sequence[Reading], index: int, peak_wh: int) -> int | None:
    """The index of the reading that jumps back to `peak_wh` after the fall at `index`."""
    jump_wh = (peak_wh - readings[index].register_wh) / 2
    for later in range(index + 1, min(index + 1 + GLITCH_READINGS_MAX, len(readings))):
        value_wh = readings[later].register_wh
        if value_wh >= peak_wh:
            return later if value_wh - readings[later - 1].register_wh >= jump_wh else None
    return None


def _take_back(kept: list[Reading], value_wh: int) -> None:
    """Remove what a jump added if `value_wh` continues from before that jump."""
    jump_wh = (kept[-1].register_wh - value_wh) / 2
    for earlier in range(len(kept) - 2, max(-1, len(kept) - 2 - GLITCH_READINGS_MAX), -1):
        if kept[earlier].register_wh <= value_wh:
            if kept[earlier + 1].register_wh - kept[earlier].register_wh >= jump_wh:
                del kept[earlier + 1 :]
            return
