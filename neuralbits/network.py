"""The network: neural bits in, scores out, and from the scores calibrated probabilities.

Whole numbers up to the scores, so that a part without a floating-point unit can stop there and a
text's scores are the same alone, in a batch, and on every machine. This is the readable reference:
whole numbers below 2^53 are exact in float64, so the matrix products here are exact too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from neuralbits.packing import Precision

Activation = Literal["linear", "relu"]

_Float = TypeVar("_Float", np.float32, np.float64)

ACTIVATION_LIMIT = 127
"""Activations are whole numbers of 8 bits, from -127 to 127."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of H units that read I inputs.

    Between layers a sum z, the bias included, becomes the activation
    ``clamp(⌊z · multiplier / 2^shift + 1/2⌋, low, 127)``, low being -127, or 0 after ReLU: batch
    normalisation and the scale of the weights, folded into whole numbers. The output layer has no
    multiplier; its sums are the scores.
    """

    weights: npt.NDArray[np.float64]
    """Shape (H, I): whole numbers, unless the precision is ``float``."""
    precision: Precision
    """How the file stores the weights."""
    bias: npt.NDArray[np.int32] | npt.NDArray[np.float32]
    """Shape (H,); float32 when the precision is ``float``."""
    multiplier: npt.NDArray[np.int16] | None = None
    """Shape (H,), or None for the output layer."""
    shift: int = 0
    """From 0 to 30."""
    activation: Activation = "linear"

    @property
    def units(self) -> int:
        """H, the number of outputs."""
        return int(self.weights.shape[0])

    @property
    def inputs(self) -> int:
        """I, the number of inputs."""
        return int(self.weights.shape[1])

    def largest_sum(self, largest_input: int) -> float:
        """Return a bound on the magnitude of the sums z, from one on the inputs'."""
        sums = largest_input * np.abs(self.weights).sum(axis=1) + np.abs(self.bias.astype(float))
        return float(sums.max())

    def accumulate(self, inputs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the sums z: shape (B, I) in, (B, H) out."""
        return inputs @ self.weights.T + self.bias

    def activate(self, sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the activations of the sums z: shape (B, H) in and out."""
        assert self.multiplier is not None, "the output layer's sums are scores"
        low = 0 if self.activation == "relu" else -ACTIVATION_LIMIT
        scaled = np.floor(sums * self.multiplier / 2.0**self.shift + 0.5)
        return np.clip(scaled, low, ACTIVATION_LIMIT)


def read(bits: npt.NDArray[np.uint8], dtype: type[_Float]) -> npt.NDArray[_Float]:
    """Read codes of b bits, shape (B, b, T·d), as the first layer's inputs, shape (B, T·d).

    A bit counts -1 or 1, and the first of two counts double: -1 and 1, or -3, -1, 1 and 3.
    """
    count = bits.shape[1]
    codes = bits[:, 0]
    for place in range(1, count):
        codes = 2 * codes + bits[:, place]
    values = codes.astype(dtype)
    values *= 2
    values -= 2**count - 1
    return values


def margin(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how far the greatest score of each text lies above all of its scores, in sum.

    Shape (B, C) in, (B,) out: Σᵢ (maxⱼ sⱼ − sᵢ), the maximum above the mean, C times. Like the
    softmax, and unlike the maximum itself, it is blind to what all scores have in common, which
    training leaves open.
    """
    margins: npt.NDArray[np.float64] = (scores.max(axis=1, keepdims=True) - scores).sum(axis=1)
    return margins


def probabilities(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Turn logits into probabilities, shape (B, C) in and out, rows adding up to 1: the softmax.

    The logits are the scores in the unit of the softmax, divided by the temperature that calibrates
    them (Guo et al. 2017, arXiv:1706.04599, eq. 9).
    """
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return shares


def log_odds(logits: npt.NDArray[np.float64], intent: int) -> float:
    """Return ln(p / (1 - p)) of one of the probabilities, from logits of shape (C,).

    That is its logit less ln Σ exp of the others', which is finite even where p rounds to 1. An
    intent without others has the greatest number, so that no difference is made by anything.
    """
    others = np.delete(logits, intent)
    if not len(others):
        return float(np.finfo(np.float64).max)
    most = others.max()
    return float(logits[intent] - most - np.log(np.exp(others - most).sum()))


@dataclass(frozen=True, eq=False)
class Network:
    """The projection network's learned part: layers that read bits, the last giving C scores."""

    layers: Sequence[Layer]
    scale: float
    """What a score of 1 is as a logit."""

    def scores(self, bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Score every intent: bits of shape (B, b, T·d) in, (B, C) out.

        Scores are whole numbers if no layer is ``float``.
        """
        values = read(bits, np.float64)
        *hidden, output = self.layers
        for layer in hidden:
            values = layer.activate(layer.accumulate(values))
        return output.accumulate(values)
