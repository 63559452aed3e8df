"""Joint training: the trainer and the projection network, batch after batch.

One batch: the trainer reads the texts' tokens and takes a step on its own loss; the projection
network reads the bits of the same texts, some misspelt, some n-grams dropped, and takes a step on
the labels and on what the trainer predicts (objective.py). Further views of the batch, n-grams
dropped anew, give it further steps: it learns slower than the trainer, and a step costs it far
less.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model_training.data import TrainingData
from model_training.history import EpochRecord
from model_training.observed_ngrams import ObservedNgrams
from model_training.projection_network import ProjectionNetwork
from model_training.settings import Settings
from model_training.slips import slip
from model_training.trainers import Ensemble, TokenCorpus
from neuralbits.network import Network

_PROJECTED_AHEAD = 4096  # texts
_EVALUATED_AT_ONCE = 1024  # texts

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
        self.best: dict[str, Any] | None = None
        """The projection network's state after the epoch with the highest validation accuracy."""
        self.stop = False
        """Set it, from a signal handler say, to end the epoch under way by `Stopped`."""

        torch.manual_seed(settings.seed)
        self._generator = np.random.default_rng(settings.seed)
        self._labels = torch.from_numpy(data.label_indices(data.train))
        # Each text as it is, then each with a slip: text i + N is text i misspelt.
        random = Random(settings.seed)
        slipped = [slip(text, random) for text in data.train.texts]
        self._ngrams = ObservedNgrams(settings.projection, [*data.train.texts, *slipped])
        self._tokens = TokenCorpus(data.train.texts, settings.trainer.buckets)
        self._validation_texts = data.validation.texts
        self._validation_labels = data.label_indices(data.validation)
        self._validation_ngrams = ObservedNgrams(settings.projection, data.validation.texts)
        self.trainer = Ensemble(len(data.labels), settings.trainer).to(device)
        self.projection_network = ProjectionNetwork(
            settings.projection.bits, len(data.labels), settings.network
        ).to(device)

        # Batch normalisation needs two texts a batch.
        batches = min(math.ceil(len(data.train) / settings.batch_size), len(data.train) // 2)
        self._batch_count = batches
        self._trainer_optimiser = _Optimiser(
            self.trainer, settings.trainer_learning_rate, settings.epochs * batches
        )
        self._projection_optimiser = _Optimiser(
            self.projection_network,
            settings.projection_learning_rate,
            settings.epochs * batches * settings.views,
        )

    @property
    def finished(self) -> bool:
        """Whether every epoch has run."""
        return len(self.history) >= self.settings.epochs

    def run_epoch(self, progress: Progress) -> EpochRecord:
        """Train for one epoch, then measure both networks on the validation split.

        Raises:
            Stopped: `stop` was set; what the epoch did is not in `history` nor in `best`.
        """
        started = time.monotonic()
        self.trainer.train()
        self.projection_network.train()
        losses = []
        for done, texts, views in self._batches():
            if self.stop:
                raise Stopped
            losses.append(self._train_batch(texts, views))
            progress(done)
        trainer, distillation, projection = np.mean(losses, axis=0).tolist()
        objective = self.settings.objective
        record = EpochRecord(
            epoch=len(self.history) + 1,
            seconds=time.monotonic() - started,
            loss=objective.trainer_weight * trainer
            + objective.distillation_weight * distillation
            + objective.projection_weight * projection,
            trainer_loss=trainer,
            distillation_loss=distillation,
            projection_loss=projection,
            trainer_accuracy=self._accuracy(self.trainer.probabilities(self._validation_texts)),
            projection_accuracy=self._accuracy(
                self.validation_logits(self.projection_network.fold())
            ),
        )
        if record.projection_accuracy >= max(
            (earlier.projection_accuracy for earlier in self.history), default=0.0
        ):
            self.best = {
                name: value.clone() for name, value in self.projection_network.state_dict().items()
            }
        self.history.append(record)
        return record

    def best_network(self) -> Network:
        """Fold the best projection network so far into the form that the artifact holds."""
        if self.best is None:
            raise ValueError("no epoch has ended yet, so there is no network to keep")
        with torch.random.fork_rng(devices=[]):  # a look at it doesn't change how the run goes on
            best = ProjectionNetwork(
                self.settings.projection.bits,
                self.projection_network.intents,
                self.settings.network,
            )
        best.load_state_dict(self.best)
        return best.fold()

    def validation_logits(self, network: Network) -> npt.NDArray[np.float64]:
        """Return what a folded network makes of the validation split: logits, shape (N, C)."""
        texts = np.arange(len(self._validation_ngrams))
        parts = np.array_split(texts, math.ceil(len(texts) / _EVALUATED_AT_ONCE))
        return np.concatenate(
            [network.logits(self._validation_ngrams.project(part)) for part in parts]
        )

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs to go on as if nothing had happened."""
        return {
            "history": [dataclasses.asdict(record) for record in self.history],
            "best": self.best,
            "trainer": self.trainer.state_dict(),
            "projection_network": self.projection_network.state_dict(),
            "trainer_optimiser": self._trainer_optimiser.state(),
            "projection_optimiser": self._projection_optimiser.state(),
            "torch_generator": torch.get_rng_state(),
            "cuda_generators": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            "numpy_generator": self._generator.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.history = [EpochRecord(**record) for record in state["history"]]
        self.best = state["best"]
        self.trainer.load_state_dict(state["trainer"])
        self.projection_network.load_state_dict(state["projection_network"])
        self._trainer_optimiser.restore(state["trainer_optimiser"])
        self._projection_optimiser.restore(state["projection_optimiser"])
        torch.set_rng_state(state["torch_generator"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["cuda_generators"])
        self._generator.bit_generator.state = state["numpy_generator"]

    def _batches(
        self,
    ) -> Iterator[tuple[float, npt.NDArray[np.intp], list[npt.NDArray[np.uint8]]]]:
        """Yield for each batch the share of the epoch then done, its texts and its views.

        A thread projects what comes next while the networks learn from what came before.
        """
        order = self._generator.permutation(len(self._labels))
        batches = np.array_split(order, self._batch_count)
        together = max(1, _PROJECTED_AHEAD // self.settings.batch_size)
        groups = [batches[start : start + together] for start in range(0, len(batches), together)]

        def project(group: list[npt.NDArray[np.intp]]) -> list[list[npt.NDArray[np.uint8]]]:
            texts, ends = np.concatenate(group), np.cumsum([len(batch) for batch in group])[:-1]
            views = []
            for _ in range(self.settings.views):
                slipped = self._generator.random(len(texts)) < self.settings.slips
                bits = self._ngrams.project(
                    texts + len(order) * slipped, self.settings.ngram_dropout, self._generator
                )
                views.append(np.split(bits, ends))
            return views

        done = 0
        with ThreadPoolExecutor(max_workers=1) as executor:
            coming = executor.submit(project, groups[0])
            for group, following in zip_longest(groups, groups[1:]):
                views = coming.result()
                if following is not None:
                    coming = executor.submit(project, following)
                for batch, *batch_views in zip(group, *views, strict=True):
                    done += len(batch)
                    yield done / len(order), batch, batch_views

    def _train_batch(
        self, texts: npt.NDArray[np.intp], views: list[npt.NDArray[np.uint8]]
    ) -> tuple[float, float, float]:
        """Take the steps that one batch asks for; return the three losses, means over the views."""
        objective = self.settings.objective
        labels = self._labels[torch.from_numpy(texts)].to(self.device)
        trainer_logits = self.trainer(self._tokens.batch(texts).to(self.device))
        trainer_loss = objective.trainer_loss(trainer_logits, labels)
        self._trainer_optimiser.step(objective.trainer_weight * trainer_loss)

        soft_labels = objective.soft_labels(trainer_logits)
        distillation = projection = 0.0
        for view in views:
            logits = self.projection_network(_signs(view, self.device))
            distillation_loss = objective.distillation_loss(logits, soft_labels)
            projection_loss = objective.projection_loss(logits, labels)
            self._projection_optimiser.step(
                objective.distillation_weight * distillation_loss
                + objective.projection_weight * projection_loss
            )
            distillation += distillation_loss.item() / len(views)
            projection += projection_loss.item() / len(views)
        return trainer_loss.item(), distillation, projection

    def _accuracy(self, scores: npt.NDArray[np.float64]) -> float:
        return float(np.mean(scores.argmax(axis=1) == self._validation_labels))


class _Optimiser:
    """Adam with a learning rate that rises for a tenth of the run, then falls as a cosine."""

    def __init__(self, network: nn.Module, peak: float, steps: int) -> None:
        self._adam = torch.optim.Adam(network.parameters(), lr=peak, fused=True)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            # Of 10 steps, a tenth would be a rise without a length.
            self._adam,
            peak,
            total_steps=max(steps, 11),
            pct_start=0.1,
        )

    def step(self, loss: Tensor) -> None:
        """Take one step down the gradient of a scalar."""
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self._schedule.step()

    def state(self) -> dict[str, Any]:
        return {"adam": self._adam.state_dict(), "schedule": self._schedule.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self._adam.load_state_dict(state["adam"])
        self._schedule.load_state_dict(state["schedule"])


def _signs(bits: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """Turn bits, each 0 or 1, into what the projection network reads: -1 or 1, float32."""
    return torch.from_numpy(bits).to(device).float().mul_(2).sub_(1)
