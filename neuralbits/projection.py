"""The projection: from hashed features to neural bits.

In Ravi 2017 (arXiv:1708.00630), section 3.1, T random functions of d dimensions turn the n-grams x
into T·d sums ``<x, P_k>``. The sign of each sum is a bit. Hashing draws the matrix P, which is
never stored. neuralbits adds two things, measured in docs/accuracy.md. A second bit says whether
the sum is large (coding for random projections, Li et al. 2014, arXiv:1403.8144). And an n-gram
takes part in only one function of each group of ``stride`` functions (the group size), which saves
nearly all of the work.

This is the readable reference of the specification in docs/projection.md.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralbits import ngrams
from neuralbits.text import tokens

MAX_INPUTS = 1 << 16
"""The most inputs of a network, so that a small artifact can't allocate gigabytes."""

_WORD_BITS = 32
_MAX_BLOCK_DIMENSIONS = 8
_WEYL = np.uint32(0x9E3779B9)
_CHUNK = 1024  # features drawn at a time, to bound the memory that a long text takes


def _mix(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Scatter 32-bit words: the finaliser of MurmurHash3, a bijection."""
    words = words ^ (words >> np.uint32(16))
    words = words * np.uint32(0x85EBCA6B)
    words = words ^ (words >> np.uint32(13))
    words = words * np.uint32(0xC2B2AE35)
    return words ^ (words >> np.uint32(16))


def random_words(features: npt.NDArray[np.uint32], count: int) -> npt.NDArray[np.uint32]:
    """Draw the first ``count`` words of each feature's random stream.

    Shape (n,) in, (n, count) out. The stream is a Weyl sequence that starts at the feature; `_mix`
    scatters each word (the SplitMix construction of Steele et al. 2014, in 32 bits).
    """
    steps = np.arange(1, count + 1, dtype=np.uint32) * _WEYL
    return _mix(features[:, None] + steps)


@dataclass(frozen=True, slots=True)
class Projection:
    """The settings of the projection; a text's neural bits depend on nothing else.

    Example:
        >>> projection = Projection(functions=16, dimensions=8, stride=4)
        >>> projection.project(projection.features("turn off the lamp")).shape
        (2, 128)
    """

    functions: int = 64
    """T, the number of projection functions: a multiple of ``stride``."""
    dimensions: int = 64
    """d, the dimensions of each function, from 1 to 64."""
    code_bits: int = 2
    """b: a sum becomes 1 bit, its sign, or 2, its sign and whether it is large."""
    stride: int = 16
    """The group size: an n-gram takes part in one function of each group. A power of two."""
    families: tuple[str, ...] = ("words", "word_bigrams", "characters")
    """The families of n-grams that are extracted."""
    blocks: bool = False
    """Whether the d bits of a function are an index into 2^d learned rows (Ravi 2017, section 3.1).
    The network then reads 2^d bits per function, of which only the bit at that index is 1."""

    removed: tuple[int, ...] = ()
    """The pruned functions, rising from 0: they aren't computed, and the network doesn't read them.
    """

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: a setting is out of its range; the message says which.
        """
        for name in ("functions", "dimensions", "code_bits", "stride"):
            if type(getattr(self, name)) is not int:
                raise ValueError(f"{name} is {getattr(self, name)!r}, not a whole number")
        if not 1 <= self.dimensions <= 64:
            raise ValueError(f"dimensions is {self.dimensions}, not within 1 to 64")
        if self.code_bits not in (1, 2):
            raise ValueError(f"code_bits is {self.code_bits}, not 1 or 2")
        if self.stride not in (1, 2, 4, 8, 16, 32, 64):
            raise ValueError(f"stride is {self.stride}, not a power of two up to 64")
        if type(self.blocks) is not bool:
            raise ValueError(f"blocks is {self.blocks!r}, not true or false")
        if self.blocks and (self.code_bits != 1 or self.dimensions > _MAX_BLOCK_DIMENSIONS):
            raise ValueError(
                f"blocks need code_bits 1 and at most {_MAX_BLOCK_DIMENSIONS} dimensions, "
                f"not {self.code_bits} and {self.dimensions}"
            )
        if self.functions < 1 or self.functions % self.stride:
            raise ValueError(f"functions is {self.functions}, not a multiple of {self.stride}")
        functions = range(self.functions)
        if (
            any(type(index) is not int or index not in functions for index in self.removed)
            or list(self.removed) != sorted(set(self.removed))
            or len(self.removed) == self.functions
        ):
            raise ValueError(
                f"removed is {self.removed}, not some of the functions 0 to {functions[-1]}, rising"
            )
        largest = self.functions * (2**self.dimensions if self.blocks else self.dimensions)
        if largest > MAX_INPUTS:
            raise ValueError(
                f"functions {self.functions} and dimensions {self.dimensions} make {largest} "
                f"inputs, more than {MAX_INPUTS}"
            )
        unknown = [family for family in self.families if family not in ngrams.FAMILIES]
        if unknown or not self.families or len(set(self.families)) < len(self.families):
            raise ValueError(f"families is {self.families}, not distinct {list(ngrams.FAMILIES)}")

    @property
    def kept(self) -> tuple[int, ...]:
        """The functions that aren't pruned, rising."""
        pruned = set(self.removed)
        return tuple(index for index in range(self.functions) if index not in pruned)

    @property
    def sums(self) -> int:
        """T·d, the number of sums, without those of pruned functions."""
        return (self.functions - len(self.removed)) * self.dimensions

    @property
    def bits(self) -> int:
        """b·T·d, the number of neural bits."""
        return self.code_bits * self.sums

    @property
    def inputs(self) -> int:
        """The number of the network's inputs: one per sum, or 2^d per function in blocks."""
        return self.sums // self.dimensions * 2**self.dimensions if self.blocks else self.sums

    def features(self, text: str) -> npt.NDArray[np.uint32]:
        """Extract the n-grams of a text as features: shape (n,), uint32."""
        return ngrams.features(tokens(text), self.families)

    def draw(
        self, features: npt.NDArray[np.uint32]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Draw each feature's function in each group, and its signs in that function.

        Returns:
            Shape (n, T / stride), uint8: the index within its group, from 0, of the function in
            which the feature takes part. Shape (n, T / stride, d), uint8: the feature's signs in
            that function, 1 for plus and 0 for minus.
        """
        n, groups = len(features), self.functions // self.stride
        choice_bits = self.stride.bit_length() - 1
        choices_per_word = _WORD_BITS // max(choice_bits, 1)
        choice_words = -(-groups // choices_per_word) if choice_bits else 0
        sign_words = -(-self.dimensions // _WORD_BITS)
        words = random_words(features, choice_words + groups * sign_words)

        choices = np.zeros((n, groups), dtype=np.uint8)
        if choice_bits:
            shifts = np.arange(choices_per_word, dtype=np.uint32) * np.uint32(choice_bits)
            fields = (words[:, :choice_words, None] >> shifts) & np.uint32(self.stride - 1)
            choices[:] = fields.reshape(n, choice_words * choices_per_word)[:, :groups]

        octets = words[:, choice_words:].astype("<u4").view(np.uint8)
        signs = np.unpackbits(octets.reshape(n, groups, 4 * sign_words), axis=2, bitorder="little")
        return choices, signs[:, :, : self.dimensions]

    def project(self, features: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
        """Turn features, shape (n,), into neural bits, shape (b, T·d), uint8, each 0 or 1.

        `vote` computes the sums, and `code` turns them into bits (Ravi 2017, section 3.1).
        """
        return self.code(self.vote(features))

    def vote(self, features: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """Return the sums of features: shape (n,) in, (T·d,) out.

        The sum of one dimension of a function is the sum of the signs of the features that take
        part in the function.
        """
        groups = self.functions // self.stride
        sums = np.zeros((groups, self.stride, self.dimensions), dtype=np.float32)
        for start in range(0, len(features), _CHUNK):
            choices, signs = self.draw(features[start : start + _CHUNK])
            takes_part = choices[:, :, None] == np.arange(self.stride)
            votes = 2 * signs.astype(np.float32) - 1
            # (groups, stride, n) @ (groups, n, d); whole numbers below 2^24 are exact in float32.
            sums += takes_part.astype(np.float32).transpose(1, 2, 0) @ votes.transpose(1, 0, 2)
        return self.keep(sums.reshape(-1).astype(np.int32))

    def keep(self, sums: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Remove the sums of pruned functions: shape (..., T·d) in, (..., `sums`) out."""
        if not self.removed:
            return sums
        by_function = sums.reshape(*sums.shape[:-1], self.functions, self.dimensions)
        return by_function[..., self.kept, :].reshape(*sums.shape[:-1], self.sums)

    def code(self, sums: npt.NDArray[np.signedinteger[Any]]) -> npt.NDArray[np.uint8]:
        """Code the sums of texts, shape (..., T·d), as bits, shape (..., b, T·d), each 0 or 1.

        The first bit is 1 for a sum above 0. A sum is large if its magnitude is above the root
        mean square of the text's sums. The second bit is 1 for a large sum above 0, and for a sum
        of at most 0 that isn't large. So the codes, as two-digit binary numbers, rise with the
        sums.

        In blocks, the shape is (..., 1, T·2^d): the d bits of a function, the first one lowest, are
        the index of the only 1 among its 2^d bits.
        """
        positive = sums > 0
        if self.blocks:
            places = 1 << np.arange(self.dimensions)
            numbers = positive.reshape(*sums.shape[:-1], -1, self.dimensions) @ places
            rows = numbers[..., None, :, None] == np.arange(2**self.dimensions)
            bits: npt.NDArray[np.uint8] = rows.astype(np.uint8)
            return bits.reshape(*sums.shape[:-1], 1, self.inputs)
        if self.code_bits == 1:
            return positive[..., None, :].astype(np.uint8)
        mean_square = np.einsum("...i,...i->...", sums, sums, dtype=np.int64) // self.sums
        limit = np.sqrt(mean_square).astype(sums.dtype)[..., None]
        bits = np.empty((*sums.shape[:-1], 2, self.sums), dtype=np.uint8)
        bits[..., 0, :] = positive
        bits[..., 1, :] = positive == (np.abs(sums) > limit)
        return bits
