"""The Things Stack's messages: its own examples, what may be missing from them, and any bytes."""

import json
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.lorawan import downlinks, things_stack
from protocols.lorawan.downlinks import Downlink
from protocols.lorawan.events import Gateway, Kind, Location, NetworkEvent
from protocols.samples import DecodeError
from protocols.timestamps import parse_timestamp
from tests.protocols.lorawan_examples import STORED, THINGS_STACK

NOW_US = 1_600_000_000_000_000
IDS = {"device_id": "dev1", "application_ids": {"application_id": "app1"}, "dev_eui": "0004A30B001C0530"}


def read(fields: dict[str, Any]) -> NetworkEvent:
    return things_stack.decode(json.dumps(fields).encode(), NOW_US)


def uplink(**fields: Any) -> NetworkEvent:
    return read({"end_device_ids": IDS, "received_at": "2020-02-12T15:15:46Z", "uplink_message": fields})


def test_the_documented_uplink() -> None:
    found = read(THINGS_STACK["uplink_message"])
    assert found.kind is Kind.UPLINK
    assert (found.dev_eui, found.device_id) == ("0004a30b001c0530", "dev1")
    assert (found.application_id, found.tenant_id) == ("app1", "tenant1")
    assert (found.f_port, found.f_cnt) == (0, 1)  # the example leaves f_port out: it is 0
    assert found.payload == bytes.fromhex("8241de")
    assert found.gateways == (Gateway("gtw1", -35, 5),)
    assert (found.data_rate, found.frequency_hz) == ("SF7BW125", 868_300_000)
    assert found.heard_at_us == parse_timestamp("2020-02-12T15:15:45.787Z")
    assert found.decoded == {"temperature": 1.0, "luminosity": 0.64}


def test_the_other_documented_messages() -> None:
    found = {name: read(fields) for name, fields in THINGS_STACK.items()}
    assert found["join_accept"].kind is Kind.JOIN
    assert found["join_accept"].heard_at_us == parse_timestamp("2020-02-17T07:49:09.736532Z")
    assert found["uplink_message of MQTT"].payload == b"Temperature = 0.0"
    assert found["uplink_message of MQTT"].f_cnt == 0
    # that one bears no time of a server, so the gateway's is held against ours, a year later
    assert found["uplink_message of MQTT"].heard_at_us == NOW_US
    assert found["downlink_ack"].kind is Kind.ACK
    assert found["downlink_ack"].correlation_ids[0] == "as:downlink:01E19B99501X84X6CV471TVSZ1"
    assert found["downlink_failed"].kind is Kind.FAILED
    assert found["downlink_failed"].dev_eui == ""
    assert found["downlink_failed"].device_id == "dev1"
    assert found["downlink_failed"].failure == (
        "application_downlink_too_long: application downlink payload is too long"
    )


def test_the_documented_lines_of_the_storage_integration() -> None:
    found = [things_stack.decode_stored(json.dumps(line).encode(), NOW_US) for line in STORED]
    assert [each.f_cnt for each in found] == [43, 44]
    assert found[0].payload == bytes.fromhex("010a010a010a010a")
    assert found[0].heard_at_us == parse_timestamp("2020-08-24T10:08:43.385687Z")
    assert found[0].gateways == (Gateway("gtw1", 0, 0),)


@pytest.mark.parametrize("name", ["ack", "nack", "queued", "sent"])
def test_what_became_of_a_downlink(name: str) -> None:
    downlink = {"f_port": 15, "frm_payload": "vu8=", "correlation_ids": [f"gridwire:{UUID(int=3)}"]}
    found = read({"end_device_ids": IDS, "correlation_ids": ["x"], f"downlink_{name}": downlink})
    assert found.kind.value == name
    assert downlinks.downlink_id(found.correlation_ids) == UUID(int=3)
    assert (found.failure is not None) == (name == "nack")


def test_locations_service_data_and_an_invalidated_queue() -> None:
    solved = {"service": "x", "location": {"latitude": 1.5, "longitude": 2, "altitude": 3}}
    assert read({"end_device_ids": IDS, "location_solved": solved}).location == Location(1.5, 2, 3)
    data = {"service": "x", "data": {"a": 1}}
    assert read({"end_device_ids": IDS, "service_data": data}).decoded == {"a": 1}
    assert read({"end_device_ids": IDS, "downlink_queue_invalidated": {}}).kind is Kind.LOG


