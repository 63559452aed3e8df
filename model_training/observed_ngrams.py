"""Projecting a whole corpus, epoch after epoch, with n-grams dropped at random.

The same bits as neuralbits/projection.py, which specifies them, some hundred times faster: the
signs of each distinct n-gram are drawn once and kept as words of 64 bits, and the votes of a
text's n-grams are counted by bit-sliced adders, 64 counters to a word.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from neuralbits.projection import Projection

Words = npt.NDArray[np.uint64]

_CHUNK = 256  # texts, or n-grams, at a time: what the adders touch stays in the cache


class ObservedNgrams:
    """The n-grams observed in each text of a corpus, ready to be projected.

    Args:
        projection: the settings of the projection.
        texts: the corpus, N texts.
    """

    def __init__(self, projection: Projection, texts: Sequence[str]) -> None:
        self.projection = projection
        observed = [projection.features(text) for text in texts]
        self._lengths = np.array([len(features) for features in observed], dtype=np.int64)
        distinct, rows = np.unique(np.concatenate([*observed, []]), return_inverse=True)
        self._absent = len(distinct)
        self._rows = np.full((len(texts), self._lengths.max(initial=0)), self._absent, np.int32)
        self._rows[np.arange(self._rows.shape[1]) < self._lengths[:, None]] = rows
        self._signs, self._takes_part = self._draw(distinct.astype(np.uint32))

    def _draw(self, distinct: npt.NDArray[np.uint32]) -> tuple[Words, npt.NDArray[np.uint8]]:
        """Draw the signs of V distinct n-grams: two tables of shape (V + 1, T).

        The first holds an n-gram's signs in each function as one word, 0 where it doesn't take
        part; the second where it does. The last row belongs to absent n-grams.
        """
        p = self.projection
        groups = p.functions // p.stride
        signs = np.zeros((len(distinct) + 1, groups, p.stride), dtype=np.uint64)
        takes_part = np.zeros(signs.shape, dtype=np.uint8)
        for start in range(0, len(distinct), _CHUNK):
            choices, drawn = p.draw(distinct[start : start + _CHUNK])
            octets = np.zeros((*choices.shape, 8), dtype=np.uint8)
            packed = np.packbits(drawn, axis=2, bitorder="little")
            octets[:, :, : packed.shape[2]] = packed
            here = choices[:, :, None] == np.arange(p.stride)
            rows = slice(start, start + len(choices))
            signs[rows] = np.where(here, octets.view("<u8"), 0)
            takes_part[rows] = here
        return signs.reshape(-1, p.functions), takes_part.reshape(-1, p.functions)

    def __len__(self) -> int:
        """Count the texts."""
        return len(self._lengths)

    def project(
        self,
        texts: npt.NDArray[np.intp],
        drop: float = 0.0,
        generator: np.random.Generator | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Project some of the texts.

        Args:
            texts: shape (B,), their indices.
            drop: from each text, a share of its n-grams is left out; the share is drawn
                uniformly between 0 and this for every text anew.
            generator: where the random numbers come from, when ``drop`` is not 0.

        Returns:
            Shape (B, T·d), uint8, the neural bits, each 0 or 1.
        """
        p = self.projection
        bits = np.empty((len(texts), p.bits), dtype=np.uint8)
        order = np.argsort(self._lengths[texts], kind="stable")
        for start in range(0, len(texts), _CHUNK):
            chunk = order[start : start + _CHUNK]
            rows = self._rows[texts[chunk], : self._lengths[texts[chunk]].max(initial=0)]
            if generator is not None:
                share = generator.random((len(rows), 1), dtype=np.float32) * np.float32(drop)
                dropped = generator.random(rows.shape, dtype=np.float32) < share
                rows = np.where(dropped, self._absent, rows)
            votes = self._takes_part[rows].sum(axis=1, dtype=np.uint64)
            words = _majority((self._signs[rows[:, i]] for i in range(rows.shape[1])), votes)
            octets = words.astype("<u8").view(np.uint8).reshape(len(rows), p.functions, 8)
            unpacked = np.unpackbits(octets, axis=2, bitorder="little")
            bits[chunk] = unpacked[:, :, : p.bits_per_function].reshape(len(rows), p.bits)
        return bits


def _add(a: Words, b: Words, c: Words) -> tuple[Words, Words]:
    """Add three bits in each of a word's positions: their sum and their carry."""
    either = a ^ b
    return either ^ c, (a & b) | (either & c)


def _majority(ballots: Iterable[Words], votes: Words) -> Words:
    """Tell, position by position, whether more than half of the votes are 1.

    Args:
        ballots: words of shape S, one after another.
        votes: shape S; how many of the ballots count in each word (the others are 0).

    Returns:
        Shape S: a 1 where twice the ones exceed the votes.
    """
    # counters[w] holds the bits of weight 2^w of the counts. A further word of that weight waits
    # for yet another one, so that one addition takes in both and passes on a single carry.
    counters: list[Words] = []
    waiting: dict[int, Words] = {}
    for word in ballots:
        weight = 0
        while weight in waiting:
            counters[weight], word = _add(counters[weight], waiting.pop(weight), word)
            weight += 1
        if weight == len(counters):
            counters.append(word)
        else:
            waiting[weight] = word
    counters.append(np.zeros_like(votes))
    for weight, word in waiting.items():
        for higher in range(weight, len(counters)):
            counters[higher], word = counters[higher] ^ word, counters[higher] & word

    # Compared from the lowest bit up: the highest one that differs decides.
    half = votes >> np.uint64(1)
    greater = np.zeros_like(votes)
    for weight, ones in enumerate(counters):
        threshold = np.uint64(0) - ((half >> np.uint64(weight)) & np.uint64(1))
        greater = (ones & ~threshold) | (~(ones ^ threshold) & greater)
    # A half beyond the counters' reach is never exceeded.
    return np.where(half >> np.uint64(len(counters)) > 0, np.uint64(0), greater)
