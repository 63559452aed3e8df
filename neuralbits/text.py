"""Text: from Unicode to normalised tokens.

This is the first step of the projection; docs/projection.md specifies it in full. It uses only the
pinned tables of ``_unicode.py``, so a text has the same tokens on every machine.
"""

import re
from itertools import chain

from neuralbits import _unicode

_FIRST_SYLLABLE, _LEADS, _VOWELS, _TAILS = 0xAC00, 19, 21, 28


def _hangul_syllables() -> dict[int, str]:
    """Map each Hangul syllable to its letters (Unicode Standard, section 3.12)."""
    syllables = {}
    for index in range(_LEADS * _VOWELS * _TAILS):
        letter, tail = divmod(index, _TAILS)
        lead, vowel = divmod(letter, _VOWELS)
        letters = chr(0x1100 + lead) + chr(0x1161 + vowel)
        syllables[_FIRST_SYLLABLE + index] = letters + (chr(0x11A7 + tail) if tail else "")
    return syllables


def _folding_table() -> dict[int, str]:
    """Map each code point that normalisation changes to its replacement."""
    table = _hangul_syllables() | _unicode.FOLDED
    for ranges, becomes in (
        (_unicode.REMOVED, ""),
        (_unicode.SEPARATORS, " "),
        (_unicode.REPLACED, "\ufffd"),
    ):
        codes = chain.from_iterable(range(first, last + 1) for first, last in ranges)
        table.update(dict.fromkeys(codes, becomes))
    return table


def _character_class(ranges: tuple[tuple[int, int], ...]) -> str:
    """Write code point ranges as a character class of a regular expression."""
    return "[" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges) + "]"


_FOLDING = _folding_table()
_TOKEN = re.compile(
    f"{_character_class(_unicode.LETTERS)}+|{_character_class(_unicode.DIGITS)}+|[^ ]"
)


def normalise(text: str) -> str:
    """Fold case, compatibility forms and accents; turn punctuation into spaces.

    A lone surrogate becomes U+FFFD. Normalising a second time changes nothing.

    Example:
        >>> normalise("Café, bitte!")
        'cafe  bitte '
    """
    return text.translate(_FOLDING)


def tokens(text: str) -> list[str]:
    """Split a text into tokens: runs of letters, runs of digits, and single symbols.

    Example:
        >>> tokens("Heizung auf 21°!")
        ['heizung', 'auf', '21', '°']
    """
    return _TOKEN.findall(normalise(text))


def key(text: str) -> str:
    """Return the joined tokens: two texts with the same key are the same to every classifier."""
    return " ".join(tokens(text))
