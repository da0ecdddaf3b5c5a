"""Cost, tariffs and what else is of 2.1 in a simulated charger (part 2, blocks I, R and S).

Used by `simulators.v2.commands`.
"""

from typing import TYPE_CHECKING

from simulators.answers import Answer, Request, accepted_if, status
from simulators.charger_queue import Payload
from simulators.dialect import Message

if TYPE_CHECKING:
    from simulators.charger import ChargePoint

_DER_PLAIN = frozenset({"enterService", "gradient"})
_DER_FIELDS = _DER_PLAIN | {
    "curve",
    "fixedPFAbsorb",
    "fixedPFInject",
    "fixedVar",
    "freqDroop",
    "limitMaxDischarge",
}


def cost_updated(_charger: "ChargePoint", _request: Request) -> Answer:
    """I02: it would be shown to the driver."""
    return {}, None


def set_default_tariff(charger: "ChargePoint", request: Request) -> Answer:
    """I07: of one EVSE, or of all."""
    evse_ids = [connector.number for connector in charger.chosen(request["evseId"])]
    if not evse_ids:
        return status("Rejected")
    return status(charger.tariffs.set_default(evse_ids, request["tariff"]))


def get_tariffs(charger: "ChargePoint", request: Request) -> Answer:
    """I10."""
    assigned = charger.tariffs.assigned(request["evseId"])
    if not assigned:
        return status("NoTariff")
    assignments = [
        {"tariffId": name, "tariffKind": "DefaultTariff", "evseIds": evse_ids}
        for name, evse_ids in assigned.items()
    ]
    return {"status": "Accepted", "tariffAssignments": assignments}, None


def clear_tariffs(charger: "ChargePoint", request: Request) -> Answer:
    """I09."""
    cleared = charger.tariffs.clear(request.get("tariffIds", ()), request.get("evseId", 0))
    results: list[dict[str, object]] = [
        {"tariffId": name, "status": "Accepted" if was_there else "NoTariff"} for name, was_there in cleared
    ]
    return {"clearTariffsResult": results or [{"status": "NoTariff"}]}, None


def change_transaction_tariff(charger: "ChargePoint", request: Request) -> Answer:
    """I11: never to another currency."""
    transaction_id, tariff = request["transactionId"], request["tariff"]
    if charger.connector_of(transaction_id) is None:
        return status("TxNotFound")
    before = charger.tariffs.of_transactions.get(transaction_id)
    if before is not None and before["currency"] != tariff["currency"]:
        return status("NoCurrencyChange")
    charger.tariffs.change(transaction_id, tariff)
    return status("Accepted")


def set_der_control(charger: "ChargePoint", request: Request) -> Answer:
    """R04."""
    return accepted_if(charger.tariffs.set_control(request))


def get_der_control(charger: "ChargePoint", request: Request) -> Answer:
    """R04, and the ReportDERControl that follows with the controls that are kept."""
    found = charger.tariffs.find_controls(request)
    if not found:
        return status("NotFound")

    def notify() -> None:
        report: dict[str, list[Payload]] = {}
        for control_id in found:
            for field, entry in _reported(charger.tariffs.controls[control_id]).items():
                report.setdefault(field, []).append(entry)
        payload: Payload = {"requestId": request["requestId"], **report, "tbc": False}
        charger.tell(Message("ReportDERControl", payload))

    return status("Accepted", notify)


def _reported(control: Request) -> dict[str, Payload]:
    """The entries of one control, by the field of ReportDERControl."""
    found: dict[str, Payload] = {}
    for field in sorted(_DER_FIELDS & control.keys()):
        inner = "fixedPF" if field.startswith("fixedPF") else field
        entry: Payload = {"id": control["controlId"], inner: control[field]}
        if field not in _DER_PLAIN:
            entry |= {"isDefault": control["isDefault"], "isSuperseded": False}
        if field == "curve":
            entry["curveType"] = control["controlType"]
        found[field] = entry
    return found


def clear_der_control(charger: "ChargePoint", request: Request) -> Answer:
    """R04."""
    found = charger.tariffs.find_controls(request)
    for control_id in found:
        del charger.tariffs.controls[control_id]
    return accepted_if(bool(found), "NotFound")


def request_battery_swap(_charger: "ChargePoint", _request: Request) -> Answer:
    """S01: it has no batteries to give."""
    return status("Rejected")
