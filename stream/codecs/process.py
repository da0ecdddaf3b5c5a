"""One worker process as its pool sees it: started when needed, asked one thing at a time, killed if hung.

Used by `stream.codecs.pool`.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections import OrderedDict
from pathlib import Path

import structlog

from stream.codecs.messages import FRAME_BYTES_MAX, LENGTH_BYTES, Request, frame, limits_text
from stream.codecs.sandbox import Limits

log = structlog.get_logger()

START_S_MAX = 15.0
CLOSE_S_MAX = 2.0
# Of a decode's limit. A worker that had less of the processor than this was not given it by the machine; one
# that had more is in the hands of its codec, for a turn stops by itself after a slice.
BUSY_SHARE = 0.2

_ROOT = Path(__file__).parents[2]


class WorkerLostError(Exception):
    """A worker died or was killed; `reason` is what its request is answered with."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class WorkerProcess:
    """A place in the pool and the process in it, where one runs. Not for two callers at a time."""

    def __init__(self, limits: Limits, *, codecs_max: int, answer_s: float, hung_s: float) -> None:
        self._limits = limits
        self._codecs_max = codecs_max
        self._answer_s = answer_s
        self._hung_s = hung_s
        self._process: asyncio.subprocess.Process | None = None
        self._known: OrderedDict[str, None] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        """The process's id, while one runs."""
        return None if self._process is None else self._process.pid

    def knows(self, sha256: str) -> bool:
        """Whether the worker holds this codec."""
        return sha256 in self._known

    def admit(self, sha256: str) -> str | None:
        """Note that the next request is about this codec; returns the one that must make room for it."""
        self._known[sha256] = None
        self._known.move_to_end(sha256)
        return self._known.popitem(last=False)[0] if len(self._known) > self._codecs_max else None

    async def start(self) -> None:
        """Start the process unless it runs. Raises `WorkerLostError` where it does not come up."""
        if self._process is not None and self._process.returncode is None:
            return
        self._forget()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "stream.codecs.worker", limits_text(self._limits),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "TZ": "UTC", "PYTHONPATH": str(_ROOT)},
            )  # fmt: skip
            async with asyncio.timeout(START_S_MAX):
                await self._read()
        except (OSError, EOFError, TimeoutError) as error:
            self.kill()
            raise WorkerLostError("codec_worker", f"the codec worker did not start: {error}") from error

    async def ask(self, request: Request, *, patience_s: float | None = None) -> bytes:
        """Return the answer to `request`; raises `WorkerLostError`, with the process gone, if there is none.

        Without `patience_s` the worker has `answer_s`, or `hung_s` where it got too little of the processor.
        """
        process = self._process
        assert process is not None, "started before it is asked"
        begun_s = _processor_s(process.pid)
        exchange = asyncio.ensure_future(self._exchange(process, frame(request)))
        try:
            await asyncio.wait({exchange}, timeout=self._answer_s if patience_s is None else patience_s)
            if not exchange.done() and patience_s is None and self._is_starved(process.pid, begun_s):
                await asyncio.wait({exchange}, timeout=self._hung_s - self._answer_s)
            if exchange.done():
                return exchange.result()
        except (OSError, EOFError) as error:
            self.kill()
            raise WorkerLostError("codec_worker", "the codec worker died") from error
        finally:
            exchange.cancel()
        self.kill()
        raise WorkerLostError("codec_timeout", "the codec did not answer in time")

    def _is_starved(self, pid: int, begun_s: float) -> bool:
        return _processor_s(pid) - begun_s < self._limits.time_ms / 1000 * BUSY_SHARE

    async def _exchange(self, process: asyncio.subprocess.Process, data: bytes) -> bytes:
        assert process.stdin is not None
        process.stdin.write(data)
        await process.stdin.drain()
        return await self._read()

    async def _read(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        size = int.from_bytes(await self._process.stdout.readexactly(LENGTH_BYTES), "big")
        if size > FRAME_BYTES_MAX:
            raise EOFError(f"an answer of {size} bytes")
        return await self._process.stdout.readexactly(size)

    def kill(self) -> None:
        """End the process at once, without waiting for its end; the next `start` makes another."""
        process = self._process
        self._forget()
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        ending = asyncio.get_running_loop().create_task(_ended(process))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End the process by the end of its input; kill it where it does not go."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S_MAX):
                    await self._process.wait()
            self.kill()
        await asyncio.gather(*self._ending)

    def _forget(self) -> None:
        self._process = None
        self._known.clear()


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait until the process and its pipes are gone, so that nothing of them outlives the loop."""
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(OSError):
        await process.stdin.wait_closed()
    await process.wait()


def _processor_s(pid: int) -> float:
    """Processor time of another process, by its clock as in clock_getcpuclockid(3); without one, ours."""
    if sys.platform != "linux":
        return time.monotonic()
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return time.monotonic()
