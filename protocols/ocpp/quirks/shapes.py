"""Messages of OCPP 1.6 on a 2.x socket, turned into what they mean there; used by `normalise`.

Met on firmware that negotiates 2.0.1 and goes on talking 1.6 (lbbrhzn/ocpp#2008).
"""

from collections.abc import Mapping

Payload = dict[str, object]
TAG = "v16_shape_on_201"

_BOOT = {
    "chargePointVendor": "vendorName",
    "chargePointModel": "model",
    "chargePointSerialNumber": "serialNumber",
    "firmwareVersion": "firmwareVersion",
}


def reshaped(action: str, payload: Mapping[str, object]) -> Payload | None:
    """The payload in the shape of 2.x; None if it is not in that of 1.6."""
    if action == "BootNotification" and "chargePointVendor" in payload and "chargingStation" not in payload:
        station = {name: payload[old] for old, name in _BOOT.items() if old in payload}
        return {"reason": "Unknown", "chargingStation": station}
    if action == "StatusNotification" and "status" in payload and "connectorStatus" not in payload:
        return _status(payload)
    if action == "MeterValues" and "connectorId" in payload and "evseId" not in payload:
        return {"evseId": payload["connectorId"], "meterValue": payload.get("meterValue")}
    return None


def _status(payload: Mapping[str, object]) -> Payload:
    """A connector of 1.6 is an EVSE with one connector; 0 is the station itself in both."""
    known = {
        "timestamp": payload.get("timestamp"),
        "connectorStatus": payload["status"],
        "evseId": payload.get("connectorId"),
        "connectorId": 0 if payload.get("connectorId") == 0 else 1,
    }
    return {name: value for name, value in known.items() if value is not None}
