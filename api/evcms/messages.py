"""EV-CMS messages of a charger: /api/v1/chargers/{id}/messages, an extension of ours."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query

from api.context import Ctx, Db
from api.errors import Problem
from api.evcms.callers import BrandOrAdmin
from api.evcms.charger_access import charger_of
from api.evcms.envelope import Id, Paging
from api.evcms.moments import Moment, end_of, parse_moment
from api.evcms.schemas.messages import DIRECTIONS, DirectionName, MessageOut, MessagePage
from api.fields import OptionalText
from api.routing import Router
from storage.queries import messages

router = Router(prefix="/chargers")

RANGE_DEFAULT = timedelta(days=1)
RANGE_MAX = timedelta(days=31)


class Filters:
    """The query beside `page` and `limit`; `from` to `to` (included) is the last day where left out."""

    def __init__(
        self,
        from_: Annotated[Moment | None, Query(alias="from")] = None,
        to: Moment | None = None,
        action: OptionalText | None = None,
        message_id: Annotated[OptionalText | None, Query(alias="messageId")] = None,
        direction: DirectionName | None = None,
    ) -> None:
        self._from = from_
        self._to = to
        self._action = action or None
        self._message_id = message_id or None
        self._direction = None if direction is None else DIRECTIONS[direction]

    def search(self, device_id: int, now: datetime) -> messages.Search:
        """What to look for; raises 422 where the times do not fit."""
        begin, end = _range(self._from, self._to, now)
        return messages.Search(device_id, begin, end, self._action, self._message_id, self._direction)


@router.get("/{id}/messages")
async def list_messages(
    charger_id: Id,
    caller: BrandOrAdmin,
    context: Ctx,
    db: Db,
    paging: Annotated[Paging, Depends()],
    filters: Annotated[Filters, Depends()],
) -> MessagePage:
    """List the OCPP frames of a charger, newest first.

    `total` counts to 10,000, and pages reach as far: narrow the time for what lies behind.
    """
    view = await charger_of(db, caller, charger_id)
    search = filters.search(view.device_id, context.now())
    found, total = await messages.search_messages(db, search, limit=paging.limit, offset=paging.offset)
    rows = [MessageOut.of(message) for message in found]
    return MessagePage(success=True, data=rows, messages=rows, pagination=paging.of(total))


def _range(from_: str | None, to: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Return the first instant and the one behind the last."""
    end = now if to is None else end_of(to)
    begin = parse_moment(from_) if from_ is not None else _before(end)
    if begin >= end or end - begin > RANGE_MAX:
        details = f"`from` must lie before `to`, at most {RANGE_MAX.days} days"
        raise Problem(422, "Validation failed", details, "VALIDATION_FAILED")
    return begin, end


def _before(end: datetime) -> datetime:
    try:
        return end - RANGE_DEFAULT
    except OverflowError:
        return end
