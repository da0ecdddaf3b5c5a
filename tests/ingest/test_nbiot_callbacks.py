"""Operators' platforms that call us by HTTP, each in the form of its own documentation."""

import base64
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from deploy.temporary import free_port
from ingest.callbacks.app import CallbacksRoleConfig
from ingest.callbacks.context import CallbacksConfig
from ingest.callbacks.nbiot import INTEGRATION
from protocols.nbiot.callbacks import SHAPES
from storage.database import Pool
from tests.ingest.lorawan_roles import PARTITIONS, callbacks_role, clock, raw, refusals, rows, until, writing
from tests.ingest.nbiot_role import IMEI, datagram, device, readings, samples, shuffled

TOKENS = {INTEGRATION: "one-token", "chirpstack": "another-token"}


@pytest.fixture
async def client(pool: Pool, bus: Client) -> AsyncIterator[httpx.AsyncClient]:
    http = CallbacksConfig(tokens=TOKENS, port=free_port(), hold_s=2.0)
    config = CallbacksRoleConfig(http, clock, PARTITIONS, "quarantine")
    async with (
        writing(pool, bus),
        callbacks_role(config, pool, bus),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{http.port}", timeout=10) as client,
    ):
        yield client


async def post(
    client: httpx.AsyncClient, platform: str, body: Any, headers: dict[str, str] | None = None
) -> httpx.Response:
    bearer = {"Authorization": f"Bearer {TOKENS[INTEGRATION]}"}
    return await client.post(f"/nbiot/{platform}", json=body, headers={**bearer, **(headers or {})})


def _bodies(payload: bytes, now_ms: int) -> dict[str, tuple[Any, dict[str, str]]]:
    text, at = base64.b64encode(payload).decode(), datetime.fromtimestamp(now_ms / 1000, UTC)
    source = {"iccid": "8988280666000002864", "ip": "100.91.200.24", "imsi": "901405100002864"}
    return {
        "generic": ({"imei": IMEI, "payload": payload.hex(), "received_at": at.isoformat()}, {}),
        "1nce": (
            [
                {
                    "payload": {"type": "BASE64", "value": text},
                    "received": str(now_ms),
                    "id": "1-6393505d-67fa8489fb9c791fcddd43f0",
                    "source": "UDP",
                    "type": "TELEMETRY_DATA",
                    "version": "1.0.0",
                    "device": {**source, "imei": IMEI},
                },
                {"type": "LIFECYCLE", "device": source, "lifecycle": {"type": "x"}},
            ],
            {},
        ),
        "soracom": ({"payload": text}, {"X-Soracom-IMEI": IMEI, "X-Soracom-IMSI": "440103012345678"}),
        "hologram": (
            {
                "received": at.replace(tzinfo=None).isoformat(),
                "authtype": "psk",
                "tags": ["TOPIC1", "_DEVICE_12345_"],
                "device": {"id": 5678, "name": IMEI},
                "errorcode": 0,
                "source": "abcd",
                "timestamp": "0",
                "data": text,
            },
            {},
        ),
        "ctwing": (
            {
                "upPacketSN": -1,
                "upDataSN": -1,
                "topic": "v1/up/ad",
                "timestamp": now_ms,
                "tenantId": "2000033629",
                "serviceId": "",
                "protocol": "lwm2m",
                "productId": "15114816",
                "payload": {"APPdata": text},
                "messageType": "dataReport",
                "deviceType": "",
                "deviceId": "9901391",
                "assocAssetId": "",
                "IMSI": "undefined",
                "IMEI": IMEI,
            },
            {},
        ),
    }


@pytest.mark.parametrize("platform", SHAPES)
async def test_each_platform_in_its_own_form(client: httpx.AsyncClient, pool: Pool, platform: str) -> None:
    device_id = await device(pool, IMEI, token="not-asked-for-here")
    day = readings(int(time.time()))
    payload = datagram(IMEI, shuffled(day))
    now_ms = time.time_ns() // 1_000_000
    body, headers = _bodies(payload, now_ms)[platform]
    for _ in range(2):
        answer = await post(client, platform, body, headers)
        assert (answer.status_code, answer.json()) == (200, {"stored": True}), answer.text

    async def is_there() -> bool:
        return len(await samples(pool, device_id)) == 24

    await until(is_there)
    assert await samples(pool, device_id) == day
    kept = await raw(pool, device_id)
    assert {row[3] for row in kept} == {payload}
    # Soracom does not say when it heard the device: what comes again is another message
    assert len(kept) == (2 if platform == "soracom" else 1)
    ((ts, source),) = await rows(
        pool, "SELECT ts, source FROM raw_payloads WHERE device_id = %s LIMIT 1", device_id
    )
    assert source == "callback"
    assert abs(ts.timestamp() * 1000 - now_ms) < 5_000


async def test_every_platform_needs_the_token(client: httpx.AsyncClient, pool: Pool) -> None:
    for platform in SHAPES:
        answer = await post(client, platform, {}, {"Authorization": "Bearer another-token"})
        assert answer.status_code == 401
    assert (await client.post("/nbiot/nobody", json={})).status_code == 404


async def test_what_cannot_be_read_is_named_and_kept(client: httpx.AsyncClient, pool: Pool) -> None:
    cases: list[tuple[str, Any, str, str]] = [
        ("generic", {"imei": IMEI}, "missing", "payload"),
        ("generic", {"imei": IMEI, "payload": "%%%"}, "base64", "payload"),
        ("generic", {"imei": IMEI, "payload_hex": "AQID"}, "hex", "payload_hex"),
        ("generic", {"payload": "0102"}, "identity", "identity"),
        ("generic", {"imei": IMEI, "payload": "0102", "timestamp": "today"}, "timestamp", "timestamp"),
        ("generic", [{"imei": IMEI, "payload": "0102"}, 7], "invalid", "[1]"),
    ]
    for platform, body, reason, field in cases:
        answer = await post(client, platform, body)
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert (error["reason"], error["field"]) == (reason, field)

    async def are_told() -> bool:
        return len(await refusals(pool)) == len(cases)

    await until(are_told)
