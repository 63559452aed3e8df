"""Jaderberg et al. 2014 (arXiv:1405.3866): convolutions by separable filters, two schemes.

A filter of d×d becomes a column of d×1 and a row of 1×d. The first layer stays as it is; the layers
above are approximated one after another, from the filters alone or from what they compute.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from .denton2014 import outer_products
from .examples import Split, load
from .shared import (
    CONVOLUTIONS,
    Plot,
    Results,
    Table,
    accuracy,
    convolution,
    kernel,
    milliseconds,
    minimise,
    multiply_adds,
    predict,
    replaced,
    run,
    trained_convolutional,
    truncated_svd,
)

BASES = (1, 2, 4)
"""M of scheme 1."""
CHANNELS = (5, 10, 20)
"""K of scheme 2."""
SAMPLE = 1000
"""Training images that data reconstruction sees."""


def with_bias(last: nn.Conv2d, layer: nn.Conv2d) -> nn.Conv2d:
    """Give the last factor the bias of the layer that it replaces."""
    assert layer.bias is not None
    last.bias = nn.Parameter(layer.bias.detach().clone())
    return last


def scheme_1(layer: nn.Conv2d, bases: int) -> nn.Sequential:
    """Give each input channel M separable filters, of which every output is a sum (scheme 1).

    W_f^c ≈ Σ_m a_f^cm · v^cm * h^cm, by filter reconstruction: for each channel c the least squares
    over a, v and h, an outer-product decomposition of (d, d, F). A place costs 2·d·M·C + M·C·F
    multiplications instead of d²·C·F.
    """
    weights = layer.weight.detach().double()  # (F, C, d, d)
    columns, rows, mixes = [], [], []
    for channel in range(weights.shape[1]):
        column, row, mix = outer_products(weights[:, channel].permute(1, 2, 0), bases, refine=True)
        size = (column.norm(dim=0) * row.norm(dim=0)).clamp(min=1e-12).sqrt()
        columns.append((column / column.norm(dim=0).clamp(min=1e-12) * size).T)
        rows.append((row / row.norm(dim=0).clamp(min=1e-12) * size).T)
        mixes.append(mix)
    down, across = (int(each) for each in layer.padding)
    depth = weights.shape[1]
    return nn.Sequential(
        kernel(torch.cat(columns)[:, None, :, None], groups=depth, padding=(down, 0)),
        kernel(torch.cat(rows)[:, None, None, :], groups=depth * bases, padding=(0, across)),
        with_bias(kernel(torch.cat(mixes, dim=1)[..., None, None]), layer),
    )


def scheme_2(layer: nn.Conv2d, channels: int) -> nn.Sequential:
    """Go through K channels: columns d×1 from C to K, rows 1×d from K to F (scheme 2).

    W_f^c ≈ Σ_k h_f^k * v_k^c. Filter reconstruction is the SVD of W as a matrix of (C, d) × (d, F):
    with K = min(C·d, d·F) nothing is lost. A place costs d·K·(C + F) multiplications.
    """
    outputs, inputs, height, width = layer.weight.shape
    weights = layer.weight.detach().double().permute(1, 2, 3, 0).flatten(2).flatten(0, 1)
    left, right = truncated_svd(weights, channels)  # (C·d, K), (K, d·F)
    columns = left.T.reshape(-1, inputs, height, 1)
    rows = right.view(-1, width, outputs).permute(2, 0, 1)[:, :, None]
    down, across = (int(each) for each in layer.padding)
    return nn.Sequential(
        kernel(columns, padding=(down, 0)),
        with_bias(kernel(rows, padding=(0, across)), layer),
    )


def reconstruct(
    factors: nn.Module, inputs: Tensor, targets: Tensor, epochs: int, seed: int
) -> None:
    """Minimise E‖targets − factors(inputs)‖² by descent: data reconstruction.

    Args:
        factors: begin at the filter reconstruction.
        inputs: what the layer reads in the network whose lower layers are approximated already.
        targets: what the layer gave in the original network.
        epochs: how often each example is seen.
        seed: of their order.
    """

    def loss(batch: Tensor) -> Tensor:
        error: Tensor = targets[batch] - factors(inputs[batch])
        return error.square().mean()

    minimise(loss, list(factors.parameters()), len(inputs), epochs, seed)


def approximated(
    network: nn.Sequential, scheme: int, size: int, sample: Split | None, epochs: int, seed: int
) -> nn.Sequential:
    """Approximate the convolutions above the first in turn; with a sample, by its data."""
    changed = network
    for place in CONVOLUTIONS[1:]:
        layer = convolution(network, place)
        factors = (scheme_1 if scheme == 1 else scheme_2)(layer, size)
        if sample is not None:
            inputs = predict(changed[:place], sample.inputs)
            targets = predict(network[: place + 1], sample.inputs)
            reconstruct(factors, inputs, targets, epochs, seed)
        changed = replaced(changed, place, factors)
    return changed


def main(
    data: str = "digits",
    file: Annotated[Path | None, typer.Option()] = None,
    epochs: int = 20,
    reconstruction: int = 15,
    seed: int = 0,
) -> Results:
    """Approximate the second and third convolution by both schemes, both ways; no fine-tuning."""
    examples = load(data, file)
    network = trained_convolutional(examples, epochs, seed)
    test, some = examples.test, examples.test.inputs[:256]
    sample = examples.train[torch.arange(min(SAMPLE, len(examples.train)))]
    whole = accuracy(predict(network, test.inputs), test.labels)
    rows: list[tuple[object, ...]] = [("none", "", "1.00 ×", "1.00 ×", whole, "")]
    curves: dict[str, list[tuple[float, float]]] = {}
    for scheme, sizes in ((1, BASES), (2, CHANNELS)):
        for size in sizes:
            found = []
            for by, of in (("filters", None), ("data", sample)):
                changed = approximated(network, scheme, size, of, reconstruction, seed)
                found.append(accuracy(predict(changed, test.inputs), test.labels))
                saved = multiply_adds(network, some[:1]) / multiply_adds(changed, some[:1])
                curves.setdefault(f"scheme {scheme}, by {by}", []).append((saved, found[-1]))
            faster = milliseconds(network, some) / milliseconds(changed, some)
            name = f"scheme {scheme}, {'M' if scheme == 1 else 'K'} = {size}"
            rows.append((name, "", f"{saved:.2f} ×", f"{faster:.2f} ×", *found))
    table = Table(
        f"Separable filters, {examples.name}",
        (
            "approximation",
            "paper, character recognition",
            "multiply-adds saved, theory",
            "faster, measured",
            "top-1, filter reconstruction",
            "top-1, data reconstruction",
        ),
        [(*rows[0][:1], "2.5 × at no loss, 4.5 × within 1 %", *rows[0][2:]), *rows[1:]],
        f"Paper: a network of four layers for characters in scenes. Here: {examples.name}, the "
        f"second and third of three convolutions, {len(test):,} of test, {len(sample):,} training "
        "images for data reconstruction; theory and time are of the whole network, one thread.",
    )
    return [table, Plot("speed", "multiply-adds saved, ×", "test accuracy, %", curves)]


if __name__ == "__main__":
    run(main)
