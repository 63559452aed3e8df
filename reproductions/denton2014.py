"""Denton et al. 2014 (arXiv:1404.0736): convolutions approximated in biclusters, then tuned.

A layer's weights W, of F outputs, C inputs and X × Y places, are cut into G × H blocks of similar
inputs and outputs; each block becomes a product of small factors. The layers above are then tuned.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from .examples import load
from .shared import (
    CONVOLUTIONS,
    Results,
    Table,
    accuracy,
    convolution,
    fit,
    kernel,
    milliseconds,
    multiply_adds,
    parameters,
    predict,
    replaced,
    run,
    trained_convolutional,
    truncated_svd,
)

GROUPS = (2, 2)
"""G clusters of input channels, H of output channels."""
RANKS = (6, 10)
"""K1 and K2 of a block's SVD; K of its outer products gives the same number of parameters."""


def equal_clusters(vectors: Tensor, groups: int, seed: int = 0) -> Tensor:
    """Cluster vectors, (n, …), by k-means with clusters of equal size: return their order, (n,).

    Place i of the order belongs to cluster i // (n / groups). The centres get their vectors by the
    assignment of least total distance.
    """
    points = vectors.flatten(1)
    size = len(points) // groups
    random = torch.Generator().manual_seed(seed)
    centres = points[torch.randperm(len(points), generator=random)[:groups]]
    for _ in range(10):
        costs = torch.cdist(points, centres).square().repeat_interleave(size, dim=1)
        order = torch.from_numpy(np.argsort(linear_sum_assignment(costs.numpy())[1]))
        centres = points[order].view(groups, size, -1).mean(dim=1)
    return order


def block_svd(block: Tensor, rank_in: int, rank_out: int) -> tuple[Tensor, Tensor, Tensor]:
    """Approximate a block, (C, XY, F), by two SVDs: (C, K1), (K1, XY, K2), (K2, F)."""
    inputs, places, outputs = block.shape
    first, rest = truncated_svd(block.reshape(inputs, -1), rank_in)
    middle, last = truncated_svd(rest.reshape(-1, outputs), rank_out)
    return first, middle.view(rank_in, places, rank_out), last


def outer_products(block: Tensor, rank: int, refine: bool, sweeps: int = 30) -> list[Tensor]:
    """Approximate a block by a sum of K outer products α ⊗ β ⊗ γ: (C, K), (XY, K), (F, K).

    Greedily, as in the paper: W ← W − α ⊗ β ⊗ γ, each the best of rank one of its rest. With
    ``refine``, alternating least squares then moves all K at once, which never makes it worse.
    """
    factors = [torch.empty(size, 0, dtype=block.dtype) for size in block.shape]
    rest = block
    for _ in range(rank):
        ones = [
            torch.linalg.svd(_unfold(rest, axis), full_matrices=False)[0][:, :1]
            for axis in range(3)
        ]
        ones = _alternate(rest, ones, sweeps=8)
        factors = [torch.cat(pair, dim=1) for pair in zip(factors, ones, strict=True)]
        rest = block - torch.einsum("ck,pk,fk->cpf", *factors)
    return _alternate(block, factors, sweeps) if refine else factors


def _unfold(block: Tensor, axis: int) -> Tensor:
    return block.movedim(axis, 0).flatten(1)


def _alternate(block: Tensor, factors: list[Tensor], sweeps: int) -> list[Tensor]:
    """Solve for one factor at a time, the other two as they are."""
    for _ in range(sweeps):
        for axis in range(3):
            one, two = (factor for place, factor in enumerate(factors) if place != axis)
            products = torch.einsum("ak,bk->abk", one, two).flatten(0, 1)
            solution = torch.linalg.lstsq(products, _unfold(block, axis).T, driver="gelsd").solution
            factors[axis] = solution.T
    return factors


