"""Variables, reports, resets and network profiles of a simulated charger of 2.x (part 2, block B).

Used by `simulators.v2.commands`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from protocols.timestamps import format_utc_ms
from simulators.answers import Answer, Request, pages, status
from simulators.charger_queue import Payload
from simulators.charger_settings import PASSWORD_KEY
from simulators.device_model import Name, Variable, name_of, report_entry
from simulators.dialect import Message

if TYPE_CHECKING:
    from simulators.charger import ChargePoint

SLOTS_MAX = 4
_SUMMARY = frozenset({"AvailabilityState", "Problem"})
_CRITERIA = frozenset({"Active", "Available", "Enabled", "Problem"})


def get_variables(charger: "ChargePoint", request: Request) -> Answer:
    """B06."""
    return {"getVariableResult": [_read(charger, asked) for asked in request["getVariableData"]]}, None


def _read(charger: "ChargePoint", asked: Request) -> Payload:
    kind = asked.get("attributeType", "Actual")
    answer: Payload = {"attributeType": kind, "component": asked["component"], "variable": asked["variable"]}
    found = charger.device_model.find(asked["component"], asked["variable"])
    if isinstance(found, str):
        return {**answer, "attributeStatus": found}
    if kind != "Actual":
        return {**answer, "attributeStatus": "NotSupportedAttributeType"}
    if found.read is None:
        return {**answer, "attributeStatus": "Rejected"}
    return {**answer, "attributeStatus": "Accepted", "attributeValue": found.read()}


def set_variables(charger: "ChargePoint", request: Request) -> Answer:
    """B05. A new password holds from the next connection, which is made at once."""
    results = [_write(charger, asked) for asked in request["setVariableData"]]
    has_password = any(status == "Accepted" and key == PASSWORD_KEY for _, status, key in results)
    follows = charger.reconnect if has_password else charger.configuration_changed
    return {
        "setVariableResult": [{**answer, "attributeStatus": word} for answer, word, _ in results]
    }, follows


def _write(charger: "ChargePoint", asked: Request) -> tuple[Payload, str, str | None]:
    kind = asked.get("attributeType", "Actual")
    answer: Payload = {"attributeType": kind, "component": asked["component"], "variable": asked["variable"]}
    found = charger.device_model.find(asked["component"], asked["variable"])
    if isinstance(found, str):
        return answer, found, None
    if kind != "Actual":
        return answer, "NotSupportedAttributeType", None
    return answer, charger.device_model.write(found, asked["attributeValue"]), found.key


def get_base_report(charger: "ChargePoint", request: Request) -> Answer:
    """B07: all, what can be changed, or how things stand."""
    base = request["reportBase"]
    found = charger.device_model.select(
        lambda one: (
            base == "FullInventory"
            or (base == "ConfigurationInventory" and one.mutability != "ReadOnly")
            or (base == "SummaryInventory" and one.name.variable in _SUMMARY)
        )
    )
    return _report(charger, request["requestId"], found)


def get_report(charger: "ChargePoint", request: Request) -> Answer:
    """B08. Criteria are variables of that name which are true; a component without one is left out."""
    criteria = _CRITERIA.intersection(request.get("componentCriteria", ()))
    wanted = request.get("componentVariable")
    found = charger.device_model.select(
        lambda one: (
            (wanted is None or any(is_named(one.name, each) for each in wanted))
            and (
                not criteria
                or (one.name.variable in criteria and one.read is not None and one.read() == "true")
            )
        )
    )
    return _report(charger, request["requestId"], found)


def is_named(name: Name, wanted: Request) -> bool:
    """Whether a ComponentVariableType means that variable: what it leaves out it does not ask for."""
    asked = name_of(wanted["component"], wanted.get("variable", {"name": name.variable})).folded()
    own = name.folded()
    parts = zip(asked, own, strict=True)
    return all(part is None or part == mine for part, mine in parts)


def _report(charger: "ChargePoint", request_id: int, variables: Sequence[Variable]) -> Answer:
    """The answer, and the NotifyReports that follow it."""
    if not variables:
        return status("EmptyResultSet")

    def notify() -> None:
        for number, some, has_more in pages(variables):
            payload: Payload = {
                "requestId": request_id,
                "generatedAt": format_utc_ms(charger.wall_us),
                "reportData": [report_entry(variable) for variable in some],
                "tbc": has_more,
                "seqNo": number,
            }
            charger.tell(Message("NotifyReport", payload))

    return status("Accepted", notify)


def reset(charger: "ChargePoint", request: Request) -> Answer:
    """B11 and B12. The reset of one EVSE ends its transaction."""
    evse_id, is_at_once = request.get("evseId"), request["type"] == "Immediate"
    if evse_id:
        connector = charger.connectors.get(evse_id)
        if connector is None:
            return status("Rejected")
        if not is_at_once and connector.transaction is not None:
            return status("Rejected")
        return status("Accepted", lambda: connector.stop("HardReset"))
    if is_at_once or not charger.is_charging:
        return status("Accepted", lambda: charger.reset("Hard"))
    return status("Scheduled", charger.reset_when_idle)


def set_network_profile(_charger: "ChargePoint", request: Request) -> Answer:
    """B09: kept for a later time, which never comes here."""
    url = request["connectionData"]["ocppCsmsUrl"]
    is_good = 1 <= request["configurationSlot"] <= SLOTS_MAX and url.startswith(("ws://", "wss://"))
    return status("Accepted" if is_good else "Rejected")
