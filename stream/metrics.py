"""Every Prometheus metric of Gridwire, under the same names in every role.

Counts of samples are not counted here: they are what the database committed and the log holds
(`sample_metrics`), so they stay true when a process dies. With `PROMETHEUS_MULTIPROC_DIR` set, `render`
answers for all processes that share that folder.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from storage.queries.totals import Producer, SampleTotal
from stream.headers import FrameHeader

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

LOG_LAG = Gauge(
    "gridwire_log_lag_frames", "Frames in the log that no table has yet", multiprocess_mode="livesum"
)
CHARGERS_CONNECTED = Gauge(
    "gridwire_chargers_connected", "Authenticated charger sockets", multiprocess_mode="livesum"
)
OCPP_MESSAGES = Counter("gridwire_ocpp_messages", "OCPP calls handled", ["version", "action", "result"])
OCPP_UNLOGGED = Counter("gridwire_ocpp_messages_unlogged", "OCPP frames that the message log had no room for")
CHARGER_COMMANDS = Counter(
    "gridwire_charger_commands", "Durable commands to chargers that came into a state", ["state"]
)
NBIOT_MESSAGES = Counter(
    "gridwire_nbiot_messages", "Messages over CoAP, UDP and MQTT of meters, by what was said of them",
    ["way", "result"],
)  # fmt: skip
OCPP_REPAIRS = Counter(
    "gridwire_ocpp_repairs",
    "What was wrong with calls of chargers, by their make",
    ["vendor", "model", "tag"],
)
# Makes of chargers with a label of their own; what comes after them counts as "other".
MAKES_MAX = 200
MAKE_CHARACTERS_MAX = 40
ACK_SECONDS = Histogram(
    "gridwire_ack_seconds", "From a device's bytes to its acknowledgement", buckets=_SECONDS
)
COMMIT_SECONDS = Histogram(
    "gridwire_commit_seconds", "From a frame in the log to its rows in the table", buckets=_SECONDS
)


_makes: set[tuple[str, str]] = set()


def count_repairs(vendor: str | None, model: str | None, tags: Iterable[str]) -> None:
    """Count what was wrong with one call of a charger of this make; None is what it has not said."""
    make = _make_label(vendor), _make_label(model)
    if make not in _makes and len(_makes) >= MAKES_MAX:
        make = "other", "other"
    else:
        _makes.add(make)
    for tag in tags:
        OCPP_REPAIRS.labels(*make, tag).inc()


def _make_label(text: str | None) -> str:
    printable = "".join(filter(str.isprintable, text or ""))[:MAKE_CHARACTERS_MAX].strip()
    return printable or "unknown"


def sample_metrics(
    producers: Iterable[Producer], totals: Iterable[SampleTotal], heads: Mapping[str, FrameHeader]
) -> list[Metric]:
    """Return the counts of samples; the two laws hold among them at any time.

    `producers` and `totals` are of one database snapshot, `heads` (of `stream.log.log_heads`) were read
    before it: a producer counts as far as the table or the log has it, whichever is further.
    """
    stored = {producer.producer: producer for producer in producers}
    known = [_further(stored.get(name), heads.get(name)) for name in sorted(stored.keys() | heads.keys())]
    in_flight = sum(
        max(0, head.decoded - (stored[name].decoded if name in stored else 0)) for name, head in heads.items()
    )
    return [*_by_source(known), *_by_table(totals), _in_flight(in_flight)]


def _further(stored: Producer | None, head: FrameHeader | None) -> Producer | FrameHeader:
    if head is None or (stored is not None and stored.seq >= head.seq):
        assert stored is not None
        return stored
    return head


def _by_source(known: Sequence[Producer | FrameHeader]) -> list[Metric]:
    received = CounterMetricFamily("gridwire_samples_received", "Samples received", labels=["source"])
    decoded = CounterMetricFamily("gridwire_samples_decoded", "Samples decoded", labels=["source"])
    refused = CounterMetricFamily(
        "gridwire_samples_refused", "Payloads that did not decode", labels=["source", "reason"]
    )
    for source in sorted({producer.source for producer in known}):
        own = [producer for producer in known if producer.source == source]
        received.add_metric([source], sum(producer.received for producer in own))
        decoded.add_metric([source], sum(producer.decoded for producer in own))
        for reason in sorted({reason for producer in own for reason in producer.refused}):
            count = sum(producer.refused.get(reason, 0) for producer in own)
            refused.add_metric([source, reason], count)
    return [received, decoded, refused]


def _by_table(totals: Iterable[SampleTotal]) -> list[Metric]:
    labels = {"stored": ["table"], "duplicate": ["table"], "quarantined": ["table", "reason"]}
    families = {
        outcome: CounterMetricFamily(f"gridwire_samples_{outcome}", f"Samples {outcome}", labels=names)
        for outcome, names in labels.items()
    }
    for total in totals:
        values = [total.table_name, total.reason][: len(labels[total.outcome])]
        families[total.outcome].add_metric(values, total.samples)
    return list(families.values())


def _in_flight(samples: int) -> Metric:
    return GaugeMetricFamily(
        "gridwire_samples_in_flight", "Samples acknowledged to devices, not in a table yet", value=samples
    )


class _Given(Collector):
    """Hands families that were made for one answer to the text format."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def render(families: Sequence[Metric]) -> bytes:
    """Return the Prometheus text of `families` and of this process's metrics, or of all processes'."""
    registry = CollectorRegistry()
    registry.register(_Given(families))
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(registry) + generate_latest(REGISTRY)
