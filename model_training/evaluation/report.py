"""The report of a training run: one HTML page that loads nothing, and its figures as JSON.

The metrics file is a `TrainingReport` field by field, with ``"schema"`` before all: a number that
grows when a field is renamed or removed, not when one is added. Rates are fractions between 0 and
1, times are in microseconds or, of epochs, in seconds; a figure that isn't finite is null.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from io import StringIO
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuralbits.files import atomic_write, refuse_foreign, stamped

from ..data import DataReport
from ..loop.history import EpochRecord
from .metrics import Evaluation, Microseconds

if TYPE_CHECKING:  # at run time they would import Matplotlib and torch
    from matplotlib.figure import Figure

    from ..compression.sensitivity import Sensitivity

SCHEMA = 1
LISTED_INTENTS, LISTED_VALUES = 30, 20
"""How many intents stand open on the page, and how many values of one list."""


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What one of the two networks costs, and how right it is."""

    name: str
    bytes: int
    microseconds_per_text: Microseconds
    evaluation: Mapping[str, Evaluation]
    """By split, in the order shown; the same splits for both networks."""


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingReport:
    """All that a report tells of a run."""

    name: str
    artifact: Measured
    """The projection network, as exported."""
    trainer: Measured | None
    """None if there was none."""
    history: Sequence[EpochRecord]
    data: DataReport
    settings: Mapping[str, Any]
    """Of JSON's types, as is the provenance."""
    provenance: Mapping[str, Any]
    sensitivities: "Sequence[Sensitivity]" = ()
    """What is left when layers are pruned, if that was asked for, on the validation split."""


def write_report(
    report: TrainingReport, html_path: Path, metrics_path: Path, *, overwrite: bool = False
) -> None:
    """Write the HTML page and the metrics file, each of them atomically.

    Both are stamped: a later report replaces them unless they were edited.

    Raises:
        ForeignFileError: one would replace a file that isn't a report, and ``overwrite`` is false.
        OSError: one can't be written.
    """
    refuse_foreign([html_path, metrics_path], overwrite=overwrite)
    for path, text in (
        (html_path, html(report)),
        (metrics_path, json.dumps(metrics(report), indent=2, ensure_ascii=False)),
    ):
        with atomic_write(path, overwrite=overwrite) as file:
            file.write(stamped(text, path.suffix))


def metrics(report: TrainingReport) -> dict[str, Any]:
    """Return the metrics file's object."""
    text = json.dumps({"schema": SCHEMA, **dataclasses.asdict(report)}, default=str)
    # Python writes NaN and infinity, which JSON does not know.
    content: dict[str, Any] = json.loads(text, parse_constant=lambda _: None)
    return content


def comparison(report: TrainingReport) -> list[tuple[str, ...]]:
    """Return a table of all measures, its head first.

    Its columns are the measure, the artifact's figure and, where there is a trainer, the trainer's
    figure and the difference. OOS recall and false-reject rate are at a threshold of each
    network's own, by one policy.
    """
    ours, theirs = report.artifact, report.trainer
    rows: list[tuple[str, ...]] = [("", "artifact")]
    if theirs:
        rows = [("", "artifact", f"trainer ({theirs.name})", "artifact against trainer")]

    def add(
        measure: str,
        figure: Callable[[Measured], float],
        write: Callable[[float], str],
        difference: Callable[[float, float], str],
    ) -> None:
        figures = [figure(measured) for measured in (ours, theirs) if measured]
        compared = [difference(*figures)] if theirs else []
        rows.append((measure, *map(write, figures), *compared))

    for split, evaluation in ours.evaluation.items():
        rates = {
            _title(rate): attrgetter(rate)
            for rate in ("accuracy", "macro_f1", "expected_calibration_error")
        }
        if evaluation.out_of_scope:
            rates["OOS recall"] = attrgetter("out_of_scope.oos_recall")
            rates["False-reject rate"] = attrgetter("out_of_scope.false_reject_rate")
        for title, rate in rates.items():
            add(
                f"{title}, {split}",
                lambda measured, split=split, rate=rate: rate(measured.evaluation[split]),  # type: ignore[misc]
                percent,
                _points,
            )
    add("Size", attrgetter("bytes"), kibibytes, partial(_times, less="smaller", more="larger"))
    for title, way in (("one a call", "single"), ("in batches", "batched")):
        add(
            f"Time per text, {title}",
            attrgetter(f"microseconds_per_text.{way}"),
            "{:,.1f} µs".format,
            partial(_times, less="faster", more="slower"),
        )
    return rows


