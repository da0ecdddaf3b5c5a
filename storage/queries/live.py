"""What the sockets of EV-CMS ask again and again, each for all sockets at once where many ask."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.database import Connection, fetch_all


@dataclass(frozen=True, slots=True)
class Login:
    """What a socket's token said when it was checked; `login` is the family of its refresh tokens."""

    user_id: int
    role: str
    token_version: int
    login: UUID | None


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session as of now. `measured_at` is the time of its newest meter value, None where it has none.

    `energy_wh` since the start; `power_w` at the outlet, None where the charger does not send it.
    `duration_s` and `total_minor` of a rated session.
    """

    session_id: int
    status: str
    started_at: datetime
    ended_at: datetime | None
    energy_wh: float
    measured_at: datetime | None
    power_w: float | None
    duration_s: int | None
    total_minor: int | None


@dataclass(frozen=True, slots=True)
class _Place:
    place: int


_ENDED = """
SELECT asked.place
FROM unnest(%(users)s::bigint[], %(roles)s::text[], %(versions)s::integer[], %(logins)s::uuid[])
    WITH ORDINALITY AS asked (user_id, role, token_version, login, place)
LEFT JOIN users ON users.id = asked.user_id AND users.system = 'evcms' AND users.status = 'active'
    AND users.deleted_at IS NULL AND users.role = asked.role AND users.token_version = asked.token_version
WHERE users.id IS NULL
   OR EXISTS (SELECT FROM refresh_tokens WHERE family = asked.login AND revoked_at IS NOT NULL)
"""

# An hour of slack: a charger's clock may be off, and the bound is only to skip partitions.
_STATES = """
SELECT asked.id AS session_id, asked.status, started_at, ended_at,
       greatest(0, coalesce(meter_stop_wh, energy.value, meter_last_wh, meter_start_wh) - meter_start_wh)
           ::float8 AS energy_wh,
       greatest(energy.ts, power.ts) AS measured_at, power.value AS power_w,
       cdrs.duration_s, cdrs.total_minor
FROM sessions AS asked
LEFT JOIN latest_cdrs AS cdrs ON cdrs.session_id = asked.id
LEFT JOIN LATERAL (
    SELECT ts, value FROM charger_samples AS sample
    WHERE asked.status = 'active' AND sample.device_id = asked.device_id
      AND measurand = %(energy)s AND phase = 0 AND location = 0
      AND (sample.transaction_id = asked.transaction_id
           OR sample.transaction_id IS NULL AND sample.connector_id = asked.connector_id)
      AND ts >= started_at - interval '1 hour' AND ts <= %(now)s::timestamptz + interval '1 hour'
    ORDER BY ts DESC LIMIT 1
) AS energy ON true
LEFT JOIN LATERAL (
    SELECT max(ts) AS ts, coalesce(max(value) FILTER (WHERE phase = 0), sum(value)) AS value FROM (
        SELECT DISTINCT ON (phase) ts, phase, value FROM charger_samples AS sample
        WHERE asked.status = 'active' AND sample.device_id = asked.device_id
          AND sample.connector_id = asked.connector_id AND measurand = %(power)s AND location = 0
          AND ts >= greatest(%(power_since)s, started_at - interval '1 hour')
          AND ts <= %(now)s::timestamptz + interval '1 hour'
        ORDER BY phase, ts DESC
    ) AS newest
) AS power ON true
WHERE asked.id = ANY(%(ids)s)
"""


async def ended_logins(connection: Connection, logins: Sequence[Login]) -> list[int]:
    """Return the places in `logins`, from 0, of those that are good no more.

    A login ends by logout, a refresh token used twice, a new password; an account by being blocked or
    deleted; a role by being changed.
    """
    asked = {
        "users": [each.user_id for each in logins],
        "roles": [each.role for each in logins],
        "versions": [each.token_version for each in logins],
        "logins": [each.login for each in logins],
    }
    return [row.place - 1 for row in await fetch_all(connection, _Place, _ENDED, asked)]


async def session_states(
    connection: Connection,
    session_ids: Sequence[int],
    *,
    energy: int,
    power: int,
    power_since: datetime,
    now: datetime,
) -> list[SessionState]:
    """Return these sessions as of now, in one query; `energy` and `power` are codes of measurands.

    A power value from before `power_since` is too old to be shown.
    """
    codes = {"energy": energy, "power": power}
    parameters = {"ids": list(session_ids), "power_since": power_since, "now": now, **codes}
    return await fetch_all(connection, SessionState, _STATES, parameters)
