"""DataTransfer (OCPP 1.6, section 4.3): a vendor's own messages; none is known here, all are kept."""

from ingest.ocpp.context import Context, Payload

DATA_CHARACTERS_MAX = 4_096


async def handle(context: Context, payload: Payload) -> Payload:
    """Keep it, and say that nobody here knows the vendor."""
    data = payload.get("data")
    kept = data[:DATA_CHARACTERS_MAX] if isinstance(data, str) else data
    await context.record("data_transfer", {**payload, "data": kept}, context.received_at_us)
    return {"status": "UnknownVendorId"}
