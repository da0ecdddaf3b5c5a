"""The Things Stack 3's application messages as JSON (`ApplicationUp` in proto3's JSON mapping).

Used by `ingest.lorawan` for MQTT, webhooks and the storage integration, which all speak it. Which of the
message's fields is there says what happened.
"""

from typing import Annotated, Any

import msgspec

from protocols.battery.errors import decode_error
from protocols.lorawan.events import (
    CORRELATION_IDS_MAX,
    EVENT_BYTES_MAX,
    Gateway,
    Kind,
    Location,
    NetworkEvent,
    Server,
    deduplicated,
    dev_eui,
    heard_at,
    identifier,
    server_time,
)
from protocols.samples import DecodeError

_UInt32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
_Port = Annotated[int, msgspec.Meta(ge=0, le=255)]
_FREQUENCY_DIGITS_MAX = 20


class _ApplicationIds(msgspec.Struct, frozen=True):
    application_id: str = ""


class _DeviceIds(msgspec.Struct, frozen=True):
    device_id: str = ""
    application_ids: _ApplicationIds = _ApplicationIds()
    dev_eui: str = ""


class _GatewayIds(msgspec.Struct, frozen=True):
    gateway_id: str = ""
    eui: str = ""


class _PacketBroker(msgspec.Struct, frozen=True):
    """Whose gateway it was where another network heard the device: all of them share one gateway id."""

    forwarder_net_id: str = ""
    forwarder_gateway_id: str = ""
    forwarder_gateway_eui: str = ""


class _RxMetadata(msgspec.Struct, frozen=True):
    gateway_ids: _GatewayIds = _GatewayIds()
    packet_broker: _PacketBroker | None = None
    time: str = ""
    rssi: float = 0.0
    snr: float = 0.0


class _Lora(msgspec.Struct, frozen=True):
    bandwidth: _UInt32 = 0
    spreading_factor: _UInt32 = 0


class _Fsk(msgspec.Struct, frozen=True):
    bit_rate: _UInt32 = 0


class _LrFhss(msgspec.Struct, frozen=True):
    operating_channel_width: _UInt32 = 0


class _DataRate(msgspec.Struct, frozen=True):
    lora: _Lora | None = None
    fsk: _Fsk | None = None
    lrfhss: _LrFhss | None = None


class _Settings(msgspec.Struct, frozen=True):
    data_rate: _DataRate = _DataRate()
    frequency: str = ""
    time: str = ""


class _Battery(msgspec.Struct, frozen=True):
    value: float = 0.0


class _Network(msgspec.Struct, frozen=True):
    tenant_id: str = ""


class _Uplink(msgspec.Struct, frozen=True):
    f_port: _Port = 0
    f_cnt: _UInt32 = 0
    frm_payload: bytes = b""
    decoded_payload: Any = None
    normalized_payload: Any = None
    rx_metadata: list[_RxMetadata] = []
    settings: _Settings = _Settings()
    received_at: str = ""
    confirmed: bool = False
    network_ids: _Network = _Network()
    last_battery_percentage: _Battery | None = None


class _Join(msgspec.Struct, frozen=True):
    received_at: str = ""


class _Downlink(msgspec.Struct, frozen=True):
    f_port: _Port = 0
    f_cnt: _UInt32 = 0
    confirmed: bool = False
    correlation_ids: list[str] = []


class _Error(msgspec.Struct, frozen=True):
    namespace: str = ""
    name: str = ""
    message_format: str = ""


class _Failed(msgspec.Struct, frozen=True):
    downlink: _Downlink = _Downlink()
    error: _Error = _Error()


class _Location(msgspec.Struct, frozen=True):
    latitude: float = 0.0
    longitude: float = 0.0
    altitude: float = 0.0


class _Solved(msgspec.Struct, frozen=True):
    location: _Location = _Location()


class _ServiceData(msgspec.Struct, frozen=True):
    service: str = ""
    data: Any = None


class _Message(msgspec.Struct, frozen=True):
    end_device_ids: _DeviceIds = _DeviceIds()
    correlation_ids: list[str] = []
    received_at: str = ""
    simulated: bool = False
    uplink_message: _Uplink | None = None
    uplink_normalized: _Uplink | None = None
    join_accept: _Join | None = None
    downlink_ack: _Downlink | None = None
    downlink_nack: _Downlink | None = None
    downlink_queued: _Downlink | None = None
    downlink_sent: _Downlink | None = None
    downlink_failed: _Failed | None = None
    downlink_queue_invalidated: Any = None
    location_solved: _Solved | None = None
    service_data: _ServiceData | None = None


class _Stored(msgspec.Struct, frozen=True):
    """A line of the storage integration's answer."""

    result: _Message


class _Common(msgspec.Struct, frozen=True):
    """What every event has, as keywords for `NetworkEvent`."""

    server_at_us: int
    dev_eui: str
    device_id: str
    application_id: str
    is_simulated: bool


_decoder = msgspec.json.Decoder(_Message)
_stored_decoder = msgspec.json.Decoder(_Stored)


def decode(payload: bytes, received_at_us: int) -> NetworkEvent:
    """Read one message of MQTT or a webhook. Raises `DecodeError`."""
    if len(payload) > EVENT_BYTES_MAX:
        raise DecodeError("too_large", "", f"{len(payload)} bytes, at most {EVENT_BYTES_MAX} are read")
    try:
        message = _decoder.decode(payload)
    except (ValueError, RecursionError) as error:
        raise decode_error(error) from None
    return _event(message, received_at_us)


def decode_stored(line: bytes, received_at_us: int) -> NetworkEvent:
    """Read one line of the storage integration (`{"result": ...}`). Raises `DecodeError`."""
    try:
        stored = _stored_decoder.decode(line)
    except (ValueError, RecursionError) as error:
        raise decode_error(error) from None
    return _event(stored.result, received_at_us)


