"""Ready layouts for the decoder "binary", as data.

Used by `protocols.payloads.binary` by name. The Dragino ones follow the decoders that the maker publishes for
its NB-IoT family (github.com/dragino/dragino-end-node-decoder, folders Datacake-Dragino_NB and its
New_Version; the newer firmware sends the IMSI behind the IMEI).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_IMSI_BYTES = 8
_CSQ = {"scale": 2, "offset": -113, "quantity": "rssi_dbm", "invalid": [99]}  # 3GPP TS 27.007, +CSQ


def _dragino(
    has_imsi: bool, head: list[dict[str, Any]], time_at: int, item: list[dict[str, Any]]
) -> dict[str, Any]:
    """Offsets are those of the firmware without IMSI; the last bytes of an item are its time."""
    shift = _IMSI_BYTES if has_imsi else 0
    fields = [
        {"name": "model", "at": 8, "type": "u8"},
        {"name": "firmware", "at": 9, "type": "u8"},
        {"name": "battery", "at": 10, "type": "u16", "scale": 0.001, "quantity": "battery_v"},
        {"name": "signal", "at": 12, "type": "u8", **_CSQ},
        *head,
    ]
    layout: dict[str, Any] = {
        "identity": {"at": 0, "type": "imei_bcd"},
        "time": {"at": time_at + shift, "type": "u32"},
        "fields": [{**each, "at": each["at"] + shift} for each in fields],
    }
    if has_imsi:
        layout["fields"].insert(0, {"name": "imsi", "at": 8, "type": "hex", "bytes": _IMSI_BYTES})
    if item:
        size = max(each["at"] + int(each["type"][1:]) // 8 for each in item)
        layout["groups"] = [
            {
                "at": time_at + shift + 4,
                "size": size + 4,
                "fields": item,
                "time": {"at": size, "type": "u32"},
                "empty_byte": 0,
            }
        ]
    return layout


_TEMPERATURE = {"type": "i16", "scale": 0.1, "quantity": "temperature_c", "invalid": [-1, 32767]}
_HUMIDITY = {"type": "u16", "scale": 0.1, "quantity": "humidity_pct", "invalid": [65535]}
_SW3L = (
    [
        {"name": "pa4", "at": 13, "type": "u8"},
        {"name": "pb15", "at": 14, "type": "u8"},
        {"name": "alarm", "at": 15, "type": "u8", "quantity": "leak_alarm"},
        {"name": "mod", "at": 16, "type": "u8"},
        {"name": "calculate_flag", "at": 17, "type": "u16"},
        {"name": "total_pulses", "at": 19, "type": "u32", "quantity": "pulses"},
    ],
    23,
    [{"name": "total_pulses", "at": 0, "type": "u32", "quantity": "pulses"}],
)
_S31_ITEM = [
    {"name": "temperature", "at": 0, **_TEMPERATURE},
    {"name": "humidity", "at": 2, **_HUMIDITY},
]
_S31 = (
    [
        {"name": "mod", "at": 13, "type": "u8"},
        {"name": "ds18b20", "at": 14, **_TEMPERATURE, "channel": 1},
        {"name": "interrupt", "at": 16, "type": "u8"},
        {"name": "adc_mv", "at": 17, "type": "u16"},
        {"name": "temperature", "at": 19, **_TEMPERATURE},
        {"name": "humidity", "at": 21, **_HUMIDITY},
    ],
    23,
    _S31_ITEM,
)
_S31_IMSI = (
    [
        {"name": "mod", "at": 13, "type": "u8"},
        {"name": "ds18b20", "at": 14, **_TEMPERATURE, "channel": 1},
        {"name": "pa4", "at": 16, "type": "u8"},
        {"name": "interrupt", "at": 17, "type": "u8"},
        {"name": "interrupt_level", "at": 18, "type": "u8"},
        {"name": "adc_mv", "at": 19, "type": "u16"},
        {"name": "temperature", "at": 21, **_TEMPERATURE},
        {"name": "humidity", "at": 23, **_HUMIDITY},
    ],
    25,
    _S31_ITEM,
)
_CPL03_ITEM: list[dict[str, Any]] = [
    {"name": "level", "at": 0, "type": "u8", "bit": 0, "quantity": "digital_input"},
    {"name": "alarm", "at": 0, "type": "u8", "bit": 1},
    {"name": "pulses", "at": 1, "type": "u24", "quantity": "pulses"},
    {"name": "last_open_min", "at": 4, "type": "u24"},
]
_CPL03 = ([{**each, "at": each["at"] + 13} for each in _CPL03_ITEM], 20, _CPL03_ITEM)
_WL03A = (
    [
        {"name": "alarm", "at": 13, "type": "u8"},
        {"name": "mod", "at": 14, "type": "u8"},
        {"name": "tdc_flag", "at": 15, "type": "u8"},
        {"name": "leak", "at": 16, "type": "u8", "bit": 0, "quantity": "leak_alarm"},
        {"name": "leak_times", "at": 17, "type": "u24"},
        {"name": "leak_minutes", "at": 20, "type": "u24"},
    ],
    23,
    [
        {"name": "leak", "at": 0, "type": "u8", "bit": 0, "quantity": "leak_alarm"},
        {"name": "leak_times", "at": 1, "type": "u24"},
        {"name": "leak_minutes", "at": 4, "type": "u24"},
    ],
)

# Adeunis PULSE (the maker's own decoder, as in github.com/CampusIoT/payload-codec): 0x46 has the registers of
# both inputs, 0x5A and 0x5B the register of one and the differences back from it; the option step_s is the
# period that the device is set to.
_PULSE_STATUS: list[dict[str, Any]] = [
    {"name": "status", "at": 1, "type": "u8", "quantity": "status_flags"},
    {"name": "low_battery", "at": 1, "type": "u8", "bit": 1, "quantity": "battery_alarm"},
]
_PULSE_NOW: dict[str, Any] = {
    "when": {"at": 0, "type": "u8", "equals": 0x46},
    "fields": [
        *_PULSE_STATUS,
        {"name": "input_a", "at": 2, "type": "u32", "quantity": "pulses", "channel": 0},
        {"name": "input_b", "at": 6, "type": "u32", "quantity": "pulses", "channel": 1},
    ],
}


def _pulse_history(code: int, channel: int) -> dict[str, Any]:
    register = {"name": "input", "quantity": "pulses", "channel": channel}
    return {
        "when": {"at": 0, "type": "u8", "equals": code},
        "fields": [*_PULSE_STATUS, {**register, "at": 2, "type": "u32"}],
        "groups": [
            {
                "at": 6,
                "size": 2,
                "fields": [{**register, "at": 0, "type": "i16", "delta_of": "input"}],
                "step_s": 3600,
                "newest_first": True,
                "first_age": 1,
            }
        ],
    }


LAYOUTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "dragino_sw3l_nb": _dragino(False, *_SW3L),
        "dragino_sw3l_nb_imsi": _dragino(True, *_SW3L),
        "dragino_s31_nb": _dragino(False, *_S31),
        "dragino_s31_nb_imsi": _dragino(True, *_S31_IMSI),
        # the SN50 in its first mode has the same bytes as the S31 with a probe
        "dragino_sn50_nb": _dragino(False, *_S31),
        "dragino_sn50_nb_imsi": _dragino(True, *_S31_IMSI),
        "dragino_cpl03_nb_imsi": _dragino(True, *_CPL03),
        "dragino_wl03a_nb_imsi": _dragino(True, *_WL03A),
        "adeunis_pulse": {"cases": [_PULSE_NOW, _pulse_history(0x5A, 0), _pulse_history(0x5B, 1)]},
    }
)
