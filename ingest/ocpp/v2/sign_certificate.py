"""SignCertificate (OCPP 2.0.1 part 2, A02 and A03): the charger wants a certificate."""

from ingest.ocpp.context import Context, Payload
from ingest.ocpp.security.signing import CHARGER_KIND, sign

INT4_MAX = 2**31 - 1


async def handle(context: Context, payload: Payload) -> Payload:
    """Accepted: CertificateSigned follows. Rejected: `charger_certificates` says why."""
    kind = str(payload.get("certificateType", CHARGER_KIND))
    request_id = payload.get("requestId")  # OCPP 2.1: CertificateSigned carries it back
    if not isinstance(request_id, int) or abs(request_id) > INT4_MAX:
        request_id = None
    chain_pem = await sign(context.services, context.device, str(payload["csr"]), kind, request_id)
    return {"status": "Rejected" if chain_pem is None else "Accepted"}
