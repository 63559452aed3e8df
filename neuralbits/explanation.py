"""The explanation: which n-grams of a text spoke for its intent, and which against it.

Each n-gram is left out, and what that changes is what it did (occlusion: Zeiler and Fergus 2014,
arXiv:1311.2901; of words, Li et al. 2016, arXiv:1612.08220). docs/projection.md defines it.
"""

from dataclasses import dataclass

from neuralbits.errors import NeuralbitsError

MAX_NGRAMS = 2_048
"""A text with more different ones isn't explained: for each it is scored once more, which takes
time, and of a part of them the strongest might be missing."""


@dataclass(frozen=True, slots=True)
class NgramInfluence:
    """An n-gram, and what it did for the answer."""

    ngram: str
    """Its text, normalised. Spaces are the bounds of tokens."""
    family: str
    """``words``, ``word_bigrams``, ``skip_bigrams`` or ``characters`` (docs/projection.md)."""
    influence: float
    """By how much the log-odds of the text's intent, ln(p / (1 - p)) of its calibrated probability,
    fall if all occurrences of this n-gram are left out: above 0 it spoke for the intent, below 0
    against it. They don't add up: n-grams overlap, and share their bits.

    If two n-grams share a feature's hash, the network can't tell them apart, but they are still two
    here: each is left out as often as it occurs itself, while the other one stays.
    """


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a text is to the network, and what its n-grams did for the likeliest intent."""

    bits: str
    """The neural bits in hexadecimal digits, function by function: the first bit is the highest of
    the first digit, and the last digit is filled up with zeros."""
    second_bits: str
    """Likewise the second bits, which say whether a sum is large; empty if ``code_bits`` is 1."""
    functions: int
    """How many functions there are, without pruned ones."""
    dimensions: int
    """How many bits of ``bits`` each of them has: d, or 2^d in blocks."""
    ngrams: tuple[NgramInfluence, ...]
    """Every different n-gram of the text once, the greatest influence, of either sign, first;
    equals as docs/projection.md orders them."""


class TooVaried(NeuralbitsError):
    """A text with more different n-grams than are explained."""

    def __init__(self) -> None:
        super().__init__(
            f"the text has more than {MAX_NGRAMS:,} different n-grams, too many to leave out one "
            "by one; ask for the explanation of a shorter text"
        )
