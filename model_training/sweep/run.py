"""The sweep: how many neural bits, or how many bytes, does a task need?

The question is that of Ravi 2017 (arXiv:1708.00630). Each answer is an ordinary training: its
artifact lies in the sweep's folder, with its card and its report, and is the one that the
``neuralbits train`` named in its provenance makes. docs/sweep.md describes the folder.
"""

import hashlib
import json
import platform
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import torch
from rich.console import Console

import neuralbits
from neuralbits import artifact
from neuralbits.files import atomic_write, locked, remove_unfinished, stamped
from neuralbits.manifest import ArtifactError
from neuralbits.scoring import cores

from ..data import TrainingData
from ..evaluation.metrics import microseconds_per_text
from .plan import Sweep, SweepError, SweptTraining
from .plot import svg
from .processes import Training, train_all
from .results import Results, Run

SCHEMA = 1
"""Of ``sweep.json``: grows when a field is renamed or removed, not when one is added."""


def run(
    sweep: Sweep,
    data: Mapping[int, TrainingData],
    folder: Path,
    *,
    workers: int | None = None,
    console: Console | None = None,
    stop: threading.Event | None = None,
) -> tuple[Results | None, dict[str, str]]:
    """Train what the folder doesn't hold yet, then time all artifacts and write the results.

    Args:
        sweep: what to train.
        data: checked data, by seed.
        folder: is made if its own folder exists. It may hold what an earlier run of the same
            sweep left, finished or not, also with other values or seeds.
        workers: how many trainings run at a time; by default, one for each core.
        console: where progress is shown; standard error by default.
        stop: once set, the trainings end, each with a checkpoint to resume from.

    Returns:
        The results, None if there is no artifact at all; and why each artifact that is missing
        is, by its name.

    Raises:
        NeuralbitsError: the folder can't be used: another sweep is in it, or other files, or
            another process.
        KeyboardInterrupt: ``stop`` was set; what is done remains, to resume from.
        OSError: a file can't be written.
    """
    console = console or Console(stderr=True)
    if not folder.parent.is_dir():
        raise SweepError(f"there is no folder {folder.parent}; make it, or name another output")
    folder.mkdir(exist_ok=True)
    trainings = sweep.trainings(data, folder)
    with locked(folder):
        description = _enter(folder, _describe(sweep, data), trainings)
        missing = [each.training for each in trainings if not _is_finished(each.training)]
        if done := len(trainings) - len(missing):
            console.print(f"{done} of {len(trainings)} artifacts are there already")
        failures = train_all(missing, workers or cores(), console, stop) if missing else {}
        failed = {
            each.name: failures[each.training.output]
            for each in trainings
            if each.training.output in failures
        }
        console.print("timing the artifacts, one after another")
        runs = [_measure(each) for each in trainings if each.name not in failed]
        if not runs:
            return None, failed
        name = data[sweep.seeds[0]].name
        results = Results(name, sweep.swept, sweep.settings.trainer.names, runs)
        _write(folder, description, results, failed)
        return results, failed


# The folder.


