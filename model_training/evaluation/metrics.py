"""Measuring a classifier: from probabilities and true intents to every figure that is reported.

Precision, recall, F1, ROC and the confusion matrix are scikit-learn's. The expected calibration
error is that of Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599).
Out-of-scope detection takes in-scope texts as the positives. What tells them apart is the margin of
a text's greatest score, where Hendrycks et al. 2022 (arXiv:1911.11132) take that score itself.

Every rate is a fraction between 0 and 1.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuralbits.classifier import Classifier
from neuralbits.errors import NeuralbitsError, shown
from neuralbits.network import margin
from neuralbits.network import probabilities as probabilities_of

CALIBRATION_BINS, WORST_CONFUSIONS, WORST_INTENTS, ROC_POINTS, TIMED_TEXTS = 15, 20, 20, 200, 1000

SHOWN_INTENTS = 5  # of the weakest, in a notebook


class EvaluationError(NeuralbitsError):
    """Examples or probabilities that cannot be evaluated, in one sentence."""


@dataclass(frozen=True, slots=True)
class IntentMeasures:
    """How one intent is recognised; a share of nothing is 0."""

    intent: str
    precision: float
    recall: float
    f1: float
    support: int
    """How many examples of it there are."""
    false_reject_rate: float | None = None
    """The share of its examples whose margin lies below the threshold, if there is one."""


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The examples whose confidence lies in (lower, upper]."""

    lower: float
    upper: float
    count: int
    """How many there are; never none."""
    confidence: float
    """Their mean confidence."""
    accuracy: float
    """The share of them that is right."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """One kind of mistake: an intent, and what was predicted in its place."""

    intent: str
    predicted: str
    count: int
    """How many examples of the intent were mistaken so."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Out-of-scope texts of one kind, or from one source."""

    name: str
    texts: int
    """How many there are."""
    accepted: float
    """The share of them that is taken for a command."""


@dataclass(frozen=True, slots=True)
class OutOfScope:
    """How well the margin of its greatest score tells an out-of-scope text from an in-scope one."""

    texts: int
    """How many out-of-scope texts there are."""
    auroc: float
    fpr_at_95_tpr: float
    """The share of them that is accepted where at least 95 % of the in-scope texts are."""
    threshold: float
    """The least margin that is accepted."""
    oos_recall: float
    """The share of the out-of-scope texts whose margin lies below the threshold."""
    false_reject_rate: float
    """The share of the in-scope texts whose margin does."""
    collections: tuple[Collection, ...]
    """The same texts by kind, in the order of the names."""
    roc: tuple[tuple[float, float], ...]
    """At most `ROC_POINTS` points (false positive rate, true positive rate) of the curve."""


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """Everything measured on one set of examples."""

    examples: int
    """How many there are."""
    unseen: int
    """How many of them have an intent that is none of the classes: errors, in the accuracy."""
    accuracy: float
    macro_f1: float
    """The mean over the intents that occur, as an example's or as a prediction."""
    nll: float
    """The mean negative log likelihood in nats."""
    expected_calibration_error: float
    bins: tuple[CalibrationBin, ...]
    """By rising confidence; bins without examples are left out."""
    intents: tuple[IntentMeasures, ...]
    """One for each class, in their order."""
    confusions: tuple[Confusion, ...]
    """The most frequent mistakes, at most `WORST_CONFUSIONS`, the most frequent first."""
    confused_intents: tuple[str, ...]
    """The intents of those mistakes, at most `WORST_INTENTS`."""
    confusion_matrix: tuple[tuple[int, ...], ...]
    """``[i][j]`` counts the examples of confused intent i that were predicted to be the j-th."""
    out_of_scope: OutOfScope | None
    """None if no out-of-scope texts were given."""

    def to_json(self) -> dict[str, Any]:
        """All fields, by name, as JSON's types."""
        return dataclasses.asdict(self)

    def facts(self) -> dict[str, str]:
        """Return the main figures, by name, as they are shown."""
        facts = {
            "examples": f"{self.examples:,}",
            "accuracy": f"{self.accuracy:.2%}",
            "macro F1": f"{self.macro_f1:.2%}",
            "expected calibration error": f"{self.expected_calibration_error:.2%}",
        }
        if (rejection := self.out_of_scope) is not None:
            facts |= {
                "out-of-scope texts": f"{rejection.texts:,}",
                "OOS recall": f"{rejection.oos_recall:.2%}",
                "false-reject rate": f"{rejection.false_reject_rate:.2%}",
                "AUROC": f"{rejection.auroc:.4f}",
                "false accepts at 95% true accepts": f"{rejection.fpr_at_95_tpr:.2%}",
            }
        return facts

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {figure}" for name, figure in self.facts().items())

    def _repr_html_(self) -> str:
        """Return the main figures and the weakest intents, as a notebook shows them."""
        weakest = sorted((m for m in self.intents if m.support), key=lambda m: m.recall)
        rows = [*self.facts().items()]
        rows += [(f"recall of {m.intent}", f"{m.recall:.2%}") for m in weakest[:SHOWN_INTENTS]]
        cells = "".join(
            f"<tr><th style='text-align: left'>{escape(name)}</th><td>{figure}</td></tr>"
            for name, figure in rows
        )
        return f"<table>{cells}</table>"


