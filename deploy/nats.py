"""The embedded nats-server: the durable log, the bus and the MQTT broker in one small process.

Used by `gridwire up` and by the tests. JetStream is told to fsync before it acknowledges
(`sync_interval: always`): its default would acknowledge two minutes ahead of the disk.
"""

import json
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.messages import SetupError

OWNER = "gridwire"
DEVICE = "device"
NETWORK = "network"
# A battery or meter may say what it measured and answer, and hear its commands; nothing else on the bus is
# its business. MQTT's `/` is the bus's `.`, so without this a device could write into the log itself.
DEVICE_PUBLISHES = (
    "gridwire.batteries.*.telemetry",
    "gridwire.batteries.*.answer",
    "gridwire.batteries.*.raw",
    "gridwire.batteries.*.raw.*",
    "gridwire.meters.*.uplink",
)
DEVICE_HEARS = ("gridwire.batteries.*.command", "gridwire.meters.*.downlink", "$MQTT.sub.>")
# A LoRaWAN network server tells of many devices, so it has a password.
NETWORK_PUBLISHES = ("application.>", "*.application.>", "v3.>")
NETWORK_HEARS = (
    "application.*.device.*.command.down",
    "*.application.*.device.*.command.down",
    "v3.*.devices.*.down.*",
    "$MQTT.sub.>",
)
# A message that the ingestor has not acknowledged comes again after this long; the server's own
# default of 30 s would hold every battery's data back that long after a restart
MQTT_ACK_WAIT = "4s"
MQTT_ACK_PENDING_MAX = 5000
PAYLOAD_BYTES_MAX = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class NatsServer:
    """A configured server; `argv` runs it in the foreground."""

    argv: tuple[str, ...]
    folder: Path
    port: int
    mqtt_host: str
    mqtt_port: int
    password: str
    network_password: str

    @property
    def url(self) -> str:
        """Of the bus, with the owner's credentials."""
        return f"nats://{OWNER}:{self.password}@127.0.0.1:{self.port}"

    @property
    def mqtt_url(self) -> str:
        """Of the broker, with the owner's credentials; devices log in with none."""
        return f"mqtt://{OWNER}:{self.password}@127.0.0.1:{self.mqtt_port}"

    @property
    def network_mqtt_url(self) -> str:
        """Of the broker, as a LoRaWAN network server logs in."""
        return f"mqtt://{NETWORK}:{self.network_password}@127.0.0.1:{self.mqtt_port}"

    @property
    def device_mqtt_url(self) -> str:
        """Of the broker, as a device sees it."""
        return f"mqtt://127.0.0.1:{self.mqtt_port}"

    def is_ready(self) -> bool:
        """Whether bus and broker accept connections now."""
        return all(_accepts(port) for port in (self.port, self.mqtt_port))


def prepare_nats(
    folder: Path,
    *,
    port: int,
    mqtt_host: str,
    mqtt_port: int,
    password: str,
    network_password: str,
    store_bytes_max: int,
) -> NatsServer:
    """Write the server's configuration into `folder` and say how to run it."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = folder / "nats.conf"
    argv = (str(_program()), "-c", str(config))
    server = NatsServer(argv, folder, port, mqtt_host, mqtt_port, password, network_password)
    # the passwords stand in it
    with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(_configuration(folder, server, store_bytes_max))
    return server


def _account(user: str, password: str, publishes: Sequence[str], hears: Sequence[str]) -> dict[str, object]:
    return {
        "user": user,
        "password": password,
        "permissions": {"publish": {"allow": list(publishes)}, "subscribe": {"allow": list(hears)}},
        "allowed_connection_types": ["MQTT"],
    }


def _configuration(folder: Path, server: NatsServer, store_bytes_max: int) -> str:
    """The server's file: its syntax is a superset of JSON."""
    users = [
        {"user": OWNER, "password": server.password},
        _account(NETWORK, server.network_password, NETWORK_PUBLISHES, NETWORK_HEARS),
        _account(DEVICE, "", DEVICE_PUBLISHES, DEVICE_HEARS),
    ]
    return json.dumps(
        {
            "server_name": "gridwire",
            "host": "127.0.0.1",
            "port": server.port,
            "max_payload": PAYLOAD_BYTES_MAX,
            "jetstream": {
                "store_dir": str(folder / "jetstream"),
                "sync_interval": "always",
                "max_file_store": store_bytes_max,
            },
            "mqtt": {
                "host": server.mqtt_host,
                "port": server.mqtt_port,
                "ack_wait": MQTT_ACK_WAIT,
                "max_ack_pending": MQTT_ACK_PENDING_MAX,
            },
            "authorization": {"users": users},
            "no_auth_user": DEVICE,
        },
        indent=2,
    )


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _program() -> Path:
    program = Path(sys.executable).parent / "nats-server"
    if not program.exists():
        raise SetupError(f"nats-server is not installed at {program}.", "Run: make install")
    return program
