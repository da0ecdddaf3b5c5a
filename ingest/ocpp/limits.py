"""Rates that a charger or an address may not exceed; used by `ingest.ocpp.link` and the handshake."""

from collections import OrderedDict
from collections.abc import Callable

_US = 1_000_000


WAIT_S_MAX = 60.0  # a charger that is not read for longer would seem dead


class TokenBucket:
    """`rate_per_s` sustained, `burst` at once. What came cannot be unread, so it may run into debt."""

    __slots__ = ("_at_us", "_burst", "_debt_max", "_per_us", "_tokens")

    def __init__(self, rate_per_s: float, burst: int, now_us: int) -> None:
        self._per_us = rate_per_s / _US
        self._burst = float(burst)
        self._debt_max = rate_per_s * WAIT_S_MAX
        self._tokens = self._burst
        self._at_us = now_us

    def take(self, now_us: int) -> float:
        """Count one; returns the seconds to wait before more may come (0: none), at most `WAIT_S_MAX`."""
        tokens = self._tokens + (now_us - self._at_us) * self._per_us
        self._tokens = tokens = (tokens if tokens < self._burst else self._burst) - 1
        self._at_us = now_us
        if tokens >= 0:
            return 0.0
        self._tokens = max(tokens, -self._debt_max)
        return -self._tokens / self._per_us / _US


class AddressLimit:
    """Connections that an address may open: a bucket each, for the addresses seen last.

    `clock` returns microseconds. Many chargers may share an address (a site's router, a load balancer).
    """

    def __init__(
        self, per_s: float, burst: int, clock: Callable[[], int], *, addresses_max: int = 10_000
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._addresses_max = addresses_max
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()  # tokens, as of when

    def admits(self, address: str) -> bool:
        """Whether the address may connect now; counts it if so."""
        now_us = self._clock()
        tokens, at_us = self._buckets.get(address, (float(self._burst), now_us))
        tokens = min(float(self._burst), tokens + (now_us - at_us) / _US * self._per_s)
        is_admitted = tokens >= 1
        self._buckets[address] = (tokens - 1 if is_admitted else tokens, now_us)
        self._buckets.move_to_end(address)
        if len(self._buckets) > self._addresses_max:
            self._buckets.popitem(last=False)
        return is_admitted
