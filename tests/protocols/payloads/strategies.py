"""Payloads for the property tests: any bytes, and valid ones with a few bytes changed, cut or put in."""

import json
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from protocols.measurements import Decoded, Payload, to_rows
from protocols.samples import DecodeError

HEARD_AT_US = 1_790_000_000_000_000  # 2026-09-21T14:13:20Z


def payload(data: bytes | str, **options: object) -> Payload:
    raw = bytes.fromhex(data) if isinstance(data, str) else data
    return Payload(raw, HEARD_AT_US, options=options)


def mutated(telegrams: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    @st.composite
    def build(draw: st.DrawFn) -> bytes:
        raw = bytearray(draw(st.sampled_from(telegrams)))
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, max(len(raw) - 1, 0)))
            match draw(st.sampled_from(["set", "cut", "insert", "end"])):
                case "set" if raw:
                    raw[at] = draw(st.integers(0, 255))
                case "cut":
                    del raw[at : at + draw(st.integers(1, 4))]
                case "insert":
                    raw[at:at] = draw(st.binary(max_size=4))
                case _:
                    del raw[at:]
        return bytes(raw)

    return build()


def decodes_or_refuses(decode: Callable[[Payload], Decoded], one: Payload) -> Decoded | None:
    """Any bytes give what can be stored and shown, or `DecodeError`."""
    try:
        decoded = decode(one)
    except DecodeError:
        return None
    to_rows(decoded.measurements, one.heard_at_us)
    json.dumps(decoded.data, allow_nan=False)
    return decoded


def values(decoded: Decoded) -> dict[tuple[str, int], float]:
    """The values of one moment by quantity and channel."""
    return {(each.quantity, each.channel): each.value for each in decoded.measurements}