def _event(message: _Message, received_at_us: int) -> NetworkEvent:
    ids = message.end_device_ids
    common = _Common(
        server_at_us=server_time(_server_times(message), received_at_us),
        dev_eui=dev_eui(ids.dev_eui, "end_device_ids.dev_eui") if ids.dev_eui else "",
        device_id=identifier(ids.device_id, "end_device_ids.device_id"),
        application_id=identifier(ids.application_ids.application_id, "end_device_ids.application_ids"),
        is_simulated=message.simulated,
    )
    if not common.dev_eui and not common.device_id:
        raise DecodeError("dev_eui", "end_device_ids", "names no device: neither dev_eui nor device_id")
    if message.uplink_message is not None:
        return _uplink(message, message.uplink_message, common)
    kind, details = _happened(message)
    return NetworkEvent(
        server=Server.THINGS_STACK,
        kind=kind,
        heard_at_us=common.server_at_us,
        **_fields(common),
        **details,
    )


def _uplink(message: _Message, up: _Uplink, common: _Common) -> NetworkEvent:
    settings = up.settings
    gateway_times = [*(rx.time for rx in up.rx_metadata), settings.time]
    battery = up.last_battery_percentage
    return NetworkEvent(
        server=Server.THINGS_STACK,
        kind=Kind.UPLINK,
        heard_at_us=heard_at(gateway_times, common.server_at_us),
        tenant_id=identifier(up.network_ids.tenant_id, "uplink_message.network_ids.tenant_id"),
        f_port=up.f_port,
        f_cnt=up.f_cnt,
        payload=up.frm_payload,
        is_confirmed=up.confirmed,
        data_rate=_data_rate(settings.data_rate),
        frequency_hz=_frequency_hz(settings.frequency),
        gateways=deduplicated(Gateway(_gateway_id(rx), rx.rssi, rx.snr) for rx in up.rx_metadata),
        battery_pct=battery.value if battery is not None else None,
        correlation_ids=tuple(message.correlation_ids[:CORRELATION_IDS_MAX]),
        decoded=up.decoded_payload,
        **_fields(common),
    )


def _happened(message: _Message) -> tuple[Kind, dict[str, Any]]:
    """Return the kind of a message that is no uplink, and what only that kind says."""
    found = _downlink_event(message)
    if found is not None:
        return found
    if message.join_accept is not None:
        return Kind.JOIN, {}
    if message.location_solved is not None:
        place = message.location_solved.location
        return Kind.LOCATION, {"location": Location(place.latitude, place.longitude, place.altitude)}
    if message.service_data is not None:
        return Kind.INTEGRATION, {"decoded": message.service_data.data}
    if message.uplink_normalized is not None:
        return Kind.INTEGRATION, {"decoded": message.uplink_normalized.normalized_payload}
    raise DecodeError("event", "", "has none of uplink_message, join_accept, downlink_*, location_solved")


def _downlink_event(message: _Message) -> tuple[Kind, dict[str, Any]] | None:
    downlinks = (
        (Kind.ACK, message.downlink_ack, None),
        (Kind.NACK, message.downlink_nack, "the device did not acknowledge"),
        (Kind.QUEUED, message.downlink_queued, None),
        (Kind.SENT, message.downlink_sent, None),
    )
    for kind, downlink, failure in downlinks:
        if downlink is not None:
            return kind, {**_downlink(message, downlink), "failure": failure}
    if message.downlink_failed is not None:
        error = message.downlink_failed.error
        failure = ": ".join(part for part in (error.name, error.message_format) if part) or "failed"
        return Kind.FAILED, {**_downlink(message, message.downlink_failed.downlink), "failure": failure}
    if message.downlink_queue_invalidated is not None:
        return Kind.LOG, {"failure": "the downlink queue was invalidated"}
    return None


def _downlink(message: _Message, downlink: _Downlink) -> dict[str, Any]:
    ids = dict.fromkeys((*downlink.correlation_ids, *message.correlation_ids))
    return {
        "f_port": downlink.f_port,
        "is_confirmed": downlink.confirmed,
        "correlation_ids": tuple(ids)[:CORRELATION_IDS_MAX],
    }


def _server_times(message: _Message) -> list[tuple[str, str]]:
    """The Network Server's word before the Application Server's."""
    times = [("received_at", message.received_at)]
    if message.uplink_message is not None:
        times.insert(0, ("uplink_message.received_at", message.uplink_message.received_at))
    if message.join_accept is not None:
        times.insert(0, ("join_accept.received_at", message.join_accept.received_at))
    return times


def _fields(common: _Common) -> dict[str, Any]:
    return {name: getattr(common, name) for name in common.__struct_fields__}


def _gateway_id(rx: _RxMetadata) -> str:
    broker = rx.packet_broker
    if broker is not None:
        of_network = broker.forwarder_gateway_eui or broker.forwarder_gateway_id
        return f"{broker.forwarder_net_id}:{of_network}".lower()
    return rx.gateway_ids.gateway_id or rx.gateway_ids.eui.lower()


def _data_rate(rate: _DataRate) -> str:
    if rate.lora is not None:
        return f"SF{rate.lora.spreading_factor}BW{rate.lora.bandwidth // 1000}"
    if rate.fsk is not None:
        return f"FSK{rate.fsk.bit_rate}"
    return f"LRFHSS{rate.lrfhss.operating_channel_width // 1000}" if rate.lrfhss is not None else ""


def _frequency_hz(text: str) -> int:
    """Return the frequency, a 64-bit integer and so a text in JSON; 0 where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _FREQUENCY_DIGITS_MAX else 0