@dataclass(frozen=True, slots=True)
class Microseconds:
    """Wall-clock microseconds per text."""

    single: float
    """One text a call: the median."""
    batched: float
    """Many texts a call."""


class Outputs(NamedTuple):
    """What a classifier, or a trainer, answers for N texts."""

    scores: NDArray[np.float64]
    """Shape (N, C), in any unit."""
    probabilities: NDArray[np.float64]
    """Shape (N, C), each row summing to 1."""


def outputs_of(classifier: Classifier, texts: Sequence[str]) -> Outputs:
    """Return a classifier's outputs for N ≥ 1 texts, which are projected once."""
    scores, manifest = classifier.scores(texts), classifier.manifest
    return Outputs(scores, probabilities_of(scores * (manifest.scale / manifest.temperature)))


def evaluate(
    probabilities: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    out_of_scope: OutOfScope | None = None,
    rejected: NDArray[np.bool_] | None = None,
    *,
    unseen: int = 0,
) -> Evaluation:
    """Measure probabilities of shape (N, C) against labels of shape (N,), indices of C classes.

    The intent of the greatest probability is the prediction, and that probability its confidence.
    ``out_of_scope`` is what `out_of_scope` makes of the same examples, and ``rejected``, shape
    (N,), says which of them the threshold rejects. ``unseen`` more examples have an intent that is
    none of the classes: in the accuracy they are errors, and no other measure counts them.

    Raises:
        EvaluationError: the shapes disagree, there is no example, a label is not an index of a
            class, or a row of the probabilities does not sum to 1.
    """
    p = _probabilities(probabilities, classes)
    y = np.asarray(labels)
    if y.shape != p.shape[:1] or y.min() < 0 or y.max() >= len(classes):
        raise EvaluationError(
            f"the labels do not match the probabilities: give {len(p)} labels, one for each row, "
            f"from 0 to {len(classes) - 1}"
        )
    predicted, confidence = p.argmax(axis=1), p.max(axis=1)
    bins = calibration_bins(confidence, predicted == y)
    from sklearn import metrics  # here: it takes a second, and training starts without it

    matrix = metrics.confusion_matrix(y, predicted, labels=range(len(classes)))
    by_intent = metrics.precision_recall_fscore_support(
        y, predicted, labels=range(len(classes)), zero_division=0.0
    )
    occurring = np.union1d(y, predicted)
    confusions = _worst_confusions(matrix)
    # Both ends of each pair, in the order of the pairs, so that mistakes lie near the diagonal.
    confused = list(dict.fromkeys(end for i, j, _ in confusions for end in (i, j)))[:WORST_INTENTS]
    return Evaluation(
        examples=len(y) + unseen,
        unseen=unseen,
        accuracy=float(np.sum(predicted == y) / (len(y) + unseen)),
        macro_f1=float(by_intent[2][occurring].mean()),
        # The floor keeps a probability of 0 for the right intent from making the mean infinite.
        nll=float(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-15)).mean()),
        expected_calibration_error=expected_calibration_error(bins),
        bins=bins,
        intents=tuple(
            IntentMeasures(
                intent,
                float(precision),
                float(recall),
                float(f1),
                int(support),
                float(rejected[y == i].mean()) if rejected is not None and support else None,
            )
            for i, (intent, precision, recall, f1, support) in enumerate(
                zip(classes, *by_intent, strict=True)
            )
        ),
        confusions=tuple(Confusion(classes[i], classes[j], count) for i, j, count in confusions),
        confused_intents=tuple(classes[i] for i in confused),
        confusion_matrix=tuple(map(tuple, matrix[np.ix_(confused, confused)].tolist())),
        out_of_scope=out_of_scope,
    )


