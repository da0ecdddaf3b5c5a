"""The gateway over real sockets, with a real database and log behind it."""

import asyncio
import base64
import json
from typing import Any

import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nats.aio.client import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from protocols.timestamps import parse_timestamp
from storage.database import Pool
from storage.queries.chargers import get_charger, list_connectors
from storage.queries.devices import find_device, get_device, set_device_status
from storage.queries.sessions import active_sessions
from stream.bus import ChargerOfflineError, call_charger
from tests.ingest.ocpp_gateway import (
    Running,
    add_charger,
    add_driver,
    counted,
    events,
    eventually,
    log_rows,
    raw_charger,
    running_gateway,
)

BOOT = {"chargePointVendor": "Acme", "chargePointModel": "One", "firmwareVersion": "1.2"}
START = {"connectorId": 1, "idTag": "CARD", "meterStart": 1000, "timestamp": "2026-01-02T03:04:05Z"}
HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash


def meter_values(*values: dict[str, Any], **more: Any) -> dict[str, Any]:
    sampled = list(values) or [{"value": "1.5", "unit": "kWh"}]
    entry = {"timestamp": "2026-01-02T03:05:05Z", "sampledValue": sampled}
    return {"connectorId": 1, "transactionId": 7, "meterValue": [entry], **more}


def basic(username: str, password: bytes) -> dict[str, str]:
    encoded = base64.b64encode(username.encode() + b":" + password).decode()
    return {"Authorization": f"Basic {encoded}"}


async def status_of(url: str, **options: Any) -> int:
    """The HTTP status of a handshake; 101 if it was let in."""
    try:
        async with raw_charger(url, **options):
            return 101
    except InvalidStatus as error:
        return error.response.status_code if error.response.body.strip() else 0  # a refusal says why


