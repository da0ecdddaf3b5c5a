"""MeterValues (OCPP 1.6, section 4.7): samples, acknowledged once the log has them."""

import asyncio

import orjson

from ingest.ocpp.context import ActionError, Context, Payload
from protocols.ocpp.frames import ErrorCode
from protocols.ocpp.meter_values import MeterValues, decode_meter_values
from protocols.samples import DecodeError


async def handle(context: Context, payload: Payload) -> Payload:
    """Store what can be decoded, count what cannot; only a message without any structure is refused."""
    try:
        values = decode_meter_values(payload)
    except DecodeError as error:
        await context.refuse(error, orjson.dumps(payload))
        raise ActionError(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, str(error)) from error
    await store(context, values)
    return {}


async def store(context: Context, values: MeterValues) -> None:
    """Return once the log has the rows, and the refusals beside them."""
    if values.refused:
        refusals = [context.refuse(each.error, each.payload) for each in values.refused]
        await asyncio.gather(context.publish(values.rows), *refusals)
    else:
        await context.publish(values.rows)
