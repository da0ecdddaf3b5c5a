"""Authorize (OCPP 2.0.1 part 2, C01 to C07): may this token, or this contract, charge?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ingest.ocpp.authority import ACCEPTED, INVALID, Verdict, judge
from ingest.ocpp.context import Context, Payload
from protocols.ocpp.surface import Version
from protocols.timestamps import format_utc_ms, from_datetime
from storage.database import Connection

# A start without any token (C02): there is nobody to ask about, and nobody to bill.
_NO_AUTHORIZATION = "NoAuthorization"
# What identifies a group to chargers: it is ours, no card's.
_GROUP_TYPE = "Central"
_GROUP_CHARACTERS_MAX: Mapping[Version, int] = {Version.V201: 36, Version.V21: 255}


async def handle(context: Context, payload: Payload) -> Payload:
    """Answer by the token; where the vehicle brought a contract, by whoever vouches for it as well."""
    async with context.services.pool.connection() as connection:
        verdict = await judge_token(context, connection, payload["idToken"])
    certificate: Any = payload.get("certificate")
    hashes: Any = payload.get("iso15118CertificateHashData")
    if certificate is None and hashes is None:
        return {"idTokenInfo": token_info(context, verdict)}
    status = await context.services.contracts.contract_status(certificate, hashes or ())
    if status != ACCEPTED and verdict.status == ACCEPTED:
        verdict = replace(verdict, status=INVALID)
    return {"idTokenInfo": token_info(context, verdict), "certificateStatus": status}


async def judge_token(context: Context, connection: Connection, token: Any) -> Verdict:
    """The verdict on an IdTokenType."""
    if token["type"] == _NO_AUTHORIZATION:
        return Verdict(ACCEPTED if context.is_active else INVALID)
    return await judge(context, connection, token["idToken"], token["type"])


def token_info(context: Context, verdict: Verdict) -> Payload:
    """The IdTokenInfoType of a verdict. Without an expiry the charger's own cache life time holds (C10)."""
    info: dict[str, object] = {"status": verdict.status}
    if verdict.expires_at is not None:
        info["cacheExpiryDateTime"] = format_utc_ms(from_datetime(verdict.expires_at))
    if verdict.group_id is not None and len(verdict.group_id) <= _GROUP_CHARACTERS_MAX[context.version]:
        info["groupIdToken"] = {"idToken": verdict.group_id, "type": _GROUP_TYPE}
    return info