async def test_session_is_stored_before_its_answers(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    user_id = await add_driver(pool, "card")
    live = await bus.subscribe("gridwire.live.session-started")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/ocpp/CP1") as charger:
        boot = await charger.call("BootNotification", BOOT)
        assert list(boot) == ["status", "currentTime", "interval"]
        assert boot["status"] == "Accepted"
        parse_timestamp(boot["currentTime"])
        status = {"connectorId": 1, "errorCode": "NoError", "status": "Preparing"}
        assert await charger.call("StatusNotification", status) == {}
        assert await charger.call("Authorize", {"idTag": "CARD"}) == {"idTagInfo": {"status": "Accepted"}}
        started = await charger.call("StartTransaction", START)
        assert started["idTagInfo"] == {"status": "Accepted"}
        transaction_id = started["transactionId"]
        assert await charger.call("StartTransaction", START) == started
        assert await charger.call("MeterValues", meter_values(transactionId=transaction_id)) == {}
        stop = {"transactionId": transaction_id, "meterStop": 2500, "timestamp": "2026-01-02T04:04:05Z"}
        data = [{"timestamp": "2026-01-02T04:04:05Z", "sampledValue": [{"value": "2500"}]}]
        for _ in range(2):
            assert await charger.call("StopTransaction", {**stop, "transactionData": data}) == {}
    async with pool.connection() as connection:
        sessions = await (await connection.execute("SELECT user_id, meter_stop_wh FROM sessions")).fetchall()
        tasks = await (await connection.execute("SELECT kind, payload FROM outbox")).fetchall()
        connectors = await list_connectors(connection, device.id)
        stored = await get_device(connection, device.id)
    assert sessions == [(user_id, 2500)]
    assert sorted(kind for kind, _ in tasks) == ["rate_session", "tell_session_started"]
    assert [each.status for each in connectors] == ["Preparing"]
    assert stored is not None
    assert (stored.vendor, stored.firmware) == ("Acme", "1.2")
    rows = await log_rows(bus, "charger_samples")
    assert rows["value"] == [1500.0, 2500.0, 2500.0]
    assert set(rows["transaction_id"]) == {transaction_id}
    event = json.loads((await live.next_msg(2)).data)
    assert (event["charger"], event["transaction_id"]) == ("CP1", transaction_id)
    assert live.pending_msgs == 0, "the repeat is no second start"


async def test_samples_are_decoded_or_refused_one_by_one(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        odd = meter_values(
            {"value": "230.1", "measurand": "Voltage", "unit": "V"},
            {"value": "1", "measurand": "Request.Energy"},
            {"value": "", "measurand": "Voltage"},
            {"value": "50", "measurand": "Frequency", "unit": "Hz", "context": "Strange"},
        )
        assert await charger.call("MeterValues", odd) == {}
        lone = {**odd, "meterValue": {**odd["meterValue"][0], "timestamp": "2026-01-02 03:05:06"}}
        assert await charger.call("MeterValues", lone) == {}
        assert (await charger.call("MeterValues", {"connectorId": 1}))[0] == "PropertyConstraintViolation"
    assert await counted(bus) == (4, 5)
    rows = await log_rows(bus, "charger_samples")
    assert rows["value"] == [230.1, 50.0] * 2
    assert len(await events(bus, "payload_refused")) == 5


async def test_signed_samples_are_kept_as_they_came(pool: Pool, bus: Client) -> None:
    """No number for the series, but what a driver may have checked (1.6 section 7.43, SignedData)."""
    await add_charger(pool, "CP1")
    at = "2026-01-02T03:05:05Z"
    record = json.dumps({"signedMeterData": "T0NNRnx7" * 200, "encodingMethod": "OCMF"})

    def signed(context: str) -> dict[str, Any]:
        sample = {"value": record, "format": "SignedData", "context": context}
        return {"timestamp": at, "sampledValue": [{"value": "1"}, sample]}

    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        values = {"connectorId": 1, "transactionId": 7, "meterValue": [signed("Transaction.Begin")]}
        assert await charger.call("MeterValues", values) == {}
        stop = {"transactionId": 7, "meterStop": 1, "timestamp": at}
        assert (
            await charger.call("StopTransaction", {**stop, "transactionData": [signed("Transaction.End")]})
            == {}
        )
    kept = await events(bus, "signed_meter_value")
    assert [each["context"] for each in kept] == ["Transaction.Begin", "Transaction.End"]
    assert kept[0]["transactionId"] == 7
    assert {(each["timestamp"], each["value"]) for each in kept} == {(at, record)}


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ('[2,"a","Heartbeat",{}', ["a", "FormationViolation"]),
        ("[]", ["-1", "FormationViolation"]),
        ('[2,"x",["a"],{}]', ["x", "FormationViolation"]),
        ("[2,17,\"Heartbeat\",{}]", ["17", "FormationViolation"]),
        (b'[2,"b","Heartbeat",{}]', ["b", "FormationViolation"]),
        ('[2,"c","MeterValues",{"x":"\0"}]', ["c", "PropertyConstraintViolation"]),
        ('[2,"d","Dance",{}]', ["d", "NotImplemented"]),
        ('[2,"f","Authorize",{}]', ["f", "ProtocolError"]),
        ('[2,"g","Authorize",{"idTag":5}]', ["g", "TypeConstraintViolation"]),
        ('[2,"h","StartTransaction",{"connectorId":0,"idTag":"A","meterStart":1,"timestamp":""}]',
         ["h", "PropertyConstraintViolation"]),
    ],
)  # fmt: skip
async def test_a_bad_frame_is_answered_and_the_socket_lives(
    pool: Pool, bus: Client, frame: str | bytes, expected: list[str]
) -> None:
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        await charger.send("")
        await charger.send(frame)
        answer = await charger.receive()
        assert answer[:3] == [4, *expected]
        assert "currentTime" in await charger.call("Heartbeat", {})


async def test_text_that_jsonb_does_not_take_costs_only_itself(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        for nul in ("\\u0000", "\\\\u0000"):  # escaped, and the six characters themselves
            status = f'{{"connectorId":1,"errorCode":"NoError","status":"Faulted","info":"{nul}"}}'
            await charger.send(f'[2,"s","StatusNotification",{status}]')
            assert await charger.receive() == [3, "s", {}]
            await charger.send(f'["{nul}"')
            assert (await charger.receive())[0] == 4
        assert "currentTime" in await charger.call("Heartbeat", {})
    assert await counted(bus) == (0, 2)
    assert len(await events(bus, "status")) == 2


async def test_text_that_is_not_utf8_leaves_the_socket_alive(pool: Pool, bus: Client) -> None:
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        await charger.socket.send(b'[2,"a","Authorize",{"idTag":"\xff"}]', text=True)
        assert (await charger.receive())[:3] == [4, "a", "FormationViolation"]
        assert "currentTime" in await charger.call("Heartbeat", {})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
actions = st.sampled_from(
    ["MeterValues", "StartTransaction", "StopTransaction", "StatusNotification", "BootNotification", "X"]
)
frames = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200),
    json_values.map(json.dumps),
    st.tuples(st.sampled_from([2, 3, 4, 9]), json_values, actions | json_values, json_values).map(json.dumps),
)


async def test_any_frames_leave_the_gateway_alive(pool: Pool, bus: Client) -> None:
    """Of every frame on the wire the next heartbeat on the same socket is answered."""
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        await charger.call("BootNotification", BOOT)
        loop = asyncio.get_running_loop()

        async def send(frame: str | bytes) -> None:
            await charger.send(frame)
            await charger.send('[2,"probe","Heartbeat",{}]')
            while (answer := await charger.receive())[1] != "probe":
                assert answer[0] in (3, 4)

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(frames)
        def check(frame: str | bytes) -> None:
            asyncio.run_coroutine_threadsafe(send(frame), loop).result(20)

        await asyncio.to_thread(check)


