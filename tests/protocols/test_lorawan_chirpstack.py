"""ChirpStack's events: its own examples in both encodings, its own protobuf classes, and any bytes."""

import json
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from chirpstack_api import integration  # type: ignore[import-untyped]
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from google.protobuf.message import Message as Protobuf  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from protocols.lorawan import chirpstack, chirpstack_protobuf, downlinks
from protocols.lorawan.downlinks import Downlink
from protocols.lorawan.events import Gateway, Kind, Location, NetworkEvent
from protocols.samples import DecodeError
from protocols.timestamps import parse_timestamp
from tests.protocols.lorawan_examples import APPLICATION, CHIRPSTACK, EUI, GATEWAY, TENANT

NOW_US = 1_700_000_000_000_000
CLASSES: dict[str, type[Protobuf]] = {
    "up": integration.UplinkEvent,
    "join": integration.JoinEvent,
    "status": integration.StatusEvent,
    "ack": integration.AckEvent,
    "txack": integration.TxAckEvent,
    "log": integration.LogEvent,
    "location": integration.LocationEvent,
}


def read(event: str, fields: dict[str, Any]) -> NetworkEvent:
    return chirpstack.decode(event, json.dumps(fields).encode(), NOW_US)


def binary(event: str, fields: dict[str, Any]) -> bytes:
    return bytes(ParseDict(fields, CLASSES[event]()).SerializeToString())


def test_the_documented_uplink() -> None:
    found = read("up", CHIRPSTACK["up"])
    assert found.kind is Kind.UPLINK
    assert (found.dev_eui, found.application_id, found.tenant_id) == (EUI, APPLICATION, TENANT)
    assert (found.f_port, found.payload) == (1, b"\xaa")
    assert found.f_cnt == 0  # left out: the first frame after a join
    assert not found.is_adr
    assert found.gateways == (Gateway(GATEWAY, -36, 10.5),)
    assert (found.data_rate, found.frequency_hz) == ("SF11BW125", 867_100_000)
    assert found.heard_at_us == parse_timestamp("2022-07-18T09:34:15.775023Z")


def test_the_other_documented_events() -> None:
    found = {event: read(event, fields) for event, fields in CHIRPSTACK.items()}
    assert (found["status"].margin_db, found["status"].battery_pct) == (10, 88.3)
    assert found["join"].kind is Kind.JOIN
    assert found["ack"].kind is Kind.ACK
    assert found["ack"].correlation_ids == ("1bbcab1d-6ec6-4136-b3f5-d63be1dc08de",)
    assert (found["txack"].kind, found["txack"].frequency_hz) == (Kind.SENT, 867_900_000)
    assert found["log"].kind is Kind.LOG
    assert found["log"].failure is not None
    assert found["log"].failure.startswith("UPLINK_MIC: MIC of join-request")
    assert found["location"].location == Location(37.344214, -8.839375, 2)
    assert found["integration"].decoded["pending_requests"]["updelay"] == 32
    assert found["integration"].dev_eui == "0016c001f000175a"


@pytest.mark.parametrize("event", CLASSES)
def test_protobuf_of_the_servers_own_classes_says_the_same(event: str) -> None:
    fields = CHIRPSTACK[event]
    found = chirpstack_protobuf.decode(event, binary(event, fields), NOW_US)
    expected = read(event, fields)
    if event == "status":  # 32 bits of a float
        assert found.battery_pct == pytest.approx(88.3, abs=1e-5)
        expected = read(event, {**fields, "batteryLevel": found.battery_pct})
    assert found == expected


def test_a_missing_acknowledgement_is_a_negative_one() -> None:
    fields = {name: value for name, value in CHIRPSTACK["ack"].items() if name != "acknowledged"}
    found = read("ack", fields)
    assert found.kind is Kind.NACK
    assert found.failure


def test_a_battery_is_only_known_where_the_device_could_tell() -> None:
    base = {name: value for name, value in CHIRPSTACK["status"].items() if name != "batteryLevel"}
    assert read("status", base).battery_pct == 0
    assert read("status", {**base, "batteryLevelUnavailable": True}).battery_pct is None
    mains = read("status", {**base, "externalPowerSource": True})
    assert (mains.battery_pct, mains.is_mains_powered) == (None, True)


def test_a_downlink_that_the_server_gave_up_is_a_failure_of_it() -> None:
    item = "11111111-2222-3333-4444-555555555555"
    context = {"queue_item_id": item, "item_size": "60", "max_payload_size": "51"}
    fields = {**CHIRPSTACK["log"], "code": "DOWNLINK_PAYLOAD_SIZE", "context": context}
    for found in (read("log", fields), chirpstack_protobuf.decode("log", binary("log", fields), NOW_US)):
        assert found.kind is Kind.FAILED
        assert downlinks.downlink_id(found.correlation_ids) == UUID(item)


