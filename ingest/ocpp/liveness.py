"""Whether a charger still lives, judged by what it does; used by `ingest.ocpp.link`.

Any frame is a sign of life (field note R12). Chargers differ: some never answer a ping, some beat at an
interval of their own, whatever they were told. Pure: times are passed in, microseconds of one clock.
"""

from dataclasses import dataclass

BEATS = 3  # gaps between heartbeats from which a charger's rhythm is known
SILENT_BEATS = 3  # a charger that is silent for fewer of its own intervals is never given up
PING_BACKOFF_MAX = 4  # doublings, for a charger that does not answer pings
INTERVAL_S_MAX = 86_400.0
_US = 1_000_000


@dataclass(slots=True)
class Liveness:
    """Signs of life of one socket, all times in microseconds.

    `ping_s`: a charger that is silent for so long is pinged. `idle_s`: one whose rhythm is not known is
    given up after so long; one whose rhythm is known after three of its intervals, but not before
    `idle_s_min`. A ping without a pong only makes pings rarer: it never ends a connection.
    """

    ping_s: float
    idle_s: float
    idle_s_min: float
    heard_us: int
    pinged_us: int = 0
    unanswered: int = 0
    _beat_us: int | None = None
    _gaps_us: tuple[int, ...] = ()  # the last; an empty deque would be 760 bytes for each socket

    def beat(self, now_us: int) -> None:
        """The charger sent a Heartbeat: three gaps between them tell its interval."""
        if self._beat_us is not None and now_us - self._beat_us <= INTERVAL_S_MAX * _US:
            self._gaps_us = (*self._gaps_us, now_us - self._beat_us)[-BEATS:]
        self._beat_us = now_us

    def forget(self) -> None:
        """The charger was told another interval: what was known of its rhythm is over."""
        self._gaps_us = ()
        self._beat_us = None

    def ponged(self) -> None:
        """The charger answers pings."""
        self.unanswered = 0

    def pinged(self, now_us: int) -> None:
        """A ping went out."""
        self.pinged_us = now_us
        self.unanswered += 1

    @property
    def interval_s(self) -> float | None:
        """The charger's own heartbeat interval (the longest of the last gaps), or None."""
        return max(self._gaps_us) / _US if len(self._gaps_us) == BEATS else None

    @property
    def silence_s_max(self) -> float:
        """How long the charger may be silent."""
        interval_s = self.interval_s
        return self.idle_s if interval_s is None else max(self.idle_s_min, SILENT_BEATS * interval_s)

    def silent_s(self, now_us: int) -> float:
        """How long no frame came."""
        return (now_us - self.heard_us) / _US

    def is_dead(self, now_us: int) -> bool:
        """Whether the charger is to be given up."""
        return self.silent_s(now_us) >= self.silence_s_max

    def is_ping_due(self, now_us: int) -> bool:
        """Whether the charger is to be pinged: rarely where it does not answer, not at all where it talks."""
        wait_s = self.ping_s * 2 ** min(max(0, self.unanswered - 1), PING_BACKOFF_MAX)
        since_ping_s = (now_us - self.pinged_us) / _US
        return self.silent_s(now_us) >= self.ping_s and since_ping_s >= wait_s
