"""A codec that leaks state between calls is found out and gets fresh contexts; others stay warm."""

import asyncio

import pytest

from protocols.measurements import Decoded
from stream.codecs.contexts import PROBES, Codec, examine
from stream.codecs.pool import CodecPool
from stream.codecs.sandbox import Limits, Uplink
from tests.stream.codecs.helpers import GOOD, HEARD_AT_US, body, codec, payload

LEAKS = {
    "counter": "var n = 0; function decodeUplink(i) { n += 1; return {data: {n: n}}; }",
    "last value": "var last = {}; function decodeUplink(i) { last[i.bytes[0]] = 1; return {data: last}; }",
    "order": "var m = 0; function decodeUplink(i) { m = Math.max(m, i.bytes[0]); return {data: {m}}; }",
    "implicit global": (
        "function decodeUplink(i) { if (typeof s === 'undefined') s = i.bytes[0]; return {data: {s}}; }"
    ),
    "built-in": "function decodeUplink(i) { Array.prototype.last = 1; return {data: {n: i.bytes[0]}}; }",
}


@pytest.mark.parametrize("name", LEAKS)
async def test_a_leak_never_shows(codecs: CodecPool, name: str) -> None:
    uplinks = [payload(bytes([n % 50])) for n in range(300)]
    found = await codecs.decode(codec(LEAKS[name]), uplinks, [])
    for each, uplink in zip(found, uplinks, strict=True):
        (alone,) = Codec(LEAKS[name], Limits()).decode(
            [Uplink(uplink.data, 1, HEARD_AT_US)], is_stateful=True
        )
        assert isinstance(each, Decoded)
        assert each.data == alone.data


async def test_what_leaks_is_reported_once() -> None:
    told: list[str] = []

    async def tell(sha256: str) -> None:
        told.append(sha256)

    async with CodecPool(lambda: HEARD_AT_US, on_stateful=tell) as pool:
        leaking = codec(LEAKS["counter"])
        for _ in range(10):
            await pool.decode(leaking, [payload(bytes([n])) for n in range(PROBES)], [])
        await pool.decode(codec(GOOD), [payload(bytes([n])) for n in range(PROBES * 2)], [])
        await asyncio.sleep(0)
    assert told == [leaking.sha256]


@pytest.mark.parametrize("name", LEAKS)
def test_examples_find_a_leak_at_upload(name: str) -> None:
    examples = [{"input": {"bytes": [n], "fPort": 1}} for n in (3, 1, 2)]
    assert examine(LEAKS[name], examples, Limits(), HEARD_AT_US).is_stateful


@pytest.mark.parametrize(
    "source",
    [
        GOOD,
        body("return {data: {at: new Date(), s: 'x'.padStart(3)}}"),
        "var names = {1: 'a'}; function decodeUplink(i) { return {data: {v: names[i.bytes[0]]}}; }",
        "String.prototype.twice = function () { return this + this; };" + body("return {data: 'a'.twice()}"),
    ],
)
def test_what_does_not_leak_stays_warm(source: str) -> None:
    examples = [{"input": {"bytes": [n], "fPort": 1}} for n in (3, 1, 2)]
    found = examine(source, examples, Limits(), HEARD_AT_US)
    assert found.error is None
    assert not found.is_stateful


def test_a_built_in_that_is_changed_late_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.codecs.contexts.INSPECT_EVERY", 32)
    source = body("if (input.bytes[0] === 99) Math.max = () => 0; return {data: Math.max(1, input.bytes[0])}")
    trusted = Codec(source, Limits())
    uplinks = [Uplink(bytes([n]), 1, HEARD_AT_US) for n in range(PROBES)]
    for _ in range(PROBES * 4):
        trusted.decode(uplinks, is_stateful=False)
    assert not trusted.is_stateful
    for _ in range(40):
        trusted.decode([Uplink(b"\x63", 1, HEARD_AT_US)], is_stateful=False)
    assert trusted.is_stateful
