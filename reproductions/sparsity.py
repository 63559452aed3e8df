"""Pruning by sensitivity, and regularisation to sparsity, on the convolutional network.

Han et al. 2015 (arXiv:1506.02626): the smallest weights of a layer become 0, a layer that is less
sensitive loses more of them, and what is left is trained further. Beside it a penalty λ·Σ|w| that
draws weights to 0 during training.
"""

import copy
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional

from .examples import Examples, Split, load
from .shared import (
    Plot,
    Results,
    Table,
    accuracy,
    convolutional,
    minimise,
    predict,
    run,
    trained_convolutional,
)

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
LOSS = 1.0
"""A layer is pruned by the greatest share that costs at most so many points on validation data."""
PENALTIES = (0.05, 0.1, 0.2)


def layers(network: nn.Sequential) -> list[nn.Conv2d | nn.Linear]:
    """Return the layers that have weights."""
    return [each for each in network if isinstance(each, nn.Conv2d | nn.Linear)]


def kept(weights: Tensor, share: float) -> Tensor:
    """Return 1 for the weights that stay and 0 for the share of them with the least magnitude."""
    count = round(share * weights.numel())
    order = weights.detach().abs().flatten().argsort()
    mask = torch.ones(weights.numel())
    mask[order[:count]] = 0
    return mask.view_as(weights)


def pruned(network: nn.Sequential, shares: list[float]) -> tuple[nn.Sequential, list[Tensor]]:
    """Return a copy with the least weights of each layer at 0, and the masks of those that stay."""
    changed = copy.deepcopy(network)
    masks = [
        kept(layer.weight, share) for layer, share in zip(layers(changed), shares, strict=True)
    ]
    for layer, mask in zip(layers(changed), masks, strict=True):
        layer.weight.data.mul_(mask)
    return changed, masks


def sensitivity(network: nn.Sequential, split: Split) -> list[list[float]]:
    """Return the accuracy with one layer pruned by each of `SHARES`, all others whole: by layer."""
    count = len(layers(network))
    curves = []
    for layer in range(count):
        alone = [[share if each == layer else 0.0 for each in range(count)] for share in SHARES]
        found = [predict(pruned(network, shares)[0], split.inputs) for shares in alone]
        curves.append([accuracy(logits, split.labels) for logits in found])
    return curves


def train_sparse(
    network: nn.Sequential,
    split: Split,
    epochs: int,
    seed: int,
    masks: list[Tensor],
    penalty: float = 0.0,
) -> None:
    """Train what the masks keep, on the cross-entropy and λ·Σ|w|; a pruned weight stays 0.

    The penalty is a proximal step after each of the optimiser's, w ← sign(w)·max(|w| − rate·λ, 0):
    its gradient would leave no weight at 0.
    """
    network.train()
    rate = 1e-3

    @torch.no_grad()
    def shrink() -> None:
        for layer, mask in zip(layers(network), masks, strict=True):
            size = (layer.weight.abs() - rate * penalty).clamp(min=0)
            layer.weight.copy_(mask * layer.weight.sign() * size)

    def loss(batch: Tensor) -> Tensor:
        shrink()
        return functional.cross_entropy(network(split.inputs[batch]), split.labels[batch])

    minimise(loss, list(network.parameters()), len(split), epochs, seed, rate)
    shrink()


def zeros(network: nn.Sequential) -> float:
    """Return how many per cent of the weights are 0."""
    weights = torch.cat([layer.weight.detach().flatten() for layer in layers(network)])
    return 100 * float((weights == 0).float().mean())


def main(
    data: str = "digits",
    file: Annotated[Path | None, typer.Option()] = None,
    epochs: int = 20,
    tuning: int = 5,
    seed: int = 0,
) -> Results:
    """Measure the layers' sensitivity, prune by it and train on; and train with penalties."""
    examples: Examples = load(data, file)
    network = trained_convolutional(examples, epochs, seed)
    train, validation, test = examples.train, examples.validation, examples.test
    names = [f"{type(each).__name__} {number + 1}" for number, each in enumerate(layers(network))]
    curves = sensitivity(network, validation)

    def correct(changed: nn.Sequential) -> float:
        return accuracy(predict(changed, test.inputs), test.labels)

    chosen = [
        max(s for s, found in zip(SHARES, curve, strict=True) if found >= curve[0] - LOSS)
        for curve in curves
    ]
    by_sensitivity, masks = pruned(network, chosen)
    rows: list[tuple[object, ...]] = [("none", 0.0, correct(network), "")]
    share = zeros(by_sensitivity) / 100
    alike, alike_masks = pruned(network, [share] * len(names))
    for name, changed, kept_weights in (
        (f"by sensitivity: {', '.join(f'{each:.0%}' for each in chosen)}", by_sensitivity, masks),
        ("the same share of every layer", alike, alike_masks),
    ):
        before = correct(changed)
        train_sparse(changed, train, tuning, seed, kept_weights)
        rows.append((name, zeros(changed), before, correct(changed)))
    whole = [torch.ones_like(layer.weight) for layer in layers(network)]
    for penalty in PENALTIES:
        torch.manual_seed(seed)
        sparse = convolutional(examples)
        train_sparse(sparse, train, epochs, seed, whole, penalty=penalty)
        rows.append((f"penalty λ = {penalty:g}", zeros(sparse), correct(sparse), ""))
    sensitivity_rows: list[tuple[object, ...]] = [
        (name, *curve) for name, curve in zip(names, curves, strict=True)
    ]
    return [
        Table(
            f"Sensitivity, {examples.name}",
            ("layer", *(f"{share:.0%}" for share in SHARES)),
            sensitivity_rows,
            "Validation accuracy with that share of one layer's weights at 0, without training on.",
        ),
        Table(
            f"Pruned, {examples.name}",
            ("weights at 0", "% of all", "top-1", "top-1, trained on"),
            rows,
            "Paper: nine of ten weights of AlexNet, without loss. Here: "
            f"{examples.name}, {len(test):,} of test; by sensitivity, a layer loses the share that "
            f"costs at most {LOSS:g} point of validation accuracy.",
        ),
        Plot(
            "sensitivity",
            "share of the layer's weights at 0",
            "validation accuracy, %",
            {
                name: list(zip(SHARES, curve, strict=True))
                for name, curve in zip(names, curves, strict=True)
            },
        ),
    ]


if __name__ == "__main__":
    run(main)
