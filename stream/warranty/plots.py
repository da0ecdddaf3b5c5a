"""Plots of a claim's evidence: what was measured as a band, with the limits of the terms as lines.

Used by the API, in a thread of its own: one plot is drawn at a time. matplotlib is loaded with the first.
"""

import asyncio
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Literal, TypeGuard

Format = Literal["png", "svg"]

WIDTH_IN, HEIGHT_IN = 8.0, 3.6
DPI = 110
_BLUE = "#2b6ca3"
_LINE = "-o"  # a lone value is seen too
_drawer = ThreadPoolExecutor(1, thread_name_prefix="plots")  # matplotlib is not made for several


@dataclass(frozen=True, slots=True)
class Plot:
    """`lower` and `upper`: columns of the evidence's series. `limits`: names of the terms, and their sign."""

    title: str
    unit: str
    lower: str
    upper: str
    limits: Mapping[str, int]


PLOTS: Mapping[str, Plot] = {
    "voltage": Plot("Pack voltage", "V", "voltage_min_v", "voltage_max_v", {"min_pack_voltage_v": 1}),
    "cell_voltage": Plot("Lowest cell", "V", "cell_min_v", "cell_min_v", {"min_cell_voltage_v": 1}),
    "soc": Plot("State of charge", "%", "soc_min_pct", "soc_max_pct", {"min_soc_pct": 1}),
    "temperature": Plot(
        "Hottest sensor", "°C", "temperature_max_c", "temperature_max_c", {"max_temperature_c": 1}
    ),
    "current": Plot(
        "Current (charging above 0)", "A", "current_min_a", "current_max_a",
        {"max_charge_current_a": 1, "max_discharge_current_a": -1},
    ),
}  # fmt: skip


def is_format(name: str) -> TypeGuard[Format]:
    """Whether plots are drawn as this."""
    return name in {"png", "svg"}


async def draw_plot(evidence: Mapping[str, Any], name: str, kind: Format) -> bytes:
    """Draw the plot with this name of `PLOTS`; the same bytes for the same evidence."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_drawer, _draw, evidence, PLOTS[name], kind)


def _draw(evidence: Mapping[str, Any], plot: Plot, kind: Format) -> bytes:
    mpl, dates, figures = (
        import_module(name) for name in ("matplotlib", "matplotlib.dates", "matplotlib.figure")
    )
    series, limits = evidence["series"], evidence["limits"]
    times = [datetime.fromtimestamp(second, UTC) for second in series["at_s"]]
    lower, upper = _numbers(series[plot.lower]), _numbers(series[plot.upper])
    with mpl.rc_context({"svg.hashsalt": "gridwire"}):
        figure = figures.Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        if plot.lower != plot.upper:
            axes.fill_between(times, lower, upper, color="#8fb8de", label="measured (lowest to highest)")
            axes.plot(times, lower, _LINE, color=_BLUE, linewidth=0.8, markersize=2)
        axes.plot(times, upper, _LINE, color=_BLUE, linewidth=0.8, markersize=2, label=_label(plot))
        for limit in plot.limits:
            if limit in limits:
                value = plot.limits[limit] * limits[limit]
                axes.axhline(value, color="#c0392b", linestyle="--", label=f"limit {value:g} {plot.unit}")
        axes.set_title(plot.title, loc="left")
        axes.set(xlabel="UTC", ylabel=plot.unit)
        axes.grid(visible=True, alpha=0.3)
        figure.legend(loc="outside upper right", ncols=3, fontsize="small")
        locator = dates.AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
        target = io.BytesIO()
        undated = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(target, format=kind, metadata=undated)
    return target.getvalue()


def _label(plot: Plot) -> str | None:
    """A band has the one label for both of its lines."""
    return "measured" if plot.lower == plot.upper else None


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
