"""What becomes of a network server's event, whatever carried it.

Used by `ingest.lorawan.topics` (MQTT), `ingest.callbacks.lorawan` (HTTP) and `ingest.lorawan.backfill`. Every
event is a row of `raw_payloads`; an uplink's payload is decoded; what a downlink came to is written down.
"""

from collections.abc import Callable, Mapping
from typing import Protocol
from uuid import UUID

import structlog

from ingest.holding import Holding
from ingest.uplinks import Uplink, Uplinks
from protocols.lorawan.downlinks import downlink_id
from protocols.lorawan.events import Kind, NetworkEvent
from protocols.measurements import Measurement
from protocols.ocpp.storable import clipped
from protocols.samples import DecodeError
from protocols.timestamps import to_datetime
from storage.database import Pool
from storage.queries import device_commands, devices
from storage.queries.device_commands import State
from storage.queries.devices import Device

log = structlog.get_logger()

SIMULATED = "simulated"  # an uplink that somebody typed into the server's console: kept, and never measured
FAILURE_CHARACTERS_MAX = 1_000
UNCONFIRMED = "sent by a gateway; the device was not asked to confirm it"

_OUTCOMES: Mapping[Kind, State] = {
    Kind.ACK: "acknowledged",
    Kind.NACK: "failed",
    Kind.FAILED: "failed",
    Kind.SENT: "sent",
}
# Only these say by which way a device can be reached now.
_HEARD = (Kind.UPLINK, Kind.JOIN)


class Listener(Protocol):
    """Who wants to know that a device was heard: downlinks that wait for it, gaps in its counters."""

    def heard(self, device: Device, event: NetworkEvent) -> None:
        """Note it; must not wait."""
        ...


class NetworkEvents:
    """Takes events of one process. `clock` returns microseconds since 1970 UTC."""

    def __init__(self, *, uplinks: Uplinks, pool: Pool, clock: Callable[[], int], holding: Holding) -> None:
        self._uplinks = uplinks
        self._pool = pool
        self._clock = clock
        self._holding = holding
        self._listeners: list[Listener] = []

    def tell(self, listener: Listener) -> None:
        """Tell `listener` of every uplink and join from now on."""
        self._listeners.append(listener)

    async def take(
        self,
        event: NetworkEvent,
        raw: bytes,
        received_at_us: int,
        address: Mapping[str, object] | None = None,
    ) -> Device | None:
        """Return the device once the event is durable; None: it is not welcome.

        `raw` is the event as it came; `address` the way back to the device, None for an event of the past.
        Raises `DecodeError` for an event of a device that it does not name, and `PublisherClosedError`.
        """
        identity = await self._holding.until_there(lambda: self._note_outcome(event))
        if identity is None:
            identity = _identity(event)
        device = await self._uplinks.take(_uplink(event, identity, raw, received_at_us, address))
        is_live = address is not None and event.kind in _HEARD and not event.is_simulated
        if device is not None and is_live:
            for listener in self._listeners:
                listener.heard(device, event)
        return device

    async def _note_outcome(self, event: NetworkEvent) -> str | None:
        """Write what became of a downlink of ours, and return its device's identity; None: it is none."""
        state, found = _OUTCOMES.get(event.kind), downlink_id(event.correlation_ids)
        if state is None or found is None:
            return None
        async with self._pool.connection() as connection:
            command = await device_commands.get_command(connection, found)
            device = None if command is None else await devices.get_device(connection, command.device_id)
            if command is None or device is None:
                return None
            if event.dev_eui and device.identity.lower() != event.dev_eui:
                message = f"{found} is a command to {device.identity}, not to {event.dev_eui}"
                raise DecodeError("device", "correlation_ids", message)
            detail = None if event.failure is None else clipped(event.failure, FAILURE_CHARACTERS_MAX)
            if state == "sent" and not command.is_confirmed:
                state, detail = "acknowledged", UNCONFIRMED
            at = to_datetime(self._clock())
            marked = await device_commands.mark(connection, found, state, at, detail)
        if marked is not None:
            _log_outcome(found, state, detail)
        return device.identity


def _identity(event: NetworkEvent) -> str:
    """Return the DevEUI, or the server's names where a device has none."""
    if event.dev_eui:
        return event.dev_eui
    if event.kind not in _HEARD or not event.application_id:
        message = f"the {event.kind} event has none and is of no downlink of ours"
        raise DecodeError("dev_eui", "dev_eui", message)
    return f"{event.application_id}/{event.device_id}"


def _log_outcome(command_id: UUID, state: State, detail: str | None) -> None:
    if state == "failed":
        log.warning("device_command_failed", command=str(command_id), detail=detail)
    else:
        log.info("device_command_outcome", command=str(command_id), state=state)


def _uplink(
    event: NetworkEvent,
    identity: str,
    raw: bytes,
    received_at_us: int,
    address: Mapping[str, object] | None,
) -> Uplink:
    is_uplink = event.kind is Kind.UPLINK
    return Uplink(
        identity=identity,
        source=event.server.value,
        heard_at_us=event.heard_at_us,
        received_at_us=received_at_us,
        payload=event.payload if is_uplink else raw,
        event=SIMULATED if event.is_simulated and is_uplink else event.kind.value,
        port=event.f_port,
        counter=event.f_cnt if is_uplink else None,
        meta=_meta(event),
        address=address if event.kind in _HEARD else None,
        measurements=() if is_uplink else _measurements(event),
    )


def _meta(event: NetworkEvent) -> dict[str, object]:
    """Return what the network says of the device, without what is empty."""
    gateways = [{"id": each.id, "rssi_dbm": each.rssi_dbm, "snr_db": each.snr_db} for each in event.gateways]
    facts = {
        "gateways": gateways,
        "data_rate": event.data_rate,
        "frequency_hz": event.frequency_hz,
        "is_adr": event.is_adr,
        "is_confirmed": event.is_confirmed,
        "is_mains_powered": event.is_mains_powered,
        "battery_pct": event.battery_pct,
        "application_id": event.application_id,
        "device_id": event.device_id,
        "correlation_ids": list(event.correlation_ids),
        "failure": event.failure,
        "decoded_by_server": event.decoded,
    }
    return {name: value for name, value in facts.items() if value}


def _measurements(event: NetworkEvent) -> tuple[Measurement, ...]:
    found = []
    if event.battery_pct is not None:
        found.append(Measurement("battery_pct", event.battery_pct))
    if event.margin_db is not None:
        found.append(Measurement("snr_db", float(event.margin_db)))
    if event.location is not None:
        found.append(Measurement("latitude_deg", event.location.latitude_deg))
        found.append(Measurement("longitude_deg", event.location.longitude_deg))
    return tuple(found)
