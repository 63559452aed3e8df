"""Write neuralbits/_unicode.py, the Unicode tables that the runtime uses.

Python's own tables change with its version, and a text must give the same bits under all of them.
So this script computes the tables once, from one version of Unicode, and they are committed:

    python3.13 tools/make_unicode_tables.py > neuralbits/_unicode.py

docs/projection.md states the rules; this script is their only implementation.
"""

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable

UNICODE_VERSION = "15.1.0"
REPLACEMENT = "\ufffd"
HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)  # decomposed by arithmetic, in neuralbits/text.py
# An apostrophe is part of a word: "what's" and "whats" are one word. In its place keyboards
# and transcripts put quotation marks, acute, grave, prime, breathings, the Greek tonos, and the
# apostrophes of Armenian, Hebrew (geresh), N'Ko and Mesoamerica (saltillo).
APOSTROPHES = frozenset(
    "'`\u00b4\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u02ca\u02cb\u02ee\u0384\u055a\u05f3\u07f4\u07f5"
    "\u1fbd\u1fbf\u1ffe\u2018\u2019\u201b\u2032\u2035\ua78b\ua78c"
)
# Arabic tatweel and lajanyalan in N'Ko stretch a word and are not letters.
STRETCHES = frozenset("\u0640\u07fa")
# Letters without a decomposition whose names (`plain_letter`) don't give the typed letter.
PLAIN_LETTERS = {
    "ð": "d", "þ": "th", "ı": "i", "ȷ": "j", "ĸ": "q", "ŋ": "n",
    "ɑ": "a", "ə": "e", "ǝ": "e", "ɛ": "e", "ɡ": "g", "ɩ": "i", "ɔ": "o", "ɵ": "o", "ʉ": "u",
    "ʒ": "z",
    # Mongolian and Turkic Cyrillic, on a Russian keyboard: barred o, straight u.
    "\u04e9": "\u043e", "\u04af": "\u0443",
    # Arabic letters with another code point on Persian, Urdu and Kurdish keyboards, or that
    # writers exchange: alefs, yehs, kafs, hehs and teh marbuta.
    "\u0671": "\u0627", "\u0672": "\u0627", "\u0673": "\u0627",
    "\u0649": "\u064a", "\u06cc": "\u064a",
    "\u06a9": "\u0643", "\u06aa": "\u0643",
    "\u0629": "\u0647", "\u06be": "\u0647", "\u06c1": "\u0647", "\u06c3": "\u0647",
    "\u06d5": "\u0647",
}  # fmt: skip
# Punctuation that people say aloud; the rest separates tokens, as a space does.
SPOKEN_PUNCTUATION = frozenset("%\u2030\u066a&@#")
VARIATION_SELECTORS = frozenset(
    chr(code) for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
)  # fmt: skip


def is_accent(character: str) -> bool:
    """Return whether this is a mark that writers may leave out.

    By canonical combining class: 10-36 are Hebrew points, Arabic vowel signs and the Syriac
    alaph; 200 and above are marks placed around a letter. The classes below 10 and from 84 to 132
    (nukta, kana voicing, virama, South-East Asian and Tibetan vowels and tones) distinguish words.
    """
    combining_class = unicodedata.combining(character)
    return 10 <= combining_class <= 36 or combining_class >= 200


def fold_character(character: str) -> str:
    """Return the replacement of one character of an already decomposed, case-folded text."""
    category = unicodedata.category(character)
    if category == "Cs":
        return REPLACEMENT
    if character in APOSTROPHES | STRETCHES | VARIATION_SELECTORS or category == "Cf":
        return ""
    if character == "\u034f" or is_accent(character):
        return ""
    if category[0] == "Z" or category == "Cc":
        return " "
    if category[0] == "P" and character not in SPOKEN_PUNCTUATION:
        return " "
    return character


def plain_letter(character: str) -> str:
    """Return the plain letter for a letter that Unicode does not decompose; others stay.

    Read from the letter's name: "LATIN SMALL LETTER L WITH STROKE" is typed l, "LATIN SMALL LETTER
    AE" ae, "CYRILLIC SMALL LETTER KA WITH DESCENDER" к. In Arabic, names with "WITH" are those of
    other letters, so that script has only its part of `PLAIN_LETTERS`. For Latin this agrees with
    CLDR's transform Latin-ASCII, in lower case, except some phonetic and medieval letters.
    """
    if character in PLAIN_LETTERS:
        return PLAIN_LETTERS[character]
    if unicodedata.decimal(character, None) is not None:
        return str(unicodedata.decimal(character))
    name = unicodedata.name(character, "")
    letters = re.fullmatch(
        r"LATIN (?:SMALL (?:LETTER|LIGATURE)|LETTER SMALL CAPITAL) ([A-Z]{1,2})"
        r"(?: DIGRAPH)?(?: WITH .+)?",
        name,
    )
    if letters:
        return letters[1].lower()
    base = re.fullmatch(r"((?:LATIN|CYRILLIC) SMALL LETTER .+?) WITH .+", name)
    try:
        return unicodedata.lookup(base[1]) if base else character
    except KeyError:  # a name without such a letter
        return character


