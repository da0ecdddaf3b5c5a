"""Every message that a central system may send, to a charger of every version: answered by its schema."""

import random
from typing import Any

import pytest

from protocols.ocpp.schemas import check_call
from protocols.ocpp.surface import FROM_CHARGER, TO_CHARGER, Version
from simulators.charger import ChargePoint
from simulators.charger_settings import ChargerSettings
from simulators.faults import Faults
from simulators.v2.commands import HANDLERS as HANDLERS_2
from simulators.v16.commands import HANDLERS as HANDLERS_16
from tests.simulators.central import Bench, Central
from tests.simulators.requests import request_of

NOW_US = 1_790_000_000_000_000
EVERY = [(version, action) for version in Version for action in TO_CHARGER[version]]
VARIANTS = 12


def bench(version: Version, **settings: Any) -> Bench:
    basis: dict[str, Any] = {
        "first_plug_s": (0.0, 1.0), "session_s": (1e5, 2e5), "identity": "CP-1", "id_tags": ("TAG-1", "x"),
    }  # fmt: skip
    chosen = ChargerSettings(**{**basis, "version": version, **settings})
    charger = ChargePoint(chosen, random.Random(3), NOW_US)
    one = Bench(charger, Central(version=version), NOW_US)
    one.connect()
    return one


def test_the_tables_are_the_whole_surface() -> None:
    assert HANDLERS_16.keys() == TO_CHARGER[Version.V16].keys()
    assert HANDLERS_2.keys() == TO_CHARGER[Version.V201].keys() | TO_CHARGER[Version.V21].keys()


@pytest.mark.parametrize(("version", "action"), EVERY)
def test_the_shortest_request_is_answered_by_its_schema(version: Version, action: str) -> None:
    request = request_of(version, action)
    check_call(version, action, request)
    for settings in ({}, {"first_plug_s": (1e6, 2e6)}):  # charging, and free
        one = bench(version, **settings)
        one.run(15)
        one.order(action, **request)
        one.run(60)
        assert one.central.errors == []
        assert one.order("ClearCache") == {"status": "Accepted"}


@pytest.mark.parametrize(("version", "action"), EVERY)
def test_longer_requests_are_too_and_what_follows_keeps_its_schema(version: Version, action: str) -> None:
    rng = random.Random(action)
    one = bench(version, session_s=(20.0, 40.0), pause_s=(1.0, 5.0))
    for _ in range(VARIANTS):
        request = request_of(version, action, rng)
        check_call(version, action, request)
        one.order(action, **request)
        one.run(8)
    assert one.central.errors == []
    assert {name for name, _ in one.central.calls} <= FROM_CHARGER[version].keys()


@pytest.mark.parametrize("version", Version)
def test_any_order_of_requests_leaves_a_charger_that_charges(version: Version) -> None:
    rng = random.Random(version)
    one = bench(version, session_s=(20.0, 40.0), pause_s=(1.0, 5.0), faults=Faults(firmware_fails=0.3))
    for number in range(300):
        action = rng.choice(list(TO_CHARGER[version]))
        one.order(action, **request_of(version, action, rng))
        one.run(rng.uniform(0, 6))
        if number % 20 == 19:
            one.charger.disconnected(one.now_us)
            one.run(20)
            one.connect()
    assert one.central.errors == []
    one.order("ClearChargingProfile")
    number_field = {"connectorId": 0, "type": "Operative"}
    one.order("ChangeAvailability", **({"operationalStatus": "Operative"} if version.is_2 else number_field))
    started = one.charger.sessions_begun
    one.run(300)
    assert one.charger.sessions_begun > started


def test_a_request_that_wants_no_answer_has_none() -> None:
    one = bench(Version.V21)
    one.charger.frames_to_send()
    one.charger.receive(b'[6,"1","ClearCache",{}]', one.now_us)
    assert one.charger.frames_to_send() == []


@pytest.mark.parametrize("version", Version)
def test_what_is_no_request_is_refused_by_its_code(version: Version) -> None:
    one = bench(version)
    frames = (
        (b'[2,"1","MakeCoffee",{}]', "NotImplemented"),
        (b'[2,"2","Reset",{"type":7}]', "TypeConstraintViolation"),
        (b'[2,"3","Reset",{}]', "ProtocolError"),
    )
    for frame, code in frames:
        one.charger.receive(frame, one.now_us)
        one.exchange()
        assert one.central.errors[-1][2] == code, one.central.errors[-1]
