"""What every shell of meters hands over, and its way into the log: the raw payload and what it said.

Used by `ingest.lorawan`, `ingest.nbiot` and `ingest.callbacks`. The raw payload is kept whether or not
anything could decode it. Once `Uplinks.take` returns, the shell may acknowledge.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

import structlog

from ingest.holding import Holding
from ingest.registry import Registry, admitted
from ingest.remembered import Remembered
from ingest.seen import Seen
from protocols.measurements import Measurement
from protocols.samples import DecodeError, Reason, Rows
from protocols.timestamps import to_datetime
from storage.database import Pool
from storage.hypertables import RAW_PAYLOADS
from storage.queries import device_links
from storage.queries.devices import Device
from stream.codecs.pool import CodecPool
from stream.decoding import Decoding, Equipment, as_json, decode, equipment_of, stored_as
from stream.log import Publisher

log = structlog.get_logger()

KIND = "meter"  # of all devices that come this way
META_BYTES_MAX = 32 << 10  # of an uplink's network side; beyond it, it is left out
LINKS_MAX = 50_000
LINK_TTL_US = 600_000_000  # by then another process may have heard the device and written its way
NO_PORT = 0
NO_COUNTER = -1


@dataclass(frozen=True, slots=True)
class Uplink:
    """One message of one device, whatever carried it.

    `identity`: DevEUI, IMEI or serial. `heard_at_us`: when the network heard the device, `received_at_us`:
    when we did; microseconds since 1970 UTC. `event`: uplink, join, status, ack or location; only an uplink's
    payload is decoded, other events bring their `measurements`. `counter`: of the device's messages. `meta`:
    what the network says of it; `address`: what the shell needs to send something back.
    """

    identity: str
    source: str
    heard_at_us: int
    received_at_us: int
    payload: bytes
    event: str = "uplink"
    port: int | None = None
    counter: int | None = None
    meta: Mapping[str, object] = field(default_factory=dict)
    address: Mapping[str, object] | None = None
    measurements: tuple[Measurement, ...] = ()


class Uplinks:
    """Takes uplinks of one process. `clock` returns microseconds since 1970 UTC."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        registry: Registry,
        codecs: CodecPool,
        pool: Pool,
        clock: Callable[[], int],
        holding: Holding,
        seen: Seen,
    ) -> None:
        self._publisher = publisher
        self._registry = registry
        self._codecs = codecs
        self._pool = pool
        self._clock = clock
        self._holding = holding
        self._equipment = Remembered(equipment_of, pool, clock)
        self._links: dict[int, tuple[Mapping[str, object], int]] = {}  # and when it was written
        self._seen = seen

    async def find(self, identity: str) -> Device | None:
        """Return the device that goes by this identity; None: it is not welcome."""
        return await self._holding.until_there(lambda: self._registry.resolve(KIND, identity))

    async def equipment(self, device: Device) -> Equipment | None:
        """Return what decodes a device's payloads; None: it has no profile."""
        return await self._holding.until_there(lambda: self._equipment.of(device.id))

    async def take(self, uplink: Uplink) -> Device | None:
        """Return the device once all that the uplink says is durable; None: it is not welcome.

        What cannot be decoded is counted, told of and kept. Raises `PublisherClosedError`.
        """
        try:
            device = admitted(await self.find(uplink.identity), KIND, uplink.identity)
        except DecodeError as error:
            await self._refuse(error, uplink, 0)
            return None
        outcome = await self._decode(uplink, device)
        parts = [self._publish(_raw(uplink, outcome), uplink, device)]
        if outcome.rows is not None:
            parts.append(self._publish(outcome.rows, uplink, device))
        if outcome.error is not None:
            parts.append(self._refuse(outcome.error, uplink, device.id))
        await asyncio.gather(*parts)
        self._seen.add(device.id)
        await self._link(uplink, device)
        return device

    async def _decode(self, uplink: Uplink, device: Device) -> Decoding:
        equipment = await self.equipment(device)
        if uplink.event != "uplink" or not uplink.payload:
            return stored_as(Decoding(""), uplink.measurements, uplink.heard_at_us)
        if equipment is None:
            return Decoding("")
        payload = equipment.payload(uplink.payload, uplink.heard_at_us, uplink.port)
        (decoding,) = await decode(self._codecs, equipment, [payload])
        return decoding

    async def _publish(self, rows: Rows, uplink: Uplink, device: Device) -> None:
        reason = Reason.UNKNOWN_DEVICE if device.status == "quarantined" else Reason.OK
        try:
            await self._publisher.publish(
                rows, device_id=device.id, received_at_us=uplink.received_at_us, reason=reason
            )
        except DecodeError as error:
            await self._refuse(error, uplink, device.id)

    async def _refuse(self, error: DecodeError, uplink: Uplink, device_id: int) -> None:
        await self._publisher.refuse(
            error, uplink.payload, device_id=device_id, received_at_us=uplink.received_at_us
        )

    async def _link(self, uplink: Uplink, device: Device) -> None:
        """Remember the way back to a device where it is a new one, or was not written for a while."""
        address, now_us = uplink.address, self._clock()
        known, written_us = self._links.get(device.id, (None, 0))
        if address is None or (known == address and now_us - written_us < LINK_TTL_US):
            return

        async def write() -> None:
            async with self._pool.connection() as connection:
                await device_links.put_link(
                    connection, device.id, uplink.source, address, to_datetime(now_us)
                )

        await self._holding.until_there(write)
        if len(self._links) >= LINKS_MAX:
            self._links.clear()
        self._links[device.id] = (address, now_us)


def _raw(uplink: Uplink, decoding: Decoding) -> Rows:
    """The row of `raw_payloads`: what came, who decoded it, and what that said."""
    columns: dict[str, list[object]] = {
        "ts": [uplink.heard_at_us],
        "source": [uplink.source.encode()],
        "event": [uplink.event.encode()],
        "port": [NO_PORT if uplink.port is None else uplink.port],
        "counter": [NO_COUNTER if uplink.counter is None else uplink.counter],
        "decoder": [decoding.decoder.encode()],
        "digest": [payload_digest(uplink.payload)],
        "payload": [uplink.payload],
        "decoded": [decoding.to_json()],
        "meta": [as_json(dict(uplink.meta) or None, META_BYTES_MAX)],
    }
    return Rows(RAW_PAYLOADS.name, columns, count=1, samples=0)


def payload_digest(payload: bytes) -> int:
    """Return 64 bits of BLAKE2b as PostgreSQL's signed bigint: what tells payloads of one time apart."""
    return int.from_bytes(blake2b(payload, digest_size=8).digest(), "little", signed=True)
