"""The tables, in Markdown. In each column the best is bold, baselines included."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.results import Results
from benchmarks.targets import TARGETS, Target


@dataclass(frozen=True, slots=True)
class Column:
    """How a figure is shown."""

    title: str
    show: Callable[[float], str]
    best: Callable[[Iterable[float]], float] = min


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".replace("-", "\N{MINUS SIGN}")


def _whole(number: float) -> str:
    return f"{number:,.0f}"


def _tenths(number: float) -> str:
    return f"{number:,.1f}"


def _mebibytes(size: float) -> str:
    return f"{size / 2**20:,.1f}"


COLUMNS = {
    "accuracy": Column("accuracy, %", _percent, max),
    "typo_accuracy": Column("with a typo, %", _percent, max),
    "typo_loss": Column("lost by a typo, points", _percent),
    "expected_calibration_error": Column("calibration error, %", _percent),
    "bytes": Column("bytes", _whole),
    "microseconds_single": Column("µs a text, alone", _tenths),
    "microseconds_batched": Column("µs, in a batch", _tenths),
    "peak_memory": Column("memory, MiB", _mebibytes),
    "model_memory": Column("of it the model's", _mebibytes),
    "training_seconds": Column("training, s", _whole),
    "auroc": Column("AUROC", lambda value: f"{value:.4f}", max),
    "fpr_at_95_tpr": Column("FPR at 95 % TPR, %", _percent),
    "oos_recall": Column("OOS recall, %", _percent, max),
    "false_reject_rate": Column("false rejects, %", _percent),
    "distance_from_trainer": Column("distance from its trainer, points", _percent),
}
RIGHT = ("accuracy", "typo_accuracy", "typo_loss", "expected_calibration_error")
COST = (
    "bytes",
    "microseconds_single",
    "microseconds_batched",
    "peak_memory",
    "model_memory",
    "training_seconds",
)
OUT_OF_SCOPE = ("auroc", "fpr_at_95_tpr", "oos_recall", "false_reject_rate")


def markdown(results: Results, *, trial: bool) -> str:
    """Return the page; the page of a trial is marked as such."""
    seeds = ", ".join(map(str, results.seeds))
    packages = [
        ", ".join(map(" ".join, versions))
        for versions in dict.fromkeys(tuple(run.versions.items()) for run in results.runs)
    ]
    lines = [
        "# neuralbits beside its baselines",
        "",
        "Written by `make bench`; benchmarks/README.md says what each figure means. Everything is",
        f"measured on the test split, with these seeds: {seeds}. Rates are their mean, ± standard",
        "deviation; bytes, memory and training time the largest, other times the median. The best",
        "of each column is **bold**.",
        "",
    ]
    if trial:
        lines += ["**A trial: not the run that the defaults of `make bench` make.**", ""]
    for name, sizes in results.datasets.items():
        lines += [
            f"## {name}",
            "",
            f"{sizes['intents']} intents; examples: "
            + ", ".join(
                f"{sizes[each]:,} {each}" for each in sizes if each != "intents" and sizes[each]
            ),
            "",
            *_table(results, name, RIGHT),
            *_table(results, name, COST),
            *_table(results, name, OUT_OF_SCOPE),
        ]
    lines += ["## Targets", "", *_targets(results), "## Conditions", ""]
    lines += [f"- {what}: {value}" for what, value in results.conditions.items()]
    lines += [f"- measured with: {each}" for each in packages]
    lines += [f"- settings of neuralbits: {', '.join(results.settings) or 'the defaults'}"]
    return "\n".join(lines) + "\n"


def _table(results: Results, dataset: str, names: Sequence[str]) -> list[str]:
    """Return a table of the systems; none if no system has any of the figures."""
    rows = {each: [each] for each in results.systems}
    found = False
    for name in names:
        column = COLUMNS[name]
        figures = {each: results.figure(dataset, each, name) for each in rows}
        measured = [figure for figure in figures.values() if figure is not None]
        found |= bool(measured)
        best = column.show(column.best(measured)) if measured else None
        for each, figure in figures.items():
            shown = _shown(results, dataset, each, name)
            won = figure is not None and column.show(figure) == best
            rows[each].append(f"**{shown}**" if won else shown)
    if not found:
        return []
    return _rows(["", *(COLUMNS[name].title for name in names)], rows.values())


def _targets(results: Results) -> list[str]:
    rows = []
    for target in TARGETS:
        figure = results.figure(target.dataset, target.system, target.figure)
        if figure is not None:
            shown = _shown(results, target.dataset, target.system, target.figure)
            title = COLUMNS[target.figure].title
            met = "yes" if target.met(figure) else "**no**"
            rows.append([title, target.dataset, target.size, shown, _bound(target), met])
    return _rows(["", "data", "size", "measured", "target", "met"], rows)


def _shown(results: Results, dataset: str, system: str, name: str) -> str:
    figure = results.figure(dataset, system, name)
    if figure is None:
        return "—"
    spread = results.spread(dataset, system, name) if name == "accuracy" else None
    show = COLUMNS[name].show
    return show(figure) if spread is None else f"{show(figure)} ± {show(spread)}"


def _bound(target: Target) -> str:
    show = COLUMNS[target.figure].show
    if target.least is not None:
        return f"≥ {show(target.least)}"
    assert target.most is not None
    return f"≤ {show(target.most)}"


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [*(f"| {' | '.join(row)} |" for row in (head, rule, *rows)), ""]
