"""N-grams: tokens in, hashed features out.

Each family of n-grams is hashed by MurmurHash3 (x86, 32 bits) under a seed of its own, so that
one string is a different feature in each. No table of n-grams is kept anywhere: a feature *is* its
hash. docs/projection.md specifies every byte that is hashed.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import mmh3
import numpy as np
import numpy.typing as npt

SHORTEST_CHARACTER_NGRAM = 2
LONGEST_CHARACTER_NGRAM = 5


def _words(tokens: Sequence[str]) -> Iterable[str]:
    """Observe single tokens."""
    return tokens


def _word_bigrams(tokens: Sequence[str]) -> Iterable[str]:
    """Observe neighbouring tokens; the sentence begins and ends with an empty one."""
    bounded = ["", *tokens, ""] if tokens else []
    return map(" ".join, pairwise(bounded))


def _skip_bigrams(tokens: Sequence[str]) -> Iterable[str]:
    """Observe tokens with one other token between them."""
    return map(" ".join, zip(tokens, tokens[2:], strict=False))


def _characters(tokens: Sequence[str]) -> Iterator[str]:
    """Observe the runs of 2 to 5 characters of each token between its bounds, which are spaces."""
    for token in tokens:
        bounded = f" {token} "
        for length in range(SHORTEST_CHARACTER_NGRAM, LONGEST_CHARACTER_NGRAM + 1):
            for start in range(len(bounded) - length + 1):
                yield bounded[start : start + length]


FAMILIES = {
    "words": _words,
    "word_bigrams": _word_bigrams,
    "skip_bigrams": _skip_bigrams,
    "characters": _characters,
}
"""The families of n-grams by name; a family's hash seed is its position here, from 1."""

_SEEDS = {family: seed for seed, family in enumerate(FAMILIES, start=1)}


def features(tokens: Sequence[str], families: Iterable[str]) -> npt.NDArray[np.uint32]:
    """Hash the n-grams of a text, each as often as it occurs.

    Returns:
        Shape (n,), uint32: the n observed n-grams; none for a text without tokens.
    """
    hashes = [
        mmh3.hash(ngram, _SEEDS[family], signed=False)
        for family in families
        for ngram in FAMILIES[family](tokens)
    ]
    return np.array(hashes, dtype=np.uint32)
