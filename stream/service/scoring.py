"""Which technician suits a ticket best: a pure function, used by `stream.service.tickets` and the API.

A score is 0 to 100 with one decimal, the sum of five shares of their weights (conflict C76):

- location, 30: where both have coordinates 1 within 5 km, falling evenly to 0 at 50 km; else the share of the
  words asked for that are among the technician's, so that "Bangalore" finds "Bangalore Central" (rule R118);
- skills, 30: 1 with the skill that is asked for, else 0;
- rating, 20: the rating divided by 5;
- experience, 10: the years divided by 10, 1 at most;
- load, 10: the share of `load_max` that is free.

What nobody asked for is met by everybody. Of equal scores the lower load comes first, then the lower id.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stream.geography import distance_m

LOCATION_WEIGHT = 30
SKILLS_WEIGHT = 30
RATING_WEIGHT = 20
EXPERIENCE_WEIGHT = 10
LOAD_WEIGHT = 10

NEAR_M = 5_000.0
FAR_M = 50_000.0
RATING_MAX = 5
EXPERIENCE_YEARS_MAX = 10

_COORDINATES = re.compile(r"\s*(-?\d{1,2}(?:\.\d{1,12})?)\s*,\s*(-?\d{1,3}(?:\.\d{1,12})?)\s*")


@dataclass(frozen=True, slots=True)
class Point:
    """Degrees, WGS 84."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Need:
    """What a job asks for; None: nothing of that kind."""

    location: str | None = None
    point: Point | None = None
    skill: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A technician as the score sees it: `rating` 0 to 5, `load` jobs in hand of at most `load_max`."""

    id: int
    location: str
    point: Point | None
    skills: Sequence[str]
    rating: float
    experience_years: float
    load: int
    load_max: int


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate's id and its score."""

    id: int
    score: float


def score(candidate: Candidate, need: Need) -> float:
    """Return how well the candidate suits, 0.0 to 100.0 with one decimal."""
    total = (
        LOCATION_WEIGHT * nearness(candidate, need)
        + SKILLS_WEIGHT * (need.skill is None or has_skill(candidate.skills, need.skill))
        + RATING_WEIGHT * _share(candidate.rating, RATING_MAX)
        + EXPERIENCE_WEIGHT * _share(candidate.experience_years, EXPERIENCE_YEARS_MAX)
        + LOAD_WEIGHT * (1 - _share(candidate.load, candidate.load_max))
    )
    return round(total, 1)


def rank(candidates: Iterable[Candidate], need: Need) -> list[Scored]:
    """Return all of them with their scores, the best first, whatever order they came in."""
    by_score = [(-score(each, need), each.load, each.id) for each in candidates]
    return [Scored(id_, -negative) for negative, _, id_ in sorted(by_score)]


def nearness(candidate: Candidate, need: Need) -> float:
    """Return 1 for what is near, 0 for what is far or unknown; 1 where no place is asked for."""
    if need.point is not None and candidate.point is not None:
        here, there = need.point, candidate.point
        away_m = distance_m(here.latitude, here.longitude, there.latitude, there.longitude)
        return 1 - _share(away_m - NEAR_M, FAR_M - NEAR_M)
    asked = words(need.location or "")
    if asked:
        return len(asked & words(candidate.location)) / len(asked)
    return float(need.point is None)


def has_skill(skills: Iterable[str], skill: str) -> bool:
    """Whether the skill is among these, spelled "Battery maintenance" or "battery_maintenance"."""
    return _key(skill) in {_key(each) for each in skills}


def words(text: str) -> frozenset[str]:
    """Return the words of a place's name without regard to case and punctuation."""
    return frozenset(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold()))


def point_of(text: str) -> Point | None:
    """Return the point that a text like "12.9716, 77.5946" names, or None."""
    found = _COORDINATES.fullmatch(text)
    if found is None:
        return None
    point = Point(float(found[1]), float(found[2]))
    return point if abs(point.latitude) <= 90 and abs(point.longitude) <= 180 else None


def _key(skill: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", skill).casefold()))


def _share(value: float, whole: float) -> float:
    return min(1.0, max(0.0, value / whole))
