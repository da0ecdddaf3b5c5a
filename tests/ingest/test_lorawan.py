"""LoRaWAN over a real MQTT broker, downlinks with their outcome, stored uplinks from a real HTTP server."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
import pytest
import uvicorn
from chirpstack_api import integration  # type: ignore[import-untyped]
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from nats.aio.client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from deploy.temporary import TemporaryNats as Nats
from deploy.temporary import free_port
from ingest.callbacks.app import CallbacksRoleConfig
from ingest.callbacks.context import CallbacksConfig
from ingest.lorawan import downlinks
from ingest.lorawan.app import LorawanConfig
from ingest.lorawan.backfill import SUBJECT, BackfillConfig
from ingest.lorawan.things_stack import ThingsStackConfig
from ingest.mqtt.connection import BrokerConfig
from ingest.mqtt.ingestor import IngestorConfig
from protocols.timestamps import format_utc_ms, from_datetime, parse_timestamp
from storage.database import Pool
from storage.queries import completeness, device_links
from tests.ingest.lorawan_roles import (
    PARTITIONS,
    callbacks_role,
    clock,
    command,
    get_command,
    lorawan_role,
    meter,
    raw,
    refusals,
    rows,
    until,
    writing,
)
from tests.protocols.lorawan_examples import APPLICATION, CHIRPSTACK, EUI

TTS_EUI = "0004a30b001c0530"
API_KEY = "NNSXS.test"
LPP = "AXQBEA=="
CHIRPSTACK_UP = f"application/{APPLICATION}/device/{EUI}/event/up"
THINGS_STACK_UP = "v3/app1@tenant1/devices/dev1/up"


@pytest.fixture
def config(nats: Nats) -> LorawanConfig:
    broker = BrokerConfig(nats.mqtt_url, "lorawan-test", reconnect_s_max=0.5)
    return LorawanConfig(IngestorConfig(broker, clock, PARTITIONS, "quarantine", drain_s=5.0))


@asynccontextmanager
async def broker(nats: Nats) -> AsyncIterator[aiomqtt.Client]:
    """A client with the rights of a network server."""
    address = urlsplit(nats.mqtt_url)
    assert address.hostname is not None
    client = aiomqtt.Client(
        address.hostname,
        address.port or 1883,
        identifier=f"server-{secrets.token_hex(4)}",
        username=address.username,
        password=address.password,
    )
    async with client:
        yield client


def chirpstack_up(f_cnt: int = 0, at: datetime | None = None) -> dict[str, Any]:
    time = (at or datetime.now(UTC)).isoformat()
    return {**CHIRPSTACK["up"], "data": LPP, "fCnt": f_cnt, "time": time}


def things_stack_up(f_cnt: int, at: datetime) -> dict[str, Any]:
    ids = {"device_id": "dev1", "application_ids": {"application_id": "app1"}, "dev_eui": TTS_EUI.upper()}
    uplink = {"f_cnt": f_cnt, "f_port": 1, "frm_payload": LPP, "received_at": at.isoformat()}
    return {"end_device_ids": ids, "received_at": at.isoformat(), "uplink_message": uplink}


async def send(client: aiomqtt.Client, topic: str, fields: Any) -> None:
    payload = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    await client.publish(topic, payload, qos=1)


async def until_raw(pool: Pool, device_id: int, count: int) -> None:
    async def is_there() -> bool:
        return len(await raw(pool, device_id)) >= count

    await until(is_there)


async def test_events_of_both_servers_in_both_encodings(
    config: LorawanConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    first, second = await meter(pool, EUI), await meter(pool, TTS_EUI)
    now = datetime.now(UTC)
    async with writing(pool, bus), lorawan_role(config, pool, bus), broker(nats) as client:
        await send(client, CHIRPSTACK_UP, chirpstack_up(0, now))
        await until_raw(pool, first, 1)
        message = ParseDict(chirpstack_up(1, now + timedelta(seconds=1)), integration.UplinkEvent())
        await send(client, f"eu868/{CHIRPSTACK_UP}", message.SerializeToString())
        await send(client, THINGS_STACK_UP, things_stack_up(7, now))
        await send(client, THINGS_STACK_UP, things_stack_up(7, now))  # the broker sent it twice
        await until_raw(pool, first, 2)
        await until_raw(pool, second, 1)
        await until(lambda: rows(pool, "SELECT 1 FROM meter_samples OFFSET 2"))
        await asyncio.sleep(0.5)
    payload = bytes.fromhex("01740110")
    assert await raw(pool, first) == [("uplink", 1, 0, payload), ("uplink", 1, 1, payload)]
    assert await raw(pool, second) == [("uplink", 1, 7, payload)]
    assert await rows(pool, "SELECT DISTINCT value FROM meter_samples") == [(2.72,)]
    async with pool.connection() as connection:
        links = [await device_links.get_link(connection, each) for each in (first, second)]
    assert [link and link.address for link in links] == [
        {"way": "mqtt", "application": APPLICATION, "device": EUI, "prefix": "eu868", "encoding": "protobuf"},
        {"way": "mqtt", "application": "app1@tenant1", "device": "dev1"},
    ]


async def test_what_cannot_be_read_or_speaks_for_another_is_refused(
    config: LorawanConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    async with writing(pool, bus), lorawan_role(config, pool, bus), broker(nats) as client:
        await send(client, CHIRPSTACK_UP, b"\xff\xff")
        await send(client, CHIRPSTACK_UP.replace(EUI, "02" * 8), chirpstack_up())
        await send(client, CHIRPSTACK_UP.replace(APPLICATION, "another"), chirpstack_up())
        await send(client, THINGS_STACK_UP.replace("dev1", "dev2"), things_stack_up(1, datetime.now(UTC)))

        async def is_there() -> bool:
            return len(await refusals(pool)) == 4

        await until(is_there)
    found = sorted(each["reason"] for each in await refusals(pool))
    assert found == ["application", "device", "device", "malformed"]
    assert await rows(pool, "SELECT 1 FROM devices") == []


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
async def test_a_command_goes_out_once_and_is_confirmed(
    config: LorawanConfig, pool: Pool, bus: Client, nats: Nats, encoding: str
) -> None:
    device_id = await meter(pool, EUI)
    command_id = await command(pool, device_id)  # waits before anything runs
    topic = CHIRPSTACK_UP.replace("event/up", "command/down")
    async with writing(pool, bus), broker(nats) as client:
        await client.subscribe(topic, qos=1)
        async with lorawan_role(config, pool, bus):
            await asyncio.sleep(0.5)
            assert (await get_command(pool, command_id)).state == "pending"  # nobody knows a way yet
            message = ParseDict(chirpstack_up(), integration.UplinkEvent())
            fields = chirpstack_up() if encoding == "json" else message.SerializeToString()
            await send(client, CHIRPSTACK_UP, fields)
            sent = await asyncio.wait_for(anext(aiter(client.messages)), 10)
            assert isinstance(sent.payload, bytes)
            if encoding == "json":
                down = ParseDict(json.loads(sent.payload), integration.DownlinkCommand())
            else:
                down = integration.DownlinkCommand.FromString(sent.payload)
            assert (down.id, down.dev_eui, down.f_port) == (str(command_id), EUI, 10)
            assert (down.data, down.confirmed) == (b"\xbe\xef", True)
            await send(client, CHIRPSTACK_UP, chirpstack_up(1))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(aiter(client.messages)), 1)
            assert (await get_command(pool, command_id)).state == "sent"
            ack = {**CHIRPSTACK["ack"], "queueItemId": str(command_id)}
            await send(client, CHIRPSTACK_UP.replace("/up", "/ack"), ack)

            async def is_acknowledged() -> bool:
                return (await get_command(pool, command_id)).state == "acknowledged"

            await until(is_acknowledged)


async def test_two_processes_send_a_command_once_when_told_on_the_bus(
    config: LorawanConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    device_id = await meter(pool, TTS_EUI)
    other = replace(
        config, ingestor=replace(config.ingestor, broker=BrokerConfig(nats.mqtt_url, "lorawan-other"))
    )
    async with writing(pool, bus), broker(nats) as client:
        await client.subscribe("v3/app1@tenant1/devices/dev1/down/push", qos=1)
        async with lorawan_role(config, pool, bus), lorawan_role(other, pool, bus):
            await send(client, THINGS_STACK_UP, things_stack_up(1, datetime.now(UTC)))
            await until_raw(pool, device_id, 1)
            sent = [await command(pool, device_id, port=port) for port in (224, 10)]
            await bus.publish(f"gridwire.device.{device_id}.commands")
            message = await asyncio.wait_for(anext(aiter(client.messages)), 10)
            assert isinstance(message.payload, bytes)
            (down,) = json.loads(message.payload)["downlinks"]
            assert down["correlation_ids"] == [f"gridwire:{sent[1]}"]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(aiter(client.messages)), 1)
    found = [await get_command(pool, each) for each in sent]
    # the second superseded the first, which no server would have taken
    assert [each.state for each in found] == ["superseded", "sent"]


async def test_a_command_that_no_server_takes_fails_by_name(
    config: LorawanConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    device_id = await meter(pool, TTS_EUI)
    async with writing(pool, bus), broker(nats) as client, lorawan_role(config, pool, bus):
        await send(client, THINGS_STACK_UP, things_stack_up(1, datetime.now(UTC)))
        await until_raw(pool, device_id, 1)
        command_id = await command(pool, device_id, port=224)
        await bus.publish(f"gridwire.device.{device_id}.commands")

        async def has_failed() -> bool:
            return (await get_command(pool, command_id)).state == "failed"

        await until(has_failed)
    assert (await get_command(pool, command_id)).detail == "fPort 224 is not 1 to 223"


@dataclass
class Stack:
    """The Things Stack's HTTP API as documented: downlinks to webhooks, stored uplinks as lines of JSON."""

    stored: list[dict[str, Any]] = field(default_factory=list)
    pushed: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    status: int = 200

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            return JSONResponse({"code": 16, "message": "error:pkg/auth:api_key"}, 401)
        if self.status != 200:
            return JSONResponse({"code": 14, "message": "unavailable"}, self.status)
        return None

    async def push(self, request: Request) -> Response:
        self.pushed.append((request.url.path, await request.json()))
        return self._refusal(request) or JSONResponse({})

    async def uplinks(self, request: Request) -> Response:
        self.asked.append(dict(request.query_params))
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        assert request.headers["accept"] == "text/event-stream"
        after, before = (parse_timestamp(request.query_params[name]) for name in ("after", "before"))
        found = [each for each in self.stored if after < parse_timestamp(each["received_at"]) < before][
            : int(request.query_params["limit"])
        ]

        async def lines() -> AsyncIterator[bytes]:
            for each in found:
                line = json.dumps({"result": each}).encode() + b"\n\n"
                yield line[:20]
                yield line[20:]

        return StreamingResponse(lines(), media_type="text/event-stream")


