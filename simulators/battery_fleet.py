"""A fleet's batteries: which of them send the frames of a BMS, and the connections that they share.

Used by `simulators.fleet`.
"""

import random
from collections.abc import Callable, Sequence

from protocols.battery.frames import ENCODERS
from simulators.battery import Battery, BatterySettings, RawFrames
from simulators.battery_client import BatteryClient
from simulators.mqtt_link import BrokerConfig
from simulators.records import Clock, Recorder

RAW_PROTOCOLS = tuple(ENCODERS)


def raw_frames(number: int, share: float) -> RawFrames | None:
    """What the battery of this number sends instead of telemetry; None: telemetry.

    Protocols, binary and hex, topics with and without the protocol's name are dealt out evenly. Raises
    `ValueError` for a share that is not 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of batteries with raw frames is 0 to 1, not {share}")
    dealt = int(number * share)
    if dealt == int((number - 1) * share):
        return None
    protocol = RAW_PROTOCOLS[dealt % len(RAW_PROTOCOLS)]
    form = dealt // len(RAW_PROTOCOLS)
    return RawFrames(protocol, is_hex=bool(form & 1), names_protocol=not form & 2)


def battery_clients(
    settings: Sequence[BatterySettings],
    broker: BrokerConfig,
    record: Recorder,
    clock: Clock,
    dice: Callable[[str], random.Random],
    connections_max: int,
) -> list[BatteryClient]:
    """The batteries, dealt out over at most so many connections."""
    batteries = [Battery(each, dice(each.serial), clock()) for each in settings]
    links = min(len(batteries), connections_max)
    return [
        BatteryClient(batteries[link::links], broker, record, clock, dice(f"mqtt {link}"))
        for link in range(links)
    ]
