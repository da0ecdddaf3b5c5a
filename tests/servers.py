"""Real servers for tests: started once a run, on ports that nobody else has, stopped at its end."""

import contextlib
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.nats import NatsServer, prepare_nats
from deploy.postgres import PostgresServer, prepare_postgres

START_TIMEOUT_S = 30
STORE_BYTES_MAX = 1 << 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_postgres(folder: Path) -> Iterator[PostgresServer]:
    server = prepare_postgres(folder)
    # a test's rows need not survive this machine
    argv = (*server.argv, "--fsync=off", "--full_page_writes=off")
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
        user=server.account, group=server.account, extra_groups=None if server.account is None else (),
        start_new_session=True,
    )  # fmt: skip
    try:
        _wait_until(server.is_ready)
        server.ensure_database()
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(START_TIMEOUT_S)


@dataclass(slots=True)
class Nats:
    """A nats-server that a test can kill and start again on the same data and ports."""

    server: NatsServer
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def mqtt_url(self) -> str:
        return self.server.mqtt_url

    @property
    def device_mqtt_url(self) -> str:
        return self.server.device_mqtt_url

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.server.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        _wait_until(self.server.is_ready)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(START_TIMEOUT_S)
            self.process = None


@contextlib.contextmanager
def running_nats(folder: Path) -> Iterator[Nats]:
    server = prepare_nats(
        folder, port=free_port(), mqtt_host="127.0.0.1", mqtt_port=free_port(),
        password=secrets.token_hex(8), store_bytes_max=STORE_BYTES_MAX,
    )  # fmt: skip
    nats = Nats(server)
    nats.start()
    try:
        yield nats
    finally:
        nats.stop()


def _wait_until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{ready} was not ready within {START_TIMEOUT_S} s")
        time.sleep(0.05)
