"""External identity to device, for every shell: cached, bounded, and with the policy for unknown ones.

Used by the OCPP gateway and the shells of batteries and meters. The database is asked once per device and
`ttl_s`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import structlog

from protocols.samples import DecodeError
from storage.database import Pool
from storage.queries.devices import Device, find_device, register_device

log = structlog.get_logger()

Policy = Literal["register", "quarantine", "reject"]

_STATUS: dict[Policy, str] = {"register": "active", "quarantine": "quarantined"}
_MINUTE_US = 60_000_000


class RegistryBusyError(Exception):
    """Too many unknown devices at once: the caller holds this one back and asks again."""


def admitted(device: Device | None, kind: str, identity: str) -> Device:
    """Return a device that may send. Raises `DecodeError` for one that is unknown or archived."""
    if device is None:
        raise DecodeError("unknown_device", "identity", f"{kind} {identity[:80]} is not registered")
    if device.status == "archived":
        raise DecodeError("archived_device", "identity", f"{kind} {identity[:80]} was shut out")
    return device


class Registry:
    """Resolves identities. `policy` says what becomes of unknown ones; `clock` returns microseconds.

    At most `registrations_per_minute` unknown devices are written a minute, by this process: a scanner
    that makes up identities must not fill the table. At most `entries_max` answers are remembered,
    each for `ttl_s` (unknown ones too), so a changed status or secret is seen that much later.
    """

    def __init__(
        self,
        pool: Pool,
        policy: Policy,
        clock: Callable[[], int],
        *,
        ttl_s: float = 10.0,
        entries_max: int = 50_000,
        registrations_per_minute: int = 600,
    ) -> None:
        self._pool = pool
        self._policy = policy
        self._clock = clock
        self._ttl_us = int(ttl_s * 1_000_000)
        self._entries_max = entries_max
        self._registrations_max = registrations_per_minute
        self._registered: tuple[int, int] = (0, 0)  # the minute, and how many in it
        self._known: OrderedDict[tuple[str, str], tuple[Device | None, int]] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[Device | None]] = {}

    async def resolve(self, kind: str, identity: str) -> Device | None:
        """Return the device that goes by this identity, without regard to case; None: not welcome.

        Raises what the database raises when it is away and the answer is not remembered, and
        `RegistryBusyError` when too many unknown devices came: nothing is known of this one yet.
        """
        key = (kind, identity.lower())
        found = self._known.get(key)
        if found is not None and self._clock() < found[1]:
            return found[0]
        task = self._asking.get(key)
        if task is None:
            # one question for all who ask the same: a broker redelivers hundreds of messages at once
            task = asyncio.create_task(self._ask(kind, identity))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(task)

    def forget(self, kind: str, identity: str) -> None:
        """Ask the database again at the next `resolve`."""
        self._known.pop((kind, identity.lower()), None)

    def _answered(self, key: tuple[str, str], task: asyncio.Task[Device | None]) -> None:
        del self._asking[key]
        if task.cancelled() or task.exception() is not None:
            return
        self._known[key] = (task.result(), self._clock() + self._ttl_us)
        self._known.move_to_end(key)
        if len(self._known) > self._entries_max:
            self._known.popitem(last=False)

    async def _ask(self, kind: str, identity: str) -> Device | None:
        async with self._pool.connection() as connection:
            device = await find_device(connection, kind, identity)
            if device is not None or self._policy == "reject":
                return device
            self._count_registration(kind, identity)
            status = _STATUS[self._policy]
            device = await register_device(connection, kind, identity, status=status)
        log.info("device_registered", kind=kind, identity=identity, device_id=device.id, status=status)
        return device

    def _count_registration(self, kind: str, identity: str) -> None:
        """A flood of made-up identities must not fill the registry; a real device asks again later."""
        minute = self._clock() // _MINUTE_US
        count = self._registered[1] if self._registered[0] == minute else 0
        if count >= self._registrations_max:
            raise RegistryBusyError(f"{kind} {identity}: {count} devices were registered this minute already")
        self._registered = (minute, count + 1)
