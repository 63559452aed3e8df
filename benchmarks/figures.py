"""From a contestant's answers to its figures; the definitions are those of evaluation.py.

Unlike a classifier's own evaluation, these ask for no probability of every intent: a margin is a
score, too. Every rate is a fraction between 0 and 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import auc, roc_curve

from benchmarks.answering import Answers
from model_training.evaluation import CALIBRATION_BINS


class OutOfScope(NamedTuple):
    """How well in-scope texts are told from out-of-scope ones."""

    auroc: float
    fpr_at_95_tpr: float
    """The share of the out-of-scope texts accepted where at least 95 % of the others are."""
    caught: float
    """The share of the out-of-scope texts that is rejected."""
    falsely_rejected: float
    """The share of the in-scope texts that is."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything measured of one contestant, for one data set and one seed."""

    accuracy: float
    slipped_accuracy: float
    """With one slip of the finger in every text."""
    slip_loss: float
    """What the slips cost."""
    expected_calibration_error: float | None
    """None if the model gives no probabilities."""
    distance_from_trainer: float | None
    """How much more accurate the trainer is; None if there is none."""
    bytes: int
    """On the disk."""
    microseconds_single: float
    """Per text, one a call."""
    microseconds_batched: float
    peak_memory: int
    """The most bytes resident in a fresh process that loads the model and classifies texts."""
    model_memory: int
    """How much of it came after the imports."""
    training_seconds: float | None
    """Of the whole command; None if it isn't known, as its training was killed in between."""
    auroc: float | None = None
    """As in `OutOfScope`, as are the following; None if the data set has no out-of-scope texts."""
    fpr_at_95_tpr: float | None = None
    caught: float | None = None
    falsely_rejected: float | None = None


def accuracy(answers: Answers, intents: Sequence[str]) -> float:
    """Return the share of the answers that is right."""
    return float(np.mean([a == b for a, b in zip(answers.intents, intents, strict=True)]))


def expected_calibration_error(answers: Answers, intents: Sequence[str]) -> float | None:
    """Return the error of Guo et al. 2017; None without confidences."""
    if answers.confidences is None:
        return None
    confidences = np.array(answers.confidences)
    right = np.array(answers.intents) == np.array(intents)
    inner_edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    bin_of = np.digitize(confidences, inner_edges, right=True)
    return float(
        sum(
            abs((confidences - right)[bin_of == each].sum()) / len(right)
            for each in np.unique(bin_of)
        )
    )


def out_of_scope(inside: Answers, outside: Answers, threshold: float) -> OutOfScope:
    """Measure the rejection of out-of-scope texts.

    Args:
        inside: to in-scope texts.
        outside: to out-of-scope ones.
        threshold: the least score that is accepted, if the model doesn't decide itself.
    """
    scores = np.array([*inside.scores, *outside.scores])
    truth = np.repeat([1, 0], [len(inside.scores), len(outside.scores)])
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    return OutOfScope(
        auroc=float(auc(fpr, tpr)),
        fpr_at_95_tpr=float(fpr[tpr >= 0.95][0]),
        caught=float(np.mean(_rejected(outside, threshold))),
        falsely_rejected=float(np.mean(_rejected(inside, threshold))),
    )


def _rejected(answers: Answers, threshold: float) -> npt.NDArray[np.bool_]:
    if answers.in_scope is not None:
        return ~np.array(answers.in_scope)
    return np.array(answers.scores) < threshold
