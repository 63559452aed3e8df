"""What a user holds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuralbits
from neuralbits import Classifier
from neuralbits.network import lead
from tests.homes import UTTERANCES, make_artifact

CLASSIFIER = Classifier(make_artifact())
TEXTS = st.lists(
    st.sampled_from([t for texts in UTTERANCES.values() for t in texts]) | st.text(), max_size=12
)


@pytest.mark.parametrize(
    ("text", "intent"),
    [("turn of teh lamp", "turn_off"), ("TURN ON the light!", "turn_on"), ("jazz", "play_music")],
)
def test_it_recognises_what_it_has_not_seen(text: str, intent: str) -> None:
    assert CLASSIFIER.classify(text).intent == intent


def test_a_loaded_artifact_classifies_as_the_one_that_was_written(classifier: Classifier) -> None:
    assert classifier.classify("dim the lamp", 3) == CLASSIFIER.classify("dim the lamp", 3)


@given(TEXTS, st.integers(1, 8), st.randoms())
def test_a_text_is_classified_alike_alone_in_a_batch_and_in_any_order(
    texts: list[str], top_k: int, random: Any
) -> None:
    alone = {text: CLASSIFIER.classify(text, top_k) for text in texts}
    shuffled = random.sample(texts, len(texts))
    assert CLASSIFIER.classify_batch(texts, top_k) == [alone[text] for text in texts]
    assert CLASSIFIER.classify_batch(shuffled, top_k) == [alone[text] for text in shuffled]


def test_a_batch_larger_than_a_chunk_is_classified_alike() -> None:
    texts = [f"play song number {n}" for n in range(300)]
    assert CLASSIFIER.classify_batch(texts) == [CLASSIFIER.classify(text) for text in texts]
    assert CLASSIFIER.probabilities(texts).shape == (300, 6)


@given(st.text(), st.integers(1, 10))
def test_intents_are_ranked_and_the_first_is_the_answer(text: str, top_k: int) -> None:
    prediction = CLASSIFIER.classify(text, top_k)
    confidences = [each.confidence for each in prediction.intents]
    assert len(confidences) == min(top_k, 6)
    assert confidences == sorted(confidences, reverse=True)
    assert (prediction.intent, prediction.confidence) == (
        (prediction.intents[0].intent, prediction.intents[0].confidence)
    )
    assert len({each.intent for each in prediction.intents}) == len(confidences)


@pytest.mark.parametrize("text", ["", " \n", "?!", "\u200b"])
def test_a_text_without_tokens_is_out_of_scope_whatever_the_threshold(text: str) -> None:
    assert not Classifier(make_artifact(threshold=-1e9)).classify(text).in_scope


def test_the_threshold_decides_what_is_in_scope() -> None:
    (least,) = lead(CLASSIFIER.scores(["turn off the lamp"]))
    assert Classifier(make_artifact(threshold=least)).classify("turn off the lamp").in_scope
    above = Classifier(make_artifact(threshold=least + 1))
    assert not above.classify("turn off the lamp").in_scope


def test_no_texts_have_no_predictions() -> None:
    assert CLASSIFIER.classify_batch([]) == []


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        CLASSIFIER.classify("lamp", top_k=0)
    with pytest.raises(TypeError, match="list of texts"):
        CLASSIFIER.classify_batch("lamp")
    with pytest.raises(TypeError, match="text 1 is of type int"):
        CLASSIFIER.classify_batch(["lamp", 5])  # type: ignore[list-item]


def test_loading_what_is_no_artifact_is_refused() -> None:
    with pytest.raises(neuralbits.ArtifactError, match=r"homes\.py as an artifact"):
        neuralbits.load(__file__.replace("test_classifier.py", "homes.py"))
