"""Gridwire's command line and composition root: the only place that knows every part.

`gridwire up` runs everything on one machine; `gridwire serve ROLE...` runs roles against external servers.
"""

import asyncio
import contextlib
import functools
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import prometheus_client
import structlog
import typer
import uvloop
from argon2 import PasswordHasher
from nats.aio.client import Client as Bus
from nats.js.errors import APIError
from psycopg_pool import PoolTimeout
from rich.console import Console

from api.operations import servers
from api.operations.codecs import codecs_app
from api.operations.meters import profiles_app, reprocess_command
from api.operations.recording import ocpp_app
from api.operations.registry import devices_app, users_app, with_connection
from deploy.clock import clock
from deploy.folder import secret
from deploy.local import Plan, run_local
from deploy.logs import log_json
from deploy.messages import SetupError
from deploy.settings import Settings, needed, plain, read_settings
from ingest import roles
from protocols.timestamps import to_datetime
from simulators.nbfc import nbfc_command
from storage.database import Connection, Pool, find_abilities, open_pool
from stream.bus import connect_bus
from stream.log import LogConfig, ensure_log

# Each role imports what it runs when it runs: a process of one role starts in a third of the time that all
# parts take to import, and in half of their memory.
if TYPE_CHECKING:
    from simulators.meter_fleet import MeterIdentity
    from stream.demo_meters import DemoMeter

log = structlog.get_logger()
console = Console()
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(users_app, name="users")
app.add_typer(devices_app, name="devices")
app.add_typer(ocpp_app, name="ocpp")
app.add_typer(profiles_app, name="profiles")
app.add_typer(codecs_app, name="codecs")
app.command("reprocess")(reprocess_command)
app.command("nbfc")(nbfc_command)
app.command()(servers.migrate)
app.command()(servers.status)

DEALER_PHONE = "+919800000001"
DEMO_DRIVERS_MAX = 200
CONNECT_TIMEOUT_S = 15.0
RESIDENT_PHONE = "+27820000001"
RAW_BATTERY_SHARE = 0.25  # of the simulated batteries: they send frames of a BMS
METER_INTERVAL_S = 60
NBIOT_SHARE = 1 / 3  # of the simulated meters; the others are LoRaWAN's


class Role(StrEnum):
    """What `gridwire serve` can run; `gridwire up` starts them at once, and stops the last named first."""

    WRITER = "writer"
    JOBS = "jobs"
    API = "api"
    MQTT = "mqtt"
    LORAWAN = "lorawan"
    NBIOT = "nbiot"
    CALLBACKS = "callbacks"
    OCPP = "ocpp"


Run = Callable[[Settings, Pool, Bus, asyncio.Event, Callable[[], None]], Awaitable[None]]


# --- composition: each role from the settings ---------------------------------------------------


