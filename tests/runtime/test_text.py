"""From text to tokens: docs/projection.md, sections 1 and 2."""

import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbits.text import normalise, tokens
from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\r\n\u00a0\u3000", []),
        ("Turn OFF the lamp!", ["turn", "off", "the", "lamp"]),
        ("what's what\u2019s whats", ["whats", "whats", "whats"]),
        ("401k at 20.5%", ["401", "k", "at", "20", "5", "%"]),
        ("snake_case-and/or", ["snake", "case", "and", "or"]),
        ("a+b=🙂🙂", ["a", "+", "b", "=", "🙂", "🙂"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("cafe\u0301 CAFÉ", ["cafe", "cafe"]),
        ("ﬁ Ａ１ ½", ["fi", "a", "1", "1", "\u2044", "2"]),
        ("ё й", ["е", "и"]),
        ("مُحَمَّد", ["محمد"]),
        ("가", ["\u1100\u1161"]),
        ("\ud800", ["\ufffd"]),
        ("👍🏽", ["👍", "🏽"]),
        ("soft\u00adhyphen", ["softhyphen"]),
        ("٢٠ ५", ["20", "5"]),
    ],
)
def test_a_text_has_these_tokens(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("spelt", "plain"),
    [
        ("światło ŁÓDŹ", "swiatlo lodz"),  # Polish
        ("IŞIK ışık İSTASYON", "isik isik istasyon"),  # Turkish
        ("đèn Đường", "den duong"),  # Vietnamese
        ("køkken Ærø", "kokken aero"),  # Danish
        ("þú sérð það", "thu serd thad"),  # Icelandic
        ("ħobż", "hobz"),  # Maltese
        ("čáŋ ŧ", "can t"),  # Northern Sami
        ("cœur ŒUVRE", "coeur oeuvre"),  # French
        ("əl ɛ ɔ", "el e o"),  # Azerbaijani, Ewe
        ("ɓa ɗa ƙa ƴa", "ba da ka ya"),  # Hausa
        ("қазақ ғ ң ұ ү ө", "казак г н у у о"),  # Kazakh
        ("ґанок", "ганок"),  # Ukrainian
        ("کتاب یک خانۀ", "كتاب يك خانه"),  # Persian, by an Arabic keyboard
        ("ٱلله على مدرسة سـلام أإآ", "الله علي مدرسه سلام ااا"),  # Arabic
        ("۲۳ ٢٣", "23 23"),
        ("sᴍᴀʟʟ", "small"),
    ],
)
def test_letters_that_unicode_does_not_decompose_are_read_as_people_type_them(
    spelt: str, plain: str
) -> None:
    assert tokens(spelt) == tokens(plain) == plain.split()


@pytest.mark.parametrize("sign", "'`´ʹʻʼʽˈˊˋˮ΄՚׳᾽᾿\u1fef\u1ffd‘’‛′‵ꞌ＇｀")
def test_a_sign_in_place_of_an_apostrophe_vanishes(sign: str) -> None:
    assert tokens(f"what{sign}s on") == ["whats", "on"]


def test_quotation_marks_and_accents_that_are_no_apostrophes_separate_words() -> None:
    assert tokens('a"b a“b a¨b a„b a״b') == ["a", "b"] * 5


@given(st.text(st.characters(exclude_categories=())))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text())
def test_case_makes_no_difference(text: str) -> None:
    # casefold is what "the same but for case" means; Python's table may be newer than ours.
    if all(unicodedata.category(c) != "Cn" for c in text):
        assert tokens(text.casefold()) == tokens(text)


@given(st.text())
def test_capitals_make_no_difference(text: str) -> None:
    if all(unicodedata.category(c) != "Cn" for c in text):
        assert tokens(text.upper()) == tokens(text)


@given(st.text())
def test_composed_and_decomposed_texts_have_the_same_characters(text: str) -> None:
    # Marks that spell words apart are kept in the order in which they come (docs/projection.md).
    assert sorted(normalise(unicodedata.normalize("NFD", text))) == sorted(
        normalise(unicodedata.normalize("NFC", text))
    )


@given(st.text())
def test_the_joined_tokens_are_the_normalised_text_without_spaces(text: str) -> None:
    assert "".join(tokens(text)) == normalise(text).replace(" ", "")
    assert not any(" " in token or token == "" for token in tokens(text))


def runs_python_3_13(python: str) -> bool:
    command = [python, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 13))"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.long
def test_the_tables_are_what_the_generator_writes() -> None:
    installed = Path("~/.pyenv/versions").expanduser().glob("3.13.*/bin/python3.13")
    candidates = [sys.executable, shutil.which("python3.13"), *map(str, installed)]
    python = next(filter(runs_python_3_13, filter(None, candidates)), None)
    if python is None:
        pytest.skip("Python 3.13, which generates the Unicode tables, isn't installed")
    script = ROOT / "tools" / "make_unicode_tables.py"
    written = subprocess.run([python, script], capture_output=True, check=True, text=True).stdout
    assert written == (ROOT / "neuralbits" / "_unicode.py").read_text()
