"""N-grams: tokens in, hashed features out.

Each family of n-grams is hashed by MurmurHash3 (x86, 32 bits) under a seed of its own, so that
one string is a different feature in each. No table of n-grams is kept anywhere: a feature *is* its
hash. docs/projection.md specifies every byte that is hashed.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import mmh3
import numpy as np
import numpy.typing as npt

MIN_CHARACTER_NGRAM = 2
MAX_CHARACTER_NGRAM = 5


Ngram = tuple[str, int, int]
"""An n-gram, and the places of the first and of the last token that it has a part of."""


def _words(tokens: Sequence[str]) -> Iterator[Ngram]:
    """Extract single tokens."""
    for place, token in enumerate(tokens):
        yield token, place, place


def _word_bigrams(tokens: Sequence[str]) -> Iterator[Ngram]:
    """Extract neighbouring tokens; the sentence begins and ends with an empty one."""
    if tokens:
        last = len(tokens) - 1
        yield f" {tokens[0]}", 0, 0
        for place in range(last):
            yield f"{tokens[place]} {tokens[place + 1]}", place, place + 1
        yield f"{tokens[last]} ", last, last


def _skip_bigrams(tokens: Sequence[str]) -> Iterator[Ngram]:
    """Extract tokens with one other token between them."""
    for place in range(len(tokens) - 2):
        yield f"{tokens[place]} {tokens[place + 2]}", place, place + 2


def _characters(tokens: Sequence[str]) -> Iterator[Ngram]:
    """Extract the runs of 2 to 5 characters of each token between its bounds, which are spaces."""
    for place, token in enumerate(tokens):
        bounded = f" {token} "
        for length in range(MIN_CHARACTER_NGRAM, MAX_CHARACTER_NGRAM + 1):
            for start in range(len(bounded) - length + 1):
                yield bounded[start : start + length], place, place


FAMILIES = {
    "words": _words,
    "word_bigrams": _word_bigrams,
    "skip_bigrams": _skip_bigrams,
    "characters": _characters,
}
"""The families of n-grams by name; a family's hash seed is its position here, from 1."""

OF_SINGLE_TOKENS = ("words", "characters")
"""The families whose n-grams lie within one token each, whatever stands beside it."""

_SEEDS = {family: seed for seed, family in enumerate(FAMILIES, start=1)}


def features(tokens: Sequence[str], families: Iterable[str]) -> npt.NDArray[np.uint32]:
    """Hash the n-grams of a text, each as often as it occurs.

    Returns:
        Shape (n,), uint32: the n extracted n-grams; none for a text without tokens.
    """
    hashes = [
        feature(ngram, family) for family in families for ngram, _, _ in FAMILIES[family](tokens)
    ]
    return np.array(hashes, dtype=np.uint32)


def feature(ngram: str, family: str) -> int:
    """Hash an n-gram, as one of its family."""
    return mmh3.hash(ngram, _SEEDS[family], signed=False)


def counted(tokens: Sequence[str], families: Iterable[str]) -> Counter[tuple[str, str]]:
    """Count how often each n-gram of a text occurs: by family and string, in `FAMILIES`' order."""
    chosen = set(families)
    return Counter(
        (family, ngram)
        for family in FAMILIES
        if family in chosen
        for ngram, _, _ in FAMILIES[family](tokens)
    )


def spans(tokens: Sequence[str], families: Iterable[str]) -> npt.NDArray[np.int32]:
    """Tell which tokens the n-grams of a text have a part of.

    Returns:
        Shape (n, 2), int32: the places of the first and of the last one, for each of `features`.
    """
    ends = [(first, last) for family in families for _, first, last in FAMILIES[family](tokens)]
    return np.array(ends, dtype=np.int32).reshape(-1, 2)
