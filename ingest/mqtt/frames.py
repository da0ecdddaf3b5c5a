"""Raw frames of a battery's BMS: what they say, and the row of `raw_payloads` that keeps them as they came.

Used by `ingest.mqtt.batteries`; pure.
"""

from dataclasses import dataclass

import msgspec

from ingest.uplinks import NO_COUNTER, NO_PORT, payload_digest
from protocols.battery import frames, topics
from protocols.battery.telemetry import Decoded
from protocols.samples import DecodeError, Rows
from storage.hypertables import RAW_PAYLOADS

DECODER = "bms"
SOURCE = "mqtt"
EVENT = "uplink"


@dataclass(frozen=True, slots=True)
class Reading:
    """`raw` is stored whatever the outcome is."""

    raw: Rows
    outcome: Decoded | DecodeError


def read_frames(topic: str, payload: bytes, received_at_us: int) -> Reading:
    """Read the payload of a raw topic, by the protocol that the topic names or by its headers.

    Raises `DecodeError` (`too_large`) for a payload that is not kept either.
    """
    if len(payload) > frames.PAYLOAD_BYTES_MAX:
        raise DecodeError(
            "too_large", "", f"{len(payload)} bytes, at most {frames.PAYLOAD_BYTES_MAX} are read"
        )
    named = topics.raw_protocol(topic)
    try:
        answer = frames.decode(payload, named, received_at_us=received_at_us)
    except DecodeError as error:
        said = {"error": error.reason, "message": str(error)[:1000]}
        return Reading(_row(payload, received_at_us, (), said), error)
    assert answer.rows is not None
    data = {name: values[0] for name, values in answer.rows.columns.items() if name != "ts"}
    warnings = [str(error)[:1000] for error in answer.refused]
    everything = {"data": data, "warnings": warnings} if warnings else {"data": data}
    return Reading(_row(payload, received_at_us, answer.protocols, everything), answer)


def _row(payload: bytes, received_at_us: int, protocols: tuple[str, ...], said: object) -> Rows:
    decoder = f"{DECODER}:{'+'.join(protocols)}" if protocols else ""
    columns: dict[str, list[object]] = {
        "ts": [received_at_us],
        "source": [SOURCE.encode()],
        "event": [EVENT.encode()],
        "port": [NO_PORT],
        "counter": [NO_COUNTER],
        "decoder": [decoder.encode()],
        "digest": [payload_digest(payload)],
        "payload": [payload],
        "decoded": [msgspec.json.encode(said)],
    }
    return Rows(RAW_PAYLOADS.name, columns, count=1, samples=0)
