"""`rate`: a session's usage and a tariff to the lines of its price.

The rules, after OCPI 2.2.1 (module Tariffs, "step_size" and "PriceComponent"):

1. A period is cut wherever a restriction begins or ceases to hold; its energy flows evenly over its time.
2. For each piece and dimension the first element counts that has a price and whose restrictions hold.
   The flat fee is due once, at the first moment at which an element with one holds.
3. A step applies once a session and dimension: the total is rounded up to whole steps of the price that was
   last in use, and the difference is billed at that price. Where idle time is billed, the time of charging
   is not rounded up.
4. Each line (one price of one element) is rounded once, half up, to a whole minor unit.
5. A surcharge is a part of the energy's lines, for what flowed while it held; of several the first counts.
6. A discount is a part of all lines so far, for what was used while it held; of several the first counts.
   Together they are rounded once, half up, and never more than there is to pay.
7. The minimum holds for sessions in which energy flowed, the maximum for all; both before fees and taxes.
8. A fee is taken of the sum of all lines so far, and rounded once, half up.
9. Each tax is taken of the rounded lines, the amounts that a receipt shows, and rounded once, half up. A tax
   on some dimensions only takes its share of what the lines of rules 5 to 8 add or take away.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from fractions import Fraction
from itertools import pairwise

from stream.rating import wall_clock
from stream.rating.charges import Charges, Line
from stream.rating.shares import Held, Portioned, share_lines
from stream.rating.tariff import (
    BASIS_POINTS,
    UNITS,
    Dimension,
    Fee,
    Price,
    Restrictions,
    Share,
    Tariff,
    Tax,
    round_half_up,
)
from stream.rating.usage import US_PER_S, Kind, Period, Usage

_TIME_OF = {Kind.CHARGING: Dimension.TIME, Kind.IDLE: Dimension.IDLE}


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a period in which no restriction changes, with what the session came to before it."""

    at_us: int
    elapsed_us: Fraction
    energy_before_wh: Fraction
    idle_before_us: Fraction
    energy_wh: Fraction
    duration_us: Fraction
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Thresholds:
    """Where restrictions change: moments of time, Wh since the start, microseconds idle."""

    moments_us: frozenset[int]
    energies_wh: frozenset[int]
    idles_us: frozenset[int]


_Key = tuple[Dimension, int]
_Volumes = dict[_Key, Fraction]


def rate(usage: Usage, tariff: Tariff, zone: tzinfo = UTC) -> Charges:
    """Price `usage` by `tariff` on the wall clock of `zone`; the lines sum to the total."""
    portions = _portions(usage, tariff, zone)
    volumes = _with_steps({key: sum(each.values(), Fraction(0)) for key, each in portions.items()}, tariff)
    priced = [Portioned(_line(tariff, *key, volumes[key]), portions[key]) for key in _sorted_keys(volumes)]
    lines = [each.line for each in priced]
    lines += share_lines(priced, tariff)
    lines += _limits(lines, tariff, usage.energy_wh > 0)
    lines += [_fee_line(fee, lines) for fee in tariff.fees]
    return Charges((*lines, *(_tax_line(tax, lines) for tax in tariff.taxes)))


def _sorted_keys(volumes: _Volumes) -> list[_Key]:
    """Return the keys as a receipt lists them: by dimension, then by element."""
    order = list(Dimension)
    return sorted(volumes, key=lambda key: (order.index(key[0]), key[1]))


def _portions(usage: Usage, tariff: Tariff, zone: tzinfo) -> dict[_Key, dict[Held, Fraction]]:
    """How much of each dimension each element prices, by what held; in order of last use."""
    portions: dict[_Key, dict[Held, Fraction]] = {}
    is_fee_due = True
    for piece in _pieces(usage, tariff, zone):
        held = (_first(tariff.surcharges, piece, zone), _first(tariff.discounts, piece, zone))
        for dimension, quantity in _used(piece, is_fee_due=is_fee_due).items():
            index = _active(tariff, dimension, piece, zone) if quantity else None
            if index is None:
                continue
            portion = portions[dimension, index] = portions.pop((dimension, index), {})
            portion[held] = portion.get(held, Fraction(0)) + quantity
            is_fee_due = is_fee_due and dimension is not Dimension.FLAT
    return portions


def _used(piece: _Piece, *, is_fee_due: bool) -> dict[Dimension, Fraction]:
    duration_s = piece.duration_us / US_PER_S
    used = {
        Dimension.ENERGY: piece.energy_wh,
        _TIME_OF[piece.kind]: duration_s,
        Dimension.PARKING: duration_s,
    }
    return {**used, Dimension.FLAT: Fraction(1)} if is_fee_due else used


def _first(shares: Sequence[Share], piece: _Piece, zone: tzinfo) -> int | None:
    return next((index for index, each in enumerate(shares) if _holds(each.restrictions, piece, zone)), None)


def _active(tariff: Tariff, dimension: Dimension, piece: _Piece, zone: tzinfo) -> int | None:
    for index, element in enumerate(tariff.elements):
        if element.price_of(dimension) is not None and _holds(element.restrictions, piece, zone):
            return index
    return None


def _holds(restrictions: Restrictions, piece: _Piece, zone: tzinfo) -> bool:
    counted = (
        (piece.energy_before_wh, restrictions.min_energy_wh, restrictions.max_energy_wh),
        (piece.elapsed_us / US_PER_S, restrictions.min_duration_s, restrictions.max_duration_s),
        (piece.idle_before_us / US_PER_S, restrictions.min_idle_s, restrictions.max_idle_s),
    )
    for value, low, high in counted:
        if (low is not None and value < low) or (high is not None and value >= high):
            return False
    return wall_clock.holds(restrictions, piece.at_us, zone)