@asynccontextmanager
async def things_stack_server(stack: Stack) -> AsyncIterator[ThingsStackConfig]:
    device = "/devices/{device}"
    routes = [
        Route(
            "/api/v3/as/applications/app1/webhooks/wh1" + device + "/down/push", stack.push, methods=["POST"]
        ),
        Route("/api/v3/as/applications/app1" + device + "/packages/storage/uplink_message", stack.uplinks),
    ]
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=routes), port=port, log_config=None, lifespan="off")
    )
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    yield ThingsStackConfig(f"http://127.0.0.1:{port}", API_KEY, "wh1", timeout_s=5.0)
    server.should_exit = True
    await task


QUICK = BackfillConfig(delay_s=0.2, requests_per_minute=6_000, again_s=0.5)


async def test_a_gap_in_the_counters_is_filled_from_what_the_server_stored(
    config: LorawanConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    device_id = await meter(pool, TTS_EUI)
    start = datetime.now(UTC) - timedelta(hours=2)
    uplinks = [things_stack_up(n, start + timedelta(minutes=n)) for n in range(20)]
    broken = {**uplinks[3], "uplink_message": {"f_port": "?"}}
    stack = Stack(stored=[*uplinks, {**broken, "received_at": uplinks[15]["received_at"]}])
    async with things_stack_server(stack) as api:
        filled = replace(config, things_stack=api, backfill=QUICK)
        async with writing(pool, bus), lorawan_role(filled, pool, bus), broker(nats) as client:
            for number in (2, 3, 14, 15):  # at most once: 4 to 13 were lost on the way
                await send(client, THINGS_STACK_UP, uplinks[number])
                await until_raw(pool, device_id, 1)
                await asyncio.sleep(0.2)

            async def is_filled() -> bool:
                return {row[2] for row in await raw(pool, device_id)} >= set(range(2, 16))

            await until(is_filled)
            await until(lambda: refusals(pool))
            found = await raw(pool, device_id)
            assert len(found) == len({row[2] for row in found})  # what was there is not doubled
            samples = await rows(pool, "SELECT count(*) FROM meter_samples WHERE device_id = %s", device_id)
            assert samples == [(len(found),)]
    asked = stack.asked[0]
    assert (asked["order"], asked["after"]) == (
        "received_at",
        format_utc_ms(from_datetime(start + timedelta(minutes=3)) - 120_000_000),
    )


async def test_a_range_is_fetched_by_command_page_after_page(
    config: LorawanConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    device_id = await meter(pool, TTS_EUI)
    start = datetime.now(UTC) - timedelta(days=1)
    uplinks = [things_stack_up(n, start + timedelta(minutes=n)) for n in range(1_200)]
    stack = Stack(stored=uplinks)
    request = {
        "device_id": device_id,
        "since_us": from_datetime(start),
        "until_us": 2**62,  # the end of time is now
    }
    async with things_stack_server(stack) as api:
        filled = replace(config, things_stack=api, backfill=QUICK)
        async with writing(pool, bus), lorawan_role(filled, pool, bus), broker(nats) as client:
            unknown = await bus.request(SUBJECT, json.dumps(request).encode(), timeout=5)
            assert json.loads(unknown.data)["outcome"] == "unavailable"
            assert json.loads((await bus.request(SUBJECT, b"{}", timeout=5)).data)["outcome"] == "invalid"
            await send(client, THINGS_STACK_UP, uplinks[0])
            await until_raw(pool, device_id, 1)
            answer = await bus.request(SUBJECT, json.dumps(request).encode(), timeout=5)
            assert json.loads(answer.data) == {"outcome": "queued"}
            await until_raw(pool, device_id, 1_200)
    assert len(stack.asked) == 3
    async with pool.connection() as connection:
        heard = await completeness.counters_of(
            connection, device_id, start + timedelta(minutes=100), start + timedelta(days=2)
        )
    assert (heard.before, heard.counters.tolist(), heard.is_cut) == (99, [*range(100, 1_200)], False)


async def test_a_server_that_fails_for_a_while_is_asked_again(
    config: LorawanConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    device_id = await meter(pool, TTS_EUI)
    start = datetime.now(UTC) - timedelta(hours=1)
    uplinks = [things_stack_up(n, start + timedelta(minutes=n)) for n in range(4)]
    stack = Stack(stored=uplinks, status=503)
    async with things_stack_server(stack) as api:
        filled = replace(config, things_stack=api, backfill=QUICK)
        async with writing(pool, bus), lorawan_role(filled, pool, bus), broker(nats) as client:
            await send(client, THINGS_STACK_UP, uplinks[0])
            await until_raw(pool, device_id, 1)
            await send(client, THINGS_STACK_UP, uplinks[3])

            async def was_asked() -> bool:
                return len(stack.asked) >= 2

            await until(was_asked)
            stack.status = 200
            await until_raw(pool, device_id, 4)


async def test_downlinks_behind_webhooks_go_by_http(
    config: LorawanConfig, pool: Pool, bus: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downlinks, "SWEEP_S", 0.3)
    device_id = await meter(pool, TTS_EUI)
    stack = Stack(status=503)
    async with pool.connection() as connection:
        address = {"way": "http", "application": "app1", "device": "dev1", "webhook": "wh1"}
        await device_links.put_link(connection, device_id, "things_stack", address, datetime.now(UTC))
    command_id = await command(pool, device_id)
    async with things_stack_server(stack) as api:
        http = CallbacksConfig(tokens={}, port=free_port())
        callbacks = CallbacksRoleConfig(http, clock, PARTITIONS, "quarantine", api)
        async with writing(pool, bus), callbacks_role(callbacks, pool, bus):

            async def was_tried() -> bool:
                return len(stack.pushed) >= 2

            await until(was_tried)
            stack.status = 200

            async def is_sent() -> bool:
                return (await get_command(pool, command_id)).state == "sent"

            await until(is_sent)
            tries = len(stack.pushed)
            await asyncio.sleep(1)
            assert len(stack.pushed) == tries
            stack.status = 404
            refused = await command(pool, device_id)

            async def is_refused() -> bool:
                return (await get_command(pool, refused)).state == "failed"

            await until(is_refused)
    path, body = stack.pushed[0]
    assert path == "/api/v3/as/applications/app1/webhooks/wh1/devices/dev1/down/push"
    (down,) = body["downlinks"]
    assert (down["f_port"], down["frm_payload"], down["confirmed"]) == (10, "vu8=", True)
    assert down["correlation_ids"] == [f"gridwire:{command_id}"]
    detail = (await get_command(pool, refused)).detail
    assert detail is not None
    assert "404" in detail


async def test_a_downlink_that_the_server_may_have_taken_is_not_sent_again(
    config: LorawanConfig, pool: Pool, bus: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downlinks, "SWEEP_S", 0.2)
    device_id = await meter(pool, TTS_EUI)
    stack = Stack(status=504)
    async with pool.connection() as connection:
        address = {"way": "http", "application": "app1", "device": "dev1", "webhook": "wh1"}
        await device_links.put_link(connection, device_id, "things_stack", address, datetime.now(UTC))
    command_id = await command(pool, device_id)
    async with things_stack_server(stack) as api:
        http = CallbacksConfig(tokens={}, port=free_port())
        callbacks = CallbacksRoleConfig(http, clock, PARTITIONS, "quarantine", api)
        async with writing(pool, bus), callbacks_role(callbacks, pool, bus):

            async def is_told() -> bool:
                return (await get_command(pool, command_id)).detail is not None

            await until(is_told)
            await asyncio.sleep(1)
    found = await get_command(pool, command_id)
    assert (found.state, len(stack.pushed)) == ("sent", 1)
    assert "504" in str(found.detail)
