"""Names in a codec's JSON that say a quantity and its unit beyond doubt; used by `protocols.mapping`.

Two tables: the paths of The Things Stack's normalised payload, and keys whose own name carries the unit. A
key without a unit (`temperature`, `total`) is not guessed outside the normalised payload: it needs a mapping.
"""

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType

from protocols.quantities import QUANTITIES

# Path in The Things Stack's normalised payload: (quantity, scale). Its units: litres, hPa, volts, °C, %, lx.
NORMALISED: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "metering.water.total": ("water_m3", 1e-3),
        "water.temperature.current": ("temperature_c", 1.0),
        "water.leak": ("leak_alarm", 1.0),
        "air.temperature": ("ambient_temperature_c", 1.0),
        "air.relativeHumidity": ("humidity_pct", 1.0),
        "air.pressure": ("pressure_pa", 100.0),
        "air.co2": ("co2_ppm", 1.0),
        "air.lightIntensity": ("illuminance_lx", 1.0),
        "action.motion.detected": ("presence", 1.0),
        "position.latitude": ("latitude_deg", 1.0),
        "position.longitude": ("longitude_deg", 1.0),
        "position.altitude": ("altitude_m", 1.0),
    }
)
# Only where something else of the schema is there: alone it says neither volts nor percent.
NORMALISED_BATTERY = ("battery_v", 1.0)

_OTHER_NAMES: dict[str, tuple[str, float]] = {
    "energy_kwh": ("energy_import_wh", 1e3),
    "energy_wh": ("energy_import_wh", 1.0),
    "energy_mwh": ("energy_import_wh", 1e6),
    "active_energy_kwh": ("energy_import_wh", 1e3),
    "energy_import_kwh": ("energy_import_wh", 1e3),
    "import_kwh": ("energy_import_wh", 1e3),
    "total_kwh": ("energy_import_wh", 1e3),
    "energy_export_kwh": ("energy_export_wh", 1e3),
    "export_kwh": ("energy_export_wh", 1e3),
    "reactive_energy_kvarh": ("reactive_energy_varh", 1e3),
    "heat_kwh": ("heat_wh", 1e3),
    "heat_energy_kwh": ("heat_wh", 1e3),
    "cooling_kwh": ("cooling_wh", 1e3),
    "cooling_energy_kwh": ("cooling_wh", 1e3),
    "water_l": ("water_m3", 1e-3),
    "water_litres": ("water_m3", 1e-3),
    "water_liters": ("water_m3", 1e-3),
    "water_volume_m3": ("water_m3", 1.0),
    "water_volume_l": ("water_m3", 1e-3),
    "gas_volume_m3": ("gas_m3", 1.0),
    "pulse_count": ("pulses", 1.0),
    "power_kw": ("power_w", 1e3),
    "active_power_w": ("power_w", 1.0),
    "active_power_kw": ("power_w", 1e3),
    "voltage_mv": ("voltage_v", 1e-3),
    "current_ma": ("current_a", 1e-3),
    "flow_l_per_h": ("flow_m3_per_h", 1e-3),
    "flow_lph": ("flow_m3_per_h", 1e-3),
    "flow_m3h": ("flow_m3_per_h", 1.0),
    "flow_m3_h": ("flow_m3_per_h", 1.0),
    "water_temperature_c": ("temperature_c", 1.0),
    "air_temperature_c": ("ambient_temperature_c", 1.0),
    "relative_humidity_pct": ("humidity_pct", 1.0),
    "pressure_hpa": ("pressure_pa", 100.0),
    "pressure_bar": ("pressure_pa", 1e5),
    "battery_mv": ("battery_v", 1e-3),
    "battery_voltage_v": ("battery_v", 1.0),
    "battery_voltage_mv": ("battery_v", 1e-3),
    "battery_percent": ("battery_pct", 1.0),
    "battery_percentage": ("battery_pct", 1.0),
    "battery_level_pct": ("battery_pct", 1.0),
    "distance_mm": ("distance_m", 1e-3),
    "distance_cm": ("distance_m", 1e-2),
}
# These names carry no unit; they mean one thing only beside others of their kind.
_UNCLEAR = {"digital_input", "digital_output", "analog_input", "analog_output", "status_flags"}

KEYS: Mapping[str, tuple[str, float]] = MappingProxyType(
    {each.name: (each.name, 1.0) for each in QUANTITIES if each.name not in _UNCLEAR} | _OTHER_NAMES
)
NORMALISED_ROOTS = frozenset(path.split(".")[0] for path in NORMALISED)
SPELLINGS_MAX = 10_000  # a device has few keys; one that invents them must not fill the memory
TIME_KEYS = ("time", "timestamp", "ts", "datetime", "date_time", "measured_at")

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN = re.compile(r"[\s.\-]+")


@functools.lru_cache(SPELLINGS_MAX)
def spelled(key: str) -> str:
    """Return `key` as the tables have it: `batteryVoltage-mV` is `battery_voltage_mv`."""
    snake = _BETWEEN.sub("_", _HUMP.sub("_", key)).lower()
    # humps inside units: `energy_k_wh` is `energy_kwh`; `m_wh` would be milliwatt-hours and is nothing here
    for wrong, right in (("k_wh", "kwh"), ("_m_v", "_mv"), ("_m_a", "_ma"), ("k_w", "kw")):
        if snake.endswith(wrong):
            return snake[: -len(wrong)] + right
    return snake
