"""MeterValues (OCPP 2.0.1 part 2, J01): samples of an EVSE outside of transactions, or of the main meter."""

import orjson

from ingest.ocpp.context import ActionError, Context, Payload
from ingest.ocpp.v16.meter_values import keep_signed, store
from protocols.ocpp.frames import ErrorCode
from protocols.ocpp.meter_values_2 import decode_meter_values_2
from protocols.samples import DecodeError


async def handle(context: Context, payload: Payload) -> Payload:
    """Store what can be decoded, count what cannot; only a message without any structure is refused."""
    try:
        values = decode_meter_values_2(payload.get("meterValue"), payload.get("evseId"))
    except DecodeError as error:
        await context.refuse(error, orjson.dumps(payload))
        raise ActionError(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, str(error)) from error
    await store(context, values)
    await keep_signed(context, payload.get("meterValue"), {"evseId": payload.get("evseId")})
    return {}
