"""A decoder run again over the past: first what would change, then in one transaction that it does.

Used by `gridwire reprocess`. Raw payloads stay as they are; samples that the old decoder stored and the new
one does not are taken away, others written in their place. What was billed is computed again by the jobs
role, which writes correction entries: never an edit.

Samples that a payload outside the range stored as well, with the same key, count as this range's.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from protocols.timestamps import to_datetime
from storage.database import Connection
from storage.merge import lift_decompression_limit
from storage.queries import device_samples, metering_due, raw_payloads
from storage.queries.device_samples import Key, Sample
from storage.queries.raw_payloads import RawPayload
from stream.codecs.pool import CodecPool
from stream.decoding import Decoding, Equipment, decode
from stream.errors import StreamError

PAGE = 500  # payloads decoded at a time
PAYLOADS_MAX = 200_000  # in one run: it is one transaction
EXAMPLES_MAX = 20  # of changes, in the report
# Refusals that the same payload may not meet again: samples are not taken away for them.
_PASSING = ("codec_closed", "codec_suspended", "codec_timeout", "codec_worker")


class TooMuchError(StreamError):
    """More payloads than one transaction should hold; the message says what to do."""


class UndecidedError(StreamError):
    """A codec did not get to the end of a payload, maybe for no fault of its own."""


@dataclass(frozen=True, slots=True)
class Change:
    """One sample before and after; None is no sample."""

    device_id: int
    key: Key
    before: float | None
    after: float | None


@dataclass(slots=True)
class Report:
    """What changes: payloads looked at, those that the new decoder refuses, samples by their fate."""

    payloads: int = 0
    devices: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    mended: int = 0  # payloads that were refused before and are not now
    same: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    examples: list[Change] = field(default_factory=list)

    @property
    def changes(self) -> int:
        """Samples that are not as they were."""
        return self.added + self.changed + self.removed


@dataclass(frozen=True, slots=True)
class Range:
    """Payloads that the network heard in [since_us, until_us), microseconds since 1970 UTC."""

    since_us: int
    until_us: int


@dataclass(slots=True)
class _Device:
    """One device's payloads of the range: the keys that they stored, and the samples that they hold now."""

    id: int
    old: set[Key] = field(default_factory=set)
    new: dict[Key, float] = field(default_factory=dict)
    decoded: list[tuple[RawPayload, str, bytes | None]] = field(default_factory=list)


async def reprocess(
    connection: Connection,
    codecs: CodecPool,
    devices: Mapping[int, Equipment],
    span: Range,
    *,
    now_us: int,
    apply: bool,
) -> Report:
    """Decode the range's payloads of `devices` again; with `apply`, make it so in the caller's transaction.

    Raises `TooMuchError` and, with `apply`, `UndecidedError`: the caller's transaction is to be undone.
    """
    report = Report()
    if apply:
        await raw_payloads.lock_reprocessing(connection)
        await lift_decompression_limit(connection)
    for device_id, equipment in devices.items():
        device = await _decode_device(connection, codecs, device_id, equipment, span, report)
        if apply:
            _check_decided(report)
        if device is None:
            continue
        report.devices += 1
        removed, written = await _compare(connection, device, report)
        if apply:
            await _write(connection, device, removed, written, now_us)
    return report


def _check_decided(report: Report) -> None:
    passing = ", ".join(f"{reason} {report.refused[reason]}" for reason in _PASSING if report.refused[reason])
    if passing:
        raise UndecidedError(
            f"payloads were not decoded ({passing}): try again, or choose a range without them"
        )


async def _decode_device(
    connection: Connection,
    codecs: CodecPool,
    device_id: int,
    equipment: Equipment,
    span: Range,
    report: Report,
) -> _Device | None:
    device = _Device(device_id)
    async for page in _pages(connection, device_id, span):
        report.payloads += len(page)
        if report.payloads > PAYLOADS_MAX:
            raise TooMuchError(f"more than {PAYLOADS_MAX} payloads: choose a shorter range or fewer devices")
        given = [equipment.payload(each.payload, each.ts_us, each.port) for each in page]
        for payload, decoding in zip(page, await decode(codecs, equipment, given), strict=True):
            _add(device, payload, decoding, report)
    return device if device.decoded else None


async def _pages(connection: Connection, device_id: int, span: Range) -> AsyncIterator[Sequence[RawPayload]]:
    after = None
    while page := await raw_payloads.uplinks(
        connection, device_id, since_us=span.since_us, until_us=span.until_us, after=after, limit=PAGE
    ):
        yield page
        after = page[-1]


def _add(device: _Device, payload: RawPayload, decoding: Decoding, report: Report) -> None:
    before = payload.decoded or {}
    device.old.update((ts_us, quantity, channel) for ts_us, quantity, channel in before.get("stored", ()))
    device.decoded.append((payload, decoding.decoder, decoding.to_json()))
    if decoding.error is not None:
        report.refused[decoding.error.reason] += 1
    elif "error" in before:
        report.mended += 1
    for key, value in decoding.samples():
        device.new.setdefault(key, value)  # as in the table: what came first stands


async def _compare(connection: Connection, device: _Device, report: Report) -> tuple[list[Key], list[Sample]]:
    """Return what to take away and what to write."""
    keys = device.old | device.new.keys()
    if not keys:
        return [], []
    times = [ts_us for ts_us, _, _ in keys]
    there = await device_samples.samples_between(connection, device.id, min(times), max(times))
    removed = sorted(key for key in device.old - device.new.keys() if key in there)
    # a sample that another payload stored first is not this range's to change
    written = sorted(
        key for key, value in device.new.items()
        if there.get(key) != value and (key in device.old or key not in there)
    )  # fmt: skip
    report.removed += len(removed)
    report.added += sum(key not in there for key in written)
    report.changed += sum(key in there for key in written)
    report.same += len(device.new) - len(written)
    room = EXAMPLES_MAX - len(report.examples)
    report.examples += [
        Change(device.id, key, there.get(key), device.new.get(key))
        for key in islice((*removed, *written), max(0, room))
    ]
    return removed, [(*key, device.new[key]) for key in written]


async def _write(
    connection: Connection,
    device: _Device,
    removed: Sequence[Key],
    written: Sequence[Sample],
    now_us: int,
) -> None:
    await raw_payloads.set_decoded(connection, device.id, device.decoded)
    if not removed and not written:
        return
    await device_samples.replace_samples(
        connection, device.id, removed=removed, written=written, received_at_us=now_us
    )
    earliest_us = min([ts_us for ts_us, *_ in removed] + [ts_us for ts_us, *_ in written])
    await metering_due.add(connection, [device.id], [to_datetime(earliest_us)], "reprocess")
