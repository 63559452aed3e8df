"""Kernel and reference on random texts: `python -m tools.compare_random` compares a million."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from neuralbits import artifact
from tests.support.requirements import needs_compiler
from tools.compare_random import HELD, compare, difference, read, texts

pytestmark = needs_compiler


def test_a_few_thousand_random_texts_are_answered_alike(tmp_path: Path) -> None:
    assert list(compare(5000, 1, tmp_path)) == [(2000, None), (4000, None), (5000, None)]


def test_the_comparison_finds_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(artifact.encode(HELD)[0])
    stricter = replace(HELD, threshold=HELD.threshold + 100)
    given = list(islice(texts(Random(0)), 100))
    assert difference(path, HELD, given) is None
    assert difference(path, stricter, given) is not None


def test_random_texts_cover_every_plane_and_include_invalid_utf_8() -> None:
    sample = list(islice(texts(Random(0)), 2000))
    assert {ord(character) >> 16 for text in sample for character in read(text)} == set(range(17))
    ill_formed = sum(b"\xef\xbf\xbd" not in text and "\ufffd" in read(text) for text in sample)
    assert 200 < ill_formed < 1000


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        (b"a\xed\xa0\x80b", "a\ufffdb"),  # a surrogate
        (b"\xed\xa0z", "\ufffdz"),  # the beginning of one
        (b"\xf0\x9f\x98z", "\ufffdz"),
        (b"\xc0\xaf", "\ufffd\ufffd"),
    ],
)
def test_each_maximal_invalid_part_becomes_one_replacement_character(
    text: bytes, characters: str
) -> None:
    assert read(text) == characters
