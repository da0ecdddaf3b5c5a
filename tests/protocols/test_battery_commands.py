"""Topics and messages of the immobiliser."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.battery import topics
from protocols.battery.commands import (
    DETAIL_CHARACTERS_MAX,
    Answer,
    Command,
    decode_answer,
    decode_command,
    encode_answer,
    encode_command,
)
from protocols.battery.topics import Channel
from protocols.samples import DecodeError

COMMAND_ID = UUID("8d0b5f1e-6f0b-4b1c-9d57-5d9d0f3a2b11")
serials = st.from_regex(topics.SERIAL_PATTERN, fullmatch=True)


def test_messages_are_the_documented_json() -> None:
    command = Command(COMMAND_ID, "deactivate", datetime(2026, 3, 1, 6, 30, tzinfo=UTC))
    assert encode_command(command) == (
        b'{"command_id":"8d0b5f1e-6f0b-4b1c-9d57-5d9d0f3a2b11","action":"deactivate",'
        b'"issued_at":"2026-03-01T06:30:00Z"}'
    )
    assert encode_answer(Answer(COMMAND_ID, "done", "inactive")) == (
        b'{"command_id":"8d0b5f1e-6f0b-4b1c-9d57-5d9d0f3a2b11","outcome":"done","state":"inactive"}'
    )


@pytest.mark.parametrize(
    ("payload", "reason", "field"),
    [
        (b"", "malformed", ""),
        (b"[]", "invalid", ""),
        (b'{"command_id":"7","outcome":"done","state":"active"}', "invalid", "command_id"),
        (b'{"command_id":"%s","outcome":"maybe","state":"active"}', "invalid", "outcome"),
        (b'{"command_id":"%s","outcome":"done"}', "invalid", "state"),
        (
            b'{"command_id":"%s","outcome":"done","state":"active","detail":"'
            + b"x" * (DETAIL_CHARACTERS_MAX + 1)
            + b'"}',
            "invalid",
            "detail",
        ),
        (b" " * 20_000, "too_large", ""),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_bad_answer_is_refused_by_field(payload: bytes, reason: str, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_answer(payload.replace(b"%s", str(COMMAND_ID).encode()))
    assert (caught.value.reason, caught.value.field) == (reason, field)


@given(
    st.uuids(),
    st.sampled_from(["activate", "deactivate"]),
    st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  the strategy adds the zone
)
def test_commands_survive_the_wire(command_id: UUID, action: str, issued_at: datetime) -> None:
    command = Command(command_id, action, issued_at)  # type: ignore[arg-type]  # drawn from the literals
    assert decode_command(encode_command(command)) == command


@given(st.binary())
def test_any_bytes_are_an_answer_or_a_typed_error(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_answer(payload)


@given(serials, st.sampled_from(Channel))
def test_topics_survive_building_and_parsing(serial: str, channel: Channel) -> None:
    assert topics.parse(topics.build(serial, channel)) == (serial, channel)


@pytest.mark.parametrize(
    "topic",
    [
        "", "gridwire/batteries//telemetry", "gridwire/batteries/a b/telemetry", "gridwire/batteries/a/other",
        "gridwire/batteries/a/telemetry/", "gridwire/batteries/a/telemetry\n",
        "gridwire/batteries/é/telemetry",
        f"gridwire/batteries/{'a' * 65}/telemetry", "gridwire/batteries/+/telemetry",
        "x/gridwire/batteries/a/answer",
    ],
)  # fmt: skip
def test_other_topics_are_refused(topic: str) -> None:
    with pytest.raises(DecodeError, match="topic"):
        topics.parse(topic)


@given(st.text())
def test_any_text_is_a_topic_or_a_typed_error(topic: str) -> None:
    with pytest.raises(DecodeError):
        topics.parse(topic)


@pytest.mark.parametrize("serial", ["", "a b", "a/b", "+", "#", "a" * 65, "é"])
def test_no_topic_is_built_for_a_serial_that_it_cannot_carry(serial: str) -> None:
    with pytest.raises(ValueError, match="serial"):
        topics.build(serial, Channel.COMMAND)


def test_subscriptions_name_every_battery_and_the_group() -> None:
    assert topics.subscription(Channel.ANSWER) == "gridwire/batteries/+/answer"
    assert topics.subscription(Channel.TELEMETRY, "ingest") == "$share/ingest/gridwire/batteries/+/telemetry"
    with pytest.raises(ValueError, match="group"):
        topics.subscription(Channel.TELEMETRY, "a/b")
