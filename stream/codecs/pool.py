"""Decoding by JavaScript codecs in worker processes: what ingest shells, `reprocess` and the API use.

Uplinks wait in a lane a codec. A free worker takes the next lane and decodes what waits in it in one call
into JavaScript, so that batches grow with load. One turn of a lane runs at a time and is short, so that a
codec that only burns time holds up one worker for one decode, and then stands at the end of the queue.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog

from protocols.measurements import Decoded, Payload
from protocols.samples import DecodeError
from storage.queries.codecs import CodecText
from stream.codecs.examples import Examination
from stream.codecs.messages import Answer, Answers, Decode, Encode, Examine, answers, encoded, examinations
from stream.codecs.process import WorkerLostError, WorkerProcess
from stream.codecs.sandbox import Limits, Uplink

log = structlog.get_logger()

LANES_MAX = 1000  # codecs that a pool remembers


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How much a pool takes on. A worker that has not answered after `answer_s` is ended."""

    workers_max: int = 2
    waiting_max: int = 10_000  # uplinks; beyond them `decode` waits
    payload_bytes_max: int = 64 * 1024
    turn_uplinks_max: int = 256
    turn_bytes_max: int = 64 * 1024
    codecs_max: int = 64  # that a worker keeps
    answer_s: float = 0.13
    hung_s: float = 2.0  # where the machine gave the worker no time to run
    examine_s: float = 30.0
    timeouts_max: int = 3  # in a row, then the codec is left alone for a while
    suspension_s: float = 10.0
    sandbox: Limits = field(default_factory=Limits)


@dataclass(slots=True)
class _Group:
    """The uplinks of one call of `decode`, and what became of them."""

    mapping: str
    results: list[Decoded | DecodeError | None]
    remaining: int
    done: asyncio.Future[None]

    def settle(self, index: int, result: Decoded | DecodeError) -> None:
        self.results[index] = result
        self.remaining -= 1
        if self.remaining == 0 and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True)
class _Job:
    group: _Group
    index: int
    uplink: Uplink
    is_alone: bool = False  # its last turn took the worker with it


@dataclass(slots=True)
class _Lane:
    """One codec's waiting uplinks. `is_listed`: it waits for a worker, or has one."""

    codec: CodecText
    is_stateful: bool
    jobs: deque[_Job] = field(default_factory=deque)
    is_listed: bool = False
    timeouts: int = 0
    suspended_until_s: float = 0.0

    def take(self, count_max: int, bytes_max: int) -> list[_Job]:
        """Take the next turn's jobs, at least one; one that is suspect goes alone."""
        taken = [self.jobs.popleft()]
        size = len(taken[0].uplink.data)
        while self.jobs and len(taken) < count_max and not (taken[0].is_alone or self.jobs[0].is_alone):
            size += len(self.jobs[0].uplink.data)
            if size > bytes_max:
                break
            taken.append(self.jobs.popleft())
        return taken


@dataclass(slots=True)
class _Question:
    """A request that is no turn of a lane."""

    request: Encode | Examine
    patience_s: float
    answer: asyncio.Future[bytes]


