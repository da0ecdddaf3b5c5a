"""What a technician is beside the account: where, what for, how good; used by accounts and assignment."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TypedDict, Unpack

from storage.database import Connection, fetch_all, fetch_one


@dataclass(frozen=True, slots=True)
class TechnicianProfile:
    """`dealer_id` None: works for every dealer. Degrees of WGS 84; `rating` of 0 to 5.

    `status`: available, busy or off_duty; `load_max`: of tickets at a time; `ratings`: how many were given.
    """

    user_id: int
    dealer_id: int | None
    location: str
    latitude: float | None
    longitude: float | None
    skills: list[str]
    rating: Decimal
    ratings: int
    experience_years: Decimal
    status: str
    load_max: int


class ProfileFacts(TypedDict):
    """What may be entered of a technician."""

    dealer_id: int | None
    location: str
    latitude: float | None
    longitude: float | None
    skills: list[str]
    rating: Decimal
    experience_years: Decimal
    status: str
    load_max: int


DEFAULTS: ProfileFacts = {
    "dealer_id": None,
    "location": "",
    "latitude": None,
    "longitude": None,
    "skills": [],
    "rating": Decimal(0),
    "experience_years": Decimal(0),
    "status": "available",
    "load_max": 5,
}

_SELECT = """
SELECT user_id, dealer_id, location, latitude, longitude, skills, rating, ratings, experience_years, status,
       load_max
FROM technicians
"""

_LIST = _SELECT + "WHERE user_id = ANY(%(ids)s)"

_LOCK = _SELECT + "WHERE user_id = %(user_id)s FOR NO KEY UPDATE"

_PUT = """
INSERT INTO technicians (user_id, dealer_id, location, latitude, longitude, skills, rating, experience_years,
                         status, load_max)
VALUES (%(user_id)s, %(dealer_id)s, %(location)s, %(latitude)s, %(longitude)s, %(skills)s, %(rating)s,
        %(experience_years)s, %(status)s, %(load_max)s)
ON CONFLICT (user_id) DO UPDATE
SET dealer_id = EXCLUDED.dealer_id, location = EXCLUDED.location, latitude = EXCLUDED.latitude,
    longitude = EXCLUDED.longitude, skills = EXCLUDED.skills, rating = EXCLUDED.rating,
    experience_years = EXCLUDED.experience_years, status = EXCLUDED.status, load_max = EXCLUDED.load_max
"""


async def put_profile(connection: Connection, user_id: int, **facts: Unpack[ProfileFacts]) -> None:
    """Enter a technician's profile, or put this one in its place; what tickets gave of ratings stays."""
    await connection.execute(_PUT, {"user_id": user_id, **facts})


async def profiles_of(connection: Connection, user_ids: list[int]) -> dict[int, TechnicianProfile]:
    """Return the profiles of those of the accounts that have one, by account."""
    found = await fetch_all(connection, TechnicianProfile, _LIST, {"ids": user_ids})
    return {profile.user_id: profile for profile in found}


async def lock_profile(connection: Connection, user_id: int) -> TechnicianProfile | None:
    """Return the profile, held until commit, or None."""
    return await fetch_one(connection, TechnicianProfile, _LOCK, {"user_id": user_id})


def facts_of(profile: TechnicianProfile) -> ProfileFacts:
    """Return what was entered of a technician, to change some of it."""
    return {
        "dealer_id": profile.dealer_id,
        "location": profile.location,
        "latitude": profile.latitude,
        "longitude": profile.longitude,
        "skills": profile.skills,
        "rating": profile.rating,
        "experience_years": profile.experience_years,
        "status": profile.status,
        "load_max": profile.load_max,
    }
