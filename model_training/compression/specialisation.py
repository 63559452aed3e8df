"""Soft labels refined by specialists, from the epoch on that finds the confusable intents."""

from typing import Any

from torch import Tensor

from ..networks.specialists import Specialists, confusable
from ..networks.trainers import TokenBatch
from ..settings import Settings
from .hook import Hook, Run


class Specialisation(Hook):
    """Trains specialists (networks/specialists.py) beside the trainer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._specialists: Specialists | None = None

    def before_epoch(self, run: Run) -> None:
        """Group the intents by what the trainer confuses, once it has been trained a little."""
        settings = self._settings.specialists
        if settings.begin(run.epochs_done):
            predictions = run.trainer_predictions()
            device = run.projection_network.first.weight.device
            groups = confusable(predictions.double().numpy(), settings.groups, self._settings.seed)
            self._specialists = self._of(groups).to(device)

    def refine(self, tokens: TokenBatch, labels: Tensor, soft_labels: Tensor) -> Tensor:
        """Train the specialists on a batch, and add their predictions."""
        if not self._specialists:
            return soft_labels
        temperature = self._settings.objective.temperature
        return self._specialists.refine(tokens, labels, soft_labels, temperature)

    def state(self, run: Run) -> Any:
        """Return all that `restore` needs."""
        return self._specialists.state() if self._specialists else None

    def restore(self, run: Run, state: Any) -> None:
        """Take over what `state` returned."""
        if state:
            device = run.projection_network.first.weight.device
            self._specialists = self._of(state["groups"]).to(device)
            self._specialists.restore(state)

    def _of(self, groups: list[list[int]]) -> Specialists:
        return Specialists(groups, self._settings.specialists, self._settings.trainer)
