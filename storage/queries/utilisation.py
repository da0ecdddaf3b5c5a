"""How much of their time connectors hold a session; used by chargers, stations, dashboards and analytics.

Exact: computed from the sessions themselves, clipped to the window, and sessions of one connector that
overlap (one that a rule has yet to end, and its successor) count once. Served by the index `sessions_span`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all


@dataclass(frozen=True, slots=True)
class _Share:
    device_id: int
    share: float


# The range is that of the index `sessions_span`; a clock that went back makes no range, so the end is at
# least the start. Connector 0 is the charger itself (OCPP 1.6 section 4.9).
_TEMPLATE = """
WITH scope AS (
    SELECT device_id FROM chargers JOIN devices ON devices.id = device_id
    WHERE (%(device_ids)s::integer[] IS NULL OR device_id = ANY(%(device_ids)s))
      AND (%(owner_id)s::bigint IS NULL OR owner_id = %(owner_id)s)
      AND (%(station_id)s::bigint IS NULL OR station_id = %(station_id)s)),
busy AS (
    SELECT device_id, connector_id,
           range_agg(tstzrange(greatest(started_at, %(from)s::timestamptz),
                               least(ended_at, %(to)s::timestamptz))) AS spans
    FROM sessions WHERE connector_id > 0 {of_scope}
      AND tstzrange(started_at, CASE WHEN ended_at < started_at THEN started_at ELSE ended_at END)
          && tstzrange(%(from)s::timestamptz, %(to)s::timestamptz)
    GROUP BY device_id, connector_id),
known AS (
    SELECT device_id, connector_id FROM connectors JOIN scope USING (device_id) WHERE connector_id > 0
    UNION SELECT device_id, connector_id FROM busy)
SELECT device_id,
       coalesce(sum(taken_s) / nullif(count(connector_id), 0), 0)::float8
           / extract(epoch FROM %(to)s::timestamptz - %(from)s::timestamptz)::float8 AS share
FROM scope LEFT JOIN known USING (device_id) LEFT JOIN (
    SELECT device_id, connector_id, sum(extract(epoch FROM upper(span) - lower(span))) AS taken_s
    FROM busy, unnest(spans) AS span GROUP BY device_id, connector_id) AS taken
    USING (device_id, connector_id)
GROUP BY device_id
"""


# Of all chargers it is one walk over the index, of some one each.
_OF_ALL = _TEMPLATE.format(of_scope="")
_OF_SOME = _TEMPLATE.format(of_scope="AND device_id IN (SELECT device_id FROM scope)")


async def utilisation(
    connection: Connection,
    *,
    device_ids: Sequence[int] | None = None,
    owner_id: int | None = None,
    station_id: int | None = None,
    from_: datetime,
    to: datetime,
) -> dict[int, float]:
    """Return by charger the share (0 to 1) of its connectors' time in [from, to) that a session took.

    A session that is open runs to `to`, which is at most now. Chargers without connectors have 0. Of an empty
    window there is nothing to say: {}.
    """
    if from_ >= to:
        return {}
    parameters = {
        "device_ids": None if device_ids is None else list(device_ids),
        "owner_id": owner_id,
        "station_id": station_id,
        "from": from_,
        "to": to,
    }
    is_all = device_ids is None and owner_id is None and station_id is None
    rows = await fetch_all(connection, _Share, _OF_ALL if is_all else _OF_SOME, parameters)
    return {row.device_id: row.share for row in rows}
