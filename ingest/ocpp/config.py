"""Settings of an OCPP gateway process, and its bounds."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ingest.registry import Policy
from protocols.ocpp.connection import Limits
from stream.log import PublisherLimits


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """`name` is this gateway's own among all (`chargers.gateway`); `clock` returns microseconds since 1970.

    `allow_without_password`: a charger that has no secret may connect without one; a charger that has
    one never may. `default_version`: a charger that names no subprotocol is taken to speak OCPP 1.6.
    `idle_s`: a socket is closed when not one frame, pong or other, came for so long. `touch_s`: how often
    signs of life are written to the database. `timeouts_max`: after so many calls in a row without an
    answer the socket is closed, so that the charger dials anew. `failures_per_minute`: wrong passwords
    an address may send on average, `failures_burst` at once.
    """

    host: str
    port: int
    name: str
    clock: Callable[[], int]
    partitions: int
    unknown_devices: Policy = "quarantine"
    allow_without_password: bool = True
    default_version: bool = True
    heartbeat_s: int = 300
    pending_retry_s: int = 60
    ping_s: float = 60.0
    idle_s: float = 900.0
    sweep_s: float = 5.0
    touch_s: float = 30.0
    handshake_s: float = 30.0
    drain_s: float = 10.0
    connections_max: int = 20_000
    message_bytes_max: int = 256 << 10
    write_bytes_max: int = 64 << 10
    timeouts_max: int = 3
    failures_per_minute: float = 10.0
    failures_burst: int = 20
    connection: Limits = field(default_factory=Limits)
    limits: PublisherLimits = field(default_factory=PublisherLimits)
