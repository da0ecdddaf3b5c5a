"""The whole product for a test: everything that `gridwire up` starts, in a folder and on ports of its own."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from rich.console import Console

from deploy.clock import clock
from deploy.local import LocalRun, Plan
from deploy.settings import Settings
from deploy.temporary import free_port
from deploy.terminal import Figures, scrape, total
from gridwire import Prepare, Role
from simulators.fleet import FleetConfig
from storage.demo import DRIVER_ID_TAG

READY_TIMEOUT_S = 90.0
CHIRPSTACK_TOKEN = "what ChirpStack bears in tests"


@dataclass(slots=True)
class Product:
    """A running product. `events` are all that its services logged, with the service's name."""

    settings: Settings
    run: LocalRun
    folder: Path
    events: list[tuple[str, dict[str, object]]]
    accounts: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.http_port}"

    @property
    def ocpp_url(self) -> str:
        return f"ws://127.0.0.1:{self.settings.ocpp_port}"

    @property
    def device_mqtt_url(self) -> str:
        return f"mqtt://127.0.0.1:{self.settings.mqtt_port}"

    @property
    def network_mqtt_url(self) -> str:
        password = (self.folder / "secrets" / "network_password").read_text()
        return f"mqtt://network:{password}@127.0.0.1:{self.settings.mqtt_port}"

    @property
    def database_url(self) -> str:
        return self.run.environment["GRIDWIRE_DATABASE_URL"]

    def figures(self) -> Figures:
        found = scrape(f"{self.url}/metrics")
        assert found is not None, "the API does not answer"
        return found

    def kill(self, name: str) -> None:
        """`kill -9` the present process of a service."""
        process = self.run.supervisor.running[name].process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)

    async def until_restarted(self, name: str, seconds: float = 30.0) -> None:
        """Wait until the supervisor has a living process of the service again, and said so."""
        await until(lambda: (name, "restarted") in {(n, e.get("event")) for n, e in self.events}, seconds)

    async def until_drained(self, seconds: float = 60.0) -> None:
        """Wait until nothing is in flight, and stays so."""

        def drained() -> bool:
            figures = scrape(f"{self.url}/metrics")
            return figures is not None and total(figures, "gridwire_samples_in_flight") == 0

        await until(drained, seconds)

    async def login(self, client: httpx.AsyncClient) -> None:
        """Log the client in as the EV-CMS admin."""
        body = {"email": "admin@example.com", "password": self.accounts["admin"]}
        answer = await client.post(f"{self.url}/api/v1/auth/login", json=body)
        answer.raise_for_status()
        client.headers["Authorization"] = f"Bearer {answer.json()['data']['accessToken']}"


@contextlib.asynccontextmanager
async def running_product(
    folder: Path, fleet: Sequence[str], chargers: int, batteries: int, meters: int = 0,
    roles: Sequence[Role] = tuple(Role), **more: Any,
) -> AsyncIterator[Product]:  # fmt: skip
    """`more`: settings by name, where the test needs others."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    settings = Settings(
        data_dir=folder,
        http_port=free_port(),
        ocpp_port=free_port(),
        mqtt_port=free_port(),
        nats_port=free_port(),
        coap_port=free_port(),
        udp_port=free_port(),
        callbacks_port=free_port(),
        chirpstack_token=SecretStr(CHIRPSTACK_TOKEN),
        evcms_requests_per_15_minutes=1_000_000,
        **more,
    )
    events: list[tuple[str, dict[str, object]]] = []
    plan = Plan([role.value for role in roles], fleet, Prepare(chargers, batteries, meters, settings))
    run = LocalRun(settings, plan, folder, Console(quiet=True), lambda name, e: events.append((name, e)))
    product = Product(settings, run, folder, events)
    try:
        await asyncio.wait_for(run.start(), READY_TIMEOUT_S)
        product.accounts["admin"] = (folder / "secrets" / "demo_password").read_text()
        yield product
    finally:
        await run.stop()


def fleet_of(product: Product, *, chargers: int, batteries: int, **more: Any) -> FleetConfig:
    """The fleet that `Prepare` registered for this product."""
    return FleetConfig(
        chargers=chargers,
        batteries=batteries,
        seed=7,
        ocpp_url=product.ocpp_url,
        mqtt_url=product.device_mqtt_url,
        lorawan_mqtt_url=product.network_mqtt_url,
        coap_url=f"coap://127.0.0.1:{product.settings.coap_port}",
        udp_address=f"127.0.0.1:{product.settings.udp_port}",
        meter_token=(product.folder / "secrets" / "fleet_password").read_text(),
        password=(product.folder / "secrets" / "fleet_password").read_text(),
        id_tags=[DRIVER_ID_TAG.format(number) for number in range(1, chargers + 1)],
        ledger_path=product.folder / "fleet.sqlite",
        clock=clock,
        **more,
    )


async def until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(true):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {seconds} s")
        await asyncio.sleep(0.2)
