import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import neuralbits
from neuralbits.model_training.evaluation.metrics import (
    EvaluationError,
    evaluate,
    evaluate_classifier,
    microseconds_per_text,
    out_of_scope,
)
from tests.support.homes import UTTERANCES

Examples = tuple[NDArray[np.float64], NDArray[np.int64], tuple[str, ...]]

unhurried = settings(deadline=None)  # a busy machine is no failure


@st.composite
def examples(draw: st.DrawFn) -> Examples:
    """Probabilities, some of them 0 or 1 or the same as others, and labels, of 2 to 5 classes."""
    count, classes = draw(st.integers(1, 40)), draw(st.integers(2, 5))
    weights = draw(arrays(np.float64, (count, classes), elements=st.integers(0, 20).map(float)))
    weights[weights.sum(axis=1) == 0] = 1
    labels = draw(arrays(np.int64, count, elements=st.integers(0, classes - 1)))
    names = tuple(f"intent {i}" for i in range(classes))
    return weights / weights.sum(axis=1, keepdims=True), labels, names


def one_hot(labels: list[int], classes: int) -> NDArray[np.float64]:
    return np.eye(classes)[labels]


@unhurried
@given(examples())
def test_every_rate_lies_between_0_and_1_and_every_example_is_counted_once(given: Examples) -> None:
    result = evaluate(*given)
    shares = [result.accuracy, result.macro_f1, result.expected_calibration_error]
    shares += [share for m in result.intents for share in (m.precision, m.recall, m.f1)]
    shares += [share for b in result.bins for share in (b.confidence, b.accuracy)]
    assert all(-1e-9 <= share <= 1 + 1e-9 for share in shares)
    assert result.examples == sum(m.support for m in result.intents) == len(given[1])
    assert result.examples == sum(b.count for b in result.bins)


@unhurried
@given(examples())
def test_the_calibration_error_is_that_of_guo_et_al(given: Examples) -> None:
    probabilities, labels, _ = given
    expected = 0.0
    for m in range(1, 16):
        inside = [
            (max(row), float(np.argmax(row) == label))
            for row, label in zip(probabilities, labels, strict=True)
            if (m - 1) / 15 < max(row) <= m / 15
        ]
        expected += abs(sum(right - sure for sure, right in inside)) / len(labels)
    assert evaluate(*given).expected_calibration_error == pytest.approx(expected)


@unhurried
@given(examples())
def test_accuracy_is_the_mean_recall_weighted_by_support(given: Examples) -> None:
    result = evaluate(*given)
    assert result.accuracy == pytest.approx(
        sum(m.recall * m.support for m in result.intents) / result.examples
    )


@unhurried
@given(examples())
def test_confusions_are_mistakes_with_the_most_frequent_first(given: Examples) -> None:
    result = evaluate(*given)
    counts = [confusion.count for confusion in result.confusions]
    assert counts == sorted(counts, reverse=True)
    assert all(c.count > 0 and c.intent != c.predicted for c in result.confusions)
    assert sum(counts) == round((1 - result.accuracy) * result.examples)
    for c in result.confusions:
        row, column = map(result.confused_intents.index, (c.intent, c.predicted))
        assert result.confusion_matrix[row][column] == c.count


def test_perfect_predictions_are_perfect_in_every_figure() -> None:
    labels = [0, 1, 2, 1]
    result = evaluate(one_hot(labels, 3), labels, ("a", "b", "c"))
    assert (result.accuracy, result.macro_f1, result.nll) == (1, 1, 0)
    assert result.expected_calibration_error == 0
    assert (result.confusions, result.confused_intents, result.confusion_matrix) == ((), (), ())


def test_being_surely_wrong_is_the_worst_calibration_and_a_finite_likelihood() -> None:
    result = evaluate(one_hot([1, 0], 2), [0, 1], ("a", "b"))
    assert (result.accuracy, result.expected_calibration_error) == (0, 1)
    assert 30 < result.nll < 40


def test_precision_recall_and_f1_of_each_intent_are_those_counted_by_hand() -> None:
    result = evaluate(one_hot([0, 0, 0, 1], 4), [0, 0, 1, 1], ("a", "b", "c", "d"))
    a, b, c, _ = result.intents
    assert (a.precision, a.recall, a.f1, a.support) == pytest.approx((2 / 3, 1, 0.8, 2))
    assert (b.precision, b.recall, b.f1, b.support) == pytest.approx((1, 1 / 2, 2 / 3, 2))
    assert (c.precision, c.recall, c.f1, c.support) == (0, 0, 0, 0)


def test_macro_f1_leaves_out_intents_that_neither_occur_nor_are_predicted() -> None:
    result = evaluate(one_hot([0, 0, 0, 1], 4), [0, 0, 1, 1], ("a", "b", "c", "d"))
    assert result.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)


def test_at_most_twenty_confusions_and_twenty_intents_are_shown() -> None:
    labels = np.arange(60)
    result = evaluate(one_hot(list((labels + 1) % 60), 60), labels, tuple(map(str, labels)))
    assert len(result.confusions) == len(result.confused_intents) == 20
    assert np.shape(result.confusion_matrix) == (20, 20)


