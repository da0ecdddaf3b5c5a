"""Pages of sessions by number, however far down a large table; used by the lists of the EV-CMS family.

A list is in order of the start, newest first. How many sessions there are, and on which day a page begins,
is read from the sums by month and day (`storage.queries.session_days`); then only the sessions of those days
are walked. A driver's own list is counted and walked directly: one person's sessions are few.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.queries.session_days import OF_OWNER, PLATFORM_TIME_ZONE, SUMS, Sums
from storage.queries.sessions import SESSION_DETAIL, SessionDetail, SessionTotals

# So few rows are walked over sooner than the sums are asked where a page begins.
WALKED_MAX = 1_000
_ZONE = ZoneInfo(PLATFORM_TIME_ZONE)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Span(Sums):
    """Sums of the sessions that started in [lower, upper)."""

    lower: datetime
    upper: datetime

    def counted(self, status: str | None) -> int:
        by_status = {"active": self.active, "completed": self.completed, "failed": self.failed}
        return self.sessions if status is None else by_status[status]


@dataclass(frozen=True, slots=True)
class _Days:
    """Whole days and months in a span of time, and (at most two) pieces of days at its ends."""

    days: tuple[tuple[date, date], ...]
    months: tuple[date, date]
    pieces: tuple[tuple[datetime, datetime], ...]


@dataclass(frozen=True, slots=True)
class _Where:
    """Where a page is: between which starts, and how many rows of these to skip."""

    lower: datetime | None
    upper: datetime | None
    skip: int


# A page needs no more than these.
_COUNTS = """
sum(sessions) AS sessions, sum(completed) AS completed, sum(failed) AS failed, 0 AS rated, 0 AS energy_wh,
0 AS duration_s, 0 AS gst_minor, 0 AS platform_fee_minor, 0 AS total_minor
"""

_MONTHS = """
SELECT month::timestamp AT TIME ZONE 'Asia/Kolkata' AS lower,
       (month + interval '1 month')::timestamp AT TIME ZONE 'Asia/Kolkata' AS upper,
"""
_MONTHS_FROM = " FROM session_months AS counted WHERE month >= %(month_from)s AND month < %(month_to)s"

_DAYS = """
SELECT day::timestamp AT TIME ZONE 'Asia/Kolkata' AS lower,
       (day + 1)::timestamp AT TIME ZONE 'Asia/Kolkata' AS upper,
"""
_DAYS_FROM = """
FROM session_days AS counted
WHERE (day >= %(from_1)s AND day < %(to_1)s OR day >= %(from_2)s AND day < %(to_2)s)
"""
_DAYS_BETWEEN = " FROM session_days AS counted WHERE day >= %(first)s AND day < %(behind)s"

_PIECE = (
    "SELECT %(lower)s::timestamptz AS lower, %(upper)s::timestamptz AS upper,"
    + SUMS
    + "FROM counted_sessions AS counted WHERE started_at >= %(lower)s AND started_at < %(upper)s"
)

_OWNED = " AND device_id IN (SELECT id FROM devices WHERE owner_id = %(owner_id)s)"

_OF_USER = """
FROM sessions
WHERE user_id = %(user_id)s
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(lower)s::timestamptz IS NULL OR started_at >= %(lower)s)
  AND (%(upper)s::timestamptz IS NULL OR started_at < %(upper)s)
"""

_USER_TOTALS = (
    """
SELECT count(*) AS sessions, coalesce(sum(energy_wh), 0)::bigint AS energy_wh,
       coalesce(sum(duration_s), 0)::bigint AS duration_s,
       coalesce(sum(total_minor) FILTER (WHERE currency = 'INR'), 0)::bigint AS total_minor
FROM (SELECT id"""
    + _OF_USER
    + """) AS own
