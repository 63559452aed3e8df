"""Explanations: the influence of each n-gram, by the reference and by the kernel."""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuralbits
from neuralbits import Classifier, Explanation, artifact, explanation, kernel, network, ngrams
from neuralbits import reference as by_numpy
from neuralbits.artifact import Artifact
from neuralbits.ngrams import FAMILIES
from neuralbits.projection import Projection
from neuralbits.text import tokens
from tests.kernel.test_kernel import make
from tests.runtime.test_classifier import by_kernel, on_each_engine
from tests.support.homes import UTTERANCES, make_artifact
from tests.support.paths import ROOT
from tests.support.requirements import needs_kernel

SHIPPED = {
    name: artifact.decode((ROOT / "artifacts" / f"{name}.safetensors").read_bytes())
    for name in ("home-assistant-en", "clinc150")
}
UTTERED = [text for texts in UTTERANCES.values() for text in texts]
EDGES = [
    *("", " ", "?!", "'", "\t\n", "lamp", "x", "💡", "20%", "a b", "a b c", "ab ab ab", "\0"),
    *("\ud800", "lamp \ud800\udfff", "\ufdfa", "e\u0301", "한국어 켜 주세요", "İSTANBUL straße ﬁn"),
    *("turn on the lamp " * 50, "aaaa" * 100),
]
TEXTS = st.sampled_from(UTTERED + EDGES) | st.text(max_size=40)
PROJECTIONS = [
    Projection(functions=1, dimensions=1, stride=1, code_bits=1),
    Projection(functions=16, dimensions=64, stride=4, removed=(0, 3, 4, 15)),
    Projection(functions=6, dimensions=33, stride=2, families=("characters", "skip_bigrams")),
    Projection(functions=32, dimensions=5, stride=8, code_bits=1, blocks=True, removed=(31,)),
    Projection(functions=128, dimensions=7, stride=64, families=tuple(FAMILIES)),
]


def extracted(model: Artifact, text: str) -> list[tuple[str, str]]:
    """Return every occurrence of an n-gram, by family and string."""
    words = tokens(text)
    return [
        (family, ngram)
        for family in FAMILIES
        if family in model.projection.families
        for ngram, _, _ in FAMILIES[family](words)
    ]


def odds(model: Artifact, features: list[int]) -> tuple[int, list[float]]:
    """Score features with plain Python; return the likeliest intent and each intent's log-odds.

    The longest way: no votes are taken back, and probabilities are added up as Python adds them.
    """
    bits = model.projection.project(np.array(features, dtype=np.uint32))
    (scores,) = model.network.scores(bits[None])
    logits = [float(score) * (model.network.scale / model.temperature) for score in scores]
    every = []
    for place, logit in enumerate(logits):
        others = [each for other, each in enumerate(logits) if other != place]
        most = max(others)
        every.append(logit - most - math.log(math.fsum(math.exp(each - most) for each in others)))
    return logits.index(max(logits)), every


def left_out(model: Artifact, text: str) -> dict[tuple[str, str], float]:
    """Compute the influence of each n-gram by scoring all other n-grams."""
    every = extracted(model, text)
    hashed = {each: ngrams.feature(each[1], each[0]) for each in every}
    intent, with_all = odds(model, [hashed[each] for each in every])
    return {
        ngram: with_all[intent]
        - odds(model, [hashed[each] for each in every if each != ngram])[1][intent]
        for ngram in dict.fromkeys(every)
    }


def influences(explained: Explanation) -> dict[tuple[str, str], float]:
    by_ngram = {(each.family, each.ngram): each.influence for each in explained.ngrams}
    assert len(by_ngram) == len(explained.ngrams)  # no n-gram twice
    return by_ngram


def assert_alike(one: Explanation, other: Explanation) -> None:
    """Check that explanations are equal, up to the last digits of the influences."""
    assert replace(one, ngrams=()) == replace(other, ngrams=())
    assert influences(one) == pytest.approx(influences(other), rel=1e-9, abs=1e-9)


@on_each_engine
@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("text", ["turn of teh lamp", "what's up, is it 20°?", "ab ab ab"])
def test_an_influence_is_the_change_when_the_ngram_is_left_out(
    engine: Callable[[Artifact], Classifier], name: str, text: str
) -> None:
    model = SHIPPED[name]
    by_ngram = influences(engine(model).explain(text))
    assert by_ngram == pytest.approx(left_out(model, text), rel=1e-9, abs=1e-9)
    assert min(by_ngram.values()) < 0 < max(by_ngram.values())


