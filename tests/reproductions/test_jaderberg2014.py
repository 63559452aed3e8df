import pytest
import torch
from torch import nn

from reproductions.jaderberg2014 import reconstruct, scheme_1, scheme_2
from reproductions.shared import multiply_adds


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_scheme_2_is_exact_at_full_rank() -> None:
    layer, inputs = nn.Conv2d(4, 6, 3, padding=1), torch.randn(2, 4, 8, 8)
    changed = scheme_2(layer, channels=min(4 * 3, 6 * 3))
    torch.testing.assert_close(changed(inputs), layer(inputs), rtol=1e-4, atol=1e-4)


def test_scheme_2_loses_the_discarded_singular_values_squared() -> None:
    layer = nn.Conv2d(4, 6, 3, padding=1)
    columns, rows = scheme_2(layer, channels=5)
    assert isinstance(columns, nn.Conv2d)
    assert isinstance(rows, nn.Conv2d)
    whole = torch.einsum("kcv,fkh->fcvh", columns.weight[..., 0], rows.weight[:, :, 0])
    matrix = layer.weight.permute(1, 2, 3, 0).reshape(12, 18)
    discarded = torch.linalg.svdvals(matrix)[5:].square().sum()
    torch.testing.assert_close((whole - layer.weight).square().sum(), discarded)


def test_scheme_1_is_exact_for_filters_that_are_separable() -> None:
    layer, inputs = nn.Conv2d(3, 5, 5, padding=2), torch.randn(2, 3, 8, 8)
    columns, rows, mixes = torch.randn(3, 1, 5), torch.randn(3, 1, 5), torch.randn(5, 3, 1)
    layer.weight.data = torch.einsum("cmv,cmh,fcm->fcvh", columns, rows, mixes)
    torch.testing.assert_close(scheme_1(layer, 1)(inputs), layer(inputs), rtol=1e-4, atol=1e-4)


def test_scheme_1_is_exact_with_a_basis_for_every_filter() -> None:
    layer, inputs = nn.Conv2d(2, 3, 3, padding=1), torch.randn(2, 2, 6, 6)
    changed = scheme_1(layer, bases=9)
    torch.testing.assert_close(changed(inputs), layer(inputs), rtol=1e-3, atol=1e-3)


def test_a_place_costs_what_the_paper_says() -> None:
    layer, inputs = nn.Conv2d(4, 6, 5, padding=2), torch.zeros(1, 4, 8, 8)
    assert multiply_adds(layer, inputs) == 64 * 25 * 4 * 6
    assert multiply_adds(scheme_1(layer, 2), inputs) == 64 * (2 * 5 * 2 * 4 + 2 * 4 * 6)
    assert multiply_adds(scheme_2(layer, 3), inputs) == 64 * 5 * 3 * (4 + 6)


def test_data_reconstruction_comes_nearer_than_the_filters_alone() -> None:
    layer, inputs = nn.Conv2d(4, 6, 3, padding=1), torch.randn(64, 4, 6, 6)
    inputs[:, 2:] *= 0.1  # the filters don't know that two channels hardly matter
    targets = layer(inputs).detach()
    changed = scheme_2(layer, 4)

    @torch.no_grad()
    def lost() -> float:
        return float((changed(inputs) - targets).square().mean())

    before = lost()
    reconstruct(changed, inputs, targets, epochs=150, seed=0)
    assert lost() < 0.8 * before
