"""Features in, bits out: docs/projection.md, sections 4 and 5."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmh3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbits.ngrams import FAMILIES
from neuralbits.projection import Projection

VECTORS = Path(__file__).parent / "vectors"
VECTOR_LINES = (VECTORS / "vectors.jsonl").read_text().splitlines()
SMALL = Projection(functions=8, bits_per_function=10, stride=4)


def bits_one_by_one(projection: Projection, features: list[int]) -> Iterator[int]:
    """Compute the bits a second time, integer by integer, from docs/projection.md alone."""

    def word(feature: int, index: int) -> int:
        x = (feature + (index + 1) * 0x9E3779B9) % 2**32
        x ^= x >> 16
        x = x * 0x85EBCA6B % 2**32
        x ^= x >> 13
        x = x * 0xC2B2AE35 % 2**32
        return x ^ (x >> 16)

    stride, d = projection.stride, projection.bits_per_function
    groups, choice_bits = projection.functions // stride, stride.bit_length() - 1
    per_function = -(-d // 32)
    per_word = 32 // choice_bits if choice_bits else 0
    choice_words = -(-groups // per_word) if choice_bits else 0
    for function in range(projection.functions):
        group, member = divmod(function, stride)
        for bit in range(d):
            total = 0
            for feature in features:
                choice = 0
                if choice_bits:
                    choices = word(feature, group // per_word)
                    choice = choices >> (group % per_word * choice_bits) & (stride - 1)
                if choice == member:
                    signs = word(feature, choice_words + group * per_function + bit // 32)
                    total += 1 if signs >> (bit % 32) & 1 else -1
            yield 1 if total > 0 else 0


@pytest.mark.parametrize(
    "projection",
    [
        SMALL,
        Projection(functions=3, bits_per_function=1, stride=1),
        Projection(functions=64, bits_per_function=33, stride=32),
        Projection(functions=24, bits_per_function=64, stride=8, families=tuple(FAMILIES)),
    ],
)
@pytest.mark.parametrize("text", ["", "turn off", "set the lamp to 20 %"])
def test_the_reference_agrees_with_the_specification(projection: Projection, text: str) -> None:
    features = projection.features(text)
    expected = list(bits_one_by_one(projection, features.tolist()))
    assert projection.project(features).tolist() == expected


def test_there_are_vectors_for_300_texts() -> None:
    assert len(VECTOR_LINES) >= 300


def test_the_reference_gives_the_committed_features_and_bits() -> None:
    projections = {
        name: Projection(**{**settings, "families": tuple(settings["families"])})
        for name, settings in json.loads((VECTORS / "projections.json").read_text()).items()
    }
    everything = Projection(families=tuple(FAMILIES))
    for line in VECTOR_LINES:
        vector: dict[str, Any] = json.loads(line)
        features = everything.features(vector["text"])
        assert features[:8].tolist() == vector["features"], vector["text"]
        assert len(features) == vector["count"], vector["text"]
        hashed = mmh3.hash(features.astype("<u4").tobytes(), 0, signed=False)
        assert hashed == vector["hash"], vector["text"]
        for name, projection in projections.items():
            bits = projection.project(projection.features(vector["text"]))
            packed = np.packbits(bits, bitorder="little").tobytes().hex()
            assert packed == vector["bits"][name], (name, vector["text"])


@given(st.lists(st.integers(0, 2**32 - 1), max_size=30), st.randoms())
def test_the_order_of_features_makes_no_difference(features: list[int], random: Any) -> None:
    shuffled = random.sample(features, len(features))
    bits = SMALL.project(np.array(features, dtype=np.uint32))
    assert SMALL.project(np.array(shuffled, dtype=np.uint32)).tolist() == bits.tolist()


def test_a_text_without_features_has_no_bit_set() -> None:
    assert not SMALL.project(SMALL.features("")).any()


def test_a_tie_is_0() -> None:
    # Opposite signs cancel: of two features in the same function, each bit is 1 or a tie.
    features = np.arange(2, dtype=np.uint32)
    projection = Projection(functions=1, bits_per_function=64, stride=1)
    _, signs = projection.draw(features)
    expected = (signs[0, 0] & signs[1, 0]).tolist()
    assert projection.project(features).tolist() == expected


def test_a_long_text_is_projected_in_parts_to_the_same_bits() -> None:
    features = SMALL.features("turn off the lamp " * 100)
    assert len(features) > 4096
    choices, signs = SMALL.draw(features)
    sums = np.zeros((8, 10), dtype=int)
    np.add.at(sums, choices + 4 * np.arange(2), 2 * signs.astype(int) - 1)
    assert SMALL.project(features).tolist() == (sums > 0).astype(int).ravel().tolist()


@pytest.mark.parametrize(
    "settings",
    [
        {"bits_per_function": 0},
        {"bits_per_function": 65},
        {"stride": 3},
        {"functions": 0},
        {"functions": 6, "stride": 4},
        {"families": ()},
        {"families": ("words", "words")},
        {"families": ("letters",)},
    ],
)
def test_settings_without_a_projection_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"function|stride|families"):
        Projection(**settings)
