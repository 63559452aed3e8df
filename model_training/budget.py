"""The budget: from a size in bytes to the widths of the projection and of the network."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from neuralbits import artifact
from neuralbits.artifact import Artifact
from neuralbits.errors import NeuralbitsError
from neuralbits.network import Layer
from neuralbits.sizes import parse_size as parse_size

from .compression.pruning import pruned_weights
from .networks.projection_network import ProjectionNetwork
from .settings import Settings

DIMENSIONS = 64
FUNCTIONS = (64, 32, 16, 8, 4)
MIN_UNITS, MAX_UNITS = 32, 512
"""The fewest were measured: on validation data, after 8 epochs from seed 0, CLINC150 in 12.5 kB
gave 87.5, 90.0 and 90.1 % with 4096, 2048 and 1024 sums and the 18, 36 and 60 units that fit;
BANKING77 gave 88.7, 89.6 and 89.7 %. In 61 kB, CLINC150 gave 92.6 and 93.1 % with 8192 and 4096
sums (50 and 104 units)."""

_LONG = 0.0012345678901234567


class BudgetError(NeuralbitsError):
    """A size that no artifact for these labels fits into."""


def blank(settings: Settings, labels: tuple[str, ...], provenance: dict[str, object]) -> Artifact:
    """Return an untrained artifact, as large as the trained one with this provenance."""
    torch.manual_seed(0)
    network = ProjectionNetwork(settings.projection.inputs, len(labels), settings.network)
    folded = network.fold()
    layers = [
        _largest(layer, settings.pruning.share if index else settings.pruning.first_share)
        for index, layer in enumerate(folded.layers)
    ]
    # No trained figure takes more digits than these.
    folded = replace(folded, layers=layers, scale=1.2345678901234567e-05)
    return Artifact(settings.projection, folded, labels, _LONG, _LONG, provenance)


def _largest(layer: Layer, share: float) -> Layer:
    """Return the layer with those weights, a share of them 0, that take the most bytes.

    All zeros stand together before the other weights: no other gaps take more fields, whatever the
    fields' width. Where trained weights are more often 0 than that, they take less.
    """
    weights = np.ones(layer.weights.size)
    weights[: pruned_weights(share, weights.size)] = 0
    return replace(layer, weights=weights.reshape(layer.weights.shape))


def check(
    settings: Settings, labels: tuple[str, ...], provenance: dict[str, object], max_size: int
) -> Settings:
    """Return the settings if their artifact fits the budget.

    Raises:
        BudgetError: it doesn't.
    """
    size = len(artifact.encode(blank(settings, labels, provenance))[0])
    if size > max_size:
        raise BudgetError(
            f"with these widths the artifact has {size} bytes, more than {max_size}; "
            "set smaller ones, or allow more by --max-size"
        )
    return settings


def fit(
    settings: Settings,
    labels: tuple[str, ...],
    provenance: dict[str, object],
    max_size: int,
    choices: Sequence[int] = FUNCTIONS,
) -> Settings:
    """Widen the projection and the first hidden layer as far as the budget goes.

    As many bits as leave room for `MIN_UNITS` units, then as many units as fit. All else in
    the settings stays.

    Args:
        settings: the settings, whose projection's functions and network's first width are chosen.
        labels: the intents, whose names take room too.
        provenance: as large as the one that the artifact will hold.
        max_size: in bytes.
        choices: of the number of functions, falling.

    Raises:
        BudgetError: not even the smallest network fits.
    """

    def candidate(functions: int, units: int) -> Settings:
        return replace(
            settings,
            projection=replace(
                settings.projection,
                functions=functions,
                dimensions=DIMENSIONS,
                stride=min(settings.projection.stride, functions),
            ),
            network=replace(settings.network, widths=(units, *settings.network.widths[1:])),
        )

    def size(functions: int, units: int) -> int:
        return len(artifact.encode(blank(candidate(functions, units), labels, provenance))[0])

    for functions in choices:
        fewest = 1 if functions == choices[-1] else MIN_UNITS
        if size(functions, fewest) <= max_size:
            widths = range(fewest, MAX_UNITS + 1)
            fitting = bisect_right(widths, max_size, key=partial(size, functions))
            return candidate(functions, widths[fitting - 1])
    smallest = size(choices[-1], 1)
    raise BudgetError(
        f"no artifact for these {len(labels)} intents fits into {max_size} bytes; "
        f"allow at least {smallest} by --max-size"
    )
