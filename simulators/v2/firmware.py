"""Firmware of a simulated charger of 2.x (part 2, block L).

Used by `simulators.v2.commands`.
"""

from typing import TYPE_CHECKING

from simulators.answers import Answer, Request, accepted_if, status, time_us
from simulators.certificates import is_certificate

if TYPE_CHECKING:
    from simulators.charger import ChargePoint


def update_firmware(charger: "ChargePoint", request: Request) -> Answer:
    """L01 with a certificate, L02 without."""
    firmware = request["firmware"]
    certificate = firmware.get("signingCertificate")
    if certificate is not None and not is_certificate(certificate):
        return status("InvalidCertificate")
    answer = charger.jobs.update_firmware(
        "FirmwareStatusNotification",
        request["requestId"],
        time_us(firmware, "retrieveDateTime") or 0,
        is_signed=certificate is not None,
        has_schedule=True,
    )
    return status(answer)


def publish_firmware(charger: "ChargePoint", request: Request) -> Answer:
    """L03."""
    if charger.jobs.publication.is_running:
        return status("Rejected")
    location = request["location"]
    charger.jobs.publish(request["requestId"], request["checksum"], location)
    return accepted_if(True)


def unpublish_firmware(charger: "ChargePoint", request: Request) -> Answer:
    """L04."""
    if charger.jobs.publication.is_running:
        return status("DownloadOngoing")
    if request["checksum"] not in charger.jobs.published:
        return status("NoFirmware")
    charger.jobs.published.remove(request["checksum"])
    return status("Unpublished")
