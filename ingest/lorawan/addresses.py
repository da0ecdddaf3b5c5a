"""By which way a LoRaWAN device is reached: what is kept in `device_links.address`, and read from there.

Used by `ingest.lorawan` and `ingest.callbacks.lorawan`.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from protocols.lorawan.downlinks import Encoding
from protocols.lorawan.events import NetworkEvent, Server
from protocols.lorawan.topics import EventTopic

Way = Literal["mqtt", "http"]


class Address(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """`application` and `device` as the server's topic or URL has them; `webhook` is The Things Stack's.

    `prefix`, `encoding`: of ChirpStack's topics and messages.
    """

    way: Way
    application: str
    device: str
    prefix: str = ""
    encoding: Encoding = "json"
    webhook: str = ""


def read_address(address: Mapping[str, Any]) -> Address | None:
    """Return the address that a link holds; None where it is none of LoRaWAN's."""
    try:
        return msgspec.convert(address, Address)
    except msgspec.ValidationError:
        return None


def of_topic(topic: EventTopic, encoding: Encoding) -> dict[str, object]:
    """Return the address of a device whose event came by MQTT."""
    return _plain(Address("mqtt", topic.application, topic.device, topic.prefix, encoding))


def of_callback(event: NetworkEvent, encoding: Encoding, webhook: str) -> dict[str, object]:
    """Return the address of a device whose event came by HTTP.

    ChirpStack takes no downlinks by HTTP: they go over MQTT all the same. `webhook`: its id, or empty.
    """
    way: Way = "mqtt" if event.server is Server.CHIRPSTACK else "http"
    address = Address(way, event.application_id, event.device_id, encoding=encoding, webhook=webhook)
    return _plain(address)


def _plain(address: Address) -> dict[str, object]:
    plain = msgspec.to_builtins(address)
    assert isinstance(plain, dict)
    return plain
