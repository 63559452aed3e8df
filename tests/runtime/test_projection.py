"""From features to bits: docs/projection.md, sections 4 and 5."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mmh3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbits.ngrams import FAMILIES
from neuralbits.projection import Projection
from tests.support.paths import VECTORS

VECTOR_LINES = (VECTORS / "vectors.jsonl").read_text().splitlines()
SMALL = Projection(functions=8, dimensions=10, stride=4)


def sums_one_by_one(projection: Projection, features: list[int]) -> Iterator[int]:
    """Compute the sums a second time, integer by integer, from docs/projection.md alone."""

    def word(feature: int, index: int) -> int:
        x = (feature + (index + 1) * 0x9E3779B9) % 2**32
        x ^= x >> 16
        x = x * 0x85EBCA6B % 2**32
        x ^= x >> 13
        x = x * 0xC2B2AE35 % 2**32
        return x ^ (x >> 16)

    stride, d = projection.stride, projection.dimensions
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
            yield total


def bits_one_by_one(projection: Projection, features: list[int]) -> list[list[int]]:
    """Compute the bits from docs/projection.md alone."""
    sums = list(sums_one_by_one(projection, features))
    positive = [int(total > 0) for total in sums]
    if projection.code_bits == 1:
        return [positive]
    mean_square = sum(total**2 for total in sums) // len(sums)
    large = [int(total**2 > mean_square) for total in sums]
    return [positive, [int(p == q) for p, q in zip(positive, large, strict=True)]]


@pytest.mark.parametrize(
    "projection",
    [
        SMALL,
        Projection(functions=3, dimensions=1, stride=1),
        Projection(functions=8, dimensions=64, code_bits=1, stride=8),
        Projection(functions=64, dimensions=33, stride=32),
        Projection(functions=24, dimensions=64, stride=8, families=tuple(FAMILIES)),
    ],
)
@pytest.mark.parametrize("text", ["", "turn off", "set the lamp to 20 %"])
def test_the_reference_agrees_with_the_specification(projection: Projection, text: str) -> None:
    features = projection.features(text)
    expected = bits_one_by_one(projection, features.tolist())
    assert projection.project(features).tolist() == expected


def test_there_are_vectors_for_300_texts() -> None:
    assert len(VECTOR_LINES) >= 300


def test_the_reference_computes_the_committed_features_and_bits() -> None:
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


def test_every_sum_of_a_text_without_features_is_small_and_not_above_0() -> None:
    signs, sizes = SMALL.project(SMALL.features(""))
    assert not signs.any()
    assert sizes.all()


def test_the_codes_rise_with_the_sums() -> None:
    projection = Projection(functions=1, dimensions=6, stride=1)
    high, low = projection.code(np.array([-5, -1, 0, 1, 2, 5]))  # root mean square: 3.1
    assert (2 * high + low).tolist() == [0, 1, 1, 2, 2, 3]


def test_a_sum_as_large_as_the_root_mean_square_is_small() -> None:
    projection = Projection(functions=1, dimensions=4, stride=1)
    assert projection.code(np.array([2, -2, 2, -2]))[1].tolist() == [0, 1, 0, 1]


def test_each_text_is_coded_by_its_sums_alone() -> None:
    sums = np.random.default_rng(0).integers(-9, 9, (3, SMALL.sums)) * [[1], [10], [100]]
    together = SMALL.code(sums)
    assert together.shape == (3, 2, SMALL.sums)
    assert together.tolist() == [SMALL.code(row).tolist() for row in sums]


def test_in_blocks_only_the_bit_at_the_functions_index_is_1() -> None:
    projection = Projection(functions=3, dimensions=3, code_bits=1, stride=1, blocks=True)
    sums = np.array([[1, 0, 0, 2, -1, 5, -3, 0, -1], [9, 9, 9, -1, 2, 0, 0, 0, 4]])
    bits = projection.code(sums)
    assert bits.shape == (2, 1, 3 * 2**3) == (2, 1, projection.inputs)
    assert bits.sum(axis=2).tolist() == [[3], [3]]
    numbers = bits.reshape(2, 3, 2**3).argmax(axis=2)
    assert numbers.tolist() == [[1, 5, 0], [7, 2, 4]]


def test_without_blocks_the_network_reads_a_number_for_each_sum() -> None:
    assert SMALL.inputs == SMALL.sums == 80
    assert SMALL.bits == 160


@pytest.mark.parametrize("code_bits", [1, 2])
@pytest.mark.parametrize("removed", [(), (0,), (1, 6, 7), tuple(range(7))])
def test_pruned_functions_have_no_bits_and_do_not_change_the_threshold_of_large_sums(
    code_bits: int, removed: tuple[int, ...]
) -> None:
    unpruned = replace(SMALL, code_bits=code_bits)
    projection = replace(unpruned, removed=removed)
    features = unpruned.features("set the lamp in the kitchen to 20 % please")
    sums = np.array(list(sums_one_by_one(unpruned, features.tolist()))).reshape(8, 10)
    left = np.array([sums[function] for function in range(8) if function not in removed]).ravel()
    assert projection.kept == tuple(each for each in range(8) if each not in removed)
    assert projection.sums == projection.inputs == len(left) == 10 * (8 - len(removed))
    assert projection.bits == code_bits * len(left)
    assert projection.project(features).tolist() == projection.code(left).tolist()


def test_a_sum_of_0_has_the_bit_0() -> None:
    # Opposite signs cancel: of two features in the same function, each bit is 1 or a tie.
    features = np.arange(2, dtype=np.uint32)
    projection = Projection(functions=1, dimensions=64, code_bits=1, stride=1)
    _, signs = projection.draw(features)
    expected = (signs[0, 0] & signs[1, 0]).tolist()
    assert projection.project(features).tolist() == [expected]


def test_a_long_text_is_projected_in_parts_to_the_same_bits() -> None:
    features = SMALL.features("turn off the lamp " * 100)
    assert len(features) > 4096
    choices, signs = SMALL.draw(features)
    sums = np.zeros((8, 10), dtype=int)
    np.add.at(sums, choices + 4 * np.arange(2), 2 * signs.astype(int) - 1)
    assert SMALL.project(features).tolist() == SMALL.code(sums.ravel()).tolist()


@pytest.mark.parametrize(
    "settings",
    [
        {"dimensions": 0},
        {"dimensions": 65},
        {"functions": 2048},
        {"functions": 512, "dimensions": 8, "code_bits": 1, "blocks": True},
        {"code_bits": 0},
        {"code_bits": 3},
        {"stride": 3},
        {"functions": 0},
        {"functions": 6, "stride": 4},
        {"families": ()},
        {"families": ("words", "words")},
        {"families": ("letters",)},
        {"removed": (64,)},
        {"removed": (-1,)},
        {"removed": (True,)},
        {"removed": (3, 2)},
        {"removed": (2, 2)},
        {"removed": tuple(range(64))},
        {"blocks": 1, "dimensions": 4, "code_bits": 1},
        {"blocks": True, "dimensions": 4, "code_bits": 2},
        {"blocks": True, "dimensions": 9, "code_bits": 1},
    ],
)
def test_settings_without_a_projection_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"function|dimensions|code_bits|stride|families|blocks"):
        Projection(**settings)
