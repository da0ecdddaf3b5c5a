"""BootNotification (OCPP 1.6, section 4.2): who the charger is, and whether it is accepted."""

from ingest.ocpp.context import Context, Payload
from protocols.timestamps import format_utc_ms
from storage.queries.chargers import charger_booted


async def handle(context: Context, payload: Payload) -> Payload:
    """Keep what it says of itself. A charger in quarantine is Pending: it may ask again later."""
    firmware, serial = payload.get("firmwareVersion"), _serial(payload)
    async with context.services.pool.connection() as connection:
        registration = await charger_booted(
            connection,
            context.device.id,
            vendor=str(payload["chargePointVendor"]),
            model=str(payload["chargePointModel"]),
            firmware=None if firmware is None else str(firmware),
            serial=serial,
            at=context.received_at,
        )
    await context.record("boot", payload, context.received_at_us)
    status = registration if context.is_active else "Pending"
    config = context.services.config
    interval = config.heartbeat_s if status == "Accepted" else config.pending_retry_s
    return {"status": status, "currentTime": format_utc_ms(config.clock()), "interval": interval}


def _serial(payload: Payload) -> str | None:
    """chargeBoxSerialNumber is the deprecated name of the same (section 6.3)."""
    serial = payload.get("chargePointSerialNumber", payload.get("chargeBoxSerialNumber"))
    return None if serial is None else str(serial)