def unseen_sentence(evaluation: Evaluation) -> str:
    """Return a sentence on the examples whose intent training lacks, if there are any."""
    if not evaluation.unseen:
        return ""
    return (
        f" {evaluation.unseen:,} of them have an intent that training lacks, and count as errors."
    )


def out_of_scope_split(report: TrainingReport) -> str:
    """Return the last split whose out-of-scope texts were measured, or else the last one."""
    evaluations = report.artifact.evaluation
    measured = [split for split in evaluations if evaluations[split].out_of_scope]
    return (measured or list(evaluations))[-1]


def percent(share: float) -> str:
    """Return a fraction as a percentage of two decimals."""
    return f"{100 * share:.2f} %"


def kibibytes(size: float) -> str:
    """Return a number of bytes in KiB, from 1 MiB on in MiB."""
    return f"{size / 2**10:,.1f} KiB" if size < 2**20 else f"{size / 2**20:,.1f} MiB"


def _points(own: float, other: float) -> str:
    return f"{100 * (own - other):+.2f} points".replace("-", "\N{MINUS SIGN}")


def _times(own: float, other: float, less: str, more: str) -> str:
    ratio = max(own, other) / max(min(own, other), 1e-9)
    figure = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}"
    return f"{figure}\N{MULTIPLICATION SIGN} {less if own <= other else more}"


def _title(field: str) -> str:
    return field.replace("_", " ").capitalize().replace("f1", "F1")


def html(report: TrainingReport) -> str:
    """Return the page, always the same for the same report."""
    split, evaluation = list(report.artifact.evaluation.items())[-1]
    outside = out_of_scope_split(report)
    head, *rows = comparison(report)
    outside_section = _out_of_scope(report.artifact.evaluation[outside], outside)
    if report.trainer and report.artifact.evaluation[outside].out_of_scope:
        outside_section += (
            "<p>The trainer's figures, in the first table, are at its own threshold, set by the "
            "same policy.</p>"
        )
    sections = {
        "Trainer against artifact" if report.trainer else "Figures": _table(head, rows),
        "Training": _training(report.history),
        **(
            {"Sensitivity to pruning": _sensitivities(report.sensitivities)}
            if report.sensitivities
            else {}
        ),
        "Calibration": _calibration(evaluation, split),
        "Out-of-scope texts": outside_section,
        "Confusions": _confusions(evaluation, split),
        "Accuracy per intent": _intents(evaluation, split),
        "Data": _data(report.data),
        "Settings": _values(report.settings),
        "Provenance": _values(report.provenance),
    }
    shown = [(title, title.lower().replace(" ", "-"), body) for title, body in sections.items()]
    return PAGE.format(
        title=escape(report.name),
        style=STYLE,
        summary=escape(
            f"{percent(evaluation.accuracy)} of {evaluation.examples:,} {split} examples right, "
            f"over {len(evaluation.intents)} intents, in {kibibytes(report.artifact.bytes)}."
            f"{unseen_sentence(evaluation)}"
        ),
        contents=" ".join(f'<a href="#{anchor}">{title}</a>' for title, anchor, _ in shown),
        sections="\n".join(
            f'<section id="{anchor}">\n<h2>{title}</h2>\n{body}\n</section>'
            for title, anchor, body in shown
        ),
    )


# The sections. Whatever comes from outside is escaped: names of intents are free text.


