"""The joint objective: three cross-entropies, weighed and, one of them, softened."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from neuralbits.model_training.networks.losses import Objective

TRAINER = [[[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]], [[1.0, 0.0, 0.0], [-1.0, 0.5, 0.5]]]
"""The logits of an ensemble of two for two texts and three intents."""
PROJECTION = [[0.5, 0.2, -0.3], [1.0, 1.5, -2.0]]
LABELS = [0, 2]


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    odds = [math.exp(logit / temperature) for logit in logits]
    return [each / sum(odds) for each in odds]


def cross_entropy(predicted: list[float], wanted: list[float]) -> float:
    return -sum(w * math.log(p) for p, w in zip(predicted, wanted, strict=True))


def one_hot(label: int) -> list[float]:
    return [float(label == intent) for intent in range(3)]


def test_the_trainers_loss_is_the_mean_over_its_texts_and_its_members() -> None:
    by_hand = [
        cross_entropy(softmax(row), one_hot(label))
        for member in TRAINER
        for row, label in zip(member, LABELS, strict=True)
    ]
    loss = Objective().trainer_loss(torch.tensor(TRAINER), torch.tensor(LABELS))
    assert loss.item() == pytest.approx(np.mean(by_hand))


def test_the_projections_loss_is_its_mean_cross_entropy_with_the_labels() -> None:
    by_hand = [
        cross_entropy(softmax(row), one_hot(label))
        for row, label in zip(PROJECTION, LABELS, strict=True)
    ]
    loss = Objective().projection_loss(
        torch.tensor(PROJECTION), torch.tensor(LABELS), torch.full((3,), -math.log(3))
    )
    assert loss.item() == pytest.approx(np.mean(by_hand))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_an_ensemble_teaches_the_mean_of_its_members_softened_predictions(
    temperature: float,
) -> None:
    taught = Objective(temperature=temperature).soft_labels(torch.tensor(TRAINER))
    by_hand = [
        np.mean([softmax(member[text], temperature) for member in TRAINER], axis=0)
        for text in range(2)
    ]
    np.testing.assert_allclose(taught.numpy(), by_hand, rtol=1e-6)
    assert taught.sum(dim=1).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_the_distillation_loss_is_softened_and_scaled_by_the_temperature(
    temperature: float,
) -> None:
    taught = [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]
    by_hand = np.mean(
        [
            cross_entropy(softmax(row, temperature), wanted)
            for row, wanted in zip(PROJECTION, taught, strict=True)
        ]
    )
    logits = torch.tensor(PROJECTION)
    scaled = Objective(temperature=temperature)
    unscaled = Objective(temperature=temperature, scale_by_temperature=False)
    loss = unscaled.distillation_loss(logits, torch.tensor(taught)).item()
    assert loss == pytest.approx(by_hand)
    loss = scaled.distillation_loss(logits, torch.tensor(taught)).item()
    assert loss == pytest.approx(by_hand * temperature**2)


def distillation_gradient(objective: Objective) -> float:
    """Return the size of the gradient that the distillation loss gives the projection network."""
    logits = torch.tensor(PROJECTION, requires_grad=True)
    objective.distillation_loss(logits, objective.soft_labels(torch.tensor(TRAINER))).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return float(logits.grad.norm())


def test_scaled_by_the_temperature_squared_the_gradient_keeps_its_size() -> None:
    # For high temperatures the gradient of the soft loss is (logits - taught logits) / (C·T²).
    warm, hot, hotter = (distillation_gradient(Objective(temperature=t)) for t in (2.0, 20.0, 40.0))
    assert 0.5 < warm / hot < 2
    assert hotter == pytest.approx(hot, rel=0.05)
    unscaled = [
        distillation_gradient(Objective(temperature=t, scale_by_temperature=False))
        for t in (20.0, 40.0)
    ]
    assert unscaled[0] == pytest.approx(4 * unscaled[1], rel=0.05)


def test_the_trainer_does_not_yield_to_the_projection_network() -> None:
    trainer = torch.tensor(TRAINER, requires_grad=True)
    projection = torch.tensor(PROJECTION, requires_grad=True)
    objective = Objective(temperature=2.0)
    loss: Tensor = objective.distillation_loss(projection, objective.soft_labels(trainer))
    loss.backward()  # type: ignore[no-untyped-call]
    assert projection.grad is not None
    assert trainer.grad is None


def test_the_weights_and_the_temperature_are_the_papers() -> None:
    objective = Objective()
    assert (objective.trainer_weight, objective.distillation_weight) == (1.0, 0.1)
    assert (objective.projection_weight, objective.temperature) == (1.0, 1.0)


def test_the_projection_loss_asks_a_larger_margin_of_a_rare_intent() -> None:
    """Logit adjustment: what is added to the logits is ln of the intents' shares, times τ."""
    logits, priors = torch.zeros(1, 2), torch.tensor([0.9, 0.1])
    for tau, rare, frequent in (
        (1.0, -math.log(0.1), -math.log(0.9)),
        (0.0, math.log(2), math.log(2)),
    ):
        objective = Objective(prior_adjustment=tau)
        for label, expected in ((1, rare), (0, frequent)):
            loss = objective.projection_loss(logits, torch.tensor([label]), priors.log())
            assert loss.item() == pytest.approx(expected)


