"""The settings of the compression methods, apart from them: they are read without torch."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

Metric = Literal["plain", "covariance", "mahalanobis"]


@dataclass(frozen=True)
class LowRankSettings:
    """When, and by which metric, the layer that reads the bits is factorised."""

    after: int = 0
    """For so many epochs that layer is trained whole, in floats, without the first of the network's
    widths, which is the rank that it then gets; 0 trains the two factors from the beginning."""
    held: int = 1
    """For so many epochs after that, the factor that reads the bits stays as it is."""
    metric: Metric = "covariance"

    def __post_init__(self) -> None:
        """Refuse what can't be done.

        Raises:
            ValueError: a setting is out of its range; the sentence says which.
        """
        for name in ("after", "held"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        if self.metric not in get_args(Metric):
            raise ValueError(f"metric is {self.metric!r}; choose of {', '.join(get_args(Metric))}")

    def holds(self, epochs: int) -> bool:
        """Whether the first factor stays as it is in the epoch that follows so many."""
        return 0 < self.after <= epochs < self.after + self.held


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
