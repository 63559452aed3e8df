from math import cos, pi, sin

import pytest
import torch

from reproductions.examples import Examples, Split
from reproductions.ravi2017 import (
    SHAPES,
    TRAINER_WIDTHS,
    ProjectionNet,
    Shape,
    activations,
    project,
    projection_vectors,
    train_jointly,
)
from reproductions.shared import feed_forward, parameters


def tiny(seed: int = 0) -> Examples:
    """Two classes of vectors, told apart by their first half."""
    torch.manual_seed(seed)
    labels = torch.arange(120) % 2
    inputs = torch.randn(120, 1, 2, 8)
    inputs[:, 0, 0] += 2.0 * (2 * labels[:, None] - 1)
    split = Split(inputs, labels)
    return Examples("tiny", 2, split, split, split)


@pytest.mark.parametrize("angle", [0.1, pi / 4, pi / 2, 2.5])
def test_theorem_1_bits_differ_in_proportion_to_the_angle(angle: float) -> None:
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(30, 2)).Q.T
    pair = torch.stack([basis[0], 5 * (cos(angle) * basis[0] + sin(angle) * basis[1])])
    bits = project(pair, projection_vectors(30, 20_000, seed=1))
    differ = float((bits[0] != bits[1]).float().mean())
    deviation = (angle / pi * (1 - angle / pi) / 20_000) ** 0.5
    assert abs(differ - angle / pi) < 4 * deviation


def test_vectors_are_drawn_from_the_index_and_the_seed_alone() -> None:
    few, many = projection_vectors(10, 64, seed=0), projection_vectors(20, 64, seed=0)
    assert torch.equal(few, many[:, :10])
    assert not torch.equal(few, projection_vectors(10, 64, seed=1))
    assert abs(float(many.mean())) < 0.1
    assert abs(float(many.std()) - 1) < 0.1


def test_the_compression_ratios_are_those_of_the_paper() -> None:
    whole = parameters(feed_forward(784, TRAINER_WIDTHS, 10))
    assert whole == 2_797_010
    ratios = [
        round(whole / parameters(ProjectionNet(784, 10, shape, seed=0)))
        for shape in SHAPES
        if shape.paper
    ]
    assert ratios == [3453, 2312, 465, 388, 36, 15, 13]


def test_one_trainer_teaches_each_network_as_if_it_were_alone() -> None:
    data = tiny()
    shapes = (Shape(4, 4), Shape(2, 4, (8,)), Shape(3, 4, layer=1))

    def learn(chosen: tuple[Shape, ...]) -> list[list[torch.Tensor]]:
        torch.manual_seed(0)
        trainer = feed_forward(16, (6,), 2)
        nets = []
        for shape in chosen:
            torch.manual_seed(shape.bits)
            nets.append((shape, ProjectionNet(6 if shape.layer else 16, 2, shape, seed=3)))
        train_jointly(trainer, nets, data, epochs=2, seed=0)
        return [list(each.parameters()) for each in (trainer, *(net for _, net in nets))]

    trainer, *together = learn(shapes)
    for shape, net in zip(shapes, together, strict=True):
        trainer_alone, net_alone = learn((shape,))
        for one, other in zip([*trainer, *net], [*trainer_alone, *net_alone], strict=True):
            torch.testing.assert_close(one, other)


def test_a_hidden_layer_is_projected_behind_its_activation() -> None:
    trainer = feed_forward(16, (6, 5), 2)
    layers = activations(trainer, tiny().train.inputs)
    assert [layer.shape[1] for layer in layers] == [16, 6, 5, 2]
    assert all(bool((layer >= 0).all()) for layer in layers[1:3])
    torch.testing.assert_close(layers[-1], trainer(tiny().train.inputs))
