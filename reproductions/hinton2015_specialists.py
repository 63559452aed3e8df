"""Hinton et al. 2015 (arXiv:1503.02531), section 5: specialists for classes that are confused.

A generalist's predictions say which classes it takes for one another. A specialist learns to tell
those of one group apart, with one more class for all others.
"""

import copy
from math import log
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from .examples import Examples, Split, load
from .shared import Results, Table, accuracy, feed_forward, fit, predict, run

GROUPS = 3
WIDTH = (30,)


def confused_groups(probabilities: Tensor, groups: int, seed: int = 0) -> list[list[int]]:
    """Cluster the columns of the covariance of predictions by k-means (section 5.3).

    Args:
        probabilities: the generalist's, shape (N, classes).
        groups: how many clusters; an empty one is left out.
        seed: of the first centres.

    Returns:
        The classes of each group; every class is in one.
    """
    columns = torch.cov(probabilities.T.double())
    random = torch.Generator().manual_seed(seed)
    centres = columns[torch.randperm(len(columns), generator=random)[:groups]]
    for _ in range(20):
        of = torch.cdist(columns, centres).argmin(dim=1)
        present = [group for group in range(len(centres)) if bool((of == group).any())]
        centres = torch.stack([columns[of == group].mean(dim=0) for group in present])
    of = torch.cdist(columns, centres).argmin(dim=1)
    found = [torch.nonzero(of == group)[:, 0].tolist() for group in range(len(centres))]
    return [group for group in found if group]


def specialist(
    generalist: nn.Sequential, group: list[int], split: Split, epochs: int, seed: int
) -> nn.Sequential:
    """Train a specialist from the generalist's weights (section 5.2).

    Half of its examples are of its group, half are drawn from the rest, its dustbin. Afterwards the
    dustbin's logit is corrected by the log of how the two occur without that choice.
    """
    torch.manual_seed(seed)
    places = torch.full((int(split.labels.max()) + 1,), len(group))
    places[torch.tensor(group)] = torch.arange(len(group))
    labels = places[split.labels]
    inside, outside = (
        torch.nonzero(which)[:, 0] for which in (labels < len(group), labels == len(group))
    )
    drawn = outside[torch.randint(len(outside), (len(inside),))]
    network = copy.deepcopy(generalist)
    last = network[-1]
    assert isinstance(last, nn.Linear)
    output = nn.Linear(last.in_features, len(group) + 1)
    with torch.no_grad():
        output.weight[:-1], output.bias[:-1] = last.weight[group], last.bias[group]
    network[-1] = output
    chosen = torch.cat([inside, drawn])
    fit(network, Split(split.inputs[chosen], labels[chosen]), epochs, seed, rate=1e-3)
    with torch.no_grad():
        output.bias[-1] += log(len(outside) / len(inside))
    return network


def joined(
    general: Tensor, special: list[Tensor], groups: list[list[int]], steps: int = 200
) -> Tensor:
    """Return the q of least KL(g, q) + Σ KL(p^m, q) (equation 5), by descent on its logits.

    Args:
        general: g, shape (N, classes).
        special: for each specialist its probabilities, (N, group + 1), the dustbin last.
        groups: the classes of each specialist. KL(p^m, q) sums q over what is dustbin to it.
        steps: of the descent.

    Returns:
        q, shape (N, classes).
    """
    logits = general.clamp(min=1e-6).log().requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(steps):
        q = logits.softmax(dim=1)
        loss = -(general * q.clamp(min=1e-9).log()).sum()
        for p, group in zip(special, groups, strict=True):
            inside = q[:, group]
            all_classes = torch.cat([inside, 1 - inside.sum(dim=1, keepdim=True)], dim=1)
            loss = loss - (p * all_classes.clamp(min=1e-9).log()).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return logits.detach().softmax(dim=1)


def compare(examples: Examples, epochs: int, tuning: int, seed: int) -> list[tuple[object, ...]]:
    """Train a generalist and its specialists; return the rows of the table."""
    torch.manual_seed(seed)
    train, test = examples.train, examples.test
    generalist = feed_forward(train.inputs[0].numel(), WIDTH, examples.classes)
    fit(generalist, train, epochs, seed)
    # Predictions on data that it didn't learn from: there it confuses more.
    confused = predict(generalist, examples.validation.inputs).softmax(dim=1)
    groups = confused_groups(confused, GROUPS, seed)
    useful = [group for group in groups if 1 < len(group) < examples.classes]
    networks = [specialist(generalist, group, train, tuning, seed) for group in useful]
    general = predict(generalist, test.inputs).softmax(dim=1)
    special = [predict(network, test.inputs).softmax(dim=1) for network in networks]
    together = joined(general, special, useful)
    rows: list[tuple[object, ...]] = []
    everything = list(range(examples.classes))
    for group in (everything, *useful):
        of = torch.isin(test.labels, torch.tensor(group))
        top = (accuracy(each[of], test.labels[of]) for each in (general, together))
        name = "all" if group == everything else " ".join(map(str, group))
        rows.append((name, int(of.sum()), *top))
    return rows


def main(
    data: str = "digits",
    file: Annotated[Path | None, typer.Option()] = None,
    epochs: int = 20,
    tuning: int = 10,
    seed: int = 0,
) -> Results:
    """Train a generalist of 30 units, and specialists for the classes that it confuses."""
    examples = load(data, file)
    table = Table(
        f"Specialists, {examples.name}",
        ("classes", "tests", "generalist, top-1", "with specialists, top-1"),
        compare(examples, epochs, tuning, seed),
        "Paper: 61 specialists for 15,000 classes, 25.0 to 26.1 of all. Here: "
        f"{examples.name}, up to {GROUPS} groups, a generalist of {WIDTH[0]} units; specialists "
        "learn from labels alone, and all of them are joined for every example.",
    )
    return [table]


if __name__ == "__main__":
    run(main)
