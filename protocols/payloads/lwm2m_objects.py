"""What resources of LwM2M objects mean (OMA registry): type and quantity of those that meters use.

Used by `protocols.payloads.lwm2m` (TLV) and `protocols.payloads.senml` (Send and Notify in SenML).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Resource:
    """`kind` is the registry's type; the value times `factor` is in the unit of `quantity`."""

    name: str
    kind: str
    quantity: str | None = None
    factor: float = 1.0


TIMESTAMP = 5518
FRACTIONAL_TIMESTAMP = 6050
WATER_METER = 3424
DEVICE = 3
SERIAL_NUMBER = 2
_SECONDS_OF_HOUR = 3600


def _sensor(quantity: str, factor: float = 1.0) -> Mapping[int, Resource]:
    return {
        5700: Resource("sensor_value", "float", quantity, factor),
        5701: Resource("sensor_units", "string"),
    }


_COMMON: Mapping[int, Resource] = {
    TIMESTAMP: Resource("timestamp", "time"),
    FRACTIONAL_TIMESTAMP: Resource("fractional_timestamp", "float"),
    5750: Resource("application_type", "string"),
}
_WATER_METER: Mapping[int, Resource] = {
    1: Resource("cumulated_water_volume", "float", "water_m3"),
    3: Resource("type_of_meter", "string"),
    4: Resource("cumulated_pulse_value", "integer", "pulses"),
    6: Resource("pulse_ratio", "integer"),
    7: Resource("minimum_flow_rate", "float"),
    8: Resource("maximum_flow_rate", "float", "flow_m3_per_h", _SECONDS_OF_HOUR),
    9: Resource("leak_suspected", "boolean"),
    10: Resource("leak_detected", "boolean", "leak_alarm"),
    11: Resource("back_flow_detected", "boolean", "backflow_alarm"),
    12: Resource("blocked_meter", "boolean"),
    13: Resource("fraud_detected", "boolean", "tamper_alarm"),
}
_DEVICE: Mapping[int, Resource] = {
    0: Resource("manufacturer", "string"),
    1: Resource("model_number", "string"),
    SERIAL_NUMBER: Resource("serial_number", "string"),
    3: Resource("firmware_version", "string"),
    7: Resource("power_source_voltage", "integer", "battery_v", 0.001),
    8: Resource("power_source_current", "integer"),
    9: Resource("battery_level", "integer", "battery_pct"),
    11: Resource("error_code", "integer"),
    13: Resource("current_time", "time"),
    17: Resource("device_type", "string"),
    20: Resource("battery_status", "integer"),
}
_POWER: Mapping[int, Resource] = {
    5800: Resource("instantaneous_active_power", "float", "power_w"),
    5805: Resource("cumulative_active_power", "float", "energy_import_wh"),
    5810: Resource("instantaneous_reactive_power", "float", "reactive_power_var"),
    5815: Resource("cumulative_reactive_power", "float", "reactive_energy_varh"),
    5820: Resource("power_factor", "float", "power_factor"),
}
_OBJECTS: Mapping[int, Mapping[int, Resource]] = MappingProxyType(
    {
        DEVICE: _DEVICE,
        4: {2: Resource("radio_signal_strength", "integer", "rssi_dbm")},
        6: {
            0: Resource("latitude", "float", "latitude_deg"),
            1: Resource("longitude", "float", "longitude_deg"),
            2: Resource("altitude", "float", "altitude_m"),
            5: Resource("timestamp", "time"),
        },
        3200: {5500: Resource("digital_input_state", "boolean", "digital_input")},
        3301: _sensor("illuminance_lx"),
        3303: _sensor("temperature_c"),
        3304: _sensor("humidity_pct"),
        3305: _POWER,
        3306: {5850: Resource("on_off", "boolean", "relay_on")},
        3312: {5850: Resource("on_off", "boolean", "relay_on")},
        3315: _sensor("pressure_pa"),
        3316: _sensor("voltage_v"),
        3317: _sensor("current_a"),
        3318: _sensor("frequency_hz"),
        3323: _sensor("pressure_pa"),
        3328: _sensor("power_w"),
        3330: _sensor("distance_m"),
        3331: _sensor("energy_import_wh"),
        WATER_METER: _WATER_METER,
    }
)


def resource(object_id: int, resource_id: int) -> Resource | None:
    """The resource, or None for one that is not known here."""
    return _OBJECTS.get(object_id, {}).get(resource_id) or _COMMON.get(resource_id)