def _describe(sweep: Sweep, data: Mapping[int, TrainingData]) -> dict[str, Any]:
    """Return what ``sweep.json`` says of a sweep before it is run."""
    settings = asdict(sweep.settings)
    del settings["seed"]
    description = {
        "schema": SCHEMA,
        "swept": sweep.swept,
        "versions": {
            "neuralbits": neuralbits.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
        "platform": platform.platform(),
        "settings": settings,
        "data": {
            str(seed): {"sha256": _digest(data[seed]), "provenance": data[seed].provenance}
            for seed in sweep.seeds
        },
    }
    as_read: dict[str, Any] = json.loads(json.dumps(description))
    return as_read


def _digest(data: TrainingData) -> str:
    splits = (data.train, data.validation, data.test)
    outside = (data.out_of_scope_train, data.out_of_scope_validation, data.out_of_scope_test)
    content = (data.labels, splits, outside, data.unlabelled)
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _enter(
    folder: Path, description: dict[str, Any], trainings: list[SweptTraining]
) -> dict[str, Any]:
    """Make the folder the sweep's own, and remove what a kill left half-written.

    Returns:
        The description, with the data of the seeds of earlier runs.

    Raises:
        SweepError: what is in the folder is another's.
    """
    path = folder / "sweep.json"
    names = [each.name for each in trainings]
    if path.exists():
        found = _found(path, description)
        description = description | {"data": found["data"] | description["data"]}
        _write_json(path, found | {"data": description["data"]})
    else:
        for other in [file for name in ("sweep", *names) for file in folder.glob(f"{name}.*")]:
            if other.suffix != ".partial":
                raise SweepError(
                    f"{other} would be overwritten; name another --output, or delete the file"
                )
        _write_json(path, description)
    for name in names:
        for ending in (".safetensors", ".safetensors.checkpoint", ".md", ".html", ".metrics.json"):
            remove_unfinished(folder / f"{name}{ending}")
    for written in ("sweep.json", "sweep.svg"):
        remove_unfinished(folder / written)
    return description


def _found(path: Path, description: dict[str, Any]) -> dict[str, Any]:
    """Return what ``sweep.json`` holds, if it is of the sweep described."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        versions, data = found["versions"], found["data"]
        differences = {
            "kind (bits or sizes)": found["swept"] != description["swept"],
            "settings": found["settings"] != description["settings"],
            "data": any(
                seed in data and data[seed]["sha256"] != described["sha256"]
                for seed, described in description["data"].items()
            ),
            "version of neuralbits": versions["neuralbits"] != neuralbits.__version__,
        }
    except (ValueError, LookupError, TypeError):
        raise SweepError(
            f"{path} is damaged, or of no sweep; name another --output, or delete it with all "
            "that lies beside it"
        ) from None
    if other := [what for what, differs in differences.items() if differs]:
        raise SweepError(
            f"{path.parent} holds a sweep with another {' and another '.join(other)}; repeat its "
            "command to go on with it, or name another --output"
        )
    return found


def _is_finished(training: Training) -> bool:
    """Return whether an artifact is there, with its figures and without a checkpoint."""
    output = training.output
    try:
        held, figures = artifact.read(output), _figures(output)
    except (ArtifactError, OSError, ValueError):
        return False
    unfinished = output.with_name(f"{output.name}.checkpoint").exists()
    return held.provenance == figures.get("provenance") and not unfinished


def _measure(swept: SweptTraining) -> Run:
    """Time a trained artifact; take its other figures from its report."""
    training = swept.training
    classifier = neuralbits.load(training.output)
    held, figures = artifact.read(training.output), _figures(training.output)

    def accuracies(of: str) -> dict[str, float]:
        measured = figures[of]["evaluation"] if figures[of] else {}
        return {split: evaluation["accuracy"] for split, evaluation in measured.items()}

    texts = training.data.last_measured.texts
    return Run(
        artifact=training.output.name,
        digest=held.digest,
        value=swept.value,
        seed=swept.seed,
        bits=held.projection.bits,
        units=tuple(layer.units for layer in held.network.layers[:-1]),
        bytes=held.size,
        microseconds_per_text=microseconds_per_text(classifier.classify_batch, texts),
        accuracy=accuracies("artifact"),
        trainer_accuracy=accuracies("trainer"),
        provenance=held.provenance,
    )


def _figures(output: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(output.with_suffix(".metrics.json").read_bytes())
    return figures


def _write(
    folder: Path, description: dict[str, Any], results: Results, failed: dict[str, str]
) -> None:
    figures = {
        "split": results.split,
        "trainer": results.trainer,
        "trainer_accuracy": asdict(spread) if (spread := results.trainer_accuracy) else None,
        "points": [asdict(point) for point in results.points],
        "runs": [asdict(run) for run in results.runs],
        "failed": failed,
    }
    _write_json(folder / "sweep.json", description | figures)
    with atomic_write(folder / "sweep.svg") as file:
        file.write(stamped(svg(results), ".svg"))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        unstamped = {name: value for name, value in content.items() if name != "stamp"}
        file.write(stamped(json.dumps(unstamped, indent=2, ensure_ascii=False), path.suffix))