@on_each_engine
@settings(deadline=None)
@given(text=TEXTS)
def test_each_ngram_is_listed_once_in_order_of_strength(
    engine: Callable[[Artifact], Classifier], text: str
) -> None:
    model = make(Projection(4, 16, stride=2, families=tuple(FAMILIES)))
    explained = engine(model).explain(text)
    assert influences(explained).keys() == set(extracted(model, text))
    sizes = [abs(each.influence) for each in explained.ngrams]
    assert sizes == sorted(sizes, reverse=True)
    # Equal influences are in the order of extraction.
    order = {each: place for place, each in enumerate(dict.fromkeys(extracted(model, text)))}
    places = [(-abs(each.influence), order[each.family, each.ngram]) for each in explained.ngrams]
    assert places == sorted(places)


@needs_kernel
@pytest.mark.parametrize("name", SHIPPED)
def test_kernel_and_reference_explain_alike(name: str) -> None:
    one, other = by_kernel(SHIPPED[name]), by_numpy.classifier(SHIPPED[name])
    for text in UTTERED + EDGES:
        assert_alike(one.explain(text), other.explain(text))


@needs_kernel
@settings(deadline=None, max_examples=40)
@given(text=st.text(max_size=60), name=st.sampled_from(sorted(SHIPPED)))
def test_any_text_is_explained_alike(text: str, name: str) -> None:
    assert_alike(
        by_kernel(SHIPPED[name]).explain(text), by_numpy.classifier(SHIPPED[name]).explain(text)
    )


@needs_kernel
@pytest.mark.parametrize("projection", PROJECTIONS, ids=str)
@settings(deadline=None, max_examples=20)
@given(text=TEXTS)
def test_any_projection_is_explained_alike(projection: Projection, text: str) -> None:
    for layers in (1, 3):
        model = make(projection, layers=layers)
        assert_alike(by_kernel(model).explain(text), by_numpy.classifier(model).explain(text))


@needs_kernel
def test_real_texts_are_explained_alike(data_folder: Path) -> None:
    lines = (data_folder / "clinc150" / "test.csv").read_text().splitlines()[::150]
    one, other = by_kernel(SHIPPED["clinc150"]), by_numpy.classifier(SHIPPED["clinc150"])
    assert len(lines) > 20
    for line in lines:
        assert_alike(one.explain(line), other.explain(line))