async def _writer(s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    from stream.writer import WriterConfig
    from stream.writer import run as run_writer

    config = WriterConfig(partitions=tuple(range(s.log_partitions)), clock=clock)
    await run_writer(config, pool=pool, bus=bus, stop=stop, ready=ready)


async def _jobs(s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    from api.operations import providers
    from stream.jobs import JobsConfig
    from stream.jobs import run as run_jobs

    config = JobsConfig(
        clock=clock, senders=providers.senders(s), lending=providers.lending(s), nbfc=providers.nbfc(s)
    )
    await run_jobs(config, pool=pool, bus=bus, stop=stop, ready=ready)


async def _api(s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    from api.app import ApiConfig
    from api.app import run as run_api
    from api.operations import providers
    from api.otp import LogSender, SmsSender
    from stream.sms_status import status_readers
    from stream.stock.gst import Seller

    config = ApiConfig(
        host=s.listen_host,
        port=s.http_port,
        secret_key=needed(s.secret_key, "GRIDWIRE_SECRET_KEY").get_secret_value(),
        evcms_requests_per_15_minutes=s.evcms_requests_per_15_minutes,
        ienerzy_auth_per_minute=s.ienerzy_auth_per_minute,
        ienerzy_requests_per_minute=s.ienerzy_requests_per_minute,
        ienerzy_messages_per_minute=s.ienerzy_messages_per_minute,
        ienerzy_uploads_per_minute=s.ienerzy_uploads_per_minute,
        lithovolt_auth_per_minute=s.lithovolt_auth_per_minute,
        lithovolt_verifications_per_minute=s.lithovolt_verifications_per_minute,
        otp_sender=LogSender() if s.sms_provider == "log" else SmsSender(),
        lending=providers.lending(s),
        nbfc=providers.nbfc(s),
        nbfc_secret=plain(s.nbfc_secret),
        seller=Seller(s.seller_gstin, s.seller_address),
        sms_statuses=status_readers(s.sms_provider, plain(s.sms_secret), s.api_url),
        payments=providers.payments(s),
        public_url=s.api_url,
        web_origins=s.web_origins,
        files=providers.files(s),
    )
    await run_api(config, pool=pool, bus=bus, clock=clock, stop=stop, ready=ready)


ROLES: Mapping[Role, Run] = {
    Role.WRITER: _writer,
    Role.JOBS: _jobs,
    Role.API: _api,
    Role.MQTT: functools.partial(roles.mqtt, clock),
    Role.LORAWAN: functools.partial(roles.lorawan, clock),
    Role.NBIOT: functools.partial(roles.nbiot, clock),
    Role.CALLBACKS: functools.partial(roles.callbacks, clock),
    Role.OCPP: functools.partial(roles.ocpp, clock),
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
    # two connections of each partition; two of each worker that bills meters
    more = (2 * settings.log_partitions if Role.WRITER in roles else 0) + (4 if Role.JOBS in roles else 0)
    async with _servers(settings, "-".join(roles), more_connections=more) as (pool, bus):
        try:
            async with pool.connection() as connection:
                log.info("database", abilities=(await find_abilities(connection)).value)
        except PoolTimeout as error:
            raise servers.away(error) from error
        try:
            await ensure_log(bus.jetstream(), LogConfig(bytes_max=settings.log_bytes_max))
        except APIError as error:
            remedy = "Lower GRIDWIRE_LOG_MIB_MAX, or give nats-server more (jetstream: max_file_store)."
            raise SetupError(f"The bus does not take the log: {error.description}.", remedy) from error
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
Meters = Annotated[int, typer.Option(min=0, help="Simulated meters, a third of them NB-IoT; 0 for none.")]
Seed = Annotated[int, typer.Option(help="Of the fleet: the same seed behaves the same.")]
Faults = Annotated[Literal["none", "tsbs", "odd"], typer.Option(help="How devices misbehave.")]


@app.command()
def up(
    chargers: Chargers = 50,
    batteries: Batteries = 200,
    meters: Meters = 60,
    seed: Seed = 1,
    faults: Faults = "none",
    ocpp_2_share: Ocpp2Share = 0.2,
    tls: Annotated[
        bool, typer.Option("--tls", help="Let chargers in over TLS too, with a CA of our own.")
    ] = False,
) -> None:
    """Run everything on this machine: servers, roles and a simulated fleet, until Ctrl-C."""
    counts = {"--chargers": chargers, "--batteries": batteries, "--meters": meters}
    words = {**counts, "--ocpp-2-share": ocpp_2_share, "--seed": seed, "--faults": faults}
    fleet = [str(word) for pair in words.items() for word in pair] if any(counts.values()) else ()
    settings = read_settings()
    if tls:
        from ingest.ocpp.security.local import with_tls

        settings = with_tls(settings)
    plan = Plan([role.value for role in Role], fleet, Prepare(chargers, batteries, meters, settings))
    asyncio.run(run_local(settings, plan, console))


@app.command()
def serve(roles: Annotated[list[Role], typer.Argument(help="One or more roles.")]) -> None:
    """Run roles in this process against GRIDWIRE_DATABASE_URL, GRIDWIRE_NATS_URL, GRIDWIRE_MQTT_URL."""
    settings = read_settings()
    log_json(settings.log_level)
    _run(_serve(settings, list(dict.fromkeys(roles))))


@app.command()
def simulate(  # noqa: PLR0913, PLR0917 (each is an option)
    chargers: Chargers = 50,
    batteries: Batteries = 200,
    meters: Meters = 60,
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
    from simulators.fleet import FleetConfig, version_weights
    from simulators.fleet import run as run_fleet
    from storage.demo import DRIVER_ID_TAG

    settings = read_settings()
    log_json(settings.log_level)
    if register:
        # the demo accounts get it too: an empty one would be an open door
        secret_hash = PasswordHasher().hash(needed(password or None, "GRIDWIRE_FLEET_PASSWORD"))
        counts = (chargers, batteries, meters)
        _run(_register_fleet(settings, counts, secret_hash, secret_hash, password))
    config = FleetConfig(
        chargers=chargers,
        batteries=batteries,
        seed=seed,
        ocpp_url=ocpp_url or f"ws://127.0.0.1:{settings.ocpp_port}",
        mqtt_url=settings.mqtt_url or f"mqtt://127.0.0.1:{settings.mqtt_port}",
        password=password,
        id_tags=[DRIVER_ID_TAG.format(n) for n in range(1, _drivers(chargers) + 1)],
        faults=faults,
        versions=version_weights(ocpp_2_share),
        ledger_path=ledger or settings.data_dir / "fleet.sqlite",
        clock=clock,
        raw_battery_share=RAW_BATTERY_SHARE,
        lorawan_meters=meters - _nbiot_count(meters),
        nbiot_meters=_nbiot_count(meters),
        lorawan_mqtt_url=settings.lorawan_mqtt_url,
        coap_url=f"coap://127.0.0.1:{settings.coap_port}",
        udp_address=f"127.0.0.1:{settings.udp_port}",
        meter_token=password,
        meter_interval_s=METER_INTERVAL_S,
    )

    async def fleet() -> None:
        await run_fleet(config, stop=_stop_on_signals(), ready=lambda: log.info("ready"))

    _run(fleet())


# --- what the commands share --------------------------------------------------------------------


class Prepare:
    """What `up` does once its servers run: certificates, migrate, register the fleet, say who may log in."""

    def __init__(self, chargers: int, batteries: int, meters: int, up: Settings) -> None:
        self._counts = (chargers, batteries, meters)
        self._up = up

    def __call__(self, environment: Mapping[str, str], folder: Path) -> Sequence[tuple[str, str]]:
        """Return the screen's lines; raises `SetupError`."""
        from ingest.ocpp.security.local import has_own_authority, make_certificates
        from stream.demo_batteries import LITHOVOLT_ADMIN, WHOLESALER
        from stream.demo_meters import ADMIN_EMAIL

        settings = Settings(database_url=environment["GRIDWIRE_DATABASE_URL"])
        servers.run_migrations(settings)
        if has_own_authority(self._up, folder):
            make_certificates(folder, self._up.listen_host, to_datetime(clock()))
        demo_password, fleet_password = secret(folder, "demo_password"), secret(folder, "fleet_password")
        hasher = PasswordHasher()
        hashes = hasher.hash(demo_password), hasher.hash(fleet_password)
        asyncio.run(_register_fleet(settings, self._counts, *hashes, fleet_password))
        return (
            ("EV-CMS admin", f"admin@example.com  {demo_password}"),
            ("EV-CMS brand", f"brand@example.com  {demo_password}"),
            ("EV-CMS driver", f"driver1@example.com  {demo_password}"),
            ("Ienerzy dealer", f"{DEALER_PHONE}  (its one-time password appears below)"),
            ("Lithovolt", f"{LITHOVOLT_ADMIN}, {WHOLESALER}  {demo_password}"),
            ("Mobile resident", f"{RESIDENT_PHONE}  {demo_password}"),
            ("Mobile portal", f"{ADMIN_EMAIL}  {demo_password}"),
        )


async def _register_fleet(
    settings: Settings,
    counts: tuple[int, int, int],
    account_hash: str,
    charger_hash: str,
    meter_token: str | None,
) -> None:
    from api.operations import providers
    from simulators.fleet import battery_serials, charger_identities
    from simulators.meter_fleet import meter_identities
    from storage import demo
    from stream import demo_batteries
    from stream.demo_meters import register_meters

    chargers, batteries, meters = counts

    async def register(connection: Connection) -> None:
        accounts = await demo.register_accounts(connection, account_hash, DEALER_PHONE)
        now = to_datetime(clock())
        await demo.register_chargers(
            connection, charger_identities(chargers), charger_hash, accounts.brand.id, now
        )
        await demo.register_drivers(connection, _drivers(chargers), account_hash)
        serials = battery_serials(batteries)
        await demo.register_batteries(connection, serials, accounts.dealer.id)
        fleet = demo_batteries.DemoFleet(serials, accounts.dealer)
        await demo_batteries.register_families(
            connection, fleet, account_hash, providers.lending(settings), now
        )
        nbiot = _nbiot_count(meters)
        found = [_demo_meter(each, meter_token) for each in meter_identities(meters - nbiot, nbiot)]
        await register_meters(
            connection, found, resident_phone=RESIDENT_PHONE, password_hash=account_hash, now=now
        )

    await with_connection(settings, register)


def _demo_meter(found: "MeterIdentity", token: str | None) -> "DemoMeter":
    from simulators.meter_makes import read_codec
    from stream.demo_meters import DemoCodec, DemoMeter

    make = found.make
    codec = None if make.codec is None else read_codec(make.codec)
    return DemoMeter(
        identity=found.identity,
        utility=make.utility,
        communication_type="LoRaWAN" if make.carrier == "lorawan" else "NB-IoT",
        profile=found.profile(METER_INTERVAL_S),
        quantity=make.quantity,
        channel=make.channel,
        register_modulus=Decimal(str(make.modulus * make.scale)),
        codec=None if codec is None else DemoCodec(codec.name, codec.source, codec.examples),
        key=found.key,
        token=token if found.way == "coap" else None,
    )


def _nbiot_count(meters: int) -> int:
    return round(meters * NBIOT_SHARE)


def _drivers(chargers: int) -> int:
    return max(1, min(chargers, DEMO_DRIVERS_MAX))


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _run(work: Coroutine[Any, Any, None]) -> None:
    uvloop.run(work)


def _tell(error: SetupError) -> NoReturn:
    console.print(f"[bold red]{error.problem}[/bold red]\n  {error.remedy}", highlight=False, soft_wrap=True)
    sys.exit(1)


def main() -> None:
    """Run the command line; what an operator can mend ends without a traceback."""
    # the pool says of each attempt that it failed; what matters is said once, by who needed it
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    try:
        app()
    except SetupError as error:
        _tell(error)
    except BaseExceptionGroup as group:  # of the roles of one process
        found = group.subgroup(SetupError)
        if found is None:
            raise
        _tell(next(each for each in found.exceptions if isinstance(each, SetupError)))


if __name__ == "__main__":
    main()
