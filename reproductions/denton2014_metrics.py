"""Denton et al. 2014 (arXiv:1404.0736), section 3.1: which weights matter, by three metrics.

The same truncated SVD of a convolution, nearest by the weights, by the outputs, and by the mistakes
that a change would make.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from .examples import Split, load
from .shared import (
    CONVOLUTIONS,
    Plot,
    Results,
    Table,
    accuracy,
    convolution,
    kernel,
    predict,
    replaced,
    run,
    trained_convolutional,
    truncated_svd,
)

SAMPLE = 256
"""Training examples that the metrics are estimated from."""
RANKS = (4, 8, 12, 16, 24)
METRICS = ("frobenius", "covariance", "mahalanobis")


def low_rank(
    layer: nn.Conv2d, rank: int, metric: str, network: nn.Sequential, split: Split
) -> nn.Module:
    """Approximate W, a matrix of XYC × F, by K filters and a 1×1 convolution under a metric.

    ``frobenius``: ‖W‖. ``covariance``: ‖Σ^½ W‖, Σ of the layer's input patches. ``mahalanobis``:
    ‖α ⊙ W‖, α² being the product of its marginals: an α of every element leaves no closed form.
    """
    weights = layer.weight.detach().double().flatten(1).T
    sample = split[torch.arange(min(SAMPLE, len(split)))]
    if metric == "covariance":
        below = inputs_of(network, layer, sample.inputs)
        down, across = (int(each) for each in layer.padding)
        patches = nn.functional.unfold(below, layer.kernel_size, padding=(down, across))
        rows = patches.transpose(1, 2).flatten(0, 1).double()
        covariance = rows.T @ rows / len(rows)
        values, vectors = torch.linalg.eigh(covariance)
        values = values.clamp(min=1e-6 * float(values.max()))
        root = vectors * values.sqrt() @ vectors.T
        left, right = truncated_svd(root @ weights, rank)
        left = vectors / values.sqrt() @ vectors.T @ left
    else:
        alpha = torch.ones_like(weights)
        if metric == "mahalanobis":
            alpha = dangerous_gradients(network, layer, sample).double().flatten(1).T
        # A weight that no example uses must still be defined after the division.
        alpha = alpha + 1e-6 * alpha.mean()
        scale_in, scale_out = alpha.mean(1).sqrt()[:, None], alpha.mean(0).sqrt()
        left, right = truncated_svd(scale_in * weights * scale_out, rank)
        left, right = left / scale_in, right / scale_out
    filters = kernel(left.T.reshape(rank, *layer.weight.shape[1:]), padding=layer.padding)
    mixed = kernel(right.T[..., None, None])
    mixed.bias = nn.Parameter(layer.bias.detach().clone()) if layer.bias is not None else None
    return nn.Sequential(filters, mixed)


def inputs_of(network: nn.Sequential, layer: nn.Module, inputs: Tensor) -> Tensor:
    """Return what a layer of the network reads."""
    below = list(network)[: list(network).index(layer)]
    return predict(nn.Sequential(*below), inputs)


def dangerous_gradients(
    network: nn.Sequential, layer: nn.Conv2d, split: Split, h: int = 3
) -> Tensor:
    """Return α² = Σ d², d the gradients of the h most dangerous mistakes: the shape of the weights.

    The mistakes are the h wrong classes of the highest scores; d is of score less right score.
    """
    name = f"{list(network).index(layer)}.weight"
    others = {key: value.detach() for key, value in network.named_parameters() if key != name}

    def leads(weight: Tensor, example: Tensor, label: Tensor, wrong: Tensor) -> Tensor:
        logits = functional_call(network, others | {name: weight}, (example[None],))[0]
        lead: Tensor = logits.gather(0, wrong[None])[0] - logits.gather(0, label[None])[0]
        return lead

    logits = predict(network, split.inputs)
    wrong = logits.scatter(1, split.labels[:, None], -torch.inf).topk(h).indices
    total = torch.zeros_like(layer.weight)
    for mistakes in wrong.T:
        each = vmap(grad(leads), (None, 0, 0, 0), chunk_size=32)
        total += (
            each(layer.weight.detach(), split.inputs, split.labels, mistakes).square().sum(dim=0)
        )
    return total


def main(
    data: str = "digits",
    file: Annotated[Path | None, typer.Option()] = None,
    epochs: int = 20,
    seed: int = 0,
) -> Results:
    """Approximate the second convolution at several ranks under each metric, without tuning."""
    examples = load(data, file)
    network = trained_convolutional(examples, epochs, seed)
    place = CONVOLUTIONS[1]
    layer = convolution(network, place)
    whole = accuracy(predict(network, examples.test.inputs), examples.test.labels)
    rows: list[tuple[object, ...]] = []
    for rank in RANKS:
        changed = (
            replaced(network, place, low_rank(layer, rank, metric, network, examples.train))
            for metric in METRICS
        )
        found = [
            accuracy(predict(each, examples.test.inputs), examples.test.labels) for each in changed
        ]
        rows.append((rank, *found))
    table = Table(
        f"Truncated SVD of the second convolution, not tuned, {examples.name}",
        ("rank K", *METRICS),
        rows,
        f"Top-1; the network itself has {whole:.1f}. Paper: both data-dependent metrics lose less "
        f"than the Frobenius norm. Here: {examples.name}, the metrics from {SAMPLE} examples.",
    )
    curves = {
        metric: [(float(row[0]), float(row[1 + column])) for row in rows]  # type: ignore[arg-type]
        for column, metric in enumerate(METRICS)
    }
    return [table, Plot("metrics", "rank K", "test accuracy, %", curves)]


if __name__ == "__main__":
    run(main)
