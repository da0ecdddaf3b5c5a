"""Everything in one terminal: servers, roles and a fleet, started in order and stopped in reverse.

What the roles are, and what is to be done once the database runs, is handed in by `gridwire.py`.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.live import Live

from deploy.folder import check_ports, data_folder, secret
from deploy.nats import NatsServer, prepare_nats
from deploy.postgres import PostgresServer, prepare_postgres
from deploy.settings import SERVERS_FILE, Settings
from deploy.supervisor import Service, Supervisor
from deploy.terminal import Status, scrape

REFRESH_S = 1.0
PLAIN_LINE_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run between the servers' start and their end.

    `prepare` is called once with the environment of the roles, before any of them starts, and returns
    lines for the screen (name and address or account); it may take its time. `roles` are the words of
    `gridwire serve`; `fleet` the words of `gridwire simulate`, empty for none.
    """

    roles: Sequence[str]
    fleet: Sequence[str]
    prepare: Callable[[Mapping[str, str], Path], Sequence[tuple[str, str]]]


async def run_local(settings: Settings, plan: Plan, console: Console) -> None:
    """Run until SIGINT or SIGTERM, then stop everything, the last started first."""
    with data_folder(settings.data_dir) as folder:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        status = Status(addresses=_addresses(settings))
        run = LocalRun(settings, plan, folder, console, lambda name, event: _note(status, name, event))
        starting = asyncio.create_task(run.start())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                status.addresses = (*status.addresses, *starting.result())
                await _show(settings, run.supervisor, status, console, stop)
        finally:
            starting.cancel()
            stopping.cancel()
            with console.status("stopping, the last started first ..."):
                await run.stop()
            console.print("stopped; nothing is lost")


class LocalRun:
    """One start of everything in a data folder; the tests drive it without the screen."""

    def __init__(
        self, settings: Settings, plan: Plan, folder: Path, console: Console,
        on_event: Callable[[str, dict[str, object]], None],
    ) -> None:  # fmt: skip
        self._settings = settings
        self._plan = plan
        self._folder = folder
        self._console = console
        self.supervisor = Supervisor(folder / "logs", on_event)
        self.environment: Mapping[str, str] = {}  # of the roles, once the servers run

    async def start(self) -> Sequence[tuple[str, str]]:
        """Start servers, prepare the database, start roles and fleet; returns the plan's lines.

        Raises `SetupError` naming what stands in the way; what was started keeps running then.
        """
        began = time.monotonic()
        settings = self._settings
        check_ports(settings.listen_host, _ports(settings))
        datagrams = {"GRIDWIRE_COAP_PORT": settings.coap_port, "GRIDWIRE_UDP_PORT": settings.udp_port}
        check_ports(settings.listen_host, datagrams, socket.SOCK_DGRAM)
        check_ports("127.0.0.1", {"GRIDWIRE_NATS_PORT": settings.nats_port})
        with self._console.status("preparing the data folder ..."):
            postgres, nats = await asyncio.to_thread(_prepare_servers, settings, self._folder)
        await self._step("PostgreSQL", _postgres_service(postgres))
        await self._step("nats-server (log, bus, MQTT)", _nats_service(nats))
        self.environment = environment = _environment(settings, self._folder, postgres, nats)
        self._announce(environment)
        with self._console.status("migrating, registering ..."):
            await asyncio.to_thread(postgres.ensure_database)
            lines = await asyncio.to_thread(self._plan.prepare, environment, self._folder)
        self._console.print("  [green]ok[/green] database migrated")
        await self._start_roles(environment)
        if self._plan.fleet:
            devices = {
                **environment,
                "GRIDWIRE_MQTT_URL": nats.device_mqtt_url,
                "GRIDWIRE_LORAWAN_MQTT_URL": nats.network_mqtt_url,
                "GRIDWIRE_FLEET_PASSWORD": secret(self._folder, "fleet_password"),
            }
            fleet = _role_service("simulate", ("simulate", *self._plan.fleet), devices)
            await self._step("simulated fleet", fleet)
        self._console.print(f"[bold green]all ready[/bold green] after {time.monotonic() - began:.1f} s")
        return lines

    async def stop(self) -> None:
        """Stop everything, the last started first."""
        (self._folder / SERVERS_FILE).unlink(missing_ok=True)
        await self.supervisor.stop_all()

    def _announce(self, environment: Mapping[str, str]) -> None:
        """Let other commands on this machine find the servers; their passwords are the owner's alone."""
        urls = {
            name: environment[f"GRIDWIRE_{name.upper()}"] for name in ("database_url", "nats_url", "mqtt_url")
        }
        path = self._folder / SERVERS_FILE
        path.touch(mode=0o600)
        path.write_text(json.dumps(urls))

    async def _start_roles(self, environment: Mapping[str, str]) -> None:
        """Start the roles at once: none waits for another, and most of their time is importing."""

        async def started(role: str) -> None:
            await self.supervisor.start(_role_service(role, ("serve", role), environment))
            self._console.print(f"  [green]ok[/green] {role}")

        with self._console.status("starting roles ..."):
            await asyncio.gather(*map(started, self._plan.roles))

    async def _step(self, text: str, service: Service) -> None:
        with self._console.status(f"{text} ..."):
            await self.supervisor.start(service)
        self._console.print(f"  [green]ok[/green] {text}")


