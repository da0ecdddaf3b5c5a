"""The CoAP server under clients that were not written here and under raw datagrams."""

import asyncio
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiocoap  # type: ignore[import-untyped]
import msgspec
import pytest
from nats.aio.client import Client

from deploy.messages import ListenError
from deploy.temporary import TemporaryNats as Nats
from ingest.nbiot.app import NbiotConfig
from ingest.nbiot.intake import IntakeLimits
from storage.database import Pool, open_pool
from storage.queries import device_links
from tests.ingest.lorawan_roles import command, get_command, raw, refusals, rows, until, writing
from tests.ingest.nbiot_role import (
    ACK,
    CON,
    IMEI,
    NON,
    coap,
    code_text,
    count,
    datagram,
    device,
    free_udp_port,
    imei,
    make_log,
    nbiot_config,
    nbiot_role,
    parsed,
    peer,
    readings,
    samples,
    served,
    shuffled,
)

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-long-random-token"


@asynccontextmanager
async def client() -> AsyncIterator[aiocoap.Context]:
    context = await aiocoap.Context.create_client_context(transports=["udp6"])
    try:
        yield context
    finally:
        await context.shutdown()


async def post(
    context: aiocoap.Context,
    config: NbiotConfig,
    payload: bytes,
    path: str = "/up",
    *,
    timeout_s: float = 20.0,
    **options: Any,
) -> aiocoap.Message:
    options = {"code": aiocoap.POST, "payload": payload} | options
    uri = f"coap://127.0.0.1:{config.coap_port}{path}"
    request = aiocoap.Message(uri=uri, **options)
    return await asyncio.wait_for(context.request(request).response, timeout_s)


async def until_stored(pool: Pool, device_id: int, expected: int) -> None:
    async def is_there() -> bool:
        return len(await samples(pool, device_id)) >= expected

    await until(is_there)


@pytest.mark.parametrize("reliably", [True, False])
async def test_a_day_of_readings_out_of_order_in_one_request(pool: Pool, bus: Client, reliably: bool) -> None:
    config = nbiot_config()
    device_id = await device(pool, IMEI)
    day = readings(int(time.time()))
    tuning = aiocoap.Reliable if reliably else aiocoap.Unreliable
    async with served(config, pool, bus), client() as context:
        answer = await post(context, config, datagram(IMEI, shuffled(day)), transport_tuning=tuning())
        assert (str(answer.code), answer.payload) == ("2.04 Changed", b"")
        await until_stored(pool, device_id, 24)
    assert await samples(pool, device_id) == day
    ((event, port, counter, payload),) = await raw(pool, device_id)
    assert (event, port, counter, payload) == ("uplink", 0, -1, datagram(IMEI, shuffled(day)))
    ((meta,),) = await rows(pool, "SELECT meta FROM raw_payloads WHERE device_id = %s", device_id)
    assert meta["endpoint"].startswith("127.0.0.1:")
    assert (meta["path"], meta["is_confirmable"]) == ("/up", reliably)
    async with pool.connection() as connection:
        link = await device_links.get_link(connection, device_id)
    assert link is not None
    assert (link.source, link.address) == ("coap", {"way": "coap"})


async def test_every_path_and_both_methods(pool: Pool, bus: Client) -> None:
    config = nbiot_config()
    device_id = await device(pool, IMEI, token=TOKEN)
    now_s = int(time.time())
    day = readings(now_s, 8)
    paths = (
        f"/?token={TOKEN}",
        f"/up?token={TOKEN}",
        f"/up/{IMEI}?token={TOKEN}",
        f"/u?imei={IMEI}&token={TOKEN}",
        f"/t/{TOKEN}",
        f"/t/{TOKEN}/{IMEI}",
        f"/dp?ep=urn:imei:{IMEI}&token={TOKEN}",
        f"/dp/{IMEI}?token={TOKEN}",
    )
    async with served(config, pool, bus), client() as context:
        for at, path in enumerate(paths):
            code = aiocoap.PUT if at % 2 else aiocoap.POST
            answer = await post(context, config, datagram(IMEI, [day[at]]), path, code=code, observe=0)
            assert str(answer.code) == "2.04 Changed", (path, answer.payload)
            assert answer.opt.observe is None
        await until_stored(pool, device_id, len(paths))
    assert await samples(pool, device_id) == day
    metas = await rows(pool, "SELECT meta::text FROM raw_payloads WHERE device_id = %s", device_id)
    assert not any(TOKEN in text for (text,) in metas)


