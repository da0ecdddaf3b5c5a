"""What battery health costs: counting cycles beside the rainflow package, and whole assessments.

Run by `python -m benchmarks.health`; `measure` is for `make bench`.
"""

import time
from collections.abc import Callable

import numpy as np
import rainflow  # type: ignore[import-untyped]
from rich.console import Console

from benchmarks.report import Measurement, print_table
from protocols.battery.frames import ENCODERS, decode
from protocols.battery.telemetry import Sample
from stream.health.assess import State, assess, follow
from stream.health.cycles import Rainflow, feed
from stream.health.window import window_of

ROWS = 200_000
CELLS = 14
REPEATS = 3


def measure(rows: int = ROWS) -> Measurement:
    """Samples a second through cycle counting; the note has the rows a second of whole assessments."""
    columns = _columns(rows)
    soc_pct = np.array(columns["soc_pct"], dtype=np.float64)
    listed = columns["soc_pct"]

    def everything() -> None:
        window = window_of(columns)
        state, _ = follow(window, State())
        assess(window, state, [], [])

    note = (
        f"{rows:,} noisy samples, best of {REPEATS}, one core; whole assessments of rows with {CELLS} cells, "
        f"from lists to score: {rows / _best(everything):,.0f} rows/s"
    )
    ours = rows / _best(lambda: feed(Rainflow(), soc_pct))
    peer = rows / _best(lambda: list(rainflow.extract_cycles(listed)))
    return Measurement("battery cycles", "samples/s", ours, peer, "rainflow", note)


def frames_a_second(protocol: str, count: int = 2_000) -> float:
    """Answers of a BMS (all their frames) read a second."""
    sample = Sample(
        voltage_v=51.8, current_a=-12.5, soc_pct=76.0, soh_pct=98.0, cycles=212, temperatures_c=[31.0, 32.0],
        cell_voltages_v=[3.7] * CELLS,
    )  # fmt: skip
    payload = ENCODERS[protocol](sample)
    return count / _best(lambda: [decode(payload, received_at_us=0) for _ in range(count)])


def _best(work: Callable[[], object]) -> float:
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def _columns(rows: int) -> dict[str, list[object]]:
    """A battery of daily use at a sample each 10 seconds, with noise."""
    rng = np.random.default_rng(7)
    hours = np.arange(rows) * 10 / 3600
    current_a = np.where(hours % 24 < 4, -20.0, np.where(hours % 24 < 9, 16.0, 0.0)) + rng.normal(
        0, 0.2, rows
    )
    soc_pct = np.clip(90 + np.cumsum(current_a) * 10 / 3600, 0, 100)
    cells_v = 3.3 + soc_pct[:, None] / 120 + rng.normal(0, 0.002, (rows, CELLS))
    return {
        "ts": (np.arange(rows) * 10_000_000).tolist(),
        "voltage_v": cells_v.sum(axis=1).tolist(),
        "current_a": current_a.tolist(),
        "soc_pct": soc_pct.tolist(),
        "soh_pct": [98.0] * rows,
        "flags": [0] * rows,
        "temperatures_c": rng.normal(28, 1, (rows, 2)).tolist(),
        "cell_voltages_v": cells_v.tolist(),
    }


if __name__ == "__main__":
    console = Console()
    print_table([measure()], console)
    for name in ENCODERS:
        console.print(f"{name}: {frames_a_second(name):,.0f} answers/s")
