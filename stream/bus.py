"""The bus between processes: calls to chargers, and live events for the API's sockets.

Used by every role to connect, by the API to call a charger wherever its socket is, by the gateway and the
jobs role to tell what happened. Names on the wire are in `docs/architecture.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.errors import NoRespondersError

from stream.errors import StreamError

log = structlog.get_logger()

RECONNECT_WAIT_S = 1
PENDING_BYTES_MAX = 8 << 20  # what is published while the server is away
# The gateway answers at the charger's deadline; this is the way there and back.
CALL_SLACK_S = 2.0


class ChargerOfflineError(StreamError):
    """No gateway holds a socket of this charger."""


class BusError(StreamError):
    """The bus itself did not carry a call or its answer."""


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of a call to a charger: its `payload`, its error `code` and `description`, or no answer."""

    outcome: Literal["result", "error", "timeout"]
    payload: dict[str, object] = field(default_factory=dict)
    code: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call as it travels to the gateway; `timeout_s` counts from its arrival there."""

    action: str
    payload: dict[str, object]
    timeout_s: float


async def connect_bus(url: str, name: str) -> Client:
    """Connect, and reconnect for ever; `name` is seen in the server's list of connections.

    Raises what nats-py raises if the server cannot be reached the first time.
    """
    bus = Client()

    async def on_error(error: Exception) -> None:
        log.warning("bus_error", name=name, error=repr(error))

    async def on_disconnect() -> None:
        if not bus.is_closed:
            log.warning("bus_disconnected", name=name, action="reconnecting")

    async def on_reconnect() -> None:
        log.info("bus_reconnected", name=name)

    await bus.connect(
        url,
        name=f"gridwire-{name}",
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_WAIT_S,
        pending_size=PENDING_BYTES_MAX,
        error_cb=on_error,
        disconnected_cb=on_disconnect,
        reconnected_cb=on_reconnect,
    )
    return bus


def call_subject(device_id: int) -> str:
    """Where the gateway that holds this charger's socket listens."""
    return f"gridwire.charger.{device_id}.call"


def commands_subject(device_id: int | str) -> str:
    """Where gateways hear that commands wait for this charger; `*` is every charger."""
    return f"gridwire.charger.{device_id}.commands"


def taken_subject(device_id: int | str) -> str:
    """Where gateways hear that a charger's sockets of older generations are over; `*` is every charger."""
    return f"gridwire.charger.{device_id}.taken"


def device_commands_subject(device_id: int | str) -> str:
    """Where the shells of meters hear that commands wait for this device; `*` is every device."""
    return f"gridwire.device.{device_id}.commands"


async def end_socket(bus: Client, device_id: int, generation: int) -> None:
    """Have any gateway that holds a socket of this charger older than `generation` close it.

    Said by a gateway that has a newer one, and where a charger is archived. A bus that is away loses it, with
    a warning: gateways look up by themselves who is archived.
    """
    await _publish(bus, taken_subject(device_id), msgspec.json.encode({"generation": generation}))


async def nudge_charger(bus: Client, device_id: int) -> None:
    """Tell the gateway that holds this charger's socket to look for its commands."""
    await _publish(bus, commands_subject(device_id))


async def nudge_device(bus: Client, device_id: int) -> None:
    """Tell the shell that can reach this device to look for its commands."""
    await _publish(bus, device_commands_subject(device_id))


async def _publish(bus: Client, subject: str, body: bytes = b"") -> None:
    """A bus that is away loses it, with a warning: whoever has the device looks by itself as well."""
    try:
        await bus.publish(subject, body)
    except (nats.errors.Error, OSError) as error:
        log.warning("nudge_lost", subject=subject, error=repr(error))


async def call_charger(
    bus: Client, device_id: int, action: str, payload: Mapping[str, object], timeout_s: float
) -> CallOutcome:
    """Send an OCPP call to a charger, wherever it is connected, and return what became of it.

    Raises `ChargerOfflineError` if no gateway holds its socket, `BusError` if the bus is away.
    """
    request = msgspec.json.encode(CallRequest(action, dict(payload), timeout_s))
    try:
        reply = await bus.request(call_subject(device_id), request, timeout=timeout_s + CALL_SLACK_S)
    except NoRespondersError as error:
        raise ChargerOfflineError(f"charger {device_id} is not connected to any gateway") from error
    except TimeoutError:
        return CallOutcome("timeout")
    except nats.errors.Error as error:
        raise BusError(f"calling charger {device_id}: {error!r}; is the bus up?") from error
    try:
        return msgspec.json.decode(reply.data, type=CallOutcome)
    except msgspec.DecodeError as error:
        raise BusError(f"the gateway of charger {device_id} answered something else: {error}") from error


async def publish_live(bus: Client, topic: str, payload: Mapping[str, object]) -> None:
    """Tell whoever listens to `gridwire.live.<topic>`. Nobody may: live events are never the record.

    A bus that is away loses it, with a warning; callers have committed by then and go on.
    """
    try:
        await bus.publish(f"gridwire.live.{topic}", msgspec.json.encode(payload))
    except (nats.errors.Error, OSError) as error:
        log.warning("live_event_lost", topic=topic, error=repr(error))
