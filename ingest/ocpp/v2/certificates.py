"""Plug and Charge (OCPP 2.0.1 part 2, block M): what `ContractCertificates` is asked for a charger."""

from typing import Any

from ingest.ocpp.context import Context, Payload
from protocols.timestamps import format_utc_ms

_FAILED: Payload = {"status": "Failed"}


async def get_15118_ev_certificate(context: Context, payload: Payload) -> Payload:
    """Get15118EVCertificate (M01, M02): the answer's exiResponse is empty where it failed."""
    got = await context.services.contracts.ev_certificate(
        str(payload["iso15118SchemaVersion"]), str(payload["action"]), str(payload["exiRequest"])
    )
    if got.is_accepted:
        return {"status": "Accepted", "exiResponse": got.exi}
    return {**_FAILED, "statusInfo": {"reasonCode": got.reason[:20] or "Unspecified"}, "exiResponse": got.exi}


async def get_certificate_status(context: Context, payload: Payload) -> Payload:
    """GetCertificateStatus (M06): OCSP on behalf of the charger."""
    request: Any = payload["ocspRequestData"]
    result = await context.services.contracts.ocsp_result(request)
    if result is None:
        return {**_FAILED, "statusInfo": {"reasonCode": "NotAvailable"}}
    return {"status": "Accepted", "ocspResult": result}


async def get_certificate_chain_status(context: Context, payload: Payload) -> Payload:
    """GetCertificateChainStatus (2.1 part 2, block M): the same for each certificate of a chain."""
    requests: Any = payload["certificateStatusRequests"]
    return {"certificateStatus": [await _chain_status(context, each) for each in requests]}


async def _chain_status(context: Context, request: Any) -> Payload:
    got = await context.services.contracts.chain_status(request, context.received_at_us)
    return {
        "certificateHashData": request["certificateHashData"],
        "source": request["source"],
        "status": got.status,
        "nextUpdate": format_utc_ms(got.next_update_us),
    }
