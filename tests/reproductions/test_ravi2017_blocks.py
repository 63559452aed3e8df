import torch

from reproductions.ravi2017 import ProjectionNet, Shape
from reproductions.ravi2017_blocks import BlockNet, block_numbers
from reproductions.shared import parameters


def test_each_pattern_of_bits_has_its_number() -> None:
    patterns = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    numbers = block_numbers(patterns, functions=1)[:, 0]
    assert sorted(numbers.tolist()) == list(range(8))


def test_blocks_can_say_all_that_bits_can() -> None:
    shape = Shape(functions=5, dimensions=3)
    bits, blocks = ProjectionNet(9, 4, shape, seed=2), BlockNet(9, 4, shape, seed=2)
    (linear,) = (each for each in bits.network if isinstance(each, torch.nn.Linear))
    patterns = torch.tensor([[1.0 if n >> b & 1 else -1.0 for b in range(3)] for n in range(8)])
    # The row of a pattern is the sum of the weights of its bits.
    rows = torch.einsum("nb,ctb->tnc", patterns, linear.weight.detach().view(4, 5, 3))
    blocks.rows.data, blocks.bias.data = rows.reshape(40, 4), linear.bias.data
    inputs = torch.randn(50, 9)
    torch.testing.assert_close(blocks(inputs), bits(inputs))


def test_blocks_grow_by_two_to_the_d() -> None:
    shape = Shape(functions=6, dimensions=4)
    assert parameters(ProjectionNet(9, 10, shape, seed=0)) == 6 * 4 * 10 + 10
    assert parameters(BlockNet(9, 10, shape, seed=0)) == 6 * 2**4 * 10 + 10
