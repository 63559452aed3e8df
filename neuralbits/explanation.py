"""The explanation: the influence of each n-gram of a text on its intent.

The influence is the change of the intent's log-odds when the n-gram is left out (occlusion: Zeiler
and Fergus 2014, arXiv:1311.2901; of words: Li et al. 2016, arXiv:1612.08220).
docs/projection.md defines it.
"""

from dataclasses import dataclass

from neuralbits.errors import NeuralbitsError

MAX_NGRAMS = 2_048
"""The most different n-grams that a text to explain may have: each costs another scoring, and an
explanation by a part of the n-grams could miss the strongest."""


@dataclass(frozen=True, slots=True)
class NgramInfluence:
    """An n-gram and its influence on the intent.

    Example:
        >>> import neuralbits
        >>> explanation = neuralbits.load("home-assistant-en").explain("turn off the lamp")
        >>> words = {n.ngram: n for n in explanation.ngrams if n.family == "words"}
        >>> words["off"].influence > 0
        True
    """

    ngram: str
    """Normalised text; a space marks the start or the end of a token."""
    family: str
    """``words``, ``word_bigrams``, ``skip_bigrams`` or ``characters`` (docs/projection.md)."""
    influence: float
    """The fall of the intent's log-odds, ln(p / (1 - p)) of its calibrated probability p, when all
    occurrences of this n-gram are left out. It is positive for the intent, negative against it.
    Influences don't add up, because n-grams overlap and share bits.

    Two n-grams with the same hash are one feature to the network but have two entries here: the
    influence of each comes from its own occurrences.
    """


@dataclass(frozen=True, slots=True)
class Explanation:
    """The neural bits of a text, and the influence of its n-grams on the likeliest intent.

    Example:
        >>> import neuralbits
        >>> explanation = neuralbits.load("home-assistant-en").explain("turn off the lamp")
        >>> len(explanation.bits) == explanation.functions * explanation.dimensions / 4
        True
    """

    bits: str
    """The neural bits as hexadecimal digits, function by function. The first bit is the highest of
    the first digit; zeros fill up the last digit."""
    second_bits: str
    """The second bits in the same form, 1 for a large sum; empty if ``code_bits`` is 1."""
    functions: int
    """The number of functions, without pruned ones."""
    dimensions: int
    """The number of bits of each function in ``bits``: d, or 2^d in blocks."""
    ngrams: tuple[NgramInfluence, ...]
    """The different n-grams of the text, in falling order of the influence's magnitude;
    docs/projection.md gives the order of equal ones."""


class TooVaried(NeuralbitsError):
    """A text has more than `MAX_NGRAMS` different n-grams, so it can't be explained."""

    def __init__(self) -> None:
        super().__init__(
            f"the text has more than {MAX_NGRAMS:,} different n-grams; explain a shorter text"
        )
