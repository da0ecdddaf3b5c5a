"""Gridwire's command line and composition root: the only place that knows every part.

`gridwire up` runs everything on one machine; `gridwire serve ROLE...` runs roles against external servers.
"""

import asyncio
import contextlib
import functools
import logging
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import prometheus_client
import psycopg
import structlog
import typer
import uvloop
from argon2 import PasswordHasher
from nats.aio.client import Client as Bus
from psycopg_pool import PoolTimeout
from rich.console import Console

from api.app import ApiConfig
from api.app import run as run_api
from api.operations.recording import ocpp_app
from api.operations.registry import devices_app, users_app, with_connection
from deploy.folder import secret
from deploy.local import Plan, run_local
from deploy.logs import log_json
from deploy.messages import SetupError
from deploy.settings import Settings, needed, read_settings
from deploy.terminal import Status, scrape
from deploy.tls import tls_files
from ingest.mqtt.batteries import run as run_mqtt
from ingest.mqtt.commands import RelayConfig
from ingest.mqtt.connection import BrokerConfig
from ingest.mqtt.ingestor import IngestorConfig
from ingest.ocpp.security import material
from ingest.ocpp.security.tls import TlsConfig
from ingest.ocpp.server import GatewayConfig
from ingest.ocpp.server import run as run_ocpp
from protocols.timestamps import to_datetime
from simulators.fleet import FleetConfig, battery_serials, charger_identities, version_weights
from simulators.fleet import run as run_fleet
from storage import demo
from storage.database import Connection, Pool, find_abilities, open_pool
from storage.errors import StorageError
from storage.migrate import MigrationReport
from storage.migrate import migrate as migrate_database
from stream.bus import connect_bus
from stream.jobs import JobsConfig
from stream.jobs import run as run_jobs
from stream.log import LogConfig, ensure_log
from stream.writer import WriterConfig
from stream.writer import run as run_writer

log = structlog.get_logger()
console = Console()
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(users_app, name="users")
app.add_typer(devices_app, name="devices")
app.add_typer(ocpp_app, name="ocpp")

DEALER_PHONE = "+919800000001"
DEMO_DRIVERS_MAX = 200
CONNECT_TIMEOUT_S = 15.0
TLS_PORT = 9443  # of `up --tls`
TLS_KINDS: tuple[material.KeyKind, ...] = ("rsa", "ecdsa")


class Role(StrEnum):
    """What `gridwire serve` can run, in the order in which `gridwire up` starts them."""

    WRITER = "writer"
    JOBS = "jobs"
    API = "api"
    MQTT = "mqtt"
    OCPP = "ocpp"


Run = Callable[[Settings, Pool, Bus, asyncio.Event, Callable[[], None]], Awaitable[None]]


def clock() -> int:
    """Microseconds since 1970 UTC: the one clock that every part is given."""
    return time.time_ns() // 1000


# --- composition: each role from the settings ---------------------------------------------------


