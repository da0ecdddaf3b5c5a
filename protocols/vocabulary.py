"""OCPP's words for a sampled value as small stable integers, and its units as SI.

Used by `protocols.ocpp.meter_values` (words to codes) and by the API's sample queries (codes to words).
The codes are stored in `charger_samples`: never renumber one, only add. 0 is what the standard takes
when the word is left out (OCPP 1.6 section 7.43), or "not said" where it takes nothing.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from math import isinf
from types import MappingProxyType
from typing import NamedTuple

from protocols.samples import DecodeError

MEASURANDS: tuple[str, ...] = (
    "Energy.Active.Import.Register",
    "Energy.Active.Export.Register",
    "Energy.Reactive.Import.Register",
    "Energy.Reactive.Export.Register",
    "Energy.Active.Import.Interval",
    "Energy.Active.Export.Interval",
    "Energy.Reactive.Import.Interval",
    "Energy.Reactive.Export.Interval",
    "Power.Active.Import",
    "Power.Active.Export",
    "Power.Reactive.Import",
    "Power.Reactive.Export",
    "Power.Offered",
    "Power.Factor",
    "Current.Import",
    "Current.Export",
    "Current.Offered",
    "Voltage",
    "Frequency",
    "Temperature",
    "SoC",
    "RPM",
    # OCPP 2.0.1 part 2, MeasurandEnumType
    "Energy.Active.Net",
    "Energy.Reactive.Net",
    "Energy.Apparent.Net",
    "Energy.Apparent.Import",
    "Energy.Apparent.Export",
    # OCPP 2.1 part 2, the same
    "Current.Export.Offered",
    "Current.Export.Minimum",
    "Current.Import.Offered",
    "Current.Import.Minimum",
    "Display.PresentSOC",
    "Display.MinimumSOC",
    "Display.TargetSOC",
    "Display.MaximumSOC",
    "Display.RemainingTimeToMinimumSOC",
    "Display.RemainingTimeToTargetSOC",
    "Display.RemainingTimeToMaximumSOC",
    "Display.ChargingComplete",
    "Display.BatteryEnergyCapacity",
    "Display.InletHot",
    "Energy.Active.Import.CableLoss",
    "Energy.Active.Import.LocalGeneration.Register",
    "Energy.Active.Setpoint.Interval",
    "EnergyRequest.Target",
    "EnergyRequest.Minimum",
    "EnergyRequest.Maximum",
    "EnergyRequest.Minimum.V2X",
    "EnergyRequest.Maximum.V2X",
    "EnergyRequest.Bulk",
    "Power.Active.Setpoint",
    "Power.Active.Residual",
    "Power.Export.Minimum",
    "Power.Export.Offered",
    "Power.Import.Offered",
    "Power.Import.Minimum",
    "Voltage.Minimum",
    "Voltage.Maximum",
)
PHASES: tuple[str, ...] = (
    "",
    *("L1", "L2", "L3", "N"),
    *("L1-N", "L2-N", "L3-N"),
    *("L1-L2", "L2-L3", "L3-L1"),
)
LOCATIONS: tuple[str, ...] = ("Outlet", "Inlet", "Body", "Cable", "EV", "Upstream")
CONTEXTS: tuple[str, ...] = (
    "Sample.Periodic",
    "Sample.Clock",
    "Transaction.Begin",
    "Transaction.End",
    "Interruption.Begin",
    "Interruption.End",
    "Trigger",
    "Other",
)


def _codes(words: tuple[str, ...]) -> Mapping[str | None, int]:
    """Word to code; None (left out) is 0."""
    return MappingProxyType({None: 0, **{word: code for code, word in enumerate(words) if word}})


MEASURAND_CODES = _codes(MEASURANDS)
PHASE_CODES = _codes(PHASES)
LOCATION_CODES = _codes(LOCATIONS)
CONTEXT_CODES = _codes(CONTEXTS)
_CONTEXT_OTHER = CONTEXT_CODES["Other"]


class Scale(NamedTuple):
    """A value in SI is `(value * 10**exponent + shift) * factor`; temperatures alone need the last two."""

    exponent: int = 0
    is_power_of_ten: bool = True
    shift: Decimal = Decimal(0)
    factor: Decimal = Decimal(1)
    suffix: str = "e0"  # of the exponent: a text with it moves its decimal point without rounding

    def convert(self, shifted: Decimal) -> float:
        """For the scales that are more than a power of ten."""
        return float((shifted + self.shift) * self.factor)


def _ten(exponent: int) -> Scale:
    return Scale(exponent, suffix=f"e{exponent}")


_SI = Scale()
# dimension -> unit (folded) -> scale; "" is a unit left out, for which each measurand's own is meant.
_UNITS: Mapping[str, Mapping[str, Scale]] = {
    "Wh": {"": _SI, "wh": _SI, "kwh": _ten(3), "mwh": _ten(6)},
    "varh": {"": _SI, "varh": _SI, "kvarh": _ten(3)},
    "VAh": {"": _SI, "vah": _SI, "kvah": _ten(3)},
    "W": {"": _SI, "w": _SI, "kw": _ten(3), "va": _SI, "kva": _ten(3)},
    "var": {"": _SI, "var": _SI, "kvar": _ten(3)},
    "1": {"": _SI, "percent": _ten(-2)},
    "A": {"": _SI, "a": _SI, "ma": _ten(-3)},
    "V": {"": _SI, "v": _SI, "kv": _ten(3)},
    "Hz": {"": _SI, "hertz": _SI, "hz": _SI},
    "°C": {
        "": _SI,
        "celsius": _SI,
        "celcius": _SI,  # the standard's own misspelling in its first edition
        "k": Scale(0, False, Decimal("-273.15")),
        "fahrenheit": Scale(0, False, Decimal(-32), Decimal(5) / Decimal(9)),
    },
    "%": {"": _SI, "percent": _SI},
    "rpm": {"": _SI, "rpm": _SI},
    "s": {"": _SI, "s": _SI, "min": Scale(0, False, Decimal(0), Decimal(60))},
}


def _dimension(measurand: str) -> str:
    by_prefix = {
        "Energy.Active": "Wh",
        "Energy.Reactive": "varh",
        "Energy.Apparent": "VAh",
        "EnergyRequest": "Wh",
        "Power.Active": "W",
        "Power.Offered": "W",
        "Power.Export": "W",
        "Power.Import": "W",
        "Power.Reactive": "var",
        "Power.Factor": "1",
        "Current": "A",
        "Voltage": "V",
        "Frequency": "Hz",
        "Temperature": "°C",
        "SoC": "%",
        "RPM": "rpm",
        "Display.RemainingTime": "s",
        "Display.BatteryEnergyCapacity": "Wh",
        "Display.ChargingComplete": "1",
        "Display.InletHot": "1",
        "Display": "%",
    }
    return next(unit for prefix, unit in by_prefix.items() if measurand.startswith(prefix))


# The unit that values of each code are stored in, in the order of MEASURANDS.
SI_UNITS: tuple[str, ...] = tuple(_dimension(measurand) for measurand in MEASURANDS)


class Kind(NamedTuple):
    """What a sampled value is, apart from its number: the codes of its row and the way to SI."""

    measurand: int
    phase: int
    location: int
    context: int
    scale: Scale


def kind_of(
    measurand: str | None = None,
    unit: str | None = None,
    phase: str | None = None,
    location: str | None = None,
    context: str | None = None,
) -> Kind:
    """The codes and the scale of a sampled value; None is a word left out.

    An unknown context is stored as `Other`, for it does not change what the number means. An unknown
    measurand, phase, location or unit does: raises `DecodeError` that names the field.
    """
    code = _code(MEASURAND_CODES, measurand, "measurand")
    scale = _UNITS[SI_UNITS[code]].get((unit or "").casefold())
    if scale is None:
        raise DecodeError("unit", "unit", f"{unit!r:.40} is no unit of {MEASURANDS[code]} ({SI_UNITS[code]})")
    return Kind(
        code,
        _code(PHASE_CODES, phase, "phase"),
        _code(LOCATION_CODES, location, "location"),
        CONTEXT_CODES.get(context, _CONTEXT_OTHER),
        scale,
    )


def _code(codes: Mapping[str | None, int], word: str | None, field: str) -> int:
    code = codes.get(word)
    if code is None:
        raise DecodeError(field, field, f"{word!r:.60} is not in OCPP")
    return code


_DECIMAL = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,3}))?\s*", re.ASCII)


def to_si(text: str, scale: Scale) -> float:
    """The decimal number in `text`, scaled to SI and rounded once (1.001 kWh is 1001 Wh to the last digit).

    Raises `DecodeError` for anything that is not a finite decimal number.
    """
    if scale.is_power_of_ten and "_" not in text:
        try:
            value = float(text + scale.suffix)
        except ValueError:  # an exponent or a space, or no number: rare
            value = _to_si_slowly(text, scale)
    else:
        value = _to_si_slowly(text, scale)
    if isinf(value):
        raise DecodeError("value", "value", f"{text!r:.60} is too large")
    return value


def _to_si_slowly(text: str, scale: Scale) -> float:
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise DecodeError("value", "value", f"{text!r:.60} is not a number")
    mantissa, exponent = match.groups()
    shifted = f"{mantissa}e{int(exponent or 0) + scale.exponent}"
    return float(shifted) if scale.is_power_of_ten else scale.convert(Decimal(shifted))