def out_of_scope(
    inside: ArrayLike, outside: ArrayLike, threshold: float, kinds: Sequence[str] = ()
) -> OutOfScope:
    """Measure how well a figure such as the margin tells in-scope texts from out-of-scope ones.

    Args:
        inside: shape (N,), the figure of in-scope texts.
        outside: shape (M,), M ≥ 1, that of out-of-scope ones.
        threshold: the least figure of a text that is accepted.
        kinds: what kind of text each of the M is; one kind if empty.
    """
    accepted, rejected = np.asarray(inside), np.asarray(outside)
    in_scope = np.repeat([1, 0], [len(accepted), len(rejected)])
    figures = np.concatenate([accepted, rejected])
    from sklearn import metrics

    fpr, tpr, _ = metrics.roc_curve(in_scope, figures, drop_intermediate=False)
    shown = np.unique(np.linspace(0, len(fpr) - 1, ROC_POINTS).round().astype(int))
    return OutOfScope(
        texts=len(rejected),
        auroc=float(metrics.auc(fpr, tpr)),
        fpr_at_95_tpr=float(fpr[tpr >= 0.95][0]),
        threshold=threshold,
        oos_recall=float(np.mean(rejected < threshold)),
        false_reject_rate=float(np.mean(accepted < threshold)),
        collections=_collections(rejected >= threshold, kinds or ("all",) * len(rejected)),
        roc=tuple(zip(fpr[shown].tolist(), tpr[shown].tolist(), strict=True)),
    )


def _collections(accepted: NDArray[np.bool_], kinds: Sequence[str]) -> tuple[Collection, ...]:
    each = np.asarray(kinds)
    return tuple(
        Collection(str(kind), int(np.sum(each == kind)), float(accepted[each == kind].mean()))
        for kind in np.unique(each)
    )


def evaluate_outputs(
    inside: Outputs,
    labels: ArrayLike,
    classes: Sequence[str],
    outside: Outputs | None,
    threshold: float,
    *,
    unseen: int = 0,
    kinds: Sequence[str] = (),
) -> Evaluation:
    """Measure the outputs for N ≥ 1 texts with intents, and for texts of no intent if given.

    Args:
        inside: of the texts with intents.
        labels: shape (N,), the places of their intents in ``classes``.
        classes: C intents.
        outside: of the out-of-scope texts.
        threshold: the least margin that is accepted.
        unseen: how many more texts there are whose intent isn't in ``classes``.
        kinds: the kind of each out-of-scope text; one kind if empty.
    """
    rejection = None
    if outside:
        rejection = out_of_scope(margin(inside.scores), margin(outside.scores), threshold, kinds)
    rejected = margin(inside.scores) < threshold
    return evaluate(inside.probabilities, labels, classes, rejection, rejected, unseen=unseen)


