"""The estimators of `neuralbits.sklearn`, as scikit-learn uses them."""

import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

import neuralbits
from neuralbits import kernel
from neuralbits.projection import Projection
from neuralbits.sklearn import NeuralbitsClassifier, NeuralbitsVectorizer
from tests.support.homes import UTTERANCES

TEXTS = [text for texts in UTTERANCES.values() for text in texts]
INTENTS = [intent for intent, texts in UTTERANCES.items() for _ in texts]
SETTINGS = {"epochs": 2, "batch_size": 8, "min_batches": 20}

pytestmark = [
    pytest.mark.filterwarnings("ignore::neuralbits.model_training.DataWarning"),
    # Folds of a few texts.
    pytest.mark.filterwarnings("ignore:The least populated class"),
]


def classifier(**options: Any) -> NeuralbitsClassifier:
    """A classifier that is trained in a second."""
    return NeuralbitsClassifier(
        **({"max_size": "6KiB", "trainer": "none", "settings": SETTINGS} | options)
    )


@pytest.fixture(scope="module")
def fitted() -> NeuralbitsClassifier:
    from neuralbits.model_training import DataWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return classifier().fit(TEXTS, INTENTS)


class TestClassifier:
    def test_it_learns(self, fitted: NeuralbitsClassifier) -> None:
        assert fitted.classes_.tolist() == sorted(UTTERANCES)
        assert fitted.score(TEXTS, INTENTS) > 0.9
        assert fitted.n_iter_ == 2
        assert fitted.in_scope(TEXTS).shape == (len(TEXTS),)

    def test_its_answers_agree(self, fitted: NeuralbitsClassifier) -> None:
        probabilities, logits = fitted.predict_proba(TEXTS), fitted.decision_function(TEXTS)
        assert probabilities.shape == logits.shape == (len(TEXTS), len(UTTERANCES))
        assert probabilities.sum(axis=1) == pytest.approx(1)
        for scores in (probabilities, logits):
            assert (fitted.classes_[scores.argmax(axis=1)] == fitted.predict(TEXTS)).all()
        predictions = fitted.classifier_.classify_batch(TEXTS)
        assert fitted.predict(TEXTS).tolist() == [each.intent for each in predictions]

    def test_parameters_are_stored_unchanged_and_cloned(self) -> None:
        texts = ("a strange text",)
        estimator = classifier(out_of_scope=texts, max_size=5000, random_state=3)
        assert estimator.out_of_scope is texts
        copied = clone(estimator)
        assert copied.get_params() == estimator.get_params()
        assert not hasattr(copied, "classes_")
        assert copied.set_params(max_size="8KiB").max_size == "8KiB"
        assert repr(NeuralbitsClassifier()) == "NeuralbitsClassifier()"

    def test_it_needs_a_fit(self) -> None:
        for ask in ("predict", "predict_proba", "decision_function", "in_scope"):
            with pytest.raises(NotFittedError):
                getattr(classifier(), ask)(TEXTS)

    def test_a_second_fit_forgets_the_first_one(self) -> None:
        again = classifier().fit(TEXTS[:12], INTENTS[:12]).fit(TEXTS, INTENTS)
        assert again.artifact_.digest == classifier().fit(TEXTS, INTENTS).artifact_.digest

    def test_random_states_differ_and_repeat(self) -> None:
        one, other = (classifier(random_state=seed).fit(TEXTS, INTENTS) for seed in (0, 1))
        assert one.artifact_.digest != other.artifact_.digest
        drawn = [
            classifier(random_state=np.random.RandomState(5)).fit(TEXTS, INTENTS) for _ in range(2)
        ]
        assert drawn[0].artifact_.digest == drawn[1].artifact_.digest

    @pytest.mark.parametrize(
        "classes",
        [
            np.array([10, 9, 8, 7, 2, 1]),
            np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            np.array(["f", "e", "d", "c", "b", "a"], dtype=object),
        ],
        ids=["integers", "floats", "objects"],
    )
    def test_classes_keep_their_type_and_their_order(self, classes: Any) -> None:
        y = classes[[list(UTTERANCES).index(intent) for intent in INTENTS]]
        estimator = classifier().fit(TEXTS, y)
        assert (estimator.classes_ == np.unique(y)).all()
        assert estimator.classes_.dtype == y.dtype
        assert (estimator.predict(TEXTS) == y).mean() > 0.9
        best = estimator.predict_proba(TEXTS).argmax(axis=1)
        assert (estimator.classes_[best] == estimator.predict(TEXTS)).all()

    def test_of_two_classes_the_decision_is_the_log_odds_of_the_second(self) -> None:
        y = np.array([intent == "turn_on" for intent in INTENTS])
        estimator = classifier().fit(TEXTS, y)
        assert estimator.classes_.tolist() == [False, True]
        odds, chances = estimator.decision_function(TEXTS), estimator.predict_proba(TEXTS)
        assert odds.shape == (len(TEXTS),)
        assert ((odds > 0) == estimator.predict(TEXTS)).all()
        assert chances[:, 1] == pytest.approx(1 / (1 + np.exp(-odds)))

    def test_a_text_of_weight_0_is_as_if_it_were_not_there(self) -> None:
        weights = np.ones(len(TEXTS))
        weights[::5] = 0
        kept = weights > 0
        weighted = classifier().fit(TEXTS, INTENTS, sample_weight=weights)
        without = classifier().fit(np.array(TEXTS)[kept], np.array(INTENTS)[kept])
        assert (weighted.decision_function(TEXTS) == without.decision_function(TEXTS)).all()

    def test_a_heavier_class_wins_where_two_claim_a_text(self) -> None:
        texts = [*TEXTS, *["open the door"] * 8]
        for heavy, light in (("weather", "timer"), ("timer", "weather")):
            y = [*INTENTS, *[heavy, light] * 4]
            weights = np.array([1.0] * len(TEXTS) + [9.0, 1.0] * 4)
            estimator = classifier(settings=SETTINGS | {"epochs": 6})
            estimator.fit(texts, y, sample_weight=weights)
            assert estimator.predict(["open the door"]).tolist() == [heavy]

    @pytest.mark.parametrize(
        ("X", "y", "options", "sentence"),
        [
            ("lights on", ["on"], {}, "X is a single str"),
            ([], [], {}, "X has 0 texts"),
            ([1.0, 2.0], ["a", "b"], {}, r"X\[0\] is of type float"),
            (np.zeros((2, 2)), ["a", "b"], {}, r"X has the shape \(2, 2\)"),
            (TEXTS, INTENTS[1:], {}, "X has 28 texts and y has 27"),
            (TEXTS, np.linspace(0, 1, 28), {}, "continuous"),
            (TEXTS, ["a"] * 28, {}, "a classifier needs at least 2"),
            (TEXTS, [*INTENTS[:-1], "oos"], {}, "give those texts as out_of_scope"),
            (TEXTS, [*INTENTS[:-1], " weather"], {}, "must differ when written as texts"),
            (["?", *TEXTS[1:]], ["alone", *INTENTS[1:]], {}, "class 'alone' has no text"),
            (TEXTS, INTENTS, {"sample_weight": [-1] * 28}, "sample_weight must be 28 numbers"),
            (TEXTS, INTENTS, {"sample_weight": [1] * 27}, "sample_weight must be 28 numbers"),
        ],
    )
    def test_what_cannot_be_used_is_a_value_error(
        self,
        X: Any,  # noqa: N803
        y: Any,
        options: dict[str, Any],
        sentence: str,
    ) -> None:
        with pytest.raises(ValueError, match=sentence):
            classifier().fit(X, y, **options)

    def test_pickled_it_predicts_in_another_process_without_torch(
        self, fitted: NeuralbitsClassifier, tmp_path: Path
    ) -> None:
        joblib = pytest.importorskip("joblib")
        file = tmp_path / "estimator.joblib"
        joblib.dump(fitted, file)
        script = (
            "import joblib, sys\n"
            f"print(*joblib.load({str(file)!r}).predict(['lights on', 'play jazz']))\n"
            "print('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        expected = " ".join(fitted.predict(["lights on", "play jazz"]))
        assert done.stdout.splitlines() == [expected, "False"], done.stderr
        copied = pickle.loads(pickle.dumps(fitted))
        assert (copied.decision_function(TEXTS) == fitted.decision_function(TEXTS)).all()

    def test_it_saves_an_artifact(self, fitted: NeuralbitsClassifier, tmp_path: Path) -> None:
        fitted.save(tmp_path / "mine.safetensors")
        loaded = neuralbits.load(tmp_path / "mine.safetensors")
        assert loaded.manifest == fitted.classifier_.manifest

    def test_it_says_that_it_takes_texts(self) -> None:
        tags = get_tags(classifier())
        assert tags.input_tags.string
        assert not tags.input_tags.two_d_array
        assert tags.target_tags.required
        assert is_classifier(classifier())

    def test_columns_of_tables_are_texts(self, fitted: NeuralbitsClassifier) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({"text": TEXTS, "intent": INTENTS}, index=range(100, 128))
        estimator = classifier().fit(frame["text"], frame["intent"])
        assert estimator.artifact_.digest == fitted.artifact_.digest
        assert estimator.predict(frame[["text"]]).tolist() == fitted.predict(TEXTS).tolist()


class TestClassifierWithinScikitLearn:
    def test_cross_validation(self) -> None:
        predicted = cross_val_predict(classifier(), TEXTS, INTENTS, cv=2)
        assert predicted.shape == (len(TEXTS),)
        chances = cross_val_predict(classifier(), TEXTS, INTENTS, cv=2, method="predict_proba")
        assert chances.shape == (len(TEXTS), len(UTTERANCES))

    def test_a_grid_search_over_parameters_in_a_pipeline(self) -> None:
        lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
        pipeline = make_pipeline(lower, classifier())
        grid = {"neuralbitsclassifier__max_size": ["5KiB", "6KiB"]}
        search = GridSearchCV(pipeline, grid, cv=2).fit(TEXTS, INTENTS)
        assert search.best_score_ > 1 / len(UTTERANCES)
        assert search.predict(["LIGHTS ON"]).shape == (1,)

    @pytest.mark.long
    def test_processes_at_once(self) -> None:
        scores = cross_val_score(classifier(), TEXTS, INTENTS, cv=2, n_jobs=2)
        assert (scores == cross_val_score(classifier(), TEXTS, INTENTS, cv=2)).all()

    def test_calibration(self) -> None:
        calibrated = CalibratedClassifierCV(classifier(), cv=2).fit(TEXTS, INTENTS)
        assert calibrated.predict_proba(TEXTS).sum(axis=1) == pytest.approx(1)

    def test_a_column_of_a_frame_becomes_another_models_features(self) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({"text": TEXTS, "length": [len(text) for text in TEXTS]})
        columns = ColumnTransformer(
            [("bits", NeuralbitsVectorizer(), "text"), ("rest", "passthrough", ["length"])]
        )
        model = make_pipeline(columns, RidgeClassifier()).fit(frame, INTENTS)
        assert model.score(frame, INTENTS) > 0.9


class TestVectorizer:
    def test_it_gives_the_neural_bits(self) -> None:
        projection = Projection()
        bits = NeuralbitsVectorizer().fit_transform(TEXTS)
        expected = [projection.project(projection.features(text)).reshape(-1) for text in TEXTS]
        assert (bits.toarray() == np.stack(expected)).all()

    @pytest.mark.parametrize("compiled", [True, False])
    @pytest.mark.parametrize("dimensions", [64, 5])
    def test_packed_bits_are_the_same_bits(
        self, dimensions: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if compiled and not kernel.COMPILED:
            pytest.skip("the kernel isn't compiled")
        monkeypatch.setattr(kernel, "COMPILED", compiled)
        options = {"functions": 16, "dimensions": dimensions}
        packed = NeuralbitsVectorizer(output="packed", **options).transform(TEXTS)
        sparse = NeuralbitsVectorizer(**options).transform(TEXTS)
        assert packed.shape == (len(TEXTS), 2 * 16 * dimensions // 8)
        assert packed.dtype == np.uint8
        unpacked = np.unpackbits(packed, axis=1, bitorder="little")
        assert (unpacked[:, : sparse.shape[1]] == sparse.toarray()).all()

    def test_it_is_stateless(self) -> None:
        pipeline = make_pipeline(NeuralbitsVectorizer(), RidgeClassifier()).fit(TEXTS, INTENTS)
        assert pipeline.score(TEXTS, INTENTS) > 0.9
        unfitted = NeuralbitsVectorizer().transform(TEXTS)
        fitted = clone(NeuralbitsVectorizer()).fit(TEXTS[:1]).transform(TEXTS)
        assert (unfitted != fitted).nnz == 0
        assert not get_tags(NeuralbitsVectorizer()).requires_fit

    def test_a_frame_comes_out_where_one_is_asked_for(self) -> None:
        pytest.importorskip("pandas")
        vectorizer = NeuralbitsVectorizer(functions=16, dimensions=8, output="packed")
        frame = vectorizer.set_output(transform="pandas").fit_transform(TEXTS)
        assert frame.shape == (len(TEXTS), 32)
        assert list(frame.columns) == vectorizer.get_feature_names_out().tolist()
        assert frame.columns[0] == "byte0"
        assert len(NeuralbitsVectorizer().get_feature_names_out()) == 8192

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [({"functions": 3}, "functions is 3"), ({"output": "dense"}, "output is 'dense'")],
    )
    def test_a_wrong_parameter_is_refused(self, options: dict[str, Any], sentence: str) -> None:
        with pytest.raises(ValueError, match=sentence):
            NeuralbitsVectorizer(**options).fit(TEXTS)


@pytest.mark.parametrize("estimator", [classifier(), NeuralbitsVectorizer()])
def test_what_scikit_learn_checks_of_estimators_of_texts_holds(estimator: Any) -> None:
    with pytest.warns(SkipTestWarning):  # checks that give numbers
        results = check_estimator(estimator, on_fail=None)
    assert [each["check_name"] for each in results if each["status"] == "failed"] == []
