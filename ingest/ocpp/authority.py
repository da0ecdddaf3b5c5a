"""May this token charge? The verdict in terms that all versions have; used by `ingest.ocpp.v16` and `.v2`."""

from dataclasses import dataclass
from datetime import datetime

from ingest.ocpp.context import Context
from storage.database import Connection
from storage.queries.id_tokens import IdToken, find_token

ACCEPTED, BLOCKED, EXPIRED, INVALID, UNKNOWN = "Accepted", "Blocked", "Expired", "Invalid", "Unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`status`: one of the constants above. `group_id`: whose transactions it may end beside its own."""

    status: str
    user_id: int | None = None
    expires_at: datetime | None = None
    group_id: str | None = None


async def judge(context: Context, connection: Connection, id_tag: str, type_: str | None = None) -> Verdict:
    """The token as it stands (1.6 section 4.1; 2.0.1 part 2, C01).

    `type_`: IdTokenEnumType of 2.x; None, as in 1.6, stands for any. Nobody may charge at a charger in
    quarantine.
    """
    token = await find_token(connection, id_tag.replace("\0", "\ufffd"), type_)
    if token is None:
        return Verdict(UNKNOWN if context.is_active else INVALID)
    status = _status(token, context) if context.is_active else INVALID
    return Verdict(status, token.user_id, token.expires_at, token.group_id)


def _status(token: IdToken, context: Context) -> str:
    if token.status != ACCEPTED or token.user_status != "active":
        return BLOCKED
    if token.expires_at is not None and token.expires_at <= context.received_at:
        return EXPIRED
    return ACCEPTED
