"""Low-rank factors: nearest under their own metric, and the network that they make."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from neuralbits.model_training.compression.low_rank import (
    LowRankError,
    LowRankSettings,
    Metric,
    evened_out,
    factorise,
    mean_squared_gradients,
    nearest,
    nearest_outputs,
    nearest_weighted,
    unfactorised,
)
from neuralbits.model_training.networks.projection_network import NetworkSettings, ProjectionNetwork

INPUTS, INTENTS, TEXTS = 48, 6, 400
METRICS: tuple[Metric, ...] = ("plain", "covariance", "mahalanobis")
FLOATS = NetworkSettings(
    widths=(6,), first_precision="float", precision="float", activation="linear"
)

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distances(
    metric: Metric, weights: Tensor, seed: int, rank: int, candidate: Tensor
) -> tuple[Tensor, Tensor]:
    """Return a metric's own distance of its factors, and that of a candidate, from a matrix."""
    units, inputs = weights.shape
    if metric == "plain":
        left, right = nearest(weights, rank)
        scaled = [weights - left @ right, weights - candidate]
    elif metric == "covariance":
        # Correlated inputs, so that C is far from a multiple of the identity.
        data = random(50, inputs, seed=seed + 1) @ random(inputs, inputs, seed=seed + 2)
        data = data - data.mean(dim=0)
        left, right = nearest_outputs(weights, rank, weights @ (data.T @ data) @ weights.T)
        scaled = [(weights - left @ right) @ data.T, (weights - candidate) @ data.T]
    else:
        rows, columns = (random(size, seed=seed + 3).square() + 0.01 for size in (units, inputs))
        left, right = nearest_weighted(weights, rank, rows, columns)
        of_each = torch.outer(rows, columns).sqrt()
        scaled = [(weights - left @ right) * of_each, (weights - candidate) * of_each]
    assert left.shape == (units, rank)
    assert right.shape == (rank, inputs)
    ours, theirs = (each.norm() for each in scaled)
    return ours, theirs


@pytest.mark.parametrize("metric", METRICS)
@settings(deadline=None, max_examples=50)
@given(shape=shapes)
def test_at_full_rank_the_factors_are_the_matrix(
    metric: Metric, shape: tuple[int, int, int]
) -> None:
    units, inputs, seed = shape
    weights = random(units, inputs, seed=seed)
    ours, _ = distances(metric, weights, seed, min(units, inputs), weights)
    assert ours < 1e-3 * weights.norm()


@pytest.mark.parametrize("metric", METRICS)
@settings(deadline=None, max_examples=50)
@given(shape=shapes, data=st.data())
def test_no_other_factors_of_that_rank_are_nearer_by_the_same_metric(
    metric: Metric, shape: tuple[int, int, int], data: st.DataObject
) -> None:
    units, inputs, seed = shape
    rank = data.draw(st.integers(1, min(units, inputs)))
    weights = random(units, inputs, seed=seed)
    left, right = nearest(weights, rank)  # by the plain metric: the rival that is hard to beat
    change = random(units, rank, seed=seed + 9)
    for candidate in (left @ right, (left + 0.01 * change) @ right, change @ right):
        ours, theirs = distances(metric, weights, seed, rank, candidate)
        assert ours <= theirs * (1 + 1e-9) + 1e-9


@settings(deadline=None, max_examples=50)
@given(shape=shapes, data=st.data())
def test_what_the_outputs_lose_is_the_tail_of_the_singular_values_of_w_times_the_root_of_c(
    shape: tuple[int, int, int], data: st.DataObject
) -> None:
    units, inputs, seed = shape
    rank = data.draw(st.integers(1, min(units, inputs)))
    weights, mix = random(units, inputs, seed=seed), random(inputs, inputs, seed=seed + 1)
    covariance = mix @ mix.T
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    left, right = nearest_outputs(weights, rank, weights @ covariance @ weights.T)
    lost = ((weights - left @ right) @ root).norm()
    tail = torch.linalg.svdvals(weights @ root)[rank:].norm()
    assert lost == pytest.approx(tail.item(), rel=1e-6, abs=1e-6 * weights.norm().item())


@settings(deadline=None, max_examples=50)
@given(shape=shapes)
def test_evened_out_factors_have_the_same_product_and_orthonormal_rows(
    shape: tuple[int, int, int],
) -> None:
    units, inputs, seed = shape
    rank = min(units, inputs)
    left, right = random(units, rank, seed=seed), random(rank, inputs, seed=seed + 1)
    evened, rows = evened_out(left, right)
    assert torch.allclose(evened @ rows, left @ right, atol=1e-9 * (1 + left.norm() * right.norm()))
    assert torch.allclose(rows @ rows.T, torch.eye(rank, dtype=torch.float64), atol=1e-9)


def texts() -> Iterator[tuple[Tensor, Tensor]]:
    """Give values of -3, -1, 1 and 3 that are an intent's own up to noise, in two parts."""
    generator = torch.Generator().manual_seed(0)
    own = torch.randint(0, 4, (INTENTS, INPUTS), generator=generator)
    labels = torch.arange(TEXTS) % INTENTS
    noise = torch.randint(0, 4, (TEXTS, INPUTS), generator=generator)
    noisy = torch.rand(TEXTS, INPUTS, generator=generator) < 0.5
    values = 2.0 * torch.where(noisy, noise, own[labels]) - 3
    yield values[:150], labels[:150]
    yield values[150:], labels[150:]


