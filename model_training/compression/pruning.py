"""Magnitude pruning on a schedule: the smallest weights of a layer become 0, and stay so.

Zhu and Gupta 2017 (arXiv:1710.01878), section 3: the share of the weights that are 0 rises from
none to its final value as a cubic, fast at first, while many weights do nothing, and slower as
fewer remain. From a weight that was pruned no gradient brings anything back. What is 0 costs next
to nothing in the artifact (neuralbits/packing.py).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..networks.projection_network import ProjectionNetwork, QuantisedLinear
from .settings import PruningSettings


def pruned_weights(share: float, size: int) -> int:
    """Count the weights that a share of ``size`` weights is."""
    return int(share * size)


def kept_weights(weights: Tensor, share: float) -> Tensor:
    """Return which weights are kept, 1, and which are the smallest ones, 0: of their shape."""
    order = weights.detach().abs().flatten().argsort(stable=True)
    kept = torch.ones_like(weights).flatten()
    kept[order[: pruned_weights(share, weights.numel())]] = 0
    return kept.view_as(weights)


class Pruning:
    """Prunes a projection network while it is trained.

    It has no state that a checkpoint would have to hold: what was pruned is 0, so it is among the
    smallest weights again.
    """

    def __init__(self, settings: PruningSettings) -> None:
        self._settings = settings
        self._kept: list[tuple[Tensor, Tensor]] = []

    def prune(self, network: ProjectionNetwork, done: float) -> None:
        """Prune as much as is due when a share of the run is done."""
        progress = self._settings.progress(done)
        self._kept = [
            (linear.weight, kept_weights(linear.weight, share * progress))
            for linear, share in self._shares(network)
            if share * progress
        ]
        self.hold()

    def hold(self) -> None:
        """Set what was pruned to 0 again, after a step of the optimiser."""
        with torch.no_grad():
            for weights, kept in self._kept:
                weights.mul_(kept)

    def _shares(self, network: ProjectionNetwork) -> Iterator[tuple[QuantisedLinear, float]]:
        for linear in linears(network):
            first = linear is network.first
            yield linear, self._settings.first_share if first else self._settings.share


def linears(network: ProjectionNetwork) -> list[QuantisedLinear]:
    """Return the linear maps of a network, that which reads the bits first."""
    return [module for module in network.modules() if isinstance(module, QuantisedLinear)]
