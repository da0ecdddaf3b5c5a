"""EV-CMS reviews (EV-109, EV-110): what counts in a station's rating, and moderation."""

import asyncio
from typing import Any

import httpx
import pytest

from storage.database import Pool
from storage.errors import AlreadyExistsError
from storage.queries import reviews
from tests.api.evcms.places_scene import actions, book, get_station, make_station
from tests.api.helpers import Clock, Person

URL = "/api/v1/admin/reviews"


async def review(pool: Pool, clock: Clock, booking: tuple[int, str], user: Person, score: int) -> int:
    booking_id, station_id = booking
    async with pool.connection() as db:
        return await reviews.insert_review(
            db,
            booking_id=booking_id,
            user_id=user.id,
            station_id=int(station_id),
            score=score,
            review="Good",
            images=["/uploads/station/a.jpg"],
            now=clock.moment(),
        )


async def bookings(
    pool: Pool, clock: Clock, station_id: str, user: Person, count: int
) -> list[tuple[int, str]]:
    made = [await book(pool, station_id, user.id, clock.moment(), status="completed") for _ in range(count)]
    return [(booking_id, station_id) for booking_id in made]


async def moderate(api: httpx.AsyncClient, person: Person, id_: Any, **body: Any) -> httpx.Response:
    return await api.put(f"{URL}/{id_}/moderate", json=body, headers=person.headers)


async def rating(api: httpx.AsyncClient, person: Person, station_id: str) -> tuple[float, int]:
    station = await get_station(api, person, station_id)
    return station["rating"], station["totalReviews"]


async def test_rejected_reviews_do_not_count(
    api: httpx.AsyncClient, brand: Person, driver: Person, admin: Person, pool: Pool, clock: Clock
) -> None:
    station_id = (await make_station(api, brand))["id"]
    made = await bookings(pool, clock, station_id, driver, 3)
    ids = [
        await review(pool, clock, each, driver, score) for each, score in zip(made, (5, 4, 1), strict=True)
    ]
    assert await rating(api, driver, station_id) == (3.33, 3)
    rejected = await moderate(api, admin, ids[2], status="rejected", reason="Abuse")
    data = rejected.json()["data"]
    shown = data.pop("review")
    assert data == shown
    assert (shown["status"], shown["reason"], shown["rating"], shown["comment"]) == (
        "rejected", "Abuse", 1, "Good",
    )  # fmt: skip
    assert await rating(api, driver, station_id) == (4.5, 2)
    again = (await moderate(api, admin, ids[2], status="approved", reason="ignored")).json()["data"]
    assert "reason" not in again
    assert await rating(api, driver, station_id) == (3.33, 3)
    for id_ in ids:
        await moderate(api, admin, id_, status="rejected")
    assert await rating(api, driver, station_id) == (0, 0)
    assert await actions(pool, f"review:{ids[2]}") == ["review.moderate"] * 3


async def test_a_booking_has_one_review(
    api: httpx.AsyncClient, brand: Person, driver: Person, pool: Pool, clock: Clock
) -> None:
    station_id = (await make_station(api, brand))["id"]
    (booking,) = await bookings(pool, clock, station_id, driver, 1)
    await review(pool, clock, booking, driver, 5)
    with pytest.raises(AlreadyExistsError, match="has a review"):
        await review(pool, clock, booking, driver, 1)
    assert await rating(api, driver, station_id) == (5, 1)


async def test_reviews_at_once_are_all_counted(
    api: httpx.AsyncClient, brand: Person, driver: Person, pool: Pool, clock: Clock
) -> None:
    station_id = (await make_station(api, brand))["id"]
    made = await bookings(pool, clock, station_id, driver, 10)
    await asyncio.gather(*(review(pool, clock, each, driver, 1 + n % 5) for n, each in enumerate(made)))
    assert await rating(api, driver, station_id) == (3, 10)


async def test_the_list(
    api: httpx.AsyncClient, brand: Person, driver: Person, admin: Person, pool: Pool, clock: Clock
) -> None:
    station = await make_station(api, brand)
    made = await bookings(pool, clock, station["id"], driver, 3)
    ids = [
        await review(pool, clock, each, driver, score) for each, score in zip(made, (5, 2, 5), strict=True)
    ]
    body = (await api.get(URL, headers=admin.headers)).json()
    assert body["reviews"] == body["data"]
    assert [each["id"] for each in body["data"]] == [str(id_) for id_ in reversed(ids)]
    assert body["data"][0] == {
        "id": str(ids[2]),
        "bookingId": str(made[2][0]),
        "userId": str(driver.id),
        "userName": "user",
        "stationId": station["id"],
        "stationName": station["name"],
        "rating": 5,
        "comment": "Good",
        "images": ["/uploads/station/a.jpg"],
        "status": "pending",
        "createdAt": body["data"][0]["createdAt"],
    }
    filtered = await api.get(URL, params={"rating": 5, "limit": 1}, headers=admin.headers)
    assert filtered.json()["pagination"] == {
        "total": 2, "page": 1, "limit": 1, "totalPages": 2, "hasNext": True, "hasPrev": False,
    }  # fmt: skip
    for wrong in ("0", "6", "x"):
        assert (await api.get(URL, params={"rating": wrong}, headers=admin.headers)).status_code == 422


async def test_only_admins_and_only_what_is_there(
    api: httpx.AsyncClient, brand: Person, driver: Person, admin: Person
) -> None:
    for person in (brand, driver):
        assert (await api.get(URL, headers=person.headers)).status_code == 403
        assert (await moderate(api, person, 1, status="approved")).status_code == 403
    for id_ in ("1", "x", "9" * 40):
        assert (await moderate(api, admin, id_, status="approved")).status_code == 404
    for body in ({}, {"status": "pending"}, {"status": "rejected", "reason": "a\0"}):
        assert (await api.put(f"{URL}/1/moderate", json=body, headers=admin.headers)).status_code == 422
