"""The record of each epoch, and the interface by which a run is observed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """An epoch's time, its mean losses, and the accuracies on the validation split after it."""

    epoch: int
    """Counted from 1."""
    seconds: float
    """How long it took."""
    loss: float
    """The weighted sum of the three terms; out-of-scope texts are left out."""
    trainer_loss: float | None
    """None without a trainer that learns; its other two figures, without any trainer."""
    distillation_loss: float | None
    projection_loss: float
    trainer_accuracy: float | None
    projection_accuracy: float

    def __str__(self) -> str:
        losses, trainer = "", ""
        if self.distillation_loss is not None:
            learnt = f"trainer {self.trainer_loss:.3f}, " if self.trainer_loss is not None else ""
            losses = (
                f": {learnt}distillation {self.distillation_loss:.3f}, "
                f"projection {self.projection_loss:.3f}"
            )
        if self.trainer_accuracy is not None:
            trainer = f"trainer {self.trainer_accuracy:.2%}, "
        return (
            f"{self.seconds:6.1f} s  loss {self.loss:6.3f}{losses}; "
            f"right: {trainer}projection {self.projection_accuracy:.2%}"
        )


class Observer:
    """Observes a run; what a subclass doesn't override does nothing."""

    def embed(self, done: int, count: int) -> None:
        """While a sentence encoder embeds the texts: how many it has done, of how many."""

    def begin(self, epochs: int) -> None:
        """Before the first batch: how many epochs the run has in all."""

    def advance(self, epochs: float) -> None:
        """After each batch: how many epochs are done, such as 2.75."""

    def end_epoch(self, record: EpochRecord) -> None:
        """After each epoch, once the checkpoint is written."""

    def stop(self) -> None:
        """When the run stops because it was asked to."""
