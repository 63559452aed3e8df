"""Magnitude pruning on a schedule: the smallest weights of a layer become 0, and stay so.

Zhu and Gupta 2017 (arXiv:1710.01878), section 3: the share of the weights that are 0 rises from
none to its final value as a cubic, fast at first, while many weights do nothing, and slower as
fewer remain. From a weight that was pruned no gradient brings anything back. What is 0 costs next
to nothing in the artifact (neuralbits/packing.py).
"""

import torch
from torch import Tensor

from ..networks.projection_network import ProjectionNetwork, QuantisedLinear
from .hook import Hook, Run
from .settings import PruningSettings

_PRUNED_EVERY = 32  # batches


def pruned_weights(share: float, size: int) -> int:
    """Count the weights that a share of ``size`` weights is."""
    return int(share * size)


def kept_weights(weights: Tensor, share: float) -> Tensor:
    """Return which weights are kept, 1, and which are the smallest ones, 0: of their shape."""
    order = weights.detach().abs().flatten().argsort(stable=True)
    kept = torch.ones_like(weights).flatten()
    kept[order[: pruned_weights(share, weights.numel())]] = 0
    return kept.view_as(weights)


class Pruning(Hook):
    """Prunes a projection network while it is trained.

    It has no state to restore: what was pruned is 0, so it is among the smallest weights again.
    """

    def __init__(self, settings: PruningSettings, epochs: int = 1) -> None:
        self._settings = settings
        self._epochs = epochs
        self._kept: list[tuple[Tensor, Tensor]] = []

    def before_batch(self, run: Run, place: int) -> None:
        """Prune what is due, now and then."""
        if place % _PRUNED_EVERY == 0:
            done = run.epochs_done + place / run.batches_per_epoch
            self.prune(run.projection_network, done / self._epochs)

    def after_step(self, run: Run) -> None:
        """Set the pruned weights to 0 again."""
        self.hold()

    def after_epoch(self, run: Run) -> None:
        """Prune what is due, so that what is measured is pruned that far."""
        self.prune(run.projection_network, (run.epochs_done + 1) / self._epochs)

    def finish(self, network: ProjectionNetwork) -> None:
        """Prune to the final share, so that a network that was stopped early fits the budget."""
        Pruning(self._settings, self._epochs).prune(network, done=1.0)

    def prune(self, network: ProjectionNetwork, done: float) -> None:
        """Prune as much as is due when a share of the run is done."""
        progress = self._settings.progress(done)
        shares = self._settings.first_share, self._settings.share
        self._kept = [
            (linear.weight, kept_weights(linear.weight, share * progress))
            for linear in linears(network)
            if (share := shares[linear is not network.first]) * progress
        ]
        self.hold()

    @torch.no_grad()
    def hold(self) -> None:
        """Set what was pruned to 0 again."""
        for weights, kept in self._kept:
            weights.mul_(kept)


def linears(network: ProjectionNetwork) -> list[QuantisedLinear]:
    """Return the linear maps of a network, that which reads the bits first."""
    return [module for module in network.modules() if isinstance(module, QuantisedLinear)]