async def test_a_registration_is_kept(pool: Pool, bus: Client) -> None:
    config = nbiot_config()
    device_id = await device(pool, IMEI)
    links = b"</3424/0>,</3/0>"
    async with served(config, pool, bus), client() as context:
        made = await post(context, config, links, f"/rd?ep=urn:imei:{IMEI}&lt=86400", content_format=40)
        assert str(made.code) == "2.01 Created"
        assert made.opt.location_path == ("rd", IMEI)
        for code, expected in ((aiocoap.POST, "2.04"), (aiocoap.DELETE, "2.02")):
            answer = await post(context, config, b"", f"/rd/{IMEI}", code=code)
            assert str(answer.code).startswith(expected)

        async def is_there() -> bool:
            return len(await raw(pool, device_id)) == 3

        await until(is_there)
    assert [(row[0], row[3]) for row in await raw(pool, device_id)] == [
        ("join", links), ("status", b""), ("leave", b""),
    ]  # fmt: skip


async def test_what_is_wrong_has_its_code_and_is_named(pool: Pool, bus: Client) -> None:
    config = nbiot_config(unknown_devices="reject")
    other = imei(7)
    await device(pool, IMEI, token=TOKEN)
    await device(pool, other, status="archived")
    payload = datagram(IMEI, readings(int(time.time()), 1))
    cases = [
        (payload, "/up", {}, "4.01", "token"),
        (payload, f"/up/{IMEI}?token=wrong", {}, "4.01", "token"),
        (payload, "/t/wrong", {}, "4.01", "token"),
        (payload, f"/t/{TOKEN}x", {}, "4.01", "token"),
        (b"\x01\x02\x03", "/up", {}, "4.00", "identity"),
        (b"", "/up", {}, "4.00", "identity"),
        (payload, "/up/not%20a%20name", {}, "4.00", "identity"),
        (payload, "/nobody", {}, "4.04", "path"),
        (payload, "/up/a/b", {}, "4.04", "path"),
        (b"", "/up", {"code": aiocoap.GET}, "4.05", "method"),
        (b"", "/rd", {}, "4.00", "ep"),
        (payload, f"/up/{other}", {}, "4.03", "identity"),
        (payload, f"/up/{imei(8)}", {}, "4.03", "identity"),
    ]
    async with served(config, pool, bus), client() as context:
        for body, path, options, code, field in cases:
            answer = await post(context, config, body, path, **options)
            assert str(answer.code).startswith(code), (path, answer)
            assert answer.payload.decode().startswith(field), (path, answer.payload)

        async def are_told() -> bool:
            return len(await refusals(pool)) == 8

        await until(are_told)
    reasons = sorted(each["reason"] for each in await refusals(pool))
    expected = ["archived_device", "identity", "identity", *["token"] * 4, "unknown_device"]
    assert reasons == expected
    assert await count(pool, "raw_payloads") == 0


async def test_what_nobody_can_decode_is_kept_and_not_asked_for_again(pool: Pool, bus: Client) -> None:
    config = nbiot_config()
    device_id = await device(pool, IMEI)
    short = b"\x01\x02\x03"
    async with served(config, pool, bus), client() as context:
        assert str((await post(context, config, short, f"/up/{IMEI}")).code) == "2.04 Changed"
        unknown = await post(context, config, b"\xff" * 9, f"/up/{imei(9)}")  # and nobody knows its device
        assert str(unknown.code) == "2.04 Changed"
        await until(lambda: refusals(pool))
        await until(lambda: rows(pool, "SELECT 1 FROM raw_payloads_quarantine"))
    assert [row[3] for row in await raw(pool, device_id)] == [short]


async def test_a_body_in_blocks_and_one_that_is_too_long(pool: Pool, bus: Client) -> None:
    config = nbiot_config(body_bytes_max=8_192)
    device_id = await device(pool, IMEI)
    long = readings(int(time.time()), 511)
    assert len(datagram(IMEI, long)) == 4_096
    async with served(config, pool, bus), client() as context:
        answer = await post(context, config, datagram(IMEI, shuffled(long)))
        assert str(answer.code) == "2.04 Changed"
        await until_stored(pool, device_id, 511)
        too_long = await post(context, config, datagram(IMEI, long * 3))
        assert str(too_long.code).startswith("4.13")
        assert too_long.opt.size1 == 8_192
    assert await samples(pool, device_id) == long
    assert len(await raw(pool, device_id)) == 1


