"""Certificates of a simulated charger of OCPP 1.6 (security whitepaper, sections 4.2 and 4.5).

Used by `simulators.v16.commands`.
"""

from typing import TYPE_CHECKING

from simulators.answers import Answer, Request, accepted_if, status

if TYPE_CHECKING:
    from simulators.charger import ChargePoint


def certificate_signed(charger: "ChargePoint", request: Request) -> Answer:
    """A02; the same in 2.x."""
    return accepted_if(charger.certificates.accept(request["certificateChain"]))


def install_certificate(charger: "ChargePoint", request: Request) -> Answer:
    """M05; the same in 2.x. One that is none is a security event."""
    answer = charger.certificates.install(request["certificateType"], request["certificate"])
    if answer == "Rejected":
        kind = "InvalidCentralSystemCertificate" if not charger.version.is_2 else "InvalidCsmsCertificate"
        return status(answer, lambda: charger.security_event(kind, "not an X.509 certificate"))
    return status(answer)


def delete_certificate(charger: "ChargePoint", request: Request) -> Answer:
    """M04; the same in 2.x."""
    return status(charger.certificates.delete(request["certificateHashData"]))


def get_installed_certificate_ids(charger: "ChargePoint", request: Request) -> Answer:
    """M03."""
    found = charger.certificates.of({request["certificateType"]})
    if not found:
        return status("NotFound")
    return {"status": "Accepted", "certificateHashData": [dict(one.hash_data) for one in found]}, None
