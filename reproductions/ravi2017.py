"""Ravi 2017, "ProjectionNet" (arXiv:1708.00630): images by projection, and how many bits they need.

A projection network reads T·d bits of an image. It learns beside a full network, the trainer, which
is not needed afterwards. The paper's figures are those of its table on MNIST.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import Annotated

import mmh3
import numpy as np
import torch
import typer
from torch import Tensor, nn

from neuralbits.model_training.networks.losses import Objective
from neuralbits.projection import random_words

from .examples import Examples, load
from .shared import (
    Plot,
    Results,
    Table,
    accuracy,
    convolutional,
    feed_forward,
    minimise,
    parameters,
    predict,
    run,
)

TRAINER_WIDTHS = (1000, 1000, 1000)
"""With biases, 2,797,010 parameters on MNIST: the numerator of the paper's compression ratios."""


@dataclass(frozen=True)
class Shape:
    """T functions of d bits, hidden units, what is projected, and the paper's accuracy on MNIST."""

    functions: int
    dimensions: int
    hidden: tuple[int, ...] = ()
    layer: int = 0
    """0 for the pixels, or the hidden layer of the trainer whose activations are projected."""
    paper: float | None = None

    @property
    def bits(self) -> int:
        """T·d."""
        return self.functions * self.dimensions

    def __str__(self) -> str:
        name = f"T = {self.functions}, d = {self.dimensions}"
        name += "".join(f", + {units} units" for units in self.hidden)
        return name + (f", of hidden layer {self.layer}" if self.layer else "")


SHAPES = (
    Shape(8, 10, paper=70.6),
    Shape(10, 12, paper=76.9),
    Shape(20, 12),
    Shape(40, 12),
    Shape(60, 10, paper=91.1),
    Shape(60, 12, paper=92.3),
    Shape(60, 10, (128,), paper=96.3),
    Shape(60, 12, (256,), paper=96.9),
    Shape(70, 12, (256,), paper=97.1),
    Shape(60, 12, layer=1),
    Shape(60, 12, layer=2),
    Shape(60, 12, layer=3),
)


def projection_vectors(inputs: int, bits: int, seed: int) -> Tensor:
    """Draw P, shape (bits, inputs), each element normal: by hashing an input's index, never stored.

    The words of the hash become normal numbers by Box and Muller's transform, so that each vector's
    direction is uniform, which Theorem 1 asks for.
    """
    hashes = [mmh3.hash(f"input {index}", seed, signed=False) for index in range(inputs)]
    words = random_words(np.array(hashes, dtype=np.uint32), 2 * bits).astype(np.float64)
    uniform = (words + 0.5) / 2**32
    radius, angle = np.sqrt(-2 * np.log(uniform[:, :bits])), 2 * pi * uniform[:, bits:]
    return torch.from_numpy((radius * np.cos(angle)).T.astype(np.float32))


def project(inputs: Tensor, vectors: Tensor) -> Tensor:
    """Return the bits [⟨x, P_k⟩ > 0] of real vectors, (N, inputs), as −1 and 1: (N, bits).

    Theorem 1: for two vectors at an angle θ, a bit differs with probability θ/π.
    """
    return torch.where(inputs.flatten(1) @ vectors.T > 0, 1.0, -1.0)