async def test_fifty_devices_at_once(pool: Pool, bus: Client) -> None:
    config = nbiot_config()
    now_s = int(time.time())
    ids = {identity: await device(pool, identity) for identity in map(imei, range(50))}
    async with served(config, pool, bus), client() as context:
        answers = await asyncio.gather(
            *(post(context, config, datagram(each, shuffled(readings(now_s)))) for each in ids)
        )
        assert {str(answer.code) for answer in answers} == {"2.04 Changed"}

        async def is_there() -> bool:
            return await count(pool, "meter_samples") == 50 * 24

        await until(is_there)
    for device_id in ids.values():
        assert await samples(pool, device_id) == readings(now_s)


async def test_a_retransmission_gets_the_same_answer_and_is_one_row(pool: Pool, bus: Client) -> None:
    config = nbiot_config()
    device_id = await device(pool, IMEI)
    command_id = await command(pool, device_id)
    day = readings(int(time.time()), 2)
    first = coap(77, datagram(IMEI, day[:1]))
    async with served(config, pool, bus):
        async with peer(config.coap_port) as device_socket:
            said = await device_socket.exchange(first)
            if parsed(said)[0] == ACK and parsed(said)[1] == 0:  # the log took its time
                said = await device_socket.receive()
            assert code_text(parsed(said)[1]) == "2.04"
            assert said.endswith(b"\xff\xbe\xef")
            again = [await device_socket.exchange(first) for _ in range(3)]
            assert len({*again}) == 1
            assert parsed(again[0])[0] == ACK
            assert parsed(again[0])[2] == 77
            # the same again as a new message is the same message, its answer the same command
            fresh = await device_socket.exchange(coap(78, datagram(IMEI, day[:1])))
            assert fresh.endswith(b"\xff\xbe\xef")
            assert (await get_command(pool, command_id)).state == "sent"
            # another reading under a message id that was used: a modem that was switched off and on
            other = await device_socket.exchange(coap(77, datagram(IMEI, day[1:])))
            assert (code_text(parsed(other)[1]), parsed(other)[2]) == ("2.04", 77)
            # a retransmission without confirmation is not answered again (RFC 7252 section 4.3)
            loose = coap(80, datagram(IMEI, day), kind=NON)
            assert parsed(await device_socket.exchange(loose))[0] == NON
            device_socket.send(loose)
            assert await device_socket.hears_nothing()
        await until_stored(pool, device_id, 2)
    assert len(await raw(pool, device_id)) == 3
    assert (await get_command(pool, command_id)).state == "acknowledged"


async def test_a_command_rides_in_the_answer_and_the_next_message_acknowledges_it(
    pool: Pool, bus: Client
) -> None:
    config = nbiot_config()
    device_id = await device(pool, IMEI)
    first, second = await command(pool, device_id, port=1), await command(pool, device_id, port=2)
    await rows(pool, "UPDATE device_commands SET state = 'pending' RETURNING 1")
    day = readings(int(time.time()), 4)
    async with served(config, pool, bus), client() as context:
        states = []
        for reading in day:
            answer = await post(context, config, datagram(IMEI, [reading]))
            states.append((answer.payload, answer.opt.content_format))

            async def is_settled() -> bool:
                found = [await get_command(pool, each) for each in (first, second)]
                return all(each.state != "sent" or each.detail for each in found)

            await until(is_settled)
    assert [payload for payload, _ in states] == [b"\xbe\xef", b"\xbe\xef", b"", b""]
    assert states[0][1] == 42
    found = [await get_command(pool, each) for each in (first, second)]
    assert [each.state for each in found] == ["acknowledged", "acknowledged"]
    assert found[0].sent_at is not None
    assert found[0].sent_at <= found[1].sent_at  # type: ignore[operator]


async def test_a_command_longer_than_a_block_is_fetched_in_blocks(pool: Pool, bus: Client) -> None:
    config = nbiot_config()
    device_id = await device(pool, IMEI)
    await command(pool, device_id)
    payload = random.Random(1).randbytes(3_000)
    await rows(pool, "UPDATE device_commands SET payload = %s RETURNING 1", payload)
    async with served(config, pool, bus), client() as context:
        answer = await post(context, config, datagram(IMEI, readings(int(time.time()), 1)))
        assert answer.payload == payload
    assert len(await raw(pool, device_id)) == 1


