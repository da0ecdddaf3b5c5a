"""Variable monitoring of a simulated charger of 2.x (part 2, N02 to N06; N11 to N15 of 2.1).

Used by `simulators.v2.commands`.
"""

from typing import TYPE_CHECKING

from protocols.timestamps import format_utc_ms
from simulators.answers import Answer, Request, accepted_if, pages, status
from simulators.charger_queue import Payload
from simulators.dialect import Message
from simulators.monitors import ALERT_SEVERITY_MAX
from simulators.v2.provisioning import is_named

if TYPE_CHECKING:
    from simulators.charger import ChargePoint


def set_variable_monitoring(charger: "ChargePoint", request: Request) -> Answer:
    """N04."""
    results: list[Payload] = []
    for asked in request["setMonitoringData"]:
        word, monitor_id = charger.monitors.put(asked)
        answer: Payload = {name: asked[name] for name in ("type", "severity", "component", "variable")}
        answer["status"] = word
        results.append(answer if monitor_id is None else {**answer, "id": monitor_id})
    return {"setMonitoringResult": results}, None


def clear_variable_monitoring(charger: "ChargePoint", request: Request) -> Answer:
    """N06."""
    results = [{"id": one, "status": charger.monitors.clear(one)} for one in request["id"]]
    return {"clearMonitoringResult": results}, None


def set_monitoring_base(charger: "ChargePoint", request: Request) -> Answer:
    """N05: but for All, what the central system set goes."""
    if request["monitoringBase"] != "All":
        charger.monitors.clear_all()
    return status("Accepted")


def set_monitoring_level(charger: "ChargePoint", request: Request) -> Answer:
    """N03."""
    is_level = 0 <= request["severity"] <= ALERT_SEVERITY_MAX
    if is_level:
        charger.monitors.level = request["severity"]
    return accepted_if(is_level)


def get_monitoring_report(charger: "ChargePoint", request: Request) -> Answer:
    """N02, and the NotifyMonitoringReports that follow."""
    wanted = request.get("componentVariable")
    found = charger.monitors.select(
        request.get("monitoringCriteria", ()),
        lambda name: wanted is None or any(is_named(name, each) for each in wanted),
    )
    if not found:
        return status("EmptyResultSet")

    def notify() -> None:
        for number, some, has_more in pages(found):
            payload: Payload = {
                "monitor": list(some),
                "requestId": request["requestId"],
                "tbc": has_more,
                "seqNo": number,
                "generatedAt": format_utc_ms(charger.wall_us),
            }
            charger.tell(Message("NotifyMonitoringReport", payload))

    return status("Accepted", notify)


def get_periodic_event_stream(_charger: "ChargePoint", _request: Request) -> Answer:
    """N13 of 2.1: this charger opens none."""
    return {}, None


def adjust_periodic_event_stream(_charger: "ChargePoint", _request: Request) -> Answer:
    """N14 of 2.1: there is none to adjust."""
    return status("Rejected")
