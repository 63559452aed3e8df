"""The projection network as it is trained: quantised forwards, straight-through backwards.

What the forward pass computes here in floats, `fold` turns into the whole numbers that
neuralbits/network.py computes with; the two differ by rounding of biases and multipliers alone.

Sources: straight-through estimator, Bengio et al. 2013 (arXiv:1308.3432); one-bit weights,
Courbariaux et al. 2015 (arXiv:1511.00363); ternary weights, Li et al. 2016 (arXiv:1605.04711);
8-bit activations and folded batch normalisation, Jacob et al. 2018 (arXiv:1712.05877).
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neuralbits import packing
from neuralbits.network import ACTIVATION_LIMIT, Activation, Layer, Network
from neuralbits.packing import Precision

from .settings import NetworkSettings

ACTIVATION_RANGE = 4.0
"""Activations are clamped here: four standard deviations of a normalised unit."""

_MULTIPLIER_LIMIT = 2**15 - 1
_LARGEST_SHIFT = 30


def quantise(weights: Tensor, precision: Precision) -> tuple[Tensor, Tensor]:
    """Round weights to a precision.

    Returns:
        The quantised weights, whole numbers of the shape of ``weights`` (for ``float``: the
        weights themselves); and the scale, a scalar that gives back their size.
    """
    magnitudes = weights.abs()
    if precision == "float":
        return weights, weights.new_tensor(1.0)
    if precision == "binary":
        # In place and in floats: torch.where takes seven times as long.
        return weights.clone().gt_(0).mul_(2).sub_(1), magnitudes.mean()
    if precision == "ternary":
        kept = (magnitudes > 0.7 * magnitudes.mean()).to(weights)
        return weights.sign() * kept, (magnitudes * kept).sum() / kept.sum().clamp(min=1)
    limit = packing.LIMITS[precision]
    scale = magnitudes.max().clamp(min=1e-8) / limit
    return (weights / scale).round(), scale


def straight_through(values: Tensor, quantised: Tensor) -> Tensor:
    """Return ``quantised``, with the gradient of ``values``."""
    return values + (quantised - values).detach()


class QuantisedLinear(nn.Module):
    """A linear map whose weights are quantised in every forward pass, without a bias."""

    def __init__(self, inputs: int, units: int, precision: Precision) -> None:
        super().__init__()
        self.precision = precision
        self.weight = nn.Parameter(torch.empty(units, inputs).uniform_(-1, 1) / inputs**0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map shape (B, inputs) to (B, units)."""
        quantised, scale = quantise(self.weight.detach(), self.precision)
        return functional.linear(inputs, straight_through(self.weight, quantised * scale))

    def whole_weights(self) -> tuple[np.ndarray, float]:
        """Return the quantised weights, shape (units, inputs), float64, and their scale."""
        quantised, scale = quantise(self.weight.detach().double(), self.precision)
        return _numpy(quantised), float(scale)


class HiddenLayer(nn.Module):
    """A quantised linear map, batch normalisation, and activations of 8 bits."""

    def __init__(
        self, inputs: int, units: int, precision: Precision, activation: Activation
    ) -> None:
        super().__init__()
        self.linear = QuantisedLinear(inputs, units, precision)
        # Without a learned slope: the layer after it can learn that, and 1/σ is never 0.
        self.normalise = nn.BatchNorm1d(units, affine=False)
        self.offset = nn.Parameter(torch.zeros(units))
        self.activation = activation

    def forward(self, inputs: Tensor) -> Tensor:
        """Map shape (B, inputs) to (B, units), multiples of ACTIVATION_RANGE / 127."""
        low = 0.0 if self.activation == "relu" else -ACTIVATION_RANGE
        values = self.normalise(self.linear(inputs)) + self.offset
        values = values.clamp(low, ACTIVATION_RANGE)
        step = ACTIVATION_RANGE / ACTIVATION_LIMIT
        return straight_through(values, (values / step).round() * step)

    def fold(self, input_scale: float) -> Layer:
        """Fold normalisation, offset and scales into whole numbers; inputs are in its units."""
        weights, scale = self.linear.whole_weights()
        mean, variance = _numpy(self.normalise.running_mean), _numpy(self.normalise.running_var)
        deviation = np.sqrt(variance + self.normalise.eps)
        offset = _numpy(self.offset)
        bias = (offset * deviation - mean) / (scale * input_scale)
        slope = scale * input_scale / deviation * (ACTIVATION_LIMIT / ACTIVATION_RANGE)
        if self.linear.precision == "float":
            return Layer(
                weights=packing.on_grid(weights * slope[:, None]),
                precision="float",
                bias=(bias * slope).astype(np.float32),
                multiplier=np.ones(len(slope), dtype=np.int16),
                activation=self.activation,
            )
        shift = min(int(np.floor(np.log2(_MULTIPLIER_LIMIT / slope.max()))), _LARGEST_SHIFT)
        return Layer(
            weights=weights,
            precision=self.linear.precision,
            bias=np.rint(bias).astype(np.int32),
            multiplier=np.rint(slope * 2.0**shift).astype(np.int16),
            shift=shift,
            activation=self.activation,
        )


def _numpy(tensor: Tensor | None) -> np.ndarray:
    assert tensor is not None  # batch normalisation without statistics would hold None
    return tensor.detach().cpu().double().numpy()


class ProjectionNetwork(nn.Module):
    """Neural bits in, logits out.

    Args:
        inputs: how many numbers the projection gives it to read, T·d, or T·2^d in blocks.
        intents: C, the number of intents.
        settings: widths, precisions and activation.
    """

    def __init__(self, inputs: int, intents: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.intents = intents
        self.hidden = nn.Sequential()
        precision = settings.first_precision
        for units in settings.widths:
            self.hidden.append(HiddenLayer(inputs, units, precision, settings.activation))
            inputs, precision = units, settings.precision
        self.output = QuantisedLinear(inputs, intents, precision)
        self.bias = nn.Parameter(torch.zeros(intents))

    @property
    def first(self) -> QuantisedLinear:
        """The linear map that reads the bits."""
        if not self.hidden:
            return self.output
        assert isinstance(self.hidden[0], HiddenLayer)
        return self.hidden[0].linear

    def forward(self, values: Tensor) -> Tensor:
        """Map what `neuralbits.network.read` makes of bits, (B, T·d), to logits, (B, C)."""
        logits: Tensor = self.output(self.hidden(values)) + self.bias
        return logits

    def fold(self) -> Network:
        """Return the network that the artifact holds."""
        layers: list[Layer] = []
        input_scale = 1.0
        for hidden in self.hidden:
            assert isinstance(hidden, HiddenLayer)
            layers.append(hidden.fold(input_scale))
            input_scale = ACTIVATION_RANGE / ACTIVATION_LIMIT
        weights, scale = self.output.whole_weights()
        bias = _numpy(self.bias) / (scale * input_scale)
        precision = self.output.precision
        layers.append(
            Layer(
                weights=packing.on_grid(weights) if precision == "float" else weights,
                precision=precision,
                bias=bias.astype(np.float32)
                if precision == "float"
                else np.rint(bias).astype(np.int32),
            )
        )
        return Network(layers, scale * input_scale)
