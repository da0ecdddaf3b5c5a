"""Chargers' Basic passwords against their argon2 hashes, off the event loop; used by the handshake.

Argon2 is slow by design, and after an outage all chargers come back at once: a password that was right
is remembered (as a keyed digest, in memory only) for a while, and equal questions are asked once.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}){8,20}")
_MINUTE_US = 60_000_000


class PasswordsBusyError(RuntimeError):
    """As many passwords wait to be checked as may."""


class PasswordChecker:
    """`key` is fresh random bytes (16 or more); `clock` returns microseconds."""

    def __init__(
        self,
        key: bytes,
        clock: Callable[[], int],
        *,
        ttl_s: float = 600.0,
        entries_max: int = 20_000,
        threads: int = 2,
        waiting_max: int = 500,
    ) -> None:
        self._key = key
        self._clock = clock
        self._ttl_us = int(ttl_s * 1_000_000)
        self._entries_max = entries_max
        self._right: OrderedDict[bytes, int] = OrderedDict()
        self._asking: dict[bytes, asyncio.Future[bool]] = {}
        self._waiting_max = waiting_max
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="argon2")

    async def check(self, secret_hash: str, password: bytes) -> bool:
        """Whether the password, or its hex form, is what was hashed (OCPP 1.6 security, A00.FR.204).

        Raises `PasswordsBusyError`.
        """
        question = blake2b(secret_hash.encode() + b"\0" + password, key=self._key, digest_size=16).digest()
        until_us = self._right.get(question)
        if until_us is not None and self._clock() < until_us:
            return True
        asking = self._asking.get(question)
        if asking is None:
            if len(self._asking) >= self._waiting_max:
                raise PasswordsBusyError("too many passwords wait to be checked; try again")
            loop = asyncio.get_running_loop()
            asking = loop.run_in_executor(self._threads, _is_right, secret_hash, password)
            self._asking[question] = asking
            asking.add_done_callback(lambda _: self._asking.pop(question))
        is_right = await asyncio.shield(asking)
        if is_right:
            self._right[question] = self._clock() + self._ttl_us
            if len(self._right) > self._entries_max:
                self._right.popitem(last=False)
        return is_right

    def close(self) -> None:
        """Let go of the threads; checks under way fail."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _is_right(secret_hash: str, password: bytes) -> bool:
    """The key is configured as hex and sent as text, as hex, or decoded: chargers do all three."""
    hasher = PasswordHasher()
    return any(_verify(hasher, secret_hash, form) for form in _forms(password))


def _forms(password: bytes) -> list[bytes]:
    if _HEX.fullmatch(password):
        return [password, bytes.fromhex(password.decode())]
    if 8 <= len(password) <= 20:
        return [password, password.hex().upper().encode(), password.hex().encode()]
    return [password]


def _verify(hasher: PasswordHasher, secret_hash: str, password: bytes) -> bool:
    try:
        return hasher.verify(secret_hash, password)
    except (VerificationError, InvalidHashError):
        return False


class Lockout:
    """Ends brute force: wrong credentials are counted by address, and by charger whatever the address.

    Where a charger connected from last, somebody else's guesses do not lock it out. `clock` returns
    microseconds.
    """

    def __init__(
        self, per_minute: float, burst: int, clock: Callable[[], int], *, chargers_max: int = 20_000
    ) -> None:
        self._addresses = FailureLimit(per_minute, burst, clock)
        self._chargers = FailureLimit(per_minute, burst, clock, addresses_max=chargers_max)
        self._homes: OrderedDict[str, str] = OrderedDict()  # charger to the address it connected from
        self._chargers_max = chargers_max

    def is_locked(self, identity: str, address: str) -> bool:
        """Whether credentials for this charger from this address must wait."""
        if self._addresses.is_exhausted(address):
            return True
        return self._homes.get(identity) != address and self._chargers.is_exhausted(identity)

    def failed(self, identity: str, address: str) -> None:
        """Count wrong credentials."""
        self._addresses.failed(address)
        self._chargers.failed(identity)

    def succeeded(self, identity: str, address: str) -> None:
        """Remember where the charger is."""
        self._homes[identity] = address
        self._homes.move_to_end(identity)
        if len(self._homes) > self._chargers_max:
            self._homes.popitem(last=False)


class FailureLimit:
    """Failures a key (an address, a charger) may have: a token bucket each, for those seen last."""

    def __init__(
        self, per_minute: float, burst: int, clock: Callable[[], int], *, addresses_max: int = 10_000
    ) -> None:
        self._per_us = per_minute / _MINUTE_US
        self._burst = burst
        self._clock = clock
        self._addresses_max = addresses_max
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()  # tokens, as of when

    def is_exhausted(self, address: str) -> bool:
        """Whether the address must wait before it may try again."""
        return self._tokens(address) < 1

    def failed(self, address: str) -> None:
        """Count a wrong password."""
        self._buckets[address] = (max(0.0, self._tokens(address) - 1), self._clock())
        self._buckets.move_to_end(address)
        if len(self._buckets) > self._addresses_max:
            self._buckets.popitem(last=False)

    def _tokens(self, address: str) -> float:
        tokens, at_us = self._buckets.get(address, (float(self._burst), 0))
        return min(float(self._burst), tokens + (self._clock() - at_us) * self._per_us)
