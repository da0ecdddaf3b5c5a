"""How many messages of one sender are taken a minute.

Used by `ingest.nbiot.intake`.
"""

from collections import Counter
from collections.abc import Callable

_MINUTE_US = 60_000_000


class Rates:
    """Counts by sender within the clock's minute; `clock` returns microseconds.

    Bounded by the senders of one minute: known devices, or one for all.
    """

    def __init__(self, clock: Callable[[], int], per_minute: int) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._minute = 0
        self._counts: Counter[int] = Counter()

    def allows(self, sender: int) -> bool:
        """Count one message; False: it is one too many."""
        minute = self._clock() // _MINUTE_US
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
        self._counts[sender] += 1
        return self._counts[sender] <= self._per_minute
