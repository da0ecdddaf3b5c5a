"""SignCertificate (OCPP 1.6 security whitepaper edition 3, A02 and A03): the charger wants a certificate."""

from ingest.ocpp.context import Context, Payload
from ingest.ocpp.security.signing import sign


async def handle(context: Context, payload: Payload) -> Payload:
    """Accepted: CertificateSigned follows. Rejected: `charger_certificates` says why."""
    chain_pem = await sign(context.services, context.device, str(payload["csr"]))
    return {"status": "Rejected" if chain_pem is None else "Accepted"}
