"""The offline job: from data and settings to an artifact, its model card and its report."""

import hashlib
import signal
import types
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

import neuralbits
from neuralbits import artifact
from neuralbits.artifact import Artifact
from neuralbits.errors import NeuralbitsError
from neuralbits.files import atomic_write, stamped
from neuralbits.network import margin

from . import budget
from .data import TrainingData
from .evaluation import calibration
from .evaluation.metrics import (
    Evaluation,
    Scorer,
    evaluate_scorer,
    microseconds_per_text,
)
from .evaluation.model_card import model_card
from .evaluation.report import Measured, TrainingReport, write_report
from .loop.history import EpochRecord
from .loop.joint import JointTraining, Stopped
from .settings import Settings


class TrainingError(NeuralbitsError):
    """Why there is no artifact, and how to get one, in one sentence."""


def train(
    settings: Settings,
    data: TrainingData,
    output: Path,
    *,
    max_size: int,
    choose_widths: bool = True,
    command: str,
    resume: bool = False,
    device: str = "auto",
    console: Console | None = None,
) -> TrainingReport:
    """Train, and write the artifact and all that goes with it.

    Beside ``output`` (``x.safetensors``) come its model card (``x.md``), the report (``x.html``)
    and its figures (``x.metrics.json``); while the job runs, a checkpoint
    (``x.safetensors.checkpoint``). The first Ctrl-C stops the job after the batch under way: it
    writes the artifact as it then is, and keeps the checkpoint to go on from.

    Args:
        settings: of the run.
        data: checked data.
        output: where the artifact goes.
        max_size: the most bytes that the artifact may have.
        choose_widths: choose the widths of projection and network to fill ``max_size``; otherwise
            those of the settings have to fit.
        command: what the user called, for the provenance.
        resume: go on from the checkpoint, if there is one.
        device: ``cpu``, ``cuda``, or ``auto`` for a GPU if there is one.
        console: where progress is shown; standard error by default.

    Raises:
        TrainingError: the output can't be written, there is no such device, there is a checkpoint
            that can't be used, or the job was stopped before there was a network to keep.
        BudgetError: the network doesn't fit ``max_size``, or none does.
        OSError: a file can't be written.
    """
    if output.suffix != ".safetensors":
        raise TrainingError(f"the output {output} must be named like artifact.safetensors")
    if not output.parent.is_dir():
        raise TrainingError(f"there is no folder {output.parent}; make it, or name another output")
    console = console or Console(stderr=True)
    provenance = {
        "data": data.provenance,
        "seed": settings.seed,
        "neuralbits": neuralbits.__version__,
        "command": command,
    }
    # As long as what `_finish` adds, since it takes room too.
    to_come = {
        "epochs": settings.epochs,
        "metrics": {split: {"accuracy": 0.1234, "ece": 0.1234} for split in data.measured_splits},
    }
    fit = budget.fit if choose_widths else budget.check
    settings = fit(settings, data.labels, provenance | to_come, max_size)
    checkpoint = _Checkpoint(output, settings, data)
    checkpoint.check(resume)

    # Rounding depends on the order of additions, so on the number of threads: one, whatever the
    # machine, makes a run repeatable. The projection has a separate thread (joint.py).
    torch.set_num_threads(1)
    threadpool_limits(1)
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("there is no GPU that torch can use; leave --device out")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
    training = JointTraining(settings, data, torch.device(device))
    checkpoint.restore(training)
    _run(training, checkpoint, console)
    if training.latest is None:
        raise TrainingError("stopped before there was a network to keep, so there is no artifact")
    report = _finish(training, data, output, provenance)
    if training.finished:
        checkpoint.delete()
    return report


def _run(training: JointTraining, checkpoint: "_Checkpoint", console: Console) -> None:
    """Run the epochs that are left, or those up to a Ctrl-C."""
    epochs = training.settings.epochs
    with (
        _stopping_on_interrupt(training),
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f} %"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
        ) as progress,
    ):
        bar = progress.add_task("training", total=epochs, completed=len(training.history))
        try:
            while not training.finished:
                ended = len(training.history)
                progress.update(bar, description=f"epoch {ended + 1} of {epochs}")
                record = training.run_epoch(
                    lambda done, ended=ended: progress.update(bar, completed=ended + done)  # type: ignore[misc]
                )
                checkpoint.save(training)
                progress.console.print(_line(record, epochs), highlight=False, soft_wrap=True)
        except Stopped:
            progress.console.print("stopped; `--resume` goes on from the last epoch that ended")


def _line(record: EpochRecord, epochs: int) -> str:
    head = f"epoch {record.epoch:3d}/{epochs} {record.seconds:6.1f} s  loss {record.loss:6.3f}"
    right = f"projection {record.projection_accuracy:.2%}"
    if record.trainer_accuracy is None:
        return f"{head}; right: {right}"
    return (
        f"{head}: "
        f"trainer {record.trainer_loss:.3f}, distillation {record.distillation_loss:.3f}, "
        f"projection {record.projection_loss:.3f}; "
        f"right: trainer {record.trainer_accuracy:.2%}, {right}"
    )


