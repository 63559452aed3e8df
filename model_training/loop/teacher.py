"""The trainer's side of joint training: its steps, and the soft labels that it gives."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..compression.hook import Hook, refined
from ..networks.trainers import Ensemble, TokenCorpus
from ..settings import Settings
from .optimiser import Optimiser

_READ_AT_ONCE = 1024  # texts


class Teacher:
    """A trainer network with the training texts and its optimiser.

    Args:
        settings: of the run.
        texts: the training texts, N of them.
        intents: C, the number of intents.
        steps: the number of batches of the whole run.
        device: where the network lives.
    """

    def __init__(
        self,
        settings: Settings,
        texts: Sequence[str],
        intents: int,
        steps: int,
        device: torch.device,
    ) -> None:
        self._objective = settings.objective
        self._device = device
        self._tokens = TokenCorpus(texts, settings.trainer.buckets)
        self.network = Ensemble(intents, settings.trainer).to(device)
        self._optimiser = Optimiser(self.network, settings.trainer_learning_rate, steps)

    def step(
        self,
        texts: npt.NDArray[np.intp],
        labels: Tensor,
        hooks: Sequence[Hook],
        weights: Tensor | None = None,
    ) -> tuple[float, Tensor]:
        """Train on the texts of B indices, their labels, shape (B,), and their weights, (B,).

        Returns:
            The loss, and the soft labels for the projection network: shape (B, C).
        """
        tokens = self._tokens.batch(texts).to(self._device)
        logits = self.network(tokens)
        loss = self._objective.trainer_loss(logits, labels, weights)
        self._optimiser.step(self._objective.trainer_weight * loss)
        soft_labels = refined(hooks, tokens, labels, self._objective.soft_labels(logits))
        return loss.item(), soft_labels

    @torch.no_grad()
    def predictions(self) -> Tensor:
        """Return what the network predicts of the training texts while it learns: (N, C)."""
        self.network.train()  # without dropout it would know these texts, and confuse nothing
        texts = np.arange(len(self._tokens.lengths))
        return torch.cat(
            [
                self.network(self._tokens.batch(part).to(self._device))
                .softmax(dim=2)
                .mean(dim=0)
                .cpu()
                for part in np.array_split(texts, math.ceil(len(texts) / _READ_AT_ONCE))
            ]
        )

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs."""
        return {"network": self.network.state_dict(), "optimiser": self._optimiser.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.network.load_state_dict(state["network"])
        self._optimiser.restore(state["optimiser"])