async def test_an_acknowledged_separate_answer_acknowledges_its_command(
    pool: Pool, bus: Client, nats: Nats
) -> None:
    config = nbiot_config(intake=IntakeLimits(hold_s=30.0))
    device_id = await device(pool, IMEI)
    command_id = await command(pool, device_id)
    await make_log(bus)
    async with nbiot_role(config, pool, bus):
        nats.stop()
        async with peer(config.coap_port) as device_socket:
            empty = await device_socket.exchange(coap(5, datagram(IMEI, readings(int(time.time()), 1))))
            assert parsed(empty)[:3] == (ACK, 0, 5)  # it is there, the answer comes later
            nats.start()
            late = await device_socket.receive(20)
            assert (parsed(late)[0], code_text(parsed(late)[1])) == (CON, "2.04")
            assert late.endswith(b"\xff\xbe\xef")
            device_socket.send(bytes([0x60, 0]) + struct.pack(">H", parsed(late)[2]))

            async def is_acknowledged() -> bool:
                return (await get_command(pool, command_id)).state == "acknowledged"

            await until(is_acknowledged)
    assert "acknowledged the answer" in str((await get_command(pool, command_id)).detail)


async def test_without_the_log_the_device_is_held_back_and_nothing_is_stored_twice(
    pool: Pool, bus: Client, nats: Nats
) -> None:
    config = nbiot_config(intake=IntakeLimits(hold_s=0.5))
    device_id = await device(pool, IMEI)
    day = readings(int(time.time()), 2)
    await make_log(bus)
    async with nbiot_role(config, pool, bus), client() as context:
        assert str((await post(context, config, datagram(IMEI, day[:1]))).code) == "2.04 Changed"
        nats.stop()
        for _ in range(3):
            held = await post(context, config, datagram(IMEI, day[1:]))
            assert str(held.code).startswith("5.03")
            assert held.opt.max_age == 60
        nats.start()

        async def is_taken() -> bool:
            answer = await post(context, config, datagram(IMEI, day[1:]))
            return str(answer.code) == "2.04 Changed"

        await until(is_taken)
        async with writing(pool, bus):
            await until_stored(pool, device_id, 2)
            await asyncio.sleep(0.5)
    assert len(await raw(pool, device_id)) == 2
    assert await samples(pool, device_id) == day


async def test_a_database_that_is_away_holds_back_and_all_is_stored_once_later(
    database_url: str, pool: Pool, bus: Client
) -> None:
    config = nbiot_config(intake=IntakeLimits(hold_s=0.5))
    ids = {identity: await device(pool, identity) for identity in map(imei, range(10))}
    day = readings(int(time.time()))
    late = open_pool(database_url, size_max=4)  # not open yet: as good as no database
    async with writing(pool, bus):
        async with nbiot_role(config, late, bus), client() as context:
            for _ in range(2):
                answers = await asyncio.gather(*(post(context, config, datagram(each, day)) for each in ids))
                assert {str(answer.code)[:4] for answer in answers} == {"5.03"}
                assert {answer.opt.max_age for answer in answers} == {60}
            await late.open()

            async def all_taken() -> bool:
                said = await asyncio.gather(*(post(context, config, datagram(each, day)) for each in ids))
                return {str(answer.code) for answer in said} == {"2.04 Changed"}

            await until(all_taken)
        await late.close()
        for device_id in ids.values():
            await until_stored(pool, device_id, 24)
            assert await samples(pool, device_id) == day
            assert len(await raw(pool, device_id)) == 1


async def test_only_so_many_wait_and_one_device_has_its_share(pool: Pool, bus: Client) -> None:
    narrow = nbiot_config(intake=IntakeLimits(window=2, hold_s=1.0))
    now_s = int(time.time())
    async with nbiot_role(narrow, pool, bus), client() as context:  # there is no log: whatever comes waits
        answers = await asyncio.gather(
            *(post(context, narrow, datagram(each, readings(now_s, 1))) for each in map(imei, range(8)))
        )
    assert {str(answer.code)[:4] for answer in answers} == {"5.03"}
    assert sum(b"too many" in answer.payload for answer in answers) == 6
    rated = nbiot_config(intake=IntakeLimits(per_minute=3))
    await device(pool, IMEI)
    async with served(rated, pool, bus), client() as context:
        codes = [
            str((await post(context, rated, datagram(IMEI, [reading]))).code)[:4]
            for reading in readings(now_s, 10)
        ]
    assert codes[:3] == ["2.04"] * 3
    assert "4.29" in codes


