"""Examples of a codec: inputs with the outputs that they must give, in the form of TS013 repositories.

    {"type": "uplink", "description": "", "input": {"fPort": 1, "bytes": [1, 2]}, "output": {"data": {}}}

`type` may be left out (`uplink`) or be `downlink-encode`; bytes may be hexadecimal text. Used by the
workers, by the API and the command line when a codec is uploaded or tested, and by `tests/foreign/codecs`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from protocols.samples import DecodeError
from protocols.timestamps import parse_timestamp
from stream.codecs.sandbox import Downlink, Limits, Outcome, Sandbox, Uplink

EXAMPLES_MAX = 200
PAYLOAD_BYTES_MAX = 4096
PORT_MAX = 255
TEXT_CHARACTERS_MAX = 200

_TYPES = ("uplink", "downlink-encode")


class Example(msgspec.Struct, frozen=True):
    """One example. `output` and `normalized` are None where any answer will do: the codec is only tried."""

    type: Literal["uplink", "downlink-encode"]
    uplink: Uplink | None = None
    data: Any = None
    port: int = 1
    description: str = ""
    output: dict[str, Any] | None = None
    normalized: dict[str, Any] | None = None


class Tried(msgspec.Struct, frozen=True):
    """What an example gave: its output as TS013 has it, what it was normalised to, what differs."""

    description: str
    output: dict[str, Any]
    normalized: Any = None
    difference: str | None = None


class Examination(msgspec.Struct, frozen=True):
    """What is known of a codec after its examples: `error` where it does not load or leaves its limits."""

    error: str | None
    reason: str = ""
    is_stateful: bool = False
    tried: list[Tried] = []


def read_examples(value: Any, now_us: int) -> list[Example]:
    """Read examples as uploaded and stored; raises `DecodeError` (`codec_examples`) naming what is wrong.

    `now_us` is when their uplinks are heard, where they do not say so themselves (`recvTime`).
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise _wrong("", "is not a list of examples")
    if len(value) > EXAMPLES_MAX:
        raise _wrong("", f"{len(value)} examples, at most {EXAMPLES_MAX} are kept")
    return [_read_example(each, f"examples[{index}]", now_us) for index, each in enumerate(value)]


def _read_example(value: Any, at: str, now_us: int) -> Example:
    if not isinstance(value, Mapping):
        raise _wrong(at, "is not an object")
    kind = value.get("type", "uplink")
    if kind not in _TYPES:
        raise _wrong(f"{at}.type", f"is none of {', '.join(_TYPES)}")
    given = value.get("input")
    if not isinstance(given, Mapping):
        raise _wrong(f"{at}.input", "is not an object")
    output, normalized = value.get("output"), value.get("normalizedOutput")
    for name, each in (("output", output), ("normalizedOutput", normalized)):
        if each is not None and not isinstance(each, Mapping):
            raise _wrong(f"{at}.{name}", "is not an object")
    port = _port_of(given, f"{at}.input.fPort")
    shared: dict[str, Any] = {
        "type": kind,
        "description": str(value.get("description", ""))[:TEXT_CHARACTERS_MAX],
        "output": None if output is None else dict(output),
        "normalized": None if normalized is None else dict(normalized),
    }
    if kind == "downlink-encode":
        return Example(**shared, data=given.get("data"), port=1 if port is None else port)
    heard_at_us = _time_of(given, f"{at}.input.recvTime", now_us)
    variables = given.get("variables") or {}
    if not isinstance(variables, Mapping):
        raise _wrong(f"{at}.input.variables", "is not an object")
    data = bytes_of(given.get("bytes"), f"{at}.input.bytes")
    return Example(**shared, uplink=Uplink(data, port, heard_at_us, dict(variables)))


def bytes_of(value: Any, at: str) -> bytes:
    """Read a payload: a list of bytes or hexadecimal text. Raises `DecodeError` (`codec_examples`)."""
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else bytes(list(value))
    except (TypeError, ValueError):
        raise _wrong(at, "is neither a list of bytes nor hexadecimal text") from None
    if len(data) > PAYLOAD_BYTES_MAX:
        raise _wrong(at, f"{len(data)} bytes, at most {PAYLOAD_BYTES_MAX} are taken")
    return data


