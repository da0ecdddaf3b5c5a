"""What the database says of devices, remembered for a while: it is asked once a device and `ttl_s`.

Used by `ingest.uplinks` (profiles and codecs) and `ingest.nbiot` (secrets). A change is seen that much later.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from storage.database import Connection, Pool

_Fact = TypeVar("_Fact")


class Remembered(Generic[_Fact]):
    """Facts of at most `entries_max` devices, asked by `ask`; `clock` returns microseconds."""

    def __init__(
        self,
        ask: Callable[[Connection, int], Awaitable[_Fact]],
        pool: Pool,
        clock: Callable[[], int],
        *,
        ttl_s: float = 10.0,
        entries_max: int = 50_000,
    ) -> None:
        self._ask = ask
        self._pool = pool
        self._clock = clock
        self._ttl_us = int(ttl_s * 1_000_000)
        self._entries_max = entries_max
        self._known: OrderedDict[int, tuple[_Fact, int]] = OrderedDict()

    async def of(self, device_id: int) -> _Fact:
        """Return what is known of a device.

        Raises what the database raises when it is away and the answer is not remembered.
        """
        found = self._known.get(device_id)
        if found is not None and self._clock() < found[1]:
            return found[0]
        async with self._pool.connection() as connection:
            fact = await self._ask(connection, device_id)
        self._known[device_id] = (fact, self._clock() + self._ttl_us)
        self._known.move_to_end(device_id)
        if len(self._known) > self._entries_max:
            self._known.popitem(last=False)
        return fact
