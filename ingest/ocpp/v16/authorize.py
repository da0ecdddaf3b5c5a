"""Authorize (OCPP 1.6, section 4.1): may this token charge? The verdict is StartTransaction's as well."""

from ingest.ocpp import authority
from ingest.ocpp.context import Context, Payload
from protocols.timestamps import format_utc_ms, from_datetime
from storage.database import Connection

ID_TAG_CHARACTERS_MAX = 20


async def handle(context: Context, payload: Payload) -> Payload:
    """Answer by the token, and Invalid to a charger in quarantine."""
    async with context.services.pool.connection() as connection:
        _, info = await judge(context, connection, str(payload["idTag"]))
    return {"idTagInfo": info}


async def judge(context: Context, connection: Connection, id_tag: str) -> tuple[int | None, Payload]:
    """The token's user, if it is known, and its idTagInfo (section 7.27)."""
    verdict = await authority.judge(context, connection, id_tag)
    # 1.6 has one word for what is not known and what is not allowed
    status = authority.INVALID if verdict.status == authority.UNKNOWN else verdict.status
    info: dict[str, object] = {"status": status}
    if verdict.expires_at is not None and status != authority.INVALID:
        info["expiryDate"] = format_utc_ms(from_datetime(verdict.expires_at))
    group_id = verdict.group_id
    if group_id is not None and len(group_id) <= ID_TAG_CHARACTERS_MAX and status != authority.INVALID:
        info["parentIdTag"] = group_id
    return verdict.user_id, info
