"""The MQTT topics of a battery: parsing, building and subscribing.

Used by `ingest.mqtt`, by the simulated battery and by tests. A topic is
`gridwire/batteries/<serial>/<channel>`, for raw frames also `.../raw/<protocol>`; the serial is 1 to 64 of
`A-Z a-z 0-9 _ -`, since a broker may map `/` to `.` and refuse spaces and wildcards.
"""

import re
from enum import Enum

from protocols.samples import DecodeError

PREFIX = "gridwire/batteries"
SERIAL_PATTERN = r"[A-Za-z0-9_-]{1,64}"
_TOPIC = re.compile(
    rf"{PREFIX}/({SERIAL_PATTERN})/(?:(telemetry|command|answer)|(raw)(?:/([a-z0-9_]{{1,32}}))?)", re.ASCII
)
_SERIAL = re.compile(SERIAL_PATTERN, re.ASCII)
_GROUP = re.compile(r"[^/+#\x00]{1,64}")


class Channel(Enum):
    """What a topic carries: telemetry, raw frames and answers come from the battery, commands go to it."""

    TELEMETRY = "telemetry"
    COMMAND = "command"
    ANSWER = "answer"
    RAW = "raw"


def parse(topic: str) -> tuple[str, Channel]:
    """Split a topic into serial and channel; `DecodeError` (reason `topic`) for any other text."""
    match = _TOPIC.fullmatch(topic)
    if match is None:
        raise DecodeError(
            "topic", "topic", f"{topic[:200]!r} is not {PREFIX}/<serial>/<telemetry|command|answer|raw>"
        )
    return match[1], Channel(match[2] or match[3])


def raw_protocol(topic: str) -> str | None:
    """The protocol that a raw topic names, as it stands there; None where it names none."""
    match = _TOPIC.fullmatch(topic)
    return None if match is None else match[4]


def build(serial: str, channel: Channel) -> str:
    """The topic of one battery's channel; `ValueError` for a serial that no topic can carry."""
    if _SERIAL.fullmatch(serial) is None:
        raise ValueError(f"battery serial {serial[:80]!r} must be 1 to 64 of A-Z a-z 0-9 _ -")
    return f"{PREFIX}/{serial}/{channel.value}"


def subscription(channel: Channel, group: str | None = None) -> str:
    """The filter for all batteries' `channel`, shared among the members of `group` where one is given.

    `$share/<group>/...` is MQTT 5 section 4.8.2; Mosquitto and EMQX have it for 3.1.1 clients too.
    """
    # section 4.7.1.2: `#` is the level above it too
    topic_filter = f"{PREFIX}/+/{channel.value}{'/#' if channel is Channel.RAW else ''}"
    if group is None:
        return topic_filter
    if _GROUP.fullmatch(group) is None:
        raise ValueError(f"share group {group[:80]!r} must be 1 to 64 characters without / + #")
    return f"$share/{group}/{topic_filter}"