def test_gateways_of_other_networks_are_told_apart() -> None:
    def of(eui: str, snr: float) -> dict[str, Any]:
        broker = {"forwarder_net_id": "000013", "forwarder_gateway_eui": eui}
        return {"gateway_ids": {"gateway_id": "packetbroker"}, "packet_broker": broker, "snr": snr}

    found = uplink(rx_metadata=[of("AA", 1), of("BB", 9), of("AA", 3)])
    assert [(each.id, each.snr_db) for each in found.gateways] == [("000013:bb", 9), ("000013:aa", 3)]


@pytest.mark.parametrize(
    ("times", "heard"),
    [
        ({"rx_metadata": [{}, {"time": "2020-02-12T15:15:44.123456789Z"}]}, "2020-02-12T15:15:44.123456Z"),
        ({"settings": {"time": "2020-02-12T15:15:43Z"}}, "2020-02-12T15:15:43Z"),
        ({"received_at": "2020-02-12T15:15:45.5Z"}, "2020-02-12T15:15:45.5Z"),
        ({"received_at": "0001-01-01T00:00:00Z"}, "2020-02-12T15:15:46Z"),  # a time that is not set
        ({"rx_metadata": [{"time": "1970-01-01T00:00:09Z"}]}, "2020-02-12T15:15:46Z"),
    ],
)
def test_the_order_of_times(times: dict[str, Any], heard: str) -> None:
    assert uplink(**times).heard_at_us == parse_timestamp(heard)


@pytest.mark.parametrize(
    ("rate", "name"),
    [
        ({"lora": {"bandwidth": 500000, "spreading_factor": 8}}, "SF8BW500"),
        ({"fsk": {"bit_rate": 50000}}, "FSK50000"),
        ({"lrfhss": {"operating_channel_width": 137000}}, "LRFHSS137"),
        ({}, ""),
    ],
)
def test_data_rates(rate: dict[str, Any], name: str) -> None:
    assert uplink(settings={"data_rate": rate}).data_rate == name


def test_a_simulated_uplink_and_a_battery_say_so() -> None:
    assert not uplink().is_simulated
    assert read({"end_device_ids": IDS, "uplink_message": {}, "simulated": True}).is_simulated
    assert uplink(last_battery_percentage={"value": 33.5}).battery_pct == 33.5


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"end_device_ids": IDS}, "event"),
        ({"uplink_message": {}}, "dev_eui"),
        ({"end_device_ids": {**IDS, "dev_eui": "00"}, "uplink_message": {}}, "dev_eui"),
        ({"end_device_ids": {**IDS, "device_id": "a/b"}, "uplink_message": {}}, "identifier"),
        ({"end_device_ids": IDS, "uplink_message": {"f_port": "x"}}, "invalid"),
        ({"end_device_ids": IDS, "uplink_message": {"received_at": "now"}}, "timestamp"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(fields)
    assert caught.value.reason == reason


@given(st.binary(max_size=300))
def test_any_bytes_give_an_event_or_a_decode_error(payload: bytes) -> None:
    for decode in (things_stack.decode, things_stack.decode_stored):
        with pytest.raises(DecodeError):
            decode(payload, NOW_US)


@given(
    st.sampled_from([*THINGS_STACK]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_mutated_examples_give_an_event_or_a_decode_error(
    name: str, changes: list[tuple[float, int]]
) -> None:
    payload = bytearray(json.dumps(THINGS_STACK[name]).encode())
    for place, byte in changes:
        payload[int(place * len(payload))] = byte
    with suppress(DecodeError):
        assert isinstance(things_stack.decode(bytes(payload), NOW_US), NetworkEvent)


def test_deep_and_huge_messages_are_refused() -> None:
    for payload in (b"[" * 100_000, b'{"service_data":' * 5_000, b" " * 300_000):
        with pytest.raises(DecodeError):
            things_stack.decode(payload, NOW_US)


def test_downlinks_as_documented() -> None:
    made = json.loads(downlinks.things_stack([Downlink(UUID(int=5), 15, b"\xbe\xef", True)], "HIGH"))
    assert made == {
        "downlinks": [
            {
                "f_port": 15,
                "frm_payload": "vu8=",
                "priority": "HIGH",
                "confirmed": True,
                "correlation_ids": [f"gridwire:{UUID(int=5)}"],
            }
        ]
    }
    assert json.loads(downlinks.things_stack([])) == {"downlinks": []}


def test_the_url_of_a_downlink() -> None:
    url = downlinks.things_stack_url("https://thethings.example.com", "app1", "wh1", "dev1")
    assert url == (
        "https://thethings.example.com/api/v3/as/applications/app1/webhooks/wh1/devices/dev1/down/push"
    )
    odd = downlinks.things_stack_url("http://x:1885", "a/b", "wh1", "..", is_replacing=True)
    assert odd == "http://x:1885/api/v3/as/applications/a%2Fb/webhooks/wh1/devices/../down/replace"
