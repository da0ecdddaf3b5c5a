"""Holding messages while the database is away: the message waits, its sender is not acknowledged.

Used by the shells of batteries and meters.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from protocols.samples import DecodeError

log = structlog.get_logger()

_Result = TypeVar("_Result")

RETRY_S_MIN = 0.1
RETRY_S_MAX = 5.0


class Holding:
    """One for each shell, so that a database that is away is told of once; `name` begins the event's name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_away = False

    @property
    def is_away(self) -> bool:
        """Whether the last attempt failed."""
        return self._is_away

    async def until_there(self, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
        """Try until the database answers. A `DecodeError` is an answer."""
        delay_s = RETRY_S_MIN
        while True:
            try:
                result = await attempt()
            except DecodeError:
                raise
            except Exception as error:
                if not self._is_away:
                    self._is_away = True
                    log.warning(
                        f"{self._name}_database_away", error=str(error), action="holding messages; retrying"
                    )
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_S_MAX)
            else:
                if self._is_away:
                    self._is_away = False
                    log.info(f"{self._name}_database_back")
                return result
