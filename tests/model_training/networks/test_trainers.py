"""Trainers: tokens in, logits out, each text on its own, and every kind able to learn."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from neuralbits.model_training.networks.trainers import Ensemble, TokenCorpus, TrainerSettings, pool
from tests.support.homes import UTTERANCES

TEXTS = [text for texts in UTTERANCES.values() for text in texts]
LABELS = [label for label, texts in enumerate(UTTERANCES.values()) for _ in texts]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    # As in the job: for networks as small as these, several threads mostly wait for each other.
    torch.set_num_threads(1)


def trainer(names: str, **settings: float) -> Ensemble:
    torch.manual_seed(0)
    return Ensemble(
        len(UTTERANCES),
        TrainerSettings(names, buckets=512, embedding=16, hidden=16, **settings),
    )


each_trainer = pytest.mark.parametrize("names", ["lstm", "feedforward", "cnn", "lstm+cnn"])


@each_trainer
def test_each_learns_the_intents_of_a_home(names: str) -> None:
    ensemble = trainer(names, embedding_dropout=0.1, dropout=0.1)
    corpus = TokenCorpus(TEXTS, ensemble.buckets)
    labels = torch.tensor(LABELS)
    optimiser = torch.optim.Adam(ensemble.parameters(), lr=0.01)
    for _ in range(60):
        logits = ensemble(corpus.batch(np.arange(len(TEXTS))))
        loss = sum(functional.cross_entropy(member, labels) for member in logits)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimiser.step()
    unseen = ["turn the radio off", "will it rain today", "start a timer"]
    assert ensemble.probabilities(TEXTS).argmax(axis=1).tolist() == LABELS
    assert ensemble.probabilities(unseen).argmax(axis=1).tolist() == [1, 4, 5]


@each_trainer
def test_a_text_is_predicted_alike_whatever_it_is_read_with(names: str) -> None:
    ensemble = trainer(names)
    longer = [*TEXTS, "turn off the lamp " * 20]
    together = ensemble.probabilities(longer)
    alone = np.concatenate([ensemble.probabilities([text]) for text in longer])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(ensemble.probabilities(longer[::-1]), together[::-1], atol=1e-6)


@each_trainer
def test_predictions_are_probabilities_and_the_same_every_time(names: str) -> None:
    ensemble = trainer(names)
    probabilities = ensemble.train().probabilities(TEXTS)
    assert probabilities.shape == (len(TEXTS), len(UTTERANCES))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    assert (ensemble.probabilities(TEXTS) == probabilities).all()


@each_trainer
def test_texts_without_tokens_are_read_like_any_other(names: str) -> None:
    ensemble = trainer(names)
    alone = ensemble.probabilities([""])
    assert np.isfinite(alone).all()
    np.testing.assert_allclose(ensemble.probabilities(["", " ?"]), [alone[0]] * 2, atol=1e-6)
    beside = ensemble.probabilities(["turn off the lamp", ""])
    np.testing.assert_allclose(beside[1], alone[0], atol=1e-6)


def test_more_texts_than_are_read_at_once_keep_their_order() -> None:
    ensemble = trainer("feedforward")
    once = ensemble.probabilities(TEXTS)
    np.testing.assert_allclose(
        ensemble.probabilities(TEXTS * 20), np.tile(once, (20, 1)), atol=1e-6
    )


def test_an_ensemble_predicts_the_mean_of_its_members() -> None:
    ensemble = trainer("lstm+cnn+feedforward").eval()
    with torch.no_grad():
        logits = ensemble(TokenCorpus(TEXTS, ensemble.buckets).batch(np.arange(len(TEXTS))))
    assert logits.shape == (3, len(TEXTS), len(UTTERANCES))
    mean = logits.softmax(dim=2).mean(dim=0)
    np.testing.assert_allclose(ensemble.probabilities(TEXTS), mean, atol=1e-6)


def test_members_of_one_kind_differ() -> None:
    first, second = trainer("cnn+cnn").members
    assert not torch.equal(first.output.weight, second.output.weight)  # type: ignore[union-attr, arg-type]


def test_there_is_no_vocabulary_so_an_unseen_word_with_a_seen_stem_is_understood() -> None:
    # Of a word never seen in training, most character n-grams were.
    ensemble = trainer("feedforward")
    seen, misspelt, other = ensemble.probabilities(["thermostat", "thermostats", "umbrella"])
    assert np.abs(seen - misspelt).sum() < np.abs(seen - other).sum()


def test_a_batch_holds_each_distinct_token_once_and_marks_where_texts_end() -> None:
    batch = TokenCorpus(["on on off", "", "off"], buckets=512).batch(np.array([2, 0, 1]))
    assert batch.positions.tolist() == [[1, 2, 2], [0, 0, 1], [2, 2, 2]]
    assert batch.lengths.tolist() == [1, 3, 1]
    # " on ": the token, " o", "on", "n ", " on", "on ", " on "; likewise 10 of " off ".
    assert batch.offsets.tolist() == [0, 7, 18]
    assert batch.buckets.shape == (18,)
    assert 0 <= int(batch.buckets.min()) <= int(batch.buckets.max()) < 512


def test_pooling_leaves_padding_out() -> None:
    states = torch.tensor([[[-1.0, 2.0], [-3.0, 4.0], [9.0, 9.0]], [[5.0, 5.0]] * 3])
    present = torch.tensor([[True, True, False], [False, False, False]])
    pooled = pool(states, present)
    assert pooled[0].tolist() == [-1, 4, -2, 3]
    assert pooled[1, 2:].tolist() == [0, 0]


@pytest.mark.parametrize("names", ["gru", "", "lstm+", "lstm,cnn"])
def test_a_trainer_that_does_not_exist_is_refused_with_those_that_do(names: str) -> None:
    with pytest.raises(ValueError, match="choose of lstm, feedforward, cnn, encoder, several"):
        TrainerSettings(names)


def test_outputs_are_mean_logits_and_the_probabilities_of_them() -> None:
    alone = trainer("feedforward")
    scores, probabilities = alone.outputs(TEXTS)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), probabilities, atol=1e-12)
    both = trainer("feedforward+cnn")
    first, second = both._logits(TEXTS)
    np.testing.assert_allclose(both.outputs(TEXTS)[0], (first + second) / 2, atol=1e-12)
