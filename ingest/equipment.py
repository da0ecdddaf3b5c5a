"""What decodes a device's payloads, remembered for a while: the database is asked once a device and `ttl_s`.

Used by `ingest.uplinks`. A changed profile is seen that much later.
"""

from collections import OrderedDict
from collections.abc import Callable

from storage.database import Pool
from storage.queries.devices import Device
from stream.decoding import Equipment, equipment_of


class EquipmentCache:
    """Remembers at most `entries_max` devices; `clock` returns microseconds."""

    def __init__(
        self, pool: Pool, clock: Callable[[], int], *, ttl_s: float = 10.0, entries_max: int = 50_000
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._ttl_us = int(ttl_s * 1_000_000)
        self._entries_max = entries_max
        self._known: OrderedDict[int, tuple[Equipment | None, int]] = OrderedDict()

    async def of(self, device: Device) -> Equipment | None:
        """Return what decodes this device's payloads; None: it has no profile.

        Raises what the database raises when it is away and the answer is not remembered.
        """
        found = self._known.get(device.id)
        if found is not None and self._clock() < found[1]:
            return found[0]
        async with self._pool.connection() as connection:
            equipment = await equipment_of(connection, device.id)
        self._known[device.id] = (equipment, self._clock() + self._ttl_us)
        self._known.move_to_end(device.id)
        if len(self._known) > self._entries_max:
            self._known.popitem(last=False)
        return equipment