def evaluate_classifier(
    classifier: Classifier,
    texts: Sequence[str],
    intents: Sequence[str],
    outside: Sequence[str] = (),
) -> Evaluation:
    """Measure a classifier on texts and their intents, and on texts of no intent if given.

    A text whose intent the classifier lacks counts as an error.

    Raises:
        EvaluationError: there is no example of an intent that the classifier has.
    """
    if not texts:
        raise EvaluationError("there is no example to evaluate on: give at least one")
    classes = classifier.manifest.labels
    index = {intent: i for i, intent in enumerate(classes)}
    known = [place for place, intent in enumerate(intents) if intent in index]
    if not known:
        raise EvaluationError(
            f"none of the {len(intents)} examples has one of the artifact's {len(classes)} "
            f"intents; the first is {shown(intents[0])}: rename them, or name another column"
        )
    return evaluate_outputs(
        outputs_of(classifier, [texts[place] for place in known]),
        [index[intents[place]] for place in known],
        classes,
        outputs_of(classifier, outside) if outside else None,
        classifier.manifest.threshold,
        unseen=len(intents) - len(known),
    )


def microseconds_per_text(
    classify: Callable[[Sequence[str]], object], texts: Sequence[str]
) -> Microseconds:
    """Time what classifies on the first `TIMED_TEXTS` texts, after a few calls that don't count.

    One text a call: the median, so that a pause of the machine does not weigh. Many texts a call:
    the median over five calls with all of them, divided by their number.

    Raises:
        EvaluationError: there is no text.
    """
    texts = texts[:TIMED_TEXTS]
    if not texts:
        raise EvaluationError("there is no text to time the classifier on: give at least one")

    def microseconds(batch: Sequence[str]) -> float:
        start = time.perf_counter_ns()
        classify(batch)
        return (time.perf_counter_ns() - start) / 1000

    for text in texts[:20]:
        classify([text])
    return Microseconds(
        single=statistics.median(microseconds([text]) for text in texts),
        batched=statistics.median(microseconds(texts) for _ in range(5)) / len(texts),
    )


def _probabilities(values: ArrayLike, classes: Sequence[str]) -> NDArray[np.float64]:
    p = np.asarray(values, dtype=np.float64)
    if not len(p) or p.shape != (len(p), len(classes)):
        raise EvaluationError(
            f"the probabilities have the shape {p.shape}: give at least one row, a row for each "
            f"text, and a column for each of the {len(classes)} classes"
        )
    if p.min() < 0 or not np.allclose(p.sum(axis=1), 1, atol=1e-4):
        raise EvaluationError("a row of the probabilities does not sum to 1: pass no raw scores")
    return p


def calibration_bins(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_]
) -> tuple[CalibrationBin, ...]:
    """Sort N examples into bins by their confidence, shape (N,); ``correct`` tells the right."""
    edges = [b / CALIBRATION_BINS for b in range(CALIBRATION_BINS + 1)]
    bin_of = np.digitize(confidence, edges[1:-1], right=True)
    bins = []
    for b in np.unique(bin_of):
        inside = bin_of == b
        means = float(confidence[inside].mean()), float(correct[inside].mean())
        bins.append(CalibrationBin(edges[b], edges[b + 1], int(inside.sum()), *means))
    return tuple(bins)


def expected_calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """Return how far confidence and accuracy lie apart, the mean over all examples."""
    count = sum(b.count for b in bins)
    return sum(b.count / count * abs(b.accuracy - b.confidence) for b in bins)


def _worst_confusions(matrix: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    mistakes = np.argwhere(matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype)))
    counted = [(int(i), int(j), int(matrix[i, j])) for i, j in mistakes]
    return sorted(counted, key=lambda mistake: -mistake[2])[:WORST_CONFUSIONS]
