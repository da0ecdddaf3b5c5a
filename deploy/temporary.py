"""Embedded servers for the time of a block: used by tests and benchmarks, on ports that nobody else has."""

import contextlib
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.nats import NatsServer, prepare_nats
from deploy.postgres import PostgresServer, prepare_postgres

PORTS = range(10_000, 32_000)
OUTGOING_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
PORT_TRIES_MAX = 1_000
START_TIMEOUT_S = 30.0
OUTPUT_CHARS_MAX = 2_000
PORT_TAKEN = "address already in use"
STORE_BYTES_MAX = 2 << 30
POLL_S = 0.05


def free_port() -> int:
    """Return a port that nothing listens on now, by TCP or UDP.

    From below the range of which the system gives ports to outgoing connections: one of those could be
    taken between here and the server's start.
    """
    ports = ports_of_servers()
    for _ in range(PORT_TRIES_MAX):
        port = secrets.choice(ports)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"no port of {ports} was free in {PORT_TRIES_MAX} tries")


def ports_of_servers(outgoing: Path = OUTGOING_PORTS) -> range:
    """Return `PORTS` without those of outgoing connections, as the system names them (some: from 16,000)."""
    try:
        first = int(outgoing.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return PORTS
    return range(PORTS.start, min(first, PORTS.stop)) if first > PORTS.start + PORT_TRIES_MAX else PORTS


@contextlib.contextmanager
def temporary_postgres(folder: Path, *options: str) -> Iterator[PostgresServer]:
    """A running PostgreSQL with the database `gridwire`; `options` are added to its command line."""
    server = prepare_postgres(folder)
    output = folder.with_suffix(".log")
    process = start((*server.argv, *options), server.account, output)
    try:
        wait_until_ready(process, server.is_ready, output)
        server.ensure_database()
        yield server
    finally:
        stop(process, signal.SIGINT)


@dataclass(slots=True)
class TemporaryNats:
    """A nats-server that can be killed and started again on the same data and ports."""

    server: NatsServer
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the bus, with the owner's credentials."""
        return self.server.url

    @property
    def mqtt_url(self) -> str:
        """Of the broker, with the owner's credentials."""
        return self.server.mqtt_url

    @property
    def network_mqtt_url(self) -> str:
        """Of the broker, as a LoRaWAN network server logs in."""
        return self.server.network_mqtt_url

    @property
    def device_mqtt_url(self) -> str:
        """Of the broker, as a device sees it."""
        return self.server.device_mqtt_url

    def start(self) -> None:
        """Start it and wait until it accepts connections; again while somebody holds one of its ports."""
        output = self.server.folder / "output.log"
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            self.process = start(self.server.argv, None, output)
            try:
                return wait_until_ready(self.process, self.server.is_ready, output)
            except TimeoutError as error:
                if PORT_TAKEN not in str(error) or time.monotonic() > deadline:
                    raise

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, if it runs, and wait for its end."""
        if self.process is not None:
            stop(self.process, number)
            self.process = None

    def kill(self) -> None:
        """End it as a power cut would."""
        self.stop(signal.SIGKILL)


@contextlib.contextmanager
def temporary_nats(folder: Path) -> Iterator[TemporaryNats]:
    """A running nats-server with an empty JetStream."""
    server = prepare_nats(
        folder,
        port=free_port(),
        mqtt_host="127.0.0.1",
        mqtt_port=free_port(),
        password=secrets.token_hex(8),
        network_password=secrets.token_hex(8),
        store_bytes_max=STORE_BYTES_MAX,
    )
    nats = TemporaryNats(server)
    nats.start()
    try:
        yield nats
    finally:
        nats.stop()


def start(argv: Sequence[str], account: str | None, output: Path) -> subprocess.Popen[bytes]:
    """Start a server program as `account`, in a session of its own; what it prints goes to `output`."""
    with output.open("wb") as file:
        return subprocess.Popen(
            argv,
            stdout=file,
            stderr=file,
            cwd="/",
            user=account,
            group=account,
            extra_groups=None if account is None else (),
            start_new_session=True,
        )


def wait_until_ready(process: subprocess.Popen[bytes], is_ready: Callable[[], bool], output: Path) -> None:
    """Raises `TimeoutError` with its last words if the server ended, or is not ready in `START_TIMEOUT_S`."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_ready():
        if time.monotonic() > deadline or process.poll() is not None:
            said = output.read_text(errors="replace")[-OUTPUT_CHARS_MAX:]
            raise TimeoutError(f"{process.args!r} was not ready within {START_TIMEOUT_S} s; it said: {said}")
        time.sleep(POLL_S)


def stop(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send the signal and wait for the end."""
    process.send_signal(number)
    process.wait(START_TIMEOUT_S)