async def _show(
    settings: Settings, supervisor: Supervisor, status: Status, console: Console, stop: asyncio.Event
) -> None:
    """Refresh the screen until it is time to stop."""
    url = f"http://{_reachable(settings.listen_host)}:{settings.http_port}/metrics"
    last_line_s = -PLAIN_LINE_EVERY_S
    screen = Live(console=console, auto_refresh=False, screen=False) if console.is_terminal else None
    if screen is None:
        for name, address in status.addresses:
            console.print(f"  {name}: {address}", soft_wrap=True, highlight=False)
    else:
        screen.start()
    try:
        while not stop.is_set():
            figures = await asyncio.to_thread(scrape, url)
            if figures is not None:
                status.observe(time.monotonic(), figures)
            status.services = {name: _state(running.restarts) for name, running in supervisor.running.items()}
            if screen is not None:
                screen.update(status.render(), refresh=True)
            elif time.monotonic() - last_line_s >= PLAIN_LINE_EVERY_S:
                last_line_s = time.monotonic()
                console.print(status.line(), soft_wrap=True)
            await _sleep(stop, REFRESH_S)
    finally:
        if screen is not None:
            screen.stop()


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def _state(restarts: int) -> str:
    return "up" if restarts == 0 else f"up (restarted {restarts}x)"


def _prepare_servers(settings: Settings, folder: Path) -> tuple[PostgresServer, NatsServer]:
    nats = prepare_nats(
        folder / "nats",
        port=settings.nats_port,
        mqtt_host=settings.listen_host,
        mqtt_port=settings.mqtt_port,
        password=secret(folder, "nats_password"),
        network_password=secret(folder, "network_password"),
        # the log, and as much again for what MQTT sessions hold
        store_bytes_max=2 * settings.log_bytes_max,
    )
    return prepare_postgres(folder / "postgres"), nats


def _postgres_service(server: PostgresServer) -> Service:
    return Service(
        "postgres", server.argv, {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}, account=server.account,
        is_ready=server.is_ready, stop_signal=signal.SIGINT,
    )  # fmt: skip


def _nats_service(server: NatsServer) -> Service:
    return Service("nats", server.argv, {"PATH": os.defpath}, is_ready=server.is_ready)


def _role_service(name: str, words: Sequence[str], environment: Mapping[str, str]) -> Service:
    return Service(name, (sys.executable, "-m", "gridwire", *words), environment)


def _environment(
    settings: Settings, folder: Path, postgres: PostgresServer, nats: NatsServer
) -> dict[str, str]:
    """What every role is told: this process's settings, and where the embedded servers are."""
    metrics = folder / "metrics"
    metrics.mkdir(exist_ok=True)
    for stale in metrics.glob("*.db"):
        stale.unlink()
    key = settings.secret_key.get_secret_value() if settings.secret_key else secret(folder, "secret_key")
    own = settings.model_dump(exclude_none=True, exclude={"secret_key"})
    return {
        **os.environ,
        **{f"GRIDWIRE_{name.upper()}": _plain(value) for name, value in own.items()},
        "GRIDWIRE_DATA_DIR": str(folder),
        "GRIDWIRE_DATABASE_URL": postgres.url,
        "GRIDWIRE_NATS_URL": nats.url,
        "GRIDWIRE_MQTT_URL": nats.mqtt_url,
        "GRIDWIRE_SECRET_KEY": key,
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _ports(settings: Settings) -> dict[str, int]:
    ports = {
        "GRIDWIRE_HTTP_PORT": settings.http_port,
        "GRIDWIRE_OCPP_PORT": settings.ocpp_port,
        "GRIDWIRE_OCPP_TLS_PORT": settings.ocpp_tls_port,
        "GRIDWIRE_MQTT_PORT": settings.mqtt_port,
        "GRIDWIRE_CALLBACKS_PORT": settings.callbacks_port,
    }
    return {name: port for name, port in ports.items() if port}


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound


def _addresses(settings: Settings) -> tuple[tuple[str, str], ...]:
    host = _reachable(settings.listen_host)
    tls = f"wss://{host}:{settings.ocpp_tls_port}/<charger identity>  root: {settings.ocpp_authority}"
    return (
        ("API documentation", f"http://{host}:{settings.http_port}/api-docs"),
        ("metrics", f"http://{host}:{settings.http_port}/metrics"),
        ("chargers connect to", f"ws://{host}:{settings.ocpp_port}/<charger identity>"),
        *((("chargers with TLS", tls),) if settings.ocpp_tls_port else ()),
        (
            "batteries publish to",
            f"mqtt://{host}:{settings.mqtt_port}  gridwire/batteries/<serial>/telemetry",
        ),
        ("meters send to", f"coap://{host}:{settings.coap_port}/up/<IMEI>  or UDP {settings.udp_port}"),
        ("network servers call", f"http://{host}:{settings.callbacks_port}/chirpstack, /things-stack"),
    )


def _note(status: Status, name: str, event: dict[str, object]) -> None:
    """Put on the screen what an operator should see."""
    if event.get("event") == "one_time_password":
        status.note(f"one-time password for {event.get('phone')}: {event.get('code')}")
    elif event.get("event") in {"restarted", "killed"}:
        status.note(f"{name} {event['event']} ({event.get('exit_code', event.get('reason'))})")
    elif event.get("level") in {"error", "critical"}:
        status.note(f"{name}: {event.get('event')} {event.get('error', '')}")
