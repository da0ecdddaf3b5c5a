"""Virtual time for a device model: named timers that run in the order in which they fall due.

Used by the simulated charger. A timer runs at its own due time, however late `run_until` is called, so
what a device does depends on its seed and its messages, not on how often it is looked at.
"""

from collections.abc import Callable

US_PER_S = 1_000_000


class Timers:
    """At most one timer of each name; `now_us` is the virtual time, microseconds since 1970 UTC."""

    def __init__(self, now_us: int) -> None:
        self.now_us = now_us
        self._due: dict[str, tuple[int, Callable[[], None]]] = {}

    def set(self, name: str, delay_s: float, run: Callable[[], None]) -> None:
        """Run once, `delay_s` seconds from now; replaces the timer of that name."""
        self._due[name] = (self.now_us + max(1, round(delay_s * US_PER_S)), run)

    def set_at(self, name: str, at_us: int, run: Callable[[], None]) -> None:
        """Run once at `at_us`, or at once if that is past; replaces the timer of that name."""
        self._due[name] = (max(at_us, self.now_us), run)

    def cancel(self, name: str) -> None:
        """Forget the timer, if there is one."""
        self._due.pop(name, None)

    def holds(self, name: str) -> bool:
        """Whether a timer of that name waits."""
        return name in self._due

    @property
    def next_due_us(self) -> int | None:
        """When the next timer falls due; None if none waits."""
        return min((due for due, _ in self._due.values()), default=None)

    def run_until(self, now_us: int) -> None:
        """Run what is due by `now_us`, each at its own time, then let it be `now_us`."""
        while self._due:
            name = min(self._due, key=lambda name: (self._due[name][0], name))
            due_us, run = self._due[name]
            if due_us > now_us:
                break
            del self._due[name]
            self.now_us = max(self.now_us, due_us)
            run()
        self.now_us = max(self.now_us, now_us)
