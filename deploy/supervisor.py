"""The supervisor of `gridwire up`: starts programs in order, restarts what dies, stops in reverse.

It knows programs, not parts: what a service is for is `gridwire.py`'s to say.
"""

import asyncio
import contextlib
import ctypes
import json
import logging.handlers
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.messages import SetupError

RESTART_DELAYS_S = (0.1, 0.5, 1.0, 2.0, 5.0)
FIRST_STARTS_MAX = 2  # a service that was never ready is broken, not unlucky
STEADY_AFTER_S = 30.0  # a service that ran this long starts again at the shortest delay
POLL_S = 0.05
LAST_LINES_MAX = 40
LINE_BYTES_MAX = 1 << 20
LOG_FILE_BYTES_MAX = 5_000_000
LOG_FILES_KEPT = 3
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Service:
    """A program to run. `is_ready` None: it is ready once it logs the event `ready`."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    account: str | None = None
    is_ready: Callable[[], bool] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 30.0


@dataclass(slots=True)
class Running:
    """A service and the life of its present process."""

    service: Service
    log: logging.Logger
    process: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    restarts: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES_MAX))
    keeper: asyncio.Task[None] | None = None


class Supervisor:
    """Runs services. `on_event` is called with the service's name and each JSON event it logs."""

    def __init__(self, log_folder: Path, on_event: Callable[[str, dict[str, object]], None]) -> None:
        self._log_folder = log_folder
        self._on_event = on_event
        self.running: dict[str, Running] = {}

    async def start(self, service: Service) -> None:
        """Start a service and wait until it is ready; SetupError with its last words if it is not."""
        running = Running(service, _file_log(self._log_folder, service.name))
        self.running[service.name] = running
        running.keeper = asyncio.create_task(self._keep(running), name=f"keep {service.name}")
        waiting = asyncio.create_task(running.ready.wait())
        done, _ = await asyncio.wait(
            (waiting, running.keeper), timeout=service.start_timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if waiting not in done:
            waiting.cancel()
            last = "\n    ".join(running.last_lines) or "(it said nothing)"
            raise SetupError(
                f"{service.name} did not start. Its last words:\n    {last}",
                f"The whole log is {self._log_folder / service.name}.log",
            )

    async def stop(self, name: str) -> None:
        """Ask a service to end, wait, and kill it only if it overstays its time."""
        running = self.running.pop(name)
        running.stop.set()
        process = running.process
        if process is not None and process.returncode is None:
            process.send_signal(running.service.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), running.service.stop_timeout_s)
            except TimeoutError:
                self._on_event(name, {"event": "killed", "reason": "did not stop in time"})
                process.kill()
        if running.keeper is not None:
            await running.keeper
        for handler in running.log.handlers:
            handler.close()

    async def stop_all(self) -> None:
        """Stop every service, the last started first."""
        for name in reversed(list(self.running)):
            await self.stop(name)

    async def _keep(self, running: Running) -> None:
        """Run the process again and again until the service is to stop."""
        attempt = 0
        while True:
            began = time.monotonic()
            code = await self._live(running)
            if running.stop.is_set():
                return
            if not running.ready.is_set() and attempt >= FIRST_STARTS_MAX:
                return  # it never came up: `start` reports its last words
            attempt = 0 if time.monotonic() - began > STEADY_AFTER_S else attempt + 1
            running.restarts += 1
            self._on_event(running.service.name, {"event": "restarted", "exit_code": code})
            delay_s = RESTART_DELAYS_S[min(attempt, len(RESTART_DELAYS_S) - 1)]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(running.stop.wait(), delay_s)

    async def _live(self, running: Running) -> int:
        """One life of the process, from start to its exit code."""
        service = running.service
        process = await asyncio.create_subprocess_exec(
            *service.argv,
            env=dict(service.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_BYTES_MAX,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops things in order
            user=service.account,
            group=service.account,
            extra_groups=None if service.account is None else (),
            preexec_fn=lambda: _die_with_parent(service.stop_signal),
            cwd=None if service.account is None else "/",
        )
        running.process = process
        (self._log_folder / f"{service.name}.pid").write_text(f"{process.pid}\n")
        if running.stop.is_set():
            process.send_signal(service.stop_signal)
        probe = asyncio.create_task(self._probe(running, process))
        try:
            await self._read(running, process)
            return await process.wait()
        finally:
            probe.cancel()

    async def _probe(self, running: Running, process: asyncio.subprocess.Process) -> None:
        is_ready = running.service.is_ready
        if is_ready is None:
            return
        while process.returncode is None:
            if await asyncio.to_thread(is_ready):
                running.ready.set()
                return
            await asyncio.sleep(POLL_S)

    async def _read(self, running: Running, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                raw = await process.stdout.readline()
            except ValueError:
                continue  # a line beyond LINE_BYTES_MAX: what is left of it follows
            if not raw:
                return
            line = raw.decode(errors="replace").rstrip()
            running.log.info(line)
            running.last_lines.append(line)
            if line.startswith("{"):
                self._event(running, line)

    def _event(self, running: Running, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return
        if event.get("event") == "ready":
            running.ready.set()
        self._on_event(running.service.name, event)


def _die_with_parent(number: signal.Signals) -> None:
    """Should the supervisor be killed, the kernel ends its children as it would have."""
    _libc.prctl(PR_SET_PDEATHSIG, int(number))


def _file_log(folder: Path, name: str) -> logging.Logger:
    """A bounded file for one service's output, apart from this process's own logging."""
    folder.mkdir(parents=True, exist_ok=True)
    log = logging.Logger(name)  # not in the tree: its lines are another process's
    handler = logging.handlers.RotatingFileHandler(
        folder / f"{name}.log", maxBytes=LOG_FILE_BYTES_MAX, backupCount=LOG_FILES_KEPT
    )
    log.addHandler(handler)
    return log
