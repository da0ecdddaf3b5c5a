"""What a network server tells of a LoRaWAN device, in one form for all servers.

Made by `protocols.lorawan.chirpstack` and `protocols.lorawan.things_stack`, used by `ingest.lorawan`.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec

from protocols.samples import DecodeError
from protocols.timestamps import TimestampError, parse_timestamp

EVENT_BYTES_MAX = 256 << 10
GATEWAYS_MAX = 64
CORRELATION_IDS_MAX = 32
# A gateway without a set clock, or with a wrong one, must not date a reading. One that lost its way to the
# server keeps what it heard: days are possible.
GATEWAY_AHEAD_US_MAX = 60_000_000
GATEWAY_BEHIND_US_MAX = 7 * 86_400_000_000
_SET_SINCE_US = 0  # servers write a time that is not set as the year 1

_EUI = re.compile(r"[0-9a-fA-F]{16}", re.ASCII)
# Of what servers allow in ids, and of what a topic and a path can carry.
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}", re.ASCII)


class Server(StrEnum):
    """The network server; also the `source` of what came through it."""

    CHIRPSTACK = "chirpstack"
    THINGS_STACK = "things_stack"


class Kind(StrEnum):
    """What happened. `ACK` and `NACK` are the device's word on a downlink, `SENT` a gateway's."""

    UPLINK = "uplink"
    JOIN = "join"
    STATUS = "status"
    ACK = "ack"
    NACK = "nack"
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    LOG = "log"
    LOCATION = "location"
    INTEGRATION = "integration"


class Gateway(msgspec.Struct, frozen=True):
    """Best reception by one gateway."""

    id: str
    rssi_dbm: float
    snr_db: float


class Location(msgspec.Struct, frozen=True):
    """WGS 84."""

    latitude_deg: float
    longitude_deg: float
    altitude_m: float = 0.0


class NetworkEvent(msgspec.Struct, frozen=True):
    """One event. Missing is not unknown: what a server left out is zero, false or empty.

    `dev_eui`: lower-case hexadecimal; empty where the server named the device by its id only.
    `heard_at_us`: microseconds since 1970 UTC, by a gateway's clock where there is one that can be right;
    `server_at_us`: by the server's clock, or ours where it said no time.
    `application_id`, `tenant_id`, `device_id`: the server's names, for the way back. `data_rate`: `SF7BW125`,
    `FSK50000`, `LRFHSS137`, or the server's index as `DR5`. `correlation_ids`: of downlinks that it is about.
    `decoded`: what the server's own codec said. `failure`: why a downlink or a join came to nothing.
    """

    server: Server
    kind: Kind
    heard_at_us: int
    server_at_us: int
    dev_eui: str = ""
    device_id: str = ""
    application_id: str = ""
    tenant_id: str = ""
    f_port: int = 0
    f_cnt: int = 0
    payload: bytes = b""
    is_confirmed: bool = False
    is_adr: bool = False
    is_simulated: bool = False
    data_rate: str = ""
    frequency_hz: int = 0
    gateways: tuple[Gateway, ...] = ()
    margin_db: int | None = None
    battery_pct: float | None = None
    is_mains_powered: bool = False
    location: Location | None = None
    correlation_ids: tuple[str, ...] = ()
    decoded: Any = None
    failure: str | None = None


def dev_eui(text: str, field: str) -> str:
    """Return an EUI-64 as 16 lower-case hexadecimal digits. Raises `DecodeError` for what is none."""
    if _EUI.fullmatch(text) is None:
        raise DecodeError("dev_eui", field, f"{text[:40]!r} is not 16 hexadecimal digits")
    return text.lower()


def identifier(text: str, field: str) -> str:
    """Return an id that topics and paths can carry, or the empty text. Raises `DecodeError` for another."""
    if text and _ID.fullmatch(text) is None:
        raise DecodeError("identifier", field, f"{text[:40]!r} is no id: letters, digits, _ . - are")
    return text


def deduplicated(gateways: Iterable[Gateway]) -> tuple[Gateway, ...]:
    """Return each gateway once, by its best antenna, the best gateway first; `GATEWAYS_MAX` at most."""
    best: dict[str, Gateway] = {}
    for each in gateways:
        known = best.get(each.id)
        if known is None or _quality(each) > _quality(known):
            best[each.id] = each
    return tuple(sorted(best.values(), key=_quality, reverse=True)[:GATEWAYS_MAX])


def server_time(times: Iterable[tuple[str, str]], received_at_us: int) -> int:
    """Return the first time that a server set, of (field, text) in the given order, or else ours.

    Raises `DecodeError` for a text that is no time.
    """
    for field, text in times:
        if text and (us := parse_timestamp(text, field)) > _SET_SINCE_US:
            return us
    return received_at_us


def heard_at(gateway_times: Iterable[str], server_at_us: int) -> int:
    """Return the first gateway's time that can be right, or else the server's."""
    for text in gateway_times:
        try:
            us = parse_timestamp(text)
        except TimestampError:
            continue
        if -GATEWAY_BEHIND_US_MAX <= us - server_at_us <= GATEWAY_AHEAD_US_MAX:
            return us
    return server_at_us


def _quality(gateway: Gateway) -> tuple[float, float, str]:
    # NaN compares with nothing and would spoil the order
    snr = gateway.snr_db if gateway.snr_db == gateway.snr_db else float("-inf")
    rssi = gateway.rssi_dbm if gateway.rssi_dbm == gateway.rssi_dbm else float("-inf")
    return snr, rssi, gateway.id
