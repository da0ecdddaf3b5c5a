"""A bound on what a buffer holds: rows and bytes, first come first served; used by `stream.log.Publisher`."""

import asyncio
from collections import deque


class Budget:
    """Lets callers in while there is room for their rows and bytes; the others wait in line.

    What is larger than the whole budget counts as the whole of it, so that it comes through alone.
    """

    def __init__(self, rows_max: int, bytes_max: int) -> None:
        self._max = (rows_max, bytes_max)
        self._rows = 0
        self._bytes = 0
        self._line: deque[tuple[int, int, asyncio.Future[None]]] = deque()

    async def acquire(self, rows: int, size: int) -> tuple[int, int]:
        """Wait until there is room, take it, and return the rows and bytes to give back."""
        rows, size = min(rows, self._max[0]), min(size, self._max[1])
        if not self._line and self._fits(rows, size):
            self._take(rows, size)
            return rows, size
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (rows, size, place)
        self._line.append(entry)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # let in and cancelled in the same turn
                self.release(rows, size)
            else:
                self._line.remove(entry)
                self._admit()
            raise
        return rows, size

    def release(self, rows: int, size: int) -> None:
        """Give back what `acquire` returned (or several of them together) and let in who waits."""
        self._rows -= rows
        self._bytes -= size
        self._admit()

    def _fits(self, rows: int, size: int) -> bool:
        return self._rows + rows <= self._max[0] and self._bytes + size <= self._max[1]

    def _take(self, rows: int, size: int) -> None:
        self._rows += rows
        self._bytes += size

    def _admit(self) -> None:
        while self._line and self._fits(*self._line[0][:2]):
            rows, size, place = self._line.popleft()
            if not place.done():
                self._take(rows, size)
                place.set_result(None)
