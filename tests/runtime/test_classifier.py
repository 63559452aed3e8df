"""The classifier: classify, classify_batch, scores, and loading."""

import copy
import mmap
import multiprocessing
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuralbits
from neuralbits import Classifier, artifact, kernel, reference
from neuralbits.artifact import Artifact
from neuralbits.network import margin
from tests.support.homes import UTTERANCES, make_artifact


def by_kernel(model: Artifact) -> Classifier:
    return Classifier(model.manifest, kernel.Kernel(artifact.encode(model)[0], model.labels))


ENGINES = [reference.classifier, by_kernel] if kernel.COMPILED else [reference.classifier]
CLASSIFIERS = [engine(make_artifact()) for engine in ENGINES]
TEXTS = st.lists(
    st.sampled_from([t for texts in UTTERANCES.values() for t in texts]) | st.text(), max_size=12
)

on_each_engine = pytest.mark.parametrize("engine", ENGINES, ids=lambda each: each.__name__)
of_each_engine = pytest.mark.parametrize(
    "classifier", CLASSIFIERS, ids=[engine.__name__ for engine in ENGINES]
)


def test_the_kernel_is_compiled_where_there_is_a_compiler() -> None:
    assert kernel.COMPILED or shutil.which("cc") is None
    assert neuralbits.backend() == ("kernel" if kernel.COMPILED else "reference")


@of_each_engine
@pytest.mark.parametrize(
    ("text", "intent"),
    [("turn of teh lamp", "turn_off"), ("TURN ON the light!", "turn_on"), ("jazz", "play_music")],
)
def test_a_text_that_is_not_in_the_training_data_is_recognised(
    classifier: Classifier, text: str, intent: str
) -> None:
    assert classifier.classify(text).intent == intent


def test_a_loaded_artifact_classifies_as_the_one_that_was_written(
    artifact_path: Path,
) -> None:
    loaded = neuralbits.load(artifact_path)
    assert loaded.classify("dim the lamp", 3) == CLASSIFIERS[-1].classify("dim the lamp", 3)
    expected = replace(loaded.manifest, digest="", size=0)
    assert expected == make_artifact().manifest


@given(TEXTS, st.integers(1, 8))
def test_kernel_and_reference_agree(texts: list[str], top_k: int) -> None:
    first, *others = [classifier.classify_batch(texts, top_k) for classifier in CLASSIFIERS]
    for other in others:
        for one, two in zip(first, other, strict=True):
            assert (one.intent, one.in_scope) == (two.intent, two.in_scope)
            assert [i.intent for i in one.intents] == [i.intent for i in two.intents]
            assert [i.confidence for i in one.intents] == pytest.approx(
                [i.confidence for i in two.intents], rel=1e-12
            )
    if texts:
        assert len({classifier.scores(texts).tobytes() for classifier in CLASSIFIERS}) == 1


@of_each_engine
@given(texts=TEXTS, top_k=st.integers(1, 8), random=st.randoms())
def test_a_text_is_classified_alike_alone_in_a_batch_and_in_any_order(
    classifier: Classifier, texts: list[str], top_k: int, random: Any
) -> None:
    alone = {text: classifier.classify(text, top_k) for text in texts}
    shuffled = random.sample(texts, len(texts))
    assert classifier.classify_batch(texts, top_k) == [alone[text] for text in texts]
    assert classifier.classify_batch(shuffled, top_k) == [alone[text] for text in shuffled]


@of_each_engine
def test_a_batch_larger_than_a_chunk_is_classified_alike(classifier: Classifier) -> None:
    texts = [f"play song number {n}" for n in range(300)]
    assert classifier.classify_batch(texts) == [classifier.classify(text) for text in texts]
    assert classifier.probabilities(texts).shape == (300, 6)


@of_each_engine
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_any_number_of_threads_gives_the_same_in_the_same_order(
    classifier: Classifier, threads: int
) -> None:
    texts = [f"play song number {n}" for n in range(1000)]
    assert classifier.classify_batch(texts, 2, threads) == classifier.classify_batch(texts, 2)


