"""Messages under way and answers of a little while ago: what comes again is not stored again.

Used by `ingest.nbiot.intake`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_Answer = TypeVar("_Answer")

_US = 1_000_000


@dataclass(slots=True)
class _Entry(Generic[_Answer]):
    task: asyncio.Task[_Answer]
    expires_us: int
    is_heard: bool = False


class Answers(Generic[_Answer]):
    """At most `entries_max` of them; those under way are bounded by their caller. `clock`: microseconds.

    An answer that nobody was there to hear is kept `unheard_s` from the begin of its message.
    """

    def __init__(self, clock: Callable[[], int], entries_max: int, unheard_s: float) -> None:
        self._clock = clock
        self.under_way = 0
        self._entries_max = entries_max
        self._unheard_us = int(unheard_s * _US)
        self._entries: OrderedDict[bytes, _Entry[_Answer]] = OrderedDict()
        self._running: set[asyncio.Task[_Answer]] = set()

    def find(self, key: bytes) -> asyncio.Task[_Answer] | None:
        """Return the same message's task, where it is under way or its answer is remembered."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        has_failed = entry.task.done() and (entry.task.cancelled() or entry.task.exception() is not None)
        if has_failed or (entry.task.done() and entry.expires_us <= self._clock()):
            del self._entries[key]
            return None
        return entry.task

    def begin(self, key: bytes, work: Coroutine[Any, Any, _Answer]) -> asyncio.Task[_Answer]:
        """Start what answers a message; it goes on when nobody waits for it any more."""
        task = asyncio.create_task(work)
        self.under_way += 1
        self._running.add(task)
        task.add_done_callback(self._ended)
        self._entries[key] = _Entry(task, self._clock() + self._unheard_us)
        while len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)
        return task

    def given(self, key: bytes, keep_s: float) -> None:
        """Note that the answer was heard: it is remembered for `keep_s` more, from the first time on."""
        entry = self._entries.get(key)
        if entry is None or entry.is_heard:
            return
        if keep_s > 0:
            entry.is_heard = True
            entry.expires_us = self._clock() + int(keep_s * _US)
        else:
            del self._entries[key]

    async def drain(self, timeout_s: float) -> None:
        """Wait for what is under way; what is late is cancelled."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        late = list(self._running)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, task: asyncio.Task[_Answer]) -> None:
        self.under_way -= 1
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits has it too; nobody may be waiting
