"""Paths, topics, blocks and operators' callbacks: pure functions under examples and under anything."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.nbiot import callbacks, paths, topics
from protocols.nbiot.blocks import BlockError, Bodies, TooLargeError
from protocols.nbiot.paths import Target
from protocols.samples import DecodeError


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("POST", (), (), Target("uplink")),
        ("PUT", ("",), ("token=t",), Target("uplink", token="t")),
        ("POST", ("up", "A-1"), (), Target("uplink", "A-1")),
        ("POST", ("up", ""), ("IMEI=860000000000009",), Target("uplink", "860000000000009")),
        ("POST", ("t", "secret", "A-1"), (), Target("uplink", "A-1", "secret")),
        ("POST", ("dp",), ("ep=urn:imei:860000000000009",), Target("uplink", "860000000000009")),
        ("POST", ("rd",), ("ep=A-1", "lt=60"), Target("register", "A-1")),
        ("PUT", ("rd", "A-1"), (), Target("update", "A-1")),
        ("DELETE", ("rd", "A-1"), (), Target("deregister", "A-1")),
    ],
)
def test_paths(method: str, path: tuple[str, ...], query: tuple[str, ...], expected: Target) -> None:
    assert paths.parse(method, path, query) == expected


@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "7.31"]),
    st.lists(st.sampled_from(["up", "u", "t", "rd", "dp", "", "A-1"]) | st.text(max_size=30), max_size=4),
    st.lists(st.sampled_from(["id=1", "token=x", "ep=", "="]) | st.text(max_size=30), max_size=4),
)
def test_any_path_is_a_target_or_named(method: str, path: list[str], query: list[str]) -> None:
    try:
        target = paths.parse(method, path, query)
    except DecodeError:
        return
    assert target.action in ("uplink", "register", "update", "deregister")


def test_topics() -> None:
    assert topics.parse(topics.build("A_1-2", "uplink")) == "A_1-2"
    assert topics.subscription("g") == "$share/g/gridwire/meters/+/uplink"
    for topic in ("gridwire/meters/a/downlink", "gridwire/meters//uplink", "gridwire/meters/a/b/uplink"):
        assert topics.matches(topic)
        with pytest.raises(DecodeError):
            topics.parse(topic)
    for wrong in ("", "a/b", "a+"):
        with pytest.raises(ValueError, match="identity"):
            topics.build(wrong, "downlink")


@given(st.binary(max_size=600), st.sampled_from([16, 32, 64]), st.lists(st.booleans(), max_size=40))
def test_blocks_in_order_make_the_body_however_often_one_comes(
    body: bytes, size: int, doubled: list[bool]
) -> None:
    bodies = Bodies(lambda: 0)
    starts = [*range(0, len(body), size)] or [0]
    found = None
    for at, start in enumerate(starts):
        is_last = start == starts[-1]
        if not is_last and at < len(doubled) and doubled[at]:
            assert bodies.feed("key", start, body[start : start + size], is_last) is None
        found = bodies.feed("key", start, body[start : start + size], is_last)
    assert found == body
    assert len(bodies) == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200), st.binary(max_size=80), st.booleans())))
def test_any_blocks_are_kept_within_bounds(feeds: list[tuple[int, int, bytes, bool]]) -> None:
    bodies = Bodies(lambda: 0, bytes_max=128, count_max=2)
    for key, start, payload, is_last in feeds:
        try:
            found = bodies.feed(key, start, payload, is_last)
        except (BlockError, TooLargeError):
            continue
        finally:
            assert len(bodies) <= 2
        assert found is None or len(found) <= 128


def test_a_body_is_forgotten_and_a_gap_is_refused() -> None:
    now_us = [0]
    bodies = Bodies(lambda: now_us[0], age_s=10)
    assert bodies.feed("a", 0, b"x" * 16, is_last=False) is None
    with pytest.raises(BlockError):
        bodies.feed("a", 32, b"y", is_last=True)
    assert bodies.feed("a", 0, b"x" * 16, is_last=False) is None
    now_us[0] = 10_000_000
    with pytest.raises(BlockError):
        bodies.feed("a", 16, b"y", is_last=True)
    with pytest.raises(TooLargeError):
        bodies.feed("b", 0, b"x" * 70_000, is_last=True)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["payload", "imei", "device", "data", "received", "timestamp", "type", "value", "IMEI"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(st.sampled_from(sorted(callbacks.SHAPES)), _JSON)
def test_any_json_is_messages_or_named(platform: str, body: Any) -> None:
    text = json.dumps(body).encode("utf-8", "surrogatepass")
    try:
        found = callbacks.decode(callbacks.SHAPES[platform], text, {})
    except DecodeError:
        return
    assert all(isinstance(each.payload, bytes) for each in found)


@given(st.sampled_from(sorted(callbacks.SHAPES)), st.binary(max_size=200))
def test_any_bytes_are_messages_or_named(platform: str, body: bytes) -> None:
    try:
        callbacks.decode(callbacks.SHAPES[platform], body, {"x-soracom-imei": "\xff"})
    except DecodeError:
        return


def test_text_and_objects_of_platforms() -> None:
    shape = callbacks.SHAPES["1nce"]
    for kind, value, payload in (
        ("TEXT", "hello", b"hello"),
        ("HEX", "0102", b"\1\2"),
        ("BASE64", "AQID", b"\1\2\3"),
        ("JSON", {"a": 1}, b'{"a":1}'),
    ):
        body = json.dumps({"payload": {"type": kind, "value": value}, "device": {"iccid": "89882"}})
        (message,) = callbacks.decode(shape, body.encode(), {})
        assert (message.payload, message.identity) == (payload, "89882")
    assert callbacks.decode(shape, b'{"type": "LIFECYCLE"}', {}) == []
    (message,) = callbacks.decode(callbacks.SHAPES["ctwing"], b'{"IMEI":"1","payload":{"T":2}}', {})
    assert message.payload == b'{"T":2}'
    for at, heard_at_us in (
        (1_650_554_828_842, 1_650_554_828_842_000),
        ("1650554828", 1_650_554_828_000_000),
    ):
        body = json.dumps({"imei": "1", "payload": "00", "timestamp": at})
        (message,) = callbacks.decode(callbacks.SHAPES["generic"], body.encode(), {})
        assert message.heard_at_us == heard_at_us
