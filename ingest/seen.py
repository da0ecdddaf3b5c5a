"""When devices were last heard of, written together every few seconds.

Used by the shells of batteries and meters.
"""

import asyncio
from collections.abc import Callable

from ingest.holding import Holding
from protocols.timestamps import to_datetime
from storage.database import Pool
from storage.queries import devices

SEEN_INTERVAL_S = 5.0


class Seen:
    """One for each shell process. `clock` returns microseconds since 1970 UTC."""

    def __init__(self, pool: Pool, clock: Callable[[], int], holding: Holding) -> None:
        self._pool = pool
        self._clock = clock
        self._holding = holding
        self._ids: set[int] = set()  # bounded by the registry: ids of devices that it has

    def add(self, device_id: int) -> None:
        """Note that a device was heard of now."""
        self._ids.add(device_id)

    async def run(self) -> None:
        """Write `last_seen_at` of all devices heard of every `SEEN_INTERVAL_S`, until cancelled."""
        while True:
            await asyncio.sleep(SEEN_INTERVAL_S)
            await self._holding.until_there(self._write)

    async def _write(self) -> None:
        ids, self._ids = self._ids, set()
        try:
            async with self._pool.connection() as connection:
                await devices.touch_devices(connection, sorted(ids), to_datetime(self._clock()))
        except BaseException:
            self._ids |= ids
            raise
