"""What a charger says of its own make in BootNotification; used by `ingest.ocpp.routing` and `.link`."""

from dataclasses import replace

from protocols.ocpp.frames import Call
from storage.queries.devices import Device


def booted(device: Device, call: Call) -> Device:
    """The device with vendor, model and firmware of the call, if that is a BootNotification of any version.

    What the call does not say, or says illegibly, stays as it was.
    """
    if call.action != "BootNotification":
        return device
    station = call.payload.get("chargingStation")
    said = station if isinstance(station, dict) else call.payload
    return replace(
        device,
        vendor=_text(said.get("vendorName", said.get("chargePointVendor"))) or device.vendor,
        model=_text(said.get("model", said.get("chargePointModel"))) or device.model,
        firmware=_text(said.get("firmwareVersion")) or device.firmware,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
