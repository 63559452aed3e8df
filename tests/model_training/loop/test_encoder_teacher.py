"""A frozen sentence encoder as the trainer, alone and beside others."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neuralbits import artifact
from neuralbits.artifact import Artifact
from neuralbits.model_training.data import TrainingData
from neuralbits.model_training.loop.joint import JointTraining
from neuralbits.model_training.networks.sentence_encoder import SentenceEncoder
from neuralbits.model_training.settings import Settings
from neuralbits.model_training.views.corpus import NgramCorpus
from neuralbits.network import probabilities
from tests.support.encoders import encoder_folder, needs_encoder

pytestmark = needs_encoder

SETTINGS = Settings(epochs=4, batch_size=8, min_batches=1, transfer_share=2.0).override(
    [
        "projection.stride=16",
        "projection.functions=16",
        "network.widths=16",
        "trainer.names=encoder",
        "trainer.buckets=512",
        "trainer.embedding=16",
        "trainer.hidden=16",
    ]
)
FOREIGN = ("where is my parcel", "cancel my order", "it is raining cats and dogs", "play chess")
SAID = ("put the light on", "brighter please", "some jazz", "is it warm", "lights out", "louder")


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder(encoder_folder())


@pytest.fixture
def data(homes: TrainingData) -> TrainingData:
    torch.set_num_threads(1)
    return replace(homes, transfer=FOREIGN, unlabelled=SAID)


def begin(
    data: TrainingData, encoder: SentenceEncoder, settings: Settings = SETTINGS
) -> JointTraining:
    return JointTraining(settings, data, torch.device("cpu"), encoder=encoder)


def run(training: JointTraining, epochs: int | None = None) -> JointTraining:
    for _ in range(training.settings.epochs if epochs is None else epochs):
        training.run_epoch(lambda done: None)
    return training


def learned(training: JointTraining, data: TrainingData) -> bytes:
    network = training.network()
    return artifact.encode(Artifact(SETTINGS.projection, network, data.labels, 1.0, 0.5, {}))[0]


def test_the_encoder_knows_texts_that_share_no_word_with_the_examples(
    data: TrainingData, encoder: SentenceEncoder
) -> None:
    teacher = begin(data, encoder).encoder
    assert teacher
    logits, chances = teacher.outputs(["illuminate my home", "tunes!", "is it snowing"])
    assert [data.labels[best] for best in logits.argmax(axis=1)] == [
        "turn_on",
        "play_music",
        "weather",
    ]
    assert chances.sum(axis=1) == pytest.approx(1)
    assert teacher.predicted.transfer.shape == (len(FOREIGN), len(data.labels))
    softened = probabilities(teacher.outputs(SAID)[0] / SETTINGS.objective.encoder_temperature)
    assert np.allclose(teacher.predicted.unlabelled.numpy(), softened, atol=1e-6)


def test_of_two_intents_both_have_a_share(data: TrainingData, encoder: SentenceEncoder) -> None:
    keep = ("turn_on", "weather")

    def two(examples):  # type: ignore[no-untyped-def]
        return examples.select(i for i, intent in enumerate(examples.intents) if intent in keep)

    small = replace(data, labels=keep, train=two(data.train), validation=two(data.validation))
    teacher = begin(small, encoder).encoder
    assert teacher
    assert teacher.outputs(["lights on please", "will it rain"])[0].argmax(axis=1).tolist() == [
        0,
        1,
    ]


def test_the_projection_network_learns_its_predictions_of_other_texts(
    data: TrainingData, encoder: SentenceEncoder
) -> None:
    def distance(weight: float) -> float:
        settings = replace(SETTINGS, epochs=40).override([f"objective.transfer_weight={weight}"])
        training = run(begin(data, encoder, settings))
        assert training.encoder
        ngrams = NgramCorpus(training.projection, FOREIGN)
        network = training.network()
        scores = network.scores(ngrams.project(np.arange(len(FOREIGN))))
        mine = probabilities(scores * network.scale)
        return float(np.abs(mine - training.encoder.outputs(FOREIGN)[1]).sum())

    assert distance(2) < 0.7 * distance(0)


def test_of_unlabelled_texts_it_learns_them_while_the_encoder_is_the_better_one(
    data: TrainingData, encoder: SentenceEncoder
) -> None:
    def distance(encoder_accuracy: float) -> float:
        settings = replace(SETTINGS, epochs=30).override(["objective.transfer_weight=0"])
        training = begin(data, encoder, settings)
        training._encoder_accuracy = encoder_accuracy
        run(training)
        assert training.encoder
        ngrams, network = NgramCorpus(training.projection, SAID), training.network()
        scores = network.scores(ngrams.project(np.arange(len(SAID))))
        mine = probabilities(scores * network.scale)
        return float(np.abs(mine - training.encoder.outputs(SAID)[1]).sum())

    assert distance(1.0) < 0.8 * distance(-1.0)


def test_its_figures_stand_beside_the_artifacts(
    data: TrainingData, encoder: SentenceEncoder
) -> None:
    (record,) = run(begin(data, encoder), 1).history
    assert record.trainer_loss is None
    assert record.distillation_loss
    assert record.trainer_accuracy
    assert record.trainer_accuracy > 0.5


def test_beside_an_lstm_the_mean_of_both_teaches(
    data: TrainingData, encoder: SentenceEncoder
) -> None:
    training = run(begin(data, encoder, SETTINGS.override(["trainer.names=lstm+encoder"])), 1)
    assert training.teacher
    assert training.encoder
    assert training.history[0].trainer_loss
    texts = data.validation.texts
    mean = (training.teacher.network.outputs(texts)[1] + training.encoder.outputs(texts)[1]) / 2
    assert np.allclose(training.trainer_outputs(texts)[1], mean)


@pytest.mark.parametrize("names", ["encoder", "feedforward+encoder"])
def test_stopped_and_restored_it_goes_on_as_if_nothing_had_happened(
    data: TrainingData, encoder: SentenceEncoder, names: str
) -> None:
    settings = SETTINGS.override([f"trainer.names={names}"])
    whole = run(begin(data, encoder, settings))
    resumed = begin(data, encoder, settings)
    resumed.restore(run(begin(data, encoder, settings), 2).state())
    assert learned(run(resumed, 2), data) == learned(whole, data)
