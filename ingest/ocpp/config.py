"""Settings of an OCPP gateway process, and its bounds."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ingest.ocpp.security.tls import TlsConfig
from ingest.registry import Policy
from protocols.ocpp.connection import Limits
from stream.log import PublisherLimits
from stream.message_log import MessageLogLimits


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """`name` is this gateway's own among all (`chargers.gateway`); `clock` returns microseconds since 1970.

    `allow_without_password`: a charger that has no secret may connect without one; a charger that has
    one never may. `default_version`: a charger that names no subprotocol is taken to speak OCPP 1.6.
    `ping_s`, `idle_s`, `idle_s_min`: see `ingest.ocpp.liveness`. `touch_s`: how often
    signs of life are written to the database. `timeouts_max`: after so many calls in a row without an
    answer the socket is closed, so that the charger dials anew. `failures_per_minute`: wrong passwords
    an address may send on average, and a charger may get, `failures_burst` at once. `tls`: a second
    listener, None for the plain one alone. `connects_...`: connections an address may open.
    `messages_...`: messages a charger may send; beyond them reading pauses, and nothing is dropped.
    `message_log`: whether frames are kept (`ocpp_messages`). `command_timeout_s`: how long a charger may take
    to answer a durable command; it is sent again after `command_retry_s`, later each time.
    `command_settle_s`: how long a charger that has just connected may speak first.
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
    idle_s_min: float = 120.0
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
    connects_per_s: float = 200.0
    connects_burst: int = 5_000
    messages_per_s: float = 200.0
    messages_burst: int = 1_000
    message_log: bool = True
    command_timeout_s: float = 30.0
    command_retry_s: float = 5.0
    command_settle_s: float = 2.0
    connection: Limits = field(default_factory=Limits)
    limits: PublisherLimits = field(default_factory=PublisherLimits)
    message_log_limits: MessageLogLimits = field(default_factory=MessageLogLimits)
    tls: TlsConfig | None = None
