"""EV-CMS reviews and their moderation: /api/v1/admin/reviews (EV-109, EV-110)."""

from typing import Annotated

from fastapi import Depends, Query

from api.context import Ctx, Db
from api.errors import not_found
from api.evcms.audit import audit
from api.evcms.callers import Admin
from api.evcms.envelope import Answer, Id, Paging
from api.evcms.schemas.reviews import ModerateIn, NamedReview, ReviewOut, ReviewPage
from api.fields import parse_id
from api.routing import Router
from storage.database import Connection
from storage.queries import reviews
from storage.queries.reviews import Review

router = Router(prefix="/admin/reviews")


@router.get("")
async def list_reviews(
    caller: Admin,
    db: Db,
    paging: Annotated[Paging, Depends()],
    rating: Annotated[int | None, Query(ge=1, le=5)] = None,
) -> ReviewPage:
    """List reviews of stations, newest first."""
    found, total = await reviews.list_reviews(db, score=rating, limit=paging.limit, offset=paging.offset)
    rows = [ReviewOut.of(review) for review in found]
    return ReviewPage(success=True, data=rows, reviews=rows, pagination=paging.of(total))


@router.put("/{id}/moderate")
async def moderate(
    review_id: Id, body: ModerateIn, caller: Admin, context: Ctx, db: Db
) -> Answer[NamedReview]:
    """Approve or reject a review; a rejected one no longer counts in its station's rating."""
    review = await _review_of(db, review_id)
    reason = body.reason if body.status == "rejected" else None
    await reviews.moderate(db, review, status=body.status, reason=reason, moderated_by=caller.id)
    detail = {"status": body.status, "before": review.status, "reason": reason}
    await audit(db, caller, context.now(), "review.moderate", review.id, detail)
    return Answer.of(NamedReview.around(ReviewOut.of(await _review_of(db, review_id))))


async def _review_of(db: Connection, reference: str) -> Review:
    review_id = parse_id(reference)
    review = None if review_id is None else await reviews.get_review(db, review_id)
    if review is None:
        raise not_found("Review", f"No review has the id {reference}")
    return review
