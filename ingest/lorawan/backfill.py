"""Uplinks that never arrived, fetched again where the network server keeps them.

The Things Stack's storage integration does, ChirpStack does not. Looked for when a device's counter shows a
gap, and when somebody asks on the bus. What is found goes the way of every uplink: what was there already
falls to the key of its row.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from ingest.holding import Holding
from ingest.lorawan.addresses import read_address
from ingest.lorawan.gaps import Gaps
from ingest.lorawan.handler import NetworkEvents
from ingest.lorawan.things_stack import PAGE, StorageError
from protocols.lorawan import things_stack
from protocols.lorawan.events import Kind, NetworkEvent, Server
from protocols.samples import DecodeError
from storage.database import Pool
from storage.queries import device_links
from storage.queries.device_links import DeviceLink
from storage.queries.devices import Device
from stream.log import Publisher

log = structlog.get_logger()

SUBJECT = "gridwire.lorawan.backfill"
QUEUE_GROUP = "lorawan-backfill"
ASKED_MAX = 10_000  # devices whose last fetch is remembered
WAITING_MAX = 10_000  # devices to be looked at
TAKEN_AT_ONCE = 64
PAGES_MAX = 40  # of one device at a time


class Stored(Protocol):
    """Who keeps uplinks: `ingest.lorawan.things_stack.ThingsStackApi`."""

    def stored_uplinks(
        self, application: str, device: str, since_us: int, until_us: int
    ) -> AsyncIterator[bytes]:
        """Give lines of a page, by arrival. Raises `StorageError`."""
        ...


class BackfillRequest(msgspec.Struct, frozen=True):
    """What is sent on `gridwire.lorawan.backfill`; times in microseconds since 1970 UTC."""

    device_id: int
    since_us: int
    until_us: int


@dataclass(frozen=True, slots=True)
class BackfillConfig:
    """`delay_s`: a late uplink may still come by itself. `window_s`: of the past, at most.

    `requests_per_minute` bounds what is asked of the network server; a device is asked for again after
    `again_s` at the earliest. `slack_s`: servers' and gateways' clocks differ.
    """

    delay_s: float = 60.0
    window_s: float = 30 * 86_400.0
    requests_per_minute: float = 30.0
    again_s: float = 600.0
    slack_s: float = 120.0


@dataclass(slots=True)
class _Wanted:
    """What is to be fetched of a device; a later gap of the same device widens it."""

    application: str
    device: str
    since_us: int
    until_us: int
    due_us: int


class Backfill:
    """One for each process that talks to The Things Stack. `clock` returns microseconds since 1970 UTC."""

    def __init__(
        self,
        config: BackfillConfig,
        stored: Stored,
        *,
        events: NetworkEvents,
        publisher: Publisher,
        pool: Pool,
        bus: Client,
        clock: Callable[[], int],
        holding: Holding,
    ) -> None:
        self._config = config
        self._stored = stored
        self._events = events
        self._publisher = publisher
        self._pool = pool
        self._bus = bus
        self._clock = clock
        self._holding = holding
        self._counters = Gaps()
        self._wanted: OrderedDict[tuple[str, str], _Wanted] = OrderedDict()
        self._asked_us: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._has_work = asyncio.Event()

    def heard(self, device: Device, event: NetworkEvent) -> None:
        """Note a device's counter, and a gap where one shows."""
        if event.server is not Server.THINGS_STACK:
            return
        if event.kind is Kind.JOIN:
            self._counters.joined(device.id)
            return
        gap = self._counters.heard(device.id, event.f_cnt, event.heard_at_us)
        if gap is not None:
            log.info("lorawan_uplinks_missing", device_id=device.id, missing=gap.missing)
            self.request(event.application_id, event.device_id, gap.since_us, event.heard_at_us)

    def request(
        self, application: str, device: str, since_us: int, until_us: int, *, is_urgent: bool = False
    ) -> None:
        """Have uplinks of a device between two times of the past fetched; `is_urgent`: somebody waits."""
        key, config, now_us = (application, device), self._config, self._clock()
        since_us = min(max(since_us, now_us - round(config.window_s * 1e6)), now_us)
        until_us = min(until_us, now_us)
        delay_us = 0 if is_urgent else round(config.delay_s * 1e6)
        due_us = now_us + delay_us
        if not is_urgent and key in self._asked_us:
            due_us = max(due_us, self._asked_us[key] + round(config.again_s * 1e6))
        known = self._wanted.get(key)
        if known is not None:
            known.since_us, known.until_us = min(known.since_us, since_us), max(known.until_us, until_us)
            known.due_us = min(known.due_us, due_us)
        elif len(self._wanted) < WAITING_MAX:
            self._wanted[key] = _Wanted(application, device, since_us, until_us, due_us)
        else:
            log.warning("lorawan_backfill_full", device=device, action="ask for it later by command")
        self._has_work.set()

    async def run(self) -> None:
        """Fetch what is due, one device after the other, until cancelled."""
        subscription = await self._bus.subscribe(SUBJECT, queue=QUEUE_GROUP, cb=self._asked)
        try:
            while True:
                gap = min(self._wanted.values(), key=lambda each: each.due_us, default=None)
                wait_s = None if gap is None else (gap.due_us - self._clock()) / 1e6
                if gap is None or wait_s is None or wait_s > 0:
                    await self._wait(wait_s)
                    continue
                del self._wanted[gap.application, gap.device]
                await self._fetch(gap)
        finally:
            if not self._bus.is_closed:
                await subscription.unsubscribe()

    async def _wait(self, seconds: float | None) -> None:
        self._has_work.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._has_work.wait()
        except TimeoutError:
            return

    async def _asked(self, message: Msg) -> None:
        try:
            request = msgspec.json.decode(message.data, type=BackfillRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            await self._answer(message, {"outcome": "invalid", "detail": str(error)})
            return
        link = await self._holding.until_there(partial(self._link, request.device_id))
        address = None if link is None else read_address(link.address)
        if link is None or link.source != Server.THINGS_STACK or address is None:
            detail = "only devices behind The Things Stack have stored uplinks"
            await self._answer(message, {"outcome": "unavailable", "detail": detail})
            return
        application = address.application.partition("@")[0]
        self.request(application, address.device, request.since_us, request.until_us, is_urgent=True)
        await self._answer(message, {"outcome": "queued"})

    async def _link(self, device_id: int) -> DeviceLink | None:
        async with self._pool.connection() as connection:
            return await device_links.get_link(connection, device_id)

    async def _answer(self, message: Msg, body: dict[str, str]) -> None:
        if message.reply:
            await message.respond(msgspec.json.encode(body))

    async def _fetch(self, gap: _Wanted) -> None:
        """Fetch page after page; what fails for a while is tried again, what fails for good is told of."""
        self._asked_us[gap.application, gap.device] = self._clock()
        if len(self._asked_us) > ASKED_MAX:
            self._asked_us.popitem(last=False)
        slack_us = round(self._config.slack_s * 1e6)
        since_us, until_us, found = gap.since_us - slack_us, gap.until_us + slack_us, 0
        try:
            for _ in range(PAGES_MAX):
                count, since_us = await self._fetch_page(gap, since_us, until_us)
                found += count
                await asyncio.sleep(60.0 / self._config.requests_per_minute)
                if count < PAGE:
                    break
        except StorageError as error:
            action = "given up" if error.is_final else "trying again"
            log.warning("lorawan_backfill_failed", device=gap.device, error=str(error), action=action)
            if not error.is_final:
                self.request(gap.application, gap.device, gap.since_us, gap.until_us)
            await asyncio.sleep(60.0 / self._config.requests_per_minute)
        else:
            log.info("lorawan_backfill", device=gap.device, uplinks=found)

    async def _fetch_page(self, gap: _Wanted, since_us: int, until_us: int) -> tuple[int, int]:
        """Take one page; return how many lines it had and when the server had the last of them."""
        count, lines = 0, self._stored.stored_uplinks(gap.application, gap.device, since_us, until_us)
        async for part in _parts(lines):
            count += len(part)
            # together, so that they share frames of the log
            times = await asyncio.gather(*map(self._take, part))
            since_us = max(since_us, *times)
        return count, since_us

    async def _take(self, line: bytes) -> int:
        """Take one line; return when the server had it, 0 if that cannot be read."""
        received_at_us = self._clock()
        try:
            event = things_stack.decode_stored(line, received_at_us)
            await self._events.take(event, line, received_at_us)
        except DecodeError as error:
            await self._publisher.refuse(error, line, received_at_us=received_at_us)
            return 0
        return event.server_at_us


async def _parts(lines: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    part: list[bytes] = []
    async for line in lines:
        part.append(line)
        if len(part) == TAKEN_AT_ONCE:
            yield part
            part = []
    if part:
        yield part
