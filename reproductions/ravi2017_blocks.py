"""Ravi 2017, "ProjectionNet" (arXiv:1708.00630): binary against integer blocks, on the same bits.

The d bits of a projection function are read as d inputs, which asks for O(T·d) parameters, or as
one whole number, which looks up one of 2^d rows: O(T·2^d) parameters, T additions instead of T·d.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from .examples import load
from .ravi2017 import ProjectionNet, Shape, project, projection_vectors, train_jointly
from .shared import Plot, Results, Table, accuracy, feed_forward, parameters, predict, run

BITS = 480
DIMENSIONS = (1, 2, 4, 6, 8)
"""d; T is BITS / d, so that every row of the table reads the same number of bits."""


def block_numbers(bits: Tensor, functions: int) -> Tensor:
    """Read each function's d bits, −1 and 1, as a number below 2^d: (N, T·d) to (N, T)."""
    blocks = (bits > 0).view(len(bits), functions, -1).long()
    return (blocks * 2 ** torch.arange(blocks.shape[2])).sum(dim=2)


class BlockNet(nn.Module):
    """The numbers of T blocks in, logits out: the sum of a learnt row for each, and a bias."""

    def __init__(self, inputs: int, classes: int, shape: Shape, seed: int) -> None:
        super().__init__()
        self.register_buffer("vectors", projection_vectors(inputs, shape.bits, seed))
        self.shape = shape
        self.rows = nn.Parameter(torch.zeros(shape.functions * 2**shape.dimensions, classes))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map real vectors, (B, inputs), to logits, (B, classes)."""
        numbers = block_numbers(project(inputs, self.get_buffer("vectors")), self.shape.functions)
        first = torch.arange(self.shape.functions) * 2**self.shape.dimensions
        return nn.functional.embedding_bag(numbers + first, self.rows, mode="sum") + self.bias


def main(
    data: str = "digits",
    file: Annotated[Path | None, typer.Option()] = None,
    epochs: int = 20,
    seeds: int = 3,
) -> Results:
    """Compare both readings of 480 bits, beside a small feed-forward trainer."""
    examples = load(data, file)
    pixels = examples.train.inputs[0].numel()
    shapes = [Shape(BITS // dimensions, dimensions) for dimensions in DIMENSIONS]
    sizes, measured = {}, []
    for seed in range(seeds):
        torch.manual_seed(seed)
        nets: list[tuple[Shape, nn.Module]] = [
            (shape, kind(pixels, examples.classes, shape, seed))
            for shape in shapes
            for kind in (ProjectionNet, BlockNet)
        ]
        trainer = feed_forward(pixels, (128,), examples.classes)
        train_jointly(trainer, nets, examples, epochs, seed)
        measured.append(
            [accuracy(predict(n, examples.test.inputs), examples.test.labels) for _, n in nets]
        )
        sizes = {(str(shape), type(net).__name__): parameters(net) for shape, net in nets}
    means = torch.tensor(measured).mean(dim=0).view(-1, 2).tolist()
    rows: list[tuple[object, ...]] = [
        (
            str(shape),
            sizes[str(shape), "ProjectionNet"],
            bits,
            sizes[str(shape), "BlockNet"],
            blocks,
        )
        for shape, (bits, blocks) in zip(shapes, means, strict=True)
    ]
    table = Table(
        f"480 bits, read one by one and in blocks, {examples.name}",
        ("shape", "parameters, T·d", "top-1", "parameters, T·2^d", "top-1"),
        rows,
        f"The paper states both sizes, and no figure on images for blocks. Here: {examples.name}, "
        f"{len(examples.train):,} to learn from, {len(examples.test):,} of test, mean of {seeds} "
        "seed(s). With d = 1 both are the same class of functions.",
    )
    curves = {
        label: [(d, mean[place]) for d, mean in zip(DIMENSIONS, means, strict=True)]
        for place, label in enumerate(("bits, O(T·d)", "blocks, O(T·2^d)"))
    }
    return [table, Plot("blocks", "d, bits a block (T·d = 480)", "test accuracy, %", curves)]


if __name__ == "__main__":
    run(main)