async def test_garbage_by_the_thousand(pool: Pool, bus: Client) -> None:
    config = nbiot_config(unknown_devices="reject")
    device_id = await device(pool, IMEI)
    source = random.Random(20)
    other = imei(5)
    await device(pool, other)
    valid = coap(1, datagram(other, readings(int(time.time()), 3)), query=(f"imei={other}",))
    day = readings(int(time.time()))
    async with served(config, pool, bus), client() as context:
        async with peer(config.coap_port) as device_socket:
            for number in range(3_000):
                device_socket.send(_garbage(source, valid, number))
                if number % 100 == 0:
                    await asyncio.sleep(0.01)
        answer = await post(context, config, datagram(IMEI, day), timeout_s=60)
        assert str(answer.code) == "2.04 Changed"

        async def is_there() -> bool:
            return await samples(pool, device_id) == day

        await until(is_there)


def _garbage(source: random.Random, valid: bytes, number: int) -> bytes:
    """Noise, a cut request, a request with some bytes changed."""
    if number % 3 == 0:
        return source.randbytes(source.randrange(1, 200))
    if number % 3 == 1:
        return valid[: source.randrange(1, len(valid))]
    changed = bytearray(valid)
    for _ in range(source.randrange(1, 6)):
        changed[source.randrange(len(changed))] = source.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("kind", [CON, NON])
async def test_a_device_with_one_token_for_all_has_each_message_answered(
    pool: Pool, bus: Client, kind: int
) -> None:
    config = nbiot_config()
    device_id = await device(pool, IMEI)
    day = readings(int(time.time()))
    async with served(config, pool, bus), peer(config.coap_port) as device_socket:
        for at, reading in enumerate(day):
            device_socket.send(coap(at, datagram(IMEI, [reading]), kind=kind, token=b""))
        device_socket.send(coap(100, b"", path=("nobody",), kind=kind, token=b""))
        said = [parsed(await device_socket.receive()) for _ in range(25)]
        await until_stored(pool, device_id, 24)
    codes = sorted(code_text(code) for _, code, _, _ in said)
    assert codes == ["2.04"] * 24 + ["4.04"]
    if kind == CON:  # each in its own acknowledgement
        assert {message_id: code_text(code) for _, code, message_id, _ in said} == {
            **dict.fromkeys(range(24), "2.04"),
            100: "4.04",
        }
    assert await samples(pool, device_id) == day


async def test_a_device_that_sends_and_hangs_up_is_heard(pool: Pool, bus: Client) -> None:
    config = nbiot_config()
    device_id = await device(pool, IMEI)
    day = readings(int(time.time()))
    async with served(config, pool, bus):
        for at, reading in enumerate(day):
            async with peer(config.coap_port) as device_socket:
                device_socket.send(coap(at, datagram(IMEI, [reading]), kind=NON, token=b""))
        await until_stored(pool, device_id, 24)
    assert await samples(pool, device_id) == day


async def test_an_option_that_must_be_understood_is_refused(pool: Pool, bus: Client) -> None:
    config = nbiot_config()
    request = coap(9, token=b"", path=())[:4] + bytes([0x10]) + b"\xff" + b"x"  # If-Match
    async with nbiot_role(config, pool, bus), peer(config.coap_port) as device_socket:
        said = await device_socket.exchange(request)
    assert (code_text(parsed(said)[1]), parsed(said)[2]) == ("4.02", 9)


async def test_what_is_under_way_at_the_end_is_answered(pool: Pool, bus: Client, nats: Nats) -> None:
    config = nbiot_config(drain_s=20.0)
    device_id = await device(pool, IMEI)
    await make_log(bus)
    day = readings(int(time.time()), 3)
    async with writing(pool, bus), client() as context:
        async with nbiot_role(config, pool, bus):
            nats.stop()
            asking = asyncio.create_task(post(context, config, datagram(IMEI, day)))
            await asyncio.sleep(0.5)
            asyncio.get_running_loop().call_later(1.0, nats.start)
        assert str((await asking).code) == "2.04 Changed"
        await until_stored(pool, device_id, 3)


async def test_a_port_that_is_taken_is_named(pool: Pool, bus: Client) -> None:
    async with peer(9) as other:
        taken = other._sock.getsockname()[1]
        config = replace(nbiot_config(), udp_port=taken)
        with pytest.raises(ListenError, match="GRIDWIRE_UDP_PORT"):
            async with nbiot_role(config, pool, bus):
                pass


