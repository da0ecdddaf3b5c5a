"""One MQTT 3.1.1 connection on the event loop: persistent session, manual acknowledgement, reconnecting.

Used by `ingest.mqtt.ingestor` and `ingest.mqtt.commands`. paho-mqtt speaks the protocol; its socket is
watched by asyncio, so that receiving and acknowledging happen in one thread. Only opening a socket, which
blocks (name resolution, TLS), runs in another.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from paho.mqtt.client import (
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    MQTTMessageInfo,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

log = structlog.get_logger()

READS_MAX = 64  # packets read before the loop's other callbacks have their turn
MISC_INTERVAL_S = 1.0
CONNECT_TIMEOUT_S = 5.0
PORTS = {"mqtt": 1883, "mqtts": 8883}


class BrokerAwayError(ConnectionError):
    """The broker is not connected, or did not acknowledge in time; the message may still arrive."""


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """Where the broker is (`mqtt://` or `mqtts://`, credentials within) and who we are to it.

    `client_id` names the persistent session: it must stay the same over restarts and belong to one
    process at a time.
    """

    url: str
    client_id: str
    keepalive_s: int = 30
    reconnect_s_min: float = 0.2
    reconnect_s_max: float = 15.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it arrived; `generation` is the connection that it came by.

    `received_at_us` is microseconds since 1970 UTC.
    """

    topic: str
    payload: bytes
    qos: int
    packet_id: int
    generation: int
    received_at_us: int


