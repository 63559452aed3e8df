"""Typos of the finger, as people make them on a keyboard.

The projection network sees some of its training texts with one typo, so that "turn of teh lamp"
is not the first misspelling that it meets.
"""

from random import Random

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbours() -> dict[str, str]:
    """Map each letter to those whose keys touch its own, on an English keyboard."""
    places = {key: (i, j) for i, row in enumerate(_ROWS) for j, key in enumerate(row)}
    return {
        key: "".join(
            other
            for other, (k, m) in places.items()
            if other != key and abs(i - k) <= 1 and abs(j - m) <= 1
        )
        for key, (i, j) in places.items()
    }


NEIGHBOURS = _neighbours()


def typo(text: str, random: Random) -> str:
    """Return the text with one typo: a letter left out, doubled, swapped or mistaken.

    The letter is any of the text's, in any script; one without neighbours on the keyboard is
    never mistaken for another. A text without letters is returned as it is.
    """
    letters = [place for place, character in enumerate(text) if character.isalpha()]
    if not letters:
        return text
    # Only random() gives the same sequence in every version of Python.
    place = letters[int(random.random() * len(letters))]
    before, letter, after = text[:place], text[place], text[place + 1 :]
    typos = [before + after, before + 2 * letter + after, before + after[:1] + letter + after[1:]]
    if near := NEIGHBOURS.get(letter.lower()):
        typos.append(before + near[int(random.random() * len(near))] + after)
    return typos[int(random.random() * len(typos))]
