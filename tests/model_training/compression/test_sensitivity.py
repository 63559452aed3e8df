"""The sensitivity to pruning, layer by layer."""

import pytest
import torch

from neuralbits.model_training.compression.sensitivity import SHARES, sensitivities
from neuralbits.model_training.networks.projection_network import NetworkSettings, ProjectionNetwork
from neuralbits.network import Network


def make_network(settings: NetworkSettings) -> ProjectionNetwork:
    torch.manual_seed(0)
    return ProjectionNetwork(40, 6, settings)


def kept_of(layer: int) -> "list[float]":
    """Return the shares of a layer's weights that are not 0, as the measurements see them."""
    network = make_network(NetworkSettings((10,), "float", "float"))

    def kept(folded: Network) -> float:
        return float((folded.layers[layer].weights != 0).mean())

    measured = sensitivities(network, kept)
    assert [each.layer for each in measured] == [0] * len(SHARES) + [1] * len(SHARES)
    assert [each.pruned_share for each in measured] == [*SHARES, *SHARES]
    return [each.accuracy for each in measured]


def test_one_layer_at_a_time_is_pruned_by_every_share() -> None:
    rising = pytest.approx([1 - share for share in SHARES])
    whole = [1.0] * len(SHARES)
    first, after = kept_of(layer=0), kept_of(layer=1)
    assert first[: len(SHARES)] == rising
    assert first[len(SHARES) :] == whole
    assert after[: len(SHARES)] == whole
    assert after[len(SHARES) :] == rising


def test_a_layer_of_one_bit_weights_is_left_out() -> None:
    network = make_network(NetworkSettings((10,), "binary", "int4"))
    assert {each.layer for each in sensitivities(network, lambda folded: 0.5)} == {1}


def test_the_network_stays_as_it_is() -> None:
    network = make_network(NetworkSettings((10,), "int4", "int4"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    sensitivities(network, lambda folded: 0.5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
