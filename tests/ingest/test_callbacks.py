"""Network servers that call us by HTTP: over real sockets, with the real log, writer and database."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from chirpstack_api import integration  # type: ignore[import-untyped]
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from nats.aio.client import Client

from deploy.messages import ListenError
from deploy.temporary import TemporaryNats as Nats
from deploy.temporary import free_port
from ingest.callbacks.app import CallbacksRoleConfig
from ingest.callbacks.context import CallbacksConfig
from protocols.timestamps import from_datetime, parse_timestamp
from storage.database import Pool
from storage.queries import device_links
from stream.log import LogConfig, ensure_log
from tests.ingest.lorawan_roles import (
    PARTITIONS,
    callbacks_role,
    clock,
    command,
    get_command,
    meter,
    raw,
    refusals,
    rows,
    until,
    writing,
)
from tests.protocols.lorawan_examples import APPLICATION, CHIRPSTACK, EUI, THINGS_STACK

TOKENS = {"chirpstack": "one-token", "things_stack": "another-token"}
LPP = "AXQBEA=="  # channel 1: 2.72 V


def bearer(integration_name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[integration_name]}"}


def lpp_uplink(f_cnt: int = 0, **fields: Any) -> dict[str, Any]:
    return {**CHIRPSTACK["up"], "data": LPP, "fCnt": f_cnt, **fields}


@pytest.fixture
def config() -> CallbacksRoleConfig:
    http = CallbacksConfig(tokens=TOKENS, port=free_port(), hold_s=1.0)
    return CallbacksRoleConfig(http, clock, PARTITIONS, "quarantine")


@pytest.fixture
async def client(config: CallbacksRoleConfig) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{config.http.port}", timeout=10) as client:
        yield client


@pytest.fixture
async def served(config: CallbacksRoleConfig, pool: Pool, bus: Client) -> AsyncIterator[None]:
    async with writing(pool, bus), callbacks_role(config, pool, bus):
        yield


async def chirpstack(client: httpx.AsyncClient, event: str, fields: dict[str, Any]) -> httpx.Response:
    headers = bearer("chirpstack")
    return await client.post("/chirpstack", params={"event": event}, json=fields, headers=headers)


async def things_stack(client: httpx.AsyncClient, fields: Any, path: str = "") -> httpx.Response:
    return await client.post(f"/things-stack{path}", json=fields, headers=bearer("things_stack"))


@pytest.mark.usefixtures("served")
async def test_an_uplink_becomes_a_raw_row_and_its_samples(client: httpx.AsyncClient, pool: Pool) -> None:
    device_id = await meter(pool, EUI)
    answer = await chirpstack(client, "up", lpp_uplink())
    assert (answer.status_code, answer.json()) == (200, {"stored": True})
    await until(lambda: rows(pool, "SELECT 1 FROM meter_samples WHERE device_id = %s", device_id))
    assert await raw(pool, device_id) == [("uplink", 1, 0, bytes.fromhex("01740110"))]
    ((ts, value),) = await rows(pool, "SELECT ts, value FROM meter_samples WHERE device_id = %s", device_id)
    assert from_datetime(ts) == parse_timestamp("2022-07-18T09:34:15.775023Z")
    assert value == pytest.approx(2.72)
    ((meta,),) = await rows(pool, "SELECT meta FROM raw_payloads WHERE device_id = %s", device_id)
    assert meta["gateways"] == [{"id": "0016c001f153a14c", "rssi_dbm": -36, "snr_db": 10.5}]
    assert meta["data_rate"] == "SF11BW125"


@pytest.mark.usefixtures("served")
async def test_the_same_uplink_in_protobuf_is_the_same_row(client: httpx.AsyncClient, pool: Pool) -> None:
    device_id = await meter(pool, EUI)
    body = ParseDict(lpp_uplink(), integration.UplinkEvent()).SerializeToString()
    headers = {**bearer("chirpstack"), "Content-Type": "application/octet-stream"}
    for _ in range(2):
        answer = await client.post("/chirpstack?event=up", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
    assert (await chirpstack(client, "up", lpp_uplink())).status_code == 200
    assert (await chirpstack(client, "up", lpp_uplink(1))).status_code == 200
    await until(lambda: rows(pool, "SELECT 1 FROM raw_payloads WHERE counter = 1"))
    assert [counter for _, _, counter, _ in await raw(pool, device_id)] == [0, 1]


@pytest.mark.usefixtures("served")
async def test_every_documented_event_is_kept_as_it_came(client: httpx.AsyncClient, pool: Pool) -> None:
    device_id = await meter(pool, EUI)
    for event, fields in CHIRPSTACK.items():
        assert (await chirpstack(client, event, fields)).status_code == 200
    for name, fields in THINGS_STACK.items():
        answer = await things_stack(client, fields, "/" + name.partition(" ")[0])
        assert answer.status_code == (400 if name == "downlink_failed" else 200), answer.text

    async def is_there() -> bool:
        return len(await raw(pool, device_id)) == 7

    await until(is_there)
    found = {event: payload for event, _, _, payload in await raw(pool, device_id)}
    assert found.keys() == {"join", "uplink", "status", "sent", "ack", "log", "location"}
    assert json.loads(found["join"]) == CHIRPSTACK["join"]

    async def is_stored() -> bool:
        stored = "SELECT count(*) FROM meter_samples WHERE device_id = %s AND ts < '2022-07-19'"
        # battery and margin, latitude and longitude; the uplink's byte is no LPP
        samples = await rows(pool, stored, device_id)
        return samples == [(4,)] and "dev_eui" in {each["reason"] for each in await refusals(pool)}

    await until(is_stored)
    others = await rows(pool, "SELECT identity, status FROM devices WHERE id <> %s ORDER BY 1", device_id)
    assert others == [
        ("0004a30b001c0530", "quarantined"),
        ("0016c001f000175a", "quarantined"),
        ("4200000000000000", "quarantined"),
    ]


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer another-token"},
        {"Authorization": "Basic one-token"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer ö".encode()},
    ],
)
async def test_without_its_token_nothing_is_taken(
    client: httpx.AsyncClient, pool: Pool, headers: dict[str, Any]
) -> None:
    answer = await client.post("/chirpstack?event=up", json=lpp_uplink(), headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["reason"] == "unauthorized"
    assert "Authorization: Bearer" in answer.json()["error"]["message"]
    assert await rows(pool, "SELECT 1 FROM devices") == []


async def test_an_integration_without_a_token_is_closed(
    config: CallbacksRoleConfig, client: httpx.AsyncClient, pool: Pool, bus: Client
) -> None:
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=64 << 20))
    closed = replace(config, http=replace(config.http, tokens={"chirpstack": ""}))
    async with callbacks_role(closed, pool, bus):
        for path in ("/chirpstack?event=up", "/things-stack"):
            answer = await client.post(path, json={}, headers={"Authorization": "Bearer"})
            assert answer.status_code == 401
            assert "no token is set" in answer.json()["error"]["message"]


@pytest.mark.usefixtures("served")
async def test_a_bad_body_is_refused_by_name_and_kept(client: httpx.AsyncClient, pool: Pool) -> None:
    cases = [
        (await chirpstack(client, "up", {**lpp_uplink(), "fPort": 999}), "invalid", "fPort"),
        (await chirpstack(client, "sideways", lpp_uplink()), "event", "event"),
        (await things_stack(client, {"end_device_ids": {"device_id": "d"}}), "event", ""),
        (await things_stack(client, [1, 2]), "invalid", ""),
    ]
    for answer, reason, field in cases:
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["reason"], error["field"]) == (reason, field)

    async def is_there() -> bool:
        return len(await refusals(pool)) == len(cases)

    await until(is_there)
    kept = await refusals(pool)
    assert {each["source"] for each in kept} == {"callbacks"}
    assert sorted(each["field"] for each in kept) == ["", "", "event", "fPort"]


@pytest.mark.usefixtures("served")
async def test_bodies_have_a_bound_whether_they_say_their_length_or_not(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65_536

    for content in (b" " * 300_000, endless()):
        answer = await client.post("/things-stack", content=content, headers=bearer("things_stack"))
        assert answer.status_code == 413
        assert answer.json()["error"]["reason"] == "too_large"


@pytest.mark.usefixtures("served")
async def test_other_paths_and_methods_are_answered_in_the_same_form(client: httpx.AsyncClient) -> None:
    for answer, status in ((await client.post("/nobody"), 404), (await client.get("/chirpstack"), 405)):
        assert answer.status_code == status
        assert answer.json()["error"]["reason"] == "path"


async def test_without_the_log_the_sender_is_held_back_and_nothing_is_lost(
    config: CallbacksRoleConfig, client: httpx.AsyncClient, pool: Pool, bus: Client, nats: Nats
) -> None:
    device_id = await meter(pool, EUI)
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=64 << 20))
    async with callbacks_role(config, pool, bus):
        assert (await chirpstack(client, "up", lpp_uplink(0))).status_code == 200
        nats.stop()
        answer = await chirpstack(client, "up", lpp_uplink(1))
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        nats.start()

        async def is_taken() -> bool:
            return (await chirpstack(client, "up", lpp_uplink(1))).status_code == 200

        await until(is_taken)
        async with writing(pool, bus):

            async def is_there() -> bool:
                return len(await raw(pool, device_id)) == 2

            await until(is_there)
            await asyncio.sleep(0.5)
            assert [counter for _, _, counter, _ in await raw(pool, device_id)] == [0, 1]


async def test_only_so_many_requests_wait_at_a_time(
    config: CallbacksRoleConfig, client: httpx.AsyncClient, pool: Pool, bus: Client
) -> None:
    narrow = replace(config, http=replace(config.http, in_hand_max=2, hold_s=4.0))
    await meter(pool, EUI)  # and no log: whatever comes waits
    async with callbacks_role(narrow, pool, bus):
        answers = await asyncio.gather(
            *(chirpstack(client, "up", lpp_uplink(number)) for number in range(10))
        )
    assert {answer.status_code for answer in answers} == {503}
    messages = [answer.json()["error"]["message"] for answer in answers]
    assert sum("too many" in message for message in messages) == 8


@pytest.mark.usefixtures("served")
async def test_the_way_back_is_remembered(client: httpx.AsyncClient, pool: Pool) -> None:
    first, second = await meter(pool, EUI), await meter(pool, "0004A30B001C0530")
    assert (await chirpstack(client, "up", lpp_uplink())).status_code == 200
    url = "https://evil.example.com/api/v3/as/applications/app1/webhooks/wh7/devices/dev1/down/push"
    headers = {**bearer("things_stack"), "X-Downlink-Push": url, "X-Downlink-Apikey": "secret"}
    answer = await client.post("/things-stack", json=THINGS_STACK["uplink_message"], headers=headers)
    assert answer.status_code == 200
    async with pool.connection() as connection:
        links = [await device_links.get_link(connection, each) for each in (first, second)]
    assert [link and (link.source, link.address) for link in links] == [
        ("chirpstack", {"way": "mqtt", "application": APPLICATION, "device": EUI}),
        ("things_stack", {"way": "http", "application": "app1", "device": "dev1", "webhook": "wh7"}),
    ]


@pytest.mark.usefixtures("served")
async def test_what_became_of_a_downlink_is_written_down(client: httpx.AsyncClient, pool: Pool) -> None:
    device_id = await meter(pool, EUI)
    confirmed, failed, unconfirmed = (
        await command(pool, device_id),
        await command(pool, device_id),
        await command(pool, device_id, is_confirmed=False),
    )
    await rows(pool, "UPDATE device_commands SET state = 'sent' RETURNING 1")
    acked = {**CHIRPSTACK["ack"], "queueItemId": str(confirmed)}
    sent = {**CHIRPSTACK["txack"], "queueItemId": str(unconfirmed)}
    gone = {
        "end_device_ids": {"device_id": "dev1", "application_ids": {"application_id": "app1"}},
        "correlation_ids": [f"gridwire:{failed}"],
        "downlink_failed": {"error": {"name": "too_long"}},
    }
    assert (await chirpstack(client, "ack", acked)).status_code == 200
    assert (await chirpstack(client, "txack", sent)).status_code == 200
    assert (await things_stack(client, gone, "/failed")).status_code == 200
    found = [await get_command(pool, each) for each in (confirmed, failed, unconfirmed)]
    assert [each.state for each in found] == ["acknowledged", "failed", "acknowledged"]
    assert found[1].detail == "too_long"
    assert found[2].detail is not None
    assert "not asked to confirm" in found[2].detail
    # nobody speaks for another device's commands
    foreign = {**sent, "deviceInfo": {**sent["deviceInfo"], "devEui": "02" * 8}}
    assert (await chirpstack(client, "txack", foreign)).json()["error"]["reason"] == "device"
    # a late word on what is done changes nothing
    nack = {name: value for name, value in acked.items() if name != "acknowledged"}
    assert (await chirpstack(client, "ack", nack)).status_code == 200
    assert (await get_command(pool, confirmed)).state == "acknowledged"


@pytest.mark.usefixtures("served")
async def test_a_simulated_uplink_is_kept_and_not_measured(client: httpx.AsyncClient, pool: Pool) -> None:
    device_id = await meter(pool, "0004A30B001C0530")
    uplink = {**THINGS_STACK["uplink_message"], "simulated": True}
    uplink["uplink_message"] = {**uplink["uplink_message"], "frm_payload": LPP}
    assert (await things_stack(client, uplink)).status_code == 200
    await until(lambda: raw(pool, device_id))
    assert [row[0] for row in await raw(pool, device_id)] == ["simulated"]
    assert await rows(pool, "SELECT 1 FROM meter_samples") == []


async def test_a_taken_address_is_said(config: CallbacksRoleConfig, pool: Pool, bus: Client) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", config.http.port)
    async with server:
        with pytest.raises(ListenError, match="GRIDWIRE_CALLBACKS_PORT"):
            async with callbacks_role(config, pool, bus):
                pass


@pytest.mark.usefixtures("served")
async def test_why_a_downlink_failed_is_kept_as_the_database_can(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    device_id = await meter(pool, EUI)
    failed = await command(pool, device_id)
    event = {
        "end_device_ids": {"device_id": "dev1", "application_ids": {"application_id": "app1"}},
        "correlation_ids": [f"gridwire:{failed}"],
        "downlink_failed": {"error": {"name": "too\0long", "message_format": "x" * 5_000}},
    }
    assert (await things_stack(client, event, "/failed")).status_code == 200
    detail = (await get_command(pool, failed)).detail
    assert detail is not None
    assert detail.startswith("too\ufffdlong: xxx")
    assert len(detail) == 1_000
