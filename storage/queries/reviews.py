"""What drivers say of stations, one review a booking; a station's rating is the mean of those that count.

Written when a booking is completed; listed and moderated by admins. A review counts unless it is rejected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True)
class Review:
    """`score`: 1 to 5; `status`: pending, approved or rejected; `reason`: why it was rejected."""

    id: int
    booking_id: int
    user_id: int
    user_name: str
    station_id: int
    station_name: str
    score: int
    review: str
    images: list[str]
    status: str
    reason: str | None
    moderated_by: int | None
    created_at: datetime


# Two reviews of one station at once: the second counts after the first is committed.
_LOCK_STATION = "SELECT id FROM stations WHERE id = %(station_id)s FOR NO KEY UPDATE"

_INSERT = """
INSERT INTO reviews (booking_id, user_id, station_id, score, review, images, created_at)
VALUES (%(booking_id)s, %(user_id)s, %(station_id)s, %(score)s, %(review)s, %(images)s, %(now)s)
ON CONFLICT (booking_id) DO NOTHING
RETURNING id
"""

_COUNT_AGAIN = """
UPDATE stations SET rating = coalesce(counted.mean, 0), total_reviews = counted.number
FROM (SELECT round(avg(score), 2) AS mean, count(*)::integer AS number FROM reviews
      WHERE station_id = %(station_id)s AND status <> 'rejected') AS counted
WHERE stations.id = %(station_id)s
"""

_SELECT = """
SELECT reviews.id, booking_id, user_id, users.name AS user_name, station_id, stations.name AS station_name,
       score, review, reviews.images, reviews.status, reason, moderated_by, reviews.created_at
FROM reviews JOIN users ON users.id = user_id JOIN stations ON stations.id = station_id
"""

_GET = _SELECT + "WHERE reviews.id = %(id)s"

_FILTER = "WHERE (%(score)s::smallint IS NULL OR score = %(score)s)"

_LIST = _SELECT + _FILTER + " ORDER BY reviews.id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*) FROM reviews " + _FILTER

_MODERATE = """
UPDATE reviews SET status = %(status)s, reason = %(reason)s, moderated_by = %(moderated_by)s
WHERE id = %(id)s
"""


async def insert_review(
    connection: Connection,
    *,
    booking_id: int,
    user_id: int,
    station_id: int,
    score: int,
    review: str,
    images: Sequence[str],
    now: datetime,
) -> int:
    """Keep a review and count the station's rating again; returns the review's id.

    `score`: 1 to 5. Raises `AlreadyExistsError` where the booking has a review.
    """
    await connection.execute(_LOCK_STATION, {"station_id": station_id})
    facts = {"booking_id": booking_id, "user_id": user_id, "station_id": station_id, "score": score}
    review_id = await fetch_value(
        connection, _INSERT, {**facts, "review": review, "images": list(images), "now": now}
    )
    if review_id is None:
        raise AlreadyExistsError(f"booking {booking_id} has a review already")
    await connection.execute(_COUNT_AGAIN, {"station_id": station_id})
    return int(review_id)


async def get_review(connection: Connection, review_id: int) -> Review | None:
    """Return the review, or None."""
    return await fetch_one(connection, Review, _GET, {"id": review_id})


async def list_reviews(
    connection: Connection, *, score: int | None = None, limit: int, offset: int = 0
) -> tuple[list[Review], int]:
    """Return one page, newest first, and how many there are in all."""
    where = {"score": score}
    page = await fetch_all(connection, Review, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def moderate(
    connection: Connection, review: Review, *, status: str, reason: str | None, moderated_by: int
) -> None:
    """Approve or reject a review and count its station's rating again."""
    await connection.execute(_LOCK_STATION, {"station_id": review.station_id})
    decision = {"status": status, "reason": reason, "moderated_by": moderated_by}
    await connection.execute(_MODERATE, {**decision, "id": review.id})
    await connection.execute(_COUNT_AGAIN, {"station_id": review.station_id})
