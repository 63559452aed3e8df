"""From a system's answers to its figures; the definitions are those of metrics.py.

Unlike a classifier's evaluation, these need no probability of every intent: a margin is a
score, too. Every rate is a fraction between 0 and 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.answering import Answers
from neuralbits.model_training.evaluation import metrics


class OutOfScope(NamedTuple):
    """How well in-scope texts are separated from out-of-scope texts."""

    auroc: float
    fpr_at_95_tpr: float
    """The share of the out-of-scope texts accepted where at least 95 % of the others are."""
    oos_recall: float
    """The share of the out-of-scope texts that is rejected."""
    false_reject_rate: float
    """The share of the in-scope texts that is."""


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of one system, for one data set and one seed."""

    accuracy: float
    typo_accuracy: float
    """With one typo in every text."""
    typo_loss: float
    """The accuracy that the typos cost."""
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
    oos_recall: float | None = None
    false_reject_rate: float | None = None


def accuracy(answers: Answers, intents: Sequence[str]) -> float:
    """Return the share of right answers."""
    return float(np.mean([a == b for a, b in zip(answers.intents, intents, strict=True)]))


def expected_calibration_error(answers: Answers, intents: Sequence[str]) -> float | None:
    """Return the error of Guo et al. 2017; None without confidences."""
    if answers.confidences is None:
        return None
    right = np.array(answers.intents) == np.array(intents)
    bins = metrics.calibration_bins(np.array(answers.confidences), right)
    return metrics.expected_calibration_error(bins)


def out_of_scope(inside: Answers, outside: Answers, threshold: float) -> OutOfScope:
    """Measure the rejection of out-of-scope texts.

    Args:
        inside: to in-scope texts.
        outside: to out-of-scope ones.
        threshold: the least score that is accepted, if the model doesn't decide itself.
    """
    measured = metrics.out_of_scope(inside.scores, outside.scores, threshold)
    return OutOfScope(
        auroc=measured.auroc,
        fpr_at_95_tpr=measured.fpr_at_95_tpr,
        oos_recall=_rejected(outside, measured.oos_recall),
        false_reject_rate=_rejected(inside, measured.false_reject_rate),
    )


def _rejected(answers: Answers, below_threshold: float) -> float:
    """Return the share that the model rejects, or else the share below the threshold."""
    return below_threshold if answers.in_scope is None else 1 - float(np.mean(answers.in_scope))
