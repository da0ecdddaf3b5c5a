"""Distances on the sphere, and boxes that hold every point of a circle."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.geography import EARTH_RADIUS_M, Box, boxes_around, distance_m

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
RADIUS_MAX_M = 100_000


def holds(box: Box, latitude: float, longitude: float) -> bool:
    return box.west <= longitude <= box.east and box.south <= latitude <= box.north


def destination(latitude: float, longitude: float, bearing: float, metres: float) -> tuple[float, float]:
    """Where one is after `metres` along a great circle; degrees."""
    angle, north = metres / EARTH_RADIUS_M, math.radians(latitude)
    sine = math.sin(north) * math.cos(angle) + math.cos(north) * math.sin(angle) * math.cos(bearing)
    there = math.asin(max(-1.0, min(1.0, sine)))
    turn = math.atan2(
        math.sin(bearing) * math.sin(angle) * math.cos(north),
        math.cos(angle) - math.sin(north) * math.sin(there),
    )
    east = (longitude + math.degrees(turn) + 540) % 360 - 180
    return math.degrees(there), east


@pytest.mark.parametrize(
    ("a", "b", "metres"),
    [
        ((0, 0), (0, 0), 0),
        ((0, 0), (0, 180), math.pi * EARTH_RADIUS_M),
        ((90, 0), (-90, 77), math.pi * EARTH_RADIUS_M),
        ((0, 179.5), (0, -179.5), math.radians(1) * EARTH_RADIUS_M),
        ((28.6139, 77.2090), (19.0760, 72.8777), 1_148_100),  # Delhi to Mumbai
    ],
)
def test_known_distances(a: tuple[float, float], b: tuple[float, float], metres: float) -> None:
    assert distance_m(*a, *b) == pytest.approx(metres, rel=1e-4, abs=1e-6)
    assert distance_m(*b, *a) == pytest.approx(distance_m(*a, *b))


@given(latitudes, longitudes, st.floats(0, 2 * math.pi), st.floats(0.001, RADIUS_MAX_M), st.floats(0, 1))
def test_boxes_hold_the_whole_circle(
    latitude: float, longitude: float, bearing: float, radius: float, share: float
) -> None:
    there = destination(latitude, longitude, bearing, radius * share)
    assert any(holds(box, *there) for box in boxes_around(latitude, longitude, radius))


@given(latitudes, longitudes, st.floats(0.001, RADIUS_MAX_M))
def test_boxes_are_within_the_world(latitude: float, longitude: float, radius: float) -> None:
    boxes = boxes_around(latitude, longitude, radius)
    assert 1 <= len(boxes) <= 2
    for box in boxes:
        assert -180 <= box.west <= box.east <= 180
        assert -90 <= box.south <= box.north <= 90


@given(st.floats(-60, 60), longitudes, st.floats(1, RADIUS_MAX_M))
def test_boxes_are_not_much_larger_than_the_circle(latitude: float, longitude: float, radius: float) -> None:
    for box in boxes_around(latitude, longitude, radius):
        assert math.radians(box.north - box.south) * EARTH_RADIUS_M < 2.01 * radius + 10
        width = math.radians(box.east - box.west) * math.cos(math.radians(latitude))
        assert width * EARTH_RADIUS_M < 2.2 * radius + 10