def _finish(
    training: JointTraining, data: TrainingData, output: Path, provenance: dict[str, Any]
) -> TrainingReport:
    """Calibrate, measure and write the artifact, then its card and its report."""
    settings = training.settings
    calibrated = _calibrate(training, data, provenance)

    def measure(scorer: Scorer, threshold: float) -> dict[str, Evaluation]:
        return {
            split: evaluate_scorer(
                scorer,
                examples.texts,
                data.label_indices(examples),
                data.labels,
                outside.texts,
                threshold,
            )
            for split, (examples, outside) in data.measured_splits.items()
        }

    classifier = neuralbits.loads(artifact.encode(calibrated)[0])
    evaluations = measure(classifier, calibrated.threshold)
    metrics = {
        split: {
            "accuracy": round(evaluation.accuracy, 4),
            "ece": round(evaluation.expected_calibration_error, 4),
        }
        for split, evaluation in evaluations.items()
    }
    provenance |= {"epochs": len(training.history), "metrics": metrics}
    written = artifact.write(replace(calibrated, provenance=provenance), output)

    texts = list(data.measured_splits.values())[-1][0].texts
    trainer = None
    if training.trainer:
        # By the policy that set the artifact's.
        threshold = calibration.threshold(
            margin(training.trainer.scores(data.validation.texts)), settings.max_false_rejects
        )
        trainer = Measured(
            name=settings.trainer.names,
            bytes=sum(4 * p.numel() for p in training.trainer.parameters()),
            microseconds_per_text=microseconds_per_text(training.trainer.probabilities, texts),
            evaluation=measure(training.trainer, threshold),
        )
    report = TrainingReport(
        name=data.name,
        artifact=Measured(
            name="artifact",
            bytes=written.size,
            microseconds_per_text=microseconds_per_text(
                neuralbits.load(output).classify_batch, texts
            ),
            evaluation=evaluations,
        ),
        trainer=trainer,
        history=training.history,
        sensitivities=training.sensitivities() if settings.pruning.sensitivity else (),
        data=data.report,
        settings=asdict(settings),
        provenance=written.provenance,
    )
    write_report(report, output.with_suffix(".html"), output.with_suffix(".metrics.json"))
    card = model_card(written, report, output.name, example=data.train.texts[0])
    with atomic_write(output.with_suffix(".md")) as file:
        file.write(stamped(card, ".md"))
    return report


def _calibrate(training: JointTraining, data: TrainingData, provenance: dict[str, Any]) -> Artifact:
    """Set temperature and threshold of the network on the validation split."""
    network = training.network()
    scores = training.validation_scores(network)
    temperature = calibration.temperature(
        scores * network.scale, data.label_indices(data.validation)
    )
    threshold = calibration.threshold(margin(scores), training.settings.max_false_rejects)
    return Artifact(training.projection, network, data.labels, temperature, threshold, provenance)


class _Checkpoint:
    """The file that a run goes on from after it was stopped or killed."""

    def __init__(self, output: Path, settings: Settings, data: TrainingData) -> None:
        self.path = output.with_name(f"{output.name}.checkpoint")
        splits = (data.train, data.validation, data.out_of_scope_train)
        learned_from = repr((data.labels, splits, data.unlabelled))
        # What a run must share with the one that left the checkpoint, in types that are safe
        # to unpickle.
        self._run = {
            "neuralbits": neuralbits.__version__,
            "settings": repr(settings),
            "data": hashlib.sha256(learned_from.encode()).hexdigest(),
        }

    def check(self, resume: bool) -> None:
        """Refuse to overwrite another run's progress unknowingly.

        Raises:
            TrainingError: there is a checkpoint, but the run isn't to resume.
        """
        if self.path.exists() and not resume:
            raise TrainingError(
                f"{self.path} holds an unfinished run; go on with --resume, or delete the file"
            )

    def restore(self, training: JointTraining) -> None:
        """Take over the checkpoint's state, if there is one.

        Raises:
            TrainingError: it is of another run, or damaged.
        """
        if not self.path.exists():
            return
        try:
            with zipfile.ZipFile(self.path) as file:
                if altered := file.testzip():  # torch itself doesn't look at the checksums
                    raise ValueError(f"{altered} was altered")
            # To the CPU, where the generators' states belong; networks take theirs from there.
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            run = state["run"]
        except Exception as error:
            raise TrainingError(
                f"{self.path} can't be read ({error}); delete it to start from the beginning"
            ) from None
        if run != self._run:
            raise TrainingError(
                f"{self.path} is of a run with other settings or other data; "
                "repeat that run's command to go on with it, or delete the file"
            )
        training.restore(state["training"])

    def save(self, training: JointTraining) -> None:
        """Replace the checkpoint."""
        with atomic_write(self.path, overwrite=True) as file:
            torch.save({"run": self._run, "training": training.state()}, file)

    def delete(self) -> None:
        """Delete the checkpoint, if there is one."""
        self.path.unlink(missing_ok=True)


@contextmanager
def _stopping_on_interrupt(training: JointTraining) -> Iterator[None]:
    """Let the first Ctrl-C ask training to stop, and a second one end the process."""

    def stop(number: int, frame: types.FrameType | None) -> None:
        training.stop = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
