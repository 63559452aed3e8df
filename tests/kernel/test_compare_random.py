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


def test_a_difference_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(artifact.encode(HELD)[0])
    stricter = replace(HELD, threshold=HELD.threshold + 100)
    given = list(islice(texts(Random(0)), 100))
    assert difference(path, HELD, given) is None
    assert difference(path, stricter, given) is not None


def test_the_texts_are_of_every_plane_and_a_part_of_them_is_no_utf_8() -> None:
    found = list(islice(texts(Random(0)), 2000))
    assert {ord(character) >> 16 for text in found for character in read(text)} == set(range(17))
    ill_formed = sum(b"\xef\xbf\xbd" not in text and "\ufffd" in read(text) for text in found)
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
def test_each_longest_part_that_is_no_character_is_read_as_one(
    text: bytes, characters: str
) -> None:
    assert read(text) == characters
