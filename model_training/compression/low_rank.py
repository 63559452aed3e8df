"""Low-rank factorisation: the layer that reads the bits, trained whole, becomes a product of two.

Denton et al. 2014 (arXiv:1404.0736), sections 3.1 and 3.2: a trained layer W is replaced by the
product U·V of a lower rank that is nearest to it under a metric, and what follows is fine-tuned to
it, layer by layer. V then reads the bits, a linear hidden layer as any other, and U is the layer
after it: the artifact holds nothing new. Three metrics measure the distance of W and W' = U·V:

- ``plain``: the Frobenius norm of W - W';
- ``covariance``: E‖(W - W')(x - E x)‖², how far their outputs are apart on the training texts. The
  mean is left to the bias;
- ``mahalanobis``: Σ α²(W - W')², α² being a weight's mean squared gradient over the training texts.
  A separate weight for every element would leave no closed form, and dividing them out of U·V
  would not leave its rank either. So α² is taken as the product of its marginals, rows times
  columns (as for the rows alone in Hsu et al. 2022, arXiv:2207.00112).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from neuralbits.errors import NeuralbitsError

from ..networks.projection_network import (
    HiddenLayer,
    ProjectionNetwork,
)
from ..networks.settings import NetworkSettings
from .hook import Hook, Run
from .settings import LowRankSettings, Metric

Texts = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Return an iterator over all training texts in batches: the values of their bits, (B, I), and
their labels, (B,)."""


class LowRankError(NeuralbitsError):
    """A network that can't be made by factorisation; the sentence says why."""


class LowRank(Hook):
    """Factorises the layer that reads the bits after some epochs, and fine-tunes the rest to it."""

    def __init__(self, settings: LowRankSettings, network: NetworkSettings, epochs: int) -> None:
        self._settings = settings
        self._network = network
        self._epochs = epochs

    def before_epoch(self, run: Run) -> None:
        """Factorise when it is time, and fix the first factor for some epochs."""
        if run.epochs_done == self._settings.after:
            network = factorise(
                run.projection_network, self._network, self._settings.metric, run.training_texts
            )
            run.replace_network(network, self._epochs - self._settings.after)
        fixed = self._settings.holds(run.epochs_done)
        run.projection_network.first.weight.requires_grad_(not fixed)

    def is_final(self, run: Run) -> bool:
        """Return whether an epoch has ended since the factorisation."""
        return run.epochs_done > self._settings.after

    def restore(self, run: Run, state: Any) -> None:
        """Give the network two factors, if it had them."""
        if self.is_final(run):
            run.replace_network(run.blank_network(), self._epochs - self._settings.after)


def unfactorised(
    inputs: int, intents: int, network: NetworkSettings, low_rank: LowRankSettings, epochs: int
) -> ProjectionNetwork:
    """Return the projection network that a run of so many epochs begins with.

    Raises:
        LowRankError: it is to be factorised, but it can't be; the sentence says why.
    """
    if low_rank.after == 0:
        return ProjectionNetwork(inputs, intents, network)
    if low_rank.after >= epochs:
        raise LowRankError(
            f"low_rank.after is {low_rank.after}, which leaves none of the {epochs} epochs to the "
            "factors; set fewer"
        )
    if not network.widths or network.activation != "linear":
        raise LowRankError(
            "low_rank.after asks for factors, which are a linear hidden layer and the layer after "
            "it; set network.widths and network.activation=linear, or low_rank.after=0"
        )
    rank, *widths = network.widths
    shape = replace(network, widths=tuple(widths), first_precision="float")
    first = ProjectionNetwork(inputs, intents, shape)
    highest = min(first.first.weight.shape)
    if rank > highest:
        raise LowRankError(
            f"the layer to factorise has rank {highest} at the most, but the first of "
            f"network.widths asks for {rank}; set a smaller one, or low_rank.after=0"
        )
    return first


