import pytest
import torch
from torch import nn

from reproductions.examples import Split
from reproductions.shared import accuracy, predict
from reproductions.sparsity import SHARES, kept, pruned, sensitivity, train_sparse, zeros


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


@pytest.fixture
def split() -> Split:
    torch.manual_seed(1)
    labels = torch.arange(90) % 3
    return Split(torch.randn(90, 1, 4, 4) + labels.view(-1, 1, 1, 1), labels)


def test_the_smallest_weights_go() -> None:
    weights = torch.tensor([[-3.0, 0.1], [0.2, -0.05]])
    assert kept(weights, 0.5).tolist() == [[1, 0], [1, 0]]
    assert kept(weights, 0.0).sum() == 4


def test_each_layer_loses_its_share(network: nn.Sequential) -> None:
    changed, masks = pruned(network, [0.5, 0.25])
    assert [float((mask == 0).float().mean()) for mask in masks] == [0.5, 0.25]
    assert zeros(changed) == pytest.approx(100 * (18 + 48) / (36 + 192))
    assert zeros(network) == 0


def test_sensitivity_prunes_one_layer_at_a_time(network: nn.Sequential, split: Split) -> None:
    curves = sensitivity(network, split)
    whole = accuracy(predict(network, split.inputs), split.labels)
    assert [curve[0] for curve in curves] == [whole, whole]
    changed, _ = pruned(network, [0.0, SHARES[-1]])
    assert curves[1][-1] == accuracy(predict(changed, split.inputs), split.labels)


def test_what_was_pruned_stays_zero_while_the_rest_learns(
    network: nn.Sequential, split: Split
) -> None:
    changed, masks = pruned(network, [0.5, 0.5])
    before = accuracy(predict(changed, split.inputs), split.labels)
    train_sparse(changed, split, epochs=30, seed=0, masks=masks)
    layers = [each for each in changed if isinstance(each, nn.Conv2d | nn.Linear)]
    for layer, mask in zip(layers, masks, strict=True):
        assert bool((layer.weight[mask == 0] == 0).all())
    assert accuracy(predict(changed, split.inputs), split.labels) > before


def test_a_greater_penalty_leaves_more_weights_at_zero(
    network: nn.Sequential, split: Split
) -> None:
    shares = []
    for penalty in (0.0, 0.5, 1.0):
        changed, masks = pruned(network, [0.0, 0.0])
        train_sparse(changed, split, epochs=60, seed=0, masks=masks, penalty=penalty)
        shares.append(zeros(changed))
    assert shares[0] < shares[1] < shares[2]
