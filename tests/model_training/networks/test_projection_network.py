"""The projection network: what is trained in floats is what the artifact computes in integers."""

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from neuralbits import artifact, packing
from neuralbits.artifact import Artifact
from neuralbits.model_training.networks.projection_network import (
    ACTIVATION_RANGE,
    HiddenLayer,
    NetworkSettings,
    ProjectionNetwork,
    QuantisedLinear,
    quantise,
)
from neuralbits.network import ACTIVATION_LIMIT, read
from neuralbits.packing import LIMITS, PRECISIONS, Precision
from neuralbits.projection import Projection

PROJECTION = Projection(functions=16, dimensions=64, stride=4)
INTENTS = 6
STEP = ACTIVATION_RANGE / ACTIVATION_LIMIT

every_network = pytest.mark.parametrize(
    "settings",
    [
        NetworkSettings(widths, first, after, activation)
        for widths in [(), (24,), (24, 16)]
        for first, after in [*((each, each) for each in PRECISIONS), ("binary", "int8")]
        for activation in ("linear", "relu")
        if widths or (activation == "linear" and first == after)
    ],
    ids=lambda s: f"{s.first_precision}-{s.precision}-{s.activation}-{len(s.widths)}",
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    # As in the job: for networks as small as these, several threads mostly wait for each other.
    torch.set_num_threads(1)


def examples(seed: int, texts: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.intp]]:
    """Draw bits that are an intent's own, four of ten being noise; and the intents."""
    intents = np.random.default_rng(0).integers(0, 2, (INTENTS, 2, PROJECTION.sums))
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, INTENTS, texts)
    noise = generator.random((texts, 2, PROJECTION.sums)) < 0.4
    return (intents[labels] ^ noise).astype(np.uint8), labels


