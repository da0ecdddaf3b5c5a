"""What a LoRaWAN network server tells of simulated meters: events of ChirpStack 4 and The Things Stack 3.

Used by `simulators.lorawan_client`. Events have the fields that the servers send, not only those that our
parsers look at; zero values are left out, as proto3's JSON mapping does (The Things Stack and ChirpStack
both). Downlink commands are read here too.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from protocols.lorawan.chirpstack_protobuf import DOWNLINK_COMMAND, EVENTS
from protocols.protobuf import Message as Table
from protocols.protobuf import decode as decode_protobuf
from protocols.protobuf import encode as encode_protobuf
from protocols.samples import DecodeError
from protocols.timestamps import format_utc_ms

CHIRPSTACK_APPLICATION = "1d4a3c0e-6b52-4b0f-9d53-7f6f0a3e51c2"
CHIRPSTACK_TENANT = "52f14cd4-c6f1-4fbd-8f87-4025e1d49242"
THINGS_STACK_APPLICATION = "sim-meters"
THINGS_STACK_TENANT = "sim"
_CHIRPSTACK_DOWNLINKS = (f"application/{CHIRPSTACK_APPLICATION}/device/+/command/down",)
_THINGS_STACK_DEVICES = f"v3/{THINGS_STACK_APPLICATION}@{THINGS_STACK_TENANT}/devices"
_THINGS_STACK_DOWNLINKS = (
    f"{_THINGS_STACK_DEVICES}/+/down/push",
    f"{_THINGS_STACK_DEVICES}/+/down/replace",
)
SPREADING_FACTOR_MAX = 12
BANDWIDTH_HZ = 125_000
GATEWAYS = ("0016c001f1500001", "0016c001f1500002", "a84041ffff1e8b2c")


class Server(StrEnum):
    """Whose events a meter's are. `chirpstack_protobuf`: ChirpStack with `json=false`."""

    CHIRPSTACK = "chirpstack"
    CHIRPSTACK_PROTOBUF = "chirpstack_protobuf"
    THINGS_STACK = "things_stack"


@dataclass(frozen=True, slots=True)
class Reception:
    """How one gateway heard an uplink."""

    gateway: str
    rssi_dbm: int
    snr_db: float


@dataclass(frozen=True, slots=True)
class Uplink:
    """One frame of a device. `receptions`: not empty. `heard_at_us`: by the gateways' clocks."""

    dev_eui: str
    f_cnt: int
    f_port: int
    payload: bytes
    heard_at_us: int
    receptions: Sequence[Reception]
    spreading_factor: int = 7
    frequency_hz: int = 868_100_000
    is_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Downlink:
    """One downlink as somebody queued it. `id`: ChirpStack's, or empty; `correlation_ids`: the other's."""

    dev_eui: str
    f_port: int
    payload: bytes
    is_confirmed: bool
    id: str = ""
    correlation_ids: tuple[str, ...] = ()
    is_replacing: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """A message on its topic."""

    topic: str
    payload: bytes


def uplink(server: Server, up: Uplink, now_us: int) -> Event:
    """An uplink, deduplicated by the server: one event with all that heard it."""
    if server is Server.THINGS_STACK:
        return _things_stack(up.dev_eui, "up", {"uplink_message": _things_stack_up(up, now_us)}, now_us)
    data_rate = SPREADING_FACTOR_MAX - up.spreading_factor
    values = {
        "deduplicationId": f"{up.heard_at_us:032x}",
        "devAddr": _dev_addr(up.dev_eui),
        "adr": True,
        "dr": data_rate,
        "fCnt": up.f_cnt,
        "fPort": up.f_port,
        "confirmed": up.is_confirmed,
        "data": up.payload,
        "rxInfo": [
            {
                "gatewayId": each.gateway,
                "uplinkId": up.f_cnt * 10 + index,
                "gwTime": format_utc_ms(up.heard_at_us),
                "nsTime": format_utc_ms(now_us),
                "rssi": each.rssi_dbm,
                "snr": each.snr_db,
                "channel": index,
                "crcStatus": "CRC_OK",
            }
            for index, each in enumerate(up.receptions)
        ],
        "txInfo": {
            "frequency": up.frequency_hz,
            "modulation": {
                "lora": {
                    "bandwidth": BANDWIDTH_HZ,
                    "spreadingFactor": up.spreading_factor,
                    "codeRate": "CR_4_5",
                }
            },
        },
    }
    return _chirpstack(server, up.dev_eui, "up", values, now_us)