@pytest.mark.skipif(shutil.which("coap-client-notls") is None, reason="needs coap-client of libcoap3-bin")
async def test_libcoap_is_understood(pool: Pool, bus: Client, tmp_path: Path) -> None:
    config = nbiot_config()
    device_id = await device(pool, IMEI, token=TOKEN)
    long = readings(int(time.time()), 300)
    await command(pool, device_id)
    uri = f"coap://127.0.0.1:{config.coap_port}/up?token={TOKEN}"
    (tmp_path / "long").write_bytes(datagram(IMEI, long))
    (tmp_path / "short").write_bytes(datagram(IMEI, long[:3]))
    async with served(config, pool, bus):

        async def run(*arguments: str) -> tuple[bytes, bytes]:
            process = await asyncio.create_subprocess_exec(
                "coap-client-notls", "-v", "6", "-B", "20", *arguments, stdout=-1, stderr=-1
            )
            return await process.communicate()

        said, heard = await run("-m", "post", "-b", "512", "-f", str(tmp_path / "long"), uri)
        assert b"\xbe\xef" in said, (said, heard)
        said, heard = await run("-N", "-m", "put", "-f", str(tmp_path / "short"), uri)
        assert b"4.01" not in said + heard
        said, heard = await run("-m", "post", "-e", "x", uri.replace(TOKEN, "wrong-token") + f"&imei={IMEI}")
        assert b"4.01" in said + heard
        await until_stored(pool, device_id, 300)

        async def are_there() -> bool:
            return len(await raw(pool, device_id)) == 2

        await until(are_there)
    assert await samples(pool, device_id) == long


async def test_kill_nine_loses_nothing_that_was_acknowledged(
    database_url: str, pool: Pool, bus: Client, nats: Nats
) -> None:
    ids = {identity: await device(pool, identity) for identity in map(imei, range(20))}
    day = readings(int(time.time()), 30)
    port = free_udp_port()
    async with writing(pool, bus):
        acknowledged: dict[str, set[tuple[int, int]]] = {identity: set() for identity in ids}
        process = _start(database_url, nats.url, port)
        sending = [
            asyncio.create_task(_send_all(port, identity, day, acknowledged[identity])) for identity in ids
        ]

        async def some_are_acknowledged() -> bool:
            return sum(map(len, acknowledged.values())) > 60

        try:
            await until(some_are_acknowledged, 60)
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            assert any(len(each) < len(day) for each in acknowledged.values())
            process = _start(database_url, nats.url, port)
            await asyncio.gather(*sending)
        finally:
            process.kill()
            process.wait(10)
        assert all(len(each) == len(day) for each in acknowledged.values())
        for device_id in ids.values():
            await until_stored(pool, device_id, len(day))
            assert await samples(pool, device_id) == day


def _start(database_url: str, nats_url: str, port: int) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-m", "tests.ingest.nbiot_process", database_url, nats_url, str(port)]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"ready\n"
    return process


async def _send_all(
    port: int, identity: str, day: list[tuple[int, int]], acknowledged: set[tuple[int, int]]
) -> None:
    """A device that sends each reading until it hears 2.04 (RFC 7252 section 4.2, with short timeouts)."""
    for message_id, reading in enumerate(day):
        request = coap(message_id, datagram(identity, [reading]), token=bytes([message_id]))
        while reading not in acknowledged:
            async with peer(port) as device_socket:
                try:
                    said = await device_socket.exchange(request, 1.0)
                    while parsed(said)[1] == 0:
                        said = await device_socket.receive(5.0)
                except (TimeoutError, ConnectionError):
                    await asyncio.sleep(0.2)
                    continue
                if code_text(parsed(said)[1]) == "2.04":
                    acknowledged.add(reading)


async def test_json_and_senml_by_their_decoders(pool: Pool, bus: Client) -> None:
    config = nbiot_config()
    first = await device(pool, "WM-17", decoder="senml_json")
    pack = [{"bn": "urn:dev:sn:WM-17_", "n": "temperature", "u": "Cel", "v": 21.5}]
    async with served(config, pool, bus), client() as context:
        answer = await post(context, config, msgspec.json.encode(pack), "/dp?ep=WM-17", content_format=110)
        assert str(answer.code) == "2.04 Changed"
        await until(lambda: rows(pool, "SELECT 1 FROM meter_samples WHERE device_id = %s", first))
