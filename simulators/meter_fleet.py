"""A fleet's meters: who they are, what they are made of, and the clients that carry them.

Used by `simulators.fleet`; `meter_identities` by whoever registers a fleet before it starts.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from simulators.faults import Faults
from simulators.lorawan_client import LorawanClient
from simulators.meter import Meter, MeterSettings
from simulators.meter_makes import MAKES, Make
from simulators.mqtt_link import BrokerConfig
from simulators.nbiot_client import UDP_ACK, NbiotClient, NbiotConfig
from simulators.network_server import Server
from simulators.records import Clock, MeterRow, Recorder

DEV_EUI_PREFIX = "70b3d57ed0"
TYPE_ALLOCATION_CODE = "35693803"  # of the simulated meters' IMEIs
KEY_BYTES = 16
LORAWAN_MAKES = tuple(make for make in MAKES.values() if make.carrier == "lorawan")
NBIOT_MAKES = tuple(make for make in MAKES.values() if make.carrier == "nbiot")
SERVERS = tuple(Server)

Way = Literal["lorawan", "coap", "udp"]
Dice = Callable[[str], random.Random]


@dataclass(frozen=True, slots=True)
class MeterIdentity:
    """One meter. `identity`: DevEUI or IMEI. `server`: the network server in front of it, with LoRaWAN.

    `key`: the AES-128 key of its payloads, where its make has one.
    """

    identity: str
    make: Make
    way: Way
    server: Server | None = None
    key: bytes | None = field(default=None, repr=False)

    def profile(self, interval_s: int) -> dict[str, object]:
        """The device profile that reads it; see `Make.profile`."""
        profile = self.make.profile(interval_s)
        if self.make.carrier == "nbiot":
            # what a datagram is answered with; CoAP takes no notice of it
            profile["options"] = {**profile["options"], "udp_ack_hex": UDP_ACK.hex()}
        return profile


def meter_identities(lorawan: int, nbiot: int) -> list[MeterIdentity]:
    """All meters of a fleet of this size: makes, servers and ways are dealt out evenly over the numbers."""
    return [
        *(_lorawan_identity(number) for number in range(lorawan)),
        *(_nbiot_identity(number) for number in range(nbiot)),
    ]


def imei(number: int) -> str:
    """15 digits, the last of them the check digit (3GPP TS 23.003 annex B)."""
    digits = f"{TYPE_ALLOCATION_CODE}{number:06}"
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(digits)]
    return digits + str(-sum(each // 10 + each % 10 for each in doubled) % 10)


def _lorawan_identity(number: int) -> MeterIdentity:
    dev_eui = f"{DEV_EUI_PREFIX}{number + 1:06x}"
    make = LORAWAN_MAKES[number % len(LORAWAN_MAKES)]
    server = SERVERS[number // len(LORAWAN_MAKES) % len(SERVERS)]
    key = sha256(f"simulated key {dev_eui}".encode()).digest()[:KEY_BYTES] if make.needs_key else None
    return MeterIdentity(dev_eui, make, "lorawan", server, key)


def _nbiot_identity(number: int) -> MeterIdentity:
    make = NBIOT_MAKES[number % len(NBIOT_MAKES)]
    way: Way = "udp" if number // len(NBIOT_MAKES) % 2 else "coap"
    return MeterIdentity(imei(number + 1), make, way)


@dataclass(frozen=True, slots=True)
class MeterFleet:
    """What the clients of a fleet's meters are made of; `states`: what earlier runs had acknowledged."""

    identities: Sequence[MeterIdentity]
    broker: BrokerConfig
    nbiot: NbiotConfig
    states: Mapping[str, MeterRow]
    faults: Faults
    interval_s: int
    nbiot_readings: int
    speed: float

    def clients(self, record: Recorder, clock: Clock, dice: Dice) -> list[LorawanClient | NbiotClient]:
        """A client for each network server that has meters, and one for all meters of NB-IoT."""
        ways: dict[object, list[Meter]] = {}
        for each in self.identities:
            ways.setdefault(each.server or each.way, []).append(self._meter(each, clock, dice))
        clients: list[LorawanClient | NbiotClient] = [
            LorawanClient(ways[server], server, self.broker, record, clock, dice(f"lorawan {server.value}"))
            for server in SERVERS
            if server in ways
        ]
        coap, udp = ways.get("coap", []), ways.get("udp", [])
        if coap or udp:
            clients.append(NbiotClient(coap, udp, self.nbiot, record, clock, dice("nbiot")))
        return clients

    def _meter(self, identity: MeterIdentity, clock: Clock, dice: Dice) -> Meter:
        settings = MeterSettings(
            identity.identity,
            identity.make,
            interval_s=self.interval_s,
            readings_per_message=self.nbiot_readings if identity.make.carrier == "nbiot" else 1,
            speed=self.speed,
            key=identity.key,
            state=self.states.get(identity.identity),
            faults=self.faults,
        )
        return Meter(settings, dice(identity.identity), clock())
