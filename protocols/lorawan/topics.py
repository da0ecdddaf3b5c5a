"""The MQTT topics of network servers: what events come on, what to subscribe to, where downlinks go.

Used by `ingest.lorawan`. ChirpStack 4: `application/<id>/device/<eui>/event/<event>`, with one level before
it where its `event_topic` was set so (a region, mostly). The Things Stack 3:
`v3/<application>[@<tenant>]/devices/<device>/<event>`. Neither makes ids that nats-server, which maps `/` to
`.`, could not carry.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from protocols.lorawan.events import Server
from protocols.samples import DecodeError

_LEVEL = r"[A-Za-z0-9_.@-]{1,150}"
_CHIRPSTACK = re.compile(
    rf"(?:({_LEVEL})/)?application/({_LEVEL})/device/([0-9A-Fa-f]{{16}})/event/([a-z]{{1,20}})", re.ASCII
)
_THINGS_STACK = re.compile(
    rf"v3/({_LEVEL})/devices/({_LEVEL})/(up|join|down/[a-z]{{1,20}}|location/solved|service/data)", re.ASCII
)
_GROUP = re.compile(r"[^/+#\x00]{1,64}")

# `down/push` and `down/replace` are what we publish ourselves: a wildcard there would bring them back.
_FILTERS: Mapping[Server, tuple[str, ...]] = MappingProxyType(
    {
        Server.CHIRPSTACK: ("application/+/device/+/event/+", "+/application/+/device/+/event/+"),
        Server.THINGS_STACK: (
            "v3/+/devices/+/up",
            "v3/+/devices/+/join",
            "v3/+/devices/+/down/queued",
            "v3/+/devices/+/down/sent",
            "v3/+/devices/+/down/ack",
            "v3/+/devices/+/down/nack",
            "v3/+/devices/+/down/failed",
            "v3/+/devices/+/location/solved",
            "v3/+/devices/+/service/data",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class EventTopic:
    """Where an event came from. `application`: with `@<tenant>` where The Things Stack has tenants.

    `prefix`: the level before ChirpStack's `application`, or empty. `event`: the rest of the topic.
    """

    server: Server
    application: str
    device: str
    event: str
    prefix: str = ""


def parse(topic: str) -> EventTopic:
    """Read the topic of an event; `DecodeError` (reason `topic`) for any other text."""
    if match := _CHIRPSTACK.fullmatch(topic):
        prefix, application, device, event = match.groups()
        return EventTopic(Server.CHIRPSTACK, application, device.lower(), event, prefix or "")
    if match := _THINGS_STACK.fullmatch(topic):
        application, device, event = match.groups()
        return EventTopic(Server.THINGS_STACK, application, device, event)
    raise DecodeError(
        "topic", "topic", f"{topic[:200]!r} is no event topic of ChirpStack or The Things Stack"
    )


def subscriptions(server: Server, group: str | None = None) -> tuple[str, ...]:
    """The filters for all events of a server, shared among the members of `group` where one is given."""
    if group is None:
        return _FILTERS[server]
    if _GROUP.fullmatch(group) is None:
        raise ValueError(f"share group {group[:80]!r} must be 1 to 64 characters without / + #")
    return tuple(f"$share/{group}/{topic_filter}" for topic_filter in _FILTERS[server])


def matches(topic: str) -> bool:
    """Whether a topic is of one of the families that `subscriptions` asks for."""
    return _CHIRPSTACK.fullmatch(topic) is not None or _THINGS_STACK.fullmatch(topic) is not None


def chirpstack_downlink(application: str, dev_eui: str, prefix: str = "") -> str:
    """Where ChirpStack takes downlinks for a device."""
    before = f"{_checked(prefix)}/" if prefix else ""
    return f"{before}application/{_checked(application)}/device/{_checked(dev_eui)}/command/down"


def things_stack_downlink(application: str, device: str, *, is_replacing: bool = False) -> str:
    """Where The Things Stack takes downlinks for a device, behind those that wait or in their place."""
    verb = "replace" if is_replacing else "push"
    return f"v3/{_checked(application)}/devices/{_checked(device)}/down/{verb}"


def _checked(level: str) -> str:
    if re.fullmatch(_LEVEL, level, re.ASCII) is None:
        raise ValueError(f"{level[:80]!r} cannot be a level of a topic: letters, digits, _ . @ - are")
    return level
