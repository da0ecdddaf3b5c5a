"""Codecs and uplinks that the tests of this folder share."""

from typing import Any

from protocols.measurements import Decoded, Payload
from protocols.samples import DecodeError
from storage.queries.codecs import CodecText
from stream.codecs.pool import CodecPool
from stream.codecs.sandbox import Limits, Outcome, Sandbox, Uplink

HEARD_AT_US = 1_700_000_000_000_000
HEARD_AT = "2023-11-14T22:13:20.000Z"

GOOD = "function decodeUplink(input) { return {data: {water_l: input.bytes[0]}}; }"
LOOP = "function decodeUplink(input) { while (true) {} }"


def codec(source: str) -> CodecText:
    return CodecText.unstored(source)


def body(statements: str) -> str:
    """A codec that does this with its `input`."""
    return f"function decodeUplink(input) {{ {statements} }}"


def payload(data: bytes = b"\x01", port: int = 1, **options: Any) -> Payload:
    return Payload(data, HEARD_AT_US, port, options)


def outcomes(source: str, *datas: bytes, port: int | None = 1, limits: Limits | None = None) -> list[Outcome]:
    uplinks = [Uplink(data, port, HEARD_AT_US) for data in datas]
    return Sandbox(source, limits or Limits()).decode(uplinks)


def data_of(source: str, data: bytes = b"\x01\x02\xff") -> Any:
    (outcome,) = outcomes(source, data)
    assert outcome.reason == "", outcome.message
    return outcome.data


async def decode_one(pool: CodecPool, source: str, data: bytes = b"\x01") -> Decoded | DecodeError:
    (found,) = await pool.decode(codec(source), [payload(data)], [])
    return found


async def decoded(pool: CodecPool, source: str, data: bytes = b"\x01") -> Decoded:
    found = await decode_one(pool, source, data)
    assert isinstance(found, Decoded), found
    return found


async def refused(pool: CodecPool, source: str, data: bytes = b"\x01") -> DecodeError:
    found = await decode_one(pool, source, data)
    assert isinstance(found, DecodeError), found
    return found
