from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.ocpp.meter_values_2 import (
    MULTIPLIER_MAX,
    SIGNED_MAX,
    decode_meter_values_2,
    of_transaction,
    register_readings,
    signed_values,
)
from protocols.samples import DecodeError
from protocols.vocabulary import MEASURAND_CODES, MEASURANDS, SI_UNITS

TIME = "2026-01-02T03:04:05Z"
TIME_US = 1_767_323_045_000_000


def decoded(*samples: Any) -> Any:
    return decode_meter_values_2([{"timestamp": TIME, "sampledValue": list(samples)}], 1)


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        ({"value": 5}, 5.0),
        ({"value": 1.001, "unitOfMeasure": {"unit": "kWh"}}, 1001.0),
        ({"value": 1.001, "unitOfMeasure": {"multiplier": 3}}, 1001.0),
        ({"value": 1.1, "unitOfMeasure": {"unit": "kWh", "multiplier": -3}}, 1.1),
        ({"value": 1e-05, "unitOfMeasure": {"unit": "Wh", "multiplier": 6}}, 10.0),
        ({"value": 12345678901234567, "unitOfMeasure": {"multiplier": -3}}, 12345678901234.567),
        ({"value": 7.36, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "kW"}}, 7360.0),
        ({"value": 80, "measurand": "SoC", "unitOfMeasure": {"unit": "Percent"}}, 80.0),
        (
            {"value": 2, "measurand": "Display.RemainingTimeToTargetSOC", "unitOfMeasure": {"unit": "min"}},
            120.0,
        ),
        ({"value": "1.5", "unitOfMeasure": {"unit": "kWh"}}, 1500.0),  # a text, as in 1.6
    ],
)
def test_values_are_si(sample: dict[str, Any], value: float) -> None:
    values = decoded(sample)
    assert (values.rows.columns["value"], values.refused) == ([value], ())


@pytest.mark.parametrize(
    ("sample", "field"),
    [
        ({}, "value"),
        ({"value": True}, "value"),
        ({"value": 1, "unitOfMeasure": {"multiplier": MULTIPLIER_MAX + 1}}, "value"),
        ({"value": True, "unitOfMeasure": {"multiplier": 1}}, "value"),
        ({"value": 1, "unitOfMeasure": {"unit": "V"}}, "unit"),
        ({"value": 1, "measurand": "Dancing"}, "measurand"),
        (5, "sampledValue"),
    ],
)
def test_a_sample_is_refused_alone(sample: Any, field: str) -> None:
    values = decoded({"value": 1}, sample)
    assert values.rows.columns["value"] == [1.0]
    assert [each.error.field for each in values.refused] == [field]


def test_words_of_2_x_have_codes_behind_those_of_1_6() -> None:
    assert MEASURAND_CODES["RPM"] == 21
    assert MEASURAND_CODES["Energy.Active.Net"] == 22
    assert MEASURAND_CODES["Voltage.Maximum"] == len(MEASURANDS) - 1 == 57
    units = dict(zip(MEASURANDS, SI_UNITS, strict=True))
    assert units["Energy.Apparent.Net"] == "VAh"
    assert units["EnergyRequest.Target"] == units["Display.BatteryEnergyCapacity"] == "Wh"
    assert (units["Display.TargetSOC"], units["Power.Import.Offered"]) == ("%", "W")


def test_readings_are_those_of_the_billed_register() -> None:
    values = decoded(
        {"value": 1000.4, "context": "Transaction.Begin"},
        {"value": 1, "unitOfMeasure": {"unit": "kWh"}, "phase": "L1"},
        {"value": 2, "location": "Inlet"},
        {"value": 3, "measurand": "Energy.Active.Import.Interval"},
        {"value": 2.5, "unitOfMeasure": {"unit": "kWh"}, "context": "Transaction.End"},
        {"value": 1700},
    )
    found = [(each.ts_us, each.wh, each.is_begin, each.is_end) for each in register_readings(values.rows)]
    assert found == [
        (TIME_US, 1000, True, False),
        (TIME_US, 2500, False, True),
        (TIME_US, 1700, False, False),
    ]


def test_samples_are_given_to_their_transaction() -> None:
    values = of_transaction(decoded({"value": 1}, {"value": 2}), 3, 77)
    assert values.rows.columns["connector_id"] == [3, 3]
    assert values.rows.columns["transaction_id"] == [77, 77]
    assert values.rows.columns["value"] == [1.0, 2.0]


def test_signed_values_are_found_and_bounded() -> None:
    signed = {"value": 1, "signedMeterValue": {"signedMeterData": "x"}}
    listed = [{"timestamp": TIME, "sampledValue": [signed, {"value": 2}]}]
    assert signed_values(listed) == [{"timestamp": TIME, **signed}]
    assert len(signed_values(listed * (SIGNED_MAX + 5))) == SIGNED_MAX


@pytest.mark.parametrize("evse_id", [None, -1, 32_768, "1", True])
def test_an_evse_is_a_small_number(evse_id: Any) -> None:
    with pytest.raises(DecodeError, match="connectorId"):
        decode_meter_values_2([], evse_id)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)  # what the frames have: the JSON reader makes the rest floats
    | st.floats(allow_nan=False)
    | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "timestamp",
                    "sampledValue",
                    "value",
                    "unitOfMeasure",
                    "unit",
                    "multiplier",
                    "signedMeterValue",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(json_values)
def test_anything_is_decoded_or_refused(meter_values: Any) -> None:
    signed_values(meter_values)
    try:
        values = decode_meter_values_2(meter_values, 1)
    except DecodeError:
        return
    assert values.rows.samples == len(values.rows.columns["value"])
    register_readings(values.rows)
