"""From bits to probabilities: docs/projection.md, section 6."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbits.network import Activation, Layer, Network, margin, probabilities
from neuralbits.packing import LIMITS, PRECISIONS, Precision, pack


def random_layer(
    generator: np.random.Generator,
    units: int,
    inputs: int,
    precision: Precision = "int8",
    activation: Activation = "linear",
    output: bool = False,
) -> Layer:
    if precision == "float":
        weights = pack(generator.normal(size=(units, inputs)), "float").astype(np.float64)
        bias: Any = generator.normal(size=units).astype(np.float32)
    elif precision == "binary":
        weights = generator.choice([-1.0, 1.0], (units, inputs))
        bias = generator.integers(-9, 9, units, dtype=np.int32)
    else:
        limit = LIMITS[precision]
        weights = generator.integers(-limit, limit, (units, inputs), endpoint=True).astype(float)
        bias = generator.integers(-999, 999, units, dtype=np.int32)
    multiplier = None if output else generator.integers(1, 2**15, units, dtype=np.int16)
    return Layer(weights, precision, bias, multiplier, 0 if output else 14, activation)


def scores_in_integers(layers: list[Layer], bits: list[list[int]]) -> list[int]:
    """Compute the scores with Python's integers, as a processor without floats does."""
    values = [2 * (2 * high - 1) + 2 * low - 1 for high, low in zip(*bits, strict=True)]
    for layer in layers:
        sums = [
            sum(int(w) * v for w, v in zip(row, values, strict=True)) + int(bias)
            for row, bias in zip(layer.weights, layer.bias, strict=True)
        ]
        if layer.multiplier is None:
            return sums
        low = 0 if layer.activation == "relu" else -127
        half = 1 << layer.shift >> 1
        values = [
            min(max((s * int(m) + half) >> layer.shift, low), 127)
            for s, m in zip(sums, layer.multiplier, strict=True)
        ]
    raise AssertionError("there is no output layer")


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("precision", [p for p in PRECISIONS if p != "float"])
def test_scores_equal_those_of_integer_arithmetic(
    precision: Precision, activation: Activation
) -> None:
    generator = np.random.default_rng(0)
    layers = [
        random_layer(generator, 5, 40, precision, activation),
        random_layer(generator, 7, 5, precision, activation),
        random_layer(generator, 3, 7, precision, output=True),
    ]
    bits = generator.integers(0, 2, (20, 2, 40), dtype=np.uint8)
    expected = [scores_in_integers(layers, row) for row in bits.tolist()]
    assert Network(layers, 1.0).scores(bits).tolist() == expected


@given(st.sampled_from(PRECISIONS), st.integers(1, 30), st.randoms())
def test_a_row_has_the_same_probabilities_alone_in_a_batch_and_in_any_order(
    precision: Precision, batch: int, random: Any
) -> None:
    generator = np.random.default_rng(random.randrange(2**32))
    network = Network(
        [
            random_layer(generator, 6, 300, precision),
            random_layer(generator, 11, 6, precision, output=True),
        ],
        scale=0.01,
    )
    bits = generator.integers(0, 2, (batch, 2, 300), dtype=np.uint8)
    order = np.array(random.sample(range(batch), batch))
    together = probabilities(network.scores(bits) * (network.scale / 1.3))
    shuffled = probabilities(network.scores(bits[order]) * (network.scale / 1.3))
    alone = [
        probabilities(network.scores(row[None]) * (network.scale / 1.3))[0].tolist() for row in bits
    ]
    assert together.tolist() == alone
    assert shuffled.tolist() == together[order].tolist()


def test_probabilities_add_up_to_1_and_follow_the_scores() -> None:
    generator = np.random.default_rng(0)
    network = Network([random_layer(generator, 9, 64, output=True)], scale=0.02)
    bits = generator.integers(0, 2, (50, 1, 64), dtype=np.uint8)
    shares = probabilities(network.scores(bits) * network.scale)
    assert np.allclose(shares.sum(axis=1), 1)
    assert np.array_equal(shares.argsort(axis=1), network.scores(bits).argsort(axis=1))


def test_the_margin_is_the_sum_of_the_distances_to_the_greatest_score() -> None:
    assert margin(np.array([[5.0, -1.0, 2.0], [4.0, 4.0, 4.0]])).tolist() == [9, 0]


def test_a_constant_added_to_all_scores_changes_no_margin() -> None:
    scores = np.array([[5.0, -1.0, 2.0]])
    assert margin(scores + 1000) == margin(scores)


def test_a_high_temperature_levels_probabilities_and_a_low_one_does_not_overflow() -> None:
    network = Network([random_layer(np.random.default_rng(0), 4, 64, output=True)], scale=1.0)
    scores = network.scores(np.ones((1, 1, 64), dtype=np.uint8))
    assert np.allclose(probabilities(scores * (network.scale / 1e9)), 0.25, atol=1e-4)
    assert np.isfinite(probabilities(scores * (network.scale / 1e-9))).all()