class CodecPool:
    """Worker processes and what waits for them. `clock`: microseconds since 1970, the time that encoders see.

    `on_stateful` is told the SHA-256 of a codec that turns out to leak state. Processes start when they are
    first needed (`open` starts one at once) and end with `close`.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        limits: PoolLimits | None = None,
        on_stateful: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._clock = clock
        self.limits = limits or PoolLimits()
        self._on_stateful = on_stateful
        self._room = asyncio.Semaphore(self.limits.waiting_max)
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._ready: deque[_Lane | _Question] = deque()
        self._workers = [self._worker() for _ in range(self.limits.workers_max)]
        self._idle = list(self._workers)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_woken = False
        self._is_closed = False

    def _worker(self) -> WorkerProcess:
        limits = self.limits
        return WorkerProcess(
            limits.sandbox, codecs_max=limits.codecs_max, answer_s=limits.answer_s, hung_s=limits.hung_s
        )

    @property
    def worker_pids(self) -> list[int]:
        """The processes that run now."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def open(self) -> None:
        """Start the first worker, so that the first uplink need not wait for it. Raises `DecodeError`."""
        try:
            await self._workers[0].start()
        except WorkerLostError as lost:
            raise DecodeError(lost.reason, "", str(lost)) from lost

    async def decode(
        self, codec: CodecText, uplinks: Sequence[Payload], profile_mapping: Sequence[Any]
    ) -> list[Decoded | DecodeError]:
        """Return for each uplink, in order, what the codec made of it, or the error that stands for it.

        `profile_mapping` is a device profile's (`protocols.mapping`); the profile's option `variables` is
        handed to the codec. Waits while the pool is full.
        """
        if not uplinks:
            return []
        lane = self._lane(codec)
        results: list[Decoded | DecodeError | None] = [None] * len(uplinks)
        mapping = msgspec.json.encode(list(profile_mapping)).decode()
        group = _Group(mapping, results, len(uplinks), asyncio.get_running_loop().create_future())
        try:
            for index, payload in enumerate(uplinks):
                try:
                    uplink = _uplink(payload)
                except DecodeError as error:
                    group.settle(index, error)
                    continue
                await self._room.acquire()
                self._enter(lane, _Job(group, index, uplink))
            await group.done
        finally:
            group.done.cancel()
        return [each for each in group.results if each is not None]

    async def encode(self, codec: CodecText, data: Any, port: int = 1) -> tuple[int, bytes]:
        """Encode a downlink; returns its port and bytes. Raises `DecodeError` with the codec's reason.

        `port` is for encoders of the older forms, which are told it.
        """
        request = Encode(codec.source, data, port, self._clock())
        found = encoded.decode(await self._ask(request, self.limits.hung_s))
        if found.reason:
            raise DecodeError(found.reason, "", found.message)
        return found.port, found.payload

    async def examine(self, source: str, examples: Any) -> Examination:
        """Load a codec, run its examples (JSON as uploaded), and find out whether it leaks state."""
        request = Examine(source, examples, self._clock())
        try:
            return examinations.decode(await self._ask(request, self.limits.examine_s))
        except DecodeError as error:
            return Examination(str(error), reason=error.reason)

    async def close(self) -> None:
        """End the workers. What still waits is refused with `codec_closed`."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for entry in self._ready:
            if isinstance(entry, _Lane):
                self._refuse_waiting(entry, "codec_closed", "the decoder is being closed")
            else:
                _fail(entry, DecodeError("codec_closed", "", "the decoder is being closed"))
        self._ready.clear()
        await asyncio.gather(*(worker.close() for worker in self._workers))

    async def __aenter__(self) -> "CodecPool":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- what waits -----------------------------------------------------------------------------

    def _lane(self, codec: CodecText) -> _Lane:
        lane = self._lanes.get(codec.sha256)
        if lane is None:
            if len(self._lanes) >= LANES_MAX:
                oldest = next((key for key, each in self._lanes.items() if not each.is_listed), "")
                self._lanes.pop(oldest, None)  # none where all have work, and that is bounded
            lane = self._lanes[codec.sha256] = _Lane(codec, codec.is_stateful)
        lane.is_stateful = lane.is_stateful or codec.is_stateful
        self._lanes.move_to_end(codec.sha256)
        return lane

    def _enter(self, lane: _Lane, job: _Job) -> None:
        if self._is_closed:
            self._settle(job, DecodeError("codec_closed", "", "the decoder is closed"))
        elif len(job.uplink.data) > self.limits.payload_bytes_max:
            message = f"{len(job.uplink.data)} bytes, at most {self.limits.payload_bytes_max} are decoded"
            self._settle(job, DecodeError("too_large", "", message))
        elif asyncio.get_running_loop().time() < lane.suspended_until_s:
            self._settle(job, _suspended(self.limits))
        else:
            lane.jobs.append(job)
            self._list(lane)

    def _settle(self, job: _Job, result: Decoded | DecodeError) -> None:
        self._room.release()
        job.group.settle(job.index, result)

    def _refuse_waiting(self, lane: _Lane, reason: str, message: str) -> None:
        while lane.jobs:
            self._settle(lane.jobs.popleft(), DecodeError(reason, "", message))

    def _list(self, lane: _Lane) -> None:
        if not lane.is_listed:
            lane.is_listed = True
            self._ready.append(lane)
            self._wake()

    def _wake(self) -> None:
        """Give out work once this turn of the loop is over: what else it brings goes in the same call."""
        if not self._is_woken and not self._is_closed:
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._give_out)

    def _give_out(self) -> None:
        self._is_woken = False
        while self._ready and self._idle and not self._is_closed:
            entry = self._ready.popleft()
            worker = self._choose(entry)
            self._idle.remove(worker)
            task = asyncio.get_running_loop().create_task(self._work(entry, worker))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _choose(self, entry: _Lane | _Question) -> WorkerProcess:
        """Prefer a worker that has the codec warm, then one that runs."""
        sha256 = entry.codec.sha256 if isinstance(entry, _Lane) else ""
        return max(self._idle, key=lambda worker: (worker.knows(sha256), worker.pid is not None))

    # --- one turn -------------------------------------------------------------------------------

    async def _work(self, entry: _Lane | _Question, worker: WorkerProcess) -> None:
        try:
            if isinstance(entry, _Lane):
                await self._turn(entry, worker)
            else:
                await self._answer(entry, worker)
        finally:
            self._idle.append(worker)
            self._wake()

    async def _turn(self, lane: _Lane, worker: WorkerProcess) -> None:
        if not lane.jobs:
            lane.is_listed = False
            return
        jobs = lane.take(self.limits.turn_uplinks_max, self.limits.turn_bytes_max)
        try:
            await worker.start()
            found = answers.decode(await worker.ask(_decode_request(lane, jobs, worker)))
        except WorkerLostError as lost:
            log.warning("codec_worker_lost", codec=lane.codec.sha256, uplinks=len(jobs), reason=lost.reason)
            self._after_loss(lane, jobs, lost)
        except asyncio.CancelledError:
            for job in jobs:
                self._settle(job, DecodeError("codec_closed", "", "the decoder is being closed"))
            raise
        except Exception as error:  # whatever it is: nobody may wait for ever for an answer
            log.exception("codec_turn_failed", codec=lane.codec.sha256)
            worker.kill()  # it may not hold what we noted that it holds
            for job in jobs:
                self._settle(job, DecodeError("codec_worker", "", f"the codec could not be asked: {error}"))
        else:
            self._after_turn(lane, jobs, found)
        finally:
            lane.is_listed = False
            if lane.jobs:
                self._list(lane)

    def _after_turn(self, lane: _Lane, jobs: list[_Job], found: Answers) -> None:
        for job, answer in zip(jobs, found.answers, strict=False):
            self._settle(job, _result(answer))
            lane.timeouts = lane.timeouts + 1 if answer.reason == "codec_timeout" else 0
        lane.jobs.extendleft(reversed(jobs[len(found.answers) :]))
        if found.is_stateful and not lane.is_stateful:
            lane.is_stateful = True
            log.warning("codec_is_stateful", codec=lane.codec.sha256)
            if self._on_stateful is not None:
                self._spawn(self._on_stateful(lane.codec.sha256))
        self._suspend(lane)

    def _after_loss(self, lane: _Lane, jobs: list[_Job], lost: WorkerLostError) -> None:
        """Decode again, one by one, what a lost worker had in hand; refuse what loses one alone.

        A worker that died may have been killed for no fault of the codec's: that costs no uplink.
        """
        is_to_blame = len(jobs) == 1 and (jobs[0].is_alone or lost.reason == "codec_timeout")
        if is_to_blame:
            self._settle(jobs[0], DecodeError(lost.reason, "", str(lost)))
            lane.timeouts += 1
        else:
            for job in jobs:
                job.is_alone = True
            lane.jobs.extendleft(reversed(jobs))
        self._suspend(lane)

    def _suspend(self, lane: _Lane) -> None:
        if lane.timeouts < self.limits.timeouts_max:
            return
        lane.timeouts = self.limits.timeouts_max - 1  # one more, once it is tried again, is enough
        lane.suspended_until_s = asyncio.get_running_loop().time() + self.limits.suspension_s
        log.warning("codec_suspended", codec=lane.codec.sha256, uplinks=len(lane.jobs))
        error = _suspended(self.limits)
        self._refuse_waiting(lane, error.reason, str(error))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, request: Encode | Examine, patience_s: float) -> bytes:
        if self._is_closed:
            raise DecodeError("codec_closed", "", "the decoder is closed")
        question = _Question(request, patience_s, asyncio.get_running_loop().create_future())
        async with self._room:
            self._ready.append(question)
            self._wake()
            return await question.answer

    async def _answer(self, question: _Question, worker: WorkerProcess) -> None:
        try:
            found = await self._put(question, worker)
        except WorkerLostError as lost:
            _fail(question, DecodeError(lost.reason, "", str(lost)))
        except asyncio.CancelledError:
            _fail(question, DecodeError("codec_closed", "", "the decoder is being closed"))
            raise
        else:
            if not question.answer.done():
                question.answer.set_result(found)

    @staticmethod
    async def _put(question: _Question, worker: WorkerProcess) -> bytes:
        """Ask the worker; once more where it was dead already."""
        try:
            await worker.start()
            return await worker.ask(question.request, patience_s=question.patience_s)
        except WorkerLostError as lost:
            if lost.reason != "codec_worker":
                raise
        await worker.start()
        return await worker.ask(question.request, patience_s=question.patience_s)


def _fail(question: _Question, error: DecodeError) -> None:
    if not question.answer.done():
        question.answer.set_exception(error)


def _decode_request(lane: _Lane, jobs: Sequence[_Job], worker: WorkerProcess) -> Decode:
    is_new = not worker.knows(lane.codec.sha256)
    forget = worker.admit(lane.codec.sha256)
    texts = dict.fromkeys(job.group.mapping for job in jobs)
    mappings = {text: index for index, text in enumerate(texts)}
    return Decode(
        lane.codec.sha256,
        lane.codec.source if is_new else None,
        forget,
        lane.is_stateful,
        list(mappings),
        [mappings[job.group.mapping] for job in jobs],
        [job.uplink for job in jobs],
    )


def _uplink(payload: Payload) -> Uplink:
    variables = payload.options.get("variables") or {}
    if not isinstance(variables, dict):  # a worker would die of it
        raise DecodeError("options", "variables", "is not an object")
    return Uplink(payload.data, payload.port, payload.heard_at_us, variables)


def _result(answer: Answer) -> Decoded | DecodeError:
    if answer.reason:
        return DecodeError(answer.reason, "", answer.message)
    return Decoded(answer.data, tuple(answer.measurements), tuple(answer.warnings))


def _suspended(limits: PoolLimits) -> DecodeError:
    message = f"the codec ran out of time {limits.timeouts_max} times in a row and is left alone for a while"
    return DecodeError("codec_suspended", "", message)


async def _logged(work: Awaitable[None]) -> None:
    """Do what an uplink must not wait for, nor fail with."""
    try:
        await work
    except Exception:
        log.exception("codec_state_not_remembered")