class ProjectionNet(nn.Module):
    """T·d bits in, logits out; without hidden units a softmax over the bits, as in the paper."""

    def __init__(self, inputs: int, classes: int, shape: Shape, seed: int) -> None:
        super().__init__()
        self.register_buffer("vectors", projection_vectors(inputs, shape.bits, seed))
        self.network = feed_forward(shape.bits, shape.hidden, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map real vectors, (B, inputs), to logits, (B, classes)."""
        logits: Tensor = self.network(project(inputs, self.get_buffer("vectors")))
        return logits


def activations(trainer: nn.Sequential, inputs: Tensor) -> list[Tensor]:
    """Return what each layer of the trainer reads, its inputs first; its logits last."""
    outputs = [inputs]
    for layer in trainer:
        value = layer(outputs[-1])
        # One entry a layer that learns: the value behind the ReLU, and before it at the end.
        if isinstance(layer, nn.Linear | nn.Conv2d):
            outputs.append(value)
        else:
            outputs[-1] = value
    return outputs


def train_jointly(
    trainer: nn.Sequential,
    nets: Sequence[tuple[Shape, nn.Module]],
    data: Examples,
    epochs: int,
    seed: int,
) -> None:
    """Minimise L = λ1·D(h_θ, y) + λ2·D(h_p, h_θ) + λ3·D(h_p, y) (section 3.2), λ = (1, 0.1, 1).

    No gradient of the second term reaches the trainer, so one trainer teaches all projection
    networks at once, and each becomes what it would have become alone.
    """
    objective = Objective()

    def loss(batch: Tensor) -> Tensor:
        labels = data.train.labels[batch]
        layers = activations(trainer, data.train.inputs[batch])
        logits = layers[-1][None]
        total = objective.trainer_weight * objective.trainer_loss(logits, labels)
        soft_labels = objective.soft_labels(logits)
        for shape, net in nets:
            predicted = net(layers[shape.layer].detach())
            total = total + objective.distillation_weight * objective.distillation_loss(
                predicted, soft_labels
            )
            total = total + objective.projection_weight * objective.projection_loss(
                predicted, labels
            )
        return total

    trained = [
        each for network in (trainer, *(net for _, net in nets)) for each in network.parameters()
    ]
    minimise(loss, trained, len(data.train), epochs, seed, rate=1e-3)


def compare(
    trainer: nn.Sequential, shapes: tuple[Shape, ...], data: Examples, epochs: int, seed: int
) -> list[tuple[float, ...]]:
    """Train a trainer and projection networks of these shapes.

    Returns:
        For the trainer, and then for each shape: parameters, top-1 and top-3 accuracy on the test.
    """
    with torch.no_grad():
        widths = [layer[0].numel() for layer in activations(trainer, data.train.inputs[:1])]
    nets = [(s, ProjectionNet(widths[s.layer], data.classes, s, seed)) for s in shapes]
    train_jointly(trainer, nets, data, epochs, seed)
    with torch.no_grad():
        layers = activations(trainer.eval(), data.test.inputs)
    measured = []
    for network, logits, below in [
        (trainer, layers[-1], 0),
        *((net, predict(net, layers[shape.layer]), shape.layer) for shape, net in nets),
    ]:
        # What reads a hidden layer needs the trainer's layers below it, too.
        needed = sum(map(parameters, list(trainer)[: 2 * below + 1])) if below else 0
        top = (accuracy(logits, data.test.labels, k) for k in (1, 3))
        measured.append((parameters(network) + needed, *top))
    return measured


def main(
    data: str = "digits",
    file: Annotated[Path | None, typer.Option()] = None,
    epochs: int = 20,
    seeds: int = 1,
) -> Results:
    """Train projection networks of 80 to 840 bits beside two trainers."""
    examples = load(data, file)
    pixels = examples.train.inputs[0].numel()
    rows: list[tuple[object, ...]] = []
    curves = {}
    of_pixels = tuple(shape for shape in SHAPES if shape.layer == 0)
    for name, shapes in (("feed-forward", SHAPES), ("convolutional", of_pixels)):
        runs = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            trainer = (
                feed_forward(pixels, TRAINER_WIDTHS, examples.classes)
                if name == "feed-forward"
                else convolutional(examples)
            )
            runs.append(compare(trainer, shapes, examples, epochs, seed))
        whole, *nets = torch.tensor(runs).mean(dim=0).tolist()
        rows.append(
            (name, "the trainer", "", int(whole[0]), "1.0 ×", "", whole[1], whole[2], "1.000")
        )
        for shape, (size, first, third) in zip(shapes, nets, strict=True):
            paper = shape.paper if shape.paper and name == "feed-forward" else ""
            sizes = (shape.bits, int(size), f"{whole[0] / size:,.1f} ×", paper)
            rows.append((name, str(shape), *sizes, first, third, f"{first / whole[1]:.3f}"))
        curves[f"{name} trainer"] = [
            (shape.bits, net[1] / whole[1])
            for shape, net in zip(shapes, nets, strict=True)
            if not shape.hidden and not shape.layer
        ]
    table = Table(
        f"Images by projection, {examples.name}",
        ("trainer", "projection network", "bits", "parameters", "compression", "paper, MNIST",
         "top-1", "top-3", "ratio of top-1 to the trainer's"),
        rows,
        f"Paper: MNIST, 60,000 images to learn from. Here: {examples.name}, "
        f"{len(examples.train):,} to learn from, {len(examples.test):,} of test, mean of {seeds} "
        "seed(s). The hidden layers' rows count the trainer's layers that they need.",
    )  # fmt: skip
    return [table, Plot("bits", "neural bits", "ratio of accuracies", curves)]


if __name__ == "__main__":
    run(main)
