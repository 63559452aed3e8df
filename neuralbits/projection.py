"""The projection: hashed features in, neural bits out.

Ravi 2017 (arXiv:1708.00630), section 3.1: T random functions of d bits each turn the observed
n-grams x into T·d bits, ``bit_k = [<x, P_k> > 0]``, where the matrix P is drawn by hashing and
never stored. Here an n-gram takes part in one of every ``stride`` functions, which saves most of
the work and, measured, costs no accuracy.

This is the readable reference: what it computes is the specification (docs/projection.md).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralbits import ngrams
from neuralbits.text import tokens

_WORD_BITS = 32
_WEYL = np.uint32(0x9E3779B9)
_CHUNK = 1024  # features drawn at a time, so that a long text costs no more memory than a short one


def _mix(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Scatter 32-bit words: the finaliser of MurmurHash3, a bijection."""
    words = words ^ (words >> np.uint32(16))
    words = words * np.uint32(0x85EBCA6B)
    words = words ^ (words >> np.uint32(13))
    words = words * np.uint32(0xC2B2AE35)
    return words ^ (words >> np.uint32(16))


def random_words(features: npt.NDArray[np.uint32], count: int) -> npt.NDArray[np.uint32]:
    """Draw the first ``count`` words of each feature's own random stream.

    Shape (n,) in, (n, count) out. The stream is a Weyl sequence that starts at the feature,
    scattered word by word (the SplitMix construction of Steele et al. 2014, in 32 bits).
    """
    steps = np.arange(1, count + 1, dtype=np.uint32) * _WEYL
    return _mix(features[:, None] + steps)


@dataclass(frozen=True, slots=True)
class Projection:
    """The settings that, with a text, say everything about its neural bits."""

    functions: int = 64
    """T, the number of projection functions: a multiple of ``stride``."""
    bits_per_function: int = 64
    """d, from 1 to 64."""
    stride: int = 4
    """An n-gram takes part in one of every so many functions: a power of two."""
    families: tuple[str, ...] = ("words", "word_bigrams", "characters")
    """The families of n-grams that are observed."""

    def __post_init__(self) -> None:
        """Refuse settings that have no projection.

        Raises:
            ValueError: a setting is out of its range; the sentence says which.
        """
        for name in ("functions", "bits_per_function", "stride"):
            if type(getattr(self, name)) is not int:
                raise ValueError(f"{name} is {getattr(self, name)!r}, not a whole number")
        if not 1 <= self.bits_per_function <= 64:
            raise ValueError(f"bits_per_function is {self.bits_per_function}, not within 1 to 64")
        if self.stride not in (1, 2, 4, 8, 16, 32, 64):
            raise ValueError(f"stride is {self.stride}, not a power of two up to 64")
        if self.functions < 1 or self.functions % self.stride:
            raise ValueError(f"functions is {self.functions}, not a multiple of {self.stride}")
        unknown = [family for family in self.families if family not in ngrams.FAMILIES]
        if unknown or not self.families or len(set(self.families)) < len(self.families):
            raise ValueError(f"families is {self.families}, not distinct {list(ngrams.FAMILIES)}")

    @property
    def bits(self) -> int:
        """T·d, the number of neural bits."""
        return self.functions * self.bits_per_function

    def features(self, text: str) -> npt.NDArray[np.uint32]:
        """Observe the n-grams of a text: shape (n,), uint32."""
        return ngrams.features(tokens(text), self.families)

    def draw(
        self, features: npt.NDArray[np.uint32]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Draw where each feature takes part, and its signs there.

        Returns:
            Shape (n, T / stride): which function of each group of ``stride`` the feature takes
            part in, from 0; and shape (n, T / stride, d): its signs in that function, 1 for plus
            and 0 for minus.
        """
        n, groups = len(features), self.functions // self.stride
        choice_bits = self.stride.bit_length() - 1
        choices_per_word = _WORD_BITS // max(choice_bits, 1)
        choice_words = -(-groups // choices_per_word) if choice_bits else 0
        sign_words = -(-self.bits_per_function // _WORD_BITS)
        words = random_words(features, choice_words + groups * sign_words)

        choices = np.zeros((n, groups), dtype=np.uint8)
        if choice_bits:
            shifts = np.arange(choices_per_word, dtype=np.uint32) * np.uint32(choice_bits)
            fields = (words[:, :choice_words, None] >> shifts) & np.uint32(self.stride - 1)
            choices[:] = fields.reshape(n, choice_words * choices_per_word)[:, :groups]

        octets = words[:, choice_words:].astype("<u4").view(np.uint8)
        signs = np.unpackbits(octets.reshape(n, groups, 4 * sign_words), axis=2, bitorder="little")
        return choices, signs[:, :, : self.bits_per_function]

    def project(self, features: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
        """Turn observed n-grams, shape (n,), into neural bits, shape (T·d,), each 0 or 1.

        In each function the features that take part in it vote, bit by bit, with their signs:
        a bit is 1 when more of them say plus than minus, 0 on a tie and where nobody votes.
        """
        groups = self.functions // self.stride
        sums = np.zeros((groups, self.stride, self.bits_per_function), dtype=np.float32)
        for start in range(0, len(features), _CHUNK):
            choices, signs = self.draw(features[start : start + _CHUNK])
            takes_part = choices[:, :, None] == np.arange(self.stride)
            votes = 2 * signs.astype(np.float32) - 1
            # (groups, stride, n) @ (groups, n, d); whole numbers far below 2^24, so exact.
            sums += takes_part.astype(np.float32).transpose(1, 2, 0) @ votes.transpose(1, 0, 2)
        return (sums > 0).astype(np.uint8).reshape(self.bits)
