"""The MQTT topics of network servers as a family of `ingest.mqtt.ingestor`."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ingest.lorawan.addresses import of_topic
from ingest.lorawan.handler import NetworkEvents
from ingest.mqtt.connection import Message
from protocols.lorawan import chirpstack, chirpstack_protobuf, things_stack
from protocols.lorawan.downlinks import Encoding
from protocols.lorawan.events import NetworkEvent, Server
from protocols.lorawan.topics import EventTopic, matches, parse, subscriptions
from protocols.samples import DecodeError
from stream.log import Publisher


def filters(servers: Sequence[Server], share_group: str | None = None) -> list[str]:
    """Return what to subscribe to for these servers."""
    return [each for server in servers for each in subscriptions(server, share_group)]


def decode_chirpstack(
    event: str, payload: bytes, received_at_us: int, encoding: Encoding | None = None
) -> tuple[NetworkEvent, Encoding]:
    """Read an event in either encoding; where it is not said, JSON is what begins with a brace.

    No protobuf of these events does: the byte would be a group of field 15. Raises `DecodeError`.
    """
    if encoding is None:
        encoding = "json" if payload[:16].lstrip(b" \t\r\n").startswith(b"{") else "protobuf"
    module = chirpstack if encoding == "json" else chirpstack_protobuf
    return module.decode(event, payload, received_at_us), encoding


class LorawanTopics:
    """Events of ChirpStack and The Things Stack over MQTT. `beside` runs as long as the ingestor."""

    def __init__(
        self,
        events: NetworkEvents,
        publisher: Publisher,
        beside: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    ) -> None:
        self._events = events
        self._publisher = publisher
        self._beside = beside

    def owns(self, topic: str) -> bool:
        """Whether the topic is an event's of either server."""
        return matches(topic)

    async def run(self) -> None:
        """Do what is to be done beside the messages, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for each in self._beside:
                group.create_task(each())

    async def handle(self, message: Message) -> None:
        """Return once what the message says, or that it says nothing, is durable."""
        try:
            topic = parse(message.topic)
            event, encoding = _decode(topic, message)
            _check_device(topic, event)
            address = of_topic(topic, encoding)
            await self._events.take(event, message.payload, message.received_at_us, address)
        except DecodeError as error:
            await self._publisher.refuse(error, message.payload, received_at_us=message.received_at_us)


def _decode(topic: EventTopic, message: Message) -> tuple[NetworkEvent, Encoding]:
    if topic.server is Server.CHIRPSTACK:
        return decode_chirpstack(topic.event, message.payload, message.received_at_us)
    return things_stack.decode(message.payload, message.received_at_us), "json"


def _check_device(topic: EventTopic, event: NetworkEvent) -> None:
    """A broker that lets a client publish one device's topic must not let it speak for another."""
    if event.device_id != topic.device:
        raise DecodeError(
            "device", "topic", f"the topic is {topic.device[:40]}'s, the event {event.device_id}'s"
        )
    application = topic.application.partition("@")[0]
    if event.application_id and event.application_id != application:
        message = f"the topic is of application {application[:60]}, the event of {event.application_id}"
        raise DecodeError("application", "topic", message)
