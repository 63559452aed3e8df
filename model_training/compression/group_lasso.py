"""Group lasso: whole projection functions are taken from the network, and then never computed.

The penalty λ Σ √|g| ‖W_g‖ of Yuan and Lin 2006, over networks as in Scardapane et al. 2017
(arXiv:1607.00485); a group g is the weights by which the layer that reads the bits reads those of
one function. It is applied as a proximal step after each step of the optimiser, at the same
learning rate. Where weights are of one bit, it acts on the real-valued ones behind them, which tell
how consistently the training texts ask for their signs.

The layer's outputs are normalised, so that its scale means nothing, and shrinking all groups alike
would do nothing but let the optimiser's noise flip more signs. So the layer gets its norm back
after each step: what falls is the ratio of Σ ‖W_g‖ to ‖W‖, small groups giving way to large ones.
The noise keeps every group above 0; a function is removed when its weights are small beside those
of the others.
"""

from typing import Any

from torch import Tensor

from .hook import Hook, Run
from .settings import PruningSettings

REMOVED_BELOW = 0.5
"""A function is removed whose weights have less than this of the functions' mean size."""


class GroupLasso(Hook):
    """Shrinks the functions of the projection, and prunes the small ones once.

    Args:
        settings: λ, and when pruning ends.
        epochs: of the run.
    """

    def __init__(self, settings: PruningSettings, epochs: int) -> None:
        self._penalty = settings.group_lasso
        self._last_epoch = settings.unsettled_epochs(epochs)

    def after_step(self, run: Run) -> None:
        """Take the proximal step."""
        if run.epochs_done <= self._last_epoch:
            amount = self._penalty * run.projection_optimiser.rate
            shrink(run.projection_network.first.weight, len(run.projection.kept), amount)

    def after_epoch(self, run: Run) -> None:
        """Prune the small functions, after the last epoch that shrank them."""
        if run.epochs_done == self._last_epoch:
            kept = run.projection.kept
            few = small(run.projection_network.first.weight, len(kept))
            run.prune_functions([kept[place] for place in few])

    def state(self, run: Run) -> Any:
        """Return the functions that were pruned."""
        return list(run.projection.removed)

    def restore(self, run: Run, state: Any) -> None:
        """Prune the same functions."""
        run.prune_functions([each for each in state if each in run.projection.kept])


def sizes(weights: Tensor, functions: int) -> Tensor:
    """Return the root mean square of each function's weights: (H, I) in, (functions,) out."""
    return _groups(weights, functions).square().mean(dim=(0, 2)).sqrt()


def shrink(weights: Tensor, functions: int, amount: float) -> None:
    """Make each function's root mean square smaller by an amount, or 0: a proximal step.

    Then the whole is scaled to the norm that it had. The amount is at most half of the mean root
    mean square, so that there is something left to scale.
    """
    measured, norm = sizes(weights, functions), weights.detach().norm()
    amounts = (measured.mean() / 2).clamp(max=amount)
    groups = _groups(weights, functions)
    groups.mul_((1 - amounts / measured.clamp(min=1e-12)).clamp(min=0)[:, None])
    groups.mul_(norm / groups.norm().clamp(min=1e-12))


def small(weights: Tensor, functions: int) -> list[int]:
    """Return the functions to be removed."""
    measured = sizes(weights, functions)
    below = measured < REMOVED_BELOW * measured.mean()
    return [function for function, is_small in enumerate(below.tolist()) if is_small]


def _groups(weights: Tensor, functions: int) -> Tensor:
    """Return the same weights, without a gradient, by function: (H, functions, inputs of each)."""
    return weights.detach().view(len(weights), functions, -1)
