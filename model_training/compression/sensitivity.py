"""How accuracy falls as one layer at a time is pruned, without training on.

The analysis of Li et al. 2017 (arXiv:1608.08710), section 3.2, for single weights: a layer whose
accuracy holds out can be pruned much, one whose accuracy falls early but little. It says where to
begin, and less than that: trained on, a network recovers much of what it lost.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

from neuralbits.network import Network

from ..networks.projection_network import ProjectionNetwork
from .pruning import kept_weights, linears

SHARES = (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What is left when a layer is pruned."""

    layer: int
    """From 0, the layer that reads the bits."""
    pruned_share: float
    """The share of the layer's weights that are 0, the smallest first."""
    accuracy: float
    """The network's, between 0 and 1."""


def sensitivities(
    network: ProjectionNetwork, accuracy: Callable[[Network], float]
) -> list[Sensitivity]:
    """Prune each layer, all others whole, by each of `SHARES`; those of one-bit weights can't be.

    Args:
        network: trained; it stays as it is.
        accuracy: measures a folded network.
    """
    measured = []
    for layer, linear in enumerate(linears(network)):
        if linear.precision == "binary":
            continue
        for share in SHARES:
            pruned = deepcopy(network)
            weights = linears(pruned)[layer].weight
            weights.data.mul_(kept_weights(weights, share))
            measured.append(Sensitivity(layer, share, accuracy(pruned.fold())))
    return measured
