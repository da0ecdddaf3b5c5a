"""From a meter's reading to sampled values in OCPP's words, and to the rows they must leave in the ledger.

Used by `simulators.connector`; the dialects put the values into messages.
"""

import random
from collections.abc import Sequence

from simulators.faults import Faults, blank, happens
from simulators.records import ChargerRow
from simulators.vehicle import Reading

Sampled = dict[str, str]
PHASES = ("L1", "L2", "L3")
DEFAULT_MEASURANDS = (
    "Energy.Active.Import.Register",
    "Power.Active.Import",
    "Current.Import",
    "Voltage",
    "SoC",
    "Temperature",
)
IDLE_MEASURANDS = ("Energy.Active.Import.Register", "Voltage", "Temperature")
PERIODIC = "Sample.Periodic"
OUTLET = "Outlet"


def sampled_values(reading: Reading, context: str, measurands: Sequence[str]) -> list[Sampled]:
    """The sampled values (OCPP 1.6 section 7.43) of those measurands, in base units."""
    values: list[Sampled] = []

    def add(value: object, measurand: str, unit: str, phase: str | None = None, where: str = OUTLET) -> None:
        if measurand in measurands:
            words = {"value": str(value), "context": context, "measurand": measurand}
            words |= {"phase": phase} if phase else {}
            values.append({**words, "location": where, "unit": unit})

    add(reading.energy_wh, "Energy.Active.Import.Register", "Wh")
    add(reading.power_w, "Power.Active.Import", "W")
    for phase, amperes in zip(PHASES, reading.currents_a, strict=True):
        add(amperes, "Current.Import", "A", phase)
    for phase, volts in zip(PHASES, reading.voltages_v, strict=True):
        add(volts, "Voltage", "V", f"{phase}-N")
    if reading.soc_pct is not None:
        add(reading.soc_pct, "SoC", "Percent", where="EV")
    add(reading.temperature_c, "Temperature", "Celsius", where="Body")
    return values


def spoil(values: list[Sampled], faults: Faults, rng: random.Random) -> list[Sampled]:
    """What is left of an entry that may lose a value, or a word that the standard has a default for."""
    tag, lost = blank(("context", "location"), [str(index) for index in range(len(values))], faults, rng)
    kept = [value for index, value in enumerate(values) if str(index) != lost]
    defaults = {"context": PERIODIC, "location": OUTLET}
    if tag is not None:
        kept = [
            {word: text for word, text in value.items() if word != tag or text != defaults[tag]}
            for value in kept
        ]
    if len(kept) > 1 and happens(faults.entry_out_of_order, rng):
        rng.shuffle(kept)
    return kept


def rows(identity: str, connector_id: int, ts_us: int, values: Sequence[Sampled]) -> tuple[ChargerRow, ...]:
    """What those values must be in a table; words left out mean what the standard says."""
    ts_us -= ts_us % 1000  # the wire has milliseconds
    return tuple(
        ChargerRow(
            identity,
            connector_id,
            ts_us,
            value["measurand"],
            value.get("phase", ""),
            value.get("location", OUTLET),
            value.get("context", PERIODIC),
            float(value["value"]),
        )
        for value in values
    )
