"""BootNotification (OCPP 2.0.1 part 2, B01 to B03): 1.6's, in other words."""

from typing import Any

from ingest.ocpp.context import Context, Payload
from ingest.ocpp.v16 import boot_notification


async def handle(context: Context, payload: Payload) -> Payload:
    """Keep what the charging station says of itself, and why it booted; Pending while in quarantine."""
    station: Any = payload["chargingStation"]
    words = {
        "chargePointVendor": station["vendorName"],
        "chargePointModel": station["model"],
        "firmwareVersion": station.get("firmwareVersion"),
        "chargePointSerialNumber": station.get("serialNumber"),
        "reason": payload["reason"],
        **(station.get("modem") or {}),
    }
    known = {name: value for name, value in words.items() if value is not None}
    return await boot_notification.handle(context, known)
