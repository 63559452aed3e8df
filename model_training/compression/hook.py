"""The interface by which a method takes part in the training loop (loop/joint.py)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor

from neuralbits.projection import Projection

from ..loop.optimiser import Optimiser
from ..networks.projection_network import ProjectionNetwork
from ..networks.trainers import TokenBatch


class Run(Protocol):
    """What a method sees of a training run, and may do to it."""

    projection: Projection
    """The projection whose bits the network reads."""
    projection_network: ProjectionNetwork
    projection_optimiser: Optimiser

    @property
    def epochs_done(self) -> int:
        """The number of epochs that have ended."""

    @property
    def batches_per_epoch(self) -> int:
        """The number of batches in an epoch."""

    def replace_network(self, network: ProjectionNetwork, epochs: int) -> None:
        """Train another projection network from here on, on a schedule of so many epochs."""

    def prune_functions(self, functions: Sequence[int]) -> None:
        """Take functions from the projection, and what reads them from the network."""

    def blank_network(self) -> ProjectionNetwork:
        """Return an untrained network of the artifact's shape."""

    def training_texts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the training texts part by part: inputs, shape (B, I), and labels, (B,)."""

    def trainer_predictions(self) -> Tensor:
        """Return the trainer's predictions, under dropout, of all training texts: (N, C)."""


class Hook:
    """A method that takes part in training; what it doesn't override does nothing."""

    def before_epoch(self, run: Run) -> None:
        """Act before an epoch begins."""

    def before_batch(self, run: Run, place: int) -> None:
        """Act before the batch of this place in its epoch, counted from 0."""

    def refine(self, tokens: TokenBatch, labels: Tensor, soft_labels: Tensor) -> Tensor:
        """Return better soft labels of B texts, shape (B, C), than the trainer's."""
        return soft_labels

    def after_step(self, run: Run) -> None:
        """Act after a step of the projection network's optimiser."""

    def after_epoch(self, run: Run) -> None:
        """Act after an epoch's last batch, before the networks are measured."""

    def finish(self, network: ProjectionNetwork) -> None:
        """Bring a network, perhaps stopped early, to the state that the artifact needs."""

    def is_final(self, run: Run) -> bool:
        """Return whether the network has the artifact's shape."""
        return True

    def state(self, run: Run) -> Any:
        """Return what `restore` needs."""
        return None

    def restore(self, run: Run, state: Any) -> None:
        """Take over what `state` returned, before the networks' weights are restored."""


def refined(
    hooks: Iterable[Hook], tokens: TokenBatch, labels: Tensor, soft_labels: Tensor
) -> Tensor:
    """Return soft labels as every hook in turn refines them."""
    for hook in hooks:
        soft_labels = hook.refine(tokens, labels, soft_labels)
    return soft_labels