LEFT JOIN latest_cdrs AS cdrs ON cdrs.session_id = own.id
"""
)

_ORDER = " ORDER BY started_at DESC, id DESC LIMIT %(limit)s OFFSET %(skip)s"


async def list_sessions_page(
    connection: Connection,
    *,
    user_id: int | None = None,
    owner_id: int | None = None,
    status: str | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[SessionDetail], int]:
    """Return one page, newest start first, and how many there are in all.

    `owner_id` is the owner of the charger; `from_` and `to` (excluded) bound the start time.
    """
    scope = {"user_id": user_id, "owner_id": owner_id, "status": status}
    where: _Where | None
    if user_id is not None and owner_id is None:
        bounds = {"lower": from_, "upper": to}
        total = int(await fetch_value(connection, "SELECT count(*)" + _OF_USER, {**scope, **bounds}))
        where = _Where(from_, to, offset) if offset < total else None
    else:
        assert user_id is None, "a list is one driver's or one owner's"
        spans = await _spans(connection, owner_id, from_, to, _COUNTS)
        total = sum(span.counted(status) for span in spans)
        where = await _find(connection, scope, spans, offset, limit) if offset < total else None
    if where is None:
        return [], total
    return await _page(connection, scope, where, limit), total


async def session_sums(
    connection: Connection,
    *,
    user_id: int | None = None,
    owner_id: int | None = None,
    status: str | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
) -> SessionTotals:
    """Return sums over the same sessions that `list_sessions_page` pages through; money in INR.

    Only ended sessions have energy, time and money.
    """
    if user_id is not None:
        parameters = {"user_id": user_id, "status": status, "lower": from_, "upper": to}
        totals = await fetch_one(connection, SessionTotals, _USER_TOTALS, parameters)
        assert totals is not None
        return totals
    spans = await _spans(connection, owner_id, from_, to, SUMS)
    sessions = sum(span.counted(status) for span in spans)
    if status in {"active", "failed"}:
        return SessionTotals(sessions, 0, 0, 0)
    return SessionTotals(
        sessions,
        sum(span.energy_wh for span in spans),
        sum(span.duration_s for span in spans),
        sum(span.total_minor for span in spans),
    )


async def _spans(
    connection: Connection,
    owner_id: int | None,
    from_: datetime | None,
    to: datetime | None,
    columns: str,
) -> list[_Span]:
    """Return sums that together are those of [from_, to), newest first."""
    parts = _cut(from_, to)
    days = (*parts.days, (date.max, date.max), (date.max, date.max))
    parameters: dict[str, Any] = {
        "owner_id": owner_id,
        "month_from": parts.months[0],
        "month_to": parts.months[1],
        "from_1": days[0][0],
        "to_1": days[0][1],
        "from_2": days[1][0],
        "to_2": days[1][1],
    }
    of_owner = "" if owner_id is None else OF_OWNER
    query = _MONTHS + columns + _MONTHS_FROM + of_owner + " GROUP BY month"
    if parts.days:
        query += " UNION ALL " + _DAYS + columns + _DAYS_FROM + of_owner + " GROUP BY day"
    spans = await fetch_all(connection, _Span, query, parameters)
    for lower, upper in parts.pieces:
        bounds = {"owner_id": owner_id, "lower": lower, "upper": upper}
        piece = await fetch_one(connection, _Span, _PIECE + of_owner, bounds)
        assert piece is not None
        spans.append(piece)
    return sorted(spans, key=lambda span: span.lower, reverse=True)


def _cut(from_: datetime | None, to: datetime | None) -> _Days:
    """Cut [from_, to) into months, days and pieces of days of the platform."""
    first = date.min if from_ is None else _first_day(from_)
    last = date.max if to is None else to.astimezone(_ZONE).date()
    nothing = (date.max, date.max)
    if from_ is not None and to is not None and first >= last:
        within = ((from_, to),) if from_ < to else ()
        if first > last or not within:
            return _Days((), nothing, within)
    pieces = []
    if to is not None and to > _midnight(last):
        pieces.append((_midnight(last), to))
    if from_ is not None and from_ < _midnight(first):
        pieces.append((from_, _midnight(first)))
    month_from = first if first.day == 1 else _next_month(first)
    month_to = last if to is None else last.replace(day=1)
    if month_from >= month_to:
        return _Days(((first, last),) if first < last else (), nothing, tuple(pieces))
    days = tuple(pair for pair in ((first, month_from), (month_to, last)) if pair[0] < pair[1])
    return _Days(days, (month_from, month_to), tuple(pieces))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), _ZONE)


def _first_day(moment: datetime) -> date:
    """The first day that begins at this instant or later."""
    day = moment.astimezone(_ZONE).date()
    return day if _midnight(day) == moment else day + _DAY


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)


async def _find(
    connection: Connection, scope: dict[str, Any], spans: Sequence[_Span], offset: int, limit: int
) -> _Where | None:
    """Find the days of a page: its months first, then among their days; None where it is empty by then."""
    status = scope["status"]
    if scope["owner_id"] is None and offset + limit <= WALKED_MAX:
        return _Where(spans[-1].lower, spans[0].upper, offset)
    found, skip = _covering(spans, status, offset, limit)
    coarse = [span for span in found if span.upper - span.lower > _DAY]
    if not coarse:
        return _Where(found[-1].lower, found[0].upper, skip)
    parameters = {
        "owner_id": scope["owner_id"],
        "first": coarse[-1].lower.astimezone(_ZONE).date(),
        "behind": coarse[0].upper.astimezone(_ZONE).date(),
    }
    of_owner = "" if scope["owner_id"] is None else OF_OWNER
    days = await fetch_all(
        connection, _Span, _DAYS + _COUNTS + _DAYS_BETWEEN + of_owner + " GROUP BY day", parameters
    )
    fine = [span for span in found if span.upper - span.lower <= _DAY] + days
    fine.sort(key=lambda span: span.lower, reverse=True)
    found, skip = _covering(fine, status, skip, limit)
    return _Where(found[-1].lower, found[0].upper, skip) if found else None


def _covering(spans: Sequence[_Span], status: str | None, offset: int, limit: int) -> tuple[list[_Span], int]:
    """Return the spans that hold the rows from `offset` on, and how many rows of them to skip."""
    found: list[_Span] = []
    before, skip = 0, 0
    for span in spans:
        counted = span.counted(status)
        if counted and before + counted > offset and before < offset + limit:
            if not found:
                skip = offset - before
            found.append(span)
        before += counted
    return found, skip


async def _page(
    connection: Connection, scope: dict[str, Any], where: _Where, limit: int
) -> list[SessionDetail]:
    conditions = "FROM sessions WHERE started_at >= %(lower)s AND started_at < %(upper)s"
    if scope["user_id"] is not None:
        conditions = _OF_USER
    else:
        if scope["owner_id"] is not None:
            conditions += _OWNED
        if scope["status"] is not None:
            conditions += " AND status = %(status)s"
    query = (
        SESSION_DETAIL
        + "JOIN (SELECT id "
        + conditions
        + _ORDER
        + ") AS page ON page.id = sessions.id ORDER BY started_at DESC, sessions.id DESC"
    )
    bounds = {"lower": where.lower, "upper": where.upper, "skip": where.skip, "limit": limit}
    return await fetch_all(connection, SessionDetail, query, {**scope, **bounds})
