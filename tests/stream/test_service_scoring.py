"""The score of technicians: bounds, what raises it, and an order that is always the same."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.geography import distance_m
from stream.service.scoring import Candidate, Need, Point, has_skill, nearness, point_of, rank, score

BANGALORE, MYSORE, DELHI = Point(12.9716, 77.5946), Point(12.2958, 76.6394), Point(28.6139, 77.2090)
TECH = Candidate(1, "Bangalore Central", None, ["battery_maintenance", "electrical"], 4.5, 3, 2, 5)

points = st.builds(Point, st.floats(-90, 90, allow_nan=False), st.floats(-180, 180, allow_nan=False))
places = st.lists(st.sampled_from(["Bangalore", "Central", "East", "Mysore", "Road"]), max_size=4).map(
    " ".join
)
skills = st.lists(st.sampled_from(["battery_maintenance", "electrical", "mechanical"]), max_size=3)
candidates = st.builds(
    Candidate,
    st.integers(1, 50),
    places,
    st.none() | points,
    skills,
    st.floats(0, 5),
    st.floats(0, 60),
    st.integers(0, 12),
    st.integers(1, 10),
)
needs = st.builds(Need, st.none() | places, st.none() | points, st.none() | st.sampled_from(["electrical"]))


def test_the_weights_are_those_of_the_plan() -> None:
    need = Need("Bangalore Central", None, "electrical")
    best = replace(TECH, rating=5, experience_years=10, load=0)
    assert score(best, need) == 100
    assert score(replace(best, location="Delhi"), need) == 70
    assert score(replace(best, skills=[]), need) == 70
    assert score(replace(best, rating=0), need) == 80
    assert score(replace(best, experience_years=0), need) == 90
    assert score(replace(best, load=5), need) == 90
    # 30 + 30 + 20 * 4.5 / 5 + 10 * 3 / 10 + 10 * 3 / 5
    assert score(TECH, need) == 87


@pytest.mark.parametrize(
    ("asked", "share"),
    [
        ("Bangalore", 1),
        ("bangalore, CENTRAL", 1),
        ("Bangalore-East", 0.5),
        ("Mysore", 0),
        ("Bang", 0),
        ("", 1),
        (" - ", 1),
    ],
)
def test_places_are_matched_by_their_words(asked: str, share: float) -> None:
    assert nearness(TECH, Need(asked)) == share


def test_distance_counts_where_both_have_coordinates() -> None:
    here = replace(TECH, point=BANGALORE)
    assert nearness(here, Need("Mysore", BANGALORE)) == 1
    assert nearness(here, Need("Bangalore", MYSORE)) == 0
    assert nearness(here, Need(None, Point(12.9716 + 5 / 111.2, 77.5946))) == pytest.approx(1, abs=0.01)
    assert nearness(here, Need(None, Point(12.9716 + 27.5 / 111.2, 77.5946))) == pytest.approx(0.5, abs=0.01)
    assert nearness(TECH, Need("Bangalore", DELHI)) == 1  # no coordinates of the technician: the words
    assert nearness(TECH, Need(None, DELHI)) == 0  # and none of the place


def test_texts_that_are_points() -> None:
    assert point_of("12.9716, 77.5946") == BANGALORE
    assert point_of("-26,28") == Point(-26, 28)
    for text in ("Bangalore", "91, 0", "0, 181", "1,2,3", "", "12.9716 77.5946", "1e5,2"):
        assert point_of(text) is None


def test_skills_are_compared_without_spelling() -> None:
    assert has_skill(["Battery maintenance"], "battery_maintenance")
    assert not has_skill(["battery"], "battery_maintenance")


@given(candidates, needs)
def test_a_score_is_between_0_and_100_with_one_decimal(candidate: Candidate, need: Need) -> None:
    found = score(candidate, need)
    assert 0 <= found <= 100
    assert found == round(found, 1)


@given(candidates, needs, st.floats(0, 5), st.floats(0, 60), st.integers(0, 12))
def test_each_input_moves_it_one_way_only(
    candidate: Candidate, need: Need, rating: float, years: float, load: int
) -> None:
    def falls(less: Candidate, more: Candidate) -> bool:
        return score(less, need) > score(more, need)

    low, high = sorted((candidate.rating, rating))
    assert not falls(replace(candidate, rating=low), replace(candidate, rating=high))
    low, high = sorted((candidate.experience_years, years))
    assert not falls(replace(candidate, experience_years=low), replace(candidate, experience_years=high))
    few, many = sorted((candidate.load, load))
    assert not falls(replace(candidate, load=many), replace(candidate, load=few))
    assert not falls(candidate, replace(candidate, skills=[*candidate.skills, "electrical"]))
    there = replace(candidate, location=f"{candidate.location} {need.location or ''}")
    assert not falls(candidate, there)


@given(candidates, points, points, points)
def test_nearer_is_never_worse(candidate: Candidate, here: Point, one: Point, other: Point) -> None:
    def away(point: Point) -> float:
        return distance_m(here.latitude, here.longitude, point.latitude, point.longitude)

    near, far = sorted((one, other), key=away)
    need = Need(None, here)
    assert score(replace(candidate, point=near), need) >= score(replace(candidate, point=far), need)


@given(st.lists(candidates, max_size=8, unique_by=lambda each: each.id), needs, st.randoms())
def test_the_order_depends_on_nothing_but_the_candidates(
    listed: list[Candidate], need: Need, random: Random
) -> None:
    shuffled = list(listed)
    random.shuffle(shuffled)
    found = rank(listed, need)
    assert found == rank(shuffled, need)
    assert len(found) == len(listed)
    load = {each.id: each.load for each in listed}
    keys = [(-each.score, load[each.id], each.id) for each in found]
    assert keys == sorted(keys)
