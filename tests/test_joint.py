"""Joint training: one seed, one network; stopped and restored, still the same one."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from model_training import data
from model_training.data import TrainingData
from model_training.joint import JointTraining, Stopped
from model_training.settings import Settings
from neuralbits import artifact
from neuralbits.artifact import Artifact
from neuralbits.network import Network
from tests.homes import UTTERANCES

SETTINGS = Settings(epochs=4, batch_size=8).override(
    [
        "projection.functions=16",
        "network.widths=16",
        "trainer.names=feedforward",
        "trainer.buckets=512",
        "trainer.embedding=16",
        "trainer.hidden=16",
    ]
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    # As in the job: the order of additions, and so their rounding, hangs on the threads.
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    file = tmp_path_factory.mktemp("homes") / "homes.csv"
    rows = [f"{text},{intent}" for intent, texts in UTTERANCES.items() for text in texts]
    file.write_text("\n".join(["text,intent", *rows]))
    return data.from_files(file)


def begin(homes: TrainingData, settings: Settings = SETTINGS) -> JointTraining:
    return JointTraining(settings, homes, torch.device("cpu"))


def run(training: JointTraining, epochs: int | None = None) -> JointTraining:
    for _ in range(training.settings.epochs if epochs is None else epochs):
        training.run_epoch(lambda done: None)
    return training


def content(network: Network, homes: TrainingData) -> bytes:
    """Return the artifact's bytes: equal if, and only if, all that was learned is."""
    return artifact.encode(Artifact(SETTINGS.projection, network, homes.labels, 1.0, 0.5, {}))[0]


def learned(training: JointTraining, homes: TrainingData) -> bytes:
    return content(training.best_network(), homes)


def test_both_networks_learn(homes: TrainingData) -> None:
    history = run(begin(homes, replace(SETTINGS, epochs=60, trainer_learning_rate=0.01))).history
    assert [record.epoch for record in history] == list(range(1, 61))
    first, last = history[0], history[-1]
    assert last.trainer_loss < 0.5 * first.trainer_loss
    assert last.projection_loss < 0.4 * first.projection_loss
    assert last.projection_accuracy >= 0.5


def test_the_loss_is_the_weighed_sum_of_the_three(homes: TrainingData) -> None:
    settings = SETTINGS.override(
        ["objective.distillation_weight=0.5", "objective.trainer_weight=2"]
    )
    (record,) = run(begin(homes, settings), epochs=1).history
    assert record.loss == pytest.approx(
        2 * record.trainer_loss + 0.5 * record.distillation_loss + record.projection_loss
    )


def test_from_one_seed_the_same_network_to_the_last_bit(homes: TrainingData) -> None:
    once, again = (run(begin(homes)) for _ in range(2))
    assert learned(once, homes) == learned(again, homes)
    assert [replace(record, seconds=0) for record in once.history] == [
        replace(record, seconds=0) for record in again.history
    ]


def test_from_another_seed_another_network(homes: TrainingData) -> None:
    assert learned(run(begin(homes)), homes) != learned(
        run(begin(homes, replace(SETTINGS, seed=1))), homes
    )


@pytest.mark.parametrize("ended", [0, 1, 3])
def test_restored_after_some_epochs_it_goes_on_as_if_nothing_had_happened(
    homes: TrainingData, ended: int
) -> None:
    uninterrupted = run(begin(homes))
    checkpoint = io.BytesIO()
    torch.save(run(begin(homes), epochs=ended).state(), checkpoint)
    checkpoint.seek(0)

    torch.rand(3)  # whatever else drew numbers meanwhile
    restored = begin(homes)
    restored.restore(torch.load(checkpoint, weights_only=True))
    assert len(restored.history) == ended
    run(restored, epochs=SETTINGS.epochs - ended)
    assert learned(restored, homes) == learned(uninterrupted, homes)
    for name, value in restored.trainer.state_dict().items():
        assert torch.equal(value, uninterrupted.trainer.state_dict()[name]), name


def test_the_network_kept_is_that_of_the_epoch_with_the_highest_validation_accuracy(
    homes: TrainingData,
) -> None:
    # With a rate far too high, an epoch that is worse than an earlier one soon comes.
    training = run(
        begin(homes, replace(SETTINGS, epochs=50, projection_learning_rate=3.0)), epochs=1
    )
    accuracies = [training.history[0].projection_accuracy]
    while accuracies[-1] == max(accuracies):
        accuracies.append(training.run_epoch(lambda done: None).projection_accuracy)
    projection = SETTINGS.projection
    bits = np.stack([projection.project(projection.features(t)) for t in homes.validation.texts])
    answers = [homes.labels[i] for i in training.best_network().scores(bits).argmax(axis=1)]
    right = [a == i for a, i in zip(answers, homes.validation.intents, strict=True)]
    assert np.mean(right) == max(accuracies)


def test_the_epochs_progress_rises_to_1(homes: TrainingData) -> None:
    shares: list[float] = []
    begin(homes).run_epoch(shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_asked_to_stop_it_ends_within_the_epoch_and_keeps_what_was_best(
    homes: TrainingData,
) -> None:
    training = run(begin(homes), epochs=2)
    before = learned(training, homes)

    def stop(done: float) -> None:
        training.stop = True

    with pytest.raises(Stopped):
        training.run_epoch(stop)
    assert len(training.history) == 2
    assert not training.finished
    assert learned(training, homes) == before


def test_before_the_first_epoch_there_is_no_network_to_keep(homes: TrainingData) -> None:
    training = begin(homes)
    with pytest.raises(ValueError, match="no epoch has ended yet"):
        training.best_network()


def test_it_is_finished_after_the_last_epoch(homes: TrainingData) -> None:
    training = run(begin(homes), epochs=3)
    assert not training.finished
    assert run(training, epochs=1).finished


@pytest.mark.parametrize("names", ["lstm", "cnn", "lstm+feedforward"])
def test_any_trainer_takes_part(homes: TrainingData, names: str) -> None:
    settings = replace(SETTINGS, epochs=1, trainer=replace(SETTINGS.trainer, names=names))
    (record,) = run(begin(homes, settings)).history
    assert np.isfinite(record.loss)


@pytest.mark.parametrize("batch_size", range(2, 24))
def test_any_size_of_a_batch_will_do(homes: TrainingData, batch_size: int) -> None:
    odd = homes.train.select(range(len(homes.train) - 1))
    settings = replace(SETTINGS, epochs=1, batch_size=batch_size)
    for train in (homes.train, odd):
        run(begin(replace(homes, train=train), settings))


@pytest.mark.parametrize("epochs", [1, 2, 5, 10])
def test_any_number_of_epochs_will_do(homes: TrainingData, epochs: int) -> None:
    # With all texts in one batch, as many steps as epochs; and twice as many, for two views.
    run(begin(homes, replace(SETTINGS, epochs=epochs, batch_size=64)))
