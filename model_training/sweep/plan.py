"""The plan of a sweep: which artifacts are to be trained, and how each differs from the others."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from neuralbits import manifest
from neuralbits.errors import NeuralbitsError
from neuralbits.projection import Projection

from .. import budget
from ..data import TrainingData
from ..settings import Settings
from .processes import Training
from .results import Swept

BITS = "256,512,1024,2048,4096,8192"


class SweepError(NeuralbitsError):
    """Why there is no sweep, and how to get one, in one sentence."""


@dataclass(frozen=True)
class Sweep:
    """What to train: an artifact for each value and each seed."""

    swept: Swept
    """``bits``: each value is a number of neural bits, all else as in the settings; ``size``: the
    most bytes of an artifact, whose widths the budget then chooses."""
    values: tuple[int, ...]
    """Rising."""
    seeds: tuple[int, ...]
    settings: Settings
    """Of every training, but for what is swept and the seed."""
    words: tuple[str, ...]
    """What tells ``neuralbits train`` of the data and the settings."""

    def trainings(self, data: Mapping[int, TrainingData], folder: Path) -> "list[SweptTraining]":
        """Return all trainings, given the data by seed and the folder for the artifacts."""
        return [
            SweptTraining(value, seed, self._training(value, seed, data[seed], folder))
            for value in self.values
            for seed in self.seeds
        ]

    def _training(self, value: int, seed: int, data: TrainingData, folder: Path) -> Training:
        by_bits = self.swept == "bits"
        whole_kib = not by_bits and value % 1024 == 0
        name = f"{self.swept}-{f'{value // 1024}KiB' if whole_kib else value}-seed-{seed}"
        settings, max_size = replace(self.settings, seed=seed), value
        if by_bits:
            projection = with_bits(settings.projection, value)
            settings, max_size = replace(settings, projection=projection), manifest.MAX_BYTES
        words = [*self.words, "--output", f"{name}.safetensors", "--seed", str(seed)]
        words += ["--max-size", str(max_size)]
        if by_bits:
            for setting in ("stride", "functions", "dimensions"):
                words += ["--set", f"projection.{setting}={getattr(projection, setting)}"]
        return Training(
            settings,
            data,
            folder / f"{name}.safetensors",
            max_size,
            choose_widths=not by_bits,
            command=shlex.join(["neuralbits", "train", *words]),
        )


class SweptTraining(NamedTuple):
    """One training of a sweep, with what tells it from the others."""

    value: int
    seed: int
    training: Training

    @property
    def name(self) -> str:
        """The name of the artifact's file, without its ending."""
        return self.training.output.stem


def plan(
    bits: str | None,
    sizes: str | None,
    seeds: str,
    assignments: Sequence[str],
    words: Sequence[str],
) -> Sweep:
    """Read what a user asks for.

    Args:
        bits: numbers of neural bits, such as ``256,512``; `BITS` if there are no sizes either.
        sizes: instead of bits, numbers of bytes, such as ``4KiB,8KiB``.
        seeds: such as ``0,1,2``.
        assignments: of settings, as `Settings.override` takes them.
        words: what tells ``neuralbits train`` of the data.

    Raises:
        SweepError: one of them can't be read or used, or two of them contradict each other.
        SettingsError: there is no such setting, or it can't have this value.
        SizeError: a size can't be read.
    """
    if bits is not None and sizes is not None:
        raise SweepError("--bits and --sizes exclude each other; leave one out")
    chosen = ["seed=", "projection.functions=", "projection.dimensions=", "projection.removed="]
    swept: Swept = "bits"
    if sizes is None:
        values = _numbers("--bits", BITS if bits is None else bits, least=1)
    else:
        swept = "size"
        values = [budget.parse_size(size) for size in sizes.split(",")]
        chosen.append("network.widths=")
    for assignment in assignments:
        if assignment.startswith(tuple(chosen)):
            raise SweepError(f"--set {assignment}: the sweep chooses that itself; leave it out")
    settings = Settings().override(assignments)
    if settings.trainer.encoder:
        raise SweepError("a sweep has no sentence encoder; choose another trainer")
    if swept == "bits":
        for value in values:
            with_bits(settings.projection, value)
    return Sweep(
        swept,
        tuple(sorted(set(values))),
        tuple(dict.fromkeys(_numbers("--seeds", seeds, least=0))),
        settings,
        (*words, *(word for assignment in assignments for word in ("--set", assignment))),
    )


def _numbers(option: str, text: str, least: int) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        raise SweepError(f"{option} {text}: write whole numbers like 1,2,3") from None
    if not least <= min(numbers) <= max(numbers) < 2**32:
        raise SweepError(f"{option} {text}: each must be within {least} and 2**32 - 1")
    return numbers


def with_bits(projection: Projection, bits: int) -> Projection:
    """Return a projection of so many bits: functions of 64 dimensions, or as many as can be.

    Its stride is reduced where there are too few functions for it.

    Raises:
        SweepError: the bits can't be shared out evenly among the codes.
    """
    sums, rest = divmod(bits, projection.code_bits)
    if rest:
        raise SweepError(
            f"--bits {bits}: each code takes {projection.code_bits}, so give a multiple of that"
        )
    dimensions = max(d for d in range(1, 65) if sums % d == 0)
    functions = sums // dimensions
    return replace(
        projection,
        functions=functions,
        dimensions=dimensions,
        stride=math.gcd(functions, projection.stride),  # which is a power of two
    )
