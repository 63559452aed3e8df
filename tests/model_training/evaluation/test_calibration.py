"""Temperature and threshold: from validation predictions to the two numbers of an artifact."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralbits.model_training.evaluation import calibration


def labelled_by_the_softmax(
    seed: int, texts: int = 20_000
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Draw logits, shape (texts, 5), and labels that are as likely as their softmax says."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal((texts, 5))
    # Gumbel-max: the largest of logits plus Gumbel noise is a draw from their softmax.
    return logits, (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 7.0])
def test_the_temperature_of_an_overconfident_network_is_found_again(temperature: float) -> None:
    logits, labels = labelled_by_the_softmax(seed=0)
    found = calibration.temperature(logits * temperature, labels)
    assert found == pytest.approx(temperature, rel=0.05)


def test_a_constant_added_to_a_texts_logits_changes_nothing() -> None:
    logits, labels = labelled_by_the_softmax(seed=1, texts=500)
    moved = logits + np.arange(500)[:, None]
    found = calibration.temperature(logits, labels)
    assert calibration.temperature(moved, labels) == pytest.approx(found, rel=1e-4)


def test_no_other_temperature_makes_the_labels_likelier() -> None:
    logits, labels = labelled_by_the_softmax(seed=2, texts=200)

    def likelihood(temperature: float) -> float:
        odds = np.exp(logits / temperature)
        return float(np.log(odds[np.arange(200), labels] / odds.sum(axis=1)).mean())

    best = likelihood(calibration.temperature(logits, labels))
    assert all(likelihood(other) <= best + 1e-9 for other in np.geomspace(0.02, 50, 200))


def test_the_temperature_stays_within_bounds_where_nothing_or_everything_is_right() -> None:
    logits, right = np.eye(4), np.arange(4)
    assert math.exp(-4) <= calibration.temperature(logits, right) < 0.1
    assert math.exp(4) >= calibration.temperature(logits, (right + 1) % 4) > 10


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=200).map(np.array),
    st.floats(0, 1, exclude_max=True),
)
def test_the_threshold_rejects_a_smaller_share_than_is_allowed(
    margins: npt.NDArray[np.float64], max_false_rejects: float
) -> None:
    threshold = calibration.threshold(margins, max_false_rejects)
    assert threshold in margins
    # A text is in scope if its margin reaches the threshold.
    assert np.mean(margins < threshold) <= max_false_rejects


def test_a_threshold_breaks_its_promise_on_unseen_texts_once_in_twenty_times() -> None:
    random = np.random.default_rng(0)
    # Of margins drawn evenly from 0 to 1, a share as large as the threshold lies below it.
    thresholds = [calibration.threshold(random.random(300), 0.1) for _ in range(2000)]
    broken = np.mean(np.array(thresholds) > 0.1)
    assert 0.02 < broken < 0.06


@pytest.mark.parametrize("texts", [1, 73])
def test_of_too_few_texts_none_is_rejected(texts: int) -> None:
    margins = np.arange(texts)[::-1]
    assert calibration.threshold(margins, 0.04) == 0  # 0.96 to the power of 74 is below 0.05
    assert calibration.threshold(np.arange(1000), 0.0) == 0


def test_of_3000_texts_102_fall_below_the_threshold_of_four_percent() -> None:
    assert calibration.threshold(np.arange(3000), 0.04) == 102
