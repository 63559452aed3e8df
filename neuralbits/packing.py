"""Weights as they lie in the file: one bit, three values, 4 bits, 8 bits, or floats.

Every precision but ``float`` holds whole numbers. A ``float`` layer is the uncompressed baseline:
its weights lie on a grid (see `grid`), so that sums of them are exact in double precision and a
prediction can't depend on the order of additions, that is, on the size of a batch.
"""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Precision = Literal["binary", "ternary", "int4", "int8", "float"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

LIMITS: dict[Precision, int] = {"binary": 1, "ternary": 1, "int4": 7, "int8": 127}
"""The largest magnitude of a weight, by precision."""

_GRID_BITS = 24


def grid(weights: npt.NDArray[np.floating[Any]]) -> float:
    """Return the power of two that float weights must be multiples of.

    The largest weight takes 24 bits of it, as many as a float32 holds.
    """
    largest = float(np.abs(weights).max(initial=0.0))
    return float(2.0 ** (np.frexp(largest)[1] - _GRID_BITS)) if largest else 1.0


def pack(weights: npt.NDArray[Any], precision: Precision) -> npt.NDArray[Any]:
    """Lay out a layer's weights for the file.

    Args:
        weights: shape (units, inputs); whole numbers within the precision's limits, -1 and 1
            alone for ``binary``; anything finite for ``float``, which is rounded to the grid.
        precision: how to store them.

    Returns:
        ``binary``: uint8 (units, ⌈inputs/8⌉), 1 for plus. ``ternary``: uint8
        (2, units, ⌈inputs/8⌉), the weights that aren't 0, and of these the positive ones.
        ``int4``: uint8 (units, ⌈inputs/2⌉), two's complement. ``int8`` and ``float`` (float32):
        as they are. Bits and nibbles fill a byte from its low end.
    """
    if precision == "float":
        step = grid(weights)
        return (np.rint(weights / step) * step).astype(np.float32)
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


def unpack(stored: npt.NDArray[Any], precision: Precision, inputs: int) -> npt.NDArray[np.float64]:
    """Undo `pack`: shape (units, inputs), float64 whatever the precision.

    Raises:
        ValueError: the stored array isn't one that `pack` makes; the sentence says how.
    """
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
        weights = stored.astype(np.float64)
    elif precision == "int4":
        nibbles = np.stack([stored & 0x0F, stored >> 4], axis=2).reshape(len(stored), -1)
        weights = ((nibbles[:, :inputs] ^ 8).astype(np.int8) - 8).astype(np.float64)
    else:
        bits = np.unpackbits(stored, axis=-1, count=inputs, bitorder="little").astype(np.float64)
        weights = 2 * bits - 1 if precision == "binary" else bits[0] * (2 * bits[1] - 1)

    if not np.isfinite(weights).all():
        raise ValueError("weights that are not finite")
    if not np.array_equal(pack(weights, precision), stored):
        raise ValueError(f"{precision} weights that are not in their canonical form")
    if precision != "float" and np.abs(weights).max(initial=0) > LIMITS[precision]:
        raise ValueError(f"{precision} weights beyond ±{LIMITS[precision]}")
    return weights
