"""The makes of simulated meters: what each measures, how it says it, and the device profile that reads it.

Used by `simulators.meter`, by the fleet, and by whoever registers the fleet (`MAKES`, `Make.profile`). To add
a make: an encoder in `simulators.meter_payloads` and one entry in `MAKES`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from simulators import meter_payloads as payloads
from simulators.meter_payloads import Head, Reading

VENDOR = "Gridwire simulators"
COMMAND_PORT = 10  # fPort of downlinks
CLOSE, OPEN, INTERVAL = b"\xc1\x00", b"\xc1\x01", b"\xc2"
INTERVAL_COMMAND_S = 900
LITRES = 0.001  # in m3
_CODECS = "codecs"

Carrier = Literal["lorawan", "nbiot"]
Utility = Literal["electricity", "water", "gas", "heat"]
Encode = Callable[[Head, Sequence[Reading]], bytes]


@dataclass(frozen=True, slots=True)
class Codec:
    """A payload codec of LoRa Alliance TS013 as its maker would publish it, with its examples."""

    name: str
    source: str
    examples: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Make:
    """One make of meter.

    `mean_per_h`: Wh or litres that a household takes in an hour, on average. `scale`: from the register, in
    Wh or litres, to the platform's unit of `quantity`. `modulus`: the register shows 0 there again.
    `readings_max`: of one message. `repeats`: readings of earlier messages that a message carries again.
    `has_clock`: readings carry their own time; else the time is that at which the network heard the meter.
    `content_format`: CoAP's number. `codec`: name of a file in `codecs`.
    """

    name: str
    carrier: Carrier
    utility: Utility
    quantity: str
    mean_per_h: int
    encode: Encode
    decoder: str
    port: int = 2
    scale: float = 1.0
    modulus: int = 1 << 32
    readings_max: int = 1
    repeats: int = 0
    has_clock: bool = True
    channel: int = 0
    content_format: int = 42  # application/octet-stream
    codec: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    mapping: tuple[Mapping[str, Any], ...] = ()
    needs_key: bool = False

    def profile(self, interval_s: int) -> dict[str, Any]:
        """The device profile of this make, but for its codec's id: fields as the portal takes them."""
        port = COMMAND_PORT if self.carrier == "lorawan" else 0
        commands = {
            "close": CLOSE,
            "open": OPEN,
            "interval": INTERVAL + INTERVAL_COMMAND_S.to_bytes(2, "big"),
        }
        return {
            "name": f"Simulated {self.name}",
            "vendor": VENDOR,
            "model": self.name,
            "utility": self.utility,
            "decoder": self.decoder,
            "mapping": [dict(row) for row in self.mapping],
            "options": dict(self.options),
            "interval_s": interval_s,
            "downlinks": {
                action: {
                    "port": port,
                    "payload_hex": payload.hex(),
                    "is_confirmed": self.carrier == "lorawan",
                }
                for action, payload in commands.items()
            },
        }


def read_codec(name: str) -> Codec:
    """The codec of this name in `codecs`, with its examples."""
    folder = resources.files("simulators") / _CODECS
    source = (folder / f"{name}.js").read_text("utf-8")
    examples = msgspec.json.decode((folder / f"{name}.examples.json").read_bytes())
    return Codec(name.replace("_", "-"), source, tuple(examples))


def layout(quantity: str, scale: float, *, has_imei: bool) -> dict[str, Any]:
    """The options of the decoder `binary` for `meter_payloads.binary` and `binary_imei`."""
    start = 8 if has_imei else 0
    register = {"name": "register", "at": 4, "type": "u32", "scale": scale, "quantity": quantity}
    found: dict[str, Any] = {
        "checksum": {"type": "crc16_modbus", "at": -2, "end": -2, "endian": "little"},
        "fields": [
            {"name": "counter", "at": start, "type": "u16"},
            {"name": "battery", "at": start + 2, "type": "u16", "scale": 0.001, "quantity": "battery_v"},
            {"name": "valve", "at": start + 4, "type": "u8", "bit": 0, "quantity": "valve_open"},
        ],
        "groups": [
            {
                "at": start + 5,
                "size": 8,
                "tail": 2,
                "time": {"at": 0, "type": "u32"},
                "fields": [register],
            }
        ],
    }
    if has_imei:
        found["identity"] = {"at": 0, "type": "imei_bcd"}
    return {"layout": found}


def _electricity_lpp() -> Make:
    return Make(
        "electricity LPP", "lorawan", "electricity", "energy_import_wh", 600, payloads.cayenne_lpp,
        "cayenne_lpp", has_clock=False, channel=1,
    )  # fmt: skip


def _water_js() -> Make:
    mapping = (
        {
            "path": "readings[].litres",
            "quantity": "water_m3",
            "scale": LITRES,
            "time_path": "readings[].time",
        },
        {"path": "battery_mv", "quantity": "battery_v", "scale": 0.001},
        {"path": "valve_open", "quantity": "valve_open"},
        {"path": "leak", "quantity": "leak_alarm"},
    )
    return Make(
        "water JS", "lorawan", "water", "water_m3", 20, payloads.sim_water, "js", scale=LITRES,
        readings_max=8, repeats=3, codec="sim_water", mapping=mapping,
    )  # fmt: skip


def _gas_binary() -> Make:
    return Make(
        "gas binary", "lorawan", "gas", "gas_m3", 150, payloads.binary, "binary", port=3, scale=LITRES,
        modulus=10**8, readings_max=8, repeats=3, options=layout("gas_m3", LITRES, has_imei=False),
    )  # fmt: skip


def _heat_wmbus() -> Make:
    return Make(
        "heat wM-Bus", "lorawan", "heat", "heat_wh", 1_500, payloads.wmbus_heat, "wmbus", port=4,
        modulus=10**9, needs_key=True,
    )  # fmt: skip


def _water_json() -> Make:
    options = {
        "readings": {
            "path": "log",
            "time_path": "time",
            "mapping": [{"path": "litres", "quantity": "water_m3", "scale": LITRES}],
        }
    }
    mapping = (
        {"path": "battery_mv", "quantity": "battery_v", "scale": 0.001},
        {"path": "valve_open", "quantity": "valve_open"},
    )
    return Make(
        "water JSON", "nbiot", "water", "water_m3", 20, payloads.json, "json", scale=LITRES,
        readings_max=24, content_format=50, options=options, mapping=mapping,
    )  # fmt: skip


def _electricity_senml() -> Make:
    return Make(
        "electricity SenML", "nbiot", "electricity", "energy_import_wh", 600, payloads.senml_cbor,
        "senml_cbor", readings_max=48, content_format=112, options={"names": {"relay": "relay_on"}},
    )  # fmt: skip


def _gas_binary_imei() -> Make:
    return Make(
        "gas NB-IoT binary", "nbiot", "gas", "gas_m3", 150, payloads.binary_imei, "binary", scale=LITRES,
        modulus=10**8, readings_max=96, options=layout("gas_m3", LITRES, has_imei=True),
    )  # fmt: skip


MAKES: Mapping[str, Make] = MappingProxyType(
    {
        make.name: make
        for make in (
            _electricity_lpp(),
            _water_js(),
            _gas_binary(),
            _heat_wmbus(),
            _water_json(),
            _electricity_senml(),
            _gas_binary_imei(),
        )
    }
)
