"""The record that joint training leaves of each epoch; the report draws its curves from them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """What one epoch gave: its time, its mean losses, and accuracies on the validation split."""

    epoch: int
    """Counted from 1."""
    seconds: float
    """How long it took."""
    loss: float
    """The weighted sum of the three terms; out-of-scope texts are left out."""
    trainer_loss: float
    distillation_loss: float
    projection_loss: float
    trainer_accuracy: float
    projection_accuracy: float