async def test_handshake_refusals_say_what_to_change(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "Safe", HASH("right"))
    archived = await add_charger(pool, "Old")
    async with pool.connection() as connection:
        await set_device_status(connection, archived.id, "archived")
    options = {"unknown_devices": "reject", "failures_burst": 3}
    async with running_gateway(pool, bus, **options) as running:
        url = running.url
        assert await status_of(f"{url}/") == 400
        assert await status_of(f"{url}/{'x' * 49}") == 400
        assert await status_of(f"{url}/Safe", subprotocols=["ocpp1.5"]) == 400
        assert await status_of(f"{url}/Nobody") == 404
        assert await status_of(f"{url}/Old") == 404
        right = basic("SAFE", b"right")
        assert await status_of(f"{url}///deep/ocpp/s%61fe/", additional_headers=right) == 101
        assert await status_of(f"{url}/Safe", additional_headers=right, subprotocols=None) == 101
        assert await status_of(f"{url}/Safe") == 401
        assert await status_of(f"{url}/Safe", additional_headers=basic("Other", b"right")) == 401
        assert await status_of(f"{url}/Safe", additional_headers=basic("Safe", b"wrong")) == 401
        assert await status_of(f"{url}/Safe", additional_headers={"Authorization": "Basic ?"}) == 401
        assert await status_of(f"{url}/Safe", additional_headers=right) == 429


@pytest.mark.parametrize("stored", ["00AA11BB22CC33DD44EE", "00aa11bb22cc33dd44ee"])
async def test_hex_keys_are_taken_as_text_and_decoded(pool: Pool, bus: Client, stored: str) -> None:
    await add_charger(pool, "CP1", HASH(stored))
    async with running_gateway(pool, bus) as running:
        for password in (stored.encode(), bytes.fromhex(stored)):
            headers = basic("CP1", password)
            assert await status_of(f"{running.url}/CP1", additional_headers=headers) == 101
        assert await status_of(f"{running.url}/CP1", additional_headers=basic("CP1", b"\0" * 10)) == 401


async def test_no_password_where_one_is_demanded(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus, allow_without_password=False) as running:
        assert await status_of(f"{running.url}/CP1") == 401


async def test_an_unknown_charger_waits_in_quarantine(pool: Pool, bus: Client) -> None:
    await add_driver(pool, "CARD")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/New") as charger:
        assert (await charger.call("BootNotification", BOOT))["status"] == "Pending"
        assert await charger.call("Authorize", {"idTag": "CARD"}) == {"idTagInfo": {"status": "Invalid"}}
        started = await charger.call("StartTransaction", START)
        assert started == {"idTagInfo": {"status": "Invalid"}, "transactionId": 0}
        assert await charger.call("MeterValues", meter_values()) == {}
    assert (await log_rows(bus, "charger_samples"))["reason"] == [1]
    async with pool.connection() as connection:
        device = await find_device(connection, "charger", "new")
        assert device is not None
        assert await active_sessions(connection, device.id) == []


