"""EV-CMS reviews of stations, as admins see them."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field

from api.evcms.envelope import Maybe, Named, Out, Page, Time
from api.fields import Storable
from storage.queries.reviews import Review

ReviewStatus = Literal["pending", "approved", "rejected"]


class ReviewOut(Out):
    """What a driver said of a station after a booking; `rating` is 1 to 5. Rejected ones do not count."""

    id: str
    booking_id: str
    user_id: str
    user_name: str
    station_id: str
    station_name: str
    rating: int
    comment: str
    images: list[str]
    status: ReviewStatus
    reason: Maybe[str]
    created_at: Time

    @classmethod
    def of(cls, review: Review) -> Self:
        """Show `review`."""
        return cls.model_validate(
            {
                "id": str(review.id),
                "booking_id": str(review.booking_id),
                "user_id": str(review.user_id),
                "user_name": review.user_name,
                "station_id": str(review.station_id),
                "station_name": review.station_name,
                "rating": review.score,
                "comment": review.review,
                "images": review.images,
                "status": review.status,
                "reason": review.reason,
                "created_at": review.created_at,
            }
        )


class NamedReview(ReviewOut, Named):
    """`data` of an answer about one review."""

    review: ReviewOut


class ReviewPage(Page[ReviewOut]):
    """One page of reviews, newest first."""

    reviews: list[ReviewOut]


class ModerateIn(BaseModel):
    """`reason` is kept with a rejection."""

    status: Literal["approved", "rejected"]
    reason: Annotated[str, Field(max_length=1_000), Storable] | None = None
