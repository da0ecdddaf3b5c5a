"""Distances on the earth, taken as a sphere, and boxes that hold a circle; used to search for stations."""

from dataclasses import dataclass
from math import asin, cos, degrees, pi, radians, sin, sqrt

EARTH_RADIUS_M = 6_371_008.8  # mean radius (IUGG); storage.queries.places has the same one
# A box is this much larger on each side than it would have to be: about 1 m at the equator.
SLACK_DEG = 1e-5


@dataclass(frozen=True, slots=True)
class Box:
    """Degrees; west is never east of east: what crosses the 180th meridian is two boxes."""

    west: float
    south: float
    east: float
    north: float


def distance_m(latitude_a: float, longitude_a: float, latitude_b: float, longitude_b: float) -> float:
    """Return the great-circle distance in metres by the haversine formula; arguments in degrees."""
    south, north = radians(latitude_a), radians(latitude_b)
    across = radians(longitude_b - longitude_a)
    haversine = sin((north - south) / 2) ** 2 + cos(south) * cos(north) * sin(across / 2) ** 2
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(haversine)))


def boxes_around(latitude: float, longitude: float, radius_m: float) -> list[Box]:
    """Return one or two boxes that hold all points within `radius_m` of a point; degrees.

    A circle that holds a pole reaches every longitude. Others reach furthest east and west nearer to the
    pole than their centre is: asin(sin(radius) / cos(latitude)) away.
    """
    angle = radius_m / EARTH_RADIUS_M
    south = latitude - degrees(angle) - SLACK_DEG
    north = latitude + degrees(angle) + SLACK_DEG
    if south <= -90 or north >= 90 or angle >= pi / 2:
        return [Box(-180, max(south, -90), 180, min(north, 90))]
    reach = degrees(asin(min(1.0, sin(angle) / cos(radians(latitude))))) + SLACK_DEG
    west, east = longitude - reach, longitude + reach
    if west < -180:
        return [Box(-180, south, east, north), Box(west + 360, south, 180, north)]
    if east > 180:
        return [Box(west, south, 180, north), Box(-180, south, east - 360, north)]
    return [Box(west, south, east, north)]
