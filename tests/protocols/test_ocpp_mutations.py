"""Spoilt frames without number: never an exception, and every CALL is answered.

`GRIDWIRE_MUTATIONS` is how many (20,000 unless told), `GRIDWIRE_MUTATIONS_SEED` which. A million:
`GRIDWIRE_MUTATIONS=1000000 pytest -q --timeout=0 tests/protocols/test_ocpp_mutations.py`.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from protocols.ocpp.connection import CallReceived, Connection, Limits
from protocols.ocpp.frames import Call, ErrorCode
from protocols.ocpp.meter_values import decode_meter_values, decode_sampled
from protocols.ocpp.meter_values_2 import decode_meter_values_2, register_readings, signed_values
from protocols.ocpp.quirks.normalise import normalise
from protocols.ocpp.quirks.registry import Behaviour
from protocols.ocpp.schemas import SchemaError, is_strict
from protocols.ocpp.surface import FROM_CHARGER, Version
from protocols.ocpp.transaction_event import read_event, transaction_uid
from protocols.samples import DecodeError
from protocols.timestamps import parse_timestamp
from stream.batcher import check_rows
from tests.protocols.ocpp_mutations import IS_CALL, mutated, valid_frames

COUNT = int(os.environ.get("GRIDWIRE_MUTATIONS", "20000"))
SEED = int(os.environ.get("GRIDWIRE_MUTATIONS_SEED", "1"))
NOW_US = parse_timestamp("2026-11-22T08:00:00Z")
# Frames that one connection takes before the next begins.
CONNECTION_FRAMES = 500
PLAIN = Behaviour()
FRAMES = valid_frames()


def decode(version: Version, action: str, payload: Mapping[str, Any]) -> None:
    """What the decoders make of it. Raises `DecodeError`."""
    samples = payload.get("meterValue") or []
    if version is Version.V16:
        if action == "MeterValues":
            check_rows(decode_meter_values(payload).rows)
        if "transactionData" in payload:
            check_rows(decode_sampled(payload["transactionData"], 1, None, "transactionData").rows)
    elif action == "MeterValues":
        check_rows(decode_meter_values_2(payload.get("meterValue"), payload.get("evseId")).rows)
    elif action == "TransactionEvent":
        signed_values(samples)
        rows = decode_meter_values_2(samples, 1).rows
        check_rows(rows)
        assert transaction_uid(payload)
        read_event(payload, at_us=NOW_US, received_at_us=NOW_US, readings=register_readings(rows))


def handle(connection: Connection, version: Version, call: Call) -> str:
    """What the gateway does with a call, as far as it needs neither database nor log."""
    try:
        if call.action not in FROM_CHARGER[version]:
            raise SchemaError(ErrorCode.NOT_IMPLEMENTED, call.action)
        request = normalise(version, call.action, call.payload, PLAIN, NOW_US)
        decode(version, call.action, request.payload)
        orjson.dumps(request.payload)
    except SchemaError as error:
        outcome, code, text = "refused", error.code, str(error)
    except DecodeError as error:
        outcome, code, text = "undecodable", ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, str(error)
    else:
        if not call.is_send:
            connection.answer({}, 0)
        return "accepted" if request.is_strict and not call.mended else "repaired"
    if not call.is_send:
        connection.refuse(code, text)
    return outcome


def feed(connection: Connection, version: Version, data: bytes) -> str:
    """One frame in, its answer out; says what became of it."""
    outcome = "no call"
    for event in connection.receive(data, 0):
        if isinstance(event, CallReceived):
            outcome = handle(connection, version, event.call)
    answers = [orjson.loads(answer) for answer in connection.data_to_send()]
    assert all(answer[0] in (3, 4) and isinstance(answer[1], str) for answer in answers)
    assert connection.in_hand == 0
    if IS_CALL.match(data):
        assert len(answers) == 1, "a call has one answer"
    return outcome if not answers or outcome != "no call" else "unreadable"


@pytest.mark.parametrize("version", list(Version))
def test_the_valid_frames_are_valid(version: Version) -> None:
    for of, data in FRAMES:
        _, _, action, payload = orjson.loads(data)
        if of is version:
            assert is_strict(version, action, payload), action


@pytest.mark.timeout(0)
def test_spoilt_frames_do_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes: Counter[str] = Counter()
    connections: dict[Version, Connection] = {}
    began = time.perf_counter()
    for number, (version, data) in enumerate(mutated(FRAMES, SEED, COUNT)):
        if number % CONNECTION_FRAMES == 0:
            connections = {version: Connection(Limits(), version) for version in Version}
        try:
            outcomes[feed(connections[version], version, data)] += 1
        except Exception as error:
            error.add_note(f"frame {number} of seed {SEED}, OCPP {version}: {data[:2_000]!r}")
            raise
    rate = COUNT / (time.perf_counter() - began)
    with capsys.disabled():
        print(f"\n{COUNT} spoilt frames, {rate:.0f} a second: {dict(outcomes.most_common())}")
    assert {"accepted", "repaired", "refused", "unreadable"} <= outcomes.keys()
