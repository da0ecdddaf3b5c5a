"""What an action's handler is given, and how it refuses; used by `ingest.ocpp.v16` and `ingest.ocpp.v2`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from nats.aio.client import Client

from ingest.ocpp.config import GatewayConfig
from ingest.ocpp.iso15118 import ContractCertificates, NoContracts
from ingest.ocpp.under_way import UnderWay
from protocols.ocpp.frames import ErrorCode
from protocols.ocpp.surface import Version
from protocols.samples import DecodeError, Reason, Rows
from protocols.timestamps import parse_timestamp, to_datetime
from storage.database import Pool
from storage.queries.devices import Device
from stream.bus import publish_live
from stream.events import device_event
from stream.log import Publisher
from stream.message_log import MessageLog

Payload = Mapping[str, object]
# Meters and transaction ids: what a bigint holds.
INT8_MAX = 2**63 - 1


class ActionError(Exception):
    """A call that gets a CALLERROR. The message goes to the charger: it tells nothing of our inside."""

    def __init__(self, code: ErrorCode, description: str) -> None:
        super().__init__(description)
        self.code = code


def integer(payload: Payload, name: str, low: int, high: int) -> int:
    """The field as an integer from `low` to `high`. Raises `ActionError`."""
    value = payload[name]
    if not isinstance(value, int) or not low <= value <= high:
        raise ActionError(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, f"{name} {value} is not {low} to {high}")
    return value


def is_outage(error: Exception) -> bool:
    """Whether the database or the log is away. It fails every message there is: no traceback for each."""
    return type(error).__module__.partition(".")[0] in {"psycopg", "psycopg_pool", "nats", "stream"}


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the gateway that handlers work with; one a process. `messages`: None keeps no frames.

    `contracts`: who vouches for Plug and Charge.
    """

    config: GatewayConfig
    pool: Pool
    bus: Client
    publisher: Publisher
    messages: MessageLog | None = None
    contracts: ContractCertificates = field(default_factory=NoContracts)
    under_way: UnderWay = field(default_factory=UnderWay)


class Context(msgspec.Struct, frozen=True):
    """One call of one charger. `received_at_us`: microseconds since 1970, when its frame came."""

    services: Services
    device: Device
    received_at_us: int
    version: Version = Version.V16

    @property
    def received_at(self) -> datetime:
        """`received_at_us` for SQL."""
        return to_datetime(self.received_at_us)

    @property
    def is_active(self) -> bool:
        """False for a charger in quarantine: it is heard, but nobody may charge at it."""
        return self.device.status == "active"

    def device_time_us(self, payload: Payload) -> int:
        """When the charger says it happened; when it came to us, if it does not say so legibly."""
        try:
            return parse_timestamp(payload.get("timestamp"))
        except DecodeError:
            return self.received_at_us

    async def publish(self, rows: Rows) -> None:
        """Return once the log has `rows`; those of a charger in quarantine are marked as such."""
        await self.services.publisher.publish(
            rows,
            device_id=self.device.id,
            received_at_us=self.received_at_us,
            reason=Reason.OK if self.is_active else Reason.UNKNOWN_DEVICE,
        )

    async def refuse(self, error: DecodeError, payload: bytes) -> None:
        """Count a sample that could not be decoded; returns once the log has what is known of it.

        Where not even its text can be stored, the count and the reason are.
        """
        about = {"device_id": self.device.id, "received_at_us": self.received_at_us}
        try:
            await self.services.publisher.refuse(error, payload, **about)
        except DecodeError as unfit:
            bare = DecodeError(error.reason, error.field, f"its text cannot be stored: {unfit.reason}")
            await self.services.publisher.refuse(bare, b"", **about)

    async def record(self, kind: str, detail: Payload, ts_us: int) -> None:
        """Write a device event of the charger at `ts_us`; returns once the log has it.

        Detail that cannot be stored (too long, or a text that jsonb does not take) is left out.
        """
        try:
            await self.publish(device_event(kind, detail, ts_us))
        except DecodeError as unfit:
            await self.publish(device_event(kind, {"left_out": unfit.reason}, ts_us))

    async def tell(self, topic: str, payload: Payload) -> None:
        """Publish a live event about this charger."""
        about = {"device_id": self.device.id, "charger": self.device.identity}
        await publish_live(self.services.bus, topic, {**about, **payload})


Handler = Callable[[Context, Payload], Awaitable[Payload]]
