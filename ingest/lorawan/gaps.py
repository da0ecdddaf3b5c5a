"""Gaps in frame counters as uplinks come in. Pure; used by `ingest.lorawan.backfill`.

What was missing in a day, `stream.completeness` says; this only notices a gap at once, and forgets with the
process.
"""

from collections import OrderedDict
from dataclasses import dataclass

DEVICES_MAX = 100_000  # remembered; the one heard of longest ago is forgotten first
BACKWARD_MAX = 64  # a counter this little behind the last is late, one further behind a new session's


@dataclass(frozen=True, slots=True)
class Gap:
    """`missing` counters lie between the last one, heard at `since_us`, and the one that showed the gap."""

    missing: int
    since_us: int


class Gaps:
    """The last counter of each device."""

    def __init__(self) -> None:
        self._last: OrderedDict[int, tuple[int, int]] = OrderedDict()

    def joined(self, device_id: int) -> None:
        """A new session of the device begins: its counter starts at 0."""
        self._last.pop(device_id, None)

    def heard(self, device_id: int, counter: int, heard_at_us: int) -> Gap | None:
        """Note a counter; returns the gap before it, None where there is none or no last counter is known."""
        last = self._last.get(device_id)
        if last is not None and 0 <= last[0] - counter <= BACKWARD_MAX:
            return None  # late, or the same once more
        self._last[device_id] = (counter, heard_at_us)
        self._last.move_to_end(device_id)
        if len(self._last) > DEVICES_MAX:
            self._last.popitem(last=False)
        if last is None or counter <= last[0] + 1:
            return None
        return Gap(counter - last[0] - 1, last[1])
