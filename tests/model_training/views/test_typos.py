"""Typos of the finger, as the projection network meets them in training."""

from itertools import takewhile
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbits.model_training.views.typos import NEIGHBOURS, typo


def shared(a: str, b: str) -> int:
    """Count the characters that both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


@given(st.text(), st.integers(0, 2**32))
def test_a_slip_changes_at_most_one_letter_or_two_neighbours(text: str, seed: int) -> None:
    misspelt = typo(text, Random(seed))
    start = shared(text, misspelt)
    end = shared(text[start:][::-1], misspelt[start:][::-1])
    assert max(len(text), len(misspelt)) - start - end <= 2


@given(st.text(), st.integers(0, 2**32))
def test_the_same_seed_makes_the_same_slip(text: str, seed: int) -> None:
    assert typo(text, Random(seed)) == typo(text, Random(seed))


def test_every_kind_of_slip_is_made() -> None:
    misspelt = {typo("cat", Random(seed)) for seed in range(500)}
    assert {"at", "ct", "ca", "ccat", "caat", "catt", "act", "cta", "vat", "cst", "car"} <= misspelt


@pytest.mark.parametrize("text", ["", " ", "20 %", "?!"])
def test_a_text_without_letters_has_no_slip(text: str) -> None:
    assert typo(text, Random(0)) == text


def test_letters_of_other_scripts_slip_but_have_no_neighbours() -> None:
    misspelt = {typo("свет", Random(seed)) for seed in range(200)}
    assert misspelt > {"вет", "ссвет", "всет"}
    assert set("".join(misspelt)) == set("свет")


def test_keys_are_neighbours_of_each_other() -> None:
    assert set(NEIGHBOURS["a"]) == set("qwsxz")
    assert all(key in NEIGHBOURS[near] for key, keys in NEIGHBOURS.items() for near in keys)
