"""Block-wise request bodies (RFC 7959, Block1), put together within bounds of bytes, number and age.

Used by `ingest.nbiot.coap`. The key says which blocks belong together: endpoint, method, path and query.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass


class BlockError(Exception):
    """The blocks cannot be put together: 4.08, the sender begins again with the first one."""


class TooLargeError(Exception):
    """The body is longer than is taken: 4.13."""


@dataclass(slots=True)
class _Body:
    parts: bytearray
    last_start: int
    touched_us: int


class Bodies:
    """Bodies that are not whole yet. `clock` returns microseconds.

    At most `count_max` at a time, the one that was longest without a block makes room; each of at most
    `bytes_max` bytes, and forgotten `age_s` after its last block (RFC 7959 section 2.4, EXCHANGE_LIFETIME).
    """

    def __init__(
        self, clock: Callable[[], int], *, bytes_max: int = 65_536, count_max: int = 1_000, age_s: int = 247
    ) -> None:
        self._clock = clock
        self._bytes_max = bytes_max
        self._count_max = count_max
        self._age_us = age_s * 1_000_000
        self._bodies: OrderedDict[Hashable, _Body] = OrderedDict()

    def __len__(self) -> int:
        """Return how many bodies wait for more blocks."""
        return len(self._bodies)

    def feed(self, key: Hashable, start: int, payload: bytes, is_last: bool) -> bytes | None:
        """Take the block that begins at byte `start`; the body once it is whole, None before that.

        Raises `BlockError` for a block that follows none, and `TooLargeError`.
        """
        now_us = self._clock()
        self._forget(now_us)
        body = self._bodies.get(key)
        if start == 0 and (body is None or body.last_start > 0 or bytes(body.parts) != payload):
            body = _Body(bytearray(), 0, now_us)
        if body is None:
            raise BlockError(f"no block before byte {start} is known")
        if start + len(payload) > self._bytes_max:
            self._bodies.pop(key, None)
            raise TooLargeError(f"at most {self._bytes_max} bytes are taken")
        self._append(key, body, start, payload)
        body.touched_us = now_us
        self._bodies[key] = body
        self._bodies.move_to_end(key)
        if not is_last:
            if len(self._bodies) > self._count_max:
                self._bodies.popitem(last=False)
            return None
        del self._bodies[key]
        return bytes(body.parts)

    def _append(self, key: Hashable, body: _Body, start: int, payload: bytes) -> None:
        """A block that came again under another message id changes nothing."""
        if start == body.last_start and bytes(body.parts[start:]) == payload:
            return
        if start != len(body.parts):
            self._bodies.pop(key, None)
            raise BlockError(f"the block begins at byte {start}, {len(body.parts)} bytes are known")
        body.parts += payload
        body.last_start = start

    def _forget(self, now_us: int) -> None:
        while self._bodies:
            key, oldest = next(iter(self._bodies.items()))
            if now_us - oldest.touched_us < self._age_us:
                return
            del self._bodies[key]
