"""The offline job: from data and settings to an artifact, its model card and its report."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import neuralbits
from neuralbits.artifact import Artifact
from neuralbits.network import margin
from neuralbits.text import key

from . import budget
from .data import TrainingData
from .evaluation import calibration
from .evaluation.report import TrainingReport
from .loop.checkpoint import Checkpoint
from .loop.history import Observer
from .loop.joint import JointTraining, Stopped
from .networks.base import Base
from .networks.sentence_encoder import EmbeddingProgress, SentenceEncoder
from .outputs import TrainingError, check_outputs
from .process import choose_device as choose_device
from .process import repeatable
from .settings import Settings
from .trained import Trained
from .views.graph import NEAREST, Graph, GraphError, nearest
from .views.graph import read as read_graph


def train(
    settings: Settings,
    data: TrainingData,
    output: Path,
    *,
    max_size: int,
    choose_widths: bool = True,
    command: str,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    encoder: str | None = None,
    base: Path | None = None,
    graph: str | None = None,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
) -> TrainingReport:
    """Train, and write the artifact and all that goes with it.

    Beside ``output`` (``x.safetensors``) come its model card (``x.md``), the report (``x.html``)
    and its figures (``x.metrics.json``); while the job runs, a checkpoint
    (``x.safetensors.checkpoint``). It may run in any thread and prints nothing.

    Args:
        settings: of the run.
        data: checked data.
        output: where the artifact goes.
        max_size: the most bytes that the artifact may have.
        choose_widths: choose the widths of projection and network to fill ``max_size``; otherwise
            those of the settings have to fit.
        command: the command line, for the provenance.
        resume: go on from the checkpoint, if there is one.
        overwrite: replace files that this program didn't write.
        device: ``cpu``, ``cuda``, or ``auto`` for a GPU if there is one.
        encoder: the folder or the name of the sentence encoder among the trainers. The embeddings
            are kept in ``x.safetensors.embeddings``, for the next run.
        base: the file of a pretrained first layer to start from, which sets the projection.
        graph: a file with edges between the texts, or ``nearest`` for neighbours by the encoder.
        observer: of the run.
        stop: once set, the job ends after the batch under way: it writes the artifact as it then
            is, and keeps the checkpoint to resume from.

    Raises:
        TrainingError: there is no such device, an output can't be written, or the job was stopped
            before there was a network to keep.
        CheckpointError: there is a checkpoint that can't be used.
        EncoderError: the sentence encoder can't be loaded.
        BaseError: the base can't be read, or doesn't go with the settings.
        GraphError: the graph can't be read, or joins texts that aren't there.
        ForeignFileError: an output would replace a file that this program didn't write.
        BudgetError: the network doesn't fit ``max_size``, or none does.
        OSError: a file can't be written.
    """
    check_outputs(output, overwrite=overwrite)
    trained = fit(
        settings,
        data,
        max_size=max_size,
        choose_widths=choose_widths,
        command=command,
        output=output,
        resume=resume,
        device=device,
        encoder=encoder,
        base=base,
        graph=graph,
        observer=observer,
        stop=stop,
    )
    trained.save(output, overwrite=overwrite)
    report = trained.report(output.with_suffix(".html"), overwrite=overwrite)
    if trained.finished:
        Checkpoint.path_beside(output).unlink(missing_ok=True)
    return report


def fit(
    settings: Settings,
    data: TrainingData,
    *,
    max_size: int,
    choose_widths: bool = True,
    command: str | None = None,
    output: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    encoder: str | None = None,
    base: Path | None = None,
    graph: str | None = None,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
) -> Trained:
    """Train, calibrate and measure; write nothing but the checkpoint and the embeddings.

    Arguments and errors are those of `train`; without an ``output`` there is neither of these, and
    without a ``command`` the artifact's provenance names none. One training runs at a time; another
    that is started in the same process waits for it.
    """
    chosen = choose_device(device)
    observer = observer or Observer()
    stopped = stop.is_set if stop else lambda: False

    def embedding(done: int, count: int) -> None:
        if stopped():
            raise TrainingError("stopped while texts were embedded; the next run goes on there")
        observer.embed(done, count)

    with repeatable(chosen):
        loaded = load_encoder(settings, data, encoder, output, chosen)
        if loaded and settings.trainer.vocabulary:
            data = with_vocabulary(data, loaded)
        start = Base.read(base) if base else None
        if start:
            settings = replace(settings, projection=start.projection)
        provenance = origin(settings, data, command, loaded, start)
        settings = fit_budget(
            settings, data, provenance, max_size, choose_widths, choose_functions=start is None
        )
        edges = load_graph(graph, data, loaded, embedding)
        checkpoint = None
        if output:
            learnt_from = {"encoder": loaded, "base": start, "graph": edges}
            origins = {name: each.sha256 if each else None for name, each in learnt_from.items()}
            checkpoint = Checkpoint(output, settings, data, origins)
            checkpoint.check(resume)
        training = JointTraining(settings, data, chosen, stopped, loaded, embedding, start, edges)
        if checkpoint:
            check_space(training, checkpoint.path)
            checkpoint.restore(training)
        run(training, checkpoint, observer)
        if training.latest is None:
            raise TrainingError("stopped before there was a network to keep: there is no artifact")
        return Trained(calibrate(training, data, provenance), training, data)


# The parts of the job.


def origin(
    settings: Settings,
    data: TrainingData,
    command: str | None,
    encoder: SentenceEncoder | None,
    base: Base | None,
) -> dict[str, Any]:
    """Return what the artifact is made from, for its provenance."""
    provenance: dict[str, Any] = {
        "data": data.provenance,
        "seed": settings.seed,
        "neuralbits": neuralbits.__version__,
    }
    if command is not None:
        provenance["command"] = command
    if encoder:
        provenance["encoder"] = {"name": Path(encoder.name).name, "sha256": encoder.sha256}
    if base:
        provenance["base"] = base.provenance
    return provenance


def fit_budget(
    settings: Settings,
    data: TrainingData,
    provenance: dict[str, Any],
    max_size: int,
    choose_widths: bool,
    *,
    choose_functions: bool = True,
) -> Settings:
    """Choose the widths that fill the budget, or check that those of the settings fit.

    Raises:
        BudgetError: the network doesn't fit, or none does.
    """
    # As long as what `Trained` adds, since it takes room too.
    to_come = {
        "epochs": settings.epochs,
        "metrics": {split: {"accuracy": 0.1234, "ece": 0.1234} for split in data.measured_splits},
    }
    provenance = provenance | to_come
    if not choose_widths:
        return budget.check(settings, data.labels, provenance, max_size)
    functions = budget.FUNCTIONS if choose_functions else (settings.projection.functions,)
    return budget.fit(settings, data.labels, provenance, max_size, functions)


def load_encoder(
    settings: Settings,
    data: TrainingData,
    name: str | None,
    output: Path | None,
    device: torch.device,
) -> SentenceEncoder | None:
    """Load the sentence encoder if one is among the trainers.

    Raises:
        EncoderError: it isn't named or can't be loaded; or it is named, and isn't a trainer.
    """
    settings.trainer.check_encoder(name, bool(data.transfer))
    if name is None:
        return None
    cache = output.with_name(f"{output.name}.embeddings") if output else None
    return SentenceEncoder(name, cache, device)


def with_vocabulary(data: TrainingData, encoder: SentenceEncoder) -> TrainingData:
    """Add the words that an encoder knows to the texts of other domains, but measured texts."""
    splits = (split for both in data.measured_splits.values() for split in both)
    measured = {key(text) for split in splits for text in split.texts}
    words = (word for word in encoder.vocabulary if key(word) not in measured)
    return replace(data, transfer=(*data.transfer, *words))


def load_graph(
    name: str | None,
    data: TrainingData,
    encoder: SentenceEncoder | None,
    progress: EmbeddingProgress,
) -> Graph | None:
    """Read the graph, or join the texts to their neighbours.

    Raises:
        GraphError: it can't be read, joins texts that aren't there, or needs an encoder.
    """
    if name is None:
        return None
    if name != NEAREST:
        return read_graph(Path(name), data)
    if encoder is None:
        raise GraphError(f"--graph {NEAREST} needs --encoder")
    texts = (*data.train.texts, *data.unlabelled, *data.transfer)
    return nearest(encoder.embed(texts, progress), len(data.train) + len(data.unlabelled))


def check_space(training: JointTraining, checkpoint: Path) -> None:
    """Check that there is room for the checkpoint, and for the next one beside it.

    Raises:
        TrainingError: there isn't; the message has the size.
    """
    networks: list[nn.Module] = [training.projection_network]
    if training.teacher:
        networks.append(training.teacher.network)
    weights = sum(4 * p.numel() for network in networks for p in network.parameters())
    needed = 2 * 3 * weights  # Adam keeps two moments of each weight
    free = shutil.disk_usage(checkpoint.parent).free
    if free < needed:
        raise TrainingError(
            f"{checkpoint.parent} has {free / 1e6:,.0f} MB free, but writing the checkpoint takes "
            f"{needed / 1e6:,.0f} MB: make room, or name another output"
        )


def run(training: JointTraining, checkpoint: Checkpoint | None, observer: Observer) -> None:
    """Run the epochs that are left, or those before the run is asked to stop.

    Raises:
        OSError: the checkpoint can't be written.
    """
    observer.begin(training.settings.epochs)
    try:
        while not training.finished:
            done = training.epochs_done
            record = training.run_epoch(lambda share, done=done: observer.advance(done + share))  # type: ignore[misc]
            if checkpoint:
                checkpoint.save(training)
            observer.end_epoch(record)
    except Stopped:
        observer.stop()


def calibrate(training: JointTraining, data: TrainingData, provenance: dict[str, Any]) -> Artifact:
    """Set temperature and threshold of the network on the validation split."""
    network = training.network()
    scores = training.validation_scores(network)
    temperature = calibration.temperature(
        scores * network.scale, data.label_indices(data.validation)
    )
    threshold = calibration.threshold(margin(scores), training.settings.max_false_rejects)
    return Artifact(training.projection, network, data.labels, temperature, threshold, provenance)
