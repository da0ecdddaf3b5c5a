"""The immobiliser's JSON messages: a command to a battery and the battery's answer.

Used by `ingest.mqtt.commands` (encodes commands, decodes answers), by the simulated battery (the other
way round) and by tests. `docs/battery-telemetry.md` documents both for people who build batteries.
"""

from datetime import datetime
from typing import Annotated, Literal, TypeVar
from uuid import UUID

import msgspec

from protocols.battery.errors import decode_error
from protocols.samples import DecodeError

MESSAGE_BYTES_MAX = 16_384
DETAIL_CHARACTERS_MAX = 1_000
_NO_NUL = r"\A[^\x00]*\Z"  # PostgreSQL's text and jsonb cannot hold it

Action = Literal["activate", "deactivate"]
State = Literal["active", "inactive"]

# What the battery's state is after an action that it has carried out.
STATE_AFTER: dict[Action, State] = {"activate": "active", "deactivate": "inactive"}


class Command(msgspec.Struct, frozen=True):
    """An order to a battery; carrying it out twice is the same as once, known by `command_id`.

    `issued_at` is aware UTC time.
    """

    command_id: UUID
    action: Action
    issued_at: Annotated[datetime, msgspec.Meta(tz=True)]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a battery made of a command. `state` is the battery's, after the command."""

    command_id: UUID
    outcome: Literal["done", "refused"]
    state: State
    detail: Annotated[str, msgspec.Meta(max_length=DETAIL_CHARACTERS_MAX, pattern=_NO_NUL)] | None = None


_Message = TypeVar("_Message", Command, Answer)
_encoder = msgspec.json.Encoder()
_commands = msgspec.json.Decoder(Command)
_answers = msgspec.json.Decoder(Answer)


def encode_command(command: Command) -> bytes:
    """The payload for `gridwire/batteries/<serial>/command`."""
    return _encoder.encode(command)


def encode_answer(answer: Answer) -> bytes:
    """The payload for `gridwire/batteries/<serial>/answer`."""
    return _encoder.encode(answer)


def decode_command(payload: bytes) -> Command:
    """Read a command; `DecodeError` names the field that is wrong."""
    return _decode(_commands, payload)


def decode_answer(payload: bytes) -> Answer:
    """Read an answer; `DecodeError` names the field that is wrong."""
    return _decode(_answers, payload)


def _decode(decoder: "msgspec.json.Decoder[_Message]", payload: bytes) -> _Message:
    if len(payload) > MESSAGE_BYTES_MAX:
        raise DecodeError("too_large", "", f"{len(payload)} bytes, at most {MESSAGE_BYTES_MAX} are read")
    try:
        return decoder.decode(payload)
    except (ValueError, RecursionError) as error:
        raise decode_error(error) from None
