"""Magnitude pruning: on its schedule the smallest weights become 0, and stay so."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from neuralbits.model_training.compression.pruning import (
    Pruning,
    PruningSettings,
    kept_weights,
    linears,
)
from neuralbits.model_training.networks.projection_network import NetworkSettings, ProjectionNetwork
from neuralbits.packing import Precision

CAN_BE_0: tuple[Precision, ...] = ("ternary", "int4", "int8", "float")


def make_network(precision: Precision = "ternary") -> ProjectionNetwork:
    torch.manual_seed(0)
    return ProjectionNetwork(40, 6, NetworkSettings((10,), precision, precision))


def zeros(network: ProjectionNetwork) -> list[int]:
    """Count the weights of each layer that an artifact holds as 0."""
    return [int((layer.weights == 0).sum()) for layer in network.fold().layers]


def test_the_share_rises_as_a_cubic_between_start_and_end() -> None:
    settings = PruningSettings(share=0.5, start=0.2, end=0.6)
    reached = [settings.progress(done) for done in (0, 0.2, 0.3, 0.4, 0.5, 0.6, 1)]
    quarters = [0, 1 - 0.75**3, 1 - 0.5**3, 1 - 0.25**3, 1]
    assert reached == pytest.approx([0, *quarters, 1])
    assert reached[-2:] == [1, 1]


@pytest.mark.parametrize(
    ("epochs", "unsettled"), [(1, 0), (2, 1), (4, 2), (10, 6), (30, 20), (100, 69)]
)
def test_an_epoch_is_unsettled_until_all_is_pruned_at_its_end(epochs: int, unsettled: int) -> None:
    settings = PruningSettings(share=0.5, end=0.7)
    assert settings.unsettled_epochs(epochs) == unsettled
    assert PruningSettings(end=0.7).unsettled_epochs(epochs) == 0
    assert PruningSettings(share=0.5, end=1.0).unsettled_epochs(epochs) == epochs - 1


def test_the_smallest_weights_are_pruned() -> None:
    weights = torch.tensor([[0.5, -0.1, 0.3], [-0.4, 0.2, 0.0]])
    assert kept_weights(weights, 0.5).tolist() == [[1, 0, 1], [1, 0, 0]]
    assert kept_weights(weights, 0.0).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert kept_weights(weights, 0.99).tolist() == [[1, 0, 0], [0, 0, 0]]


def test_of_equal_weights_just_as_many_are_pruned() -> None:
    assert kept_weights(torch.ones(10), 0.7).sum() == 3


@pytest.mark.parametrize("precision", CAN_BE_0)
def test_a_pruned_weight_is_0_in_every_precision_that_has_a_0(precision: Precision) -> None:
    network = make_network(precision)
    Pruning(PruningSettings(first_share=0.9, share=0.5)).prune(network, done=1.0)
    assert zeros(network) >= [360, 30]
    # Of one magnitude all weights round to something else than 0.
    for linear in linears(network):
        linear.weight.data = linear.weight.sign()
    assert zeros(network) == [360, 30]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (PruningSettings(first_share=0.5), [200, 0]),
        (PruningSettings(share=0.5), [0, 30]),
        (PruningSettings(), [0, 0]),
    ],
)
def test_the_layer_that_reads_the_bits_has_a_share_of_its_own(
    settings: PruningSettings, expected: list[int]
) -> None:
    network = make_network("float")
    Pruning(settings).prune(network, done=1.0)
    assert zeros(network) == expected


def test_a_single_layer_is_the_one_that_reads_the_bits() -> None:
    network = ProjectionNetwork(40, 6, NetworkSettings((), "float"))
    Pruning(PruningSettings(first_share=0.5, share=0.9)).prune(network, done=1.0)
    assert zeros(network) == [120]


def test_no_step_of_the_optimiser_brings_a_pruned_weight_back() -> None:
    network, pruning = make_network("float"), Pruning(PruningSettings(first_share=0.5))
    adam = torch.optim.Adam(network.parameters(), lr=0.1)
    values, labels = torch.randn(30, 40), torch.arange(30) % 6

    def step() -> None:
        adam.zero_grad()
        functional.cross_entropy(network(values), labels).backward()  # type: ignore[no-untyped-call]
        adam.step()

    step()  # so that Adam has a momentum
    pruning.prune(network, done=1.0)
    pruned = network.first.weight == 0
    before = network.first.weight.detach().clone()
    for _ in range(5):
        step()
        pruning.hold()
        assert torch.equal(network.first.weight == 0, pruned)
    assert not torch.equal(network.first.weight, before)


def test_pruning_again_prunes_what_was_pruned_and_more() -> None:
    network, settings = make_network("float"), PruningSettings(first_share=0.8)
    shares = []
    pruned = torch.zeros_like(network.first.weight, dtype=torch.bool)
    for done in np.linspace(0, 1, 11):
        # As after a checkpoint: another object, which knows the weights alone.
        Pruning(settings).prune(network, float(done))
        still = network.first.weight == 0
        assert (still >= pruned).all()
        pruned = still
        shares.append(pruned.float().mean().item())
    assert shares == sorted(shares)
    assert shares[2] == 0
    assert shares[-1] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"share": 1.0}, "share is 1.0, not within 0 and 1"),
        ({"first_share": -0.1}, "first_share is -0.1, not within 0 and 1"),
        ({"start": 0.5, "end": 0.5}, "start is 0.5 and end is 0.5; both must be within 0 and 1"),
        ({"end": 1.1}, "end is 1.1"),
        ({"start": float("nan")}, "start is nan"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(wrong: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        PruningSettings(**wrong)  # type: ignore[arg-type]
