"""Which codecs stand warm in a worker, and which get a fresh context for each uplink; used by `worker`.

A codec that leaks state between calls would give answers that depend on what was decoded before. So the
first uplinks of every codec are decoded in fresh contexts, then again in one context forwards and
backwards: only where all three agree, and no built-in object was changed, the codec is trusted with a warm
context.
"""

import math
import time
from collections.abc import Sequence

from protocols.samples import DecodeError
from stream.codecs.examples import Examination, read_examples, try_examples
from stream.codecs.sandbox import Limits, Outcome, Sandbox, Uplink

PROBES = 8  # uplinks that a codec is probed with
INSPECT_EVERY = 4096  # decodes of a warm context between two looks at its memory and its built-ins
WARM_BYTES_MAX = 4 * 1024 * 1024

_LIMITS = frozenset({"codec_timeout", "codec_memory", "codec_stack"})


class Codec:
    """One codec in this worker. `refusal` is set where it does not load: it is not compiled again."""

    def __init__(self, source: str, limits: Limits) -> None:
        self.refusal: DecodeError | None = None
        self.is_stateful = False
        self._source = source
        self._limits = limits
        self._fresh: list[tuple[Uplink, Outcome]] = []
        self._probe: Probe | None = None
        self._is_trusted = False
        self._warm: Sandbox | None = None
        self._decodes = 0

    def decode(self, uplinks: Sequence[Uplink], *, is_stateful: bool) -> list[Outcome]:
        """Decode the first of `uplinks`, as many as fit in a turn, at least one."""
        self.is_stateful = self.is_stateful or is_stateful
        if self.refusal is not None:
            return [_refused(self.refusal)] * len(uplinks)
        try:
            if self.is_stateful:
                return self._decode_fresh(uplinks)
            return self._decode_warm(uplinks) if self._is_trusted else self._decode_probed(uplinks)
        except DecodeError as error:
            self.refusal = error
            return [_refused(error)] * len(uplinks)

    def _slice_end(self) -> float:
        return time.perf_counter() + self._limits.slice_ms / 1000

    def _decode_fresh(self, uplinks: Sequence[Uplink]) -> list[Outcome]:
        end = self._slice_end()
        found: list[Outcome] = []
        for each in uplinks:
            found += Sandbox(self._source, self._limits).decode([each])
            if time.perf_counter() >= end:
                break
        return found

    def _decode_probed(self, uplinks: Sequence[Uplink]) -> list[Outcome]:
        """Decode in fresh contexts, and go on with the probe for another slice: a turn stays short."""
        found = self._decode_fresh(uplinks[:PROBES])
        if self._probe is None:
            self._fresh += _without_limits(uplinks, found)
            if len(self._fresh) >= PROBES:
                self._probe = Probe(self._source, self._fresh[:PROBES], self._limits)
        else:
            leaks = self._probe.advance(self._slice_end())
            self.is_stateful = leaks is True
            self._is_trusted = leaks is False
        return found

    def _decode_warm(self, uplinks: Sequence[Uplink]) -> list[Outcome]:
        if self._warm is None:
            self._warm = Sandbox(self._source, self._limits)
            self._warm.remember_builtins()
        found = self._warm.decode(uplinks)
        self._decodes += len(found)
        if self._warm.is_spent:
            self._warm = None
        elif self._decodes >= INSPECT_EVERY:
            self._decodes = 0
            self._inspect(self._warm)
        return found

    def _inspect(self, warm: Sandbox) -> None:
        self.is_stateful = warm.has_changed_builtins()
        if self.is_stateful or warm.memory_bytes() > WARM_BYTES_MAX:
            self._warm = None


class Probe:
    """Decodes again in one context, forwards and backwards, what fresh contexts have decoded."""

    def __init__(self, source: str, fresh: Sequence[tuple[Uplink, Outcome]], limits: Limits) -> None:
        self._warm = Sandbox(source, limits)
        self._warm.remember_builtins()
        self._steps = iter([*fresh, *reversed(fresh)])

    def advance(self, end: float) -> bool | None:
        """Go on until `end` (of `time.perf_counter`): whether the codec leaks state; None: not known yet."""
        for uplink, outcome in self._steps:
            if self._warm.decode([uplink])[0] != outcome or self._warm.is_spent:
                return True
            if time.perf_counter() >= end:
                return None
        return self._warm.has_changed_builtins()


def _without_limits(uplinks: Sequence[Uplink], outcomes: Sequence[Outcome]) -> list[tuple[Uplink, Outcome]]:
    """What ran into a limit says nothing about state, and would cost as much again."""
    pairs = zip(uplinks, outcomes, strict=False)
    return [(uplink, outcome) for uplink, outcome in pairs if outcome.reason not in _LIMITS]


def examine(source: str, raw_examples: object, limits: Limits, now_us: int) -> Examination:
    """Load a codec, run its examples in fresh contexts and probe it for state with their uplinks."""
    try:
        examples = read_examples(raw_examples, now_us)
        Sandbox(source, limits)
        tried = try_examples(source, examples, limits)
        uplinks = [each.uplink for each in examples if each.uplink is not None]
        fresh = [Sandbox(source, limits).decode([each])[0] for each in uplinks]
        leaks = Probe(source, _without_limits(uplinks, fresh), limits).advance(math.inf)
        return Examination(None, is_stateful=leaks is True, tried=tried)
    except DecodeError as error:
        return Examination(str(error), reason=error.reason)
    except RecursionError:
        return Examination("an example or its output is nested too deep", reason="codec_examples")


def _refused(error: DecodeError) -> Outcome:
    return Outcome(reason=error.reason, message=str(error))