@torch.no_grad()
def factorise(
    network: ProjectionNetwork, settings: NetworkSettings, metric: Metric, texts: Texts
) -> ProjectionNetwork:
    """Replace the layer that reads the bits by two of a lower rank.

    Args:
        network: trained, of the shape of `unfactorised`; in evaluation mode afterwards.
        settings: of the network to return; the first of its widths is the rank.
        metric: what the factors are nearest by.
        texts: the training texts.

    Returns:
        A network that computes what ``network`` does, but for what the rank, and the precision
        of the factors, take away.
    """
    network.eval()
    weights, rank = network.first.weight.double(), settings.widths[0]
    if metric == "plain":
        left, right = nearest(weights, rank)
    elif metric == "covariance":
        left, right = nearest_outputs(weights, rank, _moments(network.first, texts)[1])
    else:
        left, right = nearest_weighted(weights, rank, *mean_squared_gradients(network, texts))
    left, right = evened_out(left, right)

    factorised = ProjectionNetwork(weights.shape[1], network.intents, settings).to(weights.device)
    entry = factorised.hidden[0]
    assert isinstance(entry, HiddenLayer)
    entry.linear.weight.copy_(right)

    def sums(values: Tensor) -> Tensor:
        return torch.cat(
            [entry.linear(values), values @ right.T.float(), network.first(values)], dim=1
        )

    mean, covariance = _moments(sums, texts)
    variance = covariance.diagonal()
    entry.normalise.running_mean = mean[:rank].float()
    entry.normalise.running_var = variance[:rank].float()

    # What follows is as before, but that its inputs have lost their mean, and their size, which
    # is given back as it was before V was quantised.
    left = left * variance[rank : 2 * rank].sqrt()
    state = {
        # hidden.0 has become hidden.1, and so on
        re.sub(r"hidden\.(\d+)", lambda index: f"hidden.{int(index[1]) + 1}", name): value
        for name, value in network.state_dict().items()
    }
    following, shifted = (
        ("hidden.1.linear", "hidden.1.normalise.running_mean")
        if network.hidden
        else ("output", "bias")
    )
    outputs = mean[2 * rank :]
    state[f"{following}.weight"] = left
    state[shifted] = state[shifted] + (-outputs if network.hidden else outputs)
    factorised.load_state_dict(state | entry.state_dict(prefix="hidden.0."))
    return factorised


def nearest(weights: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return the factors nearest to a matrix by the Frobenius norm (Eckart & Young 1936).

    Shape (H, I) in, (H, rank) and (rank, I) out.
    """
    left, values, right = torch.linalg.svd(weights, full_matrices=False)
    return left[:, :rank] * values[:rank], right[:rank]


def evened_out(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return factors of the same product that a few bits hold better.

    The rows of the right one become orthonormal, so that one scale fits all, and both are turned at
    random (as for binary codes in Gong & Lazebnik 2011): singular values fall fast, and as they are
    they would leave most columns of the left factor too small to be told from 0.
    """
    basis = torch.linalg.qr(right.T).Q.T
    turn = torch.linalg.qr(torch.randn(len(basis), len(basis)).to(basis)).Q
    return left @ (right @ basis.T) @ turn, turn.T @ basis


def nearest_outputs(weights: Tensor, rank: int, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors whose outputs are nearest to a layer's.

    By Eckart & Young they are L·Lᵀ·W, L being the first left singular vectors of W·C^½, C the
    covariance of the inputs: that is, the first eigenvectors of the covariance of the outputs.

    Args:
        weights: shape (H, I).
        rank: of the factors.
        covariance: W·C·Wᵀ, shape (H, H), that of the outputs.

    Returns:
        Shape (H, rank) and (rank, I).
    """
    left = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :rank]
    return left, left.T @ weights


def nearest_weighted(
    weights: Tensor, rank: int, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the factors nearest by the squares of the differences, each with its weight.

    Args:
        weights: shape (H, I).
        rank: of the factors.
        rows: shape (H,), above 0.
        columns: shape (I,), above 0. The weight of element h, i is ``rows[h] * columns[i]``.

    Returns:
        Shape (H, rank) and (rank, I).
    """
    rows, columns = rows.sqrt(), columns.sqrt()
    left, right = nearest(rows[:, None] * weights * columns, rank)
    return left / rows[:, None], right / columns


def _moments(read: Callable[[Tensor], Tensor], texts: Texts) -> tuple[Tensor, Tensor]:
    """Return mean, (H,), and covariance, (H, H), of what a map makes of the training texts."""
    first, second, count = torch.zeros(()), torch.zeros(()), 0
    for values, _ in texts():
        outputs = read(values).double()
        first, second = first + outputs.sum(dim=0), second + outputs.T @ outputs
        count += len(outputs)
    mean = first / count
    return mean, second / count - torch.outer(mean, mean)


@torch.enable_grad()
def mean_squared_gradients(network: ProjectionNetwork, texts: Texts) -> tuple[Tensor, Tensor]:
    """Return the marginals of the mean squared gradients of the first layer's weights.

    A text's gradient of weight h, i is that of output h times input i, so no gradient of the
    weights themselves is needed.

    Returns:
        Shape (H,) and (I,), float64, above 0; their products are the weights of the metric up to
        a factor, which changes nothing.
    """
    taken: list[Tensor] = []
    hook = network.first.register_forward_hook(lambda *call: taken.append(call[2]))
    rows, columns = torch.zeros(()), torch.zeros(())
    for values, labels in texts():
        taken.clear()
        loss = functional.cross_entropy(network(values), labels, reduction="sum")
        gradients = torch.autograd.grad(loss, taken)[0].double().square()
        inputs = values.double().square()
        rows = rows + gradients.T @ inputs.sum(dim=1)
        columns = columns + gradients.sum(dim=1) @ inputs
    hook.remove()
    # A unit without a gradient must still be defined after the weights are divided out.
    return rows.clamp(min=1e-6 * rows.mean()), columns.clamp(min=1e-6 * columns.mean())
