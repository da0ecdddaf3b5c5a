"""What a benchmark returns, and how `make bench` shows it: a table, a plot, `results/latest.json`."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

mpl.use("Agg")

import matplotlib.pyplot as plt

RESULTS = Path(__file__).parent / "results"
PANELS_A_LINE = 4


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure beside its peer's, both of the same run; `note` says how they were taken."""

    name: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    note: str

    @property
    def ratio(self) -> float:
        """Ours to the peer's: what to quote, since machines differ."""
        return self.ours / self.peer


def machine() -> str:
    """Describe this machine: processor, cores, memory, Python."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, Python {platform.python_version()}"


def print_table(measurements: Sequence[Measurement], console: Console) -> None:
    """Print one row a measurement."""
    table = Table(title=machine())
    for column in ("what", "unit", "ours", "peer", "ratio", "how"):
        table.add_column(column, justify="right" if column in {"ours", "peer", "ratio"} else "left")
    for row in measurements:
        peer = f"{row.peer:,.0f} ({row.peer_name})"
        table.add_row(row.name, row.unit, f"{row.ours:,.0f}", peer, f"{row.ratio:.2f}", row.note)
    console.print(table)


def write_results(measurements: Sequence[Measurement], now: datetime) -> Path:
    """Write `results/latest.json` and a plot beside it; returns the file's path."""
    RESULTS.mkdir(exist_ok=True)
    about = {"machine": machine(), "date": now.isoformat(timespec="seconds")}
    rows = [{**asdict(row), "ratio": round(row.ratio, 3), **about} for row in measurements]
    path = RESULTS / "latest.json"
    path.write_text(json.dumps(rows, indent=2) + "\n")
    _plot(measurements, RESULTS / "latest.svg", about["date"])
    return path


def _plot(measurements: Sequence[Measurement], path: Path, date: str) -> None:
    """Draw ours and the peer's side by side, a panel each: the units differ."""
    lines = -(-len(measurements) // PANELS_A_LINE)
    size = (4.5 * PANELS_A_LINE, 3.6 * lines)
    figure, panels = plt.subplots(lines, PANELS_A_LINE, figsize=size, squeeze=False)
    for panel in panels.flat[len(measurements) :]:
        panel.set_visible(False)
    for panel, row in zip(panels.flat, measurements, strict=False):
        bars = panel.bar(["Gridwire", row.peer_name], [row.ours, row.peer], color=["#1f6f54", "#9aa5a0"])
        panel.bar_label(bars, fmt="{:,.0f}")
        panel.set_title(f"{row.name}: {row.ratio:.2f}x")
        panel.set_ylabel(row.unit)
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(y=0.15)
    figure.suptitle(f"{machine()}\n{date}", fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
