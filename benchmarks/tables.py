"""The tables, in Markdown. In each column the best is bold, whoever it is."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.reaches import REACHES, Reach
from benchmarks.results import Results


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
    "slipped_accuracy": Column("with a slip, %", _percent, max),
    "slip_loss": Column("lost by a slip, points", _percent),
    "expected_calibration_error": Column("calibration error, %", _percent),
    "bytes": Column("bytes", _whole),
    "microseconds_single": Column("µs a text, alone", _tenths),
    "microseconds_batched": Column("µs, in a batch", _tenths),
    "peak_memory": Column("memory, MiB", _mebibytes),
    "model_memory": Column("of it the model's", _mebibytes),
    "training_seconds": Column("training, s", _whole),
    "auroc": Column("AUROC", lambda value: f"{value:.4f}", max),
    "fpr_at_95_tpr": Column("FPR at 95 % TPR, %", _percent),
    "caught": Column("out-of-scope caught, %", _percent, max),
    "falsely_rejected": Column("in-scope rejected, %", _percent),
    "distance_from_trainer": Column("distance from its trainer, points", _percent),
}
RIGHT = ("accuracy", "slipped_accuracy", "slip_loss", "expected_calibration_error")
COST = (
    "bytes",
    "microseconds_single",
    "microseconds_batched",
    "peak_memory",
    "model_memory",
    "training_seconds",
)
OUT_OF_SCOPE = ("auroc", "fpr_at_95_tpr", "caught", "falsely_rejected")


def markdown(results: Results, *, trial: bool) -> str:
    """Return the page; a trial is said to be one."""
    seeds = ", ".join(map(str, results.seeds))
    packages = [
        ", ".join(map(" ".join, versions))
        for versions in dict.fromkeys(tuple(run.versions.items()) for run in results.runs)
    ]
    lines = [
        "# neuralbits beside its peers",
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
    lines += ["## Reaches", "", *_reaches(results), "## Conditions", ""]
    lines += [f"- {what}: {value}" for what, value in results.conditions.items()]
    lines += [f"- measured with: {each}" for each in packages]
    lines += [f"- settings of neuralbits: {', '.join(results.settings) or 'the defaults'}"]
    return "\n".join(lines) + "\n"


def _table(results: Results, dataset: str, names: Sequence[str]) -> list[str]:
    """Return a table of the contestants; none if nobody has any of the figures."""
    rows = {each: [each] for each in results.contestants}
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


def _reaches(results: Results) -> list[str]:
    rows = []
    for reach in REACHES:
        figure = results.figure(reach.dataset, reach.contestant, reach.figure)
        if figure is not None:
            shown = _shown(results, reach.dataset, reach.contestant, reach.figure)
            title = COLUMNS[reach.figure].title
            met = "yes" if reach.met(figure) else "**no**"
            rows.append([title, reach.dataset, reach.size, shown, _bound(reach), met])
    return _rows(["", "data", "size", "measured", "reach", "met"], rows)


def _shown(results: Results, dataset: str, contestant: str, name: str) -> str:
    figure = results.figure(dataset, contestant, name)
    if figure is None:
        return "—"
    spread = results.spread(dataset, contestant, name) if name == "accuracy" else None
    show = COLUMNS[name].show
    return show(figure) if spread is None else f"{show(figure)} ± {show(spread)}"


def _bound(reach: Reach) -> str:
    show = COLUMNS[reach.figure].show
    if reach.least is not None:
        return f"≥ {show(reach.least)}"
    assert reach.most is not None
    return f"≤ {show(reach.most)}"


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [*(f"| {' | '.join(row)} |" for row in (head, rule, *rows)), ""]