async def _writer(s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    config = WriterConfig(partitions=tuple(range(s.log_partitions)), clock=clock)
    await run_writer(config, pool=pool, bus=bus, stop=stop, ready=ready)


async def _jobs(s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    config = JobsConfig(clock=clock, low_balance_minor=s.wallet_minimum * 100)
    await run_jobs(config, pool=pool, bus=bus, stop=stop, ready=ready)


async def _api(s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    config = ApiConfig(
        host=s.listen_host,
        port=s.http_port,
        secret_key=needed(s.secret_key, "GRIDWIRE_SECRET_KEY").get_secret_value(),
        evcms_requests_per_15_minutes=s.evcms_requests_per_15_minutes,
        ienerzy_auth_per_minute=s.ienerzy_auth_per_minute,
        ienerzy_requests_per_minute=s.ienerzy_requests_per_minute,
        wallet_minimum_minor=s.wallet_minimum * 100,
        wallet_maximum_minor=s.wallet_maximum * 100,
    )
    await run_api(config, pool=pool, bus=bus, clock=clock, stop=stop, ready=ready)


async def _mqtt(s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    config = IngestorConfig(
        # the session's name must outlive this process; ingestors that share a group need one each
        broker=BrokerConfig(needed(s.mqtt_url, "GRIDWIRE_MQTT_URL"), s.mqtt_client_id),
        clock=clock,
        partitions=s.log_partitions,
        unknown_devices=s.unknown_devices,
        share_group=s.mqtt_shared_group,
    )
    await run_mqtt(config, relay=RelayConfig(), pool=pool, bus=bus, stop=stop, ready=ready)


async def _ocpp(s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    config = GatewayConfig(
        host=s.listen_host,
        port=s.ocpp_port,
        name=f"{socket.gethostname()}:{s.ocpp_port}",
        clock=clock,
        partitions=s.log_partitions,
        unknown_devices=s.unknown_devices,
        message_log=s.ocpp_message_log,
        tls=_tls(s),
    )
    await run_ocpp(config, pool=pool, bus=bus, stop=stop, ready=ready)


def _tls(s: Settings) -> TlsConfig | None:
    """Return the TLS listener that the settings describe; raises `SetupError` for files that do not fit."""
    if not s.ocpp_tls_port:
        return None
    certificates = needed(s.ocpp_tls_certificates, "GRIDWIRE_OCPP_TLS_CERTIFICATES")
    authority = None
    try:
        if s.ocpp_authority is not None and s.ocpp_authority_key is not None:
            authority = material.load_authority(s.ocpp_authority, s.ocpp_authority_key)
    except (OSError, ValueError) as error:
        remedy = "Check GRIDWIRE_OCPP_AUTHORITY and GRIDWIRE_OCPP_AUTHORITY_KEY."
        raise SetupError(f"The certificate authority cannot be read: {error}.", remedy) from error
    files = tuple(Path(name.strip()) for name in certificates.split(","))
    return TlsConfig(s.ocpp_tls_port, files, s.ocpp_authority, authority)


ROLES: Mapping[Role, Run] = {
    Role.WRITER: _writer,
    Role.JOBS: _jobs,
    Role.API: _api,
    Role.MQTT: _mqtt,
    Role.OCPP: _ocpp,
}


async def _serve(settings: Settings, roles: Sequence[Role]) -> None:
    """Run roles in this process until a signal, or until one of them fails."""
    stop = _stop_on_signals()
    waiting = set(roles)

    def ready(role: Role) -> None:
        waiting.discard(role)
        log.info("role_ready", role=role.value)
        if not waiting:
            log.info("ready", roles=[each.value for each in roles])

    if settings.metrics_port:
        prometheus_client.start_http_server(settings.metrics_port, settings.listen_host)
    writers = 2 * settings.log_partitions if Role.WRITER in roles else 0  # connections of a partition
    async with _servers(settings, "-".join(roles), more_connections=writers) as (pool, bus):
        try:
            async with pool.connection() as connection:
                log.info("database", abilities=(await find_abilities(connection)).value)
        except PoolTimeout as error:
            raise _away(error) from error
        await ensure_log(bus.jetstream(), LogConfig(bytes_max=settings.log_bytes_max))
        async with asyncio.TaskGroup() as group:
            for role in roles:
                task = ROLES[role](settings, pool, bus, stop, functools.partial(ready, role))
                group.create_task(_until_stopped(task, stop), name=role)


async def _until_stopped(task: Awaitable[None], stop: asyncio.Event) -> None:
    """Await a role; should it end or fail, the others of this process end with it."""
    try:
        await task
    finally:
        stop.set()


@contextlib.asynccontextmanager
async def _servers(
    settings: Settings, name: str, *, more_connections: int
) -> AsyncIterator[tuple[Pool, Bus]]:
    url = needed(settings.database_url, "GRIDWIRE_DATABASE_URL")
    bus_url = needed(settings.nats_url, "GRIDWIRE_NATS_URL")
    size_max = settings.database_pool_max + more_connections
    async with open_pool(url, size_max=size_max, name=name) as pool:
        try:
            bus = await asyncio.wait_for(connect_bus(bus_url, name), CONNECT_TIMEOUT_S)
        except (TimeoutError, OSError) as error:
            raise SetupError("The bus does not answer.", "Check GRIDWIRE_NATS_URL.") from error
        try:
            yield pool, bus
        finally:
            await bus.close()


# --- commands -----------------------------------------------------------------------------------


Chargers = Annotated[int, typer.Option(min=0, help="Simulated chargers; 0 for none.")]
Ocpp2Share = Annotated[
    float,
    typer.Option("--ocpp-2-share", min=0, max=1, help="Of the chargers: OCPP 2.0.1 and 2.1, half each."),
]
Batteries = Annotated[int, typer.Option(min=0, help="Simulated batteries; 0 for none.")]
Seed = Annotated[int, typer.Option(help="Of the fleet: the same seed behaves the same.")]
Faults = Annotated[Literal["none", "tsbs", "odd"], typer.Option(help="How devices misbehave.")]


@app.command()
def up(
    chargers: Chargers = 50,
    batteries: Batteries = 200,
    seed: Seed = 1,
    faults: Faults = "none",
    ocpp_2_share: Ocpp2Share = 0.2,
    tls: Annotated[
        bool, typer.Option("--tls", help="Let chargers in over TLS too, with a CA of our own.")
    ] = False,
) -> None:
    """Run everything on this machine: servers, roles and a simulated fleet, until Ctrl-C."""
    size = ("--chargers", str(chargers), "--batteries", str(batteries), "--ocpp-2-share", str(ocpp_2_share))
    fleet = (*size, "--seed", str(seed), "--faults", faults) if chargers or batteries else ()
    settings = read_settings()
    if tls:
        settings = with_tls(settings)
    plan = Plan([role.value for role in Role], fleet, Prepare(chargers, batteries, settings))
    asyncio.run(run_local(settings, plan, console))


@app.command()
def serve(roles: Annotated[list[Role], typer.Argument(help="One or more roles.")]) -> None:
    """Run roles in this process against GRIDWIRE_DATABASE_URL, GRIDWIRE_NATS_URL, GRIDWIRE_MQTT_URL."""
    settings = read_settings()
    log_json(settings.log_level)
    _run(_serve(settings, list(dict.fromkeys(roles))))


@app.command()
def migrate() -> None:
    """Bring the database to this version: migrations, hypertables, partitions. Safe to repeat."""
    report = _migrate(read_settings())
    console.print(f"{report.abilities.value}, schema version {report.version}")
    for name in (*report.applied, *report.tables_made):
        console.print(f"  new: {name}")


@app.command()
def simulate(
    chargers: Chargers = 50,
    batteries: Batteries = 200,
    seed: Seed = 1,
    faults: Faults = "none",
    ocpp_2_share: Ocpp2Share = 0.0,
    ocpp_url: Annotated[str | None, typer.Option(help="Default: this machine's GRIDWIRE_OCPP_PORT.")] = None,
    password: Annotated[str | None, typer.Option(envvar="GRIDWIRE_FLEET_PASSWORD")] = None,
    ledger: Annotated[Path | None, typer.Option(help="SQLite file of what was acknowledged.")] = None,
    register: Annotated[
        bool, typer.Option(help="Register the fleet in GRIDWIRE_DATABASE_URL first.")
    ] = False,
) -> None:
    """Run a simulated fleet against a gateway and a broker, until Ctrl-C."""
    settings = read_settings()
    log_json(settings.log_level)
    if register:
        # the demo accounts get it too: an empty one would be an open door
        secret_hash = PasswordHasher().hash(needed(password or None, "GRIDWIRE_FLEET_PASSWORD"))
        _run(_register_fleet(settings, chargers, batteries, secret_hash, secret_hash))
    config = FleetConfig(
        chargers=chargers,
        batteries=batteries,
        seed=seed,
        ocpp_url=ocpp_url or f"ws://127.0.0.1:{settings.ocpp_port}",
        mqtt_url=settings.mqtt_url or f"mqtt://127.0.0.1:{settings.mqtt_port}",
        password=password,
        id_tags=[demo.DRIVER_ID_TAG.format(n) for n in range(1, _drivers(chargers) + 1)],
        faults=faults,
        versions=version_weights(ocpp_2_share),
        ledger_path=ledger or settings.data_dir / "fleet.sqlite",
        clock=clock,
    )

    async def fleet() -> None:
        await run_fleet(config, stop=_stop_on_signals(), ready=lambda: log.info("ready"))

    _run(fleet())


@app.command()
def status(
    url: Annotated[str | None, typer.Option(help="Of the API; default: this machine.")] = None,
) -> None:
    """Show what a running Gridwire says of itself in /metrics."""
    base = url or f"http://127.0.0.1:{read_settings().http_port}"
    figures = scrape(f"{base}/metrics")
    if figures is None:
        raise SetupError(f"No Gridwire answers at {base}.", "Start one, or name another with --url.")
    screen = Status(addresses=(("metrics", f"{base}/metrics"),))
    screen.observe(time.monotonic(), figures)
    console.print(screen.render())


# --- what the commands share --------------------------------------------------------------------


def with_tls(settings: Settings) -> Settings:
    """Add the TLS port, and files in the data folder, where the settings name none."""
    place = settings.data_dir.resolve() / "tls"
    ours = {
        "ocpp_tls_port": settings.ocpp_tls_port or TLS_PORT,
        "ocpp_tls_certificates": ",".join(str(place / f"server-{kind}.pem") for kind in TLS_KINDS),
        "ocpp_authority": place / "authority.pem",
        "ocpp_authority_key": place / "authority.key",
    }
    is_given = settings.ocpp_tls_certificates is not None
    return settings if is_given else settings.model_copy(update=ours)


class Prepare:
    """What `up` does once its servers run: certificates, migrate, register the fleet, say who may log in."""

    def __init__(self, chargers: int, batteries: int, up: Settings) -> None:
        self._chargers = chargers
        self._batteries = batteries
        self._up = up

    def __call__(self, environment: Mapping[str, str], folder: Path) -> Sequence[tuple[str, str]]:
        """Return the screen's lines; raises `SetupError`."""
        settings = Settings(database_url=environment["GRIDWIRE_DATABASE_URL"])
        _migrate(settings)
        if self._up.ocpp_authority == folder.resolve() / "tls" / "authority.pem":
            _make_certificates(folder, self._up.listen_host)
        demo_password, fleet_password = secret(folder, "demo_password"), secret(folder, "fleet_password")
        hasher = PasswordHasher()
        hashes = hasher.hash(demo_password), hasher.hash(fleet_password)
        asyncio.run(_register_fleet(settings, self._chargers, self._batteries, *hashes))
        return (
            ("EV-CMS admin", f"admin@example.com  {demo_password}"),
            ("Ienerzy dealer", f"{DEALER_PHONE}  (its one-time password appears below)"),
        )


def _make_certificates(folder: Path, listen_host: str) -> None:
    """A root and server certificates of our own, where the data folder has none yet."""
    now = to_datetime(clock())
    hosts = list(dict.fromkeys(["localhost", "127.0.0.1", socket.gethostname(), listen_host]))

    def server(kind: material.KeyKind) -> Callable[[str, str], str]:
        return lambda root, key: material.new_server(material.read_authority(root, key), kind, hosts, now)

    tls_files(folder, lambda: material.new_root(now), {kind: server(kind) for kind in TLS_KINDS})


async def _register_fleet(
    settings: Settings, chargers: int, batteries: int, account_hash: str, charger_hash: str
) -> None:
    async def register(connection: Connection) -> None:
        accounts = await demo.register_accounts(connection, account_hash, DEALER_PHONE)
        await demo.register_chargers(
            connection, charger_identities(chargers), charger_hash, accounts.brand.id
        )
        await demo.register_drivers(connection, _drivers(chargers))
        await demo.register_batteries(connection, battery_serials(batteries), accounts.dealer.id)

    await with_connection(settings, register)


def _drivers(chargers: int) -> int:
    return min(chargers, DEMO_DRIVERS_MAX)


def _migrate(settings: Settings) -> MigrationReport:
    try:
        return migrate_database(needed(settings.database_url, "GRIDWIRE_DATABASE_URL"))
    except StorageError as error:
        raise SetupError(str(error), "The database was left as it is.") from error
    except psycopg.OperationalError as error:
        raise _away(error) from error


def _away(error: Exception) -> SetupError:
    return SetupError(f"The database does not answer: {error}", "Check GRIDWIRE_DATABASE_URL.")


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _run(work: Coroutine[Any, Any, None]) -> None:
    uvloop.run(work)


def main() -> None:
    """Run the command line; what an operator can mend ends without a traceback."""
    # the pool says of each attempt that it failed; what matters is said once, by who needed it
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    try:
        app()
    except SetupError as error:
        console.print(
            f"[bold red]{error.problem}[/bold red]\n  {error.remedy}", highlight=False, soft_wrap=True
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
