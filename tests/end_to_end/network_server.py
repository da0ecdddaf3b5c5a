"""A network server that calls back over HTTP, and what it was told is stored."""

import asyncio
import base64
import itertools
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg

from protocols.quantities import CODES
from tests.end_to_end.product import CHIRPSTACK_TOKEN, Product
from tests.end_to_end.truth import microseconds

DEV_EUI = "feedfeed00000001"
PROFILE = "Simulated electricity LPP"
EVERY_S = 0.05
AGAIN_S = 0.2
REGISTER_SQL = """
INSERT INTO devices (kind, identity, profile_id)
SELECT 'meter', %(identity)s, id FROM device_profiles WHERE name = %(profile)s RETURNING id
"""
STORED_SQL = """
SELECT ts, value FROM meter_samples JOIN devices ON devices.id = device_id
WHERE identity = %(identity)s AND quantity = %(quantity)s
"""


def register(product: Product) -> None:
    """Enter the device that it speaks for."""
    with psycopg.connect(product.database_url) as connection:
        made = connection.execute(REGISTER_SQL, {"identity": DEV_EUI, "profile": PROFILE}).fetchone()
    assert made is not None, f"there is no profile {PROFILE}"


async def call_back(product: Product, stop: asyncio.Event) -> dict[datetime, int]:
    """Send a register of a Wh more each time until `stop`; returns the acknowledged ones by their time."""
    acknowledged: dict[datetime, int] = {}
    url = f"http://127.0.0.1:{product.settings.callbacks_port}/chirpstack?event=up"
    headers = {"Authorization": f"Bearer {CHIRPSTACK_TOKEN}"}
    async with httpx.AsyncClient(headers=headers, timeout=20) as client:
        for number in itertools.count(1):
            at = datetime.now(UTC)
            while not stop.is_set():
                if await _is_stored(client, url, _event(number, at)):
                    acknowledged[at] = number
                    break
                await asyncio.sleep(AGAIN_S)
            if stop.is_set():
                return acknowledged
            await asyncio.sleep(EVERY_S)
    raise AssertionError("it counts without end")


async def _is_stored(client: httpx.AsyncClient, url: str, event: dict[str, Any]) -> bool:
    try:
        answer = await client.post(url, json=event)
    except httpx.TransportError:
        return False  # killed
    return answer.status_code == 200 and answer.json() == {"stored": True}


def _event(number: int, at: datetime) -> dict[str, Any]:
    payload = bytes([1, 0x83]) + number.to_bytes(4)  # Cayenne LPP: channel 1, energy in Wh
    return {
        "time": at.isoformat(),
        "deviceInfo": {"devEui": DEV_EUI, "applicationId": "17c82e96-be03-4f38-aef3-f83d48582d97"},
        "fCnt": number,
        "fPort": 2,
        "data": base64.b64encode(payload).decode(),
    }


def check(product: Product, acknowledged: dict[datetime, int]) -> int:
    """Every acknowledged register stands in the table once, with its value; returns how many."""
    wanted = {"identity": DEV_EUI, "quantity": CODES["energy_import_wh"]}
    with psycopg.connect(product.database_url) as connection:
        rows = connection.execute(STORED_SQL, wanted).fetchall()
    stored = {microseconds(at): value for at, value in rows}
    assert len(stored) == len(rows)
    for at, value in acknowledged.items():
        assert stored.get(microseconds(at)) == value, f"{at} is lost: {len(acknowledged)} acknowledged"
    return len(acknowledged)
