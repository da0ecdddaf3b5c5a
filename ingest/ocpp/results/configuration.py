"""GetConfiguration and ChangeConfiguration (OCPP 1.6, sections 5.8 and 5.3): the charger's keys."""

from collections.abc import Sequence

import structlog

from ingest.ocpp.context import Context
from ingest.ocpp.results.recording import ACCEPTED, Fields, record
from ingest.ocpp.variables import NAME_CHARACTERS_MAX, with_value
from protocols.ocpp.storable import clipped
from storage.database import Connection
from storage.queries.device_model import Variable, VariableName, put_variables, remove_variables

log = structlog.get_logger()

READ_ONLY, READ_WRITE = "ReadOnly", "ReadWrite"
# The value is kept, though it acts only after the next boot.
REBOOT_REQUIRED = "RebootRequired"


async def get_configuration(context: Context, request: Fields, answer: Fields) -> None:
    """Keep the keys with their values, and forget those that the charger says it does not know."""
    keys, unknown = answer.get("configurationKey") or [], answer.get("unknownKey") or []
    if not keys and not unknown:
        await record(context, "GetConfiguration", request, answer)
        return
    variables = [
        with_value(_name(each["key"]), each.get("value"), READ_ONLY if each["readonly"] else READ_WRITE)
        for each in keys
    ]
    async with context.services.pool.connection() as connection:
        await keep(context, connection, variables)
        await remove_variables(connection, context.device.id, [_name(key) for key in unknown])


async def change_configuration(context: Context, request: Fields, answer: Fields) -> None:
    """Keep the value that the charger took; a key that it does not support is forgotten."""
    name, status = _name(request["key"]), answer["status"]
    if status in {ACCEPTED, REBOOT_REQUIRED}:
        async with context.services.pool.connection() as connection:
            await keep(context, connection, [with_value(name, request["value"])])
        if status == ACCEPTED:
            return
    elif status == "NotSupported":
        async with context.services.pool.connection() as connection:
            await remove_variables(connection, context.device.id, [name])
    await record(context, "ChangeConfiguration", request, answer)


async def keep(context: Context, connection: Connection, variables: Sequence[Variable]) -> None:
    """Store variables of the charger, with a warning if it has more than there is room for."""
    kept = await put_variables(connection, context.device.id, variables, context.received_at)
    if kept < len({variable.key for variable in variables}):
        log.warning("ocpp_variables_left_out", charger=context.device.identity, kept=kept)


def _name(key: str) -> VariableName:
    return VariableName("", "", 0, 0, clipped(key, NAME_CHARACTERS_MAX))
