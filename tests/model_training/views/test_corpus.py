"""A corpus of texts in, the reference's bits out, with or without parts dropped at random."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralbits import kernel
from neuralbits.model_training.views.corpus import Dropping, NgramCorpus
from neuralbits.ngrams import FAMILIES, spans
from neuralbits.projection import Projection
from tests.support.requirements import KERNEL_MISSING


@pytest.fixture(autouse=True, scope="module", params=[True, False], ids=["kernel", "without"])
def _compiled_or_not(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param and not kernel.COMPILED:
        pytest.skip(KERNEL_MISSING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "COMPILED", request.param)
        yield


SMALL = Projection(functions=8, dimensions=10, stride=4)
UTTERANCES = ("turn on the lamp", "", "lights off please", "set a timer for 10 minutes", "off")


@st.composite
def projections(draw: st.DrawFn) -> Projection:
    stride = draw(st.sampled_from([1, 2, 4, 8]))
    blocks = draw(st.booleans())
    return Projection(
        functions=stride * draw(st.integers(1, 4)),
        dimensions=draw(st.integers(1, 8 if blocks else 64)),
        code_bits=1 if blocks else draw(st.integers(1, 2)),
        blocks=blocks,
        stride=stride,
        families=tuple(draw(st.permutations(list(FAMILIES)))[: draw(st.integers(1, 4))]),
        removed=tuple(range(draw(st.integers(0, stride - 1)))),
    )


def dropping(tokens: float = 0.0, ngrams: float = 0.0, seed: int = 0) -> Dropping:
    return Dropping(tokens, ngrams, np.random.default_rng(seed))


def reference(projection: Projection, texts: list[str]) -> list[list[int]]:
    return [projection.project(projection.features(text)).tolist() for text in texts]


@settings(deadline=None)
@given(projections(), st.lists(st.text() | st.sampled_from(UTTERANCES), min_size=1, max_size=8))
def test_the_bits_are_those_of_the_reference(projection: Projection, texts: list[str]) -> None:
    bits = NgramCorpus(projection, texts).project(np.arange(len(texts)))
    assert bits.tolist() == reference(projection, texts)


def test_more_texts_than_are_projected_at_once_keep_their_order() -> None:
    texts = [f"{utterance} {number}" for number in range(120) for utterance in UTTERANCES]
    chosen = np.random.default_rng(0).permutation(len(texts))
    bits = NgramCorpus(SMALL, texts).project(chosen)
    assert bits.tolist() == reference(SMALL, [texts[i] for i in chosen])


def test_a_long_text_gives_the_bits_of_the_reference() -> None:
    texts = ["turn off the lamp " * 100, "off"]
    assert NgramCorpus(SMALL, texts).project(np.arange(2)).tolist() == reference(SMALL, texts)


def test_a_text_may_be_asked_for_twice_or_not_at_all() -> None:
    ngrams = NgramCorpus(SMALL, UTTERANCES)
    assert len(ngrams) == 5
    assert ngrams.project(np.array([2, 2, 0])).tolist() == reference(
        SMALL, [UTTERANCES[2], UTTERANCES[2], UTTERANCES[0]]
    )
    assert ngrams.project(np.array([], dtype=np.intp)).shape == (0, 2, SMALL.sums)


@pytest.mark.parametrize("texts", [[""], ["", " ", "?!"]])
def test_texts_without_tokens_have_the_bits_of_no_features(texts: list[str]) -> None:
    bits = NgramCorpus(SMALL, texts).project(np.arange(len(texts)))
    assert bits.tolist() == reference(SMALL, texts)


def test_dropping_nothing_leaves_all() -> None:
    ngrams, texts = NgramCorpus(SMALL, UTTERANCES), np.arange(len(UTTERANCES))
    kept = ngrams.project(texts, dropping())
    assert kept.tolist() == ngrams.project(texts).tolist()


@pytest.mark.parametrize("share", ["tokens", "ngrams"])
def test_the_same_generator_drops_the_same_and_another_one_others(share: str) -> None:
    texts = np.arange(len(UTTERANCES))
    first, again, another = (
        NgramCorpus(SMALL, UTTERANCES).project(texts, dropping(**{share: 0.9}, seed=seed)).tolist()
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != another


def dropped_words(share: str, most: float, texts: int = 2000) -> npt.NDArray[np.bool_]:
    """Drop the words, as tokens or as n-grams, of a text of 64.

    Each votes alone in one of 64 functions, so the bits tell which were dropped: shape (texts, 64).
    """
    projection = Projection(code_bits=1, stride=64, families=("words",))
    word_of: dict[int, str] = {}
    for letters in product("abcdefghij", repeat=3):
        choices, _ = projection.draw(projection.features("".join(letters)))
        word_of.setdefault(int(choices[0, 0]), "".join(letters))
    assert len(word_of) == 64
    bits = NgramCorpus(projection, [" ".join(word_of.values())]).project(
        np.zeros(texts, dtype=np.intp), dropping(**{share: most})
    )
    silent: npt.NDArray[np.bool_] = bits.reshape(texts, 64, 64).sum(axis=2) == 0
    return silent


@pytest.mark.parametrize("share", ["tokens", "ngrams"])
@pytest.mark.parametrize("most", [0.2, 0.5, 1.0])
def test_each_text_loses_a_share_of_its_own_up_to_the_greatest(share: str, most: float) -> None:
    shares = dropped_words(share, most).mean(axis=1)
    # Four standard deviations of the mean of 64 draws are a quarter at most.
    assert shares.max() < most + 0.25
    assert shares.min() < 0.05
    assert np.quantile(shares, 0.9) > 0.8 * most
    assert shares.mean() == pytest.approx(most / 2, rel=0.05)


@pytest.mark.parametrize("share", ["tokens", "ngrams"])
def test_none_is_dropped_more_often_than_others(share: str) -> None:
    assert np.abs(dropped_words(share, 0.5).mean(axis=0) - 0.25).max() < 0.05


@pytest.mark.parametrize("share", ["tokens", "ngrams"])
def test_a_text_of_which_all_is_dropped_has_no_sum_above_0(share: str) -> None:
    # So large a share that hardly one drawn between 0 and it leaves anything.
    assert dropped_words(share, 1e9).all()


def test_with_a_token_go_all_ngrams_that_have_a_part_of_it_and_no_others() -> None:
    text = "dim the lamp"
    bits = NgramCorpus(SMALL, [text]).project(np.zeros(300, dtype=np.intp), dropping(tokens=0.9))
    words = text.split()
    without = set()
    for kept in product([True, False], repeat=len(words)):
        features = [
            feature
            for feature, (first, last) in zip(
                SMALL.features(text), spans(words, SMALL.families), strict=True
            )
            if kept[first] and kept[last]
        ]
        projected = SMALL.project(np.array(features, dtype=np.uint32))
        without.add(projected.tobytes())
    assert {each.tobytes() for each in bits} == without
