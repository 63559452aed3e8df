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
    trainer_loss: float | None
    """None, as all that is of the trainer, where there is none."""
    distillation_loss: float | None
    projection_loss: float
    trainer_accuracy: float | None
    projection_accuracy: float