def join(server: Server, dev_eui: str, now_us: int) -> Event:
    """A device has a new session."""
    if server is Server.THINGS_STACK:
        accept = {
            "session_key_id": _base64(bytes(6) + now_us.to_bytes(8)),
            "received_at": format_utc_ms(now_us),
        }
        return _things_stack(dev_eui, "join", {"join_accept": accept}, now_us)
    return _chirpstack(server, dev_eui, "join", {"devAddr": _dev_addr(dev_eui)}, now_us)


def status(server: Server, dev_eui: str, battery_pct: float, margin_db: int, now_us: int) -> Event | None:
    """What the device answered to DevStatusReq; None for The Things Stack, which puts it into uplinks."""
    if server is Server.THINGS_STACK:
        return None
    values = {"margin": margin_db, "batteryLevel": battery_pct}
    return _chirpstack(server, dev_eui, "status", values, now_us)


def sent(server: Server, downlink: Downlink, now_us: int) -> Event:
    """A gateway has sent a downlink."""
    if server is Server.THINGS_STACK:
        return _about_downlink("sent", downlink, now_us)
    values = {
        "queueItemId": downlink.id,
        "gatewayId": GATEWAYS[0],
        "txInfo": {"frequency": 869_525_000},
    }
    return _chirpstack(server, downlink.dev_eui, "txack", values, now_us)


def queued(server: Server, downlink: Downlink, now_us: int) -> Event | None:
    """A downlink waits for its device; ChirpStack tells nobody."""
    return _about_downlink("queued", downlink, now_us) if server is Server.THINGS_STACK else None


def acknowledged(server: Server, downlink: Downlink, now_us: int, *, is_ack: bool) -> Event:
    """A device's word on a confirmed downlink."""
    if server is Server.THINGS_STACK:
        return _about_downlink("ack" if is_ack else "nack", downlink, now_us)
    values = {"queueItemId": downlink.id, "acknowledged": is_ack, "fCntDown": 1}
    return _chirpstack(server, downlink.dev_eui, "ack", values, now_us)


def downlink_topics(server: Server) -> tuple[str, ...]:
    """What a server subscribes to."""
    return _THINGS_STACK_DOWNLINKS if server is Server.THINGS_STACK else _CHIRPSTACK_DOWNLINKS


def downlinks(topic: str, payload: bytes) -> tuple[Downlink, ...]:
    """The downlinks of a command's message, of either server and encoding.

    Raises `DecodeError` for a topic or a payload that is none.
    """
    levels = topic.split("/")
    try:
        if topic.startswith("v3/") and len(levels) == 6:
            return _things_stack_downlinks(levels[3], payload, is_replacing=levels[5] == "replace")
        if topic.endswith("/command/down") and len(levels) >= 6:
            return (_chirpstack_downlink(levels[-3], payload),)
    except (msgspec.MsgspecError, binascii.Error, ValueError, TypeError, AttributeError) as error:
        raise DecodeError("malformed", topic[:200], str(error)[:200]) from None
    raise DecodeError("topic", topic[:200], "is no topic of downlinks")


# --- ChirpStack ---------------------------------------------------------------------------------------


def _chirpstack(server: Server, dev_eui: str, event: str, values: Mapping[str, Any], now_us: int) -> Event:
    topic = f"application/{CHIRPSTACK_APPLICATION}/device/{dev_eui}/event/{event}"
    device = {
        "tenantId": CHIRPSTACK_TENANT,
        "tenantName": "Simulated",
        "applicationId": CHIRPSTACK_APPLICATION,
        "applicationName": "Simulated meters",
        "deviceName": f"meter-{dev_eui}",
        "devEui": dev_eui,
    }
    whole = {"time": format_utc_ms(now_us), "deviceInfo": device, **values}
    if server is Server.CHIRPSTACK_PROTOBUF:
        return Event(topic, encode_protobuf(_known(whole, EVENTS[event]), EVENTS[event]))
    return Event(topic, _proto3_json(whole))


def _chirpstack_downlink(dev_eui: str, payload: bytes) -> Downlink:
    values: dict[str, Any]
    if payload.lstrip()[:1] == b"{":
        values = msgspec.json.decode(payload, type=dict[str, Any])
        values["data"] = base64.b64decode(values.get("data", ""), validate=True)
    else:
        values = decode_protobuf(payload, DOWNLINK_COMMAND)
    if values.get("devEui", "").lower() != dev_eui.lower():
        raise ValueError(f"the topic names {dev_eui}, the command {values.get('devEui')!r}")
    return Downlink(
        dev_eui.lower(),
        int(values.get("fPort", 0)),
        values.get("data", b""),
        bool(values.get("confirmed", False)),
        str(values.get("id", "")),
    )


