"""Joint training: the trainer and the projection network, batch after batch.

One batch: the trainer reads the texts' tokens and takes a step on its own loss (teacher.py); the
projection network reads the bits of the same texts, some with a typo, some without a part of their
tokens and n-grams, and takes a step on the labels and on the trainer's predictions (losses.py). It
learns slower than the trainer, and its steps cost far less, so it takes one for each of several
such views. From unlabelled texts it learns to predict from a view what it predicts from the whole.

A sentence encoder among the trainers has predicted all texts before the first batch
(encoder_teacher.py), those of other domains as well. Of unlabelled texts the projection network
also learns the encoder's predictions, until its own are the better ones.

Without a trainer the projection network learns from the labels alone: λ2 is 0. Methods of
compression take part by hooks (compression/hook.py).
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuralbits.network import Network, read

from ..compression.methods import first_network, hooks
from ..compression.sensitivity import Sensitivity, sensitivities
from ..data import TrainingData
from ..networks.base import Base
from ..networks.projection_network import ProjectionNetwork
from ..networks.sentence_encoder import EmbeddingProgress, SentenceEncoder
from ..settings import Settings
from ..views.batches import Batch, Batches
from ..views.corpus import NgramCorpus
from ..views.graph import Graph
from .encoder_teacher import EncoderTeacher
from .history import EpochRecord
from .optimiser import Optimiser
from .teacher import Teacher

_EVALUATED_AT_ONCE = 1024  # texts

Progress = Callable[[float], None]
"""Called after each batch with the share of the epoch that is done."""


class Stopped(Exception):
    """Training was asked to stop, within an epoch."""


class JointTraining:
    """A training run, epoch by epoch.

    Args:
        settings: what to train and how.
        data: what to train on.
        device: where the networks live.
        stop: asked before each batch whether to stop.
        encoder: the sentence encoder, if the settings have one among the trainers.
        embedding: called while it embeds the texts.
        base: what the first layer starts from, whose projection the settings have.
        graph: over the texts that it learns from.

    Raises:
        BaseError: the network that the settings ask for can't start from the base.
    """

    def __init__(
        self,
        settings: Settings,
        data: TrainingData,
        device: torch.device,
        stop: Callable[[], bool] = lambda: False,
        encoder: SentenceEncoder | None = None,
        embedding: EmbeddingProgress = lambda done, count: None,
        base: Base | None = None,
        graph: Graph | None = None,
    ) -> None:
        self.settings = settings
        self.device = device
        self.history: list[EpochRecord] = []
        self.latest: dict[str, Any] | None = None
        """The projection network's state after the last whole epoch. The learning rate has fallen
        to nothing by the end, so no earlier epoch is better by more than chance."""
        self.projection = settings.projection
        """The projection whose bits the network reads, without the functions pruned so far."""

        torch.manual_seed(settings.seed)
        self._stop = stop
        self._generator = np.random.default_rng(settings.seed)
        self._intents = len(data.labels)
        self._labels = torch.from_numpy(data.label_indices(data.train))
        self._weights = None if data.weights is None else torch.from_numpy(data.weights).to(device)
        # Shares of examples, not of their weights: an intent may have none above 0.
        shares = self._labels.bincount(minlength=len(data.labels)) / len(self._labels)
        self._log_priors = shares.log().to(device)
        self._batches = Batches(settings, data, self._generator, graph)
        self._edges = graph is not None
        self.batches_per_epoch = len(self._batches)
        self._validation_texts = data.validation.texts
        self._validation_labels = data.label_indices(data.validation)
        self._validation_ngrams = NgramCorpus(settings.projection, data.validation.texts)
        self.teacher: Teacher | None = None
        if settings.trainer.learnt:
            steps = settings.epochs * self.batches_per_epoch
            self.teacher = Teacher(settings, data.train.texts, self._intents, steps, device)
        self.encoder: EncoderTeacher | None = None
        self._encoder_accuracy = 0.0
        if settings.trainer.encoder:
            assert encoder, "refused without (job.py)"
            self.encoder = EncoderTeacher(encoder, data, settings.objective, device, embedding)
            self._encoder_accuracy = self._accuracy(self.encoder.outputs(data.validation.texts)[0])
        self._hooks = hooks(settings, self._intents)
        network, epochs = first_network(settings, self._intents)
        if base:
            base.start(network)
        self.replace_network(network, epochs, settings.base_learning_rate if base else 1.0)

    def run_epoch(self, progress: Progress) -> EpochRecord:
        """Train for one epoch, then measure the networks on the validation split.

        Raises:
            Stopped: it was asked to stop; the epoch is neither in `history` nor in `latest`.
        """
        started = time.monotonic()
        for hook in self._hooks:
            hook.before_epoch(self)
        if self.teacher:
            self.teacher.network.train()
        self.projection_network.train()
        losses = []
        with closing(self._batches.epoch()) as batches:  # its thread, too, also when stopped
            for place, batch in enumerate(batches):
                if self._stop():
                    raise Stopped
                for hook in self._hooks:
                    hook.before_batch(self, place)
                losses.append(self._train_batch(batch))
                progress(batch.done)
        for hook in self._hooks:
            hook.after_epoch(self)
        record = self._measure(*np.mean(losses, axis=0).tolist(), started=started)
        self.history.append(record)
        self._keep()
        return record

    def _train_batch(self, batch: Batch) -> tuple[float, float, float]:
        """Take the steps of one batch.

        Returns:
            The losses of the trainer, of the distillation and of the projection network, means over
            the views; 0 for the first two without a trainer.
        """
        texts, views, objective = batch.texts, batch.views, self.settings.objective
        labels = self._labels[torch.from_numpy(texts)].to(self.device)
        weights = None if self._weights is None else self._weights[torch.from_numpy(texts)]
        trainer, distillation, projection, soft_labels = 0.0, 0.0, 0.0, None
        if self.teacher:
            trainer, soft_labels = self.teacher.step(texts, labels, self._hooks, weights)
        guided = self._encoder_accuracy >= self._latest_accuracy
        guesses = self._guess(batch)
        predicted = self.encoder.of(batch) if self.encoder else None
        joined = 2 * len(texts) if self._edges else 0
        parts = (len(texts), len(batch.unlabelled), len(batch.transfer), joined)
        ends = np.cumsum(parts).tolist()
        for view in views:
            predictions = self.projection_network(_values(view, self.device)).tensor_split(ends)
            logits, unlabelled_logits, transfer_logits, joined_logits, outlier_logits = predictions
            projection_loss = objective.projection_loss(logits, labels, self._log_priors, weights)
            loss = objective.projection_weight * projection_loss
            terms = []
            if soft_labels is not None:
                terms.append(objective.distillation_loss(logits, soft_labels))
            if predicted:
                terms.append(objective.encoder_loss(logits, predicted.labelled))
            if terms:
                distillation_loss = torch.stack(terms).mean()
                loss = objective.distillation_weight * distillation_loss + loss
                distillation += distillation_loss.item() / len(views)
            if len(guesses):
                unlabelled_loss = objective.unlabelled_loss(unlabelled_logits, guesses)
                loss = loss + objective.unlabelled_weight * unlabelled_loss
            if predicted and guided and len(predicted.unlabelled):
                unlabelled_loss = objective.encoder_loss(unlabelled_logits, predicted.unlabelled)
                loss = loss + objective.unlabelled_weight * unlabelled_loss
            if predicted and len(predicted.transfer):
                transfer_loss = objective.encoder_loss(transfer_logits, predicted.transfer)
                loss = loss + objective.transfer_weight * transfer_loss
            if len(joined_logits):
                loss = loss + objective.graph_weight * objective.graph_loss(joined_logits)
            if len(outlier_logits):
                # A mean over the outliers: each counts beside a labelled text by the weight.
                weight = objective.outlier_weight * len(outlier_logits) / len(texts)
                loss = loss + weight * objective.outlier_loss(outlier_logits)
            self.projection_optimiser.step(loss)
            for hook in self._hooks:
                hook.after_step(self)
            projection += projection_loss.item() / len(views)
        return trainer, distillation, projection

    @torch.no_grad()
    def _guess(self, batch: Batch) -> Tensor:
        """Predict the unlabelled texts of a batch as they stand: shape (U, C).

        By the projection network, not by a trainer that learns: with few labels it is far more
        often right (docs/accuracy.md).
        """
        if not len(batch.unlabelled):
            return torch.empty(0)
        self.projection_network.eval()
        guesses: Tensor = self.projection_network(_values(batch.whole, self.device))
        self.projection_network.train()
        return guesses.softmax(dim=1)

    @property
    def _latest_accuracy(self) -> float:
        """The projection network's on the validation split, after the last epoch."""
        return self.history[-1].projection_accuracy if self.history else 0.0

    def _measure(
        self, trainer: float, distillation: float, projection: float, *, started: float
    ) -> EpochRecord:
        """Measure both networks on the validation split."""
        objective, accuracy = self.settings.objective, None
        seconds = time.monotonic() - started
        if self.settings.trainer.present:
            accuracy = self._accuracy(self.trainer_outputs(self._validation_texts)[1])
        return EpochRecord(
            epoch=len(self.history) + 1,
            seconds=seconds,
            loss=objective.trainer_weight * trainer
            + objective.distillation_weight * distillation
            + objective.projection_weight * projection,
            trainer_loss=trainer if self.teacher else None,
            distillation_loss=distillation if self.settings.trainer.present else None,
            projection_loss=projection,
            trainer_accuracy=accuracy,
            projection_accuracy=self._accuracy(
                self.validation_scores(self.projection_network.fold())
            ),
        )

    def _accuracy(self, scores: npt.NDArray[np.float64]) -> float:
        return float(np.mean(scores.argmax(axis=1) == self._validation_labels))

    def validation_scores(self, network: Network) -> npt.NDArray[np.float64]:
        """Return a folded network's scores of the validation split: shape (N, C)."""
        texts = np.arange(len(self._validation_ngrams))
        parts = np.array_split(texts, math.ceil(len(texts) / _EVALUATED_AT_ONCE))
        return np.concatenate(
            [network.scores(self._validation_ngrams.project(part)) for part in parts]
        )

    # What comes of the run.

    @property
    def finished(self) -> bool:
        """Whether every epoch has run."""
        return len(self.history) >= self.settings.epochs

    def network(self) -> Network:
        """Fold the projection network into the form that the artifact holds.

        Raises:
            ValueError: no epoch has ended whose network has the artifact's shape.
        """
        return self._latest_unfolded().fold()

    def trainer_outputs(
        self, texts: Sequence[str]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the trainers' logits and probabilities: both of shape (N, C), N ≥ 1.

        Beside an encoder those are the means of its outputs and of what the others give together.
        """
        if not self.teacher:
            assert self.encoder, "asked for without a trainer"
            return self.encoder.outputs(texts)
        learnt = self.teacher.network.outputs(texts)
        if not self.encoder:
            return learnt
        logits, probabilities = (
            (ours + theirs) / 2
            for ours, theirs in zip(learnt, self.encoder.outputs(texts), strict=True)
        )
        return logits, probabilities

    def trainer_classify(self, texts: Sequence[str]) -> None:
        """Classify texts with all trainers, none of it prepared, for its time."""
        if self.teacher:
            self.teacher.network.outputs(texts)
        if self.encoder:
            self.encoder.classify(texts)

    @property
    def trainer_bytes(self) -> int:
        """The size of all trainers."""
        learnt = self.teacher.network.parameters() if self.teacher else ()
        encoder = self.encoder.bytes if self.encoder else 0
        return sum(4 * parameter.numel() for parameter in learnt) + encoder

    def sensitivities(self) -> list[Sensitivity]:
        """Prune the layers of the projection network, and measure what is left."""
        return sensitivities(
            self._latest_unfolded(), lambda network: self._accuracy(self.validation_scores(network))
        )

    def _keep(self) -> None:
        """Keep the last epoch's projection network, if it has its final shape."""
        if self.history and all(hook.is_final(self) for hook in self._hooks):
            self.latest = {
                name: value.clone() for name, value in self.projection_network.state_dict().items()
            }

    def _latest_unfolded(self) -> ProjectionNetwork:
        if self.latest is None:
            raise ValueError("no epoch has ended yet, so there is no network to keep")
        with torch.random.fork_rng(devices=[]):  # a look at it doesn't change how the run goes on
            latest = self.blank_network()
        latest.load_state_dict(self.latest)
        for hook in self._hooks:
            hook.finish(latest)
        return latest

    # What hooks see of the run, and may do to it (compression/hook.py).

    @property
    def epochs_done(self) -> int:
        """The number of epochs that have ended."""
        return len(self.history)

    def replace_network(
        self, network: ProjectionNetwork, epochs: int, first_rate: float = 1.0
    ) -> None:
        """Train another projection network from here on, on a schedule of so many epochs.

        Its first layer learns at a share of the learning rate.
        """
        self.projection_network = network.to(self.device)
        self.projection_optimiser = Optimiser(
            network,
            self.settings.projection_learning_rate,
            epochs * self.batches_per_epoch * self.settings.views,
            ([network.first.weight], first_rate) if first_rate != 1 else ((), 1.0),
        )

    def prune_functions(self, functions: Sequence[int]) -> None:
        """Take functions from the projection, and what reads them from the network."""
        kept = self.projection.kept
        inputs = torch.tensor([function not in functions for function in kept])
        inputs = inputs.repeat_interleave(self.projection.inputs // len(kept))
        self.projection_optimiser.keep(self.projection_network.first.weight, inputs)
        removed = tuple(sorted([*self.projection.removed, *functions]))
        self.projection = dataclasses.replace(self.projection, removed=removed)
        self._batches.ngrams.projection = self._validation_ngrams.projection = self.projection

    def blank_network(self) -> ProjectionNetwork:
        """Return an untrained network of the artifact's shape."""
        return ProjectionNetwork(self.projection.inputs, self._intents, self.settings.network)

    def training_texts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the training texts part by part: inputs, shape (B, I), and labels, (B,)."""
        count = len(self._labels)
        for part in np.array_split(np.arange(count), math.ceil(count / _EVALUATED_AT_ONCE)):
            values = _values(self._batches.ngrams.project(part), self.device)
            yield values, self._labels[torch.from_numpy(part)].to(self.device)

    def trainer_predictions(self) -> Tensor:
        """Return the trainer's predictions, under dropout, of all training texts: (N, C)."""
        assert self.teacher, "specialists without a trainer are refused (settings.py)"
        return self.teacher.predictions()

    # What a checkpoint holds.

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs after an epoch to go on as if nothing had happened."""
        return {
            "history": [dataclasses.asdict(record) for record in self.history],
            "hooks": [hook.state(self) for hook in self._hooks],
            "teacher": self.teacher.state() if self.teacher else None,
            "projection_network": self.projection_network.state_dict(),
            "projection_optimiser": self.projection_optimiser.state(),
            "torch_generator": torch.get_rng_state(),
            "cuda_generators": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            "numpy_generator": self._generator.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.history = [EpochRecord(**record) for record in state["history"]]
        for hook, held in zip(self._hooks, state["hooks"], strict=True):
            hook.restore(self, held)
        if self.teacher:
            self.teacher.restore(state["teacher"])
        self.projection_network.load_state_dict(state["projection_network"])
        self._keep()
        self.projection_optimiser.restore(state["projection_optimiser"])
        torch.set_rng_state(state["torch_generator"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["cuda_generators"])
        self._generator.bit_generator.state = state["numpy_generator"]


def _values(bits: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """Read bits as the first layer's inputs, float32, on the device."""
    return torch.from_numpy(read(bits, np.float32)).to(device)