def _training(history: Sequence[EpochRecord]) -> str:
    if not history:
        return "<p>No epoch was trained.</p>"

    from matplotlib.ticker import MaxNLocator

    def curves(figure: "Figure", unit: str, scale: float, lines: Mapping[str, str]) -> None:
        axes = figure.subplots()
        for field, colour in lines.items():
            if getattr(history[0], field) is None:
                continue
            heights = [scale * getattr(record, field) for record in history]
            label = field.replace("_", " ").replace("projection", "projection network")
            axes.plot([record.epoch for record in history], heights, f"{colour}.-", label=label)
        axes.set(xlabel="epoch", ylabel=unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()

    def losses(figure: "Figure") -> None:
        terms = {"loss": "k", "trainer_loss": "C1", "distillation_loss": "C2"}
        curves(figure, "loss", 1, {**terms, "projection_loss": "C0"})

    def accuracies(figure: "Figure") -> None:
        curves(figure, "%", 100, {"trainer_accuracy": "C1", "projection_accuracy": "C0"})

    return (
        f'<div class="beside">{_chart("Mean training loss of each epoch", losses)}'
        f"{_chart('Accuracy on the validation split after each epoch', accuracies)}</div>"
        f"<p>After epoch {history[-1].epoch} the projection network has "
        f"{percent(history[-1].projection_accuracy)} of the validation split right.</p>"
        f"{_folded('Every epoch', _records(history))}"
    )


def _sensitivities(measured: "Sequence[Sensitivity]") -> str:
    return (
        "<p>Accuracy on the validation split when the smallest weights of one layer, a share of "
        "them, are set to 0 and nothing is trained further. Layer 0 reads the bits.</p>"
        + _records(measured)
    )


def _calibration(evaluation: Evaluation, split: str) -> str:
    bins, error = evaluation.bins, percent(evaluation.expected_calibration_error)

    def reliability(figure: "Figure") -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        middles = [(b.lower + b.upper) / 2 for b in bins]
        upper.bar(middles, [b.accuracy for b in bins], 0.06, color="C0")
        lower.bar(middles, [b.count for b in bins], 0.06, color="C0")
        upper.plot([0, 1], [0, 1], "k--")
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        lower.set(xlabel="confidence", ylabel="examples")

    return (
        f"<p>On the {escape(split)} split the expected calibration error is "
        f"<strong>{error}</strong>, the negative log likelihood {evaluation.nll:.3f} nats. Where a "
        "bar ends below the diagonal, the artifact is surer than it is right.</p>"
        f"{_chart('Reliability: accuracy, and number of examples, by confidence', reliability)}"
        f"{_folded('Every bin', _records(bins))}"
    )


def _out_of_scope(evaluation: Evaluation, split: str) -> str:
    outside = evaluation.out_of_scope
    if outside is None:
        return "<p>Not measured: no out-of-scope texts were given.</p>"

    def roc(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.plot(*zip(*outside.roc, strict=True), "C0", label="every threshold")
        chosen = 1 - outside.oos_recall, 1 - outside.false_reject_rate
        axes.plot(*chosen, "C1o", label=f"the artifact's: {outside.threshold:,.6g}")
        axes.plot([0, 1], [0, 1], "k--", label="chance")
        axes.set(xlabel="out-of-scope texts accepted", ylabel="in-scope texts accepted")
        axes.legend()

    return (
        f"<p>Below the artifact's threshold, a margin of {outside.threshold:,.6g}, lie "
        f"<strong>{percent(outside.oos_recall)}</strong> of {outside.texts:,} out-of-scope texts "
        f"(OOS recall) and {percent(outside.false_reject_rate)} of the {escape(split)} split's "
        f"{evaluation.examples:,} examples (false-reject rate). Where 95 % of those are accepted, "
        f"{percent(outside.fpr_at_95_tpr)} of the out-of-scope texts are, too.</p>"
        f"{_records(outside.collections) if len(outside.collections) > 1 else ''}"
        f"{_chart(f'ROC curve of the margin; area below it: {outside.auroc:.4f}', roc)}"
    )


def _confusions(evaluation: Evaluation, split: str) -> str:
    if not evaluation.confusions:
        return f"<p>There is no mistake on the {escape(split)} split.</p>"
    support = {measures.intent: measures.support for measures in evaluation.intents}
    names = [escape(name) for name in evaluation.confused_intents]
    lines = "".join(f'<th scope="col"><span>{name}</span></th>' for name in names)
    for i, (intent, row) in enumerate(
        zip(evaluation.confused_intents, evaluation.confusion_matrix, strict=True)
    ):
        lines += f'</tr>\n<tr><th scope="row">{names[i]}</th>'
        for j, count in enumerate(row):
            share = f"{count / max(support[intent], 1):.4f}"
            kind = "right" if i == j else "wrong"
            lines += f'<td class="{kind}" style="--share:{share}">{count or ""}</td>'
    return (
        f"<p>The intents of the most frequent mistakes on the {escape(split)} split: the true "
        "intent by row, the predicted one by column. The colour deepens with the share of the "
        "intent's examples.</p>"
        '<div class="scroll"><table class="heat"><tr><td>true, predicted</td>'
        f"{lines}</tr></table></div>"
        f"{_folded('The most frequent mistakes', _records(evaluation.confusions, 'texts'))}"
    )


def _intents(evaluation: Evaluation, split: str) -> str:
    intents = evaluation.intents
    measured = sorted((m for m in intents if m.support), key=lambda m: (m.recall, m.f1))
    worst, others = measured[:LISTED_INTENTS], measured[LISTED_INTENTS:]
    missing = ", ".join(escape(m.intent) for m in intents if not m.support)
    return (
        f"<p>On the {escape(split)} split, worst first. An intent's accuracy is its recall.</p>"
        + _records(worst)
        + (_folded(f"The other {len(others)} intents", _records(others)) if others else "")
        + (f"<p>Without an example: {missing}.</p>" if missing else "")
    )


def _data(data: DataReport) -> str:
    findings = _folded("Every finding", _records(data.findings, "texts")) if data.findings else ""
    return f"<pre>{escape(str(data))}</pre>{findings}"


# The parts that sections are made of.


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "figures") -> str:
    """Return a table whose first column names the rows. Recall, a percentage, gets a bar."""
    lines = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    for name, *cells in rows:
        lines += f'</tr>\n<tr><th scope="row">{escape(name)}</th>'
        for title, cell in zip(head[1:], cells, strict=True):
            share = float(cell.rstrip(" %")) / 100 if title == "Recall" else None
            bar = "" if share is None else f' class="bar" style="--share:{share:.4f}"'
            lines += f"<td{bar}>{escape(cell)}</td>"
    return f'<div class="scroll"><table class="{kind}"><tr>{lines}</tr></table></div>'


def _records(records: Sequence[Any], kind: str = "figures") -> str:
    """Return a table of dataclasses of one kind, a column for each field that isn't None."""
    names = [field.name for field in dataclasses.fields(records[0])]
    fields = [name for name in names if getattr(records[0], name) is not None]
    rows = [[_cell(field, getattr(record, field)) for field in fields] for record in records]
    return _table([_title(field) for field in fields], rows, kind)


_SHARES = ("share", "accuracy", "confidence", "precision", "recall", "f1", "accepted", "rate")


def _cell(field: str, value: Any) -> str:
    if not isinstance(value, float):
        return _text(value)
    is_share = field.endswith(_SHARES)
    return percent(value) if is_share else f"{value:.3f}"


def _values(values: Mapping[str, Any]) -> str:
    return _table(("Name", "Value"), flat(values), "texts")


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the names and values of nested JSON objects, the names joined by dots."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return "not recorded" if value is None else str(value)
    listed = ", ".join(map(str, value[:LISTED_VALUES]))
    rest = f" and {len(value) - LISTED_VALUES:,} more, in the metrics file"
    return listed + (rest if len(value) > LISTED_VALUES else "")


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>{body}</details>"


# Matplotlib's colours, and the page's for them, which are other ones in the dark.
COLOURS = {
    "#000000": "ink",
    "#b0b0b0": "line",
    "#1f77b4": "artifact",
    "#ff7f0e": "trainer",
    "#2ca02c": "distillation",
}
# What it writes for a file that stands alone: head, style and fonts, and the names of groups,
# which would repeat from figure to figure.
ALONE = r'\A.*?(?=<svg)|<style.*?</style>| xmlns(:xlink)?="[^"]*"|font-family: [^;]*;| id="\S+_\d+"'


def _chart(caption: str, draw: "Callable[[Figure], None]") -> str:
    import matplotlib  # here: it takes half a second, and most of a training needs none
    from matplotlib.figure import Figure

    matplotlib_settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": caption,  # without it, ids are drawn at random
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
    file = StringIO()
    with matplotlib.rc_context(matplotlib_settings):
        figure = Figure(figsize=(6, 4), layout="constrained")
        draw(figure)
        unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=unsaid)
    svg = re.sub(ALONE, "", file.getvalue(), flags=re.DOTALL)
    for colour, variable in COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(caption)}"', 1)
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}: training report</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><p>{summary}</p><nav>{contents}</nav></header>
<main>
{sections}
</main>
</body>
</html>
"""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --faint: #5b6470;
  --line: #d0d5db; --panel: #f4f6f8; --artifact: #2463c9; --trainer: #c2590c;
  --distillation: #0e8a6a; }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e4e7eb;
  --faint: #9aa4b0; --line: #3a414a; --panel: #1d2126; --artifact: #6ea6ff; --trainer: #f2955a;
  --distillation: #4cc6a3; } }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.9rem; }
h2 { margin: 2.75rem 0 .75rem; font-size: 1.25rem; }
header p { margin: .25rem 0 1rem; font-size: 1.1rem; color: var(--faint); }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
a { color: var(--artifact); text-decoration: none; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 2rem; }
figure { margin: 0; max-width: 36rem; }
figcaption { color: var(--faint); font-size: .9rem; text-align: center; }
svg { width: 100%; height: auto; fill: var(--ink); stroke-linejoin: round; }
.scroll { overflow-x: auto; }
pre { padding: 1rem; white-space: pre-wrap; background: var(--panel); border-radius: .4rem; }
table { border-collapse: collapse; }
th, td { padding: .3rem .75rem; border-bottom: 1px solid var(--line); text-align: left; }
th { font-weight: 600; }
[scope=row] { font-weight: 400; }
:is(th, td):first-child { padding-left: 0; }
.figures :is(th, td):not(:first-child) { text-align: right; font-variant-numeric: tabular-nums; }
.figures td { white-space: nowrap; }
.texts td { overflow-wrap: anywhere; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--artifact); }
.bar { min-width: 11rem; width: 20rem; background: no-repeat 0 50% /
  calc((100% - 6rem) * var(--share)) .7rem linear-gradient(var(--artifact) 0 0); }
.heat :is(th, td) { padding: .15rem .3rem; border: 1px solid var(--paper); font-weight: 400; }
.heat td:not(:first-child) { min-width: 1.3rem; text-align: center; }
.heat :is(td:first-child, [scope=col]) { vertical-align: bottom; }
.heat span { max-height: 14rem; overflow: hidden; white-space: nowrap; text-overflow: ellipsis;
  writing-mode: vertical-rl; transform: rotate(180deg); }
.right { background: color-mix(in srgb, var(--artifact) calc(var(--share) * 50%), var(--panel)); }
.wrong { background: color-mix(in srgb, var(--trainer) calc(var(--share) * 200%), var(--panel)); }
@media print { body { max-width: none; padding: 0; font-size: 11px; print-color-adjust: exact; }
  nav { display: none; } details::details-content { content-visibility: visible; }
  th, td { padding-block: .1rem; } figure { max-width: 24rem; } p, h2 { break-after: avoid; }
  figure, tr, .heat { break-inside: avoid; } }
"""
