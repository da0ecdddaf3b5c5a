import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from storage.queries.totals import Producer, SampleTotal
from stream.headers import FrameHeader
from stream.metrics import render, sample_metrics

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = {
    "gridwire_samples_received_total", "gridwire_samples_decoded_total", "gridwire_samples_refused_total",
    "gridwire_samples_stored_total", "gridwire_samples_duplicate_total", "gridwire_samples_quarantined_total",
    "gridwire_samples_in_flight", "gridwire_log_lag_frames", "gridwire_chargers_connected",
    "gridwire_ack_seconds_bucket", "gridwire_commit_seconds_bucket",
}  # fmt: skip


def values(text: str) -> dict[str, float]:
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(found: dict[str, float], name: str) -> float:
    return sum(value for key, value in found.items() if key.startswith(name + "["))


def test_the_laws_hold_in_the_text() -> None:
    producers = [
        Producer("a-0", "mqtt", 3, 35, 30, {"not_json": 5}, NOW),
        Producer("b-0", "ocpp16", 1, 10, 10, {}, NOW),
        Producer("old-0", "mqtt", 9, 7, 7, {}, NOW),
    ]
    totals = [
        SampleTotal("battery_samples", "stored", "", 40),
        SampleTotal("battery_samples", "duplicate", "", 3),
        SampleTotal("battery_samples", "quarantined", "clock_past", 4),
    ]
    heads = {
        "a-0": FrameHeader("a-0", 5, "mqtt", "battery_samples", 1, 42, {"not_json": 6}),
        "b-0": FrameHeader("b-0", 1, "ocpp16", "charger_samples", 1, 10, {}),
        "new-0": FrameHeader("new-0", 1, "mqtt", "battery_samples", 1, 8, {}),
    }
    text = render(sample_metrics(producers, totals, heads)).decode()
    found = values(text)
    received, decoded = (
        total(found, "gridwire_samples_received_total"),
        total(found, "gridwire_samples_decoded_total"),
    )
    assert received == decoded + total(found, "gridwire_samples_refused_total") == 73
    ends = ("stored_total", "duplicate_total", "quarantined_total", "in_flight")
    assert decoded == sum(total(found, f"gridwire_samples_{end}") for end in ends) == 67
    assert {name for name in NAMES if not any(key.startswith(name + "[") for key in found)} == set()


PROCESS = """
import sys
from stream.metrics import ACK_SECONDS, CHARGERS_CONNECTED, OCPP_MESSAGES
CHARGERS_CONNECTED.set(int(sys.argv[1]))
ACK_SECONDS.observe(0.01)
OCPP_MESSAGES.labels("1.6", "BootNotification", "ok").inc()
print("set", flush=True)
sys.stdin.read()
"""


def test_one_answer_for_all_processes(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PROCESS]
    others = [
        subprocess.Popen(
            [*command, number],
            env=environment,
            cwd=root,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in ("3", "4")
    ]
    for other in others:
        assert other.stdout is not None
        assert other.stdout.readline() == "set\n"
    asking = "from stream.metrics import render; import sys; sys.stdout.buffer.write(render([]))"
    answer = subprocess.run(
        [sys.executable, "-c", asking], env=environment, cwd=root, check=True, capture_output=True, text=True
    )
    for other in others:
        other.communicate("")
    found = values(answer.stdout)
    assert found["gridwire_chargers_connected[]"] == 7
    assert found["gridwire_ack_seconds_count[]"] == 2
    assert total(found, "gridwire_ocpp_messages_total") == 2