class Biclustered(nn.Module):
    """A convolution as three: 1×1 within clusters of inputs, X×Y within blocks, 1×1 to the outputs.

    By SVD it has G·H·(K1·C/G + K1·XY·K2 + K2·F/H) weights, by outer products
    G·H·K·(C/G + XY + F/H).

    Args:
        layer: the convolution to approximate.
        method: ``svd``, ``greedy`` or ``als``.
    """

    def __init__(self, layer: nn.Conv2d, method: str) -> None:
        super().__init__()
        weights = layer.weight.detach().double()
        outputs, inputs, height, width = weights.shape
        (g, h), places = GROUPS, height * width
        self.inputs = equal_clusters(weights.movedim(1, 0), g)
        order = equal_clusters(weights, h)
        self.outputs = torch.argsort(order)
        blocks = weights[order][:, self.inputs].view(h, outputs // h, g, inputs // g, places)
        k1, k2 = RANKS
        svd_size = k1 * inputs // g + k1 * places * k2 + k2 * outputs // h
        k = round(svd_size / (inputs // g + places + outputs // h))
        first, middle, last = [], [], []
        for out in range(h):
            for into in range(g):
                block = blocks[out, :, into].permute(1, 2, 0)  # (C/G, XY, F/H)
                if method == "svd":
                    a, b, c = block_svd(block, k1, k2)
                    middle.append(b.permute(2, 0, 1))
                else:
                    a, b, c = outer_products(block, k, refine=method == "als")
                    middle.append(b.T[:, None])
                    c = c.T
                first.append(a.T)
                last.append(c.T)
        rank_in = first[0].shape[0]
        self.channels = (g, h, rank_in)
        # Channels leave the first convolution by input cluster; the last reads them by output.
        by_input = [first[out * g + into] for into in range(g) for out in range(h)]
        by_output = [torch.cat(last[out * g : out * g + g], dim=1) for out in range(h)]
        self.reduce = kernel(torch.cat(by_input)[..., None, None], groups=g)
        filters = torch.cat(middle)
        blocks_or_filters = g * h if method == "svd" else len(filters)
        self.convolve = kernel(
            filters.view(*filters.shape[:2], height, width), blocks_or_filters, layer.padding
        )
        self.expand = kernel(torch.cat(by_output)[..., None, None], groups=h)
        assert layer.bias is not None
        self.bias = nn.Parameter(layer.bias.detach().clone())

    def forward(self, values: Tensor) -> Tensor:
        """Map (B, C, N, M) to (B, F, N, M)."""
        g, h, rank = self.channels
        reduced = self.reduce(values[:, self.inputs])
        by_block = reduced.view(-1, g, h, rank, *values.shape[2:]).transpose(1, 2).flatten(1, 3)
        mixed: Tensor = self.expand(self.convolve(by_block))[:, self.outputs]
        return mixed + self.bias[:, None, None]


def main(
    data: str = "digits",
    file: Annotated[Path | None, typer.Option()] = None,
    epochs: int = 20,
    tuning: int = 5,
    seed: int = 0,
) -> Results:
    """Approximate the second convolution; then the second and the third, tuning what lies above."""
    examples = load(data, file)
    network = trained_convolutional(examples, epochs, seed)
    one, some = examples.test.inputs[:1], examples.test.inputs[:256]
    second, third = CONVOLUTIONS[1:]

    def measured(
        changed: nn.Sequential, name: str, before: nn.Sequential | None = None
    ) -> tuple[object, ...]:
        logits = predict(changed, examples.test.inputs)
        untuned = (
            ""
            if before is None
            else accuracy(predict(before, examples.test.inputs), examples.test.labels)
        )
        ratio = multiply_adds(network, one) / multiply_adds(changed, one)
        faster = milliseconds(network, some) / milliseconds(changed, some)
        weights = sum(parameters(changed[place]) for place in CONVOLUTIONS)
        return (
            name,
            weights,
            f"{ratio:.2f} ×",
            f"{faster:.2f} ×",
            untuned,
            accuracy(logits, examples.test.labels),
        )

    rows = [measured(network, "none")]
    for method, name in (
        ("svd", "SVD"),
        ("greedy", "outer products, greedy"),
        ("als", "outer products, ALS"),
    ):
        low = replaced(network, second, Biclustered(convolution(network, second), method))
        tuned = replaced(low, second, low[second])
        fit(tuned, examples.train, tuning, seed, rate=1e-3)
        rows.append(measured(tuned, f"{name}, second layer", low))
        # Layer by layer (section 4): the third is approximated after it was tuned to the second.
        high = replaced(tuned, third, Biclustered(convolution(tuned, third), method))
        tuned = replaced(high, third, high[third])
        fit(tuned, examples.train, tuning, seed, rate=1e-3)
        rows.append(measured(tuned, f"{name}, second and third", high))
    table = Table(
        f"Biclusters of {GROUPS[0]} × {GROUPS[1]}, {examples.name}",
        ("approximation", "weights of the convolutions", "multiply-adds saved, theory",
         "faster, measured", "top-1, untuned", "top-1, layers above tuned"),
        rows,
        "Paper: convolutions of an ImageNet network about 2 × faster, within 1 % of its accuracy. "
        f"Here: {examples.name}, a network of three convolutions, {len(examples.test):,} of test, "
        "one thread, batches of 256. Multiply-adds and times are of the whole network.",
    )  # fmt: skip
    return [table]


if __name__ == "__main__":
    run(main)
