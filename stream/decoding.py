"""Payloads to rows of `meter_samples` by whatever a device's profile names: built-in decoder or codec.

Used by `ingest.uplinks` as payloads come, and by `stream.reprocess` for those of the past.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import structlog

from protocols.measurements import Decoded, Measurement, Payload, to_rows
from protocols.payloads import DECODERS
from protocols.samples import DecodeError, Rows
from storage.database import Connection
from storage.queries import codecs, profiles
from storage.queries.codecs import CodecText
from storage.queries.profiles import Profile
from stream.codecs.pool import CodecPool

log = structlog.get_logger()

PAYLOAD_BYTES_MAX = 128 << 10
DECODED_BYTES_MAX = 128 << 10  # of what a decoder said, as JSON; beyond it, a note stands in its place


@dataclass(frozen=True, slots=True)
class Equipment:
    """A device's profile, the codec that the profile names (decoder `js`), and the device's keys by kind."""

    profile: Profile
    codec: CodecText | None = None
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def decoder(self) -> str:
        """The decoder's name as raw payloads carry it: a built-in one's, or `js:<codec>@<version>`."""
        return self.profile.decoder if self.codec is None else f"js:{self.codec.name}@{self.codec.version}"

    def payload(self, data: bytes, heard_at_us: int, port: int | None) -> Payload:
        """Return what the decoder is given of one message of the device."""
        options = {**self.profile.options, "mapping": self.profile.mapping}
        if (key := self.keys.get("dlms_authentication")) is not None:
            options["authentication_key"] = key
        return Payload(data, heard_at_us, port, options, self.keys.get("payload_aes"))

    def with_codec(self, codec: CodecText) -> "Equipment":
        """Return the same with another codec, whatever decoder the profile names."""
        return replace(self, codec=codec)


@dataclass(frozen=True, slots=True)
class Decoding:
    """What became of a payload: what it said and the `rows` to store, or the `error`; neither: unknown."""

    decoder: str
    decoded: Decoded | None = None
    rows: Rows | None = None
    error: DecodeError | None = None

    def to_json(self) -> bytes | None:
        """Return what `raw_payloads.decoded` keeps: data, warnings, keys of what was stored; or the error.

        `stored` has `[ts_us, quantity, channel]` of each sample, so that a later decoder's samples can take
        the place of just these.
        """
        if self.error is not None:
            return as_json({"error": self.error.reason, "message": str(self.error)[:1000]}, DECODED_BYTES_MAX)
        said: dict[str, Any] = {}
        if self.decoded is not None:
            said["data"] = self.decoded.data
            if self.decoded.warnings:
                said["warnings"] = list(self.decoded.warnings)
        stored = [key for key, _ in self.samples()]
        text = as_json({**said, "stored": stored} if said or stored else None, DECODED_BYTES_MAX)
        if text is not None and text.startswith(_LEFT_OUT):
            return as_json(
                {"left_out": "what the decoder said is too long to keep", "stored": stored}, 1 << 20
            )
        return text

    def samples(self) -> Iterator[tuple[tuple[int, int, int], float]]:
        """Yield time (microseconds), quantity and channel of each row, with its value."""
        if self.rows is not None:
            columns: Any = self.rows.columns
            keys = zip(columns["ts"], columns["quantity"], columns["channel"], strict=True)
            yield from zip(keys, columns["value"], strict=True)


async def equipment_of(connection: Connection, device_id: int) -> Equipment | None:
    """Read a device's profile, codec and key; None: it has no profile."""
    profile = await profiles.profile_of_device(connection, device_id)
    if profile is None:
        return None
    codec = None if profile.codec_id is None else await codecs.get_codec_text(connection, profile.codec_id)
    keys = await profiles.device_keys(connection, device_id)
    return Equipment(profile, codec, keys)


async def decode(pool: CodecPool, equipment: Equipment, payloads: Sequence[Payload]) -> list[Decoding]:
    """Decode payloads of devices with one profile; an error is one payload's and never its neighbours'."""
    name = equipment.decoder
    if equipment.codec is None:
        found = [_built_in(equipment.profile.decoder, payload) for payload in payloads]
    else:
        found = await pool.decode(equipment.codec, payloads, equipment.profile.mapping)
    return [
        Decoding(name, error=said)
        if isinstance(said, DecodeError)
        else stored_as(Decoding(name, said), said.measurements, payload.heard_at_us)
        for said, payload in zip(found, payloads, strict=True)
    ]


def stored_as(decoding: Decoding, measurements: Sequence[Measurement], heard_at_us: int) -> Decoding:
    """Return `decoding` with the rows of its measurements, or with the error that they cannot be stored."""
    try:
        return replace(decoding, rows=to_rows(measurements, heard_at_us))
    except DecodeError as error:
        return replace(decoding, error=error)


def _built_in(name: str, payload: Payload) -> Decoded | DecodeError:
    decoder = DECODERS.get(name)
    if decoder is None:
        return DecodeError("unknown_decoder", "decoder", f"{name!r} is not built in")
    if len(payload.data) > PAYLOAD_BYTES_MAX:
        return DecodeError(
            "too_large", "", f"{len(payload.data)} bytes, at most {PAYLOAD_BYTES_MAX} are decoded"
        )
    try:
        return decoder(payload)
    except DecodeError as error:
        return error
    except Exception as error:  # a mistake in a decoder, or options that nobody thought of
        log.exception("decoder_failed", decoder=name)
        return DecodeError("decoder_failed", "", f"{type(error).__name__}: {error}"[:200])


_LEFT_OUT = b'{"left_out"'


def as_json(value: Any, bytes_max: int) -> bytes | None:
    """Return `value` as JSON that jsonb can hold; a note where it is too long or no JSON; None for None."""
    if value is None:
        return None
    try:
        text = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        return msgspec.json.encode({"left_out": f"no JSON value: {error}"[:200]})
    if len(text) > bytes_max:
        return msgspec.json.encode({"left_out": f"{len(text)} bytes of JSON, at most {bytes_max} are kept"})
    return text.replace(b"\\u0000", b"\\ufffd")
