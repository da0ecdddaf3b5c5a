import asyncio
import base64
import contextlib

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers

from ingest.ocpp.handshake import (
    RefusedError,
    basic_credentials,
    basic_password,
    choose_subprotocol,
    identity_of,
    offered,
)
from ingest.ocpp.passwords import FailureLimit, Lockout, PasswordChecker, PasswordsBusyError
from protocols.ocpp.surface import Version

HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash


class Clock:
    us = 0

    def __call__(self) -> int:
        return self.us


@pytest.mark.parametrize(
    ("path", "identity"),
    [
        ("/CP1", "CP1"),
        ("///CP1", "CP1"),
        ("/ocpp/v16/CP1/", "CP1"),
        ("/CP1?x=/y", "CP1"),
        ("/RPC%20ocpp1.6", "RPC ocpp1.6"),
        ("/a%2Fb", "a/b"),
        ("/%C3%A9", "é"),
        ("/a/b/c/d/e/CP1///", "CP1"),
        ("/ocpp/CP%201%2F", "CP 1"),
        ("/CP1%20", "CP1"),
        ("/AA%3ABB:01?token=1", "AA:BB:01"),
        (f"/{'x' * 48}/", "x" * 48),
    ],
)
def test_identity_is_the_last_segment(path: str, identity: str) -> None:
    assert identity_of(path) == identity


@pytest.mark.parametrize("path", ["", "/", "//", "/%00", "/%0a", "/%ff", f"/{'x' * 49}", "/%20"])
def test_what_is_no_identity_is_refused(path: str) -> None:
    with pytest.raises(RefusedError, match="identity"):
        identity_of(path)


@given(st.text())
def test_any_path_has_an_identity_or_is_refused(path: str) -> None:
    try:
        identity = identity_of(path)
    except RefusedError:
        return
    assert 1 <= len(identity) <= 48


def test_subprotocols() -> None:
    headers = Headers([("Sec-WebSocket-Protocol", "ocpp2.0.1, OCPP1.6"), ("Sec-WebSocket-Protocol", "x")])
    assert offered(headers) == ["ocpp2.0.1", "OCPP1.6", "x"]
    assert choose_subprotocol(offered(headers), default=False) == ("ocpp2.0.1", Version.V201)
    assert choose_subprotocol(["x", "OCPP1.6", "ocpp2.1"], default=False) == ("OCPP1.6", Version.V16)
    assert choose_subprotocol(["RPC%20ocpp1.6"], default=False) == ("RPC%20ocpp1.6", Version.V16)
    assert choose_subprotocol([], default=True) == (None, Version.V16)
    for names in (["ocpp1.5"], []):
        with pytest.raises(RefusedError, match=r"ocpp1\.6"):
            choose_subprotocol(names, default=False)


@given(st.text())
def test_any_authorization_is_credentials_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        basic_credentials(text)


async def test_a_right_password_is_remembered_and_a_new_hash_forgets_it() -> None:
    clock = Clock()
    checker = PasswordChecker(b"k" * 16, clock, ttl_s=1)
    old, new = HASH("old"), HASH("new")
    answers = await asyncio.gather(*(checker.check(old, b"old") for _ in range(20)))
    assert all(answers)
    assert len(checker._right) == 1
    assert not await checker.check(new, b"old")
    assert not await checker.check("not a hash", b"old")
    clock.us = 2_000_000
    assert await checker.check(old, b"old"), "asked again once it is forgotten"
    checker.close()


async def test_waiting_passwords_are_bounded() -> None:
    checker = PasswordChecker(b"k" * 16, Clock(), waiting_max=3)
    stored = HASH("right")
    checks = [asyncio.create_task(checker.check(stored, b"%d" % number)) for number in range(10)]
    outcomes = await asyncio.gather(*checks, return_exceptions=True)
    assert outcomes[:3] == [False] * 3
    assert all(isinstance(each, PasswordsBusyError) for each in outcomes[3:])
    checker.close()


@pytest.mark.parametrize(
    ("given", "password"),
    [
        (b"CP1:secret", b"secret"),
        (b"cp1:a:b", b"a:b"),
        (b"AA:BB:pass", b"pass"),
        (b"CP1:\xff\x00", b"\xff\x00"),
        (b"CP1:", b""),
    ],
)
def test_a_password_is_bytes_behind_a_name_that_may_have_colons(given: bytes, password: bytes) -> None:
    header = "Basic " + base64.b64encode(given).decode()
    assert basic_password(header, ["cp1", "aa:bb"]) == password


@pytest.mark.parametrize(
    ("given", "reason"),
    [(b"CP2:x", "identity"), (b"CP11:x", "identity"), (b"\xff:x", "identity"), (b"CP1", "not HTTP Basic")],
)
def test_another_name_has_no_password(given: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        basic_password("Basic " + base64.b64encode(given).decode(), ["cp1"])


def test_a_charger_is_locked_out_everywhere_but_where_it_is_at_home() -> None:
    lockout = Lockout(per_minute=60, burst=2, clock=Clock(), chargers_max=3)
    lockout.succeeded("CP1", "home")
    lockout.failed("CP1", "a")
    lockout.failed("CP1", "b")
    assert lockout.is_locked("CP1", "c")
    assert not lockout.is_locked("CP1", "home")
    assert not lockout.is_locked("CP2", "a")
    lockout.failed("CP2", "a")
    assert lockout.is_locked("CP2", "a"), "the address is spent, whichever charger it tries"
    assert not lockout.is_locked("CP2", "b")
    for number in range(20):
        lockout.succeeded(str(number), "x")
    assert len(lockout._homes) == 3


def test_failures_of_an_address_are_bounded_and_forgiven() -> None:
    clock = Clock()
    limit = FailureLimit(per_minute=60, burst=2, clock=clock, addresses_max=5)
    limit.failed("a")
    assert not limit.is_exhausted("a")
    limit.failed("a")
    assert limit.is_exhausted("a")
    assert not limit.is_exhausted("b")
    clock.us = 1_000_000
    assert not limit.is_exhausted("a")
    for number in range(20):
        limit.failed(str(number))
    assert len(limit._buckets) == 5
