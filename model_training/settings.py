"""The settings of a training run, in one dataclass.

Its defaults are those of `neuralbits train`; the report and the checkpoint record it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TypeVar

from model_training.objective import Objective
from model_training.projection_network import NetworkSettings
from model_training.trainers import TrainerSettings
from neuralbits.errors import NeuralbitsError
from neuralbits.projection import Projection


class SettingsError(NeuralbitsError):
    """A setting that doesn't exist, or a value that it can't have."""


@dataclass(frozen=True)
class Settings:
    """All that, with the data, decides what a training run gives."""

    projection: Projection = field(default_factory=Projection)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    objective: Objective = field(default_factory=Objective)
    seed: int = 0
    epochs: int = 30
    views: int = 2
    """How often an epoch shows the projection network each text, n-grams dropped anew."""
    ngram_dropout: float = 0.4
    """From each text a share of its n-grams is dropped, drawn between 0 and this every time."""
    slips: float = 0.2
    """The share of the views in which the text has one slip of the finger."""
    batch_size: int = 64
    trainer_learning_rate: float = 4e-3
    """The peak learning rate of the trainer, reached after a tenth of the run; then a cosine."""
    projection_learning_rate: float = 2e-3
    """The peak learning rate of the projection network, on the same schedule."""
    max_false_rejects: float = 0.04
    """The share of in-scope texts that may be taken for out-of-scope ones."""

    def __post_init__(self) -> None:
        """Refuse what no run can be made with.

        Raises:
            ValueError: a setting is out of its range; the sentence says which.
        """
        for name, least in (("epochs", 1), ("views", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        for name in ("ngram_dropout", "slips", "max_false_rejects"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, not within 0 and 1")
        for name in ("trainer_learning_rate", "projection_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed is {self.seed}, not within 0 and 2**32 - 1")

    def override(self, assignments: Iterable[str]) -> "Settings":
        """Return these settings with some set anew.

        Args:
            assignments: such as ``epochs=30``, ``objective.temperature=2`` or
                ``network.widths=64,64``.

        Raises:
            SettingsError: there is no such setting, or the value isn't of its type.
        """
        settings = self
        for assignment in assignments:
            path, equals, value = assignment.partition("=")
            if not equals:
                raise SettingsError(f"{assignment!r} sets nothing; write it like epochs=30")
            settings = _assign(settings, path.split("."), value, assignment)
        return settings


_Group = TypeVar("_Group")


def _assign(group: _Group, path: list[str], value: str, assignment: str) -> _Group:
    """Set the value that a path of names leads to; ``assignment`` is for the error's sentence."""
    names = [each.name for each in fields(group)] if is_dataclass(group) else []
    if path[0] not in names:
        raise SettingsError(
            f"--set {assignment}: there is no {path[0]!r}"
            + (f"; choose of {', '.join(names)}" if names else "")
        )
    current = getattr(group, path[0])
    new: object
    try:
        if len(path) > 1:
            new = _assign(current, path[1:], value, assignment)
        elif isinstance(current, bool):
            new = {"true": True, "false": False}[value.lower()]
        elif isinstance(current, tuple):
            parts = [part for part in value.split(",") if part]
            new = tuple(parts if path[0] == "families" else map(int, parts))
        elif isinstance(current, int | float | str):
            new = type(current)(value)
        else:
            raise SettingsError(f"--set {assignment}: name one of the settings in {path[0]}")
        return replace(group, **{path[0]: new})  # type: ignore[type-var]
    except SettingsError:
        raise
    except (ValueError, KeyError) as error:
        raise SettingsError(f"--set {assignment}: {error}") from None
