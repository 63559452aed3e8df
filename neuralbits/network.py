"""The network: from neural bits to scores, and from scores to calibrated probabilities.

All numbers up to the scores are whole. So a processor without a floating-point unit can compute
them, and a text's scores are the same alone, in a batch, and on every machine. This reference uses
float64, in which whole numbers below 2^53, and so the matrix products here, are exact.
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

    Between layers a sum z, with the bias, becomes the activation
    ``clamp(⌊z · multiplier / 2^shift + 1/2⌋, low, 127)``, where low is -127, or 0 for ReLU. Batch
    normalisation and the scale of the weights are folded into multiplier and shift. The output
    layer has no multiplier; its sums are the scores.
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
        """Return the largest possible |z|, given the largest possible magnitude of an input."""
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

    One bit encodes -1 or 1. Two bits encode -3, -1, 1 or 3; the first bit counts double.
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
    """Return the margin of each text's greatest score over its scores, in total.

    Shape (B, C) in, (B,) out: Σᵢ (maxⱼ sⱼ − sᵢ), which is C times the maximum less the mean. Like
    the softmax, and unlike the maximum, it doesn't change when a constant is added to all scores,
    which training doesn't determine.

    Example:
        >>> margin(np.array([[3.0, 1.0, 2.0]]))
        array([3.])
    """
    margins: npt.NDArray[np.float64] = (scores.max(axis=1, keepdims=True) - scores).sum(axis=1)
    return margins


def probabilities(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the softmax of logits: shape (B, C) in and out; each row has the sum 1.

    For calibrated probabilities, the logits are ``scores · scale / temperature`` (Guo et al. 2017,
    arXiv:1706.04599, eq. 9).
    """
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return shares


def log_odds(logits: npt.NDArray[np.float64], intent: int) -> float:
    """Return ln(p / (1 - p)) of one intent's probability p, from logits of shape (C,).

    It is computed as the logit less ln Σ exp of the other logits, which is finite even if p rounds
    to 1. If there is only one intent, it is the largest float64, so every influence is 0.
    """
    others = np.delete(logits, intent)
    if not len(others):
        return float(np.finfo(np.float64).max)
    maximum = others.max()
    return float(logits[intent] - maximum - np.log(np.exp(others - maximum).sum()))


@dataclass(frozen=True, eq=False)
class Network:
    """The learned part of the projection network: layers from neural bits to C scores."""

    layers: Sequence[Layer]
    scale: float
    """The logit of a score s is ``scale · s``."""

    def scores(self, bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Return the score of each intent: bits of shape (B, b, T·d) in, (B, C) out.

        Scores are whole numbers if no layer is ``float``.
        """
        values = read(bits, np.float64)
        *hidden, output = self.layers
        for layer in hidden:
            values = layer.activate(layer.accumulate(values))
        return output.accumulate(values)