def test_several_antennas_of_one_gateway_are_one() -> None:
    receptions = [
        {"gatewayId": "aa", "rssi": -110, "snr": -3},
        {"gatewayId": "bb", "rssi": -90, "snr": 7.25},
        {"gatewayId": "aa", "rssi": -100, "snr": 1},
    ]
    found = read("up", {**CHIRPSTACK["up"], "rxInfo": receptions})
    assert found.gateways == (Gateway("bb", -90, 7.25), Gateway("aa", -100, 1))


@pytest.mark.parametrize(
    ("gateway_time", "heard"),
    [
        ("2022-07-18T09:34:14.000000001+00:00", "2022-07-18T09:34:14Z"),
        ("2022-07-17T09:34:14Z", "2022-07-17T09:34:14Z"),  # it was cut off for a day
        ("1980-01-06T00:00:00Z", "2022-07-18T09:34:15.775023Z"),  # no satellite yet
        ("2022-07-18T12:34:14Z", "2022-07-18T09:34:15.775023Z"),  # local time sold as UTC
        ("yesterday", "2022-07-18T09:34:15.775023Z"),
    ],
)
def test_a_gateways_time_counts_where_it_can_be_right(gateway_time: str, heard: str) -> None:
    receptions = [{"gatewayId": "aa"}, {"gatewayId": "bb", "gwTime": gateway_time}]
    found = read("up", {**CHIRPSTACK["up"], "rxInfo": receptions})
    assert found.heard_at_us == parse_timestamp(heard)


def test_without_any_time_it_was_heard_when_it_arrived() -> None:
    fields = {name: value for name, value in CHIRPSTACK["up"].items() if name != "time"}
    assert read("up", fields).heard_at_us == NOW_US


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"deviceInfo": {"devEui": "01"}}, "dev_eui", "deviceInfo.devEui"),
        ({"deviceInfo": {}}, "dev_eui", "deviceInfo.devEui"),
        ({"fPort": 300}, "invalid", "fPort"),
        ({"fCnt": -1}, "invalid", "fCnt"),
        ({"data": "%%%"}, "invalid", "data"),
        ({"time": "soon"}, "timestamp", "time"),
        ({"deviceInfo": {"devEui": EUI, "applicationId": "a/+/#"}}, "identifier", "deviceInfo.applicationId"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read("up", {**CHIRPSTACK["up"], **fields})
    assert (caught.value.reason, caught.value.field) == (reason, field)


def test_an_unknown_event_and_a_huge_one_are_refused() -> None:
    for decode in (chirpstack.decode, chirpstack_protobuf.decode):
        with pytest.raises(DecodeError, match="'sideways' is none of up, join"):
            decode("sideways", b"{}", NOW_US)
        with pytest.raises(DecodeError, match="at most"):
            decode("up", b" " * 300_000, NOW_US)


EVENTS = st.sampled_from([*chirpstack.KINDS])


@given(EVENTS, st.binary(max_size=300))
def test_any_bytes_give_an_event_or_a_decode_error(event: str, payload: bytes) -> None:
    for decode in (chirpstack.decode, chirpstack_protobuf.decode):
        with suppress(DecodeError):
            assert isinstance(decode(event, payload, NOW_US), NetworkEvent)


@given(
    st.sampled_from([*CLASSES]),
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_mutated_examples_give_an_event_or_a_decode_error(
    event: str, is_json: bool, changes: list[tuple[float, int]]
) -> None:
    whole = json.dumps(CHIRPSTACK[event]).encode() if is_json else binary(event, CHIRPSTACK[event])
    payload = bytearray(whole)
    for place, byte in changes:
        payload[int(place * len(payload))] = byte
    decode = chirpstack.decode if is_json else chirpstack_protobuf.decode
    with suppress(DecodeError):
        assert isinstance(decode(event, bytes(payload), NOW_US), NetworkEvent)


def test_a_downlink_is_the_servers_own_command() -> None:
    downlink = Downlink(UUID(int=7), 10, b"\xbe\xef", True, NOW_US)
    expected = integration.DownlinkCommand(
        id=str(UUID(int=7)), dev_eui=EUI, confirmed=True, f_port=10, data=b"\xbe\xef"
    )
    expected.expires_at.FromMicroseconds(NOW_US)
    parsed = integration.DownlinkCommand.FromString(downlinks.chirpstack(downlink, EUI, "protobuf"))
    assert parsed == expected
    fields = json.loads(downlinks.chirpstack(downlink, EUI, "json"))
    assert ParseDict(fields, integration.DownlinkCommand()) == expected
    unconfirmed = json.loads(downlinks.chirpstack(Downlink(UUID(int=7), 1, b""), EUI, "json"))
    assert unconfirmed["confirmed"] is False
    assert "expiresAt" not in unconfirmed


@pytest.mark.parametrize(("port", "size"), [(0, 1), (224, 1), (1, 243)])
def test_a_downlink_that_no_server_takes_is_not_made(port: int, size: int) -> None:
    with pytest.raises(ValueError, match=r"fPort|bytes"):
        Downlink(UUID(int=1), port, bytes(size))
