"""Codecs as people publish them, for The Things Stack and ChirpStack of any version, are called unchanged."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.samples import DecodeError
from stream.codecs.sandbox import Limits, Sandbox, Uplink
from tests.stream.codecs.helpers import HEARD_AT, HEARD_AT_US, body, data_of, outcomes

DATA = {"b": [1, 2, 255], "p": 1}
FORMS = {
    "TS013": "function decodeUplink(i) { return {data: {b: i.bytes, p: i.fPort}}; }",
    "const": "const decodeUplink = (i) => ({data: {b: i.bytes, p: i.fPort}});",
    "global": "decodeUplink = function (i) { return {data: {b: i.bytes, p: i.fPort}}; };",
    "The Things Stack 2": "function Decoder(bytes, port) { return {b: bytes, p: port}; }",
    "ChirpStack 3": "function Decode(fPort, bytes, variables) { return {b: bytes, p: fPort}; }",
    "export": "export function decodeUplink(i) { return {data: {b: i.bytes, p: i.fPort}}; }",
    "export list": "function d(i) { return {data: {b: i.bytes, p: i.fPort}}; }\nexport {d as decodeUplink};",
    "export default": "export default { decodeUplink: (i) => ({data: {b: i.bytes, p: i.fPort}}) };",
    "CommonJS": "module.exports = { decodeUplink: (i) => ({data: {b: i.bytes, p: i.fPort}}) };",
    "exports": "exports.decodeUplink = (i) => ({data: {b: i.bytes, p: i.fPort}});",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_called(form: str) -> None:
    assert data_of(FORMS[form]) == DATA


def test_the_newest_form_wins() -> None:
    both = "function Decoder(b) { return {old: 1}; }\nfunction decodeUplink(i) { return {data: {old: 0}}; }"
    assert data_of(both) == {"old": 0}
    older = "function Decode(p, b) { return {of: 3}; }\nfunction Decoder(b, p) { return {of: 2}; }"
    assert data_of(older) == {"of": 2}


def test_input_has_time_and_variables() -> None:
    source = body(
        "return {data: {t: input.recvTime, d: input.recvTime instanceof Date, v: input.variables.k}}"
    )
    uplink = Uplink(b"", 1, HEARD_AT_US, {"k": "7"})
    (found,) = Sandbox(source, Limits()).decode([uplink])
    assert found.data == {"t": HEARD_AT, "d": True, "v": "7"}


def test_the_clock_of_a_codec_stands_at_the_uplink() -> None:
    source = body(
        "const d = new Date(); return {data: [d, Date.now(), d instanceof Date, d.constructor === Date,"
        " new Date(0), new Date(2020, 0, 2), Date.UTC(2020, 0), typeof Date()]}"
    )
    zero, second = "1970-01-01T00:00:00.000Z", "2020-01-02T00:00:00.000Z"
    expected = [HEARD_AT, HEARD_AT_US // 1000, True, True, zero, second, 1577836800000, "string"]
    assert data_of(source) == expected


def test_bytes_are_a_copy() -> None:
    source = body("input.bytes.reverse(); input.bytes.length = 1; return {data: {n: input.bytes[0]}}")
    first, second = outcomes(source, b"\x01\x02", b"\x01\x02")
    assert first.data == second.data == {"n": 2}


def test_output_is_json() -> None:
    source = body(
        "return {data: {nan: NaN, inf: -Infinity, none: undefined, date: new Date(0), bad: new Date(NaN),"
        " big: 12n, huge: 2n ** 70n, nul: 'a\\0b', half: '\\ud800', text: '\\\\u0000'}}"
    )
    assert data_of(source) == {
        "nan": None,
        "inf": None,
        "date": "1970-01-01T00:00:00.000Z",
        "bad": None,
        "big": 12,
        "huge": "1180591620717411303424",
        "nul": "a\ufffdb",
        "half": "\ufffd",
        "text": "\\u0000",
    }


def test_console_is_there_and_silent() -> None:
    assert data_of(body("console.log(1); console.warn(2); console.error(3); return {data: 1}")) == 1


BUFFER = {
    "Buffer.from(input.bytes).readUInt16BE(0)": 258,
    "Buffer.from(input.bytes).readInt16LE(1)": -254,
    "Buffer.from(input.bytes).readInt8(2)": -1,
    "Buffer.from(input.bytes).readUIntBE(0, 3)": 0x0102FF,
    "Buffer.from(input.bytes).readIntLE(0, 3)": -65023,
    "Buffer.from(input.bytes).toString('hex')": "0102ff",
    "Buffer.from(input.bytes).toString('base64')": "AQL/",
    "Buffer.from('AQL_', 'base64').toString('hex')": "0102ff",
    "Buffer.from('00ffzz', 'hex').length": 2,
    "Buffer.from('grüß').toString()": "grüß",
    "Buffer.from('grüß').length": 6,
    "Buffer.from([0xff]).toString()": "?",
    "Buffer.from(input.bytes).slice(1).readUInt8(0)": 2,
    "Buffer.concat([Buffer.from([1]), Buffer.from([2, 3])]).length": 3,
    "Buffer.alloc(2, 7)[1]": 7,
    "Buffer.isBuffer(Buffer.alloc(1)) && !Buffer.isBuffer([1])": True,
    "Buffer.from([0, 0, 0x20, 0x41]).readFloatLE(0)": 10,
    "(() => { const b = Buffer.alloc(4); b.writeUInt32BE(7, 0); b.writeInt8(-1, 0); return [...b]; })()": [
        255, 0, 0, 7,
    ],
    "(() => { try { Buffer.alloc(1).readUInt16LE(0); } catch (e) { return e.name; } })()": "RangeError",
    "Buffer.from('ab').equals(Buffer.from([97, 98]))": True,
    "JSON.stringify(Buffer.from([1]))": '{"type":"Buffer","data":[1]}',
}  # fmt: skip


@pytest.mark.parametrize("expression", BUFFER)
def test_buffer_is_as_in_node(expression: str) -> None:
    assert data_of(body(f"return {{data: {expression}}}")) == BUFFER[expression]


def test_normalised_payload_is_kept_beside_the_data() -> None:
    source = body("return {data: {t: input.bytes[0]}}") + (
        "function normalizeUplink(input) { return {data: [{air: {temperature: input.data.t}}]}; }"
    )
    (found,) = outcomes(source, b"\x15")
    assert (found.data, found.normalized) == ({"t": 21}, [{"air": {"temperature": 21}}])


def test_a_normaliser_that_fails_costs_only_what_it_would_have_given() -> None:
    source = body("return {data: {t: 1}}") + "function normalizeUplink(input) { throw new Error('no unit'); }"
    (found,) = outcomes(source, b"\x15")
    assert (found.data, found.normalized, found.normal_error) == ({"t": 1}, None, "Error: no unit")


ENCODERS = {
    "function encodeDownlink(i) { return {bytes: [i.data.on ? 1 : 0], fPort: 9}; }": ([1], 9),
    "function Encoder(object, port) { return [object.on ? 2 : 0, port]; }": ([2, 5], 5),
    "function Encode(fPort, object, variables) { return [object.on ? 3 : 0, fPort]; }": ([3, 5], 5),
}


@pytest.mark.parametrize("source", ENCODERS)
def test_downlinks_are_encoded(source: str) -> None:
    found = Sandbox(source, Limits()).encode({"on": True}, 5, HEARD_AT_US)
    assert (found.bytes, found.port) == ENCODERS[source]


@given(st.binary(max_size=64), st.one_of(st.none(), st.integers(0, 255)))
def test_any_bytes_give_an_outcome(data: bytes, port: int | None) -> None:
    (found,) = outcomes(FORMS["TS013"], data, port=port)
    assert found.data == {"b": list(data)} | ({} if port is None else {"p": port})


@given(st.text(max_size=200))
def test_any_source_loads_or_is_refused(source: str) -> None:
    with contextlib.suppress(DecodeError):
        outcomes(source, b"\x01")
