"""From tokens to features: docs/projection.md, section 3."""

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbits.ngrams import FAMILIES, features, spans

TOKENS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), max_size=8)


def hashed(seed: int, *ngrams: str) -> list[int]:
    return [mmh3.hash(ngram.encode(), seed, signed=False) for ngram in ngrams]


@pytest.mark.parametrize(
    ("family", "seed", "ngrams"),
    [
        ("words", 1, ["the", "ok", "tv"]),
        ("word_bigrams", 2, [" the", "the ok", "ok tv", "tv "]),
        ("skip_bigrams", 3, ["the tv"]),
        (
            "characters",
            4,
            [
                *(" t", "th", "he", "e ", " th", "the", "he ", " the", "the ", " the "),
                *(" o", "ok", "k ", " ok", "ok ", " ok "),
                *(" t", "tv", "v ", " tv", "tv ", " tv "),
            ],
        ),
    ],
)
def test_a_family_extracts_these_ngrams(family: str, seed: int, ngrams: list[str]) -> None:
    assert features(["the", "ok", "tv"], [family]).tolist() == hashed(seed, *ngrams)


@pytest.mark.parametrize(
    ("family", "first_and_last"),
    [
        ("words", [[0, 0], [1, 1]]),
        ("word_bigrams", [[0, 0], [0, 1], [1, 1]]),
        ("skip_bigrams", []),
        ("characters", [[0, 0]] * 6 + [[1, 1]] * 6),
    ],
)
def test_an_ngram_spans_the_tokens_that_it_covers(
    family: str, first_and_last: list[list[int]]
) -> None:
    assert spans(["ok", "tv"], [family]).tolist() == first_and_last


def test_a_skip_bigram_spans_three_tokens_and_the_bounds_none() -> None:
    assert spans(["the", "ok", "tv"], ["skip_bigrams"]).tolist() == [[0, 2]]
    assert spans(["ok"], ["word_bigrams"]).tolist() == [[0, 0], [0, 0]]


@given(TOKENS)
def test_each_feature_has_a_span_within_the_tokens(tokens: list[str]) -> None:
    ranges = spans(tokens, FAMILIES)
    assert ranges.shape == (len(features(tokens, FAMILIES)), 2)
    assert all(0 <= first <= last < len(tokens) for first, last in ranges)


def test_a_word_of_one_character_has_character_ngrams() -> None:
    assert features(["i"], ["characters"]).tolist() == hashed(4, " i", "i ", " i ")


def test_no_tokens_have_no_features() -> None:
    assert features([], FAMILIES).size == 0


def test_an_ngram_counts_as_often_as_it_occurs() -> None:
    assert features(["no", "no"], ["words"]).tolist() == hashed(1, "no", "no")


@given(TOKENS)
def test_families_follow_one_another(tokens: list[str]) -> None:
    together = features(tokens, FAMILIES).tolist()
    assert together == [f for family in FAMILIES for f in features(tokens, [family]).tolist()]


@given(TOKENS)
def test_features_are_32_bits(tokens: list[str]) -> None:
    assert features(tokens, FAMILIES).dtype == "uint32"
