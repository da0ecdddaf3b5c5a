"""What a session used: periods of time with their energy; used by `stream.rating.price` and settlement."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from stream.rating.tariff import RatingError

US_PER_S = 1_000_000
# A bound on the work: what is longer has a clock that is wrong.
DAYS_MAX = 800


class Kind(StrEnum):
    """Charging, or idle: energy has stopped for good, and the vehicle still stands there."""

    CHARGING = "charging"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Period:
    """From `start_us` to `end_us` (microseconds since 1970 UTC). Its energy is taken to flow evenly."""

    start_us: int
    end_us: int
    energy_wh: int | Fraction
    kind: Kind = Kind.CHARGING

    @property
    def duration_us(self) -> int:
        """May be 0: energy that came at one moment, as far as anybody knows."""
        return self.end_us - self.start_us


@dataclass(frozen=True, slots=True)
class Usage:
    """A session's periods, in order of time. A gap between two costs nothing."""

    start_us: int
    periods: tuple[Period, ...] = ()

    def __post_init__(self) -> None:
        end_us = self.start_us
        for period in self.periods:
            if period.energy_wh < 0:
                raise RatingError(
                    f"cannot rate a period with energy_wh of {period.energy_wh}: it is negative"
                )
            if period.start_us < end_us or period.duration_us < 0:
                raise RatingError(
                    f"cannot rate a period from {period.start_us} to {period.end_us} us: the one before it"
                    f" ends at {end_us} us"
                )
            end_us = period.end_us
        if end_us - self.start_us > DAYS_MAX * 86_400 * US_PER_S:
            raise RatingError(f"cannot rate a session of more than {DAYS_MAX} days: its clock is wrong")

    @property
    def end_us(self) -> int:
        """The end of the last period."""
        return self.periods[-1].end_us if self.periods else self.start_us

    @property
    def energy_wh(self) -> Fraction:
        """The sum over all periods."""
        return sum((Fraction(period.energy_wh) for period in self.periods), Fraction(0))

    def duration_us(self, kind: Kind) -> int:
        """The sum over the periods of this kind."""
        return sum(period.duration_us for period in self.periods if period.kind is kind)
