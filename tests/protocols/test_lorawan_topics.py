"""Topics of both network servers: what is read, what is subscribed, what is published to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from protocols.lorawan import topics
from protocols.lorawan.events import Server
from protocols.lorawan.topics import EventTopic
from protocols.samples import DecodeError

APPLICATION = "17c82e96-be03-4f38-aef3-f83d48582d97"
CHIRPSTACK = f"application/{APPLICATION}/device/0101010101010101/event/up"
THINGS_STACK = "v3/app1@tenant1/devices/dev1/up"


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (CHIRPSTACK, EventTopic(Server.CHIRPSTACK, APPLICATION, "01" * 8, "up")),
        (f"eu868/{CHIRPSTACK}", EventTopic(Server.CHIRPSTACK, APPLICATION, "01" * 8, "up", "eu868")),
        (
            "application/1/device/ABCDEF0123456789/event/txack",
            EventTopic(Server.CHIRPSTACK, "1", "abcdef0123456789", "txack"),
        ),
        (THINGS_STACK, EventTopic(Server.THINGS_STACK, "app1@tenant1", "dev1", "up")),
        ("v3/app1/devices/dev1/join", EventTopic(Server.THINGS_STACK, "app1", "dev1", "join")),
        ("v3/a/devices/d/down/ack", EventTopic(Server.THINGS_STACK, "a", "d", "down/ack")),
        ("v3/a/devices/d/location/solved", EventTopic(Server.THINGS_STACK, "a", "d", "location/solved")),
    ],
)
def test_topics_that_are_read(topic: str, expected: EventTopic) -> None:
    assert topics.parse(topic) == expected
    assert topics.matches(topic)
    filters = topics.subscriptions(expected.server)
    assert sum(topic_matches_sub(each, topic) for each in filters) == 1


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "application/1/device/0101/event/up",
        "a/b/application/1/device/0101010101010101/event/up",
        "application/1/device/0101010101010101/command/down",
        "application/+/device/0101010101010101/event/up",
        "v3/app/devices/dev/up/normalized",
        "v3/app/devices/d v/up",
        "v3/app/devices/dev",
        f"{CHIRPSTACK}\n",
    ],
)
def test_topics_that_are_none(topic: str) -> None:
    assert not topics.matches(topic)
    with pytest.raises(DecodeError) as caught:
        topics.parse(topic)
    assert caught.value.reason == "topic"


@given(st.text(max_size=80))
def test_any_text_is_a_topic_or_a_decode_error(topic: str) -> None:
    with pytest.raises(DecodeError):
        topics.parse(topic)


def test_what_we_publish_does_not_come_back() -> None:
    ours = [
        topics.chirpstack_downlink(APPLICATION, "01" * 8),
        topics.chirpstack_downlink(APPLICATION, "01" * 8, "eu868"),
        topics.things_stack_downlink("app1@tenant1", "dev1"),
        topics.things_stack_downlink("app1@tenant1", "dev1", is_replacing=True),
    ]
    assert ours == [
        f"application/{APPLICATION}/device/0101010101010101/command/down",
        f"eu868/application/{APPLICATION}/device/0101010101010101/command/down",
        "v3/app1@tenant1/devices/dev1/down/push",
        "v3/app1@tenant1/devices/dev1/down/replace",
    ]
    filters = [each for server in Server for each in topics.subscriptions(server)]
    assert not any(topic_matches_sub(each, topic) for each in filters for topic in ours)


def test_groups_share_a_subscription() -> None:
    assert topics.subscriptions(Server.CHIRPSTACK, "g")[0] == "$share/g/application/+/device/+/event/+"
    with pytest.raises(ValueError, match="share group"):
        topics.subscriptions(Server.CHIRPSTACK, "a/b")


def test_no_wildcard_gets_into_a_topic_that_we_publish_to() -> None:
    for level in ("+", "#", "a/b", ""):
        with pytest.raises(ValueError, match="level of a topic"):
            topics.things_stack_downlink(level, "dev1")
