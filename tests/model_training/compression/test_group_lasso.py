"""Group lasso: functions whose weights are small beside the others' are removed."""

import pytest
import torch

from neuralbits.model_training.compression import group_lasso


def make_weights(*sizes: float) -> torch.Tensor:
    """Return weights of 5 units that read 3 bits of each function, of such root mean squares."""
    weights = torch.randn(5, len(sizes), 3, generator=torch.Generator().manual_seed(0))
    weights /= weights.square().mean(dim=(0, 2), keepdim=True).sqrt()
    return (weights * torch.tensor(sizes)[:, None]).view(5, -1)


def test_a_function_is_as_large_as_the_root_mean_square_of_its_weights() -> None:
    assert group_lasso.sizes(make_weights(1, 2, 3), 3).tolist() == pytest.approx([1, 2, 3])


def test_small_functions_give_way_to_large_ones_until_they_are_0() -> None:
    weights = make_weights(0, 0.2, 1, 3)
    before = weights.clone()
    group_lasso.shrink(weights, 4, 0.25)
    sizes = group_lasso.sizes(weights, 4)
    # Each is smaller by 0.25, but for what the whole is scaled by.
    assert (sizes / sizes[3]).tolist() == pytest.approx([0, 0, 0.75 / 2.75, 1])
    assert weights.norm() == pytest.approx(before.norm())
    # Within a function all weights shrink alike.
    torch.testing.assert_close(
        weights[:, 6:9] / before[:, 6:9], (sizes[2] / 1.0).expand(5, 3), rtol=1e-4, atol=0
    )


def test_the_step_is_that_of_the_penalty() -> None:
    # The proximal step minimises ½‖V - W‖² + amount·Σ √|g|·‖V_g‖: there, the gradient is 0.
    weights = make_weights(2.0, 1.0)
    shrunk = weights.clone()
    group_lasso.shrink(shrunk, 2, 0.5)
    shrunk *= 0.5 / (group_lasso.sizes(shrunk, 2)[1])  # as before it was scaled
    shrunk.requires_grad_()
    norms = shrunk.view(5, 2, 3).square().sum(dim=(0, 2)).sqrt()
    ((shrunk - weights).square().sum() / 2 + 0.5 * 15**0.5 * norms.sum()).backward()  # type: ignore[no-untyped-call]
    assert shrunk.grad is not None
    assert shrunk.grad.abs().max() < 1e-5


@pytest.mark.parametrize("amount", [1.0, 1e9])
def test_however_large_the_step_something_is_left(amount: float) -> None:
    weights = make_weights(0.3, 1, 1)
    norm = weights.norm()
    group_lasso.shrink(weights, 3, amount)
    sizes = group_lasso.sizes(weights, 3).tolist()
    assert sizes[0] == 0
    assert min(sizes[1:]) > 0
    assert weights.norm() == pytest.approx(norm)


def test_functions_below_half_of_the_mean_size_are_removed() -> None:
    assert group_lasso.small(make_weights(1, 0.3, 1.5, 0.1, 1), 5) == [1, 3]
    assert group_lasso.small(make_weights(1, 1, 1), 3) == []
    assert group_lasso.small(make_weights(0, 0, 0), 3) == []
