"""Weights in and out of the file: docs/artifact.md, the layers' weights."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from neuralbits.packing import LIMITS, PRECISIONS, Precision, grid, pack, unpack

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 21))


def elements(precision: Precision) -> st.SearchStrategy[Any]:
    if precision == "float":
        return st.floats(-1e6, 1e6, width=32)
    if precision == "binary":
        return st.sampled_from([-1.0, 1.0])
    return st.integers(-LIMITS[precision], LIMITS[precision])


@given(st.data(), st.sampled_from(PRECISIONS), SHAPES)
def test_what_is_packed_is_unpacked(
    data: st.DataObject, precision: Precision, shape: tuple[int, int]
) -> None:
    weights = data.draw(arrays.arrays(np.float64, shape, elements=elements(precision)))
    unpacked = unpack(pack(weights, precision), precision, shape[1])
    if precision == "float":
        assert np.abs(unpacked - weights).max() <= grid(weights) / 2
    else:
        assert np.array_equal(unpacked, weights)


@pytest.mark.parametrize(
    ("precision", "weights", "stored"),
    [
        ("binary", [[1, -1, 1, 1, -1, -1, -1, 1, 1]], [[0b10001101, 0b1]]),
        ("ternary", [[1, 0, -1]], [[[0b101]], [[0b001]]]),
        ("int4", [[1, -1, 7]], [[0xF1, 0x07]]),
        ("int8", [[127, -127, 0]], [[127, -127, 0]]),
    ],
)
def test_bits_and_nibbles_fill_a_byte_from_its_low_end(
    precision: Precision, weights: list[list[int]], stored: list[Any]
) -> None:
    assert pack(np.array(weights, dtype=float), precision).tolist() == stored


@pytest.mark.parametrize(
    ("precision", "stored"),
    [
        ("binary", np.array([[0b11111000]], np.uint8)),  # padding that isn't 0
        ("ternary", np.array([[[0b001]], [[0b010]]], np.uint8)),  # positive, yet 0
        ("ternary", np.zeros((3, 1, 1), np.uint8)),
        ("int4", np.array([[0x11, 0x11]], np.uint8)),  # padding that isn't 0
        ("int4", np.array([[0x88, 0x08]], np.uint8)),  # -8
        ("int8", np.array([[-128, 0, 0]], np.int8)),
        ("int8", np.array([[1, 2]], np.int8)),  # two inputs, not three
        ("int8", np.array([[1, 2, 3]], np.uint8)),
        ("float", np.array([[1.0, np.nan, 0.0]], np.float32)),
        ("float", np.array([[1.0, np.inf, 0.0]], np.float32)),
        ("float", np.array([[1.0, 2.0**-30, 0.0]], np.float32)),  # off the grid
    ],
)
def test_what_pack_never_writes_is_refused(precision: Precision, stored: Any) -> None:
    with pytest.raises(ValueError, match="weights"):
        unpack(stored, precision, inputs=3)


@given(arrays.arrays(np.float64, (3, 50), elements=st.floats(-100, 100)), st.randoms())
def test_sums_of_float_weights_do_not_depend_on_their_order(weights: Any, random: Any) -> None:
    on_grid = pack(weights, "float").astype(np.float64)
    order = random.sample(range(50), 50)
    activations = np.arange(50) - 25.0
    assert np.array_equal(on_grid @ activations, on_grid[:, order] @ activations[order])
