"""N-grams: from tokens to hashed features.

MurmurHash3 (x86, 32 bits) hashes each n-gram, with a different seed for each family, so one string
is a different feature in each family. There is no vocabulary: a feature *is* the hash.
docs/projection.md specifies every hashed byte.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import mmh3
import numpy as np
import numpy.typing as npt

MIN_CHARACTER_NGRAM = 2
MAX_CHARACTER_NGRAM = 5


Ngram = tuple[str, int, int]
"""An n-gram, and the indices of the first and the last token that it covers."""


def _words(tokens: Sequence[str]) -> Iterator[Ngram]:
    """Extract single tokens."""
    for place, token in enumerate(tokens):
        yield token, place, place


def _word_bigrams(tokens: Sequence[str]) -> Iterator[Ngram]:
    """Extract pairs of neighbouring tokens; an empty token stands before and after the text."""
    if tokens:
        last = len(tokens) - 1
        yield f" {tokens[0]}", 0, 0
        for place in range(last):
            yield f"{tokens[place]} {tokens[place + 1]}", place, place + 1
        yield f"{tokens[last]} ", last, last


def _skip_bigrams(tokens: Sequence[str]) -> Iterator[Ngram]:
    """Extract pairs of tokens with one token between them."""
    for place in range(len(tokens) - 2):
        yield f"{tokens[place]} {tokens[place + 2]}", place, place + 2


def _characters(tokens: Sequence[str]) -> Iterator[Ngram]:
    """Extract runs of 2 to 5 characters of each token, with a space before and after the token."""
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
"""The families of n-grams by name; a family's hash seed is its position here, counted from 1."""

OF_SINGLE_TOKENS = ("words", "characters")
"""The families whose n-grams depend on one token only."""

_SEEDS = {family: seed for seed, family in enumerate(FAMILIES, start=1)}


def features(tokens: Sequence[str], families: Iterable[str]) -> npt.NDArray[np.uint32]:
    """Extract and hash the n-grams of a text; an n-gram that occurs twice gives two features.

    Returns:
        Shape (n,), uint32; n is 0 for a text without tokens.

    Example:
        >>> len(features(["turn", "off"], ["words", "word_bigrams"]))
        5
    """
    hashes = [
        feature(ngram, family) for family in families for ngram, _, _ in FAMILIES[family](tokens)
    ]
    return np.array(hashes, dtype=np.uint32)


def feature(ngram: str, family: str) -> int:
    """Hash an n-gram with its family's seed."""
    return mmh3.hash(ngram, _SEEDS[family], signed=False)


def counted(tokens: Sequence[str], families: Iterable[str]) -> Counter[tuple[str, str]]:
    """Count each n-gram of a text, by family and string, in the order of `FAMILIES`."""
    chosen = set(families)
    return Counter(
        (family, ngram)
        for family in FAMILIES
        if family in chosen
        for ngram, _, _ in FAMILIES[family](tokens)
    )


def spans(tokens: Sequence[str], families: Iterable[str]) -> npt.NDArray[np.int32]:
    """Return which tokens each n-gram of a text covers.

    Returns:
        Shape (n, 2), int32: for each of `features`, the indices of its first and its last token.
    """
    ends = [(first, last) for family in families for _, first, last in FAMILIES[family](tokens)]
    return np.array(ends, dtype=np.int32).reshape(-1, 2)
