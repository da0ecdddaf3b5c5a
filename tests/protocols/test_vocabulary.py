import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.ocpp import schemas
from protocols.ocpp.surface import Version
from protocols.samples import DecodeError
from protocols.vocabulary import (
    CONTEXT_CODES,
    CONTEXTS,
    LOCATION_CODES,
    LOCATIONS,
    MEASURAND_CODES,
    MEASURANDS,
    PHASE_CODES,
    PHASES,
    SI_UNITS,
    kind_of,
    to_si,
)


def test_codes_are_those_that_are_stored() -> None:
    """Changing one of these changes the meaning of rows that are in the table already."""
    assert MEASURAND_CODES["Energy.Active.Import.Register"] == MEASURAND_CODES[None] == 0
    assert (MEASURAND_CODES["Power.Active.Import"], MEASURAND_CODES["SoC"], MEASURAND_CODES["RPM"]) == (
        8,
        20,
        21,
    )
    assert (PHASE_CODES[None], PHASE_CODES["L1"], PHASE_CODES["L3-L1"]) == (0, 1, 10)
    assert (LOCATION_CODES[None], LOCATION_CODES["Outlet"], LOCATION_CODES["EV"]) == (0, 0, 4)
    assert (CONTEXT_CODES[None], CONTEXT_CODES["Sample.Periodic"], CONTEXT_CODES["Other"]) == (0, 0, 7)


def test_every_word_of_the_schema_has_a_code() -> None:
    words = {"measurand": MEASURANDS, "phase": PHASES, "location": LOCATIONS, "context": CONTEXTS}
    entry = {"timestamp": "2026-01-01T00:00:00Z"}
    for field, known in words.items():
        for word in known:
            sampled = [{"value": "1", **({field: word} if word else {})}]
            payload = {"connectorId": 1, "meterValue": [{**entry, "sampledValue": sampled}]}
            numbers = [{**each, "value": 1} for each in sampled]
            payload_2 = {"evseId": 1, "meterValue": [{**entry, "sampledValue": numbers}]}
            is_of_2 = schemas.check_request(Version.V21, "MeterValues", payload_2)
            assert is_of_2 or schemas.check_request(Version.V16, "MeterValues", payload), (field, word)
        assert len(set(known)) == len(known)
    assert len(SI_UNITS) == len(MEASURANDS)


@pytest.mark.parametrize(
    ("measurand", "unit", "text", "expected"),
    [
        (None, None, "5", 5.0),
        (None, "kWh", "1.001", 1001.0),
        ("Energy.Reactive.Import.Register", "kvarh", "0.1", 100.0),
        ("Power.Active.Import", "kW", "7.36", 7360.0),
        ("Power.Offered", "kVA", "22", 22_000.0),
        ("Power.Reactive.Export", "kvar", "-1.5", -1500.0),
        ("Power.Factor", None, "0.98", 0.98),
        ("Temperature", "Celsius", "21.5", 21.5),
        ("Temperature", "Celcius", "21.5", 21.5),
        ("Temperature", "Fahrenheit", "212", 100.0),
        ("Temperature", "K", "300.15", 27.0),
        ("SoC", "Percent", "54", 54.0),
        ("Frequency", "Hz", "49.98", 49.98),
        ("Voltage", None, " +2.3e2 ", 230.0),
    ],
)
def test_values_are_in_si(measurand: str | None, unit: str | None, text: str, expected: float) -> None:
    assert to_si(text, kind_of(measurand, unit).scale) == expected


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({"measurand": "Request.Energy"}, "measurand"),
        ({"measurand": "Voltage", "unit": "kWh"}, "unit"),
        ({"unit": "furlong"}, "unit"),
        ({"phase": "L4"}, "phase"),
        ({"location": "Roof"}, "location"),
    ],
)
def test_an_unknown_word_is_refused_by_name(words: dict[str, str], field: str) -> None:
    with pytest.raises(DecodeError) as error:
        kind_of(**words)
    assert (error.value.reason, error.value.field) == (field, field)


def test_an_unknown_context_is_other() -> None:
    assert kind_of(context="Alfen.Special").context == CONTEXT_CODES["Other"]


@pytest.mark.parametrize(
    "text", ["", "abc", "nan", "inf", "-Infinity", "1_0", "1,5", "0x10", "1e999", "9" * 400]
)
@pytest.mark.parametrize("unit", ["Wh", "kWh"])
def test_what_is_no_finite_number_is_refused(text: str, unit: str) -> None:
    with pytest.raises(DecodeError) as error:
        to_si(text, kind_of(None, unit).scale)
    assert error.value.reason == "value"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_value_in_si_comes_back_exactly(value: float) -> None:
    assert to_si(repr(value), kind_of(None, "Wh").scale) == value


@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_kilo_moves_the_decimal_point_and_nothing_else(number: int, places: int) -> None:
    digits = f"{abs(number):07}"
    text = f"{'-' if number < 0 else ''}{digits[: len(digits) - places]}.{digits[len(digits) - places :]}"
    assert to_si(text, kind_of(None, "kWh").scale) == number * 1000 / 10**places


@given(st.text(), st.sampled_from(["Wh", "kWh"]))
def test_any_text_is_a_finite_number_or_refused(text: str, unit: str) -> None:
    try:
        value = to_si(text, kind_of(None, unit).scale)
    except DecodeError:
        return
    assert math.isfinite(value)
