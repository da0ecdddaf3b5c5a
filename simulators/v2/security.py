"""Certificates of a simulated charger of 2.x, where they differ from 1.6 (part 2, M03).

Used by `simulators.v2.commands`.
"""

from typing import TYPE_CHECKING

from simulators.answers import Answer, Request, status

if TYPE_CHECKING:
    from simulators.charger import ChargePoint


def get_installed_certificate_ids(charger: "ChargePoint", request: Request) -> Answer:
    """Of the kinds that are asked for, or of all."""
    found = charger.certificates.of(frozenset(request.get("certificateType", ())))
    if not found:
        return status("NotFound")
    chain = [{"certificateType": one.kind, "certificateHashData": dict(one.hash_data)} for one in found]
    return {"status": "Accepted", "certificateHashDataChain": chain}, None
