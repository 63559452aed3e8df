"""Losses in, weights changed, at a rate that rises and falls."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from neuralbits.model_training.loop.optimiser import Optimiser


def make(steps: int, weights: int = 3) -> tuple[nn.Linear, Optimiser]:
    torch.manual_seed(0)
    layer = nn.Linear(weights, 1, bias=False)
    return layer, Optimiser(layer, peak=0.1, steps=steps)


def take(layer: nn.Linear, optimiser: Optimiser, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(optimiser.rate)
        optimiser.step((layer(torch.ones(layer.in_features)) - 1).square().sum())
    return rates


def test_the_rate_rises_to_its_peak_in_a_tenth_of_the_run_then_falls_to_nothing() -> None:
    rates = take(*make(100), 100)
    peak = rates.index(max(rates))
    assert rates[peak] == pytest.approx(0.1)
    assert peak == pytest.approx(10, abs=1)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 10, 11])
def test_a_run_of_few_steps_will_do(steps: int) -> None:
    layer, optimiser = make(steps)
    before = layer.weight.detach().clone()
    take(layer, optimiser, steps)
    assert not torch.equal(layer.weight, before)


def test_steps_go_down_the_gradient() -> None:
    layer, optimiser = make(200)
    take(layer, optimiser, 200)
    assert float(layer(torch.ones(3)).detach()) == pytest.approx(1, abs=1e-3)


def test_restored_it_goes_on_as_if_nothing_had_happened() -> None:
    whole, optimiser = make(20)
    take(whole, optimiser, 8)
    weights, state = whole.weight.detach().clone(), deepcopy(optimiser.state())
    rates = take(whole, optimiser, 12)
    resumed, again = make(20)
    resumed.weight.data = weights
    again.restore(state)
    assert take(resumed, again, 12) == rates
    assert torch.equal(resumed.weight, whole.weight)


def test_of_the_weights_only_those_of_the_kept_inputs_go_on() -> None:
    layer, optimiser = make(20)
    take(layer, optimiser, 5)
    weights = layer.weight.detach().clone()
    optimiser.keep(layer.weight, torch.tensor([True, False, True]))
    assert torch.equal(layer.weight, weights[:, [0, 2]])
    layer.in_features = 2
    take(layer, optimiser, 15)
    assert layer.weight.shape == (1, 2)
    assert layer.weight.isfinite().all()
