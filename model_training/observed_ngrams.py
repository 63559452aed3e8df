"""Projecting a whole corpus, epoch after epoch, with tokens and n-grams dropped at random.

The same bits as neuralbits/projection.py, which specifies them, some fifty times faster: the signs
of each distinct n-gram are drawn once, and the votes of many texts' n-grams are counted by one
product of a sparse matrix, which n-gram takes part where, with the matrix of the signs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from neuralbits import ngrams
from neuralbits.projection import Projection
from neuralbits.text import tokens

_CHUNK = 256  # texts, or n-grams, at a time: what is counted at once stays in the cache


@dataclass(frozen=True)
class Dropping:
    """What to leave out of each text, at random.

    The share that a text loses is drawn uniformly between 0 and the setting for every text anew.
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


class ObservedNgrams:
    """The n-grams observed in each text of a corpus, ready to be projected.

    Args:
        projection: the settings of the projection.
        texts: the corpus, N texts.
    """

    def __init__(self, projection: Projection, texts: Sequence[str]) -> None:
        self.projection = projection
        observed, spans = [], [np.empty((0, 2), dtype=np.int32)]
        for text in texts:
            words = tokens(text)
            observed.append(ngrams.features(words, projection.families))
            spans.append(ngrams.spans(words, projection.families))
        self._lengths = np.array([len(features) for features in observed], dtype=np.int64)
        self._spans = np.concatenate(spans)
        self._token_counts = np.array([int(span.max(initial=-1)) + 1 for span in spans[1:]])
        distinct, places = np.unique(np.concatenate([*observed, []]), return_inverse=True)
        # The n-grams of all texts, one text after another, each by its place among the distinct.
        self._ngrams = places.astype(np.int32)
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._functions, self._votes = self._draw(distinct.astype(np.uint32))

    def _draw(
        self, distinct: npt.NDArray[np.uint32]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Draw the functions that V distinct n-grams take part in, and their votes there.

        Returns:
            Shape (V, G), G the groups of functions: the function in each; and shape (V·G, d),
            int32: -1 or 1.
        """
        p = self.projection
        groups = p.functions // p.stride
        functions = np.empty((len(distinct), groups), dtype=np.int32)
        votes = np.empty((len(distinct), groups, p.dimensions), dtype=np.int32)
        for start in range(0, len(distinct), _CHUNK):
            rows = slice(start, start + _CHUNK)
            choices, signs = p.draw(distinct[rows])
            functions[rows] = choices + p.stride * np.arange(groups)
            votes[rows] = 2 * signs.astype(np.int32) - 1
        return functions, votes.reshape(-1, p.dimensions)

    def __len__(self) -> int:
        """Count the texts."""
        return len(self._lengths)

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
            Shape (B, b, T·d), uint8, the neural bits, each 0 or 1.
        """
        p = self.projection
        bits = np.empty((len(texts), p.code_bits, p.inputs), dtype=np.uint8)
        for start in range(0, len(texts), _CHUNK):
            rows = slice(start, start + _CHUNK)
            bits[rows] = p.code(self._sums(texts[rows], dropping))
        return bits

    def _sums(
        self, texts: npt.NDArray[np.intp], dropping: Dropping | None
    ) -> npt.NDArray[np.int32]:
        """Count the votes: shape (B, T·d)."""
        p = self.projection
        lengths = self._lengths[texts]
        text_of = np.repeat(np.arange(len(texts)), lengths)
        # The places of the texts' n-grams in `_ngrams`.
        places = np.arange(lengths.sum()) + np.repeat(
            self._starts[texts] - (np.cumsum(lengths) - lengths), lengths
        )
        if dropping is not None:
            counts = self._token_counts[texts]
            first_tokens = np.cumsum(counts) - counts
            ends = first_tokens[text_of, None] + self._spans[places]
            tokens_kept = dropping.kept(counts, dropping.tokens)
            kept = tokens_kept[ends].all(axis=1) & dropping.kept(lengths, dropping.ngrams)
            text_of, places = text_of[kept], places[kept]
        observed = self._ngrams[places]
        groups = self._functions.shape[1]
        functions = (text_of[:, None] * p.functions + self._functions[observed]).ravel()
        votes = (observed[:, None] * groups + np.arange(groups)).ravel()
        takes_part = sparse.coo_array(
            (np.ones(len(votes), dtype=np.int32), (functions, votes)),
            shape=(len(texts) * p.functions, len(self._votes)),
        )
        sums: npt.NDArray[np.int32] = takes_part.tocsr() @ self._votes
        return p.keep(sums.reshape(len(texts), -1))