def test_the_outlier_loss_is_least_where_all_intents_are_equally_likely() -> None:
    objective = Objective()
    level = objective.outlier_loss(torch.zeros(2, 3)).item()
    assert level == pytest.approx(np.log(3))
    assert objective.outlier_loss(torch.tensor(PROJECTION)).item() > level
    by_hand = np.mean([cross_entropy(softmax(row, 1.0), [1 / 3] * 3) for row in PROJECTION])
    assert objective.outlier_loss(torch.tensor(PROJECTION)).item() == pytest.approx(by_hand)


def test_the_unlabelled_loss_is_least_where_both_predictions_agree() -> None:
    objective, logits = Objective(), torch.tensor(PROJECTION)
    guesses = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    by_hand = np.mean(
        [
            cross_entropy(softmax(row, 1.0), guess)
            for row, guess in zip(PROJECTION, guesses.tolist(), strict=True)
        ]
    )
    loss = objective.unlabelled_loss(logits, guesses).item()
    assert loss == pytest.approx(by_hand)
    assert objective.unlabelled_loss(guesses.log(), guesses).item() < loss


def test_the_graph_loss_is_the_distance_of_the_ends_predictions() -> None:
    objective, logits = Objective(), torch.tensor(PROJECTION)
    assert objective.graph_loss(torch.cat([logits, logits])).item() == 0
    ends = torch.cat([logits, logits.flip(1)])
    by_hand = np.mean(
        [
            sum(
                (a - b) ** 2
                for a, b in zip(softmax(row, 1.0), softmax(row[::-1], 1.0), strict=True)
            )
            for row in PROJECTION
        ]
    )
    assert objective.graph_loss(ends).item() == pytest.approx(by_hand)


def test_the_encoders_loss_has_a_temperature_apart() -> None:
    objective = Objective(temperature=3.0, encoder_temperature=1.0)
    logits, soft = torch.tensor(PROJECTION), torch.tensor(PROJECTION).softmax(dim=1)
    plain = Objective().distillation_loss(logits, soft)
    assert objective.encoder_loss(logits, soft).item() == pytest.approx(plain.item())
    assert objective.encoder_loss(logits, soft) != objective.distillation_loss(logits, soft)


def test_weights_of_2_and_0_are_an_example_twice_and_none() -> None:
    objective = Objective()
    logits, labels = torch.tensor(PROJECTION), torch.tensor(LABELS)
    weights = torch.tensor([2.0, 0.0])
    weighted = objective.projection_loss(logits, labels, None, weights)
    assert weighted == objective.projection_loss(logits[[0, 0]], labels[[0, 0]])
    trainer = torch.tensor(TRAINER)
    weighted = objective.trainer_loss(trainer, labels, weights)
    expected = objective.trainer_loss(trainer[:, [0, 0]], labels[[0, 0]])
    assert weighted == pytest.approx(expected)
