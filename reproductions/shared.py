"""What the reproductions share: networks, training, measures, tables and plots."""

import copy
import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional

from .examples import Examples, Split


def feed_forward(inputs: int, widths: Sequence[int], classes: int) -> nn.Sequential:
    """Return linear layers with ReLU between them; it reads inputs of any shape."""
    sizes = [inputs, *widths]
    layers: list[nn.Module] = [nn.Flatten()]
    for size, width in zip(sizes, widths, strict=False):
        layers += [nn.Linear(size, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], classes))


def convolutional(
    examples: Examples, channels: tuple[int, int, int] = (24, 48, 48)
) -> nn.Sequential:
    """Return three convolutions and a linear layer: the network that is taken apart.

    Filters are 5×5, or 1×5 on texts, where the only axis is time. The convolutions are layers 0, 3
    and 6.
    """
    depth, height, width = examples.shape
    kernel = (min(5, height), 5)
    padding = (kernel[0] // 2, 2)
    first, second, third = channels
    pool = (2 if height > 1 else 1, 2)
    return nn.Sequential(
        nn.Conv2d(depth, first, kernel, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(pool),
        nn.Conv2d(first, second, kernel, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(pool),
        nn.Conv2d(second, third, kernel, padding=padding),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(third * (height // pool[0] ** 2) * (width // 4), examples.classes),
    )


CONVOLUTIONS = (0, 3, 6)


def convolution(network: nn.Sequential, place: int) -> nn.Conv2d:
    """Return the convolution at a place of the network."""
    layer = network[place]
    assert isinstance(layer, nn.Conv2d)
    return layer


def minimise(
    loss: Callable[[Tensor], Tensor],
    parameters: Iterable[nn.Parameter],
    examples: int,
    epochs: int,
    seed: int,
    rate: float = 2e-3,
) -> None:
    """Train by Adam, in batches of 64, while the learning rate falls to 0 as a cosine.

    Args:
        loss: maps the indices of a batch, shape (B,), to a scalar.
        parameters: what to train.
        examples: how many there are.
        epochs: how often each is seen.
        seed: of the batches' order.
        rate: the first learning rate.
    """
    optimiser = torch.optim.Adam(parameters, lr=rate)
    random = torch.Generator().manual_seed(seed)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(epochs, 1))
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(examples, generator=random), 64):
            optimiser.zero_grad()
            loss(batch).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        schedule.step()


def fit(network: nn.Module, split: Split, epochs: int, seed: int, rate: float = 2e-3) -> None:
    """Train a network on the labels; parameters without a gradient stay as they are."""
    network.train()
    trained = [each for each in network.parameters() if each.requires_grad]

    def loss(batch: Tensor) -> Tensor:
        return functional.cross_entropy(network(split.inputs[batch]), split.labels[batch])

    minimise(loss, trained, len(split), epochs, seed, rate)


def truncated_svd(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return the factors of the nearest matrix of a rank.

    The squared error is the sum of the squares of the singular values left out (Eckart & Young).
    """
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return left[:, :rank] * values[:rank], right[:rank]


def kernel(weights: Tensor, groups: int = 1, padding: Any = 0) -> nn.Conv2d:
    """Return a convolution with these weights, (F, C / groups, height, width), and no bias."""
    outputs, inputs, height, width = weights.shape
    size = (height, width)
    layer = nn.Conv2d(inputs * groups, outputs, size, padding=padding, groups=groups, bias=False)
    layer.weight.data = weights.float().contiguous()
    return layer


def replaced(network: nn.Sequential, place: int, layer: nn.Module) -> nn.Sequential:
    """Return a copy with another layer at a place; training changes only the layers above it."""
    changed = copy.deepcopy(network)
    changed[place] = copy.deepcopy(layer)
    for each in list(changed)[: place + 1]:
        each.requires_grad_(requires_grad=False)
    return changed


@functools.cache
def trained_convolutional(examples: Examples, epochs: int, seed: int) -> nn.Sequential:
    """Return the convolutional network, trained; it is made once, so copy it before changing it."""
    torch.manual_seed(seed)
    network = convolutional(examples)
    fit(network, examples.train, epochs, seed)
    return network


@torch.no_grad()
def predict(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return logits, shape (N, classes), with the network in evaluation mode."""
    network.eval()
    return torch.cat([network(part) for part in torch.split(inputs, 512)])


def accuracy(logits: Tensor, labels: Tensor, k: int = 1) -> float:
    """Return how many per cent of the labels are among the k greatest logits."""
    return 100 * float((logits.topk(k).indices == labels[:, None]).any(dim=1).float().mean())


def parameters(network: nn.Module) -> int:
    """Count the parameters, biases included."""
    return sum(each.numel() for each in network.parameters())


@torch.no_grad()
def multiply_adds(network: nn.Module, inputs: Tensor) -> int:
    """Count the multiplications of convolutions and linear layers for one input, (1, …)."""
    counted = 0

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        assert isinstance(module.weight, Tensor)
        counted += module.weight[0].numel() * output.numel()

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    network(inputs)
    for hook in hooks:
        hook.remove()
    return counted


@torch.no_grad()
def milliseconds(network: nn.Module, inputs: Tensor, repeats: int = 15) -> float:
    """Return the shortest processor time of a forward pass over all inputs, on one thread.

    Channels lie last in memory, where a CPU computes grouped convolutions several times faster.
    """
    threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    network = copy.deepcopy(network).eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    for _ in range(repeats):
        start = time.thread_time()
        network(inputs)
        times.append(1000 * (time.thread_time() - start))
    torch.set_num_threads(threads)
    return min(times)


@dataclass(frozen=True)
class Table:
    """What a script found: a title, columns, rows, and what differs from the paper."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    differs: str

    def markdown(self) -> str:
        """Return the table as Markdown; numbers are rounded to one decimal, small ones to three."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        body = "\n".join("| " + " | ".join(map(_shown, line)) + " |" for line in lines)
        return f"**{self.title}**\n\n{body}\n\n{self.differs}"


@dataclass(frozen=True)
class Plot:
    """Curves over an axis that is logarithmic or not."""

    name: str
    x: str
    y: str
    curves: Mapping[str, Sequence[tuple[float, float]]]
    logarithmic: bool = False


Results = list[Table | Plot]


def run(main: Callable[..., Results]) -> None:
    """Call a script's ``main`` from the command line, and print its tables."""

    @functools.wraps(main)
    def printed(**arguments: object) -> None:
        for result in main(**arguments):
            if isinstance(result, Table):
                print(f"\n{result.markdown()}")

    typer.run(printed)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 1 or value == 0 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
