"""What meters measure: names with their SI units as small stable integers.

Used by all payload decoders (names to codes), by `stream.metering` and by the API (codes to names). The codes
are stored in `meter_samples.quantity`: never renumber one, only add at the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Quantity:
    """`name` ends in the unit that values are stored in. `is_register`: it counts up over a meter's life."""

    name: str
    is_register: bool = False


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("energy_import_wh", is_register=True),
    Quantity("energy_export_wh", is_register=True),
    Quantity("reactive_energy_varh", is_register=True),
    Quantity("apparent_energy_vah", is_register=True),
    Quantity("water_m3", is_register=True),
    Quantity("water_backflow_m3", is_register=True),
    Quantity("gas_m3", is_register=True),
    Quantity("heat_wh", is_register=True),
    Quantity("cooling_wh", is_register=True),
    # pulses of an input; the meter's multiplier makes a volume or an energy of them
    Quantity("pulses", is_register=True),
    Quantity("power_w"),
    Quantity("reactive_power_var"),
    Quantity("apparent_power_va"),
    Quantity("power_factor"),
    Quantity("voltage_v"),
    Quantity("current_a"),
    Quantity("frequency_hz"),
    Quantity("flow_m3_per_h"),
    Quantity("temperature_c"),
    Quantity("return_temperature_c"),
    Quantity("ambient_temperature_c"),
    Quantity("humidity_pct"),
    Quantity("pressure_pa"),
    Quantity("battery_v"),
    Quantity("battery_pct"),
    Quantity("rssi_dbm"),
    Quantity("snr_db"),
    # 1 open or on, 0 closed or off
    Quantity("valve_open"),
    Quantity("relay_on"),
    # 1 while the alarm stands
    Quantity("leak_alarm"),
    Quantity("burst_alarm"),
    Quantity("tamper_alarm"),
    Quantity("backflow_alarm"),
    Quantity("battery_alarm"),
    # a device's own word of flags, as an unsigned integer
    Quantity("status_flags"),
    Quantity("uptime_s"),
    Quantity("operating_s"),
    Quantity("illuminance_lx"),
    Quantity("co2_ppm"),
    Quantity("distance_m"),
    Quantity("latitude_deg"),
    Quantity("longitude_deg"),
    Quantity("altitude_m"),
    Quantity("acceleration_x_m_per_s2"),
    Quantity("acceleration_y_m_per_s2"),
    Quantity("acceleration_z_m_per_s2"),
    Quantity("digital_input"),
    Quantity("digital_output"),
    Quantity("analog_input"),
    Quantity("analog_output"),
    Quantity("presence"),
)

CODES: Mapping[str, int] = MappingProxyType({each.name: code for code, each in enumerate(QUANTITIES)})
