"""GetVariables and SetVariables (OCPP 2.0.1 part 2, B06 and B05): values of the device model."""

from ingest.ocpp.context import Context
from ingest.ocpp.results.configuration import REBOOT_REQUIRED, keep
from ingest.ocpp.results.recording import ACCEPTED, Fields, record
from ingest.ocpp.variables import variable_name, with_value
from storage.queries.device_model import VariableName, remove_variables

# The charger does not have it: what is known of it is not true any more.
_MISSING = frozenset({"UnknownComponent", "UnknownVariable", "NotSupportedAttributeType"})


async def get_variables(context: Context, request: Fields, answer: Fields) -> None:
    """Keep the values that were given, forget what the charger does not have."""
    results = [(_name(each), each) for each in answer["getVariableResult"]]
    given = [
        with_value(name, each.get("attributeValue"))
        for name, each in results
        if each["attributeStatus"] == ACCEPTED
    ]
    async with context.services.pool.connection() as connection:
        await keep(context, connection, given)
        await remove_variables(connection, context.device.id, _missing(results))
    if len(given) < len(results) or not results:
        refused = [each for _, each in results if each["attributeStatus"] != ACCEPTED]
        await record(context, "GetVariables", {}, {"getVariableResult": refused})


async def set_variables(context: Context, request: Fields, answer: Fields) -> None:
    """Keep the values that were taken, by name: a charger may answer in another order."""
    sent = {_name(each).key: each["attributeValue"] for each in request["setVariableData"]}
    results = [(_name(each), each) for each in answer["setVariableResult"]]
    taken = [
        with_value(name, sent[name.key])
        for name, each in results
        if each["attributeStatus"] in {ACCEPTED, REBOOT_REQUIRED} and name.key in sent
    ]
    async with context.services.pool.connection() as connection:
        await keep(context, connection, taken)
        await remove_variables(connection, context.device.id, _missing(results))
    is_whole = all(each["attributeStatus"] == ACCEPTED and name.key in sent for name, each in results)
    if not is_whole or not results:
        await record(context, "SetVariables", request, answer)


def _name(item: Fields) -> VariableName:
    return variable_name(item, item.get("attributeType"))


def _missing(results: list[tuple[VariableName, Fields]]) -> list[VariableName]:
    return [name for name, each in results if each["attributeStatus"] in _MISSING]
