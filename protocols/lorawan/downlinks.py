"""Downlinks as network servers take them: ChirpStack's command in JSON and protobuf, The Things Stack's.

Used by `ingest.lorawan`. The caller's id of a downlink comes back in what the server tells of it:
ChirpStack's `queueItemId`, one of The Things Stack's `correlation_ids`.
"""

from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote
from uuid import UUID

import msgspec

from protocols.lorawan.chirpstack_protobuf import DOWNLINK_COMMAND
from protocols.protobuf import encode as encode_message
from protocols.timestamps import format_utc_ms

PORT_MAX = 223  # LoRaWAN 1.0.4 section 4.3.2: 224 is for tests, those above are reserved
PAYLOAD_BYTES_MAX = 242  # LoRaWAN regional parameters: N at the fastest data rate
CORRELATION_PREFIX = "gridwire:"

Encoding = Literal["json", "protobuf"]
Priority = Literal["LOWEST", "LOW", "BELOW_NORMAL", "NORMAL", "ABOVE_NORMAL", "HIGH", "HIGHEST"]


class Downlink(msgspec.Struct, frozen=True):
    """One downlink. `expires_at_us`: microseconds since 1970 UTC, where the server can be told."""

    id: UUID
    port: int
    payload: bytes
    is_confirmed: bool = False
    expires_at_us: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.port <= PORT_MAX:
            raise ValueError(f"fPort {self.port} is not 1 to {PORT_MAX}")
        if len(self.payload) > PAYLOAD_BYTES_MAX:
            raise ValueError(f"{len(self.payload)} bytes, at most {PAYLOAD_BYTES_MAX} fit into a downlink")


def chirpstack(downlink: Downlink, dev_eui: str, encoding: Encoding) -> bytes:
    """The payload of `.../command/down` (`integration.DownlinkCommand`)."""
    values: dict[str, object] = {
        "id": str(downlink.id),
        "devEui": dev_eui,
        "confirmed": downlink.is_confirmed,
        "fPort": downlink.port,
        "data": downlink.payload,
    }
    if downlink.expires_at_us is not None:
        values["expiresAt"] = format_utc_ms(downlink.expires_at_us)
    if encoding == "protobuf":
        return encode_message(values, DOWNLINK_COMMAND)
    return msgspec.json.encode(values)


def things_stack(downlinks: Sequence[Downlink], priority: Priority = "NORMAL") -> bytes:
    """The payload of `down/push` and `down/replace`, over MQTT and HTTP; none at all empties the queue."""
    return msgspec.json.encode(
        {
            "downlinks": [
                {
                    "f_port": each.port,
                    "frm_payload": each.payload,
                    "confirmed": each.is_confirmed,
                    "priority": priority,
                    "correlation_ids": [f"{CORRELATION_PREFIX}{each.id}"],
                }
                for each in downlinks
            ]
        }
    )


def things_stack_url(
    base_url: str, application: str, webhook: str, device: str, *, is_replacing: bool = False
) -> str:
    """Where The Things Stack takes downlinks over HTTP. `base_url`: scheme and host, of the settings."""
    ids = (quote(each, safe="") for each in (application, webhook, device))
    path = "/api/v3/as/applications/{}/webhooks/{}/devices/{}/down/".format(*ids)
    return f"{base_url}{path}{'replace' if is_replacing else 'push'}"


def downlink_id(correlation_ids: Sequence[str]) -> UUID | None:
    """Return the id of the downlink of ours that an event is about; None: it is about none."""
    for text in correlation_ids:
        try:
            return UUID(text.removeprefix(CORRELATION_PREFIX))
        except ValueError:
            continue
    return None