def trained(settings: NetworkSettings) -> ProjectionNetwork:
    torch.manual_seed(0)
    network = unfactorised(INPUTS, INTENTS, settings, LowRankSettings(after=1), epochs=2)
    adam = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(30):
        for values, labels in texts():
            adam.zero_grad()
            functional.cross_entropy(network(values), labels).backward()  # type: ignore[no-untyped-call]
            adam.step()
    return network.eval()


def logits(network: ProjectionNetwork) -> Tensor:
    with torch.no_grad():
        return torch.cat([network.eval()(values) for values, _ in texts()])


@pytest.mark.parametrize("widths", [(4,), (4, 12)])
def test_gradients_are_those_of_each_text_by_itself(widths: tuple[int, ...]) -> None:
    network = trained(replace(FLOATS, widths=widths))
    squares = torch.zeros_like(network.first.weight)
    for values, labels in texts():
        for text, label in zip(values, labels, strict=True):
            loss = functional.cross_entropy(network(text[None]), label[None])
            squares += torch.autograd.grad(loss, network.first.weight)[0].square()
    rows, columns = mean_squared_gradients(network, texts)
    assert torch.allclose(rows, squares.double().sum(dim=1), rtol=1e-3, atol=1e-5 * rows.mean())
    assert torch.allclose(columns, squares.double().sum(dim=0), rtol=1e-3)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("widths", [(6,), (12, 12), (12, 12, 8)])
def test_a_factorised_network_of_full_rank_computes_what_the_whole_one_does(
    metric: Metric, widths: tuple[int, ...]
) -> None:
    settings = replace(FLOATS, widths=widths)
    network = trained(settings)
    before = logits(network)
    after = logits(factorise(network, settings, metric, texts))
    # The activations between the factors are of 8 bits, and end at four standard deviations.
    assert (after - before).std() < 0.03 * before.std()


@pytest.mark.parametrize("metric", METRICS)
def test_a_lower_rank_costs_more_and_leaves_what_is_worth_most(metric: Metric) -> None:
    network = trained(FLOATS)
    before, losses = logits(network), []
    for rank in (1, 3, 5):
        after = logits(factorise(network, replace(FLOATS, widths=(rank,)), metric, texts))
        losses.append((after - before).norm() / (before - before.mean(dim=0)).norm())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5


def test_the_factors_by_the_covariance_have_the_nearest_outputs() -> None:
    network = trained(FLOATS)
    before, lost = logits(network), {}
    for metric in METRICS:
        after = logits(factorise(network, replace(FLOATS, widths=(3,)), metric, texts))
        lost[metric] = (after - before).norm().item()
    assert lost["covariance"] == min(lost.values())


def test_the_factors_are_quantised_as_the_settings_say() -> None:
    settings = NetworkSettings(
        widths=(5,), first_precision="binary", precision="int4", activation="linear"
    )
    layers = factorise(trained(settings), settings, "covariance", texts).fold().layers
    assert [(layer.units, layer.inputs) for layer in layers] == [(5, INPUTS), (INTENTS, 5)]
    assert [layer.precision for layer in layers] == ["binary", "int4"]


def test_even_binary_factors_still_know_most_intents() -> None:
    settings = NetworkSettings(widths=(6,), activation="linear")
    answers = logits(factorise(trained(settings), settings, "covariance", texts)).argmax(dim=1)
    labels = torch.cat([each for _, each in texts()])
    assert (answers == labels).float().mean() > 0.8


@pytest.mark.parametrize(
    ("low_rank", "network", "sentence"),
    [
        (LowRankSettings(after=2), NetworkSettings(widths=()), "linear hidden layer"),
        (LowRankSettings(after=2), NetworkSettings((4,)), "activation=linear"),
        (
            LowRankSettings(after=2),
            NetworkSettings((7,), activation="linear"),
            "rank 6 at the most, but .* 7",
        ),
        (
            LowRankSettings(after=9),
            NetworkSettings((4,), activation="linear"),
            "none of the 9 epochs",
        ),
    ],
)
def test_what_cannot_be_factorised_is_refused_at_once(
    low_rank: LowRankSettings, network: NetworkSettings, sentence: str
) -> None:
    with pytest.raises(LowRankError, match=sentence):
        unfactorised(INPUTS, INTENTS, network, low_rank, epochs=9)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"after": -1}, "after is -1"), ({"held": -1}, "held is -1"), ({"metric": "l1"}, "metric is")],
)
def test_settings_out_of_range_are_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LowRankSettings(**change)  # type: ignore[arg-type]


def test_the_first_factor_is_held_for_the_epochs_after_the_factorisation() -> None:
    low_rank = LowRankSettings(after=3, held=2)
    assert [epoch for epoch in range(8) if low_rank.holds(epoch)] == [3, 4]
    assert not any(LowRankSettings(after=0, held=2).holds(epoch) for epoch in range(8))
