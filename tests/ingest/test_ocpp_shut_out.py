"""A charger that an operator archives loses its socket at once, wherever it is held."""

from nats.aio.client import Client

from storage.database import Pool
from storage.queries import chargers, devices
from stream.bus import end_socket
from tests.ingest.ocpp_gateway import add_charger, eventually, running_gateway
from tests.ingest.ocpp_peer import peer


async def test_an_archived_charger_loses_its_socket(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, peer(f"{running.url}/CP1") as charger:
        await charger.call("Heartbeat", {})

        async def is_gone() -> bool:
            return not running.gateway.links

        async with pool.connection() as db:
            await devices.set_device_status(db, device.id, "archived")
            generation = await chargers.shut_out_charger(db, device.id)
        await end_socket(bus, device.id, generation)
        await eventually(is_gone)
    async with pool.connection() as db:
        held = await chargers.get_charger(db, device.id)
    assert held is not None
    assert (held.is_connected, held.generation) == (False, generation)
