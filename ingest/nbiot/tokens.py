"""Devices' secrets, remembered for a while: the database is asked once a device and `ttl_s`.

Used by `ingest.nbiot.intake`. A changed token is seen that much later.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping

from storage.database import Pool
from storage.queries import profiles


class DeviceKeys:
    """Remembers at most `entries_max` devices; `clock` returns microseconds."""

    def __init__(
        self, pool: Pool, clock: Callable[[], int], *, ttl_s: float = 10.0, entries_max: int = 50_000
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._ttl_us = int(ttl_s * 1_000_000)
        self._entries_max = entries_max
        self._known: OrderedDict[int, tuple[Mapping[str, bytes], int]] = OrderedDict()

    async def of(self, device_id: int) -> Mapping[str, bytes]:
        """Return a device's secrets by kind; see `storage.queries.profiles.device_keys`.

        Raises what the database raises when it is away and the answer is not remembered.
        """
        found = self._known.get(device_id)
        if found is not None and self._clock() < found[1]:
            return found[0]
        async with self._pool.connection() as connection:
            keys = await profiles.device_keys(connection, device_id)
        self._known[device_id] = (keys, self._clock() + self._ttl_us)
        self._known.move_to_end(device_id)
        if len(self._known) > self._entries_max:
            self._known.popitem(last=False)
        return keys