def _port_of(given: Mapping[str, Any], at: str) -> int | None:
    port = given.get("fPort")
    if port is not None and not (type(port) is int and 0 <= port <= PORT_MAX):
        raise _wrong(at, f"is not 0 to {PORT_MAX}")
    return port


def _time_of(given: Mapping[str, Any], at: str, now_us: int) -> int:
    text = given.get("recvTime")
    if text is None:
        return now_us
    try:
        return parse_timestamp(text)
    except ValueError:
        raise _wrong(at, "is no time of RFC 3339") from None


def _wrong(at: str, message: str) -> DecodeError:
    return DecodeError("codec_examples", at, message)


def try_examples(source: str, examples: Sequence[Example], limits: Limits) -> list[Tried]:
    """Give each example to a fresh context. Raises `DecodeError` where the codec does not load."""
    return [_try(Sandbox(source, limits), each) for each in examples]


def _try(sandbox: Sandbox, example: Example) -> Tried:
    if example.uplink is None:
        return _tried_downlink(example, sandbox.encode(example.data, example.port, 0))
    outcome = sandbox.decode([example.uplink])[0]
    output = output_of(outcome)
    found = None
    if example.output is not None:
        found = difference(_without_empty(example.output), output, "output")
    if outcome.reason and (found is not None or example.output is None):
        found = f"{outcome.reason}: {outcome.message}"
    if found is None and example.normalized is not None:
        found = difference(example.normalized.get("data"), outcome.normalized, "normalizedOutput.data")
    return Tried(example.description, output, outcome.normalized, found)


def _tried_downlink(example: Example, downlink: Downlink) -> Tried:
    output = {"bytes": downlink.bytes, "fPort": downlink.port}
    shown = _output(output, downlink.warnings, downlink.errors, downlink.reason, downlink.message)
    wanted = example.output
    found = None if wanted is None else difference(_without_empty(wanted), shown, "output")
    return Tried(example.description, shown, None, found)


def output_of(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as TS013 writes it; what the engine refused is one of `errors`."""
    data = {} if outcome.data is None else {"data": outcome.data}
    return _output(data, outcome.warnings, outcome.errors, outcome.reason, outcome.message)


def _output(
    values: dict[str, Any], warnings: object, errors: object, reason: str, message: str
) -> dict[str, Any]:
    if reason:
        return {"errors": [f"{reason}: {message}"]}
    return _without_empty({**values, "warnings": warnings, "errors": errors})


def _without_empty(output: Mapping[str, Any]) -> dict[str, Any]:
    """No warnings and an empty list of them are the same."""
    return {key: each for key, each in output.items() if key not in {"warnings", "errors"} or each}


def difference(expected: Any, actual: Any, at: str) -> str | None:
    """Say where JSON `actual` first differs from `expected`, or None. Numbers are equal exactly, 1 is 1.0."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return _between_objects(expected, actual, at)
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return f"{at}: {len(actual)} items instead of {len(expected)}"
        pairs = zip(expected, actual, strict=True)
        inner = (difference(one, other, f"{at}[{index}]") for index, (one, other) in enumerate(pairs))
        return next((each for each in inner if each is not None), None)
    if isinstance(expected, bool) is isinstance(actual, bool) and expected == actual:
        return None
    return f"{at}: {_short(actual)} instead of {_short(expected)}"


def _between_objects(expected: Mapping[str, Any], actual: Mapping[str, Any], at: str) -> str | None:
    for key, value in expected.items():
        if key not in actual:
            return f"{at}.{key}: missing, should be {_short(value)}"
        found = difference(value, actual[key], f"{at}.{key}")
        if found is not None:
            return found
    extra = next((key for key in actual if key not in expected), None)
    return (
        None if extra is None else f"{at}.{extra}: {_short(actual[extra])}, which the example does not have"
    )


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= TEXT_CHARACTERS_MAX else text[: TEXT_CHARACTERS_MAX - 3] + "..."
