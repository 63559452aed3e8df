import pytest
import torch
from torch import Tensor, nn

from reproductions import denton2014
from reproductions.denton2014 import Biclustered, block_svd, equal_clusters, outer_products
from reproductions.denton2014_first_layer import Monochromatic, colours
from reproductions.denton2014_metrics import dangerous_gradients, inputs_of, low_rank
from reproductions.examples import Split
from reproductions.shared import parameters, predict, truncated_svd


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def error(block: Tensor, factors: list[Tensor]) -> float:
    return float((block - torch.einsum("ck,pk,fk->cpf", *factors)).square().sum())


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_the_svd_loses_the_discarded_singular_values_squared(rank: int) -> None:
    matrix = torch.randn(9, 7, dtype=torch.float64)
    left, right = truncated_svd(matrix, rank)
    lost = (matrix - left @ right).square().sum()
    torch.testing.assert_close(lost, torch.linalg.svdvals(matrix)[rank:].square().sum())


def test_the_two_svds_of_a_block_lose_no_more_than_both_discard() -> None:
    block = torch.randn(6, 9, 8, dtype=torch.float64)
    first, middle, last = block_svd(block, rank_in=3, rank_out=5)
    lost = (block - torch.einsum("ck,kpl,lf->cpf", first, middle, last)).square().sum()
    inputs = torch.linalg.svdvals(block.flatten(1))[3:].square().sum()
    outputs = torch.linalg.svdvals(block.flatten(0, 1))[5:].square().sum()
    assert max(inputs, outputs) <= lost <= inputs + outputs
    first, middle, last = block_svd(block, rank_in=6, rank_out=8)
    torch.testing.assert_close(torch.einsum("ck,kpl,lf->cpf", first, middle, last), block)


def test_outer_products_find_a_sum_of_two() -> None:
    factors = [torch.randn(size, 2, dtype=torch.float64) for size in (5, 9, 6)]
    block = torch.einsum("ck,pk,fk->cpf", *factors)
    assert error(block, outer_products(block, 2, refine=True, sweeps=300)) < 1e-6


def test_each_greedy_step_and_each_refinement_lowers_the_error() -> None:
    block = torch.randn(5, 9, 6, dtype=torch.float64)
    greedy = [error(block, outer_products(block, k, refine=False)) for k in range(1, 6)]
    refined = [error(block, outer_products(block, k, refine=True)) for k in range(1, 6)]
    assert greedy == sorted(greedy, reverse=True)
    assert all(one <= other + 1e-9 for one, other in zip(refined, greedy, strict=True))


def test_clusters_are_of_equal_size_and_of_like_vectors() -> None:
    centres = 10 * torch.randn(3, 4)
    vectors = (centres.repeat(5, 1) + torch.randn(15, 4)).double()  # classes 0 1 2 0 1 2 …
    order = equal_clusters(vectors, 3)
    assert sorted(order.tolist()) == list(range(15))
    assert all(len({int(i) % 3 for i in cluster}) == 1 for cluster in order.view(3, 5))
    unequal = torch.cat([torch.zeros(11, 4), torch.ones(1, 4)]).double()
    assert sorted(equal_clusters(unequal, 3).tolist()) == list(range(12))


def test_a_biclustered_layer_of_full_rank_is_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Conv2d(8, 12, 3, padding=1)
    monkeypatch.setattr(denton2014, "RANKS", (4, 6))  # C/G and F/H
    changed = Biclustered(layer, "svd")
    inputs = torch.randn(2, 8, 7, 7)
    torch.testing.assert_close(changed(inputs), layer(inputs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["svd", "greedy", "als"])
def test_biclusters_have_the_parameters_of_the_paper(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(denton2014, "RANKS", (2, 3))
    changed = Biclustered(nn.Conv2d(8, 12, 3, padding=1), method)
    groups, c, f = 2 * 2, 8 // 2, 12 // 2
    k = round((2 * c + 2 * 9 * 3 + 3 * f) / (c + 9 + f))
    expected = groups * (c * 2 + 2 * 9 * 3 + 3 * f if method == "svd" else k * (c + 9 + f))
    assert parameters(changed) == expected + 12  # the biases


def test_biclusters_of_outer_products_compute_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denton2014, "GROUPS", (1, 1))
    monkeypatch.setattr(denton2014, "RANKS", (2, 3))
    layer = nn.Conv2d(4, 6, 3, padding=1)
    factors = [torch.randn(size, 2) for size in (4, 9, 6)]
    layer.weight.data = torch.einsum("ck,pk,fk->fcp", *factors).view(6, 4, 3, 3)
    inputs = torch.randn(2, 4, 5, 5)
    changed = Biclustered(layer, "als")
    torch.testing.assert_close(changed(inputs), layer(inputs), rtol=1e-2, atol=1e-2)


def test_filters_of_few_colours_are_kept_exactly() -> None:
    palette = nn.functional.normalize(torch.randn(2, 3, dtype=torch.float64), dim=1)
    layer = nn.Conv2d(3, 8, 5, padding=2)
    images = torch.randn(8, 25, dtype=torch.float64)
    layer.weight.data = (
        torch.einsum("fc,fp->fcp", palette.repeat(4, 1), images).float().view(8, 3, 5, 5)
    )
    inputs = torch.randn(2, 3, 9, 9)
    changed = Monochromatic(layer, 2)
    torch.testing.assert_close(changed(inputs), layer(inputs), rtol=1e-4, atol=1e-4)
    assert parameters(changed) == 2 * 3 + 8 * 25 + 8


def test_a_filter_with_a_colour_to_itself_loses_its_other_singular_values() -> None:
    weights = torch.randn(6, 3, 4, 4, dtype=torch.float64)
    shared, order, images = colours(weights, 6)
    kept = torch.einsum("fc,fp->fcp", shared, images.flatten(1))
    lost = (weights[order].flatten(2) - kept).square().sum(dim=(1, 2))
    discarded = torch.linalg.svdvals(weights[order].flatten(2))[:, 1:].square().sum(dim=1)
    torch.testing.assert_close(lost, discarded)


def test_the_covariance_metric_keeps_the_outputs_best() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1), nn.Flatten(), nn.Linear(96, 5)
    )
    split = Split(torch.rand(64, 1, 4, 4), torch.arange(64) % 5)
    layer = network[1]
    assert isinstance(layer, nn.Conv2d)
    inputs = inputs_of(network, layer, split.inputs)
    targets = predict(layer, inputs)
    lost = {
        metric: float(
            (predict(low_rank(layer, 2, metric, network, split), inputs) - targets).norm()
        )
        for metric in ("frobenius", "covariance", "mahalanobis")
    }
    assert min(lost, key=lambda metric: lost[metric]) == "covariance"
    for metric in lost:
        whole = low_rank(layer, 6, metric, network, split)
        torch.testing.assert_close(predict(whole, inputs), targets, rtol=1e-3, atol=1e-3)


def test_a_weight_that_changes_no_mistake_weighs_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(48, 4))
    inputs = torch.rand(8, 2, 4, 4)
    inputs[:, 1] = 0  # nothing reads the second channel's weights
    weights = dangerous_gradients(network, network[0], Split(inputs, torch.arange(8) % 4))  # type: ignore[arg-type]
    assert bool((weights[:, 1] == 0).all())
    assert bool((weights[:, 0] > 0).all())
