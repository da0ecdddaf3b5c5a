"""A fleet of simulated chargers, batteries and meters against a platform, and its ledger.

Used by `gridwire simulate` and by end-to-end tests. Devices start one after another, outlive whatever becomes
of the platform, and on stop end their sessions and wait, for a bounded time, for the last acknowledgements.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import structlog

from protocols.ocpp.surface import Version
from simulators.battery import BatterySettings
from simulators.battery_client import BatteryClient
from simulators.battery_fleet import battery_clients, raw_frames
from simulators.charger import ChargePoint
from simulators.charger_client import ChargerClient, LinkConfig
from simulators.charger_settings import ChargerSettings, Span
from simulators.faults import Faults, preset
from simulators.ledger import Ledger, last_meter_rows, registers_wh
from simulators.lorawan_client import LorawanClient
from simulators.meter_fleet import MeterFleet, meter_identities
from simulators.mqtt_link import BrokerConfig
from simulators.nbiot_client import NbiotClient, NbiotConfig
from simulators.pack import PackSpec
from simulators.records import Clock

log = structlog.get_logger()

CHARGER_PREFIX = "SIM-CP"
BATTERY_PREFIX = "SIM-BAT"
DEFAULT_ID_TAG = "SIM-TAG-0001"
RAMP_S_MAX = 10.0
RAMP_PER_S = 50.0
POLL_S = 0.2
_TOTALS = ("charger_rows", "battery_rows", "battery_frames", "meter_rows")
Client = ChargerClient | BatteryClient | LorawanClient | NbiotClient


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """What runs, against what.

    `password`: one for all chargers, or one each by identity; None for no authentication. `faults`: the name
    of a preset, or probabilities. `versions`: weights of the OCPP versions that the chargers speak, dealt out
    evenly over their numbers. `sessions_per_charger`: None for endless; else `run` returns when all are
    had. `speed` shortens sessions and fills batteries faster; intervals and timestamps stay real. Above
    `mqtt_connections_max`, batteries share connections. `raw_battery_share`, 0 to 1, of the batteries send
    frames of a BMS. `lorawan_mqtt_url`: the broker that network servers publish to, None for `mqtt_url`;
    `meter_token`: of meters on CoAP; NB-IoT meters send each `nbiot_readings` readings. `clock` returns
    microseconds since 1970 UTC.
    """

    chargers: int
    batteries: int
    seed: int
    ocpp_url: str
    mqtt_url: str
    ledger_path: Path
    clock: Clock
    password: str | Mapping[str, str] | None = field(default=None, repr=False)
    id_tags: Sequence[str] = (DEFAULT_ID_TAG,)
    faults: str | Faults = "none"
    versions: Mapping[Version, float] = field(default_factory=lambda: MappingProxyType({Version.V16: 1.0}))
    charger_prefix: str = CHARGER_PREFIX
    battery_prefix: str = BATTERY_PREFIX
    connectors: int = 2
    charger_interval_s: int = 10
    clock_aligned_s: int = 60
    battery_interval_s: float = 2.0
    first_plug_s: Span = (0.0, 25.0)
    session_s: Span = (60.0, 240.0)
    pause_s: Span = (10.0, 60.0)
    sessions_per_charger: int | None = None
    speed: float = 1.0
    mqtt_connections_max: int = 200
    call_timeout_s: float = 30.0
    retry_s: float = 0.5
    retry_s_max: float = 10.0
    finish_s: float = 10.0
    report_s: float = 10.0
    raw_battery_share: float = 0.0
    lorawan_meters: int = 0
    nbiot_meters: int = 0
    lorawan_mqtt_url: str | None = None
    coap_url: str = "coap://127.0.0.1:5683"
    udp_address: str = "127.0.0.1:5684"
    meter_token: str | None = field(default=None, repr=False)
    meter_interval_s: int = 60
    nbiot_readings: int = 5


def charger_identities(count: int, prefix: str = CHARGER_PREFIX) -> list[str]:
    """`SIM-CP-0001` and on: what has to be registered before the fleet starts."""
    return [f"{prefix}-{number:04}" for number in range(1, count + 1)]


def battery_serials(count: int, prefix: str = BATTERY_PREFIX) -> list[str]:
    """`SIM-BAT-0001` and on."""
    return [f"{prefix}-{number:04}" for number in range(1, count + 1)]


def version_weights(ocpp_2_share: float) -> Mapping[Version, float]:
    """Weights for a fleet of which that share, 0 to 1, speaks 2.x: half of it 2.0.1, half 2.1."""
    if not 0 <= ocpp_2_share <= 1:
        raise ValueError(f"the share of OCPP 2.x is 0 to 1, not {ocpp_2_share}")
    half = ocpp_2_share / 2
    return {Version.V16: 1 - ocpp_2_share, Version.V201: half, Version.V21: half}


def charger_versions(count: int, weights: Mapping[Version, float]) -> list[Version]:
    """The version of each charger by its number: every stretch of the fleet has its share of each.

    Raises `ValueError` if no weight is above 0 or one is below.
    """
    total = sum(weights.values())
    if total <= 0 or min(weights.values()) < 0:
        raise ValueError(f"OCPP versions need weights of 0 and more, one of them above 0: {dict(weights)}")
    dealt = dict.fromkeys(weights, 0)
    found: list[Version] = []
    for number in range(1, count + 1):
        version = max(weights, key=lambda one: weights[one] / total * number - dealt[one])
        dealt[version] += 1
        found.append(version)
    return found


async def run(config: FleetConfig, *, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Run the fleet until `stop` is set, or all sessions are had.

    `ready` is called once every device runs. What ends a device that should not end is raised.
    """
    async with Ledger.open(config.ledger_path) as ledger, asyncio.TaskGroup() as group:
        chargers, batteries = _chargers(config, ledger), _batteries(config, ledger)
        meters = _meters(config, ledger)
        report = group.create_task(_report(config, chargers, batteries, ledger))
        running = await _ramp_up(group, [chargers, batteries, meters], stop)
        ready()
        await _until_over(config, chargers, stop)
        clients: list[Client] = [*chargers, *batteries, *meters]
        for client in clients:
            client.finish()
        if running:
            await asyncio.wait(running)
        report.cancel()
    _log_counts(chargers, batteries, ledger, "fleet_stopped")


