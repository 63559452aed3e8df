"""Pretraining: a first layer that reproduces what a sentence encoder knows of a language.

A projection network learns from texts without labels to predict their embeddings. Of its hidden
units only the first k are used in each batch, k drawn at random, so that they are ordered by what
they explain (Matryoshka representations, Kusupati et al. 2022, arXiv:2205.13147).
"""

import hashlib
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neuralbits.network import read
from neuralbits.projection import Projection

from .loop.history import Observer
from .loop.optimiser import Optimiser
from .networks.base import Base
from .networks.projection_network import HiddenLayer
from .networks.sentence_encoder import SentenceEncoder
from .outputs import TrainingError
from .process import choose_device, repeatable
from .views.corpus import Dropping, NgramCorpus
from .views.typos import typo

_PROJECTED_AHEAD = 16  # batches


@dataclass(frozen=True)
class PretrainingSettings:
    """What decides, with the texts and the encoder, what a pretraining gives."""

    projection: Projection = field(default_factory=Projection)
    units: int = 256
    min_units: int = 32
    """The fewest of them that are used in a batch."""
    passes: int = 10
    """Over the texts."""
    min_steps: int = 2000
    batch_size: int = 128
    learning_rate: float = 2e-3
    similarity_weight: float = 1.0
    """Of the loss on the similarities of a batch's texts, beside that on their embeddings."""
    ngram_dropout: float = 0.4
    typo_rate: float = 0.2
    seed: int = 0


def run(
    settings: PretrainingSettings,
    texts: Sequence[str],
    encoder: str,
    output: Path,
    *,
    overwrite: bool = False,
    device: str = "auto",
    observer: Observer | None = None,
    stop: threading.Event | None = None,
) -> Base:
    """Embed the texts, make a base of them and write it.

    Args:
        settings: of the pretraining.
        texts: without labels; those that repeat count once.
        encoder: a folder or a name of a sentence encoder.
        output: where the base goes; the embeddings are kept beside it.
        overwrite: replace a file that this program didn't write.
        device: as for a training.
        observer: of the run, as if it were of one epoch.
        stop: once set, the run ends without a base.

    Raises:
        EncoderError: the encoder can't be loaded.
        TrainingError: it was stopped, or there are fewer than two texts.
    """
    texts = list(dict.fromkeys(texts))
    if len(texts) < 2:
        raise TrainingError("pretraining needs at least 2 different texts")
    chosen, observer = choose_device(device), observer or Observer()
    loaded = SentenceEncoder(encoder, output.with_name(f"{output.name}.embeddings"), chosen)

    def unless_stopped(report: Callable[[int, int], None]) -> Callable[[int, int], None]:
        def go_on(done: int, count: int) -> None:
            if stop and stop.is_set():
                raise TrainingError("stopped before there was a base")
            report(done, count)

        return go_on

    with repeatable(chosen):
        loaded.embed(texts, unless_stopped(observer.embed))
        observer.begin(1)
        steps = unless_stopped(lambda done, count: observer.advance(done / count))
        base = pretrain(settings, texts, loaded, chosen, steps)
    base.write(output, overwrite=overwrite)
    return base


def pretrain(
    settings: PretrainingSettings,
    texts: Sequence[str],
    encoder: SentenceEncoder,
    device: torch.device,
    progress: Callable[[int, int], None] = lambda done, steps: None,
) -> Base:
    """Train a base on texts of any domain.

    Args:
        settings: of the pretraining.
        texts: N ≥ 2 of them, without labels.
        encoder: whose embeddings are to be reproduced; those of the texts are cached by then.
        device: where the network lives.
        progress: called after each step with how many are done, of how many.
    """
    torch.manual_seed(settings.seed)
    generator, random = np.random.default_rng(settings.seed), Random(settings.seed)
    embeddings = encoder.embed(texts)
    ngrams = NgramCorpus(settings.projection, [*texts, *(typo(text, random) for text in texts)])
    network = _Network(settings, embeddings.shape[1]).to(device)
    batch_size = min(settings.batch_size, len(texts))
    steps = max(settings.min_steps, settings.passes * math.ceil(len(texts) / batch_size))
    optimiser = Optimiser(network, settings.learning_rate, steps)
    dropping = Dropping(0.0, settings.ngram_dropout, generator)
    for done in range(steps):
        if done % _PROJECTED_AHEAD == 0:
            rows = generator.integers(len(texts), size=(_PROJECTED_AHEAD, batch_size))
            misspelt = generator.random(rows.shape) < settings.typo_rate
            bits = ngrams.project((rows + len(texts) * misspelt).ravel(), dropping)
            values = torch.from_numpy(read(bits, np.float32)).view(*rows.shape, -1)
        place = done % _PROJECTED_AHEAD
        target = torch.from_numpy(embeddings[rows[place]]).to(device)
        units = int(generator.integers(settings.min_units, settings.units + 1))
        predicted = network(values[place].to(device), units)
        optimiser.step(_loss(predicted, target, settings.similarity_weight))
        progress(done + 1, steps)
    weights, offsets = network.hidden.linear.weight, network.hidden.offset
    return Base(
        settings.projection,
        weights.detach().cpu().numpy().astype(np.float16),
        offsets.detach().cpu().numpy().astype(np.float16),
        {
            "encoder": {"name": encoder.name, "sha256": encoder.sha256},
            "texts": {
                "count": len(texts),
                "sha256": hashlib.sha256("\n".join(texts).encode(errors="replace")).hexdigest(),
            },
            "seed": settings.seed,
        },
    )


class _Network(nn.Module):
    """A projection network's first layer, and a linear map to the embeddings."""

    def __init__(self, settings: PretrainingSettings, width: int) -> None:
        super().__init__()
        self.hidden = HiddenLayer(settings.projection.inputs, settings.units, "binary", "relu")
        self.output = nn.Linear(settings.units, width)

    def forward(self, values: Tensor, units: int) -> Tensor:
        """Predict embeddings, (B, E), from values, (B, I), by the first units alone."""
        hidden = self.hidden(values)[:, :units]
        return functional.linear(hidden, self.output.weight[:, :units], self.output.bias)


def _loss(predicted: Tensor, embeddings: Tensor, similarity_weight: float) -> Tensor:
    """Return how far predictions are from embeddings, both (B, E), and their similarities."""
    predicted = functional.normalize(predicted, dim=1)
    distance = 1 - (predicted * embeddings).sum(dim=1).mean()
    similarities = predicted @ predicted.T - embeddings @ embeddings.T
    return distance + similarity_weight * similarities.square().mean()
