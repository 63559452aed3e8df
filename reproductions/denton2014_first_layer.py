"""Denton et al. 2014 (arXiv:1404.0736), section 3.2: the monochromatic first layer.

Each filter of the first layer reads the image in one colour, its mix of the channels. Filters of
similar colours share one: C' colours for F filters.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from .denton2014 import equal_clusters
from .examples import coloured, load
from .shared import (
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
)

COLOURS = (4, 6, 8, 12, 24)
"""C', divisors of the layer's 24 filters; with 24 each filter has its own colour."""


def colours(weights: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Approximate each filter by a colour times an image, W_f ≈ c ⊗ v_f, with shared colours.

    W_f = U·S·Vᵀ, (C, XY), is cut to rank one. The colours U_f are clustered in ``count`` clusters
    of equal size; given its cluster's colour, of length 1, a filter's nearest image is cᵀ·W_f.

    Args:
        weights: shape (F, C, X, Y).
        count: C', a divisor of F.

    Returns:
        The colours, (C', C); the order of the filters by cluster, (F,); in that order their images,
        (F, 1, X, Y).
    """
    filters = weights.flatten(2)
    own = torch.linalg.svd(filters, full_matrices=False)[0][:, :, 0]
    # A colour and its negative are the same: let the greatest component be positive.
    greatest = own.gather(1, own.abs().argmax(dim=1, keepdim=True))
    own = own * greatest.sign()
    order = equal_clusters(own, count)
    shared = own[order].view(count, -1, own.shape[1]).mean(dim=1)
    shared = shared / shared.norm(dim=1, keepdim=True)
    of_filter = shared.repeat_interleave(len(order) // count, dim=0)
    images = torch.einsum("fc,fcp->fp", of_filter, filters[order])
    return shared, order, images.view(len(order), 1, *weights.shape[2:])


class Monochromatic(nn.Module):
    """The first layer as two: C' mixes of the channels, then filters that read one mix each."""

    def __init__(self, layer: nn.Conv2d, count: int) -> None:
        super().__init__()
        shared, order, images = colours(layer.weight.detach().double(), count)
        self.mix = kernel(shared[..., None, None])
        self.filters = kernel(images, groups=count, padding=layer.padding)
        self.outputs = torch.argsort(order)
        assert layer.bias is not None
        self.bias = nn.Parameter(layer.bias.detach().clone())

    def forward(self, values: Tensor) -> Tensor:
        """Map (B, C, N, M) to (B, F, N, M)."""
        filtered: Tensor = self.filters(self.mix(values))[:, self.outputs]
        return filtered + self.bias[:, None, None]


def main(
    data: str = "digits",
    file: Annotated[Path | None, typer.Option()] = None,
    epochs: int = 20,
    tuning: int = 5,
    seed: int = 0,
) -> Results:
    """Approximate the first layer of a network that reads images in three channels."""
    examples = load(data, file)
    if examples.shape[0] == 1:
        examples = coloured(examples)
    network = trained_convolutional(examples, epochs, seed)
    layer = convolution(network, 0)
    test, some = examples.test, examples.test.inputs[:256]
    whole = accuracy(predict(network, test.inputs), test.labels)
    rows: list[tuple[object, ...]] = [
        ("none", parameters(layer), "1.00 ×", "1.00 ×", 0.0, whole, "")
    ]
    for count in COLOURS:
        mono = Monochromatic(layer, count)
        changed = replaced(network, 0, mono)
        untuned = accuracy(predict(changed, test.inputs), test.labels)
        fit(changed, examples.train, tuning, seed, rate=1e-3)
        with torch.no_grad():
            lost = (layer(some) - mono(some)).square().sum() / layer(some).square().sum()
        saved = multiply_adds(layer, some[:1]) / multiply_adds(mono, some[:1])
        faster = milliseconds(layer, some) / milliseconds(mono, some)
        tuned = accuracy(predict(changed, test.inputs), test.labels)
        row = (f"C' = {count}", parameters(mono), f"{saved:.2f} ×", f"{faster:.2f} ×")
        rows.append((*row, 100 * float(lost), untuned, tuned))
    table = Table(
        f"The first layer in C' colours, {examples.name}",
        (
            "approximation",
            "weights of the layer",
            "multiply-adds saved, theory",
            "faster, measured",
            "lost of the outputs' energy, %",
            "top-1, untuned",
            "top-1, layers above tuned",
        ),
        rows,
        "Paper: the first layer of an ImageNet network, 96 filters of 7×7. Here: "
        f"{examples.name}, 24 filters of 5×5, {len(test):,} of test; only the first layer changes, "
        "and theory and time are of that layer, on one thread.",
    )
    return [table]


if __name__ == "__main__":
    run(main)
