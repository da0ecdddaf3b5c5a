"""Firmware and logs of a simulated charger of OCPP 1.6, plain and signed.

Used by `simulators.v16.commands`.
"""

from typing import TYPE_CHECKING

from simulators.answers import Answer, Request, status, time_us
from simulators.certificates import is_certificate

if TYPE_CHECKING:
    from simulators.charger import ChargePoint


def update_firmware(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.19: the answer says nothing, the statuses do."""
    retrieve_us = time_us(request, "retrieveDate") or 0
    charger.jobs.update_firmware(
        "FirmwareStatusNotification", None, retrieve_us, is_signed=False, has_schedule=False
    )
    return {}, None


def signed_update_firmware(charger: "ChargePoint", request: Request) -> Answer:
    """Whitepaper section 4.4, L01: a certificate that is none is refused."""
    firmware = request["firmware"]
    if not is_certificate(firmware["signingCertificate"]):
        return status("InvalidCertificate")
    answer = charger.jobs.update_firmware(
        "SignedFirmwareStatusNotification",
        request["requestId"],
        time_us(firmware, "retrieveDateTime") or 0,
        is_signed=True,
        has_schedule=True,
    )
    return status(answer)


def get_diagnostics(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.9."""
    charger.jobs.upload_log("DiagnosticsStatusNotification", None, request["location"])
    return {"fileName": f"{charger.settings.identity}-diagnostics.log"}, None


def get_log(charger: "ChargePoint", request: Request) -> Answer:
    """Whitepaper section 4.3, N01; the same in 2.x."""
    answer = charger.jobs.upload_log(
        "LogStatusNotification", request["requestId"], request["log"]["remoteLocation"]
    )
    name = f"{charger.settings.identity}-{request['logType']}-{request['requestId']}.log"
    return {"status": answer, "filename": name}, None