def fold(character: str) -> str:
    """Return the code points that normalisation replaces one code point by."""
    # By canonical parts: the compatibility decomposition of an acute or a tonos has a space.
    return "".join(map(fold_part, unicodedata.normalize("NFD", character)))


def fold_part(character: str) -> str:
    """Decompose, case-fold and replace a code point until nothing changes; fold what is left."""
    if character in APOSTROPHES:
        return ""
    before, after = "", character
    while after != before:
        before = after
        after = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", before).casefold())
        after = "".join(map(plain_letter, after))
    return "".join(map(fold_character, after))


def ranges(codes: Iterable[int], may_hold: Callable[[int], bool]) -> list[tuple[int, int]]:
    """Cover ``codes`` with few ranges, bridging gaps in which ``may_hold`` allows every code."""
    result: list[tuple[int, int]] = []
    for code in codes:
        if result and all(map(may_hold, range(result[-1][1] + 1, code))):
            result[-1] = (result[-1][0], code)
        else:
            result.append((code, code))
    return result


def literal(name: str, type_: str, items: Iterable[str], brackets: str) -> str:
    """Format a Python collection, with as many items a line as fit."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([f"{name}: {type_} = {brackets[0]}", *lines, line, brackets[1]])


def main() -> None:
    """Print the module."""
    if unicodedata.unidata_version != UNICODE_VERSION:
        sys.exit(
            f"This Python holds Unicode {unicodedata.unidata_version}, the tables are of "
            f"{UNICODE_VERSION}: run me with Python 3.13."
        )
    codes = [code for code in range(sys.maxunicode + 1) if code not in HANGUL_SYLLABLES]
    folded = {code: fold(chr(code)) for code in codes}
    changed = {code: text for code, text in folded.items() if text != chr(code)}
    stay = [code for code in codes if code not in changed]

    def of_category(*initials: str) -> list[int]:
        return [code for code in stay if unicodedata.category(chr(code))[0] in initials]

    def never_met(code: int) -> bool:
        return code in changed or code in HANGUL_SYLLABLES

    def range_items(codes: Iterable[int]) -> list[str]:
        return [f"(0x{first:X}, 0x{last:X})" for first, last in ranges(codes, lambda _: False)]

    def class_items(codes: Iterable[int]) -> list[str]:
        return [f"(0x{first:X}, 0x{last:X})" for first, last in ranges(codes, never_met)]

    mapped = {code: text for code, text in changed.items() if text not in ("", " ", REPLACEMENT)}
    pairs = "tuple[tuple[int, int], ...]"
    removed = [code for code, text in changed.items() if text == ""]
    separators = [code for code, text in changed.items() if text == " "]
    replaced = [code for code, text in changed.items() if text == REPLACEMENT]
    print(
        f'"""Unicode {UNICODE_VERSION}, as the runtime reads it.\n\n'
        "Generated by tools/make_unicode_tables.py; do not edit. Ranges hold their last code.\n"
        '"""\n\n'
        f'UNICODE_VERSION = "{UNICODE_VERSION}"\n'
    )
    print("# Code points that vanish: accents, apostrophes, tatweel, format characters.")
    print(literal("REMOVED", pairs, range_items(removed), "()"))
    print("\n# Code points that become a space: white space, controls, punctuation.")
    print(literal("SEPARATORS", pairs, range_items(separators), "()"))
    print("\n# Code points that are no character: they become U+FFFD.")
    print(literal("REPLACED", pairs, range_items(replaced), "()"))
    print("\n# Code points that become others: case folding, decomposition, plain letters, digits.")
    items = [f"0x{code:X}: {text!a}".replace("'", '"') for code, text in mapped.items()]
    print(literal("FOLDED", "dict[int, str]", items, "{}"))
    print("\n# Of what is left: letters with their marks, and digits. All else is a symbol.")
    print(literal("LETTERS", pairs, class_items(of_category("L", "M")), "()"))
    print()
    print(literal("DIGITS", pairs, class_items(of_category("N")), "()"))


if __name__ == "__main__":
    main()