def _pieces(usage: Usage, tariff: Tariff, zone: tzinfo) -> Iterator[_Piece]:
    """The session's start, at which a fee may be due, then every period cut at the thresholds in it."""
    nothing = Fraction(0)
    yield _Piece(usage.start_us, nothing, nothing, nothing, nothing, nothing, Kind.CHARGING)
    thresholds = _thresholds(usage, tariff, zone)
    energy_wh, idle_us = nothing, nothing
    for period in usage.periods:
        for low, high in pairwise(_cuts(period, thresholds, energy_wh, idle_us)):
            share = high - low
            is_idle = period.kind is Kind.IDLE
            begin_us = period.start_us + low * period.duration_us
            yield _Piece(
                at_us=int(begin_us),
                elapsed_us=begin_us - usage.start_us,
                energy_before_wh=energy_wh + low * period.energy_wh,
                idle_before_us=idle_us + low * period.duration_us if is_idle else idle_us,
                energy_wh=share * period.energy_wh,
                duration_us=share * period.duration_us,
                kind=period.kind,
            )
        energy_wh += period.energy_wh
        idle_us += period.duration_us if period.kind is Kind.IDLE else 0


def _cuts(period: Period, at: _Thresholds, energy_wh: Fraction, idle_us: Fraction) -> list[Fraction]:
    """Where to cut, as fractions of the period from 0 to 1."""
    start_us, long_us, rise_wh = period.start_us, period.duration_us, period.energy_wh
    cuts = {Fraction(0), Fraction(1)}
    cuts |= {Fraction(each - start_us, long_us) for each in at.moments_us if 0 < each - start_us < long_us}
    cuts |= {(each - energy_wh) / rise_wh for each in at.energies_wh if 0 < each - energy_wh < rise_wh}
    if period.kind is Kind.IDLE:
        cuts |= {(each - idle_us) / long_us for each in at.idles_us if 0 < each - idle_us < long_us}
    return sorted(cuts)


def _thresholds(usage: Usage, tariff: Tariff, zone: tzinfo) -> _Thresholds:
    restrictions = tariff.restrictions
    moments = wall_clock.changes(restrictions, usage.start_us, usage.end_us, zone)
    durations = [
        each for r in restrictions for each in (r.min_duration_s, r.max_duration_s) if each is not None
    ]
    energies = [each for r in restrictions for each in (r.min_energy_wh, r.max_energy_wh) if each is not None]
    idles = [each for r in restrictions for each in (r.min_idle_s, r.max_idle_s) if each is not None]
    return _Thresholds(
        frozenset(moments | {usage.start_us + each * US_PER_S for each in durations}),
        frozenset(energies),
        frozenset(each * US_PER_S for each in idles),
    )


def _with_steps(volumes: _Volumes, tariff: Tariff) -> _Volumes:
    """Rule 3. The last key of a dimension in `volumes` is the price that was last in use."""
    stepped = dict(volumes)
    for dimension in (Dimension.ENERGY, Dimension.TIME, Dimension.IDLE, Dimension.PARKING):
        keys = [key for key in volumes if key[0] is dimension]
        is_before_idle = dimension is Dimension.TIME and any(key[0] is Dimension.IDLE for key in volumes)
        step = _price(tariff, *keys[-1]).step if keys else 0
        if step and not is_before_idle:
            total = sum((volumes[key] for key in keys), Fraction(0))
            stepped[keys[-1]] += -(-total // step) * step - total
    return stepped


def _price(tariff: Tariff, dimension: Dimension, index: int) -> Price:
    price = tariff.elements[index].price_of(dimension)
    assert price is not None
    return price


def _line(tariff: Tariff, dimension: Dimension, index: int, quantity: Fraction) -> Line:
    price = _price(tariff, dimension, index)
    amount_minor = round_half_up(quantity * price.per_unit_minor)
    name = f"elements[{index}]"
    return Line(dimension, name, quantity, UNITS[dimension], price.price_minor, price.per, amount_minor)


def _limits(lines: list[Line], tariff: Tariff, is_used: bool) -> list[Line]:
    """Rule 7: the line that lifts the net price to the minimum, or lowers it to the maximum."""
    net_minor = sum(line.amount_minor for line in lines)
    low, high = tariff.min_price_minor, tariff.max_price_minor
    if low is not None and is_used and net_minor < low:
        name, limit_minor = "minimum", low
    elif high is not None and net_minor > high:
        name, limit_minor = "maximum", high
    else:
        return []
    price = Fraction(limit_minor)
    return [Line(name, "", Fraction(1), "session", price, "session", limit_minor - net_minor)]


def _fee_line(fee: Fee, lines: list[Line]) -> Line:
    """Rule 8."""
    base = Fraction(sum(line.amount_minor for line in lines))
    amount_minor = round_half_up(base * fee.basis_points / BASIS_POINTS)
    return Line("fee", fee.name, base, "minor", Fraction(fee.basis_points), "basis_points", amount_minor)


def _tax_line(tax: Tax, lines: list[Line]) -> Line:
    """Rule 9. Where nothing but the minimum is to pay, a tax on some dimensions takes nothing of it."""
    net_minor = sum(line.amount_minor for line in lines)
    base = Fraction(net_minor)
    if tax.dimensions:
        before_minor = sum(line.amount_minor for line in lines if line.component in set(Dimension))
        of_minor = sum(line.amount_minor for line in lines if line.component in tax.dimensions)
        base = Fraction(of_minor * net_minor, before_minor) if before_minor else Fraction(0)
    amount_minor = round_half_up(base * tax.basis_points / BASIS_POINTS)
    return Line("tax", tax.name, base, "minor", Fraction(tax.basis_points), "basis_points", amount_minor)
