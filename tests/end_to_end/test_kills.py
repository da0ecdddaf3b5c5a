"""`kill -9`, one part after the other, under a fleet: what was acknowledged is there exactly once."""

import asyncio
import time
from pathlib import Path

import pytest

from simulators import fleet, ledger
from tests.end_to_end import network_server
from tests.end_to_end.product import fleet_of, running_product
from tests.end_to_end.truth import check_batteries, check_chargers, check_laws, check_meters

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

CHARGERS, BATTERIES, LORAWAN, NBIOT = 12, 40, 8, 4
BETWEEN_KILLS_S = 5.0
KILLED = ("writer", "ocpp", "lorawan", "callbacks", "nats", "nbiot", "postgres", "mqtt")


async def test_every_acknowledged_sample_survives_the_death_of_every_part(server_folder: Path) -> None:
    counts = (CHARGERS, BATTERIES, LORAWAN + NBIOT)
    async with running_product(server_folder / "kills", (), *counts) as product:
        config = fleet_of(
            product,
            chargers=CHARGERS,
            batteries=BATTERIES,
            charger_interval_s=1,
            battery_interval_s=0.5,
            lorawan_meters=LORAWAN,
            nbiot_meters=NBIOT,
            meter_interval_s=1,
            first_plug_s=(0.0, 3.0),
            session_s=(20.0, 60.0),
        )
        stop, ready = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(fleet.run(config, stop=stop, ready=ready.set))
        network_server.register(product)
        calling = asyncio.create_task(network_server.call_back(product, stop))
        await asyncio.wait_for(ready.wait(), 30)
        for name in KILLED:
            await asyncio.sleep(BETWEEN_KILLS_S)
            product.kill(name)
            await product.until_restarted(name)
        await asyncio.sleep(2 * BETWEEN_KILLS_S)
        before = ledger.counts(config.ledger_path)
        began = time.monotonic()
        await asyncio.sleep(BETWEEN_KILLS_S)
        after = ledger.counts(config.ledger_path)
        assert after["battery_rows"] > before["battery_rows"], f"no battery in {time.monotonic() - began} s"
        assert after["charger_rows"] > before["charger_rows"]
        assert after["meter_rows"] > before["meter_rows"]
        stop.set()
        await asyncio.wait_for(running, 60)
        called_back = await asyncio.wait_for(calling, 60)
        await product.until_drained()
        assert check_batteries(config.ledger_path, product.database_url) > BATTERIES * 10
        assert check_chargers(config.ledger_path, product.database_url) > CHARGERS * 10
        assert check_meters(config.ledger_path, product.database_url) > (LORAWAN + NBIOT) * 10
        assert network_server.check(product, called_back) > 100
        check_laws(product.figures())
