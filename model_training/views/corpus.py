"""Projecting a whole corpus, epoch after epoch, with tokens and n-grams dropped at random.

Its n-grams are observed and hashed once. What is left of them in a view is projected by the kernel,
or, where that isn't compiled, by `SparseProjection`: the same bits as neuralbits/projection.py.
"""

from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from neuralbits import kernel, manifest, ngrams
from neuralbits.projection import Projection
from neuralbits.text import tokens

from .sparse_projection import SparseProjection

_CHUNK = 256  # texts at a time: what is handled at once stays in the cache


@dataclass(frozen=True)
class Dropping:
    """What to leave out of each text, at random.

    The share that a text loses is drawn uniformly between 0 and the setting for every text.
    """

    tokens: float
    """Of its tokens, each with all n-grams that have a part of it."""
    ngrams: float
    """Of its n-grams."""
    generator: np.random.Generator
    """Where the random numbers come from."""

    def kept(self, counts: npt.NDArray[np.int64], most: float) -> npt.NDArray[np.bool_]:
        """Decide which parts B texts keep.

        Args:
            counts: shape (B,), the parts of each.
            most: the greatest share that a text loses.

        Returns:
            Shape (sum of ``counts``,): the parts of one text after another.
        """
        share = self.generator.random(len(counts), dtype=np.float32) * np.float32(most)
        chances = self.generator.random(counts.sum(), dtype=np.float32)
        kept: npt.NDArray[np.bool_] = chances >= np.repeat(share, counts)
        return kept


class NgramCorpus:
    """The n-grams observed in each text of a corpus, ready to be projected.

    Args:
        projection: the settings of the projection; functions may be removed from it later.
        texts: the corpus, N texts.
    """

    def __init__(self, projection: Projection, texts: Sequence[str]) -> None:
        self.projection = projection
        extracted = _extract([tokens(text) for text in texts], projection.families)
        # Of all texts, one after another.
        self._features, self._spans, self._counts, self._token_counts = extracted
        self._starts = np.cumsum(self._counts) - self._counts
        self._sparse = None if kernel.COMPILED else SparseProjection(projection, self._features)

    def __len__(self) -> int:
        """Count the texts."""
        return len(self._counts)

    def project(
        self,
        texts: npt.NDArray[np.intp],
        dropping: Dropping | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Project some of the texts.

        Args:
            texts: shape (B,), their indices.
            dropping: what to leave out of them, if anything.

        Returns:
            Shape (B, b, I), uint8, the neural bits, each 0 or 1.
        """
        p = self.projection
        settings = manifest.dump(asdict(p)).encode()
        bits = np.empty((len(texts), p.code_bits, p.inputs), dtype=np.uint8)
        for start in range(0, len(texts), _CHUNK):
            rows = slice(start, start + _CHUNK)
            features, counts = self._observe(texts[rows], dropping)
            if self._sparse:
                bits[rows] = self._sparse.project(p, features, counts)
            else:
                octets = kernel.project(settings, features, counts).astype("<u8").view(np.uint8)
                octets = octets.reshape(len(counts), p.code_bits, -1)
                bits[rows] = np.unpackbits(octets, axis=2, count=p.inputs, bitorder="little")
        return bits

    def _observe(
        self, texts: npt.NDArray[np.intp], dropping: Dropping | None
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Return the texts' features, and how many each has, without what is dropped."""
        counts = self._counts[texts]
        first = np.cumsum(counts) - counts
        places = np.arange(counts.sum()) + np.repeat(self._starts[texts] - first, counts)
        if dropping is not None:
            text_of = np.repeat(np.arange(len(texts)), counts)
            token_counts = self._token_counts[texts]
            first_tokens = np.cumsum(token_counts) - token_counts
            ends = first_tokens[text_of, None] + self._spans[places]
            tokens_kept = dropping.kept(token_counts, dropping.tokens)
            kept = tokens_kept[ends].all(axis=1) & dropping.kept(counts, dropping.ngrams)
            places = places[kept]
            counts = np.bincount(text_of[kept], minlength=len(texts))
        return self._features[places], counts


def _extract(
    texts: Sequence[Sequence[str]], families: Sequence[str]
) -> tuple[
    npt.NDArray[np.uint32], npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]
]:
    """Extract the n-grams of N tokenised texts.

    The n-grams of a single token are extracted once, however often a corpus has the token.

    Returns:
        What `ngrams.features` and `ngrams.spans` give, one text after another: shapes (n,) and
        (n, 2); and how many n-grams and how many tokens each text has, both of shape (N,).
    """
    by_token = {family: _PerToken(family) for family in ngrams.OF_SINGLE_TOKENS}
    features, firsts, lasts, counts = array("I"), array("i"), array("i"), []
    for words in texts:
        begun = len(features)
        for family in families:
            if family in by_token:
                for place, token in enumerate(words):
                    found = by_token[family][token]
                    features.extend(found)
                    firsts.extend([place] * len(found))
                    lasts.extend([place] * len(found))
                continue
            for ngram, first, last in ngrams.FAMILIES[family](words):
                features.append(ngrams.feature(ngram, family))
                firsts.append(first)
                lasts.append(last)
        counts.append(len(features) - begun)
    return (
        np.frombuffer(features, dtype=np.uint32),
        np.stack([np.frombuffer(firsts, np.int32), np.frombuffer(lasts, np.int32)], axis=1),
        np.array(counts, dtype=np.int64),
        np.array([len(words) for words in texts], dtype=np.int64),
    )


class _PerToken(dict[str, list[int]]):
    """The hashed n-grams of one family of each token, extracted when they are first asked for."""

    def __init__(self, family: str) -> None:
        self._family = family

    def __missing__(self, token: str) -> list[int]:
        found: list[int] = ngrams.features([token], [self._family]).tolist()
        self[token] = found
        return found
