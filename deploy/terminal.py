"""What `gridwire up` shows: a live status in a terminal, plain lines where there is none.

Figures come from the API's `/metrics`, like any operator's dashboard: the screen knows nothing that a
Prometheus scrape would not.
"""

import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

SCRAPE_TIMEOUT_S = 2.0
NOTES_MAX = 6
RATE_WINDOW_S = 10.0

Labels = tuple[tuple[str, str], ...]
Figures = Mapping[tuple[str, Labels], float]


def scrape(url: str) -> Figures | None:
    """All figures of a `/metrics` page, or None while it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=SCRAPE_TIMEOUT_S) as answer:  # noqa: S310 - our own address
            text = answer.read().decode()
    except (OSError, urllib.error.URLError):
        return None
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(figures: Figures, name: str) -> float:
    """Sum of a metric over all its labels."""
    return sum(value for (metric, _), value in figures.items() if metric == name)


def by_label(figures: Figures, name: str, label: str) -> dict[str, float]:
    """Sum of a metric for each value of one label."""
    sums: dict[str, float] = {}
    for (metric, labels), value in figures.items():
        if metric == name:
            key = dict(labels).get(label, "")
            sums[key] = sums.get(key, 0.0) + value
    return sums


@dataclass(slots=True)
class Status:
    """What the screen shows. `observe` feeds it a scrape; `note` a line worth reading."""

    addresses: Sequence[tuple[str, str]]
    scrapes: deque[tuple[float, Figures]] = field(default_factory=deque)
    notes: deque[str] = field(default_factory=lambda: deque(maxlen=NOTES_MAX))
    services: dict[str, str] = field(default_factory=dict)

    def observe(self, now_s: float, figures: Figures) -> None:
        """Take in a scrape made at `now_s` (monotonic seconds)."""
        self.scrapes.append((now_s, figures))
        while len(self.scrapes) > 2 and now_s - self.scrapes[0][0] > RATE_WINDOW_S:
            self.scrapes.popleft()

    def note(self, text: str) -> None:
        """Show a line until newer ones push it out."""
        self.notes.append(f"{time.strftime('%H:%M:%S')}  {text}")

    def render(self) -> RenderableType:
        """The whole screen."""
        figures = self.scrapes[-1][1] if self.scrapes else {}
        return Group(
            Panel(self._samples(figures), title="samples", border_style="green"),
            Panel(self._state(figures), title="state", border_style="cyan"),
            Panel(self._where(), title="open", border_style="blue"),
            Panel(Text("\n".join(self.notes) or "all quiet"), title="notes", border_style="yellow"),
            Text("Ctrl-C stops everything in order; the next start goes on with the same data.", style="dim"),
        )

    def line(self) -> str:
        """The same in one line, for logs and pipes."""
        figures = self.scrapes[-1][1] if self.scrapes else {}
        received = self._rates("gridwire_samples_received_total", "source")
        stored = sum(self._rates("gridwire_samples_stored_total", "table").values())
        rates = ", ".join(f"{source} {rate:.0f}/s" for source, rate in sorted(received.items()))
        facts = ", ".join(f"{name} {value:.0f}" for name, value in self._facts(figures))
        return f"received: {rates or 'none yet'}; stored {stored:.0f}/s; {facts}"

    def _rates(self, name: str, label: str) -> dict[str, float]:
        if len(self.scrapes) < 2:
            return {}
        (began, first), (ended, last) = self.scrapes[0], self.scrapes[-1]
        before, after = by_label(first, name, label), by_label(last, name, label)
        return {key: (value - before.get(key, 0.0)) / (ended - began) for key, value in after.items()}

    def _samples(self, figures: Figures) -> Table:
        table = Table(box=None, expand=True)
        for column in ("", "total", "a second"):
            table.add_column(column, justify="left" if not column else "right")
        for verb, label in (("received", "source"), ("refused", "source"), ("stored", "table")):
            name = f"gridwire_samples_{verb}_total"
            rates = self._rates(name, label)
            for key, value in sorted(by_label(figures, name, label).items()):
                table.add_row(f"{verb} {key}", f"{value:,.0f}", f"{rates.get(key, 0.0):,.0f}")
        return table

    @staticmethod
    def _facts(figures: Figures) -> list[tuple[str, float]]:
        names = (
            ("chargers connected", "gridwire_chargers_connected"),
            ("active sessions", "gridwire_sessions_active"),
            ("log lag (frames)", "gridwire_log_lag_frames"),
            ("in flight", "gridwire_samples_in_flight"),
            ("duplicate", "gridwire_samples_duplicate_total"),
            ("refused", "gridwire_samples_refused_total"),
            ("quarantined", "gridwire_samples_quarantined_total"),
        )
        return [(label, total(figures, name)) for label, name in names]

    def _state(self, figures: Figures) -> Table:
        table = Table.grid(padding=(0, 3))
        for name, value in self._facts(figures):
            table.add_row(name, f"{value:,.0f}")
        services = ", ".join(f"{name} {state}" for name, state in self.services.items())
        table.add_row("services", services)
        return table

    def _where(self) -> Table:
        table = Table.grid(padding=(0, 3))
        for name, address in self.addresses:
            table.add_row(name, address)
        return table
