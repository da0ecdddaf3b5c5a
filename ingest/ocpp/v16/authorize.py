"""Authorize (OCPP 1.6, section 4.1): may this token charge? The verdict is StartTransaction's as well."""

from ingest.ocpp.context import Context, Payload
from protocols.timestamps import format_utc_ms, from_datetime
from storage.database import Connection
from storage.queries.id_tokens import IdToken, find_token


async def handle(context: Context, payload: Payload) -> Payload:
    """Answer by the token, and Invalid to a charger in quarantine."""
    async with context.services.pool.connection() as connection:
        _, info = await judge(context, connection, str(payload["idTag"]))
    return {"idTagInfo": info}


async def judge(context: Context, connection: Connection, id_tag: str) -> tuple[int | None, Payload]:
    """The token's user, if it is known, and its idTagInfo (section 7.27)."""
    token = await find_token(connection, id_tag)
    user_id = None if token is None else token.user_id
    if token is None or not context.is_active:
        return user_id, {"status": "Invalid"}
    info: dict[str, object] = {"status": _status(token, context)}
    if token.expires_at is not None:
        info["expiryDate"] = format_utc_ms(from_datetime(token.expires_at))
    return user_id, info


def _status(token: IdToken, context: Context) -> str:
    if token.status != "Accepted" or token.user_status != "active":
        return "Blocked"
    if token.expires_at is not None and token.expires_at <= context.received_at:
        return "Expired"
    return "Accepted"
