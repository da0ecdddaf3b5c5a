"""ChirpStack 4's integration events and downlink command as protobuf (`integration.proto`, `gw.proto`).

Used by `ingest.lorawan`. The tables name the fields that are looked at, by their JSON names; whatever else an
event has is skipped.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from protocols.battery.errors import decode_error
from protocols.lorawan.chirpstack import Event, kind_of, to_event
from protocols.lorawan.events import EVENT_BYTES_MAX, NetworkEvent
from protocols.protobuf import Field, Kind, Message
from protocols.protobuf import decode as decode_message
from protocols.samples import DecodeError

LEVELS = ("INFO", "WARNING", "ERROR")
CODES = (
    "UNKNOWN",
    "DOWNLINK_PAYLOAD_SIZE",
    "UPLINK_CODEC",
    "DOWNLINK_CODEC",
    "OTAA",
    "UPLINK_F_CNT_RESET",
    "UPLINK_MIC",
    "UPLINK_F_CNT_RETRANSMISSION",
    "DOWNLINK_GATEWAY",
    "RELAY_NEW_END_DEVICE",
    "F_CNT_DOWN",
    "EXPIRED",
)


def _table(fields: dict[int, Field]) -> Message:
    return MappingProxyType(fields)


_DEVICE_INFO = _table(
    {
        1: Field("tenantId", Kind.STRING),
        3: Field("applicationId", Kind.STRING),
        8: Field("devEui", Kind.STRING),
    }
)
_RX_INFO = _table(
    {
        1: Field("gatewayId", Kind.STRING),
        3: Field("gwTime", Kind.TIMESTAMP),
        6: Field("rssi", Kind.INT32),
        7: Field("snr", Kind.FLOAT),
        17: Field("nsTime", Kind.TIMESTAMP),
    }
)
_LORA = _table({1: Field("bandwidth", Kind.UINT32), 2: Field("spreadingFactor", Kind.UINT32)})
_FSK = _table({2: Field("datarate", Kind.UINT32)})
_LR_FHSS = _table({1: Field("operatingChannelWidth", Kind.UINT32)})
_MODULATION = _table(
    {
        3: Field("lora", Kind.MESSAGE, _LORA),
        4: Field("fsk", Kind.MESSAGE, _FSK),
        5: Field("lrFhss", Kind.MESSAGE, _LR_FHSS),
    }
)
_UPLINK_TX_INFO = _table(
    {1: Field("frequency", Kind.UINT32), 2: Field("modulation", Kind.MESSAGE, _MODULATION)}
)
_DOWNLINK_TX_INFO = _table({1: Field("frequency", Kind.UINT32)})
_LOCATION = _table(
    {
        1: Field("latitude", Kind.DOUBLE),
        2: Field("longitude", Kind.DOUBLE),
        3: Field("altitude", Kind.DOUBLE),
    }
)
_TIME = Field("time", Kind.TIMESTAMP)
_DEVICE = Field("deviceInfo", Kind.MESSAGE, _DEVICE_INFO)

EVENTS: Mapping[str, Message] = MappingProxyType(
    {
        "up": _table(
            {
                2: _TIME,
                3: _DEVICE,
                5: Field("adr", Kind.BOOL),
                6: Field("dr", Kind.UINT32),
                7: Field("fCnt", Kind.UINT32),
                8: Field("fPort", Kind.UINT32),
                9: Field("confirmed", Kind.BOOL),
                10: Field("data", Kind.BYTES),
                11: Field("object", Kind.STRUCT),
                12: Field("rxInfo", Kind.MESSAGE, _RX_INFO, is_repeated=True),
                13: Field("txInfo", Kind.MESSAGE, _UPLINK_TX_INFO),
            }
        ),
        "join": _table({2: _TIME, 3: _DEVICE}),
        "status": _table(
            {
                2: _TIME,
                3: _DEVICE,
                5: Field("margin", Kind.INT32),
                6: Field("externalPowerSource", Kind.BOOL),
                7: Field("batteryLevelUnavailable", Kind.BOOL),
                8: Field("batteryLevel", Kind.FLOAT),
            }
        ),
        "ack": _table(
            {
                2: _TIME,
                3: _DEVICE,
                4: Field("queueItemId", Kind.STRING),
                5: Field("acknowledged", Kind.BOOL),
            }
        ),
        "txack": _table(
            {
                2: _TIME,
                3: _DEVICE,
                4: Field("queueItemId", Kind.STRING),
                7: Field("txInfo", Kind.MESSAGE, _DOWNLINK_TX_INFO),
            }
        ),
        "log": _table(
            {
                1: _TIME,
                2: _DEVICE,
                3: Field("level", Kind.ENUM, names=LEVELS),
                4: Field("code", Kind.ENUM, names=CODES),
                5: Field("description", Kind.STRING),
                6: Field("context", Kind.STRING_MAP),
            }
        ),
        "location": _table({2: _TIME, 3: _DEVICE, 4: Field("location", Kind.MESSAGE, _LOCATION)}),
        "integration": _table({2: _TIME, 3: _DEVICE, 6: Field("object", Kind.STRUCT)}),
    }
)

DOWNLINK_COMMAND = _table(
    {
        1: Field("id", Kind.STRING),
        2: Field("devEui", Kind.STRING),
        3: Field("confirmed", Kind.BOOL),
        4: Field("fPort", Kind.UINT32),
        5: Field("data", Kind.BYTES),
        7: Field("expiresAt", Kind.TIMESTAMP),
    }
)


def decode(event: str, payload: bytes, received_at_us: int) -> NetworkEvent:
    """Read one event; `event` is its name in the topic or URL. Raises `DecodeError`."""
    kind_of(event)
    if len(payload) > EVENT_BYTES_MAX:
        raise DecodeError("too_large", "", f"{len(payload)} bytes, at most {EVENT_BYTES_MAX} are read")
    values = decode_message(payload, EVENTS[event])
    try:
        found = msgspec.convert(values, Event)
    except msgspec.ValidationError as error:
        raise decode_error(error) from None
    return to_event(event, found, received_at_us)