@unhurried
@given(examples(), st.data())
def test_auroc_is_the_chance_that_an_in_scope_text_gets_the_greater_figure(
    given: Examples, data: st.DataObject
) -> None:
    inside = given[0].max(axis=1)
    outside = data.draw(examples())[0].max(axis=1)
    result = out_of_scope(inside, outside, threshold=0.5)
    pairs = inside[:, None] - outside
    assert result.auroc == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())
    assert result.texts == len(outside)
    assert result.roc[0] == (0, 0)
    assert result.roc[-1] == (1, 1)


def test_oos_recall_and_false_rejects_are_counted_strictly_below_the_threshold() -> None:
    result = out_of_scope([0.9, 0.6, 0.5, 0.7], [0.55, 0.6], threshold=0.6)
    assert (result.oos_recall, result.false_reject_rate) == (0.5, 0.25)


def test_out_of_scope_texts_are_counted_by_kind_too() -> None:
    kinds = ["near", "far", "near"]
    result = out_of_scope([0.9, 0.8], [0.7, 0.2, 0.1], threshold=0.6, kinds=kinds)
    assert [(c.name, c.texts, c.accepted) for c in result.collections] == [
        ("far", 1, 0.0),
        ("near", 2, 0.5),
    ]


def test_false_rejects_are_told_by_intent() -> None:
    probabilities = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]
    rejected = np.array([True, False, False])
    result = evaluate(probabilities, [0, 0, 1], ["common", "rare"], rejected=rejected)
    assert [m.false_reject_rate for m in result.intents] == [0.5, 0.0]
    assert evaluate(probabilities, [0, 0, 1], ["a", "b"]).intents[0].false_reject_rate is None


def test_fpr_at_95_tpr_is_the_share_of_out_of_scope_texts_accepted_with_19_of_20() -> None:
    inside = np.linspace(0.6, 0.99, 20)
    result = out_of_scope(inside, [0.55, 0.61, 0.7, 0.8], threshold=0.5)
    assert result.fpr_at_95_tpr == 0.5  # 19 of 20 lie at or above 0.6205…, as do 0.7 and 0.8


@unhurried
@given(examples())
def test_an_evaluation_is_json(given: Examples) -> None:
    greatest = given[0].max(axis=1)
    result = evaluate(*given, out_of_scope(greatest, greatest, threshold=0.5))
    written = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert written["accuracy"] == result.accuracy
    assert written["intents"][0]["intent"] == "intent 0"
    assert written["out_of_scope"]["auroc"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("probabilities", "labels", "sentence"),
    [
        ([[0.5, 0.5]], [2], "1 labels, one for each row, from 0 to 1"),
        ([[0.5, 0.5]], [-1], "from 0 to 1"),
        ([[0.5, 0.5]], [0, 1], "the labels do not match the probabilities"),
        ([[1.0]], [0], "a column for each of the 2 classes"),
        (np.empty((0, 2)), [], "at least one row"),
        ([[2.0, -1.0]], [0], "does not sum to 1"),
        ([[3.0, 1.0]], [0], "does not sum to 1"),
        ([[math.nan, 1.0]], [0], "does not sum to 1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_a_sentence(
    probabilities: list[list[float]], labels: list[int], sentence: str
) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        evaluate(probabilities, labels, ("a", "b"))


def test_a_classifier_is_evaluated_on_texts_and_their_intents(
    classifier: neuralbits.Classifier,
) -> None:
    rows = [(text, intent) for intent, texts in UTTERANCES.items() for text in texts]
    texts, intents = zip(*rows, strict=True)
    result = evaluate_classifier(classifier, texts, intents, ["xylophone", "the moon is far"])
    predictions = classifier.classify_batch(texts)
    right = [p.intent == intent for p, intent in zip(predictions, intents, strict=True)]
    assert result.accuracy == pytest.approx(sum(right) / len(right))
    assert [m.intent for m in result.intents] == list(classifier.manifest.labels)
    assert result.out_of_scope is not None
    assert result.out_of_scope.threshold == classifier.manifest.threshold
    rejected = [not p.in_scope for p in predictions]
    assert result.out_of_scope.false_reject_rate == pytest.approx(sum(rejected) / len(rejected))


def test_an_intent_that_the_classifier_lacks_counts_as_an_error(
    classifier: neuralbits.Classifier,
) -> None:
    known = classifier.classify("turn on the lamp").intent
    measured = evaluate_classifier(classifier, ["turn on the lamp", "sunny?"], [known, "weather?"])
    assert (measured.examples, measured.unseen, measured.accuracy) == (2, 1, 0.5)


def test_examples_of_no_intent_that_the_classifier_has_are_refused(
    classifier: neuralbits.Classifier,
) -> None:
    with pytest.raises(EvaluationError, match=r"none of the 2 .* the first is 'news'"):
        evaluate_classifier(classifier, ["a", "b"], ["news", "lights_on"])


def test_evaluating_a_classifier_on_nothing_is_refused(classifier: neuralbits.Classifier) -> None:
    with pytest.raises(EvaluationError, match="there is no example"):
        evaluate_classifier(classifier, [], [])


def test_timing_measures_single_calls_and_one_batch(classifier: neuralbits.Classifier) -> None:
    time = microseconds_per_text(classifier.classify_batch, ["turn on the lamp"] * 30)
    assert time.single > 0
    assert time.batched > 0


def test_timing_without_texts_is_refused(classifier: neuralbits.Classifier) -> None:
    with pytest.raises(EvaluationError, match="no text to time"):
        microseconds_per_text(classifier.classify_batch, [])