class BrokerConnection:
    """Call `run` once; `on_message` is called on the event loop for every message of the filters."""

    def __init__(
        self,
        config: BrokerConfig,
        filters: Sequence[str],
        on_message: Callable[[Message], None],
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._filters = [(topic_filter, 1) for topic_filter in filters]
        self._deliver = on_message
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._generation = 0
        self._received = 0
        self._is_paused = False
        self._is_closing = False
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._accepted = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._lost = asyncio.Event()
        self._published: dict[int, asyncio.Future[None]] = {}
        self._last_failure = ""
        self._client = self._make_client()

    @property
    def is_connected(self) -> bool:
        """Whether the broker has let us in, so that we may publish and acknowledge."""
        return self._accepted.is_set()

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Stay connected until `stop`; `ready` is called when the broker first took the subscriptions."""
        misc = asyncio.create_task(self._keep_alive())
        try:
            await self._reconnect_until(stop, ready)
        finally:
            misc.cancel()
            self._close()

    def acknowledge(self, message: Message) -> bool:
        """Send the PUBACK, unless the connection that the message came by is gone.

        By then the broker may have given its packet id to another message (MQTT 3.1.1 section 2.3.1);
        it sends this one again, and that one is acknowledged.
        """
        if message.qos == 0 or message.generation != self._generation or not self.is_connected:
            return False
        return self._client.ack(message.packet_id, message.qos) == MQTTErrorCode.MQTT_ERR_SUCCESS

    async def publish(self, topic: str, payload: bytes, timeout_s: float) -> None:
        """Publish with QoS 1 and wait for the broker's PUBACK; `BrokerAwayError` where none came."""
        if not self.is_connected:
            raise BrokerAwayError("the MQTT broker is not connected: nothing was sent")
        info: MQTTMessageInfo = self._client.publish(topic, payload, qos=1)
        done = self._loop.create_future()
        self._published[info.mid] = done
        try:
            await asyncio.wait_for(done, timeout_s)
        except TimeoutError:
            raise BrokerAwayError(f"no PUBACK from the MQTT broker within {timeout_s} s") from None
        finally:
            self._published.pop(info.mid, None)

    def pause(self) -> None:
        """Stop reading: the broker holds what we have no room for."""
        if not self._is_paused:
            self._is_paused = True
            self._may_read.clear()
            if (sock := self._client.socket()) is not None:
                self._loop.remove_reader(sock)

    def resume(self) -> None:
        """Read again."""
        if self._is_paused:
            self._is_paused = False
            self._may_read.set()
            if (sock := self._client.socket()) is not None:
                self._loop.add_reader(sock, self._read)
                self._loop.call_soon(self._read)  # TLS may hold bytes that no selector sees

    def _make_client(self) -> Client:
        parts = urlsplit(self._config.url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError("the MQTT URL must be mqtt://[user:password@]host[:port] or mqtts://...")
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._config.client_id,
            clean_session=False,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if parts.username is not None:
            client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            client.tls_set_context(ssl.create_default_context())
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_want_write
        client.on_socket_unregister_write = self._on_want_no_write
        client.connect_async(
            parts.hostname, parts.port or PORTS[parts.scheme], keepalive=self._config.keepalive_s
        )
        return client

    # -- staying connected ---------------------------------------------------------------------------

    async def _reconnect_until(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        delay_s = self._config.reconnect_s_min
        is_first = True
        while not stop.is_set():
            if await self._connect(stop):
                delay_s = self._config.reconnect_s_min
                if is_first:
                    is_first = False
                    ready()
                await _first_of(stop.wait(), self._lost.wait())
                continue
            await _first_of(stop.wait(), asyncio.sleep(delay_s))
            delay_s = min(delay_s * 2, self._config.reconnect_s_max)

    async def _connect(self, stop: asyncio.Event) -> bool:
        """Open, log in and subscribe; False, logged once a kind of failure, where that did not work."""
        # a broker would only wait for us while there is no room for its messages
        await _first_of(self._may_read.wait(), stop.wait())
        self._lost.clear()
        try:
            await self._open()
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await _first_of(self._accepted.wait(), self._lost.wait())
        except OSError as error:  # among them TimeoutError and what TLS objects to
            self._note_failure(f"{type(error).__name__}: {error}")
            self._close()
            return False
        await _first_of(self._subscribed.wait(), self._lost.wait(), stop.wait())
        if self._subscribed.is_set():
            self._last_failure = ""
            log.info("mqtt_connected", client_id=self._config.client_id)
        return self._subscribed.is_set()

    async def _open(self) -> None:
        attempt = asyncio.ensure_future(asyncio.to_thread(self._client.reconnect))
        try:
            await asyncio.shield(attempt)
        except asyncio.CancelledError:
            await asyncio.wait([attempt])  # the thread must not outlive the loop; it has a time limit
            raise

    def _close(self) -> None:
        """Say goodbye and forget the socket here, on the loop, before anything else uses its number."""
        self._is_closing = True
        self._client.disconnect()
        self._client.loop_write()
        if (sock := self._client.socket()) is not None:
            self._unwatch(sock)
            sock.close()
        self._is_closing = False
        self._accepted.clear()
        self._subscribed.clear()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(MISC_INTERVAL_S)
            self._client.loop_misc()

    def _note_failure(self, failure: str) -> None:
        if failure != self._last_failure:
            self._last_failure = failure
            log.warning("mqtt_broker_away", failure=failure, action="retrying; devices hold their messages")

    # -- what paho tells us --------------------------------------------------------------------------

    def _on_connect(
        self, client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._note_failure(f"the broker refused the connection: {reason}")
            return
        self._generation += 1
        self._accepted.set()
        client.subscribe(self._filters)

    def _on_subscribe(
        self,
        client: Client,
        _: Any,
        packet_id: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        refused = [f[0] for f, reason in zip(self._filters, reasons, strict=False) if reason.is_failure]
        if refused:
            self._note_failure(f"the broker refused to subscribe us to {refused}")
            client.disconnect()
            return
        self._subscribed.set()

    def _on_disconnect(
        self,
        client: Client,
        _: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self.is_connected and not self._is_closing:
            self._note_failure(f"connection lost: {reason}")
        self._accepted.clear()
        self._subscribed.clear()
        self._lost.set()

    def _on_publish(
        self, client: Client, _: Any, packet_id: int, reason: ReasonCode, properties: Properties
    ) -> None:
        done = self._published.get(packet_id)
        if done is not None and not done.done():
            done.set_result(None)

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        self._received += 1
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\ufffd"  # no topic of ours: refused and counted like any other
        self._deliver(
            Message(topic, bytes(message.payload), message.qos, message.mid, self._generation, self._clock())
        )

    # -- the socket ----------------------------------------------------------------------------------
    # Opening happens in a thread; by then `_close` has ended the socket before it, so that closing and
    # everything else happen on the loop.

    def _on_socket_open(self, client: Client, _: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._watch, sock)

    def _on_socket_close(self, client: Client, _: Any, sock: Any) -> None:
        self._unwatch(sock)

    def _on_want_write(self, client: Client, _: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._watch_write, sock)

    def _on_want_no_write(self, client: Client, _: Any, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_writer(sock)

    def _watch(self, sock: Any) -> None:
        if sock.fileno() >= 0 and not self._is_paused:
            self._loop.add_reader(sock, self._read)

    def _watch_write(self, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.add_writer(sock, self._client.loop_write)

    def _unwatch(self, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)

    def _read(self) -> None:
        for _ in range(READS_MAX):
            before = self._received
            if self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or self._is_paused:
                return
            if self._received == before:
                return  # nothing left, or a packet that is no message: the selector calls again
        self._loop.call_soon(self._read)


async def _first_of(*waits: Any) -> None:
    """Wait until one of the awaitables is done, and cancel the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
