"""Packing and unpacking of weights: docs/artifact.md, the layers' weights."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from neuralbits import packing
from neuralbits.packing import LIMITS, PRECISIONS, Precision, grid, on_grid, pack, unpack

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 21))
SPARSE: tuple[Precision, ...] = ("ternary", "int4", "int8", "float")
DENSE_BITS: dict[Precision, int] = {"ternary": 2, "int4": 4, "int8": 8, "float": 32}


def elements(precision: Precision) -> st.SearchStrategy[Any]:
    if precision == "float":
        return st.floats(-1e6, 1e6, width=32)
    if precision == "binary":
        return st.sampled_from([-1.0, 1.0])
    return st.integers(-LIMITS[precision], LIMITS[precision])


@given(st.data(), st.sampled_from(PRECISIONS), SHAPES)
def test_unpacking_returns_the_packed_weights(
    data: st.DataObject, precision: Precision, shape: tuple[int, int]
) -> None:
    weights = data.draw(arrays.arrays(np.float64, shape, elements=elements(precision)))
    unpacked = unpack(pack(weights, precision), precision, shape)
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
        # Sparse: the width of a field, how many weights aren't 0, these, and the gaps before them.
        # A bit a field: the gaps 0, 1, 0 and 1, each closed by a 0, and padding.
        ("int8", [[5, 0, -5, 5, 0, 7, *[0] * 9]], [1, 4, 0, 0, 0, 5, 251, 5, 7, 0b010010]),
        # Three bits a field: 6 and 0; the gap of 6 in one bit a field would take 7.
        ("int4", [[*[0] * 6, -1, 7, *[0] * 13]], [3, 2, 0, 0, 0, 0x7F, 0b000110]),
        # Two bits a field: 2, 1, 2, 3 and 0, 2; all ones mean that a gap goes on.
        (
            "ternary",
            [[0, 0, 1, 0, -1, 0, 0, 1, 0, 0, 0, -1, 0, 0, 1, *[0] * 35], [0] * 50],
            [2, 5, 0, 0, 0, 0b10101, 0b11_10_01_10, 0b10_00],
        ),
        ("float", [[0] * 2, [0] * 2], [1, 0, 0, 0, 0]),
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
def test_an_array_that_pack_never_writes_is_refused(precision: Precision, stored: Any) -> None:
    with pytest.raises(ValueError, match="weights"):
        unpack(stored, precision, (1, 3))


def random_weights(precision: Precision, zeros: float, shape: tuple[int, int]) -> Any:
    generator = np.random.default_rng(0)
    limit = LIMITS.get(precision, 1.0)
    weights = on_grid(generator.uniform(0.5, limit, shape))
    weights = weights if precision == "float" else np.rint(weights)
    return np.where(generator.random(shape) < zeros, 0, weights * generator.choice([-1, 1], shape))


@pytest.mark.parametrize("precision", SPARSE)
@pytest.mark.parametrize("zeros", [0.0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0])
def test_a_layer_is_stored_sparsely_if_that_is_smaller(precision: Precision, zeros: float) -> None:
    weights = random_weights(precision, zeros, (37, 1001))
    stored = pack(weights, precision)
    assert np.array_equal(unpack(stored, precision, weights.shape), weights)
    # Rows, and planes of rows, are whole bytes.
    planes = 2 if precision == "ternary" else 1
    dense = planes * 37 * np.ceil(1001 * DENSE_BITS[precision] / planes / 8)
    value = 1 if precision == "ternary" else DENSE_BITS[precision]
    entropy = -sum(p * np.log2(p) for p in (zeros, 1 - zeros) if p)
    least = weights.size * ((1 - zeros) * value + entropy) / 8
    assert stored.nbytes < dense if stored.ndim == 1 else zeros < 0.3
    if zeros >= 0.5:  # near the entropy bound of codes for single weights
        assert 0.98 * least < stored.nbytes < 1.1 * least + 20


@pytest.mark.parametrize("precision", SPARSE)
def test_a_layer_of_very_many_weights_is_stored_densely(precision: Precision) -> None:
    assert pack(np.zeros((2, packing.MAX_SPARSE // 2)), precision).ndim == 1
    assert pack(np.zeros((2, packing.MAX_SPARSE // 2 + 1)), precision).ndim > 1


SPARSELY = [5, 0, 0, 0, 0, 0, 0, 9, *[0] * 12]
STORED = pack(np.array([SPARSELY], dtype=float), "int8")


@pytest.mark.parametrize(
    "stored",
    [
        np.array([SPARSELY], np.int8),  # dense, where sparse is smaller
        STORED.astype(np.int8),
        STORED[:4],
        STORED[:-1],
        np.append(STORED, np.uint8(0)),
        STORED | np.array([*[0] * 7, 0b1100_0000], np.uint8),  # padding that isn't 0
        np.array([0, *STORED[1:]], np.uint8),
        np.array([9, *STORED[1:]], np.uint8),
        np.array([3, 2, 0, 0, 0, 5, 0, 0b110_000], np.uint8),  # a 0 among those that aren't
        np.array([4, 2, 0, 0, 0, 5, 9, 0x60], np.uint8),  # wider fields than need be
        np.array([3, 2, 0, 0, 0, 5, 9, 0b111_000, 0b11_111_1, 0], np.uint8),  # beyond the last
        np.array([3, 2, 0, 0, 255, 5, 9, 0b110_000], np.uint8),  # more than there are
        np.array([3, 20, 0, 0, 0, *[5] * 20, 0], np.uint8),
    ],
)
def test_a_sparse_array_that_pack_never_writes_is_refused(stored: Any) -> None:
    assert unpack(STORED, "int8", (1, 20)).tolist() == [SPARSELY]
    with pytest.raises(ValueError, match="weights"):
        unpack(stored, "int8", (1, 20))


def test_one_bit_weights_are_never_sparse() -> None:
    with pytest.raises(ValueError, match="binary weights"):
        unpack(STORED, "binary", (1, 20))


def test_a_sparse_layer_with_more_than_the_maximum_of_weights_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing = np.array([1, 0, 0, 0, 0], np.uint8)
    assert not unpack(nothing, "int8", (2, packing.MAX_SPARSE // 2)).any()
    with pytest.raises(ValueError, match="more than"):
        unpack(nothing, "int8", (2, 2**60))


@given(st.sampled_from(SPARSE), st.binary(max_size=40), SHAPES)
def test_random_bytes_of_a_sparse_layer_are_refused_or_canonical(
    precision: Precision, content: bytes, shape: tuple[int, int]
) -> None:
    head = bytes([1 + content[0] % 8, content[0] % 5, 0, 0, 0]) if content else b""
    stored = np.frombuffer(head + content[1:], np.uint8)
    try:
        weights = unpack(stored, precision, shape)
    except ValueError:
        return
    assert np.array_equal(pack(weights, precision), stored)


@given(arrays.arrays(np.float64, (3, 50), elements=st.floats(-100, 100)), st.randoms())
def test_sums_of_float_weights_do_not_depend_on_their_order(weights: Any, random: Any) -> None:
    rounded = on_grid(weights)
    order = random.sample(range(50), 50)
    activations = np.arange(50) - 25.0
    assert np.array_equal(rounded @ activations, rounded[:, order] @ activations[order])
