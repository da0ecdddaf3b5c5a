import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.ocpp.meter_values import _kinds, decode_meter_values
from protocols.samples import DecodeError
from protocols.timestamps import parse_timestamp
from protocols.vocabulary import MEASURAND_CODES, PHASE_CODES
from storage.hypertables import CHARGER_SAMPLES
from stream.batcher import check_rows

TIME = "2026-01-02T03:04:05Z"


def message(*sampled: Any, **more: Any) -> dict[str, Any]:
    entry = {"timestamp": TIME, "sampledValue": list(sampled)}
    return {"connectorId": 2, "transactionId": 9, "meterValue": [entry], **more}


def test_rows_fit_their_table() -> None:
    decoded = decode_meter_values(
        message({"value": "7.4", "measurand": "Power.Active.Import", "unit": "kW", "phase": "L2"})
    )
    assert decoded.rows.columns == {
        "ts": [parse_timestamp(TIME)],
        "connector_id": [2],
        "measurand": [MEASURAND_CODES["Power.Active.Import"]],
        "phase": [PHASE_CODES["L2"]],
        "location": [0],
        "context": [0],
        "transaction_id": [9],
        "value": [7400.0],
    }
    assert decoded.rows.table == CHARGER_SAMPLES.name
    check_rows(decoded.rows)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({"value": "x"}, "value"),
        ({"value": None}, "value"),
        ({"value": True}, "value"),
        ({}, "value"),
        ({"value": "1", "unit": "parsec"}, "unit"),
        ({"value": "1", "unit": ["Wh"]}, "unit"),
        ({"value": "1", "measurand": {"a": 1}}, "measurand"),
        ({"value": "MEQC", "format": "SignedData"}, "signed_data"),
        ("text", "structure"),
    ],
)
def test_one_bad_sample_costs_only_itself(sample: Any, reason: str) -> None:
    decoded = decode_meter_values(message({"value": "1"}, sample, {"value": "3", "unit": "kWh"}))
    assert decoded.rows.columns["value"] == [1.0, 3000.0]
    assert [each.error.reason for each in decoded.refused] == [reason]


def test_a_bad_time_refuses_its_samples_and_no_others() -> None:
    entries = [
        {"timestamp": "", "sampledValue": [{"value": "1"}, {"value": "2"}]},
        {"timestamp": TIME, "sampledValue": [{"value": "3"}]},
        "nonsense",
    ]
    decoded = decode_meter_values({"connectorId": 1, "meterValue": entries})
    assert decoded.rows.columns["value"] == [3.0]
    assert [each.error.reason for each in decoded.refused] == ["timestamp", "timestamp", "structure"]


def test_lone_objects_stand_for_lists_of_them() -> None:
    entry = {"timestamp": "2026-01-02 03:04:05", "sampledValue": {"value": 5}}
    decoded = decode_meter_values({"connectorId": 0, "meterValue": entry})
    assert decoded.rows.columns["value"] == [5.0]
    assert decoded.rows.columns["transaction_id"] == [None]


@pytest.mark.parametrize("transaction_id", [-1, 0, 2**63, "7", None, True])
def test_what_is_no_transaction_of_ours_is_null(transaction_id: object) -> None:
    decoded = decode_meter_values(message({"value": "1"}, transactionId=transaction_id))
    assert decoded.rows.columns["transaction_id"] == [None]


@pytest.mark.parametrize(
    "payload", [{}, {"connectorId": 1}, {"connectorId": "1", "meterValue": []},
                {"connectorId": -1, "meterValue": []}, {"connectorId": 32768, "meterValue": []},
                {"connectorId": True, "meterValue": []}, {"connectorId": 1, "meterValue": "x"}],
)  # fmt: skip
def test_a_message_without_structure_is_one_error(payload: dict[str, object]) -> None:
    with pytest.raises(DecodeError):
        decode_meter_values(payload)


def test_strangers_do_not_fill_the_memory() -> None:
    decode_meter_values(message({"value": "1", "context": "known to nobody"}))
    assert all(words[4] != "known to nobody" for words in _kinds)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
samples = anything | st.fixed_dictionaries(
    {"value": st.decimals(allow_nan=True).map(str) | anything},
    optional={
        "measurand": st.sampled_from(["Voltage", "SoC", "Power.Factor", "Wishes"]) | anything,
        "unit": st.sampled_from(["V", "kWh", "Percent", "hZ"]) | anything,
        "phase": st.sampled_from(["L1", "N", "L9"]) | anything,
        "format": st.sampled_from(["Raw", "SignedData"]),
    },
)
entries = st.fixed_dictionaries(
    {"timestamp": st.sampled_from([TIME, "2026-01-02T03:04:05", ""]) | anything,
     "sampledValue": st.lists(samples, max_size=5)}
)  # fmt: skip


@given(st.lists(entries, max_size=3), st.integers(0, 40_000), anything)
def test_decoded_and_refused_are_all_that_came(
    meter_value: list[dict[str, Any]], connector_id: int, transaction_id: object
) -> None:
    payload = {"connectorId": connector_id, "transactionId": transaction_id, "meterValue": meter_value}
    try:
        decoded = decode_meter_values(payload)
    except DecodeError:
        assert connector_id > 32_767
        return
    received = sum(len(entry["sampledValue"]) for entry in meter_value)
    assert decoded.rows.samples + len(decoded.refused) == received
    check_rows(decoded.rows)


@given(st.dictionaries(st.sampled_from(["connectorId", "meterValue", "transactionId"]), anything))
def test_any_payload_decodes_or_is_a_typed_error(payload: dict[str, object]) -> None:
    with contextlib.suppress(DecodeError):
        check_rows(decode_meter_values(payload).rows)