def _known(values: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """The fields that the tables of our parser have; a server's protobuf has all of them."""
    fields = {field.name: field for field in table.values()}
    found: dict[str, Any] = {}
    for name in values.keys() & fields.keys():
        field, value = fields[name], values[name]
        if field.message is not None and field.is_repeated:
            value = [_known(each, field.message) for each in value]
        elif field.message is not None:
            value = _known(value, field.message)
        found[name] = value
    return found


# --- The Things Stack ---------------------------------------------------------------------------------


def device_id(dev_eui: str) -> str:
    """The name of a device in The Things Stack's console."""
    return f"eui-{dev_eui}"


def _things_stack(dev_eui: str, event: str, values: Mapping[str, Any], now_us: int) -> Event:
    name = device_id(dev_eui)
    ids = {
        "device_id": name,
        "application_ids": {"application_id": THINGS_STACK_APPLICATION},
        "dev_eui": dev_eui.upper(),
        "join_eui": "70B3D57ED0000000",
        "dev_addr": _dev_addr(dev_eui).upper(),
    }
    whole = {
        "end_device_ids": ids,
        "correlation_ids": [f"gs:uplink:{now_us:026X}"],
        "received_at": format_utc_ms(now_us),
        **values,
    }
    return Event(f"{_THINGS_STACK_DEVICES}/{name}/{event}", _proto3_json(whole))


def _things_stack_up(up: Uplink, now_us: int) -> dict[str, Any]:
    return {
        "session_key_id": _base64(up.dev_eui.encode()[:14]),
        "f_port": up.f_port,
        "f_cnt": up.f_cnt,
        "frm_payload": up.payload,
        "confirmed": up.is_confirmed,
        "rx_metadata": [
            {
                "gateway_ids": {"gateway_id": f"gateway-{each.gateway}", "eui": each.gateway.upper()},
                "time": format_utc_ms(up.heard_at_us),
                "timestamp": up.heard_at_us & 0xFFFFFFFF,
                "rssi": each.rssi_dbm,
                "channel_rssi": each.rssi_dbm,
                "snr": each.snr_db,
                "received_at": format_utc_ms(now_us),
            }
            for each in up.receptions
        ],
        "settings": {
            "data_rate": {
                "lora": {
                    "bandwidth": BANDWIDTH_HZ,
                    "spreading_factor": up.spreading_factor,
                    "coding_rate": "4/5",
                }
            },
            "frequency": str(up.frequency_hz),
            "time": format_utc_ms(up.heard_at_us),
        },
        "received_at": format_utc_ms(now_us),
        "consumed_airtime": "0.061696s",
        "network_ids": {"net_id": "000013", "tenant_id": THINGS_STACK_TENANT, "cluster_id": "eu1"},
    }


def _about_downlink(verb: str, downlink: Downlink, now_us: int) -> Event:
    message = {
        "f_port": downlink.f_port,
        "frm_payload": downlink.payload,
        "confirmed": downlink.is_confirmed,
        "priority": "NORMAL",
        "correlation_ids": list(downlink.correlation_ids),
    }
    return _things_stack(downlink.dev_eui, f"down/{verb}", {f"downlink_{verb}": message}, now_us)


def _things_stack_downlinks(device: str, payload: bytes, *, is_replacing: bool) -> tuple[Downlink, ...]:
    listed = msgspec.json.decode(payload, type=dict[str, list[dict[str, Any]]]).get("downlinks", [])
    return tuple(
        Downlink(
            device.removeprefix("eui-").lower(),
            int(each.get("f_port", 0)),
            base64.b64decode(each.get("frm_payload", ""), validate=True),
            bool(each.get("confirmed", False)),
            "",
            tuple(map(str, each.get("correlation_ids", ()))),
            is_replacing,
        )
        for each in listed
    )


# --- both ---------------------------------------------------------------------------------------------


def _proto3_json(values: Mapping[str, Any]) -> bytes:
    """Protocol Buffers' JSON mapping: bytes as base64, what is zero, false or empty left out."""
    return msgspec.json.encode(_shortened(values))


def _shortened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _shortened(each) for name, each in value.items() if each or isinstance(each, Mapping)}
    return [_shortened(each) for each in value] if isinstance(value, list) else value


def _dev_addr(dev_eui: str) -> str:
    return f"26{dev_eui[-6:]}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