@of_each_engine
@given(text=st.text(), top_k=st.integers(1, 10))
def test_intents_are_ranked_and_the_first_is_the_answer(
    classifier: Classifier, text: str, top_k: int
) -> None:
    prediction = classifier.classify(text, top_k)
    confidences = [each.confidence for each in prediction.intents]
    assert len(confidences) == min(top_k, 6)
    assert confidences == sorted(confidences, reverse=True)
    assert (prediction.intent, prediction.confidence) == (
        (prediction.intents[0].intent, prediction.intents[0].confidence)
    )
    assert len({each.intent for each in prediction.intents}) == len(confidences)


@on_each_engine
@pytest.mark.parametrize("text", ["", " \n", "?!", "\u200b"])
def test_a_text_without_tokens_is_out_of_scope_whatever_the_threshold(
    engine: Callable[[Artifact], Classifier], text: str
) -> None:
    assert not engine(make_artifact(threshold=-1e9)).classify(text).in_scope


@on_each_engine
def test_the_threshold_decides_what_is_in_scope(engine: Callable[[Artifact], Classifier]) -> None:
    def in_scope(threshold: float) -> bool:
        return engine(make_artifact(threshold=threshold)).classify("turn off the lamp").in_scope

    (least,) = margin(engine(make_artifact()).scores(["turn off the lamp"]))
    assert in_scope(least)
    assert not in_scope(least + 1)


@of_each_engine
def test_a_lone_surrogate_is_read_as_a_replacement_character(classifier: Classifier) -> None:
    lone, replaced = classifier.classify_batch(["lamp \ud800", "lamp \ufffd"])
    assert lone == replaced


@of_each_engine
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_predicts_the_same_by_the_same_backend(
    classifier: Classifier, copied: Callable[[Classifier], Classifier]
) -> None:
    other = copied(classifier)
    assert (other.backend, other.manifest) == (classifier.backend, classifier.manifest)
    texts = [text for texts in UTTERANCES.values() for text in texts]
    assert other.classify_batch(texts, 3) == classifier.classify_batch(texts, 3)


def test_spawned_processes_can_use_a_classifier() -> None:
    texts = [text for texts in UTTERANCES.values() for text in texts][:4]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(CLASSIFIERS[-1].classify, texts) == CLASSIFIERS[-1].classify_batch(texts)


@of_each_engine
def test_a_batch_may_be_any_iterable(classifier: Classifier) -> None:
    texts = ["turn off the lamp", "play jazz"]
    expected = classifier.classify_batch(texts)
    assert classifier.classify_batch(iter(texts)) == expected
    assert classifier.classify_batch(dict.fromkeys(texts), threads=2) == expected
    assert (classifier.scores(iter(texts)) == classifier.scores(texts)).all()


@of_each_engine
def test_a_classifier_has_labels_and_a_repr(classifier: Classifier) -> None:
    assert classifier.labels == classifier.manifest.labels
    assert repr(classifier).startswith("<Classifier: 6 intents, ")
    assert classifier.backend in repr(classifier)


def test_loads_takes_any_buffer(artifact_path: Path) -> None:
    content = artifact_path.read_bytes()
    expected = neuralbits.loads(content).classify("play jazz")
    with (
        artifact_path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped,
    ):
        for given in (bytearray(content), memoryview(content), mapped):
            assert neuralbits.loads(given).classify("play jazz") == expected
    for wrong in (str(artifact_path), 5, None):
        with pytest.raises(TypeError):
            neuralbits.loads(wrong)  # type: ignore[arg-type]


@of_each_engine
def test_an_empty_batch_gives_no_predictions(classifier: Classifier) -> None:
    assert classifier.classify_batch([]) == []


@of_each_engine
def test_wrong_arguments_are_refused(classifier: Classifier) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        classifier.classify("lamp", top_k=0)
    with pytest.raises(TypeError, match="the text is of type int"):
        classifier.classify(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="list of texts"):
        classifier.classify_batch("lamp")
    with pytest.raises(TypeError, match="text 1 is of type int"):
        classifier.classify_batch(["lamp", 5])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="threads is 0"):
        classifier.classify_batch(["lamp"], threads=0)


def test_loading_another_file_is_refused() -> None:
    with pytest.raises(neuralbits.ArtifactError, match=r"test_classifier\.py as an artifact"):
        neuralbits.load(__file__)
