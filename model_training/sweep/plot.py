"""The plot of a sweep: accuracy against bits, bytes and microseconds, beside the trainer's."""

from collections.abc import Callable, Sequence
from io import StringIO
from operator import attrgetter
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from .results import Point, Results, Spread, size_name

ARTIFACT, TRAINER, FAINT, LINES = "#2463c9", "#c2590c", "#5b6470", "#e3e6ea"
"""Every kind of colour vision distinguishes blue and orange."""
POWERS_OF_2 = [2**exponent for exponent in range(31)]
ONE_TWO_FIVE = [step * 10**exponent for exponent in range(8) for step in (1, 2, 5)]


class Panel(NamedTuple):
    """One of the three things that accuracy costs."""

    title: str
    cost: Callable[[Point], Spread]
    ticks: Sequence[int]
    """The best places for ticks."""
    tick: str
    """The format of a tick."""
    scale: float = 1
    """What the cost is divided by."""


PANELS = {
    "bits": Panel("neural bits", attrgetter("bits"), POWERS_OF_2, "{:,g}"),
    "size": Panel("size of the artifact", attrgetter("bytes"), POWERS_OF_2, "{:,g} KiB", 1024),
    "time": Panel("time per text, one a call", attrgetter("single"), ONE_TWO_FIVE, "{:,g} µs"),
}


def svg(results: Results) -> str:
    """Return the plot as an SVG file, always the same for the same results.

    Its background is white, so that it can be read on a page of any colour.
    """
    settings: Any = {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "sweep",  # without it, ids are drawn at random
        "text.parse_math": False,  # a file may have dollars in its name
        "font.size": 9,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": LINES,
        "legend.frameon": False,
    }
    file = StringIO()
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(10.5, 3.6), layout=ConstrainedLayoutEngine(wspace=0.06))
        for axes, panel in zip(figure.subplots(1, 3, sharey=True), PANELS, strict=True):
            _draw_accuracies(axes, results, PANELS[panel], labelled=panel != results.swept)
            if results.trainer_accuracy:
                _draw_trainer(axes, results.trainer, results.trainer_accuracy, len(results.runs))
        first = figure.axes[0]
        first.set_ylabel(f"right on the {results.split} split of {results.data}, %")
        figure.legend(*first.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date")))
    return file.getvalue()


def _draw_accuracies(axes: Axes, results: Results, panel: Panel, *, labelled: bool) -> None:
    points = results.points
    costs = [panel.cost(point).mean / panel.scale for point in points]
    accuracies = [point.accuracy[results.split] for point in points]
    heights = [100 * each.mean for each in accuracies]
    seeds = max(len(point.seeds) for point in points)
    around, label = None, "artifact"
    if seeds > 1:
        below = [100 * (each.mean - each.lowest) for each in accuracies]
        above = [100 * (each.highest - each.mean) for each in accuracies]
        around, label = (below, above), f"artifact, mean of {seeds} seeds (bars: lowest to highest)"
    axes.errorbar(costs, heights, around, fmt="o-", color=ARTIFACT, capsize=3, label=label)
    axes.margins(y=0.1)
    for point, cost, height in zip(points, costs, heights, strict=True) if labelled else ():
        name = f"{point.value:,} bits" if results.swept == "bits" else size_name(point.value)
        where, offset = (cost, height), (5, -9)
        axes.annotate(name, where, offset, textcoords="offset points", fontsize=8, color=FAINT)

    margin = max((max(costs) / min(costs)) ** 0.06, 1.1)
    left, right = min(costs) / margin, max(costs) * margin
    ticks = [float(tick) for tick in panel.ticks if left <= tick <= right]
    if len(ticks) < 2:  # they are too far apart
        ticks = [tick for tick in MaxNLocator(5).tick_values(left, right) if left <= tick <= right]
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    axes.set_xlabel(panel.title)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: panel.tick.format(tick)))
    axes.xaxis.set_minor_locator(NullLocator())


def _draw_trainer(axes: Axes, name: str, accuracy: Spread, runs: int) -> None:
    label = f"trainer ({name}): {100 * accuracy.mean:.1f} %"
    if runs > 1:
        label += f", mean of its {runs} runs (band: lowest to highest)"
    axes.axhline(100 * accuracy.mean, color=TRAINER, linestyle="--", label=label)
    axes.axhspan(100 * accuracy.lowest, 100 * accuracy.highest, color=TRAINER, alpha=0.15, lw=0)
