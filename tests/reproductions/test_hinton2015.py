import pytest
import torch

from neuralbits.model_training.networks.losses import Objective
from neuralbits.model_training.networks.specialists import join
from reproductions.examples import Examples, Split
from reproductions.hinton2015 import bias_for, student_of, teacher_of
from reproductions.hinton2015_specialists import confused_groups, joined, specialist
from reproductions.shared import accuracy, feed_forward, fit, predict


def gradient(temperature: float, *, scaled: bool) -> torch.Tensor:
    torch.manual_seed(0)
    student, teacher = torch.randn(16, 10, requires_grad=True), torch.randn(1, 16, 10)
    objective = Objective(temperature=temperature, scale_by_temperature=scaled)
    loss = objective.distillation_loss(student, objective.soft_labels(teacher))
    return torch.autograd.grad(loss, student)[0]


def test_gradients_shrink_by_the_square_of_the_temperature_unless_scaled() -> None:
    ratio = gradient(100, scaled=False).norm() / gradient(50, scaled=False).norm()
    assert float(ratio) == pytest.approx(1 / 4, rel=0.02)
    ratio = gradient(100, scaled=True).norm() / gradient(50, scaled=True).norm()
    assert float(ratio) == pytest.approx(1, rel=0.02)


def test_at_a_high_temperature_distillation_matches_logits() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(16, 10), torch.randn(1, 16, 10)
    apart = student - teacher[0]
    expected = (apart - apart.mean(dim=1, keepdim=True)) / 10 / 16  # (z − v) / N, mean of 16
    torch.testing.assert_close(gradient(1000, scaled=True), expected, rtol=0.02, atol=1e-4)


def digits(classes: int = 3, count: int = 240) -> Examples:
    """Classes that lie on a line, so that a teacher's doubts tell of their order."""
    torch.manual_seed(0)
    labels = torch.arange(count) % classes
    inputs = torch.randn(count, 1, 1, 4) * 0.7 + 1.5 * labels.view(-1, 1, 1, 1)
    split = Split(inputs, labels)
    return Examples("line", classes, split, split, split)


def test_a_student_knows_a_class_that_it_never_saw() -> None:
    data = digits()
    teacher = teacher_of(data.train, data, epochs=15, seed=0)
    seen = torch.nonzero(data.train.labels != 1)[:, 0]
    logits = predict(teacher, data.train.inputs)[None, seen]
    student = student_of(
        data.train[seen], data, 60, 0, logits, Objective(temperature=4.0, projection_weight=0)
    )
    guesses = predict(student, data.test.inputs)
    shift = bias_for(guesses, data.validation.labels, digit=1)
    guesses[:, 1] += shift
    of_class = data.test.labels == 1
    assert accuracy(guesses[of_class], data.test.labels[of_class]) > 50


def test_the_bias_is_raised_until_the_class_is_chosen() -> None:
    logits = torch.tensor([[3.0, 0.0], [3.0, 2.0], [3.0, 2.5]])
    assert bias_for(logits, torch.tensor([0, 1, 1]), digit=1) in (
        1.25,
        1.5,
        1.75,
        2.0,
        2.25,
        2.5,
        2.75,
    )


def test_classes_that_are_confused_share_a_group() -> None:
    torch.manual_seed(0)
    labels = torch.arange(600) % 6
    doubt = torch.rand(600, 1) / 2
    own = torch.nn.functional.one_hot(labels, 6)
    pair = torch.nn.functional.one_hot(labels ^ 1, 6)  # 0 with 1, 2 with 3, 4 with 5
    groups = confused_groups((1 - doubt) * own + doubt * pair, groups=3, seed=1)
    assert sorted(c for group in groups for c in group) == list(range(6))
    assert all(({c, c ^ 1} <= set(group)) for group in groups for c in group)


def test_one_specialist_is_joined_as_the_closed_form_says() -> None:
    torch.manual_seed(0)
    general = torch.randn(8, 5).softmax(dim=1)
    special = torch.randn(8, 3).softmax(dim=1)  # of classes 1 and 3, and the dustbin
    inside = torch.tensor([False, True, False, True, False]).expand(8, 5)
    wide = torch.zeros(8, 5)
    wide[:, [1, 3]] = special[:, :2]
    expected = join(general, wide, special[:, 2:], inside)
    found = joined(general, [special], [[1, 3]], steps=1000)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=1e-3)


def test_a_specialist_knows_how_rare_its_group_is() -> None:
    data = digits(classes=6, count=600)
    torch.manual_seed(0)
    generalist = feed_forward(4, (16,), 6)
    fit(generalist, data.train, epochs=15, seed=0)
    network = specialist(generalist, [2], data.train, epochs=15, seed=0)
    probabilities = predict(network, data.test.inputs).softmax(dim=1)
    # It saw its group in half of the examples; a sixth of the test is of it.
    assert float(probabilities[:, 0].mean()) == pytest.approx(1 / 6, abs=0.06)