def _chargers(config: FleetConfig, ledger: Ledger) -> list[ChargerClient]:
    faults = _faults(config)
    registers = registers_wh(config.ledger_path)

    def client(identity: str, version: Version) -> ChargerClient:
        settings = ChargerSettings(
            identity,
            id_tags=tuple(config.id_tags),
            version=version,
            connectors=config.connectors,
            sample_interval_s=config.charger_interval_s,
            clock_aligned_s=config.clock_aligned_s,
            first_plug_s=config.first_plug_s,
            session_s=config.session_s,
            pause_s=config.pause_s,
            sessions_max=config.sessions_per_charger,
            speed=config.speed,
            register_wh=registers.get(identity),
            call_timeout_s=config.call_timeout_s,
            faults=faults,
        )
        model = ChargePoint(settings, _dice(config, identity), config.clock())
        password = config.password.get(identity) if isinstance(config.password, Mapping) else config.password
        link = LinkConfig(
            config.ocpp_url,
            password,
            retry_s=config.retry_s,
            retry_s_max=config.retry_s_max,
            finish_s=config.finish_s,
        )
        return ChargerClient(model, link, ledger.record, config.clock, _dice(config, f"link {identity}"))

    identities = charger_identities(config.chargers, config.charger_prefix)
    versions = charger_versions(config.chargers, config.versions)
    return [client(identity, version) for identity, version in zip(identities, versions, strict=True)]


