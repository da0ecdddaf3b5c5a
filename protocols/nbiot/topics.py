"""The MQTT topics of meters: `gridwire/meters/<identity>/uplink` and `.../downlink`.

Used by `ingest.nbiot.mqtt`, by simulated meters and by tests. The identity is 1 to 64 of `A-Z a-z 0-9 _ -`,
since a broker may map `/` to `.` and refuse spaces and wildcards.
"""

import re
from typing import Literal

from protocols.samples import DecodeError

PREFIX = "gridwire/meters"
_IDENTITY = r"[A-Za-z0-9_-]{1,64}"
_UPLINK = re.compile(rf"{PREFIX}/({_IDENTITY})/uplink", re.ASCII)
_NAME = re.compile(_IDENTITY, re.ASCII)
_GROUP = re.compile(r"[^/+#\x00]{1,64}")


def matches(topic: str) -> bool:
    """Whether the topic is a meter's, well-formed or not."""
    return topic.startswith(f"{PREFIX}/")


def parse(topic: str) -> str:
    """The identity in an uplink's topic; `DecodeError` (reason `topic`) for any other text."""
    match = _UPLINK.fullmatch(topic)
    if match is None:
        raise DecodeError("topic", "topic", f"{topic[:200]!r} is not {PREFIX}/<identity>/uplink")
    return match[1]


def build(identity: str, channel: Literal["uplink", "downlink"]) -> str:
    """The topic of one meter's channel; `ValueError` for an identity that no topic can carry."""
    if _NAME.fullmatch(identity) is None:
        raise ValueError(f"meter identity {identity[:80]!r} must be 1 to 64 of A-Z a-z 0-9 _ -")
    return f"{PREFIX}/{identity}/{channel}"


def subscription(group: str | None = None) -> str:
    """The filter for all meters' uplinks, shared among the members of `group` where one is given."""
    topic_filter = f"{PREFIX}/+/uplink"
    if group is None:
        return topic_filter
    if _GROUP.fullmatch(group) is None:
        raise ValueError(f"share group {group[:80]!r} must be 1 to 64 characters without / + #")
    return f"$share/{group}/{topic_filter}"
