"""Specialists: groups of confusable intents, and predictions joined with the generalist's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from neuralbits.model_training.networks.specialists import (
    Specialists,
    SpecialistSettings,
    confusable,
    join,
)
from neuralbits.model_training.networks.trainers import TokenCorpus, TrainerSettings
from tests.support.homes import UTTERANCES

TRAINER = TrainerSettings(
    "feedforward",
    buckets=512,
    embedding=8,
    hidden=8,
    token_dropout=0,
    embedding_dropout=0,
    dropout=0,
)
GROUPS = [[0, 1], [2, 3, 4, 5]]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_intents_that_are_taken_for_one_another_share_a_group() -> None:
    # Each text's prediction is shared out at random among the intents of its triple.
    generator = np.random.default_rng(0)
    triples = np.array([[0, 4, 8], [1, 5, 6], [2, 3, 7]])
    predictions = np.full((900, 9), 0.001)
    for text, row in enumerate(predictions):
        row[triples[text % 3]] += generator.dirichlet([1, 1, 1])
    predictions /= predictions.sum(axis=1, keepdims=True)
    assert sorted(confusable(predictions, 3, seed=0)) == triples.tolist()


def test_intents_that_are_never_confused_are_in_some_group_all_the_same() -> None:
    groups = confusable(np.eye(7)[np.arange(70) % 7], 3, seed=0)
    assert sorted(intent for group in groups for intent in group) == list(range(7))


def softmax(logits: Tensor) -> Tensor:
    return torch.softmax(logits.double(), dim=-1)


def divergence(
    general: Tensor, special: Tensor, dustbin: Tensor, inside: Tensor, q: Tensor
) -> float:
    """Return KL(g, q) + KL(s, q) of one text, as the paper writes it."""
    of_general = (general * (general / q).log()).sum()
    s = special[inside]
    of_special = (s * (s / q[inside]).log()).sum()
    return float(of_general + of_special + dustbin * (dustbin / q[~inside].sum()).log())


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), intents=st.integers(2, 8), data=st.data())
def test_no_other_prediction_is_nearer_to_both(
    seed: int, intents: int, data: st.DataObject
) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = data.draw(st.integers(1, intents - 1))
    inside = torch.arange(intents) < size
    general = softmax(3 * torch.randn(intents, generator=generator))
    own = softmax(3 * torch.randn(size + 1, generator=generator))
    special = torch.zeros(intents, dtype=torch.float64)
    special[inside] = own[:-1]
    joined = join(general[None], special[None], own[-1:, None], inside[None])[0]
    assert joined.sum() == pytest.approx(1)
    least = divergence(general, special, own[-1], inside, joined)
    for change in (1.0, 0.1, 0.01):
        rival = softmax(joined.log() + change * torch.randn(intents, generator=generator))
        assert least <= divergence(general, special, own[-1], inside, rival) + 1e-12


def test_a_generalist_without_a_doubt_leaves_a_prediction_too() -> None:
    general = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    special = torch.tensor([[0.5, 0.1, 0.0, 0.0]])
    inside = torch.tensor([[True, True, False, False]])
    joined = join(general, special, torch.tensor([[0.4]]), inside)
    assert joined[0].tolist() == pytest.approx([0.75, 0.05, 0.1, 0.1])


def test_specialists_learn_to_tell_the_intents_of_their_group_apart() -> None:
    texts = [text for group in UTTERANCES.values() for text in group]
    labels = torch.tensor([i for i, group in enumerate(UTTERANCES.values()) for _ in group])
    batch = TokenCorpus(texts, TRAINER.buckets).batch(np.arange(len(texts)))
    torch.manual_seed(0)
    specialists = Specialists(GROUPS, SpecialistSettings(width=16, learning_rate=0.01), TRAINER)
    # This generalist knows the group, but nothing within it.
    known = torch.zeros(len(texts), 6)
    for group in GROUPS:
        mine = torch.isin(labels, torch.tensor(group))
        known[mine[:, None] & torch.isin(torch.arange(6), torch.tensor(group))] = 1 / len(group)
    for _ in range(150):
        soft_labels = specialists.refine(batch, labels, known, temperature=1.0)
    assert soft_labels.sum(dim=1).tolist() == pytest.approx([1.0] * len(texts))
    assert torch.equal(soft_labels.argmax(dim=1), labels)
    assert not soft_labels.requires_grad


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"groups": 1}, "groups is 1"),
        ({"groups": -2}, "groups is -2"),
        ({"after": 0}, "after is 0"),
        ({"width": 0}, "width 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SpecialistSettings(**change)  # type: ignore[arg-type]
