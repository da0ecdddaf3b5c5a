"""The bits of a battery's `flags`, by name.

Used by `protocols.battery.telemetry`, by simulated batteries and by whoever shows flags. A bit never
changes its meaning: rows written years ago carry it. New names take the next free bit, up to 30.
"""

# state, then warnings, then faults
BIT: dict[str, int] = {
    "charging": 0,
    "discharging": 1,
    "balancing": 2,
    "immobilised": 3,
    "cell_over_voltage": 4,
    "cell_under_voltage": 5,
    "pack_over_voltage": 6,
    "pack_under_voltage": 7,
    "charge_over_current": 8,
    "discharge_over_current": 9,
    "short_circuit": 10,
    "charge_over_temperature": 11,
    "charge_under_temperature": 12,
    "discharge_over_temperature": 13,
    "discharge_under_temperature": 14,
    "cell_imbalance": 15,
    "low_state_of_charge": 16,
    "insulation_fault": 17,
    "sensor_fault": 18,
    "tamper": 19,
}


def names(bits: int) -> list[str]:
    """The names of the bits that are set, in their order; bits without a name are left out."""
    return [name for name, bit in BIT.items() if bits >> bit & 1]
