"""The results of a run, and how the figures of the seeds are combined."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks.figures import Figures
from benchmarks.machine import machine

SCHEMA = 1
"""Of ``results.json``: grows when a field is renamed or removed, not when one is added."""

_SUMMARIES: dict[str, Callable[[list[float]], float]] = {
    # The largest counts: a device needs that room, and a user waits that long.
    **dict.fromkeys(("bytes", "peak_memory", "model_memory", "training_seconds"), max),
    **dict.fromkeys(("microseconds_single", "microseconds_batched"), statistics.median),
}
"""How the figures of the seeds are combined, where not by their mean."""


@dataclass(frozen=True, slots=True)
class Run:
    """One system, measured for one data set and one seed."""

    dataset: str
    seed: int
    system: str
    figures: Figures
    versions: dict[str, str]
    """Of the packages that did the work."""


@dataclass(frozen=True)
class Results:
    """All measurements and their conditions."""

    runs: Sequence[Run]
    datasets: dict[str, dict[str, int]]
    """By name: how many ``intents`` each has, and how many examples of which split."""
    settings: Sequence[str]
    """Settings of neuralbits that aren't the default."""
    conditions: dict[str, str]

    @property
    def systems(self) -> list[str]:
        """Their names, in the order in which they were measured."""
        return list(dict.fromkeys(run.system for run in self.runs))

    @property
    def seeds(self) -> list[int]:
        """The seeds, in that order."""
        return list(dict.fromkeys(run.seed for run in self.runs))

    def figure(self, dataset: str, system: str, name: str) -> float | None:
        """Return a figure of `Figures` over the seeds; None if it wasn't measured."""
        values = self._values(dataset, system, name)
        return _SUMMARIES.get(name, statistics.fmean)(values) if values else None

    def spread(self, dataset: str, system: str, name: str) -> float | None:
        """Return the figure's standard deviation, that of a sample; None for a single seed."""
        values = self._values(dataset, system, name)
        return statistics.stdev(values) if len(values) > 1 else None

    def _values(self, dataset: str, system: str, name: str) -> list[float]:
        found = (
            getattr(run.figures, name)
            for run in self.runs
            if (run.dataset, run.system) == (dataset, system)
        )
        return [value for value in found if value is not None]

    def to_json(self) -> dict[str, Any]:
        """Return ``results.json``: every run, each figure by its name."""
        return {"schema": SCHEMA, **asdict(self)}


def conditions() -> dict[str, str]:
    """Return the machine's description, on which the times depend."""
    return machine() | {"trained with": f"torch {torch.__version__}"}
