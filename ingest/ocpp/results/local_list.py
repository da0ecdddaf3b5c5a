"""SendLocalList and GetLocalListVersion (OCPP 1.6, sections 5.15 and 5.10; 2.0.1 part 2, D01 and D02)."""

import structlog

from ingest.ocpp.context import Context
from ingest.ocpp.results.recording import ACCEPTED, Fields, record
from ingest.ocpp.variables import int4
from storage.queries.local_lists import Entry, doubt_local_list, report_local_list, update_local_list

log = structlog.get_logger()

FULL = "Full"


async def send_local_list(context: Context, request: Fields, answer: Fields) -> None:
    """Keep what the charger took; after a refusal what it holds is in doubt."""
    entries = [_entry(context, each) for each in request.get("localAuthorizationList") or []]
    version = int4(request["versionNumber" if context.version.is_2 else "listVersion"])
    if answer["status"] != ACCEPTED or version is None:
        async with context.services.pool.connection() as connection:
            await doubt_local_list(connection, context.device.id)
        about = {name: value for name, value in request.items() if name != "localAuthorizationList"}
        await record(context, "SendLocalList", {**about, "entries": len(entries)}, answer)
        return
    async with context.services.pool.connection() as connection:
        written = await update_local_list(
            connection,
            context.device.id,
            version=version,
            is_full=request["updateType"] == FULL,
            entries=entries,
            at=context.received_at,
        )
    log.info("ocpp_local_list_taken", charger=context.device.identity, version=version, written=written)


async def get_local_list_version(context: Context, request: Fields, answer: Fields) -> None:
    """Keep the version that the charger says it holds."""
    version = int4(answer["versionNumber" if context.version.is_2 else "listVersion"])
    if version is None:
        await record(context, "GetLocalListVersion", request, answer)
        return
    async with context.services.pool.connection() as connection:
        await report_local_list(connection, context.device.id, version, context.received_at)


def _entry(context: Context, data: Fields) -> Entry:
    if context.version.is_2:
        token = data["idToken"]
        return Entry(token["idToken"], token["type"], data.get("idTokenInfo"))
    return Entry(data["idTag"], "", data.get("idTagInfo"))
