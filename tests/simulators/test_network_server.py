import base64
import dataclasses
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.lorawan import chirpstack, chirpstack_protobuf, downlinks, things_stack, topics
from protocols.lorawan.events import Kind, NetworkEvent
from protocols.lorawan.events import Server as Family
from protocols.samples import DecodeError
from simulators import network_server as server
from simulators.network_server import Downlink, Event, Reception, Server, Uplink

NOW_US = 1_780_000_000_000_000
DEV_EUI = "70b3d57ed0000001"
COMMAND = UUID(int=7)


def read(event: Event, of: Server) -> NetworkEvent:
    """What our own parsers make of an event, its topic included."""
    topic = topics.parse(event.topic)
    if of is Server.THINGS_STACK:
        assert topic.server is Family.THINGS_STACK
        return things_stack.decode(event.payload, NOW_US)
    assert topic.server is Family.CHIRPSTACK
    assert topic.device == DEV_EUI
    family = chirpstack_protobuf if of is Server.CHIRPSTACK_PROTOBUF else chirpstack
    found: NetworkEvent = family.decode(topic.event, event.payload, NOW_US)
    return found


def up(**more: object) -> Uplink:
    basis = Uplink(DEV_EUI, 0, 2, b"\x01", NOW_US - 5000, [Reception("0016c001f1500001", -80, 0.0)])
    return dataclasses.replace(basis, **more)  # type: ignore[arg-type]


RECEPTIONS = st.lists(
    st.builds(Reception, st.sampled_from(server.GATEWAYS), st.integers(-130, 0), st.integers(-20, 15)),
    min_size=1, max_size=3, unique_by=lambda each: each.gateway,
)  # fmt: skip


@given(
    st.sampled_from(Server), st.integers(0, 2**32 - 1), st.integers(0, 223), st.binary(max_size=60),
    RECEPTIONS, st.booleans(), st.integers(7, 12),
)  # fmt: skip
def test_uplinks_are_what_the_parsers_read(
    of: Server, f_cnt: int, f_port: int, payload: bytes, heard: list[Reception], confirmed: bool, factor: int
) -> None:
    sent = up(
        f_cnt=f_cnt, f_port=f_port, payload=payload, receptions=heard, is_confirmed=confirmed,
        spreading_factor=factor,
    )  # fmt: skip
    found = read(server.uplink(of, sent, NOW_US), of)
    assert (found.kind, found.dev_eui, found.f_cnt, found.f_port) == (Kind.UPLINK, DEV_EUI, f_cnt, f_port)
    assert (found.payload, found.is_confirmed) == (payload, confirmed)
    assert (found.heard_at_us, found.server_at_us) == (NOW_US - 5000, NOW_US)
    assert found.data_rate == f"SF{factor}BW125"
    assert found.frequency_hz == 868_100_000
    assert sorted((each.rssi_dbm, each.snr_db) for each in found.gateways) == sorted(
        (each.rssi_dbm, each.snr_db) for each in heard
    )


def test_zero_fields_are_left_out_as_the_servers_do() -> None:
    for of, names in (
        (Server.CHIRPSTACK, ("fCnt", "confirmed")),
        (Server.THINGS_STACK, ("f_cnt", "confirmed")),
    ):
        text = server.uplink(of, up(), NOW_US).payload.decode()
        assert not any(f'"{name}"' in text for name in names)
        assert '"snr"' not in text
    text = server.acknowledged(Server.CHIRPSTACK, downlink(), NOW_US, is_ack=False).payload.decode()
    assert "acknowledged" not in text


def downlink(**more: object) -> Downlink:
    basis = {"id": str(COMMAND), "correlation_ids": (f"gridwire:{COMMAND}",), **more}
    return Downlink(DEV_EUI, 10, b"\xc1\x00", True, **basis)  # type: ignore[arg-type]


@pytest.mark.parametrize("of", Server)
def test_joins_and_the_life_of_a_downlink(of: Server) -> None:
    assert read(server.join(of, DEV_EUI, NOW_US), of).kind is Kind.JOIN
    found = read(server.sent(of, downlink(), NOW_US), of)
    assert (found.kind, downlinks.downlink_id(found.correlation_ids)) == (Kind.SENT, COMMAND)
    for is_ack, kind in ((True, Kind.ACK), (False, Kind.NACK)):
        found = read(server.acknowledged(of, downlink(), NOW_US, is_ack=is_ack), of)
        assert (found.kind, downlinks.downlink_id(found.correlation_ids)) == (kind, COMMAND)


def test_status_is_chirpstacks_and_queued_the_other_ones() -> None:
    for of in (Server.CHIRPSTACK, Server.CHIRPSTACK_PROTOBUF):
        event = server.status(of, DEV_EUI, 87.5, -3, NOW_US)
        assert event is not None
        found = read(event, of)
        assert (found.kind, found.battery_pct, found.margin_db) == (Kind.STATUS, 87.5, -3)
        assert server.queued(of, downlink(), NOW_US) is None
    assert server.status(Server.THINGS_STACK, DEV_EUI, 87.5, -3, NOW_US) is None
    event = server.queued(Server.THINGS_STACK, downlink(), NOW_US)
    assert event is not None
    assert read(event, Server.THINGS_STACK).kind is Kind.QUEUED


@given(st.integers(1, 223), st.binary(max_size=50), st.booleans(), st.sampled_from(["json", "protobuf"]))
def test_the_platforms_downlinks_are_read(port: int, payload: bytes, confirmed: bool, encoding: str) -> None:
    made = downlinks.Downlink(COMMAND, port, payload, confirmed, NOW_US)
    topic = topics.chirpstack_downlink(server.CHIRPSTACK_APPLICATION, DEV_EUI)
    (found,) = server.downlinks(topic, downlinks.chirpstack(made, DEV_EUI, encoding))  # type: ignore[arg-type]
    assert found == Downlink(DEV_EUI, port, payload, confirmed, str(COMMAND))
    device = server.device_id(DEV_EUI)
    for is_replacing in (False, True):
        topic = topics.things_stack_downlink("sim-meters@sim", device, is_replacing=is_replacing)
        (found,) = server.downlinks(topic, downlinks.things_stack([made]))
        ids = (f"gridwire:{COMMAND}",)
        assert found == Downlink(DEV_EUI, port, payload, confirmed, "", ids, is_replacing)


@given(
    st.sampled_from(
        [f"application/a/device/{DEV_EUI}/command/down", f"v3/a@t/devices/eui-{DEV_EUI}/down/push", "other"]
    ),
    st.binary(max_size=60)
    | st.sampled_from([b'{"data":1}', b'{"downlinks":[{"f_port":"x"}]}', b"[]", b"{}"]),
)
def test_any_command_is_read_or_refused(topic: str, payload: bytes) -> None:
    try:
        found = server.downlinks(topic, payload)
    except DecodeError:
        return
    assert all(isinstance(each.payload, bytes) for each in found)


def test_a_downlink_of_another_device_is_refused() -> None:
    body = msgspec.json.encode({"devEui": "0" * 16, "data": base64.b64encode(b"\x01").decode()})
    with pytest.raises(DecodeError, match="the topic names"):
        server.downlinks(f"application/a/device/{DEV_EUI}/command/down", body)