async def test_a_stop_is_always_acknowledged(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        stop = {"meterStop": 2, "timestamp": "2026-01-02T04:04:05Z"}
        for unknown in (4711, 9223372036854775807, 18446744073709551614, -1):
            assert await charger.call("StopTransaction", {**stop, "transactionId": unknown}) == {}
        assert len(await events(bus, "stop_of_unknown_transaction")) == 4
        await charger.call("StartTransaction", START)
        meant = {**stop, "transactionId": -1, "idTag": "card", "reason": "Whatever"}
        assert await charger.call("StopTransaction", meant) == {"idTagInfo": {"status": "Invalid"}}
    async with pool.connection() as connection:
        assert await active_sessions(connection, device.id) == []


async def test_a_stop_without_a_reason_was_local(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        started = await charger.call("StartTransaction", START)
        stop = {
            "transactionId": started["transactionId"],
            "meterStop": 2,
            "timestamp": "2026-01-02T04:04:05Z",
        }
        await charger.call("StopTransaction", stop)
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT stop_reason FROM sessions")).fetchone()
    assert row == ("Local",)


async def is_online(running: Running, device_id: int) -> bool:
    async with running.pool.connection() as connection:
        charger = await get_charger(connection, device_id)
    return charger is not None and charger.is_connected


async def test_the_newest_socket_wins(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    async with running_gateway(pool, bus, name="a") as one, running_gateway(pool, bus, name="b") as other:
        for second in (one, other):  # on the same gateway, and on another one
            async with raw_charger(f"{one.url}/CP1") as old:
                await old.call("Heartbeat", {})
                async with raw_charger(f"{second.url}/cp1") as new:
                    await new.call("Heartbeat", {})
                    with pytest.raises(ConnectionClosed) as closed:
                        await old.receive()
                    assert closed.value.rcvd is not None
                    assert closed.value.rcvd.code == 1008
                    await asyncio.sleep(0.1)
                    assert await is_online(one, device.id)
                    assert "currentTime" in await new.call("Heartbeat", {})

            async def is_offline() -> bool:
                return not await is_online(one, device.id)

            await eventually(is_offline)


async def test_calls_reach_the_charger_while_it_waits_for_us(pool: Pool, bus: Client) -> None:
    device = await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running:
        with pytest.raises(ChargerOfflineError):
            await call_charger(bus, device.id, "Reset", {"type": "Soft"}, 1)
        async with raw_charger(f"{running.url}/CP1") as charger:
            await charger.call("Heartbeat", {})
            calls = [
                asyncio.create_task(call_charger(bus, device.id, "Reset", {"type": kind}, 5))
                for kind in ("Soft", "Hard")
            ]
            first = await charger.receive()
            assert first[2] == "Reset"
            assert "currentTime" in await charger.call("Heartbeat", {}), "not behind our own call"
            await charger.send([3, first[1], {"status": "Accepted"}])
            second = await charger.receive()
            await charger.send([4, second[1], "GenericError", "no", {}])
            outcomes = sorted([await each for each in calls], key=lambda each: each.outcome)
            assert [each.outcome for each in outcomes] == ["error", "result"]
            assert outcomes[1].payload == {"status": "Accepted"}
            wrong = await call_charger(bus, device.id, "Reset", {"type": "Gently"}, 5)
            assert (wrong.outcome, wrong.code) == ("error", "PropertyConstraintViolation")
            assert (await call_charger(bus, device.id, "Dance", {}, 5)).code == "NotSupported"
            assert (await call_charger(bus, device.id, "ClearCache", {}, 0.2)).outcome == "timeout"
            late = await charger.receive()
            await charger.send([3, late[1], {"status": "Accepted"}])
            assert "currentTime" in await charger.call("Heartbeat", {})
            lost = asyncio.create_task(call_charger(bus, device.id, "ClearCache", {}, 5))
            await charger.receive()
        assert (await lost).code == "ConnectionLost"


async def test_a_flood_is_held_back_and_answered_in_order(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        for number in range(300):
            values = meter_values({"value": str(number)})
            await charger.send([2, f"m{number}", "MeterValues", values])
        answers = [await charger.receive() for _ in range(300)]
    refused = {answer[1] for answer in answers if answer[0] == 4}
    accepted = [answer[1] for answer in answers if answer[0] == 3]
    assert accepted == [f"m{number}" for number in range(300) if f"m{number}" not in refused]
    stored = (await log_rows(bus, "charger_samples"))["value"]
    assert stored == [float(message_id[1:]) for message_id in accepted]


async def test_a_repeat_is_answered_from_memory(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        for _ in range(3):
            await charger.send([2, "same", "MeterValues", meter_values()])
            assert await charger.receive() == [3, "same", {}]
    assert (await log_rows(bus, "charger_samples"))["value"] == [1500.0]


async def test_without_the_database_the_charger_is_told_to_send_again(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    async with running_gateway(pool, bus) as running, raw_charger(f"{running.url}/CP1") as charger:
        await charger.call("Heartbeat", {})
        async with pool.connection() as connection:
            await connection.execute("ALTER TABLE sessions RENAME TO gone")
        assert (await charger.call("StartTransaction", START))[0] == "InternalError"
        assert await charger.call("MeterValues", meter_values()) == {}
        async with pool.connection() as connection:
            await connection.execute("ALTER TABLE gone RENAME TO sessions")
        assert (await charger.call("StartTransaction", START))["transactionId"] > 0


async def test_a_silent_socket_is_closed_and_one_that_only_pongs_is_not(pool: Pool, bus: Client) -> None:
    await add_charger(pool, "CP1")
    options = {"ping_s": 0.1, "idle_s": 0.6, "sweep_s": 0.05}
    async with running_gateway(pool, bus, **options) as running, raw_charger(f"{running.url}/CP1") as charger:
        await asyncio.sleep(1.2)
        assert "currentTime" in await charger.call("Heartbeat", {})
        charger.socket.transport.pause_reading()  # no pongs from here on

        async def is_gone() -> bool:
            return not running.gateway.links

        await eventually(is_gone)
        charger.socket.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            await charger.receive()
