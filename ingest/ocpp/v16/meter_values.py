"""MeterValues (OCPP 1.6, section 4.7): samples, acknowledged once the log has them."""

import asyncio
from typing import Any

import orjson

from ingest.ocpp.context import ActionError, Context, Payload
from protocols.ocpp.frames import ErrorCode
from protocols.ocpp.meter_values import MeterValues, decode_meter_values
from protocols.ocpp.meter_values_2 import signed_values
from protocols.ocpp.storable import storable
from protocols.samples import DecodeError


async def handle(context: Context, payload: Payload) -> Payload:
    """Store what can be decoded, count what cannot; only a message without any structure is refused."""
    try:
        values = decode_meter_values(payload)
    except DecodeError as error:
        await context.refuse(error, orjson.dumps(payload))
        raise ActionError(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, str(error)) from error
    await store(context, values)
    if values.refused:
        about = {name: payload[name] for name in ("connectorId", "transactionId") if name in payload}
        await keep_signed(context, payload.get("meterValue"), about)
    return {}


async def store(context: Context, values: MeterValues) -> None:
    """Return once the log has the rows, and the refusals beside them."""
    if values.refused:
        refusals = [context.refuse(each.error, each.payload) for each in values.refused]
        await asyncio.gather(context.publish(values.rows), *refusals)
    else:
        await context.publish(values.rows)


async def keep_signed(context: Context, meter_values: Any, about: Payload) -> None:
    """Keep signed values as they came, one device event each."""
    signed = [storable({**about, **each}) for each in signed_values(meter_values)]
    await asyncio.gather(
        *(context.record("signed_meter_value", each, context.device_time_us(each)) for each in signed)
    )