@on_each_engine
@pytest.mark.parametrize("projection", PROJECTIONS, ids=str)
def test_the_bits_are_those_of_the_projection(
    engine: Callable[[Artifact], Classifier], projection: Projection
) -> None:
    explained = engine(make(projection)).explain("turn on the lamp")
    bits = projection.project(projection.features("turn on the lamp"))
    count = explained.functions * explained.dimensions
    assert explained.functions == len(projection.kept)
    assert count == bits.shape[1] == projection.inputs
    digits = [explained.bits, *([explained.second_bits] if projection.code_bits == 2 else [])]
    assert len(digits) == len(bits)
    for each, expected in zip(digits, bits, strict=True):
        assert len(each) == -(-count // 4)
        written = "".join(f"{int(digit, 16):04b}" for digit in each)
        assert written[:count] == "".join(map(str, expected))
        assert set(written[count:]) <= {"0"}
    assert (explained.second_bits == "") is (projection.code_bits == 1)


@on_each_engine
@pytest.mark.parametrize("text", ["", " \n", "?!", "\u200b"])
def test_a_text_without_tokens_has_no_influences(
    engine: Callable[[Artifact], Classifier], text: str
) -> None:
    explained = engine(make_artifact()).explain(text)
    assert explained.ngrams == ()
    assert set(explained.bits) == {"0"}
    assert set(explained.second_bits) == {"f"}


@on_each_engine
def test_the_influence_of_the_only_ngram_compares_with_the_empty_text(
    engine: Callable[[Artifact], Classifier],
) -> None:
    model = replace(make_artifact(), projection=Projection(16, 64, stride=4, families=("words",)))
    (only,) = engine(model).explain("Lamp!").ngrams
    assert (only.ngram, only.family) == ("lamp", "words")
    intent, with_all = odds(model, [ngrams.feature("lamp", "words")])
    assert only.influence == pytest.approx(with_all[intent] - odds(model, [])[1][intent])


@on_each_engine
def test_a_lone_surrogate_is_a_replacement_character(
    engine: Callable[[Artifact], Classifier],
) -> None:
    classifier = engine(make_artifact())
    assert classifier.explain("lamp \ud800") == classifier.explain("lamp \ufffd")
    assert ("words", "\ufffd") in influences(classifier.explain("lamp \ud800"))


@on_each_engine
def test_ngrams_with_the_same_hash_have_two_entries(
    engine: Callable[[Artifact], Classifier],
) -> None:
    one, other = collision()
    model = replace(make_artifact(), projection=Projection(16, 64, stride=4, families=("words",)))
    assert ngrams.feature(one, "words") == ngrams.feature(other, "words")
    text = f"{one} {one} {other} lamp"
    by_ngram = influences(engine(model).explain(text))
    assert by_ngram == pytest.approx(left_out(model, text), rel=1e-9)
    assert len(by_ngram) == 3
    assert by_ngram["words", one] != by_ngram["words", other]  # which occurs once


def collision() -> tuple[str, str]:
    """Return two words with the same hash, out of 300,000 words."""
    seen: dict[int, str] = {}
    letters = str.maketrans("0123456789", "abcdefghij")
    for number in range(300_000):
        word = str(number).translate(letters)
        other = seen.setdefault(ngrams.feature(word, "words"), word)
        if other != word:
            return other, word
    raise AssertionError("no two words share a hash")


@on_each_engine
def test_confidences_that_round_to_one_have_finite_influences(
    engine: Callable[[Artifact], Classifier],
) -> None:
    sure = engine(replace(make_artifact(), temperature=1e-3))
    assert sure.classify("turn off the lamp").confidence == 1.0
    explained = sure.explain("turn off the lamp")
    assert all(math.isfinite(each.influence) for each in explained.ngrams)
    assert explained.ngrams[0].influence != 0


@on_each_engine
def test_with_one_intent_every_influence_is_0(
    engine: Callable[[Artifact], Classifier],
) -> None:
    explained = engine(make(units=1)).explain("turn on the lamp")
    assert {each.influence for each in explained.ngrams} == {0.0}


@on_each_engine
def test_a_text_with_too_many_ngrams_is_refused(
    engine: Callable[[Artifact], Classifier],
) -> None:
    classifier = engine(
        replace(make_artifact(), projection=Projection(16, 64, stride=4, families=("words",)))
    )
    most = explanation.MAX_NGRAMS
    words = ["".join(letters) for letters in islice(product("abcdefghijklm", repeat=3), most)]
    assert len(classifier.explain(" ".join(words)).ngrams) == most == 2048
    with pytest.raises(
        ValueError, match=r"more than 2,048 different n-grams; explain a shorter text"
    ):
        classifier.explain(" ".join([*words, "zzzz"]))


@needs_kernel
@pytest.mark.parametrize("name", SHIPPED)
def test_it_takes_milliseconds_whatever_the_text(name: str) -> None:
    classifier = by_kernel(SHIPPED[name])

    def seconds(text: str) -> float:
        started = time.thread_time()  # which leaves out what others take of the processor
        try:
            classifier.explain(text)
        except ValueError:
            assert len(text) == 10_000
        return time.thread_time() - started

    # Far above what it takes, and far below seconds.
    short = "what is the spanish word for pasta and for a wine"
    assert min(seconds(short) for _ in range(5)) < 0.02
    varied = "".join(map(chr, range(0x4E00, 0x4E00 + 10_000)))
    repeated = ((" ".join(UTTERED) + " ") * 20)[:10_000]
    for text in (varied, repeated, "turn on the lamp " * 588 + "lamp", "a" * 10_000):
        assert len(text) == 10_000
        assert min(seconds(text) for _ in range(3)) < 0.3


@on_each_engine
def test_explaining_another_type_than_a_string_is_refused(
    engine: Callable[[Artifact], Classifier],
) -> None:
    with pytest.raises(TypeError, match="the text is of type int, not a string"):
        engine(make_artifact()).explain(5)  # type: ignore[arg-type]


def test_float_weights_are_explained_by_the_reference(tmp_path: Path) -> None:
    model = make_artifact()
    first, output = model.network.layers
    layers = [first, replace(output, precision="float", bias=output.bias.astype(np.float32))]
    floating = replace(model, network=replace(model.network, layers=layers))
    artifact.write(floating, tmp_path / "float.safetensors")
    explained = neuralbits.load(tmp_path / "float.safetensors").explain("lights on")
    assert_alike(explained, by_numpy.classifier(model).explain("lights on"))


def test_log_odds_are_those_of_the_probabilities() -> None:
    logits = np.array([1.5, -0.25, 3.0, 0.0])
    (shares,) = network.probabilities(logits[None])
    for intent, share in enumerate(shares):
        assert network.log_odds(logits, intent) == pytest.approx(math.log(share / (1 - share)))
    assert network.log_odds(np.array([1000.0, 0.0]), 0) == 1000  # where the share is 1


def test_ngrams_are_counted_in_the_order_of_the_families() -> None:
    by_ngram = ngrams.counted(["a", "b", "a"], ("skip_bigrams", "words"))
    assert list(by_ngram.items()) == [
        (("words", "a"), 2),
        (("words", "b"), 1),
        (("skip_bigrams", "a a"), 1),
    ]
    assert Counter(ngrams.features(["a", "b", "a"], ("words",)).tolist()) == {
        ngrams.feature("a", "words"): 2,
        ngrams.feature("b", "words"): 1,
    }


def test_the_kernel_has_the_families_and_the_bound_of_the_reference() -> None:
    header = (ROOT / "kernel" / "neuralbits.h").read_text()
    assert tuple(FAMILIES) == kernel._FAMILIES
    assert f"#define NEURALBITS_MAX_NGRAMS {explanation.MAX_NGRAMS} " in header