def values(bits: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(read(bits, np.float32))


@cache
def trained(settings: NetworkSettings) -> ProjectionNetwork:
    torch.manual_seed(0)
    network = ProjectionNetwork(PROJECTION.sums, INTENTS, settings)
    adam = torch.optim.Adam(network.parameters(), lr=2e-3)
    for batch in range(40):
        bits, labels = examples(batch + 1, 64)
        loss = functional.cross_entropy(network(values(bits)), torch.from_numpy(labels))
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return network.eval().double()  # so that what differs is not the rounding of float32


@every_network
def test_layer_by_layer_the_folded_network_computes_what_the_trained_one_does(
    settings: NetworkSettings,
) -> None:
    network, (bits, _) = trained(settings), examples(0, 300)
    folded = network.fold()
    # Whole numbers, and what 1 of them is in the trained network.
    values, scale = read(bits, np.float64), 1.0
    for layer, whole in zip(network.hidden, folded.layers, strict=False):
        expected = layer(torch.from_numpy(values * scale)).detach().numpy() / STEP
        values, scale = whole.activate(whole.accumulate(values)), STEP
        # A sum close to the middle between two whole numbers may be rounded either way.
        assert np.abs(values - expected).max() < 1 + 1e-6
        assert np.mean(np.rint(expected) != values) < 0.25
    logits = network.output(torch.from_numpy(values * scale)) + network.bias
    scores = folded.layers[-1].accumulate(values)
    # The bias alone is rounded, by half a score at most.
    assert np.abs(scores - logits.detach().numpy() / folded.scale).max() < 0.5 + 1e-6


@every_network
def test_the_folded_network_answers_as_the_trained_one_does(settings: NetworkSettings) -> None:
    network, (bits, labels) = trained(settings), examples(0, 300)
    logits = network(values(bits).double()).detach().numpy()
    folded = network.fold()
    answers = folded.scores(bits) * folded.scale
    assert np.std(answers - logits) < 0.02 * np.std(logits)
    assert np.mean(answers.argmax(axis=1) == logits.argmax(axis=1)) >= 0.99
    assert np.mean(answers.argmax(axis=1) == labels) > 0.8  # so there was something to agree on


@every_network
def test_an_artifact_holds_the_folded_network_unchanged(settings: NetworkSettings) -> None:
    network, (bits, _) = trained(settings).fold(), examples(0, 10)
    labels = tuple(f"intent {number}" for number in range(INTENTS))
    content, _ = artifact.encode(Artifact(PROJECTION, network, labels, 1.0, 0.5, {}))
    held = artifact.decode(content).network
    assert held.scores(bits).tolist() == network.scores(bits).tolist()
    assert held.scale == network.scale
    for layer in network.layers:
        stored = packing.pack(layer.weights, layer.precision)
        restored = packing.unpack(stored, layer.precision, layer.weights.shape)
        assert restored.tolist() == layer.weights.tolist()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_in_blocks_a_functions_bits_are_an_index_into_rows_that_are_learned(
    precision: Precision,
) -> None:
    projection = Projection(functions=200, dimensions=4, code_bits=1, stride=2, blocks=True)
    generator = np.random.default_rng(0)
    bits = projection.code(generator.integers(-5, 6, (64, projection.sums)))
    torch.manual_seed(0)
    network = ProjectionNetwork(projection.inputs, INTENTS, NetworkSettings((8,), precision))
    for _ in range(50):
        network(values(bits))  # batch normalisation learns its statistics
    folded = network.eval().fold()
    layer = folded.layers[0]

    # What is no more than T additions, one row a function, is what the layer computes: the sums
    # of the rows that aren't taken are the bias's.
    rows = layer.weights.T.reshape(200, 2**4, 8)
    numbers = bits.reshape(64, 200, 2**4).argmax(axis=2)
    looked_up = 2 * rows[np.arange(200), numbers].sum(axis=1) + layer.bias - rows.sum(axis=(0, 1))
    assert np.allclose(layer.accumulate(read(bits, np.float64)), looked_up, rtol=0, atol=1e-4)
    if precision != "float":
        assert layer.accumulate(read(bits, np.float64)).tolist() == looked_up.tolist()

    logits = network.double()(values(bits).double()).detach().numpy()
    answers = folded.scores(bits) * folded.scale
    assert np.std(answers - logits) < 0.03 * np.std(logits)
    labels = tuple(f"intent {number}" for number in range(INTENTS))
    content, _ = artifact.encode(Artifact(projection, folded, labels, 1.0, 0.5, {}))
    held = artifact.decode(content)
    assert held.projection == projection
    assert held.network.scores(bits).tolist() == folded.scores(bits).tolist()


def test_folding_leaves_the_network_as_it_is() -> None:
    network = trained(NetworkSettings(widths=(24,)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert network.train().fold().scale == network.eval().fold().scale
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("widths", "precisions", "units"),
    [
        ((), ["binary"], [INTENTS]),
        ((24,), ["binary", "int4"], [24, INTENTS]),
        ((24, 16), ["binary", "int4", "int4"], [24, 16, INTENTS]),
    ],
)
def test_the_layer_that_reads_the_bits_has_a_precision_of_its_own(
    widths: tuple[int, ...], precisions: list[Precision], units: list[int]
) -> None:
    layers = ProjectionNetwork(PROJECTION.sums, INTENTS, NetworkSettings(widths)).fold().layers
    assert [layer.precision for layer in layers] == precisions
    assert [layer.units for layer in layers] == units


@pytest.mark.parametrize("precision", [each for each in PRECISIONS if each != "float"])
def test_quantised_weights_are_whole_numbers_within_the_limits(precision: Precision) -> None:
    weights = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    quantised, scale = quantise(weights, precision)
    assert torch.equal(quantised, quantised.round())
    assert quantised.abs().max() == LIMITS[precision]
    # Even of normal weights in one bit, 2/π of the energy is kept.
    assert (quantised * scale - weights).norm() < (1 - 2 / np.pi) ** 0.5 * 1.05 * weights.norm()


def test_binary_weights_are_signs_times_the_mean_magnitude() -> None:
    quantised, scale = quantise(torch.tensor([[0.5, -0.1, 0.0, 0.2]]), "binary")
    assert quantised.tolist() == [[1, -1, -1, 1]]
    assert scale.item() == pytest.approx(0.2)


def test_ternary_weights_leave_out_what_is_below_seven_tenths_of_the_mean_magnitude() -> None:
    quantised, scale = quantise(torch.tensor([[0.5, -0.1, 0.15, -0.25]]), "ternary")
    assert quantised.tolist() == [[1, 0, 0, -1]]
    assert scale.item() == pytest.approx(0.375)


@pytest.mark.parametrize(("precision", "limit"), [("int4", 7), ("int8", 127)])
def test_integer_weights_are_off_by_half_a_step_at_most(precision: Precision, limit: int) -> None:
    weights = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    quantised, scale = quantise(weights, precision)
    assert scale.item() == pytest.approx(weights.abs().max().item() / limit)
    assert (quantised * scale - weights).abs().max() <= scale * 0.5001


def test_float_weights_are_left_as_they_are() -> None:
    weights = torch.randn(4, 5)
    quantised, scale = quantise(weights, "float")
    assert torch.equal(quantised, weights)
    assert scale == 1


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_linear_map_computes_with_quantised_weights_and_learns_as_if_it_did_not(
    precision: Precision,
) -> None:
    torch.manual_seed(0)
    linear, inputs = QuantisedLinear(30, 20, precision), torch.randn(8, 30)
    outputs, wanted = linear(inputs), torch.randn(8, 20)
    whole, scale = linear.whole_weights()
    np.testing.assert_allclose(outputs.detach(), inputs.numpy() @ whole.T * scale, atol=1e-5)
    (outputs * wanted).sum().backward()
    # The gradient of a linear map without quantisation: straight through the rounding.
    torch.testing.assert_close(linear.weight.grad, wanted.T @ inputs)


def test_gradients_reach_the_weights_of_every_layer() -> None:
    network = ProjectionNetwork(PROJECTION.sums, INTENTS, NetworkSettings((24, 16)))
    bits, labels = examples(0, 64)
    loss = functional.cross_entropy(network(values(bits)), torch.from_numpy(labels))
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("activation", "low"), [("linear", -127), ("relu", 0)])
def test_activations_are_whole_numbers_of_8_bits(activation: str, low: int) -> None:
    torch.manual_seed(0)
    layer = HiddenLayer(30, 20, "binary", activation)  # type: ignore[arg-type]
    activations = layer(torch.randn(64, 30) * 10) / STEP
    torch.testing.assert_close(activations, activations.round(), atol=1e-4, rtol=0)
    assert low - 1e-4 <= activations.min() <= low / 2
    assert 63 < activations.max() <= 127 + 1e-4


def test_an_activation_beyond_the_range_passes_no_gradient() -> None:
    layer = HiddenLayer(4, 3, "float", "linear").eval()
    layer.offset.data = torch.tensor([0.0, 2 * ACTIVATION_RANGE, -2 * ACTIVATION_RANGE])
    layer(torch.zeros(1, 4)).sum().backward()
    assert layer.offset.grad is not None
    assert layer.offset.grad.tolist() == [1, 0, 0]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_quantised_weights_keep_their_type(precision: Precision) -> None:
    # Folded weights of another type than the bits' would be converted for every text.
    quantised, _ = quantise(torch.randn(3, 4, dtype=torch.float64), precision)
    assert quantised.dtype == torch.float64
