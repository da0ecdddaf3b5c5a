"""The process that runs codecs (`python -m stream.codecs.worker LIMITS`): a request in, an answer out.

Started by `stream.codecs.pool`. QuickJS holds the interpreter's lock while it runs, so that codecs would
stop a shell's event loop: here they stop only themselves. It ends when its input ends, also where its
parent was killed.
"""

import functools
import signal
import sys
from typing import BinaryIO

import msgspec

from protocols.mapping import MeterMapping, codec_measurements, read_mapping
from protocols.samples import DecodeError
from stream.codecs.contexts import Codec, examine
from stream.codecs.messages import (
    LENGTH_BYTES,
    Answer,
    Answers,
    Decode,
    Encode,
    Encoded,
    Request,
    frame,
    read_limits,
    requests,
)
from stream.codecs.sandbox import Limits, Outcome, Sandbox

MAPPINGS_MAX = 1000
WARNINGS_MAX = 20
TEXT_CHARACTERS_MAX = 300
# Of Python's stack here: what is nested deeper is refused, for the pool's stack is fuller than this one.
NESTING_MAX = 500


class Worker:
    """Answers requests; holds the codecs that its pool told it of and has not told it to forget."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._codecs: dict[str, Codec] = {}

    def answer(self, request: Request) -> msgspec.Struct:
        """Do what is asked; never raises for what a codec does."""
        if isinstance(request, Decode):
            return self._decode(request)
        if isinstance(request, Encode):
            return _encode(request, self._limits)
        return examine(request.source, request.examples, self._limits, request.now_us)

    def _decode(self, turn: Decode) -> Answers:
        if turn.forget is not None:
            self._codecs.pop(turn.forget, None)
        if turn.source is not None:
            self._codecs[turn.sha256] = Codec(turn.source, self._limits)
        codec = self._codecs[turn.sha256]
        outcomes = codec.decode(turn.uplinks, is_stateful=turn.is_stateful)
        texts = (turn.mappings[index] for index in turn.mapping_of)
        found = [_answer(outcome, text) for outcome, text in zip(outcomes, texts, strict=False)]
        return Answers(found, codec.is_stateful)


def _answer(outcome: Outcome, mapping_text: str) -> Answer:
    if outcome.reason:
        return Answer(reason=outcome.reason, message=outcome.message)
    errors = _texts(outcome.errors)
    if errors:
        return Answer(reason="codec_refused", message="; ".join(errors))
    warnings = _texts(outcome.warnings)
    if outcome.normal_error is not None:
        warnings.append(f"normalizeUplink: {outcome.normal_error}")
    try:
        measurements = codec_measurements(outcome.data, outcome.normalized, _mapping(mapping_text))
    except DecodeError as error:
        return Answer(reason=error.reason, message=str(error))
    return Answer(outcome.data, list(measurements), warnings)


@functools.lru_cache(MAPPINGS_MAX)
def _mapping(text: str) -> MeterMapping:
    return read_mapping(msgspec.json.decode(text))


def _texts(value: object) -> list[str]:
    """Warnings or errors of a codec as texts: most give a list of them, some one text."""
    if not value:
        return []
    items = value if isinstance(value, list) else [value]
    texts = (each if isinstance(each, str) else msgspec.json.encode(each).decode() for each in items)
    return [text[:TEXT_CHARACTERS_MAX] for text in texts][:WARNINGS_MAX]


def _encode(request: Encode, limits: Limits) -> Encoded:
    try:
        found = Sandbox(request.source, limits).encode(request.data, request.port, request.now_us)
    except DecodeError as error:
        return Encoded(reason=error.reason, message=str(error))
    errors = _texts(found.errors)
    if found.reason or errors:
        return Encoded(reason=found.reason or "codec_refused", message=found.message or "; ".join(errors))
    port = request.port if found.port is None else found.port
    try:
        payload = bytes(found.bytes)
    except (TypeError, ValueError):
        return Encoded(reason="codec_output", message="its bytes are no list of 0 to 255")
    if type(found.bytes) is not list or type(port) is not int or not 0 <= port <= 255:
        return Encoded(reason="codec_output", message="it needs a list of bytes and an fPort of 0 to 255")
    return Encoded(port, payload)


def serve(worker: Worker, reader: BinaryIO, writer: BinaryIO) -> None:
    """Say that we are here, then answer until the input ends."""
    writer.write(bytes(LENGTH_BYTES))
    writer.flush()
    while len(head := reader.read(LENGTH_BYTES)) == LENGTH_BYTES:
        body = reader.read(int.from_bytes(head, "big"))
        writer.write(frame(worker.answer(requests.decode(body))))
        writer.flush()


def main() -> None:
    """Run as a process of a pool."""
    sys.setrecursionlimit(NESTING_MAX)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal's Ctrl-C is for the parent, which closes our input
    serve(Worker(read_limits(sys.argv[1])), sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
