"""The storage of weights: one bit, three values, 4 bits, 8 bits, or floats.

Weights are whole numbers in every precision but ``float``. A ``float`` layer is the uncompressed
baseline. Its weights are rounded to a grid (see `grid`), so sums of them are exact in double
precision, and a prediction doesn't depend on the order of additions, as batch sizes would change.

A layer with mostly zero weights is stored sparsely: the nonzero weights, and the gaps between them
in fields of a few bits (Han et al. 2016, arXiv:1510.00149, section 2). Fields of one bit are a
bitmap; at 95 % zeros, fields of 5 bits take less than half of a bitmap's space.
"""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Precision = Literal["binary", "ternary", "int4", "int8", "float"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

LIMITS: dict[Precision, int] = {"binary": 1, "ternary": 1, "int4": 7, "int8": 127}
"""The largest magnitude of a weight, by precision."""

MAX_SPARSE = 1 << 22
"""The most weights of a sparse layer, so that a small file can't expand to gigabytes."""

_VALUE_BITS: dict[Precision, int] = {"ternary": 1, "int4": 4, "int8": 8, "float": 32}
_HEADER = 5
_GRID_BITS = 24


def grid(weights: npt.NDArray[np.floating[Any]]) -> float:
    """Return the power of two of which float weights must be multiples.

    The largest weight is a multiple of at most 24 bits, the precision of a float32.
    """
    largest = float(np.abs(weights).max(initial=0.0))
    return float(2.0 ** (np.frexp(largest)[1] - _GRID_BITS)) if largest else 1.0


def on_grid(weights: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Round finite weights of any shape to the grid on which ``float`` stores them."""
    step = grid(weights)
    rounded: npt.NDArray[np.float32] = (np.rint(weights / step) * step).astype(np.float32)
    return rounded.astype(np.float64)


def pack(weights: npt.NDArray[Any], precision: Precision) -> npt.NDArray[Any]:
    """Pack a layer's weights for the file, sparsely if that takes fewer bytes.

    Args:
        weights: shape (units, inputs). Whole numbers within `LIMITS`, only -1 and 1 for
            ``binary``; any finite numbers for ``float``, which are rounded to the grid.
        precision: the storage format.

    Returns:
        ``binary``: uint8 (units, ⌈inputs/8⌉), 1 for positive. ``ternary``: uint8
        (2, units, ⌈inputs/8⌉), a plane of nonzero weights and a plane of positive weights.
        ``int4``: uint8 (units, ⌈inputs/2⌉), two's complement. ``int8``: int8 (units, inputs).
        ``float``: float32 (units, inputs). Bits and nibbles fill a byte from its low end. A sparse
        layer of any precision but ``binary``: uint8 of one dimension, see `_pack_sparsely`.
    """
    if precision == "float":
        weights = on_grid(weights)
    dense = _pack_densely(weights, precision)
    if precision == "binary" or weights.size > MAX_SPARSE:
        return dense
    sparse = _pack_sparsely(weights.ravel(), precision)
    return sparse if sparse.nbytes < dense.nbytes else dense


def _pack_densely(weights: npt.NDArray[Any], precision: Precision) -> npt.NDArray[Any]:
    if precision == "float":
        return weights.astype("<f4")
    if precision == "int8":
        return weights.astype(np.int8)
    if precision == "int4":
        nibbles = weights.astype(np.int8).view(np.uint8) & 0x0F
        nibbles = np.pad(nibbles, ((0, 0), (0, nibbles.shape[1] % 2)))
        return nibbles[:, ::2] | (nibbles[:, 1::2] << 4)
    positive = np.packbits(weights > 0, axis=1, bitorder="little")
    if precision == "binary":
        return positive
    return np.stack([np.packbits(weights != 0, axis=1, bitorder="little"), positive])


def _pack_sparsely(weights: npt.NDArray[Any], precision: Precision) -> npt.NDArray[np.uint8]:
    """Pack weights of shape (units · inputs,), of which n are nonzero.

    The bytes are: w, one byte; n, four bytes, little-endian; the n weights as a dense layer of one
    unit (``ternary`` as ``binary``); and the n gaps. A gap is the number of zeros before a nonzero
    weight, in fields of w bits: a field of all ones stands for 2^w - 1 zeros, and the gap goes on
    in the next field. Bits fill a byte from its low end. w is the width from 1 to 8 that takes the
    fewest bits; of equal widths, the narrowest. Zeros after the last nonzero weight aren't written.
    """
    places = np.flatnonzero(weights)
    gaps = np.diff(places, prepend=-1) - 1
    width = min(range(1, 9), key=lambda w: int(w * (gaps // (2**w - 1) + 1).sum()))
    longest = 2**width - 1
    ends = np.cumsum(gaps // longest + 1) - 1
    fields = np.full(ends[-1] + 1 if len(ends) else 0, longest, dtype=np.uint8)
    fields[ends] = gaps % longest
    bits = np.unpackbits(fields[:, None], axis=1, count=width, bitorder="little")
    values = _pack_densely(weights[None, places], _stored_as(precision))
    return np.concatenate(
        [
            np.array([width], dtype=np.uint8),
            np.array([len(places)], dtype="<u4").view(np.uint8),
            values.ravel().view(np.uint8),
            np.packbits(bits.ravel(), bitorder="little"),
        ]
    )


def _stored_as(precision: Precision) -> Precision:
    """Return the precision that stores the nonzero weights of a sparse layer."""
    return "binary" if precision == "ternary" else precision


def unpack(
    stored: npt.NDArray[Any], precision: Precision, shape: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Undo `pack`: shape (units, inputs), float64 for every precision.

    Raises:
        ValueError: `pack` doesn't make this array; the message says what differs.
    """
    if stored.ndim == 1:
        weights = _unpack_sparsely(stored, precision, shape)
    else:
        weights = _unpack_densely(stored, precision, shape[1])
    if not np.isfinite(weights).all():
        raise ValueError("weights that are not finite")
    if not np.array_equal(pack(weights, precision), stored):
        raise ValueError(f"{precision} weights that are not in their canonical form")
    if precision != "float" and np.abs(weights).max(initial=0) > LIMITS[precision]:
        raise ValueError(f"{precision} weights beyond ±{LIMITS[precision]}")
    return weights


def _unpack_densely(
    stored: npt.NDArray[Any], precision: Precision, inputs: int
) -> npt.NDArray[np.float64]:
    expected = {"int8": np.int8, "float": np.float32}.get(precision, np.uint8)
    dimensions = 3 if precision == "ternary" else 2
    width = {"int8": inputs, "float": inputs, "int4": -(-inputs // 2)}.get(
        precision, -(-inputs // 8)
    )
    if stored.dtype != expected or stored.ndim != dimensions or stored.shape[-1] != width:
        raise ValueError(f"{precision} weights of shape {stored.shape} and type {stored.dtype}")
    if precision == "ternary" and len(stored) != 2:
        raise ValueError(f"ternary weights in {len(stored)} planes")

    if precision in ("int8", "float"):
        return stored.astype(np.float64)
    if precision == "int4":
        nibbles = np.stack([stored & 0x0F, stored >> 4], axis=2).reshape(len(stored), -1)
        return ((nibbles[:, :inputs] ^ 8).astype(np.int8) - 8).astype(np.float64)
    bits = np.unpackbits(stored, axis=-1, count=inputs, bitorder="little").astype(np.float64)
    weights: npt.NDArray[np.float64] = (
        2 * bits - 1 if precision == "binary" else bits[0] * (2 * bits[1] - 1)
    )
    return weights


def _unpack_sparsely(
    stored: npt.NDArray[Any], precision: Precision, shape: tuple[int, int]
) -> npt.NDArray[np.float64]:
    size = shape[0] * shape[1]
    if precision == "binary" or stored.dtype != np.uint8 or len(stored) < _HEADER:
        raise ValueError(f"{precision} weights of shape {stored.shape} and type {stored.dtype}")
    if size > MAX_SPARSE:
        raise ValueError(f"{size} weights in a sparse layer, more than {MAX_SPARSE}")
    width, count = int(stored[0]), int.from_bytes(stored[1:_HEADER].tobytes(), "little")
    gaps_from = _HEADER + -(-count * _VALUE_BITS[precision] // 8)
    if not 1 <= width <= 8 or count > size or gaps_from > len(stored):
        raise ValueError(f"sparse weights in fields of {width} bits, {count} of them not 0")

    types: dict[Precision, str] = {"int8": "<i1", "float": "<f4"}
    values = stored[None, _HEADER:gaps_from].view(types.get(precision, "<u1"))
    bits = np.unpackbits(stored[gaps_from:], bitorder="little")
    rows = bits[: len(bits) // width * width].reshape(-1, width)
    fields = np.packbits(rows, axis=1, bitorder="little").ravel().astype(np.int64)
    ends = fields < 2**width - 1
    # The last byte's padding may look like further fields.
    places = np.cumsum(fields + ends)[ends][:count] - 1
    if len(places) < count or places.max(initial=-1) >= size:
        raise ValueError("sparse weights whose gaps lead beyond the last weight or end too soon")
    weights = np.zeros(size)
    weights[places] = _unpack_densely(values, _stored_as(precision), count)[0]
    return weights.reshape(shape)
