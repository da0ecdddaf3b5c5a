"""Examples of a codec are read strictly, run, and compared exactly."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.samples import DecodeError
from stream.codecs.contexts import examine
from stream.codecs.examples import difference, read_examples
from stream.codecs.pool import CodecPool
from stream.codecs.sandbox import Limits
from tests.stream.codecs.helpers import GOOD, HEARD_AT_US, LOOP, body

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def example(output: Any = None, **given: Any) -> dict[str, Any]:
    return {"description": "a", "input": {"bytes": [5], "fPort": 1, **given}, "output": output}


async def test_each_example_is_tried(codecs: CodecPool) -> None:
    examples = [
        example({"data": {"water_l": 5}, "warnings": []}),
        example({"data": {"water_l": 6}}),
        example(),
    ]
    found = await codecs.examine(GOOD, examples)
    assert found.error is None
    differences = [each.difference for each in found.tried]
    assert differences == [None, "output.data.water_l: 5 instead of 6", None]
    assert found.tried[2].output == {"data": {"water_l": 5}}


async def test_a_codec_that_does_not_load_says_why(codecs: CodecPool) -> None:
    found = await codecs.examine("function (", [])
    assert (found.reason, "SyntaxError" in (found.error or "")) == ("codec_compile", True)


async def test_what_the_engine_refuses_is_an_error_of_the_example(codecs: CodecPool) -> None:
    (tried,) = (await codecs.examine(LOOP, [example({"data": 1})])).tried
    assert tried.output == {"errors": ["codec_timeout: stopped after 100 ms"]}
    assert tried.difference == "codec_timeout: stopped after 100 ms"


def test_the_errors_of_a_codec_are_an_output() -> None:
    source = body("return {errors: ['unknown port ' + input.fPort]}")
    (tried,) = examine(source, [example({"errors": ["unknown port 1"]})], Limits(), HEARD_AT_US).tried
    assert tried.difference is None


def test_downlinks_and_normalised_payloads_are_compared() -> None:
    source = (
        body("return {data: {t: 1}}")
        + "function normalizeUplink(i) { return {data: {air: {temperature: i.data.t}}}; }"
        + "function encodeDownlink(i) { return {bytes: [i.data.on], fPort: 4}; }"
    )
    encode = {"type": "downlink-encode", "input": {"data": {"on": 1}}, "output": {"bytes": [1], "fPort": 4}}
    normal = example({"data": {"t": 1}}) | {"normalizedOutput": {"data": {"air": {"temperature": 2}}}}
    found = examine(source, [encode, normal], Limits(), HEARD_AT_US)
    differences = [each.difference for each in found.tried]
    assert differences == [None, "normalizedOutput.data.air.temperature: 1 instead of 2"]


@pytest.mark.parametrize(
    ("examples", "at"),
    [
        ({"a": 1}, ""),
        ([1], "examples[0]"),
        ([{"type": "join"}], "examples[0].type"),
        ([{}], "examples[0].input"),
        ([example(bytes="0g")], "examples[0].input.bytes"),
        ([example(bytes=[256])], "examples[0].input.bytes"),
        ([example(bytes=5)], "examples[0].input.bytes"),
        ([example(bytes=["1"])], "examples[0].input.bytes"),
        ([example(fPort=256)], "examples[0].input.fPort"),
        ([example(recvTime="soon")], "examples[0].input.recvTime"),
        ([example([1])], "examples[0].output"),
        ([example()] * 201, ""),
    ],
)
def test_a_wrong_example_is_named(examples: Any, at: str) -> None:
    with pytest.raises(DecodeError) as refusal:
        read_examples(examples, HEARD_AT_US)
    assert (refusal.value.reason, refusal.value.field) == ("codec_examples", at)


@given(JSON)
def test_anything_is_read_or_refused(value: Any) -> None:
    for given_ in (value, [value], [{"input": value}], [{"input": {"bytes": value, "fPort": value}}]):
        with contextlib.suppress(DecodeError):
            read_examples(given_, HEARD_AT_US)


@given(JSON)
def test_a_value_is_no_different_from_itself(value: Any) -> None:
    assert difference(value, value, "a") is None


@pytest.mark.parametrize(
    ("expected", "actual", "text"),
    [
        (1, True, "a: true instead of 1"),
        ({"x": 1}, {}, "a.x: missing, should be 1"),
        ({}, {"x": 1}, "a.x: 1, which the example does not have"),
        ([1], [1, 2], "a: 2 items instead of 1"),
        ([1, {"y": 0.1}], [1, {"y": 0.2}], "a[1].y: 0.2 instead of 0.1"),
        (1.0, 1, None),
    ],
)
def test_a_difference_is_said(expected: Any, actual: Any, text: str | None) -> None:
    assert difference(expected, actual, "a") == text
