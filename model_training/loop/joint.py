"""Joint training: the trainer and the projection network, batch after batch.

One batch: the trainer reads the texts' tokens and takes a step on its own loss; the projection
network reads the bits of the same texts, some misspelt, some of their tokens and n-grams dropped,
and takes a step on the labels and on what the trainer predicts (losses.py). Further views of the
batch, with other tokens and n-grams dropped, give it further steps: it learns slower than the
trainer, and a step costs it far less. Of unlabelled texts it learns to predict from such a view
what it predicts from the whole text.

Without a trainer the labels are all that the projection network learns from: λ2 is 0.
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

from ..compression import group_lasso, low_rank
from ..compression.pruning import Pruning
from ..compression.sensitivity import Sensitivity, sensitivities
from ..data import TrainingData
from ..networks.projection_network import ProjectionNetwork
from ..networks.specialists import Specialists, confusable
from ..networks.trainers import Ensemble, TokenCorpus
from ..settings import Settings
from ..views.batches import Batch, Batches
from ..views.corpus import NgramCorpus
from .history import EpochRecord
from .optimiser import Optimiser

_EVALUATED_AT_ONCE = 1024  # texts
_PRUNED_EVERY = 32  # batches

Progress = Callable[[float], None]
"""Called now and then with the share of the epoch that is done."""


class Stopped(Exception):
    """Training was asked to stop, within an epoch."""


class JointTraining:
    """A training run, epoch by epoch.

    Args:
        settings: what to train and how.
        data: what to train on.
        device: where the networks live.
    """

    def __init__(self, settings: Settings, data: TrainingData, device: torch.device) -> None:
        self.settings = settings
        self.device = device
        self.history: list[EpochRecord] = []
        self.latest: dict[str, Any] | None = None
        """The projection network's state after the last whole epoch. The learning rate has fallen
        to nothing by the end, so no earlier epoch is better by more than chance."""
        self.stop = False
        """Set it, from a signal handler say, to end the epoch under way by `Stopped`."""

        self.projection = settings.projection
        """The projection whose bits the network reads, without the functions removed so far."""

        torch.manual_seed(settings.seed)
        self._generator = np.random.default_rng(settings.seed)
        self._labels = torch.from_numpy(data.label_indices(data.train))
        self._batches = Batches(settings, data, self._generator)
        self._validation_texts = data.validation.texts
        self._validation_labels = data.label_indices(data.validation)
        self._validation_ngrams = NgramCorpus(settings.projection, data.validation.texts)
        self.trainer: Ensemble | None = None
        if settings.trainer.present:
            self._tokens = TokenCorpus(data.train.texts, settings.trainer.buckets)
            self.trainer = Ensemble(len(data.labels), settings.trainer).to(device)
            self._trainer_optimiser = Optimiser(
                self.trainer, settings.trainer_learning_rate, settings.epochs * len(self._batches)
            )
        settings.specialists.check(len(data.labels))
        self._specialists: Specialists | None = None
        network = low_rank.unfactorised(
            settings.projection.inputs,
            len(data.labels),
            settings.network,
            settings.low_rank,
            settings.epochs,
        )

        self._pruning = Pruning(settings.pruning)
        self._teach(network, settings.low_rank.after or settings.epochs)

    @property
    def finished(self) -> bool:
        """Whether every epoch has run."""
        return len(self.history) >= self.settings.epochs

    def run_epoch(self, progress: Progress) -> EpochRecord:
        """Train for one epoch, then measure the networks on the validation split.

        Raises:
            Stopped: `stop` was set; what the epoch did is not in `history` nor in `latest`.
        """
        started = time.monotonic()
        ended = len(self.history)
        if ended == self.settings.low_rank.after > 0:
            self._factorise()
        if self.settings.specialists.begin(ended):
            groups = confusable(
                self._predictions(), self.settings.specialists.groups, self.settings.seed
            )
            self._engage(groups)
        held = self.settings.low_rank.holds(ended)
        self.projection_network.first.weight.requires_grad_(not held)
        if self.trainer:
            self.trainer.train()
        self.projection_network.train()
        losses = []
        with closing(self._batches.epoch()) as batches:  # its thread, too, also when stopped
            for place, batch in enumerate(batches):
                if self.stop:
                    raise Stopped
                if place % _PRUNED_EVERY == 0:
                    self._prune(ended + place / len(self._batches))
                losses.append(self._train_batch(batch))
                progress(batch.done)
        unsettled = self.settings.pruning.unsettled_epochs(self.settings.epochs)
        if self.settings.pruning.group_lasso and ended == unsettled:
            kept = self.projection.kept
            small = group_lasso.small(self.projection_network.first.weight, len(kept))
            self._remove([kept[place] for place in small])
        self._prune(ended + 1)
        trainer, distillation, projection = np.mean(losses, axis=0).tolist()
        objective = self.settings.objective
        record = EpochRecord(
            epoch=len(self.history) + 1,
            seconds=time.monotonic() - started,
            loss=objective.trainer_weight * trainer
            + objective.distillation_weight * distillation
            + objective.projection_weight * projection,
            trainer_loss=trainer if self.trainer else None,
            distillation_loss=distillation if self.trainer else None,
            projection_loss=projection,
            trainer_accuracy=self._accuracy(self.trainer.probabilities(self._validation_texts))
            if self.trainer
            else None,
            projection_accuracy=self._accuracy(
                self.validation_scores(self.projection_network.fold())
            ),
        )
        self.history.append(record)
        self._keep()
        return record

    def _keep(self) -> None:
        """Keep what the last epoch made of the projection network, if it has its final shape."""
        if len(self.history) > self.settings.low_rank.after:
            self.latest = {
                name: value.clone() for name, value in self.projection_network.state_dict().items()
            }

    def _remove(self, functions: Sequence[int]) -> None:
        """Go on without some of the functions that are left."""
        kept = self.projection.kept
        inputs = torch.tensor([function not in functions for function in kept])
        inputs = inputs.repeat_interleave(self.projection.inputs // len(kept))
        self._projection_optimiser.keep(self.projection_network.first.weight, inputs)
        removed = tuple(sorted([*self.projection.removed, *functions]))
        self.projection = dataclasses.replace(self.projection, removed=removed)
        self._batches.ngrams.projection = self._validation_ngrams.projection = self.projection

    def _prune(self, epochs: float) -> None:
        """Prune as much as is due after so many epochs."""
        self._pruning.prune(self.projection_network, epochs / self.settings.epochs)

    def network(self) -> Network:
        """Fold the projection network into the form that the artifact holds."""
        return self._latest_unfolded().fold()

    def sensitivities(self) -> list[Sensitivity]:
        """Prune the layers of the projection network, and measure what is left."""
        return sensitivities(
            self._latest_unfolded(), lambda network: self._accuracy(self.validation_scores(network))
        )

    def _latest_unfolded(self) -> ProjectionNetwork:
        if self.latest is None:
            raise ValueError("no epoch has ended yet, so there is no network to keep")
        with torch.random.fork_rng(devices=[]):  # a look at it doesn't change how the run goes on
            latest = self._blank()
        latest.load_state_dict(self.latest)
        # Stopped before it was pruned as far as it was to be, it has to fit the budget, too.
        Pruning(self.settings.pruning).prune(latest, done=1.0)
        return latest

    def validation_scores(self, network: Network) -> npt.NDArray[np.float64]:
        """Return what a folded network makes of the validation split: scores, shape (N, C)."""
        texts = np.arange(len(self._validation_ngrams))
        parts = np.array_split(texts, math.ceil(len(texts) / _EVALUATED_AT_ONCE))
        return np.concatenate(
            [network.scores(self._validation_ngrams.project(part)) for part in parts]
        )

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs after an epoch to go on as if nothing had happened."""
        return {
            "history": [dataclasses.asdict(record) for record in self.history],
            "removed": list(self.projection.removed),
            "trainer": self.trainer.state_dict() if self.trainer else None,
            "projection_network": self.projection_network.state_dict(),
            "trainer_optimiser": self._trainer_optimiser.state() if self.trainer else None,
            "projection_optimiser": self._projection_optimiser.state(),
            "specialists": self._specialists.state() if self._specialists else None,
            "torch_generator": torch.get_rng_state(),
            "cuda_generators": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            "numpy_generator": self._generator.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.history = [EpochRecord(**record) for record in state["history"]]
        if len(self.history) > self.settings.low_rank.after > 0:
            self._teach(self._blank(), self.settings.epochs - self.settings.low_rank.after)
        self._remove([each for each in state["removed"] if each in self.projection.kept])
        if self.trainer:
            self.trainer.load_state_dict(state["trainer"])
            self._trainer_optimiser.restore(state["trainer_optimiser"])
        self.projection_network.load_state_dict(state["projection_network"])
        self._keep()
        self._projection_optimiser.restore(state["projection_optimiser"])
        if state["specialists"]:
            self._engage(state["specialists"]["groups"]).restore(state["specialists"])
        torch.set_rng_state(state["torch_generator"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["cuda_generators"])
        self._generator.bit_generator.state = state["numpy_generator"]

    def _blank(self) -> ProjectionNetwork:
        """Return an untrained network of the shape that the artifact gets."""
        intents = self.projection_network.intents
        return ProjectionNetwork(self.projection.inputs, intents, self.settings.network)

    def _teach(self, network: ProjectionNetwork, epochs: int) -> None:
        """Make this the projection network, to be trained for so many epochs."""
        self.projection_network = network.to(self.device)
        self._projection_optimiser = Optimiser(
            network,
            self.settings.projection_learning_rate,
            epochs * len(self._batches) * self.settings.views,
        )

    def _factorise(self) -> None:
        """Go on with a projection network whose first layer is a product of two."""

        def texts() -> Iterator[tuple[Tensor, Tensor]]:
            count = len(self._labels)
            for part in np.array_split(np.arange(count), math.ceil(count / _EVALUATED_AT_ONCE)):
                values = _values(self._batches.ngrams.project(part), self.device)
                yield values, self._labels[torch.from_numpy(part)].to(self.device)

        settings = self.settings
        network = low_rank.factorise(
            self.projection_network, settings.network, settings.low_rank.metric, texts
        )
        self._teach(network, settings.epochs - settings.low_rank.after)

    @torch.no_grad()
    def _predictions(self) -> npt.NDArray[np.float64]:
        """Return what the trainer predicts of the training texts while it learns: shape (N, C)."""
        assert self.trainer  # without one there are no specialists (settings.py)
        self.trainer.train()  # without dropout it would know these texts, and confuse nothing
        texts = np.arange(len(self._labels))
        predictions = [
            self.trainer(self._tokens.batch(part).to(self.device)).softmax(dim=2).mean(dim=0).cpu()
            for part in np.array_split(texts, math.ceil(len(texts) / _EVALUATED_AT_ONCE))
        ]
        return torch.cat(predictions).double().numpy()

    def _engage(self, groups: list[list[int]]) -> Specialists:
        """Let a specialist for each group of intents take part from here on."""
        settings = self.settings
        specialists = Specialists(groups, settings.specialists, settings.trainer)
        self._specialists = specialists.to(self.device)
        return self._specialists

    def _train_batch(self, batch: Batch) -> tuple[float, float, float]:
        """Take the steps that one batch asks for; return the three losses, means over the views.

        Without a trainer, its own loss and that of the distillation are 0.
        """
        texts, views = batch.texts, batch.views
        objective = self.settings.objective
        labels = self._labels[torch.from_numpy(texts)].to(self.device)
        trainer, soft_labels = 0.0, None
        if self.trainer:
            trainer, soft_labels = self._train_trainer(texts, labels)
        guesses = self._guess(batch)
        distillation = projection = 0.0
        for view in views:
            logits, unlabelled_logits, outlier_logits = self.projection_network(
                _values(view, self.device)
            ).tensor_split([len(texts), len(texts) + len(guesses)])
            projection_loss = objective.projection_loss(logits, labels)
            loss = objective.projection_weight * projection_loss
            if soft_labels is not None:
                distillation_loss = objective.distillation_loss(logits, soft_labels)
                loss = objective.distillation_weight * distillation_loss + loss
                distillation += distillation_loss.item() / len(views)
            if len(guesses):
                unlabelled_loss = objective.unlabelled_loss(unlabelled_logits, guesses)
                loss = loss + objective.unlabelled_weight * unlabelled_loss
            if len(outlier_logits):
                loss = loss + objective.outlier_weight * objective.outlier_loss(outlier_logits)
            self._projection_optimiser.step(loss)
            self._pruning.hold()
            self._shrink()
            projection += projection_loss.item() / len(views)
        return trainer, distillation, projection

    def _train_trainer(self, texts: npt.NDArray[np.intp], labels: Tensor) -> tuple[float, Tensor]:
        """Take the trainer's step on B texts; return its loss, and its soft labels, (B, C)."""
        assert self.trainer
        objective = self.settings.objective
        tokens = self._tokens.batch(texts).to(self.device)
        logits = self.trainer(tokens)
        loss = objective.trainer_loss(logits, labels)
        self._trainer_optimiser.step(objective.trainer_weight * loss)
        soft_labels = objective.soft_labels(logits)
        if self._specialists:
            soft_labels = self._specialists.refine(
                tokens, labels, soft_labels, objective.temperature
            )
        return loss.item(), soft_labels

    @torch.no_grad()
    def _guess(self, batch: Batch) -> Tensor:
        """Predict the unlabelled texts of a batch as they stand: shape (U, C).

        The projection network does it, not the trainer: with few labels it is the one that is
        right more often, by far (docs/accuracy.md).
        """
        if not len(batch.unlabelled):
            return torch.empty(0)
        self.projection_network.eval()
        guesses: Tensor = self.projection_network(_values(batch.unlabelled, self.device))
        self.projection_network.train()
        return guesses.softmax(dim=1)

    def _shrink(self) -> None:
        """Take the group lasso's step, while it acts."""
        settings = self.settings.pruning
        unsettled = settings.unsettled_epochs(self.settings.epochs)
        if settings.group_lasso and len(self.history) <= unsettled:
            group_lasso.shrink(
                self.projection_network.first.weight,
                len(self.projection.kept),
                settings.group_lasso * self._projection_optimiser.rate,
            )

    def _accuracy(self, scores: npt.NDArray[np.float64]) -> float:
        return float(np.mean(scores.argmax(axis=1) == self._validation_labels))


def _values(bits: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """Read bits as the first layer's inputs, float32, on the device."""
    return torch.from_numpy(read(bits, np.float32)).to(device)