def _batteries(config: FleetConfig, ledger: Ledger) -> list[BatteryClient]:
    faults = _faults(config)
    settings = [
        BatterySettings(
            serial,
            config.battery_interval_s,
            pack=PackSpec(speed=config.speed),
            faults=faults,
            raw=raw_frames(number, config.raw_battery_share),
        )
        for number, serial in enumerate(battery_serials(config.batteries, config.battery_prefix), start=1)
    ]
    return battery_clients(
        settings, _broker(config, config.mqtt_url), ledger.record, config.clock,
        lambda name: _dice(config, name), config.mqtt_connections_max,
    )  # fmt: skip


def _meters(config: FleetConfig, ledger: Ledger) -> list[LorawanClient | NbiotClient]:
    nbiot = NbiotConfig(
        config.coap_url,
        config.udp_address,
        config.meter_token,
        retry_s=config.retry_s,
        retry_s_max=config.retry_s_max,
        finish_s=config.finish_s,
    )
    fleet = MeterFleet(
        meter_identities(config.lorawan_meters, config.nbiot_meters),
        broker=_broker(config, config.lorawan_mqtt_url or config.mqtt_url),
        nbiot=nbiot,
        states=last_meter_rows(config.ledger_path),
        faults=_faults(config),
        interval_s=config.meter_interval_s,
        nbiot_readings=config.nbiot_readings,
        speed=config.speed,
    )
    return fleet.clients(ledger.record, config.clock, lambda name: _dice(config, name))


def _broker(config: FleetConfig, url: str) -> BrokerConfig:
    return BrokerConfig(url, retry_s=config.retry_s, retry_s_max=config.retry_s_max, finish_s=config.finish_s)


def _faults(config: FleetConfig) -> Faults:
    return preset(config.faults) if isinstance(config.faults, str) else config.faults


def _dice(config: FleetConfig, name: str) -> random.Random:
    """Each device has its own, so that one more device changes nothing for the others."""
    return random.Random(f"{config.seed} {name}")  # noqa: S311  # repeatable, not secret


async def _ramp_up(
    group: asyncio.TaskGroup, kinds: Sequence[Sequence[Client]], stop: asyncio.Event
) -> list[asyncio.Task[None]]:
    """Start clients evenly, all kinds at once."""
    places = [(place / len(clients), client) for clients in kinds for place, client in enumerate(clients)]
    pause_s = min(RAMP_S_MAX / max(1, len(places)), 1 / RAMP_PER_S)
    running: list[asyncio.Task[None]] = []
    for _, client in sorted(places, key=lambda place: place[0]):
        if stop.is_set():
            break
        running.append(group.create_task(client.run()))
        await asyncio.sleep(pause_s)
    return running


async def _until_over(config: FleetConfig, chargers: Sequence[ChargerClient], stop: asyncio.Event) -> None:
    if config.sessions_per_charger is None:
        await stop.wait()
        return
    while not stop.is_set() and not all(client.model.is_done for client in chargers):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), POLL_S)


async def _report(
    config: FleetConfig,
    chargers: Sequence[ChargerClient],
    batteries: Sequence[BatteryClient],
    ledger: Ledger,
) -> None:
    while True:
        await asyncio.sleep(config.report_s)
        _log_counts(chargers, batteries, ledger, "fleet")


def _log_counts(
    chargers: Sequence[ChargerClient], batteries: Sequence[BatteryClient], ledger: Ledger, event: str
) -> None:
    log.info(
        event,
        chargers_connected=sum(client.model.is_connected for client in chargers),
        battery_links_connected=sum(client.is_connected for client in batteries),
        samples_waiting=sum(battery.waiting for client in batteries for battery in client.batteries.values()),
        **{
            name: ledger.totals[name]
            for name in ("charger_rows", "battery_rows", "battery_frames", "meter_rows")
        },
        sessions_started=ledger.totals["sessions_started"],
        session_stops=ledger.totals["session_stops"],
    )
