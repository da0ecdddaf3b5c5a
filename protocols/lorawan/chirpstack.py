"""ChirpStack 4's integration events as JSON (`integration.proto` in proto3's JSON mapping).

Used by `ingest.lorawan`; `protocols.lorawan.chirpstack_protobuf` reads the same events as protobuf through
`to_event`. Field names are the schema's.
"""

from collections.abc import Mapping
from types import MappingProxyType
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

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "up": Kind.UPLINK,
        "join": Kind.JOIN,
        "status": Kind.STATUS,
        "ack": Kind.ACK,
        "txack": Kind.SENT,
        "log": Kind.LOG,
        "location": Kind.LOCATION,
        "integration": Kind.INTEGRATION,
    }
)

_UInt32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
_Port = Annotated[int, msgspec.Meta(ge=0, le=255)]


class _Device(msgspec.Struct, frozen=True, rename="camel"):
    dev_eui: str = ""
    application_id: str = ""
    tenant_id: str = ""


class _RxInfo(msgspec.Struct, frozen=True, rename="camel"):
    gateway_id: str = ""
    gw_time: str = ""
    time: str = ""  # what gwTime was called before 4.7
    ns_time: str = ""
    rssi: float = 0.0
    snr: float = 0.0


class _Lora(msgspec.Struct, frozen=True, rename="camel"):
    bandwidth: _UInt32 = 0
    spreading_factor: _UInt32 = 0


class _Fsk(msgspec.Struct, frozen=True):
    datarate: _UInt32 = 0


class _LrFhss(msgspec.Struct, frozen=True, rename="camel"):
    operating_channel_width: _UInt32 = 0


class _Modulation(msgspec.Struct, frozen=True, rename="camel"):
    lora: _Lora | None = None
    fsk: _Fsk | None = None
    lr_fhss: _LrFhss | None = None


class _TxInfo(msgspec.Struct, frozen=True):
    frequency: _UInt32 = 0
    modulation: _Modulation | None = None


class _Location(msgspec.Struct, frozen=True):
    latitude: float = 0.0
    longitude: float = 0.0
    altitude: float = 0.0


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of all events that are looked at; each kind has some of them."""

    time: str = ""
    device_info: _Device = _Device()
    adr: bool = False
    dr: _UInt32 = 0
    f_cnt: _UInt32 = 0
    f_port: _Port = 0
    confirmed: bool = False
    data: bytes = b""
    object: Any = None
    rx_info: list[_RxInfo] = []
    tx_info: _TxInfo | None = None
    queue_item_id: str = ""
    acknowledged: bool = False
    margin: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)] = 0
    external_power_source: bool = False
    battery_level_unavailable: bool = False
    battery_level: float = 0.0
    location: _Location | None = None
    level: str = "INFO"
    code: str = "UNKNOWN"
    description: str = ""
    context: Any = None  # a map in log events, bytes elsewhere


_decoder = msgspec.json.Decoder(Event)


def decode(event: str, payload: bytes, received_at_us: int) -> NetworkEvent:
    """Read one event; `event` is its name in the topic or URL. Raises `DecodeError`."""
    kind_of(event)
    if len(payload) > EVENT_BYTES_MAX:
        raise DecodeError("too_large", "", f"{len(payload)} bytes, at most {EVENT_BYTES_MAX} are read")
    try:
        found = _decoder.decode(payload)
    except (ValueError, RecursionError) as error:
        raise decode_error(error) from None
    return to_event(event, found, received_at_us)


def kind_of(event: str) -> Kind:
    """Return the kind of event that goes by this name. Raises `DecodeError` for an unknown one."""
    kind = KINDS.get(event)
    if kind is None:
        raise DecodeError("event", "event", f"{event[:40]!r} is none of {', '.join(KINDS)}")
    return kind


def to_event(event: str, found: Event, received_at_us: int) -> NetworkEvent:
    """Return what an event says, whatever its encoding was. Raises `DecodeError`."""
    kind, failure, correlation_ids = _outcome(kind_of(event), found)
    device = found.device_info
    server_times = [("time", found.time), *(("rxInfo.nsTime", rx.ns_time) for rx in found.rx_info)]
    server_at_us = server_time(server_times, received_at_us)
    is_status = kind is Kind.STATUS
    has_battery = is_status and not (found.battery_level_unavailable or found.external_power_source)
    return NetworkEvent(
        server=Server.CHIRPSTACK,
        kind=kind,
        heard_at_us=heard_at((rx.gw_time or rx.time for rx in found.rx_info), server_at_us),
        server_at_us=server_at_us,
        dev_eui=dev_eui(device.dev_eui, "deviceInfo.devEui"),
        device_id=device.dev_eui.lower(),
        application_id=identifier(device.application_id, "deviceInfo.applicationId"),
        tenant_id=identifier(device.tenant_id, "deviceInfo.tenantId"),
        f_port=found.f_port,
        f_cnt=found.f_cnt,
        payload=found.data,
        is_confirmed=found.confirmed,
        is_adr=found.adr,
        data_rate=_data_rate(found) if kind is Kind.UPLINK else "",
        frequency_hz=found.tx_info.frequency if found.tx_info else 0,
        gateways=deduplicated(Gateway(rx.gateway_id, rx.rssi, rx.snr) for rx in found.rx_info),
        margin_db=found.margin if is_status else None,
        battery_pct=found.battery_level if has_battery else None,
        is_mains_powered=found.external_power_source,
        location=_location(found) if kind is Kind.LOCATION else None,
        correlation_ids=correlation_ids[:CORRELATION_IDS_MAX],
        decoded=found.object,
        failure=failure,
    )


def _outcome(kind: Kind, found: Event) -> tuple[Kind, str | None, tuple[str, ...]]:
    """Return the kind in full, the reason of a failure and the downlink that it is about.

    A negative acknowledgement is the same event as a positive one; a downlink that the server gave up is a
    log event whose context names its queue item.
    """
    ids = (found.queue_item_id,) if found.queue_item_id else ()
    if kind is Kind.ACK and not found.acknowledged:
        return Kind.NACK, "the device did not acknowledge", ids
    if kind is Kind.LOG:
        failure = f"{found.code}: {found.description}" if found.level == "ERROR" else None
        item = found.context.get("queue_item_id") if isinstance(found.context, dict) else None
        if failure and isinstance(item, str):
            return Kind.FAILED, failure, (item,)
        return kind, failure, ids
    return kind, None, ids


def _data_rate(found: Event) -> str:
    modulation = found.tx_info.modulation if found.tx_info else None
    if modulation and modulation.lora:
        return f"SF{modulation.lora.spreading_factor}BW{modulation.lora.bandwidth // 1000}"
    if modulation and modulation.fsk:
        return f"FSK{modulation.fsk.datarate}"
    if modulation and modulation.lr_fhss:
        return f"LRFHSS{modulation.lr_fhss.operating_channel_width // 1000}"
    return f"DR{found.dr}"


def _location(found: Event) -> Location:
    place = found.location or _Location()
    return Location(place.latitude, place.longitude, place.altitude)
