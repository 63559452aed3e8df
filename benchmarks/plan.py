"""The systems, how each is trained, and how each is questioned."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.trainings import ROOT, BenchmarkError, Training, code_digest
from neuralbits.files import atomic_write
from neuralbits.model_training.data import Examples, TrainingData

FASTTEXT = "fastText, quantised"
LINEAR_SVC = "TF-IDF + LinearSVC"
PLAIN = "720 bits → softmax"
PLAIN_SETTINGS = (
    "projection.stride=1",  # first, as it must divide the functions
    "projection.functions=60",
    "projection.dimensions=12",
    "projection.code_bits=1",
    "network.widths=",
    "network.first_precision=float",
    "trainer.names=feedforward",
)
"""The network of Ravi 2017, section 4: T = 60, d = 12, every n-gram in every function, and a single
layer. It is trained as neuralbits is, beside the fastest of the trainers."""
PLAIN_SIZE = "1MiB"


def neuralbits(size: str) -> str:
    """Return the name of neuralbits within a size."""
    return f"neuralbits, {size}"


@dataclass(frozen=True)
class System:
    """One model of one kind, for one data set and one seed."""

    name: str
    training: Training
    worker: tuple[str, ...]
    """The command of the process that answers for it."""

    @property
    def is_neuralbits(self) -> bool:
        """Whether `neuralbits train` trains it."""
        return self.training.output.suffix == ".safetensors"

    def trainer_accuracy(self) -> float | None:
        """Return the test accuracy of the trainer that neuralbits learnt from, if it had one."""
        if not self.is_neuralbits:
            return None
        figures = json.loads(self.training.output.with_suffix(".metrics.json").read_bytes())
        if figures["trainer"] is None:
            return None
        return float(figures["trainer"]["evaluation"]["test"]["accuracy"])


def systems(
    data: TrainingData,
    seed: int,
    sizes: Sequence[str],
    settings: Sequence[str],
    folder: Path,
    baselines_python: Path,
) -> list[System]:
    """Return the systems for a data set and a seed; writes the splits that the baselines learn on.

    Args:
        data: `TrainingData.name` is the name of a data set.
        seed: of the splits and of all trainings.
        sizes: the budgets of neuralbits, such as ``64KiB``.
        settings: passed on to every ``neuralbits train`` as ``--set``.
        folder: where everything goes.
        baselines_python: the Python of the baselines' environment.

    Raises:
        BenchmarkError: the baselines have no environment.
    """
    if not baselines_python.exists():
        raise BenchmarkError(
            f"there is no {baselines_python}, the Python of the baselines: `make bench` makes it"
        )
    stem = f"{data.name}-{seed}"
    learn = folder / f"{stem}.learn.json"
    content = json.dumps({"train": _table(data.train), "validation": _table(data.validation)})
    with atomic_write(learn, overwrite=True) as file:
        file.write(content.encode())
    split = hashlib.sha256(content.encode()).hexdigest()

    def ours(name: str, slug: str, size: str, extra: Sequence[str] = ()) -> System:
        output = folder / f"{stem}-{slug}.safetensors"
        assignments = [word for each in (*settings, *extra) for word in ("--set", each)]
        training = Training(
            name=f"{data.name} seed {seed}, {name}",
            command=(
                str(Path(sys.executable).with_name("neuralbits")),
                *("train", "--dataset", data.name, "--seed", str(seed), "--max-size", size),
                *("--output", str(output), *assignments),
            ),
            output=output,
            inputs=(
                split,
                torch.__version__,
                code_digest(*ROOT.glob("neuralbits/*.py"), ROOT / "model_training"),
            ),
            resume=("--resume",),
        )
        worker = (sys.executable, "-m", "benchmarks.neuralbits_worker", str(output))
        return System(name, training, worker)

    def baseline(name: str, module: str, output: Path) -> System:
        run = (str(baselines_python), "-m", f"benchmarks.baselines.{module}")
        source = ROOT / "benchmarks" / "baselines" / f"{module}.py"
        requirements = (ROOT / "benchmarks" / "requirements.txt").read_text()
        training = Training(
            name=f"{data.name} seed {seed}, {name}",
            command=(*run, "train", str(learn), str(output), str(seed)),
            output=output,
            inputs=(split, requirements, code_digest(source)),
        )
        return System(name, training, (*run, "answer", str(output)))

    return [
        *(ours(neuralbits(size), size, size) for size in sizes),
        ours(PLAIN, "720-bits", PLAIN_SIZE, PLAIN_SETTINGS),
        baseline(FASTTEXT, "fasttext_baseline", folder / f"{stem}-fasttext.ftz"),
        baseline(LINEAR_SVC, "linear_svc", folder / f"{stem}-linear-svc.joblib"),
    ]


def _table(examples: Examples) -> dict[str, tuple[str, ...]]:
    return {"texts": examples.texts, "intents": examples.intents}
