"""What a sweep has measured: the figures of each run, of each point, and a table to print."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from ..evaluation.metrics import Microseconds

Swept = Literal["bits", "size"]


@dataclass(frozen=True, slots=True)
class Run:
    """One training, from one seed, and its artifact."""

    artifact: str
    """The name of its file."""
    digest: str
    value: int
    """Of what is swept: the number of neural bits, or the most bytes."""
    seed: int
    bits: int
    """b·T·d, the number of neural bits."""
    units: tuple[int, ...]
    """Of each hidden layer."""
    bytes: int
    microseconds_per_text: Microseconds
    """The artifact's, all artifacts being timed one after another by one process."""
    accuracy: Mapping[str, float]
    """The artifact's, by split; between 0 and 1."""
    trainer_accuracy: Mapping[str, float]
    """Empty without a trainer."""
    provenance: Mapping[str, Any]
    """That of the artifact, with the command that makes it."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the seeds."""

    mean: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Point:
    """The runs of one value, one a seed."""

    value: int
    seeds: tuple[int, ...]
    units: tuple[int, ...]
    """Those of the first run."""
    bits: Spread
    bytes: Spread
    single: Spread
    """Microseconds per text, one text a call."""
    batched: Spread
    """Microseconds per text, many texts a call."""
    accuracy: Mapping[str, Spread]
    trainer_accuracy: Mapping[str, Spread]


@dataclass(frozen=True, slots=True)
class Results:
    """What came of a sweep."""

    data: str
    """The data's name."""
    swept: Swept
    trainer: str
    """Its name, such as ``lstm``."""
    runs: Sequence[Run]
    """At least one; by rising value, then in the order of the seeds."""

    @property
    def points(self) -> list[Point]:
        """The runs, summarised for each value."""
        values = dict.fromkeys(run.value for run in self.runs)
        return [_point([run for run in self.runs if run.value == value]) for value in values]

    @property
    def split(self) -> str:
        """The split to judge by: the test if there is one, since it decided nothing."""
        return list(self.runs[0].accuracy)[-1]

    @property
    def trainer_accuracy(self) -> Spread | None:
        """The trainer's accuracy on that split over all runs; None without a trainer.

        The projection network has no influence on its trainer; but each run trains its own, and
        they differ by their random numbers.
        """
        if not self.runs[0].trainer_accuracy:
            return None
        return _spread(self.runs, lambda run: run.trainer_accuracy[self.split])


def _point(runs: Sequence[Run]) -> Point:
    first = runs[0]
    return Point(
        value=first.value,
        seeds=tuple(run.seed for run in runs),
        units=first.units,
        bits=_spread(runs, lambda run: run.bits),
        bytes=_spread(runs, lambda run: run.bytes),
        single=_spread(runs, lambda run: run.microseconds_per_text.single),
        batched=_spread(runs, lambda run: run.microseconds_per_text.batched),
        accuracy={
            split: _spread(runs, lambda run, split=split: run.accuracy[split])  # type: ignore[misc]
            for split in first.accuracy
        },
        trainer_accuracy={
            split: _spread(runs, lambda run, split=split: run.trainer_accuracy[split])  # type: ignore[misc]
            for split in first.trainer_accuracy
        },
    )


def _spread(runs: Sequence[Run], figure: Callable[[Run], float]) -> Spread:
    figures = [figure(run) for run in runs]
    return Spread(fmean(figures), min(figures), max(figures))


def table(results: Results) -> list[tuple[str, ...]]:
    """Return rows to print, the first of them the titles: means, and accuracies' ranges."""
    splits, split = list(results.runs[0].accuracy), results.split
    by_size = results.swept == "size"
    titles = ("bits", "units", "bytes", "µs\nalone", "µs\nbatched", *splits)
    if results.trainer_accuracy:
        titles = (*titles, f"trainer,\n{split}")
    rows = [("at\nmost", *titles) if by_size else titles]
    for point in results.points:
        row: tuple[str, ...] = (
            f"{point.bits.mean:,.0f}",
            ", ".join(map(str, point.units)) or "none",
            f"{point.bytes.mean:,.0f}",
            f"{point.single.mean:.1f}",
            f"{point.batched.mean:.1f}",
            *(_percentage(point.accuracy[each]) for each in splits),
        )
        if results.trainer_accuracy:
            row = (*row, _percentage(point.trainer_accuracy[split]))
        rows.append((size_name(point.value), *row) if by_size else row)
    return rows


def _percentage(share: Spread) -> str:
    if share.lowest == share.highest:
        return f"{share.mean:.2%}"
    return f"{share.mean:.2%}\n{100 * share.lowest:.1f}–{100 * share.highest:.1f}"


def size_name(size: int) -> str:
    """Write a number of bytes, in KiB if they are whole."""
    return f"{size} B" if size % 2**10 else f"{size // 2**10:,} KiB"
