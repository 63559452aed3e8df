"""Magnitude pruning on a schedule: the smallest weights of a layer become 0, and stay so.

Zhu and Gupta 2017 (arXiv:1710.01878), section 3: the share of the weights that are 0 rises from
none to its final value as a cubic, fast at first, while many weights do nothing, and slower as
fewer remain. From a weight that was pruned no gradient brings anything back. What is 0 costs next
to nothing in the artifact (neuralbits/packing.py).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.projection_network import ProjectionNetwork, QuantisedLinear


@dataclass(frozen=True)
class PruningSettings:
    """How much is pruned, and when."""

    first_share: float = 0.0
    """The share of the weights of the layer that reads the bits which are 0 in the end."""
    share: float = 0.0
    """That of each layer after it."""
    group_lasso: float = 0.0
    """λ, of the group lasso that removes projection functions (group_lasso.py); it acts until the
    end that is set here."""
    start: float = 0.2
    """The share of the run after which pruning starts."""
    end: float = 0.7
    """The share of the run after which nothing more is pruned, and what remains settles."""
    sensitivity: bool = False
    """Measure in the end how accuracy falls as the layers, one at a time, are pruned further."""

    def __post_init__(self) -> None:
        """Refuse what can't be done.

        Raises:
            ValueError: a setting is out of its range; the sentence says which.
        """
        for name in ("first_share", "share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, not within 0 and 1")
        if not 0 <= self.group_lasso < math.inf:
            raise ValueError(f"group_lasso is {self.group_lasso}; it must be 0 or more")
        if not 0 <= self.start < self.end <= 1:
            raise ValueError(
                f"start is {self.start} and end is {self.end}; "
                "both must be within 0 and 1, the start before the end"
            )

    @property
    def prunes(self) -> bool:
        """Whether any weight or function goes."""
        return self.first_share > 0 or self.share > 0 or self.group_lasso > 0

    def progress(self, done: float) -> float:
        """Return how much of the final share is reached when a share of the run is done."""
        left = (self.end - done) / (self.end - self.start)
        return 1 - min(max(left, 0.0), 1.0) ** 3

    def unsettled_epochs(self, epochs: int) -> int:
        """Count the first epochs of a run, those at whose end more is still to be pruned."""
        if not self.prunes:
            return 0
        return sum(self.progress((epoch + 1) / epochs) < 1 for epoch in range(epochs))


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
